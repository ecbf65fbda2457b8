"""Reference and prediction -> how far words and clues agree, counted without a judging model.

Knows: overlap of sets of emotion words, of clues read from English texts. Does not know: which
words belong together (it is given), whether a clue is true of the clip. The same input always gives
the same figures; they stand beside the scores of a judge and are on another scale.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from emotion_llama.evaluation.metrics import (
    Counts,
    Interval,
    Numbers,
    bootstrap,
)
from emotion_llama.merr.facial import ABSENT
from emotion_llama.merr.faithfulness import read_clues
from emotion_llama.merr.lexicon import OR, PRESENT_READING
from emotion_llama.merr.records import StatedClue
from emotion_llama.merr.words import words_agree

Relation = Literal["agrees", "contradicts", "open"]
"""What one text says to a clue of another; ``open``: nothing of it, or nothing that decides."""


@dataclass(frozen=True)
class WordOverlap:
    """How far the classes of predicted emotion words are those of the true words."""

    precision: float | None
    """mean over clips of the share of predicted classes that are true; 0 for a clip without a
    predicted class. ``None``: no clip can be scored, as for the other figures"""
    recall: float | None
    """mean over clips of the share of true classes that are predicted"""
    f: float | None
    """harmonic mean of these two means, not a mean over clips; 0 where both are 0"""
    intervals: Mapping[str, Interval]
    """by figure; empty with fewer than two clips or groups"""
    num_clips: int
    num_scored: int
    num_without_truth: int
    """clips whose true words have no class: not scored"""
    num_without_prediction: int
    """of the scored clips, those whose predicted words have no class"""


@dataclass(frozen=True)
class ClueAgreement:
    """How far predicted texts state the clues of reference texts."""

    recall: float | None
    """share of the clues of all references that the prediction states with a reading that agrees;
    ``None``: no clue could be read from any reference"""
    contradiction: float | None
    """share of the clues of all predictions that contradict the reference; ``None``: no clue could
    be read from any prediction"""
    intervals: Mapping[str, Interval]
    """by figure, over the clips with clues to take a share of; none with fewer than two of them"""
    num_reference_clues: int
    num_predicted_clues: int
    num_clips: int
    num_silent_references: int
    """clips from whose reference no clue could be read"""
    num_silent_predictions: int
    """clips from whose prediction no clue could be read"""
    num_both_silent: int


def word_overlap(
    truths: Sequence[Sequence[str]],
    predictions: Sequence[Sequence[str]],
    classes: Callable[[str], frozenset[str]],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> WordOverlap:
    """Compare predicted emotion words with the true ones by the classes that they belong to.

    Precision, recall and their harmonic mean as in the EW metric of AffectGPT (Lian et al. 2025)
    on one wheel: clips without a true class are left out, those without a predicted one count 0.

    Args:
        truths: emotion words of each clip, n tuples
        predictions: predicted words of each clip, in the same order
        classes: word in lower case, trimmed -> its classes; none where it is not known
        groups: person of each clip, for the intervals; see `emotion_llama.evaluation.metrics`
        seed: of the draws for the intervals

    Raises:
        ValueError: another number of predictions or groups than clips
    """
    _require_one_each(truths, predictions, groups)
    pairs = [
        (_classes(true, classes), _classes(predicted, classes))
        for true, predicted in zip(truths, predictions, strict=True)
    ]
    rows = [row for row, (true, _) in enumerate(pairs) if true]
    scored = [pairs[row] for row in rows]
    shares = np.array(
        [
            (len(true & predicted) / max(len(predicted), 1), len(true & predicted) / len(true))
            for true, predicted in scored
        ],
        dtype=np.float64,
    )

    def figures(drawn: Counts) -> tuple[float, float, float]:
        precision, recall = (float(mean) for mean in shares[drawn].mean(0))
        total = precision + recall
        return precision, recall, 2 * precision * recall / total if total else 0.0

    names = ("precision", "recall", "f")
    precision, recall, f = figures(np.arange(len(rows))) if rows else (None, None, None)
    return WordOverlap(
        precision=precision,
        recall=recall,
        f=f,
        intervals=_intervals(names, figures, rows, groups, seed),
        num_clips=len(pairs),
        num_scored=len(rows),
        num_without_truth=len(pairs) - len(rows),
        num_without_prediction=sum(not predicted for _, predicted in scored),
    )


def clue_agreement(
    references: Sequence[str],
    predictions: Sequence[str],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> ClueAgreement:
    """Read clues of face, scene, voice and words from both texts and compare them.

    Every clue counts the same, so that a clip with more clues weighs more. Only what
    `emotion_llama.merr.faithfulness.read_clues` understands is compared, which is English.

    Args:
        references: text of each clip
        predictions: text to be judged of each clip, in the same order; empty where there is none
        groups: person of each clip, for the intervals; see `emotion_llama.evaluation.metrics`
        seed: of the draws for the intervals

    Raises:
        ValueError: another number of predictions or groups than clips
    """
    _require_one_each(references, predictions, groups)
    true = [read_clues(text) for text in references]
    stated = [read_clues(text) for text in predictions]
    recall, recall_interval = _share("recall", true, stated, "agrees", groups, seed)
    contradiction, other_interval = _share(
        "contradiction", stated, true, "contradicts", groups, seed
    )
    return ClueAgreement(
        recall=recall,
        contradiction=contradiction,
        intervals={**recall_interval, **other_interval},
        num_reference_clues=sum(map(len, true)),
        num_predicted_clues=sum(map(len, stated)),
        num_clips=len(true),
        num_silent_references=sum(not clues for clues in true),
        num_silent_predictions=sum(not clues for clues in stated),
        num_both_silent=sum(not (a or b) for a, b in zip(true, stated, strict=True)),
    )


def relation(clue: StatedClue, others: Sequence[StatedClue]) -> Relation:
    """Say whether a text with the clues ``others`` agrees with a clue; one that agrees is enough.

    A clue is contradicted by another reading of the same feature, such as another degree, or by its
    denial, where no other clue of that text agrees: it may say different things of different
    moments.
    """
    found = {_relation(clue, other) for other in others if other.kind == clue.kind}
    if "agrees" in found:
        return "agrees"
    return "contradicts" if "contradicts" in found else "open"


def _relation(one: StatedClue, other: StatedClue) -> Relation:
    if one.kind == "words":
        return _relation_of_words(one, other)
    features, others = set(one.feature.split(OR)), set(other.feature.split(OR))
    if not features & others:
        return "open"
    if ABSENT in (one.reading, other.reading):
        return _relation_of_denial(one, other, features, others)
    if _is_same(one, other):
        return "agrees"
    # "AU25|AU26 strong" leaves open how strong AU25 is
    return "contradicts" if features == others else "open"


def _relation_of_words(one: StatedClue, other: StatedClue) -> Relation:
    """Compare what is said of the words; a clip has many, so that others contradict nothing."""
    if one.feature != other.feature:
        return "open"
    agrees: bool | None = one.reading == other.reading
    if one.feature == "quote" and not agrees:
        # a text may quote a part of what the other one quotes
        agrees = words_agree(one, other.reading) or words_agree(other, one.reading)
    return "agrees" if agrees else "open"


def _relation_of_denial(
    one: StatedClue, other: StatedClue, features: set[str], others: set[str]
) -> Relation:
    """Compare clues of which at least one denies that any of its features is there."""
    if one.reading == other.reading:
        return "agrees"
    denied, stated = (features, others) if one.reading == ABSENT else (others, features)
    # "AU04 or AU15" stays possible where only AU04 is denied
    return "contradicts" if stated <= denied else "open"


def _is_same(one: StatedClue, other: StatedClue) -> bool:
    """Tell whether two readings go together; one may lack the degree."""
    a, b = one.reading, other.reading
    if a is None or b is None or a == b:
        return True
    if one.kind == "facial":
        return PRESENT_READING in (a, b)
    return one.kind == "voice" and (a.endswith(f" {b}") or b.endswith(f" {a}"))


def _share(
    name: str,
    clues: Sequence[Sequence[StatedClue]],
    others: Sequence[Sequence[StatedClue]],
    wanted: Relation,
    groups: Sequence[str] | None,
    seed: int,
) -> tuple[float | None, dict[str, Interval]]:
    """Give the share of all clues to which the other text of the clip has a relation."""
    rows = [row for row, stated in enumerate(clues) if stated]
    counts: Numbers = np.array(
        [
            (sum(relation(clue, others[row]) == wanted for clue in clues[row]), len(clues[row]))
            for row in rows
        ],
        dtype=np.float64,
    )

    def share(drawn: Counts) -> tuple[float]:
        found, total = counts[drawn].sum(0)
        return (float(found / total),)

    value = share(np.arange(len(rows)))[0] if rows else None
    return value, _intervals((name,), share, rows, groups, seed)


def _classes(words: Sequence[str], classes: Callable[[str], frozenset[str]]) -> frozenset[str]:
    return frozenset().union(*(classes(word.strip().lower()) for word in words))


def _intervals(
    names: Sequence[str],
    figures: Callable[[Counts], Sequence[float]],
    rows: Sequence[int],
    groups: Sequence[str] | None,
    seed: int,
) -> dict[str, Interval]:
    """Give the interval of each figure over the clips that have one; none without a spread."""
    of_rows = None if groups is None else [groups[row] for row in rows]
    if len(set(rows if of_rows is None else of_rows)) < 2:
        return {}
    intervals = bootstrap(figures, len(rows), groups=of_rows, seed=seed)
    return dict(zip(names, intervals, strict=True))


def _require_one_each(
    truths: Sequence[object], predictions: Sequence[object], groups: Sequence[str] | None
) -> None:
    for what, found in (("predictions", predictions), ("groups", groups)):
        if found is not None and len(found) != len(truths):
            msg = f"found {len(found)} {what} of {len(truths)} clips, expected one each"
            raise ValueError(msg)
