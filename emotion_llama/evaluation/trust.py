"""Probabilities and the truth -> whether a confidence can be believed, and what to do about it.

Knows: calibration errors, ranking by confidence, temperature, votes of annotators. Does not know:
files, models, what a label means. What rests on bins is ``None`` below `MIN_ECE_CLIPS` clips, and
stands beside what chance alone would show.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_llama.evaluation.metrics import (
    ECE_BINS,
    MIN_ECE_CLIPS,
    MIN_PROBABILITY,
    SUM_TOLERANCE,
    Counts,
    Numbers,
    binned_error,
    calibration,
    equal_width_bins,
)

Flags = NDArray[np.bool_]

MAX_TEMPERATURE = 20.0
"""Largest temperature that is looked for, and the inverse of the smallest. A fit that ends there
has seen answers that are all right or no better than chance, and is no measurement."""

NUM_DRAWS = 200
"""Simulated data sets behind a perfect calibration error; as many as `metrics` draws."""

_SEARCH_STEPS = 60
"""Halvings of the range of log temperatures; 60 leave less than double precision holds."""


@dataclass(frozen=True)
class ReliabilityBin:
    """One bar of a reliability diagram; holds confidences above ``low`` up to ``high``."""

    low: float
    high: float
    num_clips: int
    confidence: float | None
    """mean confidence; ``None``: the bin is empty"""
    accuracy: float | None
    """share of right answers; ``None``: the bin is empty"""


@dataclass(frozen=True)
class RiskCoverage:
    """What share of the answers is wrong when only the most confident clips are answered.

    One point for each confidence that occurs, falling: clips of one confidence are answered
    together (Geifman and El-Yaniv 2017, section 2).
    """

    threshold: tuple[float, ...]
    """smallest confidence that is answered"""
    coverage: tuple[float, ...]
    """share of the clips that are answered; ends at 1"""
    risk: tuple[float, ...]
    """share of wrong ones among them; ends at the error rate"""
    aurc: float
    """area under the curve: mean risk over the n clips as the last one answered (Geifman, Uziel
    and El-Yaniv 2019); clips of one confidence stand in random order, averaged over all orders"""
    best_aurc: float
    """the same if every right answer were more confident than every wrong one"""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TrustFigures:
    """How far the probabilities of a run can be taken at their word."""

    ece: float | None
    """as `metrics.Calibration`: bins of equal width over the most probable label"""
    perfect_ece: float | None
    adaptive_ece: float | None
    """the same over bins of equally many clips (Nguyen and O'Connor 2015); clips of one confidence
    share a bin"""
    perfect_adaptive_ece: float | None
    """the same if these confidences were exactly right, simulated"""
    classwise_ece: float | None
    """mean of ``label_ece`` (Kull et al. 2019, section 2; called static in Nixon et al. 2019)"""
    perfect_classwise_ece: float | None
    """the same if these probabilities were exactly right, simulated"""
    label_ece: Mapping[str, float] | None
    """for each label: mean distance of its probability and its frequency, over bins of equal
    width, all clips taken"""
    nll: float
    brier: float
    auroc: float | None
    """as `correctness_auroc`"""
    aurc: float
    """as `RiskCoverage`"""
    best_aurc: float
    bins: tuple[ReliabilityBin, ...]
    """as `reliability_bins`"""
    num_clips: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class TemperatureFit:
    """One number that makes confidences fit the truth."""

    temperature: float
    """above 1: the confidences were too high; below 1: too low"""
    nll_before: float
    """mean of -log p(truth) of what was given, in nats"""
    nll: float
    """the same after the temperature; on the clips it was fitted on"""
    at_limit: bool
    """the search ended at its edge (`MAX_TEMPERATURE`): do not use the temperature"""
    num_clips: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SoftLabelFigures:
    """Probabilities against the votes of annotators; all means over clips.

    The answer is the most probable label, of equals the first; its agreement is the share of
    annotators who chose it.
    """

    cross_entropy: float
    """-sum of vote share x log p, in nats (Peterson et al. 2019)"""
    vote_entropy: float
    """smallest cross-entropy that is possible: that of the votes themselves, in nats"""
    jensen_shannon: float
    """Jensen-Shannon divergence, in nats, from 0 to log 2 = 0.693 (Lin 1991)"""
    brier: float
    """squared distance to the vote shares, summed over labels, 0 to 2"""
    agreement_ece: float | None
    """distance of confidence and agreement over `ECE_BINS` bins of equal width; ``None`` below
    `MIN_ECE_CLIPS` clips. No perfect value beside it: its noise depends on how many annotators
    voted, which shares do not tell"""
    agreement_distance: float
    """distance of confidence and agreement, clip by clip"""
    expected_accuracy: float
    """agreement: how often the answer is the label of one annotator drawn at random"""
    human_ceiling: float
    """largest ``expected_accuracy`` that any answers can have: share of annotators who chose the
    label that most of them chose. It bounds answers held against single annotators; accuracy
    against the majority label may exceed it"""
    num_clips: int

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


def trust_figures(
    probabilities: NDArray[np.floating[Any]],
    truths: Sequence[str],
    labels: Sequence[str],
    *,
    seed: int = 0,
) -> TrustFigures:
    """Give all figures of trust of one run.

    Args:
        probabilities: of each label, in the order of ``labels``, [n x a]; each row adds up to 1
        truths: right label of each clip, n of them
        labels: the labels that the columns stand for
        seed: of the simulated data sets

    Raises:
        ValueError: as `metrics.calibration`
    """
    usual = calibration(probabilities, truths, labels)
    rows = np.asarray(probabilities, dtype=np.float64)
    true = np.array([list(labels).index(truth) for truth in truths])
    confidences, right = rows.max(1), rows.argmax(1) == true
    enough = len(true) >= MIN_ECE_CLIPS
    of_labels = _label_errors(rows, true) if enough else None
    curve = risk_coverage(confidences, right)
    return TrustFigures(
        ece=usual.ece,
        perfect_ece=usual.perfect_ece,
        adaptive_ece=_adaptive_error(confidences, right) if enough else None,
        perfect_adaptive_ece=_perfect_adaptive_error(confidences, seed) if enough else None,
        classwise_ece=None if of_labels is None else float(of_labels.mean()),
        perfect_classwise_ece=_perfect_classwise_error(rows, seed) if enough else None,
        label_ece=None if of_labels is None else dict(zip(labels, of_labels.tolist(), strict=True)),
        nll=usual.nll,
        brier=usual.brier,
        auroc=correctness_auroc(confidences, right),
        aurc=curve.aurc,
        best_aurc=curve.best_aurc,
        bins=reliability_bins(confidences, right),
        num_clips=len(true),
    )


def reliability_bins(
    confidences: Sequence[float] | NDArray[np.floating[Any]],
    right: Sequence[bool] | NDArray[np.bool_],
) -> tuple[ReliabilityBin, ...]:
    """Give the `ECE_BINS` bars of a reliability diagram, at any number of clips.

    Args:
        confidences: probability of the answer of each clip, [n]
        right: whether that answer is right, [n]

    Raises:
        ValueError: no clip, unequal numbers, or a confidence outside 0 to 1
    """
    values, hits = _checked_answers(confidences, right)
    if values.min() < 0 or values.max() > 1:
        msg = f"found confidences from {values.min():g} to {values.max():g}, expected 0 to 1"
        raise ValueError(msg)
    bins = equal_width_bins(values)
    counts = np.bincount(bins, minlength=ECE_BINS)
    sums = np.bincount(bins, weights=values, minlength=ECE_BINS)
    num_right = np.bincount(bins[hits], minlength=ECE_BINS)
    return tuple(
        ReliabilityBin(
            low=number / ECE_BINS,
            high=(number + 1) / ECE_BINS,
            num_clips=int(count),
            confidence=float(total / count) if count else None,
            accuracy=float(good / count) if count else None,
        )
        for number, (count, total, good) in enumerate(zip(counts, sums, num_right, strict=True))
    )


def correctness_auroc(
    confidences: Sequence[float] | NDArray[np.floating[Any]],
    right: Sequence[bool] | NDArray[np.bool_],
) -> float | None:
    """Give how often a right answer is more confident than a wrong one; equals count half.

    This is the area under the ROC curve of "the answer is right"; 0.5 is chance.

    Args:
        confidences: of the answer of each clip, larger is surer, [n]
        right: whether that answer is right, [n]

    Returns:
        the share, or ``None`` where all answers are right or all are wrong

    Raises:
        ValueError: no clip, unequal numbers, or a confidence that is no number
    """
    values, hits = _checked_answers(confidences, right)
    wrong = np.sort(values[~hits])
    good = values[hits]
    if not len(wrong) or not len(good):
        return None
    below = np.searchsorted(wrong, good, "left") + np.searchsorted(wrong, good, "right")
    return float(below.sum() / (2 * len(wrong) * len(good)))


def risk_coverage(
    confidences: Sequence[float] | NDArray[np.floating[Any]],
    right: Sequence[bool] | NDArray[np.bool_],
) -> RiskCoverage:
    """Give the curve of what is wrong among the most confident answers.

    Args:
        confidences: of the answer of each clip, larger is surer, [n]
        right: whether that answer is right, [n]

    Raises:
        ValueError: no clip, unequal numbers, or a confidence that is no number
    """
    values, hits = _checked_answers(confidences, right)
    rising, place, sizes = np.unique(values, return_inverse=True, return_counts=True)
    errors = np.bincount(place[~hits], minlength=len(rising))[::-1]
    sizes = sizes[::-1]
    answered = np.cumsum(sizes)
    # each clip carries the mean error of its equals: the average over all their orders
    each = np.repeat(errors / sizes, sizes)
    return RiskCoverage(
        threshold=tuple(rising[::-1].tolist()),
        coverage=tuple((answered / len(values)).tolist()),
        risk=tuple((np.cumsum(errors) / answered).tolist()),
        aurc=_mean_risk(each),
        best_aurc=_mean_risk(np.sort(~hits)),
    )


def fit_temperature(
    log_probabilities: NDArray[np.floating[Any]], truths: Sequence[str], labels: Sequence[str]
) -> TemperatureFit:
    """Find the temperature with the smallest mean of -log p(truth) (Guo et al. 2017, section 4.2).

    The clips must be a development split: a temperature that is fitted on the clips it is then
    tested on makes the calibration look better than it is.

    Args:
        log_probabilities: of each label, in the order of ``labels``, [n x a]; any scores that a
            softmax turns into probabilities will do
        truths: right label of each clip, n of them
        labels: the labels that the columns stand for

    Raises:
        ValueError: as `apply_temperature` and `metrics.calibration`; all labels of every clip are
            equally probable
    """
    before = calibration(apply_temperature(log_probabilities, 1.0), truths, labels)
    rows = _log_softmax(log_probabilities)
    true = np.array([list(labels).index(truth) for truth in truths])
    surplus = rows - rows[np.arange(len(true)), true][:, None]
    if not surplus.any():
        msg = "every clip gives all labels one probability, which no temperature changes; check it"
        raise ValueError(msg)
    temperature, at_limit = _best_temperature(surplus)
    after = calibration(apply_temperature(log_probabilities, temperature), truths, labels)
    return TemperatureFit(
        temperature=temperature,
        nll_before=before.nll,
        nll=after.nll,
        at_limit=at_limit,
        num_clips=len(true),
    )


def apply_temperature(
    log_probabilities: NDArray[np.floating[Any]], temperature: float
) -> NDArray[np.float64]:
    """Give the softmax of log-probabilities divided by a temperature, [n x a].

    Args:
        log_probabilities: [n x a]; a probability below 2.2e-16, such as 0, is raised to it first
        temperature: above 0; 1 changes nothing

    Raises:
        ValueError: another shape, a value that is no number, a row without a possible label, or a
            temperature that is not above 0
    """
    if not 0 < temperature < math.inf:
        msg = f"the temperature is {temperature}, expected a number above 0"
        raise ValueError(msg)
    return _softmax(_log_softmax(log_probabilities) / temperature)


def soft_label_figures(
    probabilities: NDArray[np.floating[Any]],
    votes: Sequence[Mapping[str, float]],
    labels: Sequence[str],
) -> SoftLabelFigures:
    """Compare probabilities with the votes of annotators.

    Args:
        probabilities: of each label, in the order of ``labels``, [n x a]; each row adds up to 1
        votes: label -> share of the annotators, for each clip, adding up to 1; a label without an
            entry was chosen by none
        labels: the labels that the columns stand for

    Raises:
        ValueError: no clip, a vote for another label, or rows that are no shares
    """
    shares = _vote_shares(votes, labels)
    rows = _checked_shares(np.asarray(probabilities, np.float64), shares.shape, "probabilities")
    answers = rows.argmax(1)
    confidences, agreement = rows.max(1), shares[np.arange(len(rows)), answers]
    distance = confidences - agreement
    enough = len(rows) >= MIN_ECE_CLIPS
    return SoftLabelFigures(
        cross_entropy=float(-(shares * _safe_log(rows)).sum(1).mean()),
        vote_entropy=float(_entropy(shares).mean()),
        jensen_shannon=float(_jensen_shannon(rows, shares).mean()),
        brier=float(((rows - shares) ** 2).sum(1).mean()),
        agreement_ece=binned_error(equal_width_bins(confidences), distance) if enough else None,
        agreement_distance=float(np.abs(distance).mean()),
        expected_accuracy=float(agreement.mean()),
        human_ceiling=float(shares.max(1).mean()),
        num_clips=len(rows),
    )


def _checked_answers(
    confidences: Sequence[float] | NDArray[np.floating[Any]],
    right: Sequence[bool] | NDArray[np.bool_],
) -> tuple[Numbers, Flags]:
    values, hits = np.asarray(confidences, dtype=np.float64), np.asarray(right, dtype=np.bool_)
    if values.ndim != 1 or values.shape != hits.shape or not len(values):
        msg = (
            f"found confidences of shape {values.shape} and right answers of shape {hits.shape}, "
            "expected one each for every clip, and at least one clip"
        )
        raise ValueError(msg)
    if np.isnan(values).any():
        row = int(np.isnan(values).argmax())
        msg = f"the confidence of clip {row} is no number; leave such clips out and count them"
        raise ValueError(msg)
    return values, hits


def _checked_shares(rows: Numbers, shape: tuple[int, ...], what: str) -> Numbers:
    """Give rows that add up to exactly 1, [n x a]."""
    if rows.shape != shape:
        msg = (
            f"found {what} of shape {rows.shape}, expected {shape}: a row a clip, a column a label"
        )
        raise ValueError(msg)
    sums = rows.sum(1)
    wrong = ~((rows >= 0).all(1) & (np.abs(sums - 1) <= SUM_TOLERANCE))  # NaN is wrong too
    if wrong.any():
        row = int(wrong.argmax())
        msg = (
            f"{what}, row {row} is {rows[row].tolist()}, which adds up to {sums[row]:g}; expected "
            "shares of at least 0 that add up to 1"
        )
        raise ValueError(msg)
    checked: Numbers = rows / sums[:, None]
    return checked


def _vote_shares(votes: Sequence[Mapping[str, float]], labels: Sequence[str]) -> Numbers:
    """Give votes in the order of the labels, [n x a]."""
    if not votes:
        msg = "found no clip with votes; expected at least one"
        raise ValueError(msg)
    strangers = sorted({label for vote in votes for label in vote} - set(labels))
    if strangers:
        msg = (
            f"found votes for {', '.join(strangers)}, expected only {', '.join(labels)}; leave "
            "these clips out or score more labels"
        )
        raise ValueError(msg)
    rows = np.array([[vote.get(label, 0.0) for label in labels] for vote in votes], np.float64)
    return _checked_shares(rows, rows.shape, "votes")


def _equal_mass_bins(confidences: Numbers) -> Counts:
    """Number the bins of confidences by rank, [n]; equals take the rank of the lowest of them."""
    ranks = np.searchsorted(np.sort(confidences), confidences, "left")
    bins: Counts = ranks * ECE_BINS // len(confidences)
    return bins


def _adaptive_error(confidences: Numbers, right: Flags) -> float:
    return binned_error(_equal_mass_bins(confidences), confidences - right)


def _perfect_adaptive_error(confidences: Numbers, seed: int) -> float:
    generator = np.random.default_rng(seed)
    bins = _equal_mass_bins(confidences)
    errors = [
        binned_error(bins, confidences - (generator.random(len(bins)) < confidences))
        for _ in range(NUM_DRAWS)
    ]
    return float(np.mean(errors))


def _label_errors(rows: Numbers, true: Counts) -> Numbers:
    """Give the calibration error of each label's probability, [a]."""
    size = rows.shape[1]
    bins = equal_width_bins(rows) + ECE_BINS * np.arange(size)
    surplus = rows - np.eye(size)[true]
    sums = np.bincount(bins.ravel(), weights=surplus.ravel(), minlength=size * ECE_BINS)
    errors: Numbers = np.abs(sums).reshape(size, ECE_BINS).sum(1) / len(rows)
    return errors


def _perfect_classwise_error(rows: Numbers, seed: int) -> float:
    generator = np.random.default_rng(seed)
    ends = np.cumsum(rows, 1)
    ends /= ends[:, -1:]
    errors = []
    for _ in range(NUM_DRAWS):
        true = (generator.random((len(rows), 1)) >= ends).sum(1)  # truths drawn from the rows
        errors.append(_label_errors(rows, true).mean())
    return float(np.mean(errors))


def _mean_risk(errors: NDArray[Any]) -> float:
    """Give the mean over i of the share of errors among the first i."""
    return float((np.cumsum(errors) / np.arange(1, len(errors) + 1)).mean())


def _best_temperature(surplus: Numbers) -> tuple[float, bool]:
    """Halve the range where the slope of the loss changes its sign; the loss is convex in 1 / T.

    Args:
        surplus: log-probability of each label less that of the truth, [n x a]

    Returns:
        the temperature, and whether it is at the edge of the range
    """
    high = math.log(MAX_TEMPERATURE)
    low = -high
    for _ in range(_SEARCH_STEPS):
        middle = (low + high) / 2
        slope = (_softmax(surplus / math.exp(middle)) * surplus).sum(1).mean()  # of the loss by 1/T
        if slope > 0:
            low = middle
        else:
            high = middle
    at_limit = math.log(MAX_TEMPERATURE) - abs(middle) < 1e-9
    return math.exp(middle), at_limit


def _softmax(scores: Numbers) -> Numbers:
    powers = np.exp(scores - scores.max(1, keepdims=True))
    rows: Numbers = powers / powers.sum(1, keepdims=True)
    return rows


def _log_softmax(log_probabilities: NDArray[np.floating[Any]]) -> Numbers:
    """Give log-probabilities that are none below that of the smallest probability, [n x a]."""
    scores = np.asarray(log_probabilities, dtype=np.float64)
    if scores.ndim != 2 or not scores.size:
        msg = f"found log-probabilities of shape {scores.shape}, expected a row a clip"
        raise ValueError(msg)
    wrong = ~np.isfinite(scores.max(1))  # NaN, plus infinity, or minus infinity only
    if wrong.any():
        row = int(wrong.argmax())
        msg = f"row {row} is {scores[row].tolist()}, expected log-probabilities with a finite one"
        raise ValueError(msg)
    return _safe_log(_softmax(scores))


def _safe_log(rows: Numbers) -> Numbers:
    logarithms: Numbers = np.log(np.maximum(rows, MIN_PROBABILITY))
    return logarithms


def _entropy(rows: Numbers) -> Numbers:
    """Give the entropy of each row, in nats, [n]."""
    entropy: Numbers = -(rows * _safe_log(rows)).sum(1)
    return entropy


def _jensen_shannon(first: Numbers, second: Numbers) -> Numbers:
    """Give the divergence of each pair of rows, in nats, [n]."""
    middle = _entropy((first + second) / 2)
    divergence: Numbers = middle - (_entropy(first) + _entropy(second)) / 2
    return np.clip(divergence, 0, math.log(2))  # what rounding leaves over
