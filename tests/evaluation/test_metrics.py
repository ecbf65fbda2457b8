"""Figures against scikit-learn and against numbers worked out by hand."""

import json
import math
from typing import Any

import numpy as np
import pytest

from emotion_llama.evaluation.metrics import (
    MIN_ECE_CLIPS,
    answered_share,
    bootstrap,
    calibration,
    confusion,
    label_figures,
    label_intervals,
    perfect_calibration_error,
    top_k_accuracy,
)

LABELS = ("happy", "sad", "neutral", "angry")


def random_answers(
    seed: int, size: int = 200, with_none: bool = True
) -> tuple[list[str], list[str | None]]:
    generator = np.random.default_rng(seed)
    truths = [LABELS[i] for i in generator.choice(4, size, p=(0.5, 0.3, 0.15, 0.05))]
    options = [*LABELS, "fear", None] if with_none else list(LABELS)
    answers = [
        t if generator.random() < 0.6 else options[generator.integers(len(options))] for t in truths
    ]
    return truths, answers


def random_probabilities(seed: int, size: int) -> tuple[np.ndarray, list[str]]:
    """Probabilities that are exactly right."""
    generator = np.random.default_rng(seed)
    rows = generator.dirichlet(np.full(4, 0.7), size)
    truths = [LABELS[generator.choice(4, p=row)] for row in rows]
    return rows, truths


@pytest.fixture
def sklearn_metrics() -> Any:
    return pytest.importorskip(
        "sklearn.metrics", reason="NOT CHECKED: scikit-learn is not installed"
    )


