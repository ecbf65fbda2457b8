"""Answers -> figures by the rule of the published evaluation, to compare with published figures.

Knows: that rule. Does not know: files, models. The rule turns whatever it cannot read into
``neutral``, which rewards failures; the project's own figures never do so. How often it happened is
part of the result.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from emotion_llama.evaluation.metrics import LabelFigures, label_figures
from emotion_llama.labels import MER2023

FALLBACK = "neutral"
"""What the published evaluation takes an answer for that ends in none of the labels."""


@dataclass(frozen=True)
class PublishedFigures:
    """Figures by the published rule, with what the rule hides."""

    figures: LabelFigures
    """its ``weighted_f1`` is what Emotion-LLaMA reports, in places under the name macro F1"""
    num_became_neutral: int
    """answers that ended in no label"""
    num_rewarded: int
    """of these, answers to clips that are neutral: right by the rule, though nothing was read"""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


def published_label(answer: str, labels: Sequence[str] = MER2023.labels) -> str:
    """Read an answer as the published evaluation does.

    The last word between spaces is the label if it is one, written exactly so: "happy." and "Happy"
    are none. Everything else is `FALLBACK`.
    """
    return _last_label(answer, labels) or FALLBACK


def published_figures(
    truths: Sequence[str], answers: Sequence[str | None], labels: Sequence[str] = MER2023.labels
) -> PublishedFigures:
    """Give the figures of written answers by the published rule.

    Args:
        truths: right label of each clip
        answers: what the model wrote, in the same order; ``None`` where the clip was not answered,
            which stays without a label and is wrong
        labels: the closed list that is scored, with `FALLBACK` among them

    Raises:
        ValueError: no clip, another number of answers, a truth that is not scored, or a list
            without `FALLBACK`
    """
    if FALLBACK not in labels:
        msg = (
            f"found the labels {', '.join(labels)}, expected {FALLBACK!r} among them: the "
            "published rule needs it; use the project's own figures for other labels"
        )
        raise ValueError(msg)
    read = [None if answer is None else published_label(answer, labels) for answer in answers]
    figures = label_figures(truths, read, labels)
    fallen = [
        truth
        for truth, answer in zip(truths, answers, strict=True)
        if answer is not None and _last_label(answer, labels) is None
    ]
    return PublishedFigures(figures, len(fallen), fallen.count(FALLBACK))


def _last_label(answer: str, labels: Sequence[str]) -> str | None:
    words = answer.split()
    return words[-1] if words and words[-1] in labels else None
