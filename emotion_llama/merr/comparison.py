"""Published emotional data sets and this one side by side: what each of them holds.

Knows: the table ``tables/comparison.yaml``, shares of records. Does not know: files of data sets.
Unknown is shown as ``?``, never as no. Source: Cheng et al. 2024, Table 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from emotion_llama.merr.statistics import Statistics

if TYPE_CHECKING:
    from rich.console import RenderableType

_PACKAGED = Path(__file__).parent / "tables" / "comparison.yaml"

UNKNOWN = "?"
FULL = 0.95
"""Share of the kept records from which a field counts as held; below it the share is shown."""
THIS_SET = "this data set"

CARRIED: Mapping[str, str] = {
    "audio": "voice",
    "scene": "scene",
    "facial": "facial",
    "label": "label",
    "caption": "fine_caption",
}
"""Column of the table -> what `Statistics.carried` counts for it."""


@dataclass(frozen=True)
class ComparedSet:
    """One row of the comparison."""

    name: str
    size: str
    holds: Mapping[str, str]
    """column -> ``yes``, ``no``, ``part``, a kind of label, a share, or `UNKNOWN`"""
    how: str
    """how it was made"""
    source: str


@dataclass(frozen=True)
class Comparison:
    """The published sets."""

    columns: Mapping[str, str]
    """column -> what is asked"""
    sets: tuple[ComparedSet, ...]


class ComparedRow(BaseModel):
    """A published set as it is written in the table."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    size: str | None
    holds: Mapping[str, str | None]
    how: str | None = None
    source: str = Field(min_length=1)

    def to_record(self, columns: Mapping[str, str]) -> ComparedSet:
        """Give the set; what is not stated is unknown."""
        return ComparedSet(
            name=self.name,
            size=self.size or UNKNOWN,
            holds={column: self.holds.get(column) or UNKNOWN for column in columns},
            how=self.how or UNKNOWN,
            source=self.source,
        )


class ComparisonFile(BaseModel):
    """The table as it is written."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Mapping[str, str]
    sets: tuple[ComparedRow, ...]

    @model_validator(mode="after")
    def _has_known_columns(self) -> "ComparisonFile":
        if unknown := set(self.columns) ^ set(CARRIED):
            msg = f"columns {sorted(unknown)}: expected exactly {', '.join(CARRIED)}"
            raise ValueError(msg)
        for row in self.sets:
            if unknown := set(row.holds) - set(self.columns):
                msg = f"{row.name}: found {sorted(unknown)}, expected {', '.join(self.columns)}"
                raise ValueError(msg)
        return self


@cache
def published_sets(path: Path = _PACKAGED) -> Comparison:
    """Read the table of published sets.

    Raises:
        ValueError: the file breaks the form
    """
    try:
        file = ComparisonFile.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (yaml.YAMLError, ValidationError) as error:
        msg = f"{path.name}: found a table that cannot be read ({error}); correct it"
        raise ValueError(msg) from error
    return Comparison(file.columns, tuple(row.to_record(file.columns) for row in file.sets))


def this_set(stats: Statistics, name: str = THIS_SET) -> ComparedSet:
    """Give the row of a data set that was built here.

    A field counts as held where at least `FULL` of the kept records carry it; else its share is
    shown. A label that no person gave is ``pseudo``.
    """
    holds = {column: _held(stats, counted) for column, counted in CARRIED.items()}
    if holds["label"] == "yes" and _share(stats, "human label") < FULL:
        holds["label"] = "pseudo"
    fine, coarse = stats.carried.get("fine_caption", 0), stats.carried.get("coarse_caption", 0)
    return ComparedSet(
        name=name,
        size=f"{coarse:,} coarse, {fine:,} fine" if coarse != fine else f"{stats.num_kept:,} clips",
        holds=holds,
        how=f"measured; kept {stats.num_kept:,} of {stats.num_records:,}",
        source="statistics of its records",
    )


def _held(stats: Statistics, field: str) -> str:
    if not stats.num_kept:
        return UNKNOWN
    share = _share(stats, field)
    if share >= FULL:
        return "yes"
    # a share that is not 0 must not look like it
    return "no" if share == 0 else "< 1 %" if share < 0.01 else f"{100 * share:.0f} %"


def _share(stats: Statistics, field: str) -> float:
    return stats.carried.get(field, 0) / stats.num_kept if stats.num_kept else 0.0


def compared(stats: Statistics, name: str = THIS_SET) -> tuple[ComparedSet, ...]:
    """Give the published sets and, as the last row, the one that the statistics are of."""
    return (*published_sets().sets, this_set(stats, name))


def comparison_table(stats: Statistics, name: str = THIS_SET) -> "RenderableType":
    """Lay the comparison out for a terminal of 100 columns."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    columns = published_sets().columns
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), header_style="dim")
    for column in ("data set", "size", *columns, "how"):
        table.add_column(column, overflow="fold")
    rows = compared(stats, name)
    for row in rows:
        cells = (row.name, row.size, *(row.holds[column] for column in columns), row.how)
        table.add_row(*map(Text, cells), style="bold" if row is rows[-1] else "")
    notes = [f"{column}: {meaning}" for column, meaning in columns.items()]
    notes += [f"{UNKNOWN}: unknown or not verified; a percentage: share of the kept records"]
    return Group(
        Text("emotional data sets", style="bold"), table, Text("\n".join(notes), style="dim")
    )
