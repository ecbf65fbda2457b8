"""Figures by group: by hand, what is too small to show, and what equal groups show."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_llama.evaluation.groups import (
    MIN_GROUP,
    MIN_LABEL_CLIPS,
    GroupFigures,
    group_figures,
)
from emotion_llama.evaluation.metrics import MIN_ECE_CLIPS, calibration, label_figures

LABELS = ("happy", "sad", "neutral")

Clips = tuple[list[str], list[str | None], list[str | None]]


def clips(*blocks: tuple[str | None, str, int, int]) -> Clips:
    """Clips from (group, truth, how many, how many right of these)."""
    truths: list[str] = []
    answers: list[str | None] = []
    groups: list[str | None] = []
    for group, truth, size, right in blocks:
        truths += [truth] * size
        answers += [truth] * right + [None] * (size - right)
        groups += [group] * size
    return truths, answers, groups


def drawn(seed: int, size: int, recalls: dict[str, float]) -> Clips:
    """Clips of groups that are right this often."""
    generator = np.random.default_rng(seed)
    truths = generator.choice(LABELS, size).tolist()
    groups = generator.choice(list(recalls), size).tolist()
    pairs = zip(truths, groups, strict=True)
    answers = [truth if generator.random() < recalls[group] else None for truth, group in pairs]
    return truths, answers, groups


def figures(of: Clips, **settings: Any) -> GroupFigures:
    truths, answers, groups = of
    return group_figures(truths, answers, LABELS, groups, **({"num_resamples": 50} | settings))


TWO = clips(
    ("f", "happy", 20, 18), ("f", "sad", 20, 10), ("m", "happy", 20, 12), ("m", "sad", 30, 21)
)


def test_two_groups_worked_out_by_hand() -> None:
    found = figures(TWO)
    assert list(found.groups) == ["f", "m"]
    row = found.groups["f"]
    assert (row.num_clips, row.num_unparsed) == (40, 12)
    assert row.accuracy == pytest.approx(28 / 40)
    assert row.uar == pytest.approx((18 / 20 + 10 / 20) / 2)
    assert row.recall == {"happy": 0.9, "sad": 0.5, "neutral": None}
    assert row.support == {"happy": 20, "sad": 20, "neutral": 0}
    assert found.gap is not None
    assert (found.gap.worst, found.gap.best) == ("m", "f")
    assert found.gap.worst_uar == pytest.approx(0.65)
    assert found.gap.gap == pytest.approx(0.7 - 0.65)
    assert found.gap.labels == ("happy", "sad")
    assert found.equalised_odds_gap == pytest.approx({"happy": 0.3, "sad": 0.2, "neutral": None})
    assert (found.suppressed, found.num_unknown) == ({}, 0)
    assert (found.min_group, found.min_label_clips) == (MIN_GROUP, MIN_LABEL_CLIPS)


def test_results_can_be_written_as_json() -> None:
    json.dumps(figures(TWO).to_dict())


def test_small_groups_are_counted_and_not_shown() -> None:
    small = clips(("x", "sad", MIN_GROUP - 1, 0), ("y", "sad", MIN_GROUP, MIN_GROUP))
    found = figures(small)
    assert found.suppressed == {"x": MIN_GROUP - 1}
    assert list(found.groups) == ["y"]
    assert found.gap is None, "one group has no gap"
    assert found.equalised_odds_gap["sad"] is None


def test_a_small_group_is_in_no_gap() -> None:
    small = clips(("x", "happy", 14, 0), ("x", "sad", 14, 0))
    both = tuple(a + b for a, b in zip(TWO, small, strict=True))
    found = figures(both)  # type: ignore[arg-type]
    assert found.suppressed == {"x": 28}
    assert found.gap == figures(TWO).gap
    assert found.equalised_odds_gap == figures(TWO).equalised_odds_gap


def test_no_group_large_enough_leaves_nothing_to_show() -> None:
    found = figures(clips(("x", "sad", 5, 0), (None, "sad", 5, 5)))
    assert (found.groups, found.suppressed, found.num_unknown) == ({}, {"x": 5}, 5)
    assert found.gap is None


def test_clips_without_a_group_are_counted_and_in_no_group() -> None:
    unknown = clips((None, "sad", 60, 0))
    both = tuple(a + b for a, b in zip(TWO, unknown, strict=True))
    found = figures(both)  # type: ignore[arg-type]
    assert found.num_unknown == 60
    assert found.groups == figures(TWO).groups


def test_the_gap_is_over_labels_that_all_groups_have() -> None:
    """A group without the hard label must not look better for it."""
    found = figures(clips(("f", "happy", 40, 40), ("f", "sad", 40, 0), ("m", "happy", 40, 36)))
    assert found.groups["f"].uar == 0.5 and found.groups["m"].uar == 0.9
    assert found.gap is not None
    assert found.gap.labels == ("happy",)
    assert (found.gap.worst, found.gap.gap) == ("m", pytest.approx(0.1))


def test_groups_without_a_common_label_have_no_gap() -> None:
    assert figures(clips(("f", "happy", 40, 40), ("m", "sad", 40, 36))).gap is None


def test_a_label_with_few_clips_in_a_group_is_in_no_equalised_odds_gap() -> None:
    few = MIN_LABEL_CLIPS - 1
    blocks = [("f", "happy", 40, 40), ("f", "sad", few, 0), ("m", "happy", 40, 20)]
    with_few = figures(clips(*blocks, ("m", "sad", 20, 20)))
    assert with_few.equalised_odds_gap == {"happy": 0.5, "sad": None, "neutral": None}
    third = figures(clips(*blocks, ("m", "sad", 20, 20), ("o", "sad", 40, 10)))
    assert third.equalised_odds_gap["sad"] == 0.75, "of the groups that have enough"


@settings(max_examples=10)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_the_order_of_the_clips_changes_no_figure(seed: int, random: Any) -> None:
    of = drawn(seed, 120, {"f": 0.8, "m": 0.5, "o": 0.6})
    order = list(range(120))
    random.shuffle(order)
    turned = tuple([column[i] for i in order] for column in of)
    one, other = figures(of, num_resamples=2), figures(turned, num_resamples=2)  # type: ignore[arg-type]
    assert one.equalised_odds_gap == other.equalised_odds_gap
    assert one.suppressed == other.suppressed
    assert (one.gap is None) == (other.gap is None)
    if one.gap and other.gap:
        assert (one.gap.worst, one.gap.gap) == (other.gap.worst, pytest.approx(other.gap.gap))
    for name, row in one.groups.items():
        assert (row.accuracy, row.uar) == (other.groups[name].accuracy, other.groups[name].uar)


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_a_group_has_the_figures_of_its_clips_alone(seed: int) -> None:
    truths, answers, groups = of = drawn(seed, 150, {"f": 0.8, "m": 0.5})
    rows = [row for row, group in enumerate(groups) if group == "m"]
    alone = label_figures([truths[i] for i in rows], [answers[i] for i in rows], LABELS)
    row = figures(of, num_resamples=2).groups["m"]
    assert (row.accuracy, row.uar, row.recall) == (alone.accuracy, alone.uar, alone.recall)


def test_equal_groups_show_the_gap_of_chance_and_unequal_ones_more() -> None:
    names = ("a", "b", "c", "d")
    equal = [figures(drawn(seed, 400, dict.fromkeys(names, 0.7))).gap for seed in range(12)]
    assert all(gap is not None for gap in equal)
    mean_gap = np.mean([gap.gap for gap in equal if gap])
    mean_chance = np.mean([gap.chance_gap for gap in equal if gap])
    assert mean_gap == pytest.approx(mean_chance, rel=0.25)
    assert mean_chance > 0.05, "four groups of a hundred differ by chance alone"
    unequal = figures(drawn(0, 400, {"a": 0.9, "b": 0.4})).gap
    assert unequal is not None and unequal.interval is not None
    assert unequal.gap > 4 * unequal.chance_gap
    assert unequal.interval.low < unequal.gap < unequal.interval.high
    assert unequal.interval.low > unequal.chance_gap


def test_intervals_over_people_are_wider_where_their_clips_are_alike() -> None:
    of = drawn(1, 80, {"f": 0.8, "m": 0.5})
    people = [f"person {number}" for number in range(80)]
    copies: Clips = (of[0] * 9, of[1] * 9, of[2] * 9)
    over_people = figures(copies, units=people * 9, num_resamples=200)
    over_clips = figures(copies, num_resamples=200)
    assert over_people.gap and over_people.gap.interval
    assert over_people.gap.interval.num_units == 80
    wide, narrow = over_people.groups["f"].uar_interval, over_clips.groups["f"].uar_interval
    assert wide and narrow
    assert wide.num_units == of[2].count("f")
    assert wide.high - wide.low > 2 * (narrow.high - narrow.low)


def test_one_person_has_no_interval() -> None:
    one = figures(TWO, units=["f"] * 40 + ["m"] * 50)
    assert one.groups["f"].uar_interval is None and one.groups["f"].accuracy_interval is None
    assert one.gap is not None and one.gap.interval is not None
    assert one.gap.interval.num_units == 2
    same = figures(TWO, units=["one"] * 90)
    assert same.gap is not None and same.gap.interval is None


def test_the_same_seed_gives_the_same_result() -> None:
    assert figures(TWO) == figures(TWO) != figures(TWO, seed=1)


def test_a_group_below_the_least_number_of_clips_has_no_calibration_error() -> None:
    generator = np.random.default_rng(0)
    size = MIN_ECE_CLIPS + 50
    rows = generator.dirichlet(np.ones(3), size)
    truths = [LABELS[generator.choice(3, p=row)] for row in rows]
    answers: list[str | None] = [LABELS[i] for i in rows.argmax(1)]
    groups: list[str | None] = ["large"] * MIN_ECE_CLIPS + ["small"] * 50
    found = figures((truths, answers, groups), probabilities=rows, num_resamples=2)
    assert found.groups["small"].ece is None and found.groups["small"].perfect_ece is None
    large = calibration(rows[:MIN_ECE_CLIPS], truths[:MIN_ECE_CLIPS], LABELS)
    assert (found.groups["large"].ece, found.groups["large"].perfect_ece) == (
        large.ece,
        large.perfect_ece,
    )
    assert large.ece is not None
    assert figures((truths, answers, groups), num_resamples=2).groups["large"].ece is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"groups": ["f"]}, "found 1 groups of 2 clips"),
        ({"units": ["f"]}, "found 1 units of 2 clips"),
        ({"answers": []}, "0 answers to 2 clips"),
        ({"truths": ["fear", "sad"]}, "the truth fear, which is not scored"),
        ({"probabilities": np.ones((2, 3))}, "adds up to 3"),
    ],
)
def test_what_does_not_fit_together_is_refused(settings: dict[str, Any], message: str) -> None:
    given_ = {"truths": ["happy", "sad"], "answers": [None, None], "groups": ["f", "m"]} | settings
    with pytest.raises(ValueError, match=message):
        group_figures(labels=LABELS, **given_)