def test_a_small_case_worked_out_by_hand() -> None:
    truths = ["happy", "happy", "happy", "sad", "sad", "neutral"]
    answers = ["happy", "sad", None, "sad", "fear", "happy"]
    matrix = confusion(truths, answers, LABELS)
    assert matrix.counts.tolist() == [[1, 1, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert matrix.unparsed.tolist() == [1, 0, 0, 0]
    assert matrix.outside.tolist() == [0, 1, 0, 0]
    assert matrix.support.tolist() == [3, 2, 1, 0]
    figures = label_figures(truths, answers, LABELS)
    assert figures.accuracy == pytest.approx(2 / 6)
    assert figures.uar == pytest.approx((1 / 3 + 1 / 2 + 0) / 3)
    # F1: happy 2 * 1 / (3 + 2), sad 2 * 1 / (2 + 2), neutral 0; angry neither true nor answered
    assert figures.weighted_f1 == pytest.approx((3 * 0.4 + 2 * 0.5 + 0) / 6)
    assert figures.macro_f1 == pytest.approx((0.4 + 0.5 + 0) / 3)
    assert (figures.num_clips, figures.num_unparsed, figures.num_outside) == (6, 1, 1)
    assert figures.recall == {"happy": 1 / 3, "sad": 0.5, "neutral": 0.0, "angry": None}
    assert figures.precision == {"happy": 0.5, "sad": 0.5, "neutral": None, "angry": None}
    json.dumps(figures.to_dict())


@pytest.mark.parametrize("seed", range(5))
def test_figures_equal_those_of_scikit_learn(sklearn_metrics: Any, seed: int) -> None:
    truths, answers = random_answers(seed)
    written = [answer or "no label" for answer in answers]
    figures = label_figures(truths, answers, LABELS)
    assert figures.accuracy == pytest.approx(sklearn_metrics.accuracy_score(truths, written))
    recall = sklearn_metrics.recall_score(
        truths, written, labels=LABELS, average="macro", zero_division=0
    )
    assert figures.uar == pytest.approx(recall)
    for average, value in (("weighted", figures.weighted_f1), ("macro", figures.macro_f1)):
        expected = sklearn_metrics.f1_score(
            truths, written, labels=LABELS, average=average, zero_division=0
        )
        assert value == pytest.approx(expected)
    table = sklearn_metrics.confusion_matrix(truths, written, labels=LABELS)
    assert (confusion(truths, answers, LABELS).counts == table).all()


def test_a_label_that_is_never_true_changes_no_mean() -> None:
    truths, answers = ["happy", "sad"], ["happy", "happy"]
    few, many = (label_figures(truths, answers, labels) for labels in (LABELS[:2], LABELS))
    assert (few.uar, few.macro_f1) == (many.uar, many.macro_f1) == (0.5, pytest.approx(1 / 3))


def test_no_label_is_never_taken_for_neutral() -> None:
    figures = label_figures(["neutral"] * 3, [None, "fear", "neutral"], LABELS)
    assert figures.accuracy == pytest.approx(1 / 3)
    assert (figures.num_unparsed, figures.num_outside) == (1, 1)


def test_the_order_of_the_matrix_is_the_given_one() -> None:
    matrix = confusion(["sad"], ["happy"], ("sad", "happy"))
    assert matrix.counts.tolist() == [[0, 1], [0, 0]]
    assert matrix.labels == ("sad", "happy")


@pytest.mark.parametrize(
    ("truths", "answers", "labels", "message"),
    [
        ([], [], LABELS, "no clip to score"),
        (["happy"], [], LABELS, "0 answers to 1 clips"),
        (["fear"], ["fear"], LABELS, "the truth fear, which is not scored; expected one of happy"),
        (["happy"], ["happy"], ("happy", "happy"), r"\['happy'\] occur twice"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    truths: list[str], answers: list[str | None], labels: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        confusion(truths, answers, labels)


def test_an_interval_of_the_accuracy_is_that_of_a_share() -> None:
    truths = ["happy"] * 400
    answers: list[str | None] = ["happy"] * 300 + [None] * 100
    interval = label_intervals(truths, answers, LABELS)["accuracy"]
    half = 1.96 * math.sqrt(0.75 * 0.25 / 400)
    assert interval.low == pytest.approx(0.75 - half, abs=0.006)
    assert interval.high == pytest.approx(0.75 + half, abs=0.006)
    assert (interval.level, interval.num_units) == (0.95, 400)


def test_intervals_hold_the_figure_and_repeat() -> None:
    truths, answers = random_answers(1)
    figures = label_figures(truths, answers, LABELS).to_dict()
    first = label_intervals(truths, answers, LABELS, num_resamples=200)
    assert all(first[name].low < figures[name] < first[name].high for name in first)
    assert first == label_intervals(truths, answers, LABELS, num_resamples=200)
    assert first != label_intervals(truths, answers, LABELS, num_resamples=200, seed=1)


def test_clips_of_one_person_count_as_one() -> None:
    """Copies of a person's clips add no knowledge: the interval over people stays as wide."""
    truths, answers = random_answers(2, 40, with_none=False)
    people = [f"person {number}" for number in range(40)]
    alone = label_intervals(truths, answers, LABELS, num_resamples=500)["accuracy"]
    copied = label_intervals(truths * 9, answers * 9, LABELS, groups=people * 9, num_resamples=500)[
        "accuracy"
    ]
    wrong = label_intervals(truths * 9, answers * 9, LABELS, num_resamples=500)["accuracy"]
    assert copied.num_units == 40
    assert (copied.low, copied.high) == pytest.approx((alone.low, alone.high))
    assert wrong.high - wrong.low < 0.5 * (alone.high - alone.low)


def test_groups_of_unequal_size_are_drawn_whole() -> None:
    seen: set[tuple[int, ...]] = set()

    def sizes(rows: np.ndarray) -> list[float]:
        seen.add(tuple(sorted(rows.tolist())))
        return [float(len(rows))]

    bootstrap(sizes, 3, groups=["a", "b", "b"], num_resamples=50)
    assert seen == {(0, 0), (0, 1, 2), (1, 1, 2, 2)}


@pytest.mark.parametrize(
    ("groups", "message"),
    [(["a", "a", "a"], "found 1 groups"), (["a"], "found 1 groups of 3 clips")],
)
def test_what_has_no_spread_has_no_interval(groups: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap(lambda rows: [0.0], 3, groups=groups)


def test_calibration_worked_out_by_hand() -> None:
    rows = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]])
    found = calibration(rows, ["happy", "sad", "sad"], ("happy", "sad"))
    assert found.nll == pytest.approx(-(math.log(0.8) + math.log(0.4) + math.log(0.9)) / 3)
    assert found.brier == pytest.approx((2 * 0.2**2 + 2 * 0.6**2 + 2 * 0.1**2) / 3)
    assert found.ece is None and found.perfect_ece is None, "3 clips have no calibration error"


def test_calibration_equals_that_of_scikit_learn(sklearn_metrics: Any) -> None:
    rows, truths = random_probabilities(0, 300)
    found = calibration(rows, truths, LABELS)
    columns = [LABELS.index(label) for label in sorted(LABELS)]  # scikit-learn sorts labels
    assert found.nll == pytest.approx(
        sklearn_metrics.log_loss(truths, rows[:, columns], labels=sorted(LABELS))
    )
    hits = np.array([[truth == label for label in LABELS] for truth in truths])
    parts = [
        sklearn_metrics.brier_score_loss(hit, row, pos_label=True)
        for hit, row in zip(hits.T, rows.T, strict=True)
    ]
    assert found.brier == pytest.approx(sum(parts))


def test_the_calibration_error_is_the_distance_of_confidence_and_accuracy() -> None:
    size = MIN_ECE_CLIPS
    rows = np.tile([0.9, 0.1], (size, 1))
    truths = ["happy"] * (size * 7 // 10) + ["sad"] * (size * 3 // 10)
    assert calibration(rows, truths, LABELS[:2]).ece == pytest.approx(0.2)
    # errors in opposite directions do not cancel in different bins
    rows[: size // 2] = [0.6, 0.4]
    truths = ["happy"] * (size // 2) + ["happy"] * (size // 10 * 3) + ["sad"] * (size // 10 * 2)
    assert calibration(rows, truths, LABELS[:2]).ece == pytest.approx(0.5 * 0.4 + 0.5 * 0.3)


def test_right_probabilities_show_the_error_of_chance_alone() -> None:
    rows, truths = random_probabilities(1, 3000)
    found = calibration(rows, truths, LABELS)
    assert found.ece is not None and found.perfect_ece is not None
    assert found.ece == pytest.approx(found.perfect_ece, abs=0.01)
    assert 0.005 < found.perfect_ece < 0.03
    assert perfect_calibration_error(rows[:300].max(1)) > 2 * found.perfect_ece
    sharpened = rows**3 / (rows**3).sum(1, keepdims=True)
    overconfident = calibration(sharpened, truths, LABELS).ece
    assert overconfident is not None and overconfident > 5 * found.perfect_ece


def test_top_k() -> None:
    rows = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.2, 0.4, 0.4]])
    truths = ["sad", "neutral", "neutral"]
    found = [top_k_accuracy(rows, truths, LABELS[:3], k) for k in (1, 2, 3)]
    assert found == pytest.approx([0, 2 / 3, 1]), "of equals the label offered first comes first"
    with pytest.raises(ValueError, match="k is 4"):
        top_k_accuracy(rows, truths, LABELS[:3], 4)


def test_the_share_that_can_be_answered_at_a_precision() -> None:
    rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.7, 0.3], [0.7, 0.3], [0.6, 0.4]])
    truths = ["happy", "sad", "happy", "happy", "sad"]

    def share(precision: float) -> float:
        return answered_share(rows, truths, LABELS[:2], precision)

    assert share(1.0) == pytest.approx(1 / 5)
    assert share(0.75) == pytest.approx(4 / 5)
    assert share(0.7) == pytest.approx(4 / 5), "a later cut may be good where an earlier is not"
    assert share(0.6) == pytest.approx(1)
    tied = np.array([[0.7, 0.3], [0.7, 0.3]])
    assert answered_share(tied, ["happy", "sad"], LABELS[:2], 1.0) == 0, "equals are not torn apart"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0.5, 0.6]], "adds up to 1.1"),
        ([[1.5, -0.5]], "at least 0"),
        ([[math.nan, 1.0]], "adds up to nan"),
        ([[1.0]], r"shape \(1, 1\), expected \(1, 2\)"),
    ],
)
def test_what_is_no_probability_is_refused(rows: list[list[float]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibration(np.array(rows), ["happy"], ("happy", "sad"))
