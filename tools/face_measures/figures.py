"""Figures with intervals, and the tables that show them.

Knows: bootstrap over groups, area under the curve, bins, Markdown and JSON of a table. Does not
know: pictures, faces, what is measured.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Statistic = Callable[[Floats], float]
"""Weight of each row (how often it was drawn) -> value; NaN where nothing is left."""

RESAMPLES = 2000


@dataclass(frozen=True)
class Figure:
    """A measured value; ``None`` where there was nothing to measure it on."""

    value: float | None
    interval_95: tuple[float, float] | None
    n: int
    groups: int
    """what the bootstrap drew from"""

    def to_record(self) -> dict[str, Any]:
        """Give what is written to the file."""
        bounds = None if self.interval_95 is None else list(self.interval_95)
        return {"value": self.value, "interval_95": bounds, "n": self.n, "groups": self.groups}


Cell = str | int | Figure


@dataclass(frozen=True)
class Table:
    """Rows of words and figures."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    note: str
    """what was measured on what, and what the intervals were drawn over"""

    def to_record(self) -> dict[str, Any]:
        """Give what is written to the file."""
        rows = [[c.to_record() if isinstance(c, Figure) else c for c in row] for row in self.rows]
        columns = list(self.columns)
        return {"title": self.title, "note": self.note, "columns": columns, "rows": rows}


def numbered(groups: Sequence[Hashable] | NDArray[Any]) -> NDArray[np.intp]:
    """Number the groups that rows belong to, from 0, [n]."""
    order = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([order[group] for group in groups], dtype=np.intp)


def interval(
    statistic: Statistic, groups: Sequence[Hashable] | NDArray[Any]
) -> tuple[float, float]:
    """Give the 95 % percentile bootstrap that draws whole groups, always the same way.

    Args:
        statistic: what is measured
        groups: whose each row is, [n]
    """
    number = numbered(groups)
    count = int(number.max()) + 1
    random = np.random.default_rng(0)
    values = []
    for _ in range(RESAMPLES):
        drawn = np.bincount(random.integers(0, count, count), minlength=count)
        values.append(statistic(drawn[number].astype(np.float64)))
    low, high = np.nanpercentile(values, [2.5, 97.5])
    return float(low), float(high)


def figure(statistic: Statistic, groups: Sequence[Hashable] | NDArray[Any]) -> Figure:
    """Measure over all rows, with the interval over groups [n]."""
    n = len(groups)
    value = statistic(np.ones(n)) if n else np.nan
    if np.isnan(value):
        return Figure(None, None, n, 0)
    low, high = interval(statistic, groups)
    return Figure(round(value, 4), (round(low, 4), round(high, 4)), n, len(set(groups)))


def mean(values: ArrayLike, groups: Sequence[Hashable] | NDArray[Any]) -> Figure:
    """Give the mean of values or flags [n]."""
    numbers = np.asarray(values, dtype=np.float64)

    def statistic(weights: Floats) -> float:
        total = weights.sum()
        return float(weights @ numbers / total) if total else np.nan

    return figure(statistic, groups)


def area(positive: Flags, scores: Floats, weights: Floats | None = None) -> float:
    """Give the probability that a positive scores above a negative, a tie counting half.

    Args:
        positive: which rows are positives, [n]
        scores: [n]
        weights: how often each row counts, [n]; default once

    Returns:
        area under the receiver operating characteristic; NaN without positives or negatives
    """
    weights = np.ones(len(scores)) if weights is None else weights
    _, place = np.unique(scores, return_inverse=True)
    up = np.bincount(place, weights * positive)
    down = np.bincount(place, weights * ~positive)
    if up.sum() == 0 or down.sum() == 0:
        return float("nan")
    below = np.cumsum(down) - down / 2
    return float(up @ below / (up.sum() * down.sum()))


def area_figure(
    positive: Flags, scores: Floats, groups: Sequence[Hashable] | NDArray[Any]
) -> Figure:
    """Give `area` with its interval."""
    return figure(lambda weights: area(positive, scores, weights), groups)


def in_bins(values: ArrayLike, edges: Sequence[float]) -> list[Flags]:
    """Tell for each bin which values [n] are in it.

    The lower edge belongs to a bin; the upper one to the next, to the last bin where none follows.
    """
    numbers = np.asarray(values, dtype=np.float64)
    last = len(edges) - 2
    return [
        (numbers >= low) & ((numbers < high) | ((number == last) & (numbers == high)))
        for number, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True))
    ]


def bin_names(edges: Sequence[float], unit: str) -> list[str]:
    """Name the bins of `in_bins`."""
    return [f"{low:g}-{high:g} {unit}" for low, high in zip(edges[:-1], edges[1:], strict=True)]


def most_common(names: Sequence[str], most: int = 3) -> str:
    """List names by how often they occur."""
    return ", ".join(f"{name} ({count})" for name, count in Counter(names).most_common(most))


def markdown(table: Mapping[str, Any]) -> str:
    """Render a table as `Table.to_record` gives it.

    A figure is shown as value, interval, and n; where several rows belong to one group that was
    drawn, n is followed by the number of groups.
    """
    lines = [
        f"**{table['title']}**",
        "",
        "| " + " | ".join(table["columns"]) + " |",
        "| " + " | ".join("---" for _ in table["columns"]) + " |",
    ]
    lines += ["| " + " | ".join(_shown(cell) for cell in row) + " |" for row in table["rows"]]
    return "\n".join([*lines, "", table["note"]])


def _shown(cell: Any) -> str:
    if not isinstance(cell, Mapping):
        return str(cell)
    if cell["value"] is None:
        return f"not measured, n {cell['n']}"
    low, high = cell["interval_95"]
    count = f"n {cell['n']}"
    if cell["groups"] != cell["n"]:
        count += f" of {cell['groups']}"
    return f"{cell['value']:.3f} [{low:.3f}, {high:.3f}], {count}"
