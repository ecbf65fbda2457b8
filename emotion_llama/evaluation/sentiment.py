"""Sentiment values or words, true and answered -> the usual figures; valence of probabilities.

Knows: the rules of CMU-MOSI, CMU-MOSEI, CH-SIMS, MER-UniBench and MER2023. Does not know: files,
models. A clip without a value is wrong where classes are counted and left out where distances are
measured, and counted either way.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_llama.evaluation.metrics import label_figures
from emotion_llama.labels import valence

SENTIMENTS = ("negative", "neutral", "positive")

VALENCE_WEIGHT = 0.25
"""Weight of the squared error of valence in MER2023's combined figure (Lian et al. 2023)."""

_SIMS_EDGES: Mapping[int, tuple[float, ...]] = {3: (-0.1, 0.1), 5: (-0.7, -0.1, 0.1, 0.7)}
"""Where the classes of CH-SIMS part, as in MMSA; a value on an edge belongs to the class below."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class TwoWay:
    """Figures over two classes."""

    accuracy: float
    weighted_f1: float
    num_clips: int


@dataclass(frozen=True)
class SentimentFigures:
    """Figures of predicted values, as MMSA (Mao et al. 2022) computes them.

    Two classes come in three readings, which papers do not always name.
    """

    non_negative: TwoWay
    """negative against non-negative: value < 0 or >= 0"""
    without_zeros: TwoWay | None
    """negative against positive over the clips whose truth is not 0; an answer of 0 is negative;
    ``None``: all truths are 0"""
    non_positive: TwoWay
    """non-positive against positive, the two classes of CH-SIMS"""
    acc3: float | None
    acc5: float | None
    acc7: float | None
    """``None``: a range of -1 to 1 has no seven classes, and one that is neither this nor -3 to 3
    has no classes at all"""
    mae: float | None
    """mean distance, in units of the protocol; ``None``: no clip has a value"""
    correlation: float | None
    """Pearson; ``None`` where fewer than two clips have a value, or all have the same"""
    num_clips: int
    num_without_value: int
    """wrong in the accuracies and F1, left out of distance and correlation"""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class SentimentWordFigures:
    """MER-UniBench's figures of the words positive, negative and neutral."""

    weighted_f1: float
    accuracy: float
    num_clips: int
    """whose truth is not 0"""
    num_zeros: int
    """clips left out because their truth is 0"""
    num_neutral: int
    """answers "neutral"; they are wrong"""
    num_unparsed: int
    """answers without one of the words; they are wrong"""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


@dataclass(frozen=True)
class CombinedFigures:
    """MER2023's figure of labels and valence together (tracks MULTI and NOISE)."""

    combined: float | None
    """weighted F1 - `VALENCE_WEIGHT` x squared error; ``None``: no clip has both valences"""
    weighted_f1: float
    valence_mse: float | None
    num_clips: int
    """with a true and a predicted valence"""
    num_without_truth: int
    num_without_value: int
    """clips with a true valence, but none predicted; a system that often gives none looks good"""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


def sentiment_figures(
    values: Sequence[float | None], truths: Sequence[float], value_range: tuple[float, float]
) -> SentimentFigures:
    """Give the figures of predicted values.

    Classes of a range of -3 to 3 (CMU-MOSI, CMU-MOSEI): both values are cut to [-3, 3] for seven
    classes, [-2, 2] for five, [-1, 1] for three, and rounded to whole numbers, halves to the even
    one. Classes of a range of -1 to 1 (CH-SIMS): parted at -0.1 and 0.1 for three, at -0.7, -0.1,
    0.1 and 0.7 for five. Other ranges have no such classes. Distance and correlation are of the
    values as they are, not cut.

    Args:
        values: predicted, n of them; ``None`` where there is none
        truths: in the same order
        value_range: smallest and largest truth of the protocol

    Raises:
        ValueError: no clip, another number of values, a value that is no number
    """
    predicted, true = _arrays(values, truths)
    acc = {size: _class_accuracy(predicted, true, value_range, size) for size in (3, 5, 7)}
    stated = ~np.isnan(predicted)
    distances = np.abs(predicted - true)[stated]
    zeros = true == 0
    return SentimentFigures(
        non_negative=_two_way(predicted >= 0, true >= 0, stated),
        without_zeros=None
        if zeros.all()
        else _two_way((predicted > 0)[~zeros], (true > 0)[~zeros], stated[~zeros]),
        non_positive=_two_way(predicted > 0, true > 0, stated),
        acc3=acc[3],
        acc5=acc[5],
        acc7=acc[7],
        mae=float(distances.mean()) if stated.any() else None,
        correlation=_correlation(predicted[stated], true[stated]),
        num_clips=len(true),
        num_without_value=int((~stated).sum()),
    )


