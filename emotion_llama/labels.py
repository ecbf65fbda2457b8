"""Emotion names: which sets exist, in which order, under which aliases, and text -> label.

Knows: label sets and how a written answer names one. Does not know: prompts, models, scores.
An answer that names no label, or more than one, is ``None``; nothing is ever mapped to neutral.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

ALIASES: Mapping[str, str] = {
    "anger": "angry",
    "happiness": "happy",
    "joy": "happy",
    "joyful": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "fearful": "fear",
    "afraid": "fear",
    "scared": "fear",
    "disgusted": "disgust",
    "contemptuous": "contempt",
    "worry": "worried",
    "doubtful": "doubt",
}
"""Other written forms of a label; a form counts only where its target is on offer."""

VALENCE: Mapping[str, float] = {
    "happy": 1.0,
    "neutral": 0.0,
    "surprise": 0.0,
    "doubt": 0.0,
    "angry": -1.0,
    "sad": -1.0,
    "worried": -1.0,
    "fear": -1.0,
    "disgust": -1.0,
    "contempt": -1.0,
}
"""Sign of each emotion for ``valence``: +1 pleasant, -1 unpleasant, 0 neither or either."""


@dataclass(frozen=True)
class LabelSet:
    """An ordered set of emotion names that a prompt offers or a benchmark scores.

    The order is part of the set: the published model answers differently when the same labels are
    offered in another order.
    """

    name: str
    labels: tuple[str, ...]
    aliases: Mapping[str, str] = field(default_factory=lambda: ALIASES)

    def __post_init__(self) -> None:
        repeated = {label for label in self.labels if self.labels.count(label) > 1}
        if repeated or not self.labels:
            msg = (
                f"label set {self.name!r} has {len(self.labels)} labels and repeats "
                f"{sorted(repeated)}; give at least one label, each once"
            )
            raise ValueError(msg)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __len__(self) -> int:
        return len(self.labels)


MERR = LabelSet(
    "merr",
    ("happy", "sad", "neutral", "angry", "worried", "surprise", "fear", "contempt", "doubt"),
)
"""Nine labels in the order of the published training prompt (docs/published-model.md)."""

MER2023 = LabelSet("mer2023", ("neutral", "angry", "happy", "sad", "worried", "surprise"))
"""Six labels scored by the MER2023 challenge."""

DFEW = LabelSet("dfew", ("happy", "sad", "neutral", "angry", "surprise", "disgust", "fear"))
"""Seven labels of DFEW (Jiang et al., 2020), in the order of the data set."""

MINI = LabelSet(
    "mini", ("neutral", "happy", "angry", "sad", "surprise", "fear", "disgust", "contempt")
)
"""Eight labels that the ``mini`` preset is trained on."""

LABEL_SETS: Mapping[str, LabelSet] = {s.name: s for s in (MERR, MER2023, DFEW, MINI)}


def label_set(labels: str | LabelSet | Sequence[str]) -> LabelSet:
    """Give the label set for a set's name, a comma-separated list or a sequence of names.

    Raises:
        ValueError: one word that is no set's name, an empty list or a repeated label
    """
    if isinstance(labels, LabelSet):
        return labels
    if isinstance(labels, str):
        if labels in LABEL_SETS:
            return LABEL_SETS[labels]
        words = [word.strip() for word in labels.split(",") if word.strip()]
        if len(words) < 2:
            msg = (
                f"{labels!r} is no label set; expected one of {', '.join(LABEL_SETS)} "
                "or a comma-separated list of at least two labels"
            )
            raise ValueError(msg)
        return LabelSet("custom", tuple(words))
    return LabelSet("custom", tuple(labels))


def parse_label(text: str, labels: LabelSet) -> str | None:
    """Find the one label that an answer names.

    Args:
        text: what the language model wrote
        labels: the labels on offer

    Returns:
        the label, or ``None`` when the answer names no offered label or more than one
    """
    forms = {label.lower(): label for label in labels.labels}
    forms |= {
        form: target
        for form, target in labels.aliases.items()
        if target in labels.labels and form not in forms
    }
    longest_first = sorted(forms, key=len, reverse=True)
    pattern = r"(?<!\w)(" + "|".join(re.escape(form) for form in longest_first) + r")(?!\w)"
    found = {forms[match] for match in re.findall(pattern, text.lower())}
    return found.pop() if len(found) == 1 else None


def valence(probabilities: Mapping[str, float]) -> float | None:
    """Give the expected pleasantness in [-1, 1]: the sum of p(label) x VALENCE[label].

    Returns:
        the value, or ``None`` when a label has no stated sign (nothing is guessed)
    """
    if any(label not in VALENCE for label in probabilities):
        return None
    return sum(p * VALENCE[label] for label, p in probabilities.items())
