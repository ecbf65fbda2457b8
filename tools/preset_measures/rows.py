"""Figures with their number of items and 95 % intervals, as plain values for a JSON file.

Knows: when people are drawn and when items. Does not know: data sets, models.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_llama.evaluation.metrics import (
    NUM_RESAMPLES,
    bootstrap,
    label_figures,
    label_intervals,
)

FEWEST_PEOPLE = 10
"""A bootstrap over fewer people says little."""
DIGITS = 4

Row = dict[str, Any]
Rows = NDArray[np.int64]


def drawn_groups(people: Sequence[str | None]) -> list[str] | None:
    """Give the person of each item where enough are known to be drawn, else ``None``."""
    known = [person for person in people if person is not None]
    enough = len(known) == len(people) and len(set(known)) >= FEWEST_PEOPLE
    return known if enough else None


def unit(people: Sequence[str | None]) -> str:
    """Say what an interval is drawn over, ``people`` or ``items``."""
    return "items" if drawn_groups(people) is None else "people"


def num_people(people: Sequence[str | None]) -> int | None:
    """Count the people; ``None`` where somebody is not known."""
    return None if None in people or not people else len(set(people))


def rounded(value: float) -> float:
    """Round a figure as it is written."""
    return round(float(value), DIGITS)


def intervals(
    figures: Callable[[Rows], Sequence[float]],
    people: Sequence[str | None],
    num_resamples: int = NUM_RESAMPLES,
) -> list[list[float] | None]:
    """Give the interval of each figure of some rows; ``None`` where there is nothing to draw."""
    if len(people) < 2:
        return [None] * len(figures(np.arange(len(people)))) if people else []
    found = bootstrap(
        figures, len(people), groups=drawn_groups(people), num_resamples=num_resamples
    )
    return [[rounded(one.low), rounded(one.high)] for one in found]


def mean_row(values: Sequence[float], people: Sequence[str | None]) -> Row:
    """Give a mean or a share: value, interval, items, and what was drawn for the interval."""
    if len(values) == 0:
        return {"value": None, "interval_95": None, "n": 0, "over": "items"}
    numbers = np.asarray(values, dtype=np.float64)
    drawn = intervals(lambda rows: (float(numbers[rows].mean()),), people)
    return {
        "value": rounded(float(numbers.mean())),
        "interval_95": drawn[0],
        "n": len(numbers),
        "over": unit(people),
    }


def label_row(
    name: str,
    truths: Sequence[str],
    answers: Sequence[str | None],
    labels: Sequence[str],
    people: Sequence[str | None],
    *,
    failures: int = 0,
    note: str = "",
) -> Row:
    """Score labels against the truth; an answer that is ``None`` is wrong.

    Args:
        name: of the row
        truths: right label of each item
        answers: label answered
        labels: the closed list that is scored
        people: person of each item, ``None`` where unknown
        failures: items of which no answer could be had
        note: what a reader should know
    """
    figures = label_figures(truths, answers, labels)
    several = len(truths) > 1
    drawn = label_intervals(truths, answers, labels, groups=drawn_groups(people)) if several else {}
    row: Row = {
        "name": name,
        "n": len(truths),
        "groups": num_people(people),
        "resampled": unit(people),
        "labels": len(labels),
    }
    for field in ("uar", "accuracy", "weighted_f1"):
        row[field] = rounded(getattr(figures, field))
        one = drawn.get(field)
        row[f"{field}_95"] = None if one is None else [rounded(one.low), rounded(one.high)]
    recalls = _recalls(truths, answers, people)
    row["recalls"] = {label: recalls[label]["value"] for label in labels if label in recalls}
    row["recalls_95"] = {
        label: recalls[label]["interval_95"] for label in labels if label in recalls
    }
    row["counts"] = {label: recalls[label]["n"] for label in labels if label in recalls}
    return {**row, "failures": failures, "note": note}


def _recalls(
    truths: Sequence[str], answers: Sequence[str | None], people: Sequence[str | None]
) -> dict[str, Row]:
    """Score the items of each label by themselves."""
    rows = {}
    for label in dict.fromkeys(truths):
        own = [row for row, truth in enumerate(truths) if truth == label]
        rows[label] = mean_row([answers[row] == label for row in own], [people[r] for r in own])
    return rows
