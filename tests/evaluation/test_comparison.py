"""Two runs against each other: by hand, against scipy, and what chance must and must not show."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_llama.evaluation.comparison import FIGURES, Run, compare, compare_runs, mcnemar_p
from emotion_llama.evaluation.metrics import label_figures

LABELS = ("happy", "sad", "neutral")
ANSWERS = st.sampled_from([*LABELS, "fear", None])

Triples = list[tuple[str, str | None, str | None]]

triples = st.lists(st.tuples(st.sampled_from(LABELS), ANSWERS, ANSWERS), min_size=2, max_size=40)


def drawn(seed: int, size: int, shares: tuple[float, float]) -> Triples:
    """Clips of which two runs have these shares right."""
    generator = np.random.default_rng(seed)
    rows: Triples = []
    for _ in range(size):
        truth, other = generator.permutation(LABELS)[:2].tolist()
        a, b = (truth if generator.random() < share else other for share in shares)
        rows.append((truth, a, b))
    return rows


def compared(rows: Triples, **settings: Any) -> Any:
    truths, a, b = (list(column) for column in zip(*rows, strict=True))
    settings = {"num_resamples": 100, "num_permutations": 200} | settings
    return compare(truths, a, b, LABELS, **settings)


def test_a_small_case_worked_out_by_hand() -> None:
    found = compared(
        [
            ("happy", "happy", "happy"),
            ("happy", "happy", "sad"),
            ("happy", "happy", None),
            ("sad", "happy", "sad"),
            ("sad", "fear", "happy"),
        ]
    )
    counts = (found.both_right, found.only_a_right, found.only_b_right, found.both_wrong)
    assert counts == (1, 2, 1, 1)
    assert found.mcnemar_p == 1, "2 against 1 is what a coin does"
    uar = found.figures["uar"]
    assert (uar.a, uar.b) == pytest.approx(((1 + 0) / 2, (1 / 3 + 1 / 2) / 2))
    assert uar.difference == pytest.approx(uar.a - uar.b)
    assert found.figures["accuracy"].difference == pytest.approx(3 / 5 - 2 / 5)
    assert (found.num_clips, found.num_units, found.num_permutations) == (5, 5, 200)
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


@settings(max_examples=30)
@given(triples)
def test_the_figures_are_those_of_each_run_alone(rows: Triples) -> None:
    found = compared(rows, num_resamples=1, num_permutations=1)
    for place, run in ((1, "a"), (2, "b")):
        alone = label_figures([row[0] for row in rows], [row[place] for row in rows], LABELS)
        for name in FIGURES:
            assert getattr(found.figures[name], run) == pytest.approx(getattr(alone, name))


@settings(max_examples=15)
@given(triples)
def test_exchanging_the_runs_turns_the_signs_and_keeps_the_p_values(rows: Triples) -> None:
    found = compared(rows, num_resamples=20, num_permutations=20)
    turned = compared([(t, b, a) for t, a, b in rows], num_resamples=20, num_permutations=20)
    assert found.mcnemar_p == turned.mcnemar_p
    assert (found.only_a_right, found.both_wrong) == (turned.only_b_right, turned.both_wrong)
    for name in FIGURES:
        one, other = found.figures[name], turned.figures[name]
        assert one.difference == -other.difference
        assert one.p == other.p
        ends = (-other.interval.high, -other.interval.low)
        assert (one.interval.low, one.interval.high) == pytest.approx(ends)


@settings(max_examples=40)
@given(st.integers(0, 200), st.integers(0, 200))
def test_the_mcnemar_test_is_the_exact_binomial_test(only_a: int, only_b: int) -> None:
    stats = pytest.importorskip("scipy.stats", reason="NOT CHECKED: scipy is not installed")
    expected = stats.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert mcnemar_p(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_the_mcnemar_test_stands_thousands_of_clips() -> None:
    assert 0 < mcnemar_p(2400, 2600) < 0.01
    assert mcnemar_p(0, 5000) == 0, "less than a number can show"


def test_equal_runs_show_no_difference() -> None:
    found = compared([(t, a, a) for t, a, _ in drawn(0, 50, (0.6, 0.6))])
    assert found.mcnemar_p == 1
    for figure in found.figures.values():
        assert (figure.difference, figure.p) == (0, 1)
        assert (figure.interval.low, figure.interval.high) == (0, 0)


def test_a_clear_difference_is_seen_by_every_test() -> None:
    found = compared(drawn(1, 200, (0.8, 0.5)))
    assert found.mcnemar_p < 1e-4
    for figure in found.figures.values():
        assert figure.interval.low > 0
        assert figure.p == pytest.approx(1 / 201), "no exchange reaches it"


def test_p_values_of_equal_runs_are_spread_evenly() -> None:
    """Runs that are equally good are called different at 10 % in about 10 % of the cases."""
    p_values = [
        compared(drawn(seed, 60, (0.6, 0.6)), num_resamples=1, num_permutations=49).figures["uar"].p
        for seed in range(100)
    ]
    assert 0.04 < np.mean(np.array(p_values) <= 0.1) < 0.18
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.07)


def test_the_permutation_test_of_the_accuracy_agrees_with_the_exact_one() -> None:
    rows = drawn(6, 80, (0.7, 0.55))
    found = compared(rows, num_permutations=2000)
    assert 0.01 < found.mcnemar_p < 0.9
    assert found.figures["accuracy"].p == pytest.approx(found.mcnemar_p, abs=0.03)


def test_copies_of_a_clip_add_no_knowledge_where_people_are_given() -> None:
    rows = drawn(11, 40, (0.7, 0.55))
    people = [f"person {number}" for number in range(40)]
    alone = compared(rows, groups=people)
    nine = [row for row in rows for _ in range(9)]
    copied = compared(nine, groups=[person for person in people for _ in range(9)])
    assert copied.num_units == 40
    for name in FIGURES:
        one, other = alone.figures[name], copied.figures[name]
        assert other.p == pytest.approx(one.p)
        assert (other.interval.low, other.interval.high) == pytest.approx(
            (one.interval.low, one.interval.high)
        )
    blind = compared(nine)
    assert blind.figures["uar"].p < alone.figures["uar"].p
    assert copied.mcnemar_p < alone.mcnemar_p, "the exact test knows no people, as it says"


def test_the_same_seed_gives_the_same_result() -> None:
    rows = drawn(3, 50, (0.7, 0.6))
    assert compared(rows) == compared(rows) != compared(rows, seed=1)


def test_runs_are_matched_by_id() -> None:
    rows = drawn(5, 30, (0.8, 0.5))
    ids = [f"clip {number}" for number in range(30)]
    truths, a, b = (list(column) for column in zip(*rows, strict=True))
    turned = Run(ids[::-1], truths[::-1], b[::-1])
    settings = {"num_resamples": 50, "num_permutations": 50}
    groups = [f"person {number % 7}" for number in range(30)]
    found = compare_runs(Run(ids, truths, a), turned, LABELS, groups=groups, **settings)
    assert found == compared(rows, groups=groups, **settings)


RUN = Run(["1", "2", "3"], ["happy", "sad", "sad"], ["happy", None, "sad"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            Run(["1", "2"], ["happy", "sad"], ["happy", "sad"]),
            r"found 1 clips only in run A \(3\) and 0 only in run B, expected the same clips",
        ),
        (
            Run(["1", "2", "x"], ["happy", "sad", "sad"], [None] * 3),
            r"found 1 clips only in run A \(3\) and 1 only in run B \(x\)",
        ),
        (
            Run(["3", "2", "1"], ["sad", "happy", "sad"], [None] * 3),
            r"found 2 of 3 clips with another truth in run B than in run A \(1, 2\)",
        ),
        (Run(["1", "1", "2"], ["sad"] * 3, [None] * 3), "run B: found 1 ids again"),
        (Run(["1", "2", "3"], ["sad"] * 3, [None]), "3 ids, 3 truths and 1 answers"),
    ],
)
def test_runs_over_other_clips_or_truths_are_refused(other: Run, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        compare_runs(RUN, other, LABELS)


def test_many_clips_that_differ_are_counted_and_only_some_are_named() -> None:
    ids = [f"{number:02}" for number in range(20)]
    many = Run(ids, ["sad"] * 20, [None] * 20)
    with pytest.raises(ValueError, match=r"20 clips only in run A \(00, 01, 02, \.\.\.\)"):
        compare_runs(many, RUN, LABELS)


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(ValueError, match="0 answers to 1 clips"):
        compare(["happy"], ["happy"], [], LABELS)
    with pytest.raises(ValueError, match="truth fear, which is not scored"):
        compare(["fear", "sad"], [None, None], [None, None], LABELS)