def sentiment_word_figures(
    answers: Sequence[str | None], truths: Sequence[float]
) -> SentimentWordFigures:
    """Score answers in words as MER-UniBench does (AffectGPT, Lian et al., ICML 2025).

    A truth below 0 is negative, one above 0 positive; clips whose truth is 0 are left out. An
    answer "neutral" stays and is wrong, like a missing one.

    Args:
        answers: one of `SENTIMENTS`, or ``None`` where none could be read
        truths: sentiment values, in the same order

    Raises:
        ValueError: no clip with a truth other than 0, another number of answers, another word
    """
    strangers = sorted({answer for answer in answers if answer is not None} - set(SENTIMENTS))
    if strangers:
        msg = f"found the answers {strangers}, expected {', '.join(SENTIMENTS)} or None"
        raise ValueError(msg)
    _require_same_number(answers, truths)
    pairs = [(a, t) for a, t in zip(answers, truths, strict=True) if t != 0]
    figures = label_figures(
        ["positive" if truth > 0 else "negative" for _, truth in pairs],
        [answer for answer, _ in pairs],
        SENTIMENTS,
    )
    return SentimentWordFigures(
        weighted_f1=figures.weighted_f1,
        accuracy=figures.accuracy,
        num_clips=len(pairs),
        num_zeros=len(truths) - len(pairs),
        num_neutral=sum(answer == "neutral" for answer, _ in pairs),
        num_unparsed=figures.num_unparsed,
    )


def value_of(probabilities: Mapping[str, float], value_range: tuple[float, float]) -> float | None:
    """Give the expected valence of label probabilities, in the units of a protocol.

    Valence 0 stays 0; 1 becomes the largest truth, -1 the smallest.

    Args:
        probabilities: label -> probability; they add up to 1
        value_range: smallest and largest truth of the protocol

    Returns:
        the value, or ``None`` where a label has no stated sign or there are no probabilities

    Raises:
        ValueError: the range does not hold 0 inside
    """
    low, high = value_range
    if not low < 0 < high:
        msg = f"found the range {low:g} to {high:g}, expected one from below 0 to above 0"
        raise ValueError(msg)
    sign = valence(probabilities) if probabilities else None
    if sign is None:
        return None
    return sign * (high if sign > 0 else -low)


def combined_figures(
    weighted_f1: float, values: Sequence[float | None], truths: Sequence[float | None]
) -> CombinedFigures:
    """Give MER2023's combined figure: weighted F1 - 0.25 x mean squared error of valence.

    Args:
        weighted_f1: of the labels, over all clips
        values: predicted valence, in the units of the truth (about -5 to 5); ``None``: there is
            none
        truths: true valence; ``None``: unknown

    Raises:
        ValueError: another number of values than truths
    """
    _require_same_number(values, truths)
    pairs = list(zip(values, truths, strict=True))
    errors = [(v - t) ** 2 for v, t in pairs if v is not None and t is not None]
    mse = sum(errors) / len(errors) if errors else None
    return CombinedFigures(
        combined=None if mse is None else weighted_f1 - VALENCE_WEIGHT * mse,
        weighted_f1=weighted_f1,
        valence_mse=mse,
        num_clips=len(errors),
        num_without_truth=sum(truth is None for truth in truths),
        num_without_value=sum(v is None and t is not None for v, t in pairs),
    )


def _arrays(values: Sequence[float | None], truths: Sequence[float]) -> tuple[Numbers, Numbers]:
    """Give values, NaN where there is none, and truths."""
    if not truths:
        msg = "found no clip to score; expected at least one"
        raise ValueError(msg)
    _require_same_number(values, truths)
    stated = [value for value in values if value is not None]
    if not (np.isfinite(stated).all() and np.isfinite(truths).all()):
        msg = "found a value that is no finite number; give None where there is no value"
        raise ValueError(msg)
    return np.array(values, dtype=np.float64), np.array(truths, dtype=np.float64)


def _two_way(
    predicted: NDArray[np.bool_], true: NDArray[np.bool_], stated: NDArray[np.bool_]
) -> TwoWay:
    names = ("low", "high")
    answers = [
        names[int(value)] if is_stated else None
        for value, is_stated in zip(predicted, stated, strict=True)
    ]
    figures = label_figures([names[int(value)] for value in true], answers, names)
    return TwoWay(figures.accuracy, figures.weighted_f1, figures.num_clips)


def _class_accuracy(
    predicted: Numbers, true: Numbers, value_range: tuple[float, float], num_classes: int
) -> float | None:
    if value_range == (-3, 3):
        end = num_classes // 2
        classes = [np.round(np.clip(values, -end, end)) for values in (predicted, true)]
    elif value_range == (-1, 1) and num_classes in _SIMS_EDGES:
        edges = _SIMS_EDGES[num_classes]
        classes = [
            np.searchsorted(edges, values).astype(np.float64) for values in (predicted, true)
        ]
    else:
        return None
    return float(((classes[0] == classes[1]) & ~np.isnan(predicted)).mean())


def _correlation(values: Numbers, truths: Numbers) -> float | None:
    if len(values) < 2 or np.ptp(values) == 0 or np.ptp(truths) == 0:
        return None
    return float(np.corrcoef(values, truths)[0, 1])


def _require_same_number(values: Sequence[Any], truths: Sequence[Any]) -> None:
    if len(values) != len(truths):
        msg = f"found {len(values)} answers to {len(truths)} clips, expected one each"
        raise ValueError(msg)
