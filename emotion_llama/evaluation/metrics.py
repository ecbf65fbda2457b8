"""Figures of answers against the truth, over a closed list of labels that is always given.

Knows: counts, means, intervals by resampling. Does not know: files, models, what a label means.
An answer without a label (``None``) is wrong and counted; it never becomes another label.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Numbers = NDArray[np.float64]

ECE_BINS = 15
"""Bins of equal width (Guo et al. 2017, section 3)."""

MIN_ECE_CLIPS = 1000
"""Fewest clips for a calibration error: with fewer, the noise of the bins alone makes several
points."""

NUM_RESAMPLES = 2000
"""Resamples of a bootstrap; the ends of a 95 % interval then rest on 50 resamples each."""

LEVEL = 0.95
"""Share of the resamples that an interval holds."""

MIN_PROBABILITY = float(np.finfo(np.float64).eps)
"""Where a probability of 0 is cut before its logarithm is taken, as scikit-learn does."""

SUM_TOLERANCE = 1e-3
"""How far a row of probabilities may be from 1; half precision rounds to about this."""


@dataclass(frozen=True)
class Confusion:
    """How often which label was answered for which; ``a`` labels."""

    labels: tuple[str, ...]
    counts: Counts
    """row: truth, column: answer, both in the order of ``labels``, [a x a]"""
    outside: Counts
    """answers that are a label, but none of ``labels``, by truth, [a]"""
    unparsed: Counts
    """answers without a label, by truth, [a]"""

    @property
    def support(self) -> Counts:
        """Clips of each truth, [a]."""
        support: Counts = self.counts.sum(1) + self.outside + self.unparsed
        return support


@dataclass(frozen=True)
class LabelFigures:
    """The usual figures of one confusion matrix, each a share between 0 and 1."""

    accuracy: float
    """share of right answers; also called weighted average recall (WAR)"""
    uar: float
    """unweighted average recall: mean over the labels that occur as truth"""
    weighted_f1: float
    """F1 of each label, weighted by how often it is the truth"""
    macro_f1: float
    """mean F1 over the labels that occur as truth or as answer"""
    num_clips: int
    num_unparsed: int
    """answers without a label; they are among the wrong ones"""
    num_outside: int
    """answers with a label that is not scored; they are among the wrong ones"""
    recall: Mapping[str, float | None]
    """``None`` where the label is never the truth"""
    precision: Mapping[str, float | None]
    """``None`` where the label is never answered"""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Interval:
    """A percentile bootstrap interval (Efron and Tibshirani 1993, section 13.3)."""

    low: float
    high: float
    level: float
    num_units: int
    """what was drawn with replacement: clips, or groups of clips such as people"""


@dataclass(frozen=True)
class Calibration:
    """Whether probabilities can be taken at their word."""

    ece: float | None
    """expected calibration error of the most probable label: mean distance of confidence and
    accuracy over `ECE_BINS` bins; ``None`` below `MIN_ECE_CLIPS` clips"""
    perfect_ece: float | None
    """the same if these confidences were exactly right, simulated: what chance alone makes"""
    nll: float
    """mean of -log p(truth), in nats"""
    brier: float
    """mean over clips of the squared distance to the truth, summed over labels, 0 to 2 (Brier
    1950)"""
    num_clips: int


def confusion(
    truths: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]
) -> Confusion:
    """Count answers by truth.

    Args:
        truths: right label of each clip
        answers: label answered, in the same order; ``None`` where no label could be read
        labels: the closed list that is scored; its order is that of the matrix

    Raises:
        ValueError: no clip, another number of answers, a repeated label, a truth that is not scored
    """
    true, answered = _coded(truths, answers, labels)
    return _confusion(true, answered, labels)


def label_figures(
    truths: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]
) -> LabelFigures:
    """Give the figures of answers; arguments and errors as of `confusion`."""
    matrix = confusion(truths, answers, labels)
    right, support = np.diag(matrix.counts), matrix.support
    answered = matrix.counts.sum(0)
    accuracy, uar, weighted, macro = _means(matrix.counts, support)
    return LabelFigures(
        accuracy=accuracy,
        uar=uar,
        weighted_f1=weighted,
        macro_f1=macro,
        num_clips=int(support.sum()),
        num_unparsed=int(matrix.unparsed.sum()),
        num_outside=int(matrix.outside.sum()),
        recall=_shares(labels, right, support),
        precision=_shares(labels, right, answered),
    )


def label_intervals(
    truths: Sequence[str],
    answers: Sequence[str | None],
    labels: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Interval]:
    """Give the interval of each mean of `LabelFigures`, by the name of its field.

    Args:
        truths: as in `confusion`
        answers: as in `confusion`
        labels: as in `confusion`
        groups: person of each clip: draws people with all their clips, which is honest where
            several clips are of one person; ``None`` draws clips
        num_resamples: how often is drawn
        level: share of the resamples inside the interval
        seed: of the draws

    Raises:
        ValueError: as `confusion` and `bootstrap`
    """
    true, answered = _coded(truths, answers, labels)
    names = ("accuracy", "uar", "weighted_f1", "macro_f1")

    def figures(rows: Counts) -> tuple[float, ...]:
        matrix = _confusion(true[rows], answered[rows], labels)
        return _means(matrix.counts, matrix.support)

    intervals = bootstrap(
        figures, len(true), groups=groups, num_resamples=num_resamples, level=level, seed=seed
    )
    return dict(zip(names, intervals, strict=True))


def bootstrap(
    figures: Callable[[Counts], Sequence[float]],
    num_clips: int,
    *,
    groups: Sequence[str] | None = None,
    num_resamples: int = NUM_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> list[Interval]:
    """Give a percentile interval of each figure over clips drawn with replacement.

    Args:
        figures: row numbers of the drawn clips -> figures; all figures share the draws, so that
            the difference of two systems may be one of them
        num_clips: clips to draw from
        groups: group of each clip; groups are then drawn, each with all its clips
        num_resamples: how often is drawn
        level: share of the resamples inside the interval
        seed: of the draws

    Raises:
        ValueError: fewer than two clips or groups, which have no spread; another number of groups
            than clips
    """
    members = _members(num_clips, groups)
    count = len(members)
    if count < 2:
        what = "clips" if groups is None else "groups"
        msg = f"found {count} {what}, expected at least 2: an interval needs several to draw from"
        raise ValueError(msg)
    generator = np.random.default_rng(seed)
    drawn = []
    for _ in range(num_resamples):
        chosen = generator.integers(0, count, count)
        rows = chosen if groups is None else np.concatenate([members[i] for i in chosen])
        drawn.append(tuple(figures(rows)))
    tail = 50 * (1 - level)
    low, high = np.percentile(np.array(drawn, dtype=np.float64), [tail, 100 - tail], axis=0)
    return [Interval(float(a), float(b), level, count) for a, b in zip(low, high, strict=True)]


def calibration(
    probabilities: NDArray[np.floating[Any]], truths: Sequence[str], labels: Sequence[str]
) -> Calibration:
    """Compare probabilities with what was right.

    Args:
        probabilities: of each label, in the order of ``labels``, [n x a]; each row adds up to 1
        truths: right label of each clip, n of them
        labels: the labels that the columns stand for

    Raises:
        ValueError: no clip, a truth that is no column, or rows that are no probabilities
    """
    rows, true = _checked(probabilities, truths, labels)
    confidences = rows.max(1)
    right = rows.argmax(1) == true
    enough = len(true) >= MIN_ECE_CLIPS
    of_truth = rows[np.arange(len(true)), true]
    target = np.eye(len(labels))[true]
    return Calibration(
        ece=_calibration_error(confidences, right) if enough else None,
        perfect_ece=perfect_calibration_error(confidences) if enough else None,
        nll=float(-np.log(np.maximum(of_truth, MIN_PROBABILITY)).mean()),
        brier=float(((rows - target) ** 2).sum(1).mean()),
        num_clips=len(true),
    )


def perfect_calibration_error(
    confidences: NDArray[np.floating[Any]], *, num_draws: int = 200, seed: int = 0
) -> float:
    """Give the mean calibration error that answers as good as their confidences would show.

    A calibration error of few clips is never 0, however good the probabilities; this is what to
    hold it against.

    Args:
        confidences: probability of the most probable label of each clip, [n]
        num_draws: simulated data sets
        seed: of the draws
    """
    generator = np.random.default_rng(seed)
    values = np.asarray(confidences, dtype=np.float64)
    errors = [
        _calibration_error(values, generator.random(len(values)) < values) for _ in range(num_draws)
    ]
    return float(np.mean(errors))


def answered_share(
    probabilities: NDArray[np.floating[Any]],
    truths: Sequence[str],
    labels: Sequence[str],
    precision: float = 0.8,
) -> float:
    """Give the largest share of clips that can be answered at a precision.

    The most confident clips are answered first; clips of one confidence are answered together.

    Args:
        probabilities: as in `calibration`, [n x a]
        truths: as in `calibration`
        labels: as in `calibration`
        precision: smallest share of right answers among the answered clips

    Raises:
        ValueError: as `calibration`
    """
    rows, true = _checked(probabilities, truths, labels)
    confidences = rows.max(1)
    order = np.argsort(-confidences, kind="stable")
    right = (rows.argmax(1) == true)[order]
    numbers = np.arange(1, len(true) + 1)
    ends = np.append(np.diff(confidences[order]) != 0, True)  # last clip of its confidence
    good = ends & (np.cumsum(right) >= precision * numbers - 1e-9)
    return float(numbers[good].max() / len(true)) if good.any() else 0.0


def top_k_accuracy(
    probabilities: NDArray[np.floating[Any]],
    truths: Sequence[str],
    labels: Sequence[str],
    k: int = 2,
) -> float:
    """Give the share of clips whose truth is among the k most probable labels.

    Of equally probable labels the one that is offered first comes first, as in a scored answer.

    Args:
        probabilities: as in `calibration`, [n x a]
        truths: as in `calibration`
        labels: as in `calibration`
        k: how many labels count, from 1 to the number of labels

    Raises:
        ValueError: as `calibration`, or another k
    """
    if not 1 <= k <= len(labels):
        msg = f"k is {k}, expected a number from 1 to {len(labels)}, the number of labels"
        raise ValueError(msg)
    rows, true = _checked(probabilities, truths, labels)
    first = np.argsort(-rows, axis=1, kind="stable")[:, :k]
    return float((first == true[:, None]).any(1).mean())


def _coded(
    truths: Sequence[str], answers: Sequence[str | None], labels: Sequence[str]
) -> tuple[Counts, Counts]:
    """Number truths and answers by label; an answer outside is a, one without a label a + 1."""
    if len(answers) != len(truths):
        msg = f"found {len(answers)} answers to {len(truths)} clips, expected one each"
        raise ValueError(msg)
    true = _numbered(truths, labels)
    places = {label: number for number, label in enumerate(labels)}
    outside = len(labels)
    codes = [outside + 1 if a is None else places.get(a, outside) for a in answers]
    return true, np.array(codes, dtype=np.int64)


def _numbered(truths: Sequence[str], labels: Sequence[str]) -> Counts:
    """Number truths by label."""
    places = {label: number for number, label in enumerate(labels)}
    if len(places) != len(labels):
        repeated = sorted({label for label in labels if list(labels).count(label) > 1})
        msg = f"the labels {repeated} occur twice in the list that is scored; give each once"
        raise ValueError(msg)
    if not truths:
        msg = "found no clip to score; expected at least one"
        raise ValueError(msg)
    unknown = sorted({truth for truth in truths if truth not in places})
    if unknown:
        msg = (
            f"found clips with the truth {', '.join(unknown)}, which is not scored; expected one "
            f"of {', '.join(labels)}; leave these clips out or score more labels"
        )
        raise ValueError(msg)
    return np.array([places[truth] for truth in truths], dtype=np.int64)


def _confusion(true: Counts, answered: Counts, labels: Sequence[str]) -> Confusion:
    size = len(labels)
    counts = np.bincount(true * (size + 2) + answered, minlength=size * (size + 2))
    table = counts.astype(np.int64).reshape(size, size + 2)
    return Confusion(tuple(labels), table[:, :size], table[:, size], table[:, size + 1])


def _means(counts: Counts, support: Counts) -> tuple[float, float, float, float]:
    """Give accuracy, mean recall, weighted F1 and macro F1 of a matrix."""
    right, answered = np.diag(counts), counts.sum(0)
    true = support > 0
    either = true | (answered > 0)
    recall = right[true] / support[true]
    f1 = 2 * right[either] / (support[either] + answered[either])
    weights = support[either] / support.sum()
    return (
        float(right.sum() / support.sum()),
        float(recall.mean()),
        float((f1 * weights).sum()),
        float(f1.mean()),
    )


def _shares(labels: Sequence[str], right: Counts, of: Counts) -> dict[str, float | None]:
    return {
        label: int(hit) / int(total) if total else None
        for label, hit, total in zip(labels, right, of, strict=True)
    }


def _members(num_clips: int, groups: Sequence[str] | None) -> list[Counts]:
    """Give the rows of each unit that is drawn."""
    if groups is None:
        return list(np.arange(num_clips, dtype=np.int64)[:, None])
    if len(groups) != num_clips:
        msg = f"found {len(groups)} groups of {num_clips} clips, expected one each"
        raise ValueError(msg)
    rows: dict[str, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return [np.array(members, dtype=np.int64) for members in rows.values()]


def _checked(
    probabilities: NDArray[np.floating[Any]], truths: Sequence[str], labels: Sequence[str]
) -> tuple[Numbers, Counts]:
    """Give probabilities in double precision, [n x a], and numbered truths."""
    true = _numbered(truths, labels)
    rows = np.asarray(probabilities, dtype=np.float64)
    if rows.shape != (len(true), len(labels)):
        msg = (
            f"found probabilities of shape {rows.shape}, expected {(len(true), len(labels))}: a "
            "row a clip, a column a label"
        )
        raise ValueError(msg)
    sums = rows.sum(1)
    wrong = ~((rows >= 0).all(1) & (np.abs(sums - 1) <= SUM_TOLERANCE))  # NaN is wrong too
    if wrong.any():
        row = int(wrong.argmax())
        msg = (
            f"row {row} is {rows[row].tolist()}, which adds up to {sums[row]:g}; expected "
            "probabilities of at least 0 that add up to 1"
        )
        raise ValueError(msg)
    return rows, true


def equal_width_bins(confidences: Numbers) -> Counts:
    """Number the bins of confidences, [n] or [n x a]; an edge belongs to the bin below it.

    As in the definition, (m - 1 / M, m / M] (Guo et al. 2017, section 3).
    """
    bins: Counts = np.clip(np.ceil(confidences * ECE_BINS).astype(np.int64) - 1, 0, ECE_BINS - 1)
    return bins


def binned_error(bins: Counts, surplus: Numbers) -> float:
    """Give the mean over bins of how far confidence is off, weighted by clips.

    Args:
        bins: of each clip, [n]
        surplus: confidence minus what was right, [n]
    """
    sums = np.bincount(bins, weights=surplus, minlength=ECE_BINS)
    return float(np.abs(sums).sum() / len(bins))


def _calibration_error(confidences: Numbers, right: NDArray[np.bool_]) -> float:
    return binned_error(equal_width_bins(confidences), confidences - right)
