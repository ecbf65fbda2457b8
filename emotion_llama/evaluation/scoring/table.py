"""Rows of a run with one label each -> the figures of one reading of the answers.

Knows: which rows have an answer, whom intervals draw. Does not know: which sections a run has.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_llama.evaluation.blocks import Row
from emotion_llama.evaluation.metrics import (
    LabelFigures,
    confusion,
    label_figures,
    label_intervals,
)
from emotion_llama.evaluation.protocol import Protocol

FEWEST_UNITS = 10
"""Intervals draw people where at least so many are known; a bootstrap over fewer says little."""
FIGURES = ("accuracy", "uar", "weighted_f1", "macro_f1")

Section = dict[str, Any]
"""A part of ``metrics.json``; plain values."""


@dataclass(frozen=True)
class Table:
    """The rows of a run with one label each, in their order."""

    protocol: Protocol
    rows: Sequence[Row]

    @property
    def labels(self) -> tuple[str, ...]:
        """The scored labels."""
        return self.protocol.labels

    @cached_property
    def truths(self) -> list[str]:
        """Right label of each row."""
        return [str(row["target"]) for row in self.rows]

    def answers(self, field: str = "scored_label") -> list[str | None]:
        """Give an answer of each row, ``None`` where there is none."""
        return [row.get(field) for row in self.rows]

    @cached_property
    def units(self) -> list[str] | None:
        """Whom intervals draw: people, where enough are known, else ``None``: clips."""
        name = self.protocol.group_by
        found = [row["groups"].get(name) for row in self.rows] if name else []
        enough = len(set(found)) >= FEWEST_UNITS and None not in found
        return found if enough else None

    @property
    def over(self) -> str:
        """Say what intervals draw."""
        return "clips" if self.units is None else str(self.protocol.group_by)

    @cached_property
    def answered(self) -> "Table":
        """Keep the rows that have an answer."""
        return Table(self.protocol, [row for row in self.rows if row["error"] is None])

    @cached_property
    def probabilities(self) -> NDArray[np.float64] | None:
        """Of each scored label, [n x a]; ``None`` where an offered label counts as none of them."""
        table = np.zeros((len(self.rows), len(self.labels)))
        for number, row in enumerate(self.rows):
            for label, value in row["probabilities"].items():
                counted = self.protocol.scored(label)
                if counted not in self.labels:
                    return None
                table[number, self.labels.index(counted)] += value
        sums = table.sum(1, keepdims=True)
        rows: NDArray[np.float64] = table / np.where(sums == 0, 1, sums)
        return rows


def figure(table: Table, answers: Sequence[str | None]) -> Section:
    """Give the figures of answers with intervals, by label, and the confusion matrix."""
    figures = label_figures(table.truths, answers, table.labels)
    drawn = {}
    if len(set(table.units or range(len(answers)))) > 1:
        drawn = label_intervals(table.truths, answers, table.labels, groups=table.units)
    matrix = confusion(table.truths, answers, table.labels)
    return {
        "num_clips": figures.num_clips,
        "figures": {
            name: {
                "value": getattr(figures, name),
                "low": drawn[name].low if drawn else None,
                "high": drawn[name].high if drawn else None,
                "over": table.over,
            }
            for name in FIGURES
        },
        "per_label": _per_label(figures, matrix.support.tolist(), table.labels),
        "confusion": {
            "labels": list(table.labels),
            "counts": matrix.counts.tolist(),
            "outside": matrix.outside.tolist(),
            "unparsed": matrix.unparsed.tolist(),
        },
    }


def _per_label(
    figures: LabelFigures, support: Sequence[int], labels: Sequence[str]
) -> dict[str, Section]:
    rows = {}
    for label, count in zip(labels, support, strict=True):
        recall, precision = figures.recall[label], figures.precision[label]
        both = (recall or 0.0) + (precision or 0.0)
        f1 = 2 * (recall or 0.0) * (precision or 0.0) / both if both else 0.0
        rows[label] = {
            "support": count,
            "recall": recall,
            "precision": precision,
            "f1": f1 if count or precision is not None else None,
        }
    return rows


def plain(figures: LabelFigures) -> dict[str, float]:
    """Give the means of label figures alone."""
    return {name: getattr(figures, name) for name in FIGURES}
