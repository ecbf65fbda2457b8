"""The same question in other orders and wordings -> how far the answers depend on them.

Knows: orders, wordings, figures over several sets of answers. Does not know: models, clips, files.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from emotion_llama.evaluation.metrics import label_figures

DEFAULT = "default"
"""Name of the order or wording that the others are held against."""

NUM_ORDERS = 5
"""Drawn orders beside the fixed ones: enough for a range, few enough to be asked of every clip."""

PHRASINGS: Mapping[str, str] = {
    "which": "Which of these emotions does the person in the video show: {labels}?",
    "choose": "Choose the one label that describes the person's emotion best: {labels}.",
    "feel": "How does the person in the video seem to feel? Answer with one of: {labels}.",
    "name": "From {labels}, name the emotion that the clip expresses.",
}
"""Name -> the emotion question in other words, with the offered labels at ``{labels}``. No model of
this project was trained with them; the default is `emotion_llama.prompt.EMOTION_QUESTION`."""

Answers = Sequence[str | None]
"""Scored label answered for each sample, ``None`` where no label could be read."""


@dataclass(frozen=True)
class VariantFigures:
    """The answers to one order or wording."""

    name: str
    accuracy: float
    """share of right answers"""
    uar: float
    """unweighted average recall, see `emotion_llama.evaluation.metrics.LabelFigures`"""
    flip_rate: float
    """share of samples that are answered otherwise than by default; that neither time a label could
    be read is no flip, that only one time it could is one"""
    num_unparsed: int
    """answers without a label; they are among the wrong ones"""


@dataclass(frozen=True)
class Spread:
    """One figure over all orders or wordings, each counted once, the default among them."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Sensitivity:
    """How far answers depend on what should not matter."""

    variants: tuple[VariantFigures, ...]
    """the default first"""
    consistency: float
    """share of samples with the same label in all variants; a sample without a label in one of them
    is not among these"""
    num_clips: int
    accuracy: Spread
    uar: Spread
    flip_rate: Spread | None
    """over all variants but the default; ``None`` where there is no other"""

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        return asdict(self)


def label_orders(
    labels: Sequence[str], num_orders: int = NUM_ORDERS, seed: int = 0
) -> dict[str, tuple[str, ...]]:
    """Give orders of labels: as they are, reversed, by the alphabet, and drawn ones.

    An order that an earlier name has already is left out: each counts once. Few labels have fewer
    orders than are asked for.

    Args:
        labels: the offered labels in their default order
        num_orders: drawn orders, beside the others
        seed: of the draws

    Returns:
        name -> order; `DEFAULT` first

    Raises:
        ValueError: a label occurs twice
    """
    default = tuple(labels)
    if len(set(default)) != len(default):
        msg = f"found the labels {', '.join(default)}, expected each once; remove the repeated one"
        raise ValueError(msg)
    fixed = {DEFAULT: default, "reversed": default[::-1], "alphabetical": tuple(sorted(default))}
    orders: dict[str, tuple[str, ...]] = {}
    for name, order in fixed.items():
        if order not in orders.values():
            orders[name] = order
    rng = np.random.default_rng(seed)
    for number in range(1, min(num_orders, math.factorial(len(default)) - len(orders)) + 1):
        drawn = default
        while drawn in orders.values():
            drawn = tuple(default[i] for i in rng.permutation(len(default)))
        orders[f"drawn {number}"] = drawn
    return orders


def sensitivity(
    answers: Mapping[str, Answers], truths: Sequence[str], scored: Sequence[str]
) -> Sensitivity:
    """Compare the answers to several variants of one question.

    Args:
        answers: name of the variant -> answers in the order of ``truths``; `DEFAULT` among them
        truths: right label of each sample
        scored: the closed list that is scored

    Raises:
        ValueError: the default is missing, or as `emotion_llama.evaluation.metrics.confusion`
    """
    if DEFAULT not in answers:
        msg = (
            f"found answers to {', '.join(answers) or 'nothing'}, expected {DEFAULT!r} among them; "
            "ask the default question too"
        )
        raise ValueError(msg)
    names = [DEFAULT, *(name for name in answers if name != DEFAULT)]
    default = answers[DEFAULT]
    variants = tuple(_figures(name, answers[name], default, truths, scored) for name in names)
    columns = list(zip(*(answers[name] for name in names), strict=True))
    steady = [None not in column and len(set(column)) == 1 for column in columns]
    return Sensitivity(
        variants=variants,
        consistency=sum(steady) / len(steady),
        num_clips=len(steady),
        accuracy=_spread([one.accuracy for one in variants]),
        uar=_spread([one.uar for one in variants]),
        flip_rate=_spread([one.flip_rate for one in variants[1:]]) if variants[1:] else None,
    )


def _figures(
    name: str,
    answers: Answers,
    default: Answers,
    truths: Sequence[str],
    scored: Sequence[str],
) -> VariantFigures:
    figures = label_figures(truths, answers, scored)
    flips = [mine != usual for mine, usual in zip(answers, default, strict=True)]
    return VariantFigures(
        name=name,
        accuracy=figures.accuracy,
        uar=figures.uar,
        flip_rate=sum(flips) / len(flips),
        num_unparsed=figures.num_unparsed,
    )


def _spread(values: Sequence[float]) -> Spread:
    return Spread(sum(values) / len(values), min(values), max(values))
