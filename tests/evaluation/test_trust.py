"""Trust in probabilities: by hand, against scikit-learn, and on probabilities known to be right."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_llama.evaluation.metrics import ECE_BINS, MIN_ECE_CLIPS, calibration
from emotion_llama.evaluation.trust import (
    MAX_TEMPERATURE,
    apply_temperature,
    correctness_auroc,
    fit_temperature,
    reliability_bins,
    risk_coverage,
    soft_label_figures,
    trust_figures,
)

LABELS = ("happy", "sad", "neutral", "angry")

Answers = list[tuple[float, bool]]

answers = st.lists(
    st.tuples(st.integers(0, 8).map(lambda eighths: eighths / 8), st.booleans()),
    min_size=1,
    max_size=40,
)


def split(pairs: Answers) -> tuple[list[float], list[bool]]:
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def random_probabilities(seed: int, size: int) -> tuple[np.ndarray, list[str]]:
    """Probabilities that are exactly right."""
    generator = np.random.default_rng(seed)
    rows = generator.dirichlet(np.full(4, 0.7), size)
    ends = rows.cumsum(1)[:, :3]
    places = (generator.random((size, 1)) >= ends).sum(1)
    return rows, [LABELS[place] for place in places]


# reliability and calibration errors


def test_bins_worked_out_by_hand() -> None:
    bins = reliability_bins([0.2, 0.18, 0.7, 1.0], [True, False, True, True])
    filled = {number: one for number, one in enumerate(bins) if one.num_clips}
    assert len(bins) == ECE_BINS
    assert sorted(filled) == [2, 10, 14], "0.2 is the upper edge of the third bin of 15"
    assert filled[2].confidence == pytest.approx(0.19)
    assert (filled[2].accuracy, filled[2].num_clips) == (0.5, 2)
    assert (filled[2].low, filled[2].high) == pytest.approx((2 / 15, 0.2))
    assert bins[0].confidence is None and bins[0].accuracy is None


def test_the_bins_are_those_of_the_calibration_error() -> None:
    rows, truths = random_probabilities(0, 2000)
    rows = rows**2 / (rows**2).sum(1, keepdims=True)
    found = trust_figures(rows, truths, LABELS)
    error = sum(
        one.num_clips * abs(one.confidence - one.accuracy)
        for one in found.bins
        if one.confidence is not None and one.accuracy is not None
    )
    assert sum(one.num_clips for one in found.bins) == 2000
    assert error / 2000 == pytest.approx(found.ece)


def test_all_calibration_errors_are_none_below_the_least_number_of_clips() -> None:
    names = ("ece", "adaptive_ece", "classwise_ece", "label_ece")
    perfect = ("perfect_ece", "perfect_adaptive_ece", "perfect_classwise_ece")
    for size, known in ((MIN_ECE_CLIPS - 1, False), (MIN_ECE_CLIPS, True)):
        found = trust_figures(*random_probabilities(1, size), LABELS)
        assert all((getattr(found, name) is not None) == known for name in (*names, *perfect))
        assert found.auroc is not None and found.aurc > 0, "these need no bins"
        assert json.dumps(found.to_dict())


def test_the_usual_figures_are_those_of_the_calibration() -> None:
    rows, truths = random_probabilities(2, 1200)
    found, usual = trust_figures(rows, truths, LABELS), calibration(rows, truths, LABELS)
    assert (found.ece, found.perfect_ece) == (usual.ece, usual.perfect_ece)
    assert (found.nll, found.brier, found.num_clips) == (usual.nll, usual.brier, 1200)


def test_an_adaptive_error_worked_out_by_hand() -> None:
    """Three confidences of unequal frequency; each is a bin or more of its own."""
    parts = ((0.9, 600, 480), (0.8, 300, 270), (0.6, 100, 60))
    rows = np.array([[c, 1 - c] for c, size, _ in parts for _ in range(size)])
    truths = [
        name for _, size, right in parts for name in ["happy"] * right + ["sad"] * (size - right)
    ]
    found = trust_figures(rows, truths, LABELS[:2])
    # |0.9 - 0.8| x 600 + |0.8 - 0.9| x 300 + |0.6 - 0.6| x 100
    assert found.adaptive_ece == pytest.approx((60 + 30) / 1000)


def test_an_adaptive_error_sees_what_equal_widths_hide() -> None:
    """Confidences in one narrow bin, too high in the lower half and too low in the upper."""
    size = 3000
    confidences = np.linspace(0.941, 0.999, size)
    right = np.arange(size) >= size * 0.03  # all wrong ones are the least confident
    rows = np.column_stack([confidences, 1 - confidences])
    truths = ["happy" if good else "sad" for good in right]
    found = trust_figures(rows, truths, LABELS[:2])
    assert found.ece is not None and found.adaptive_ece is not None
    assert found.ece < 0.005
    # the least confident of 15 bins holds all 90 wrong ones, the others none
    first, others = confidences[:200], confidences[200:]
    assert found.adaptive_ece == pytest.approx((first.sum() - 110 + (1 - others).sum()) / size)


def test_classwise_errors_worked_out_by_hand() -> None:
    rows = np.tile([0.7, 0.2, 0.1], (1000, 1))
    truths = ["happy"] * 600 + ["sad"] * 200 + ["neutral"] * 200
    found = trust_figures(rows, truths, LABELS[:3])
    assert found.label_ece == pytest.approx({"happy": 0.1, "sad": 0.0, "neutral": 0.1})
    assert found.classwise_ece == pytest.approx(0.2 / 3)


def test_right_probabilities_show_the_errors_of_chance_alone() -> None:
    rows, truths = random_probabilities(3, 3000)
    sharp = rows**3 / (rows**3).sum(1, keepdims=True)
    found, overconfident = (trust_figures(one, truths, LABELS).to_dict() for one in (rows, sharp))
    for name in ("adaptive_ece", "classwise_ece"):
        chance = found[f"perfect_{name}"]
        assert 0.003 < chance < 0.03
        assert found[name] == pytest.approx(chance, abs=0.01)
        assert overconfident[name] > 4 * chance


def test_the_order_of_clips_and_of_labels_changes_no_figure() -> None:
    rows, truths = random_probabilities(4, 1500)
    rows = np.round(rows, 1)
    rows[:, 0] += 1 - rows.sum(1)
    rows = np.abs(rows) / np.abs(rows).sum(1, keepdims=True)  # many equals
    found = trust_figures(rows, truths, LABELS).to_dict()
    order = np.random.default_rng(0).permutation(1500)
    turned = trust_figures(rows[order], [truths[i] for i in order], LABELS).to_dict()
    for name, value in found.items():
        if name not in ("bins", "label_ece") and not name.startswith("perfect"):
            assert turned[name] == pytest.approx(value), name
    other = trust_figures(rows[:, ::-1], truths, LABELS[::-1])
    assert other.label_ece == pytest.approx(found["label_ece"])


# ranking by confidence


@settings(max_examples=25)
@given(answers)
def test_the_auroc_is_that_of_scikit_learn(pairs: Answers) -> None:
    metrics = pytest.importorskip(
        "sklearn.metrics", reason="NOT CHECKED: scikit-learn is not installed"
    )
    confidences, right = split(pairs)
    found = correctness_auroc(confidences, right)
    if len(set(right)) < 2:
        assert found is None
    else:
        assert found == pytest.approx(metrics.roc_auc_score(right, confidences))


def test_a_curve_worked_out_by_hand() -> None:
    found = risk_coverage([0.9, 0.8, 0.7, 0.7, 0.6], [True, False, True, True, False])
    assert found.threshold == (0.9, 0.8, 0.7, 0.6)
    assert found.coverage == pytest.approx((0.2, 0.4, 0.8, 1.0))
    assert found.risk == pytest.approx((0, 1 / 2, 1 / 4, 2 / 5))
    assert found.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 4 + 2 / 5) / 5)
    assert found.best_aurc == pytest.approx((0 + 0 + 0 + 1 / 4 + 2 / 5) / 5)
    assert json.dumps(found.to_dict())


@settings(max_examples=40)
@given(answers, st.randoms(use_true_random=False))
def test_a_curve_ends_at_the_error_rate_whatever_the_order(pairs: Answers, random: Any) -> None:
    found = risk_coverage(*split(pairs))
    error_rate = 1 - np.mean([right for _, right in pairs])
    assert found.coverage[-1] == 1
    assert found.risk[-1] == pytest.approx(error_rate)
    assert found.best_aurc <= found.aurc + 1e-12
    assert list(found.coverage) == sorted(found.coverage)
    random.shuffle(pairs)
    turned = risk_coverage(*split(pairs))
    assert (turned.coverage, turned.risk) == (found.coverage, found.risk)
    assert turned.aurc == pytest.approx(found.aurc)


def test_equal_confidences_have_the_error_rate_as_area() -> None:
    found = risk_coverage([0.5] * 10, [True] * 7 + [False] * 3)
    assert found.aurc == pytest.approx(0.3)
    assert (found.coverage, found.risk) == ((1.0,), (pytest.approx(0.3),))


def test_an_area_with_equals_is_the_mean_over_their_orders() -> None:
    """Broken by tiny noise, equals give the same area on average."""
    generator = np.random.default_rng(0)
    confidences = generator.integers(0, 4, 40) / 4
    right = generator.random(40) < 0.6
    broken = [
        risk_coverage(confidences + 1e-6 * generator.random(40), right).aurc for _ in range(1000)
    ]
    assert risk_coverage(confidences, right).aurc == pytest.approx(np.mean(broken), abs=0.003)


@pytest.mark.parametrize(
    ("confidences", "right", "message"),
    [
        ([], [], "at least one clip"),
        ([0.5], [True, False], r"shape \(1,\) and right answers of shape \(2,\)"),
        ([0.5, math.nan], [True, False], "clip 1 is no number"),
    ],
)
def test_answers_that_cannot_be_ranked_are_refused(
    confidences: list[float], right: list[bool], message: str
) -> None:
    for measure in (correctness_auroc, risk_coverage, reliability_bins):
        with pytest.raises(ValueError, match=message):
            measure(confidences, right)


def test_a_confidence_above_1_has_no_bin() -> None:
    with pytest.raises(ValueError, match=r"from 0.5 to 1.5, expected 0 to 1"):
        reliability_bins([0.5, 1.5], [True, False])


# temperature


def test_right_probabilities_need_no_temperature() -> None:
    rows, truths = random_probabilities(5, 8000)
    found = fit_temperature(np.log(rows), truths, LABELS)
    assert found.temperature == pytest.approx(1, abs=0.05)
    assert found.nll == pytest.approx(found.nll_before, abs=1e-3)
    assert (found.at_limit, found.num_clips) == (False, 8000)
    assert json.dumps(found.to_dict())


@pytest.mark.parametrize("temperature", [0.4, 2.5])
def test_a_temperature_that_was_put_in_is_found(temperature: float) -> None:
    rows, truths = random_probabilities(6, 2000)
    plain = fit_temperature(np.log(rows), truths, LABELS).temperature
    scores = np.log(rows) * temperature + 3.0  # any constant of a row is no matter
    found = fit_temperature(scores, truths, LABELS)
    assert found.temperature == pytest.approx(plain * temperature, rel=1e-4)
    assert found.nll < found.nll_before


@settings(max_examples=10)
@given(st.integers(0, 10_000))
def test_no_other_temperature_has_a_smaller_loss(seed: int) -> None:
    rows, truths = random_probabilities(seed, 40)
    scores = 1.7 * np.log(rows)
    found = fit_temperature(scores, truths, LABELS)
    assert found.nll <= found.nll_before + 1e-9
    for temperature in np.geomspace(1 / MAX_TEMPERATURE, MAX_TEMPERATURE, 40):
        loss = calibration(apply_temperature(scores, temperature), truths, LABELS).nll
        assert found.nll <= loss + 1e-9


def test_answers_that_are_all_right_or_all_wrong_end_at_the_limit() -> None:
    scores = np.log([[0.8, 0.2], [0.3, 0.7]])
    right = fit_temperature(scores, ["happy", "sad"], LABELS[:2])
    wrong = fit_temperature(scores, ["sad", "happy"], LABELS[:2])
    assert right.at_limit and right.temperature == pytest.approx(1 / MAX_TEMPERATURE)
    assert wrong.at_limit and wrong.temperature == pytest.approx(MAX_TEMPERATURE)


def test_a_temperature_keeps_the_answer_and_moves_the_confidence() -> None:
    rows, _ = random_probabilities(7, 200)
    cool, same, warm = (apply_temperature(np.log(rows), t) for t in (0.5, 1.0, 2.0))
    assert same == pytest.approx(rows)
    for one in (cool, warm):
        assert (one.argmax(1) == rows.argmax(1)).all()
        assert one.sum(1) == pytest.approx(np.ones(200))
    assert (cool.max(1) > rows.max(1)).all() and (rows.max(1) > warm.max(1)).all()


def test_a_probability_of_0_stays_finite() -> None:
    with np.errstate(divide="ignore"):
        scores = np.log([[1.0, 0.0], [0.6, 0.4], [0.7, 0.3]])
    found = fit_temperature(scores, ["sad", "happy", "happy"], LABELS[:2])
    assert math.isfinite(found.nll) and found.temperature > 1


@pytest.mark.parametrize(
    ("scores", "temperature", "message"),
    [
        ([[0.0, -1.0]], 0.0, "temperature is 0.0"),
        ([[0.0, -1.0]], math.nan, "temperature is nan"),
        ([0.0, -1.0], 1.0, r"shape \(2,\), expected a row a clip"),
        ([[0.0, -1.0], [0.0, math.nan]], 1.0, "row 1 is"),
        ([[-math.inf, -math.inf]], 1.0, "row 0 is .* with a finite one"),
    ],
)
def test_scores_without_a_softmax_are_refused(
    scores: list[Any], temperature: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        apply_temperature(np.array(scores), temperature)


def test_what_has_no_best_temperature_is_refused() -> None:
    with pytest.raises(ValueError, match="which no temperature changes"):
        fit_temperature(np.log(np.full((3, 2), 0.5)), ["happy", "sad", "sad"], LABELS[:2])
    with pytest.raises(ValueError, match="truth fear, which is not scored"):
        fit_temperature(np.zeros((1, 2)), ["fear"], LABELS[:2])


# votes


def test_soft_figures_worked_out_by_hand() -> None:
    rows = np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0]])
    votes = [{"happy": 0.6, "sad": 0.4}, {"sad": 0.3, "neutral": 0.7}]
    found = soft_label_figures(rows, votes, LABELS[:3])
    eps = np.finfo(np.float64).eps
    first = -(0.6 * math.log(0.7) + 0.4 * math.log(0.2))
    second = -(0.3 * math.log(0.5) + 0.7 * math.log(eps))
    assert found.cross_entropy == pytest.approx((first + second) / 2)
    assert found.brier == pytest.approx((0.01 + 0.04 + 0.01 + 0.25 + 0.04 + 0.49) / 2)
    assert found.expected_accuracy == pytest.approx((0.6 + 0.0) / 2)
    assert found.human_ceiling == pytest.approx((0.6 + 0.7) / 2)
    assert found.agreement_distance == pytest.approx((0.1 + 0.5) / 2)
    assert found.agreement_ece is None, "2 clips have no calibration error"
    assert json.dumps(found.to_dict())


shares = st.lists(st.floats(0, 1), min_size=3, max_size=3).filter(lambda row: sum(row) > 0.01)


@settings(max_examples=40)
@given(st.lists(st.tuples(shares, shares), min_size=1, max_size=8))
def test_soft_figures_keep_their_bounds(pairs: list[tuple[list[float], list[float]]]) -> None:
    rows, votes = (np.array(column) for column in zip(*pairs, strict=True))
    rows, votes = (one / one.sum(1, keepdims=True) for one in (rows, votes))
    named = [dict(zip(LABELS, row, strict=False)) for row in votes.tolist()]
    found = soft_label_figures(rows, named, LABELS[:3])
    assert found.cross_entropy >= found.vote_entropy - 1e-9
    assert 0 <= found.jensen_shannon <= math.log(2)
    assert 0 <= found.brier <= 2 + 1e-9
    assert found.expected_accuracy <= found.human_ceiling + 1e-12
    perfect = soft_label_figures(votes, named, LABELS[:3])
    assert (perfect.jensen_shannon, perfect.brier) == pytest.approx((0, 0), abs=1e-9)
    assert perfect.cross_entropy == pytest.approx(perfect.vote_entropy)
    assert perfect.expected_accuracy == pytest.approx(perfect.human_ceiling)


def test_the_divergence_is_that_of_scipy() -> None:
    distance = pytest.importorskip(
        "scipy.spatial.distance", reason="NOT CHECKED: scipy is not installed"
    )
    rows, _ = random_probabilities(8, 50)
    votes, _ = random_probabilities(9, 50)
    named = [dict(zip(LABELS, row, strict=True)) for row in votes.tolist()]
    expected = np.mean(
        [distance.jensenshannon(p, v) ** 2 for p, v in zip(rows, votes, strict=True)]
    )
    found = soft_label_figures(rows, named, LABELS)
    assert found.jensen_shannon == pytest.approx(expected)


def test_votes_of_one_annotator_give_the_usual_figures() -> None:
    rows, truths = random_probabilities(10, 1200)
    found = soft_label_figures(rows, [{truth: 1.0} for truth in truths], LABELS)
    usual = calibration(rows, truths, LABELS)
    assert (found.cross_entropy, found.brier) == pytest.approx((usual.nll, usual.brier))
    assert found.agreement_ece == pytest.approx(usual.ece)
    assert (found.human_ceiling, found.vote_entropy) == (1, 0)


def test_confidences_that_are_the_agreement_have_no_agreement_error() -> None:
    rows, _ = random_probabilities(11, 1000)
    votes = [dict(zip(LABELS, row, strict=True)) for row in rows.tolist()]
    found = soft_label_figures(rows, votes, LABELS)
    assert found.agreement_ece == pytest.approx(0, abs=1e-12)
    assert found.agreement_distance == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("rows", "votes", "message"),
    [
        ([], [], "no clip with votes"),
        ([[0.5, 0.5]], [{"fear": 1.0}], "votes for fear, expected only happy, sad"),
        ([[0.5, 0.5]], [{"happy": 0.5}], "votes, row 0 .* adds up to 0.5"),
        ([[0.5, 0.6]], [{"happy": 1.0}], "probabilities, row 0 .* adds up to 1.1"),
        ([[0.5, 0.5]] * 2, [{"happy": 1.0}], r"shape \(2, 2\), expected \(1, 2\)"),
        ([[0.5, 0.5]], [{"happy": 3.0, "sad": -2.0}], "at least 0"),
    ],
)
def test_votes_that_are_no_shares_are_refused(
    rows: list[list[float]], votes: list[dict[str, float]], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        soft_label_figures(np.array(rows), votes, LABELS[:2])
