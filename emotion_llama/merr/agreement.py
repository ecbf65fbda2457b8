"""Records -> how often the rule table agrees with the labels, per label, and where it does not.

Knows: verdicts and how they are counted. Does not know: rules, faces, files.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from emotion_llama.merr.records import MerrRecord, RuleVerdict

NO_RULE, TIE = "(none)", "(tie)"
"""What stands in place of the rule table's first label: no rule fired; several fit equally."""

_COUNTED = ("agrees", "disagrees", "abstains", "unmapped", "unjudged", "total", "kept")


@dataclass(frozen=True)
class AgreementRow:
    """Records of one label, or of all."""

    label: str
    agrees: int
    disagrees: int
    abstains: int
    unmapped: int
    """the table has no rule for the label"""
    unjudged: int
    """no rule table was asked"""
    kept: int
    """records of the data set, whatever the rule table says"""

    @property
    def total(self) -> int:
        """All records of the label."""
        return self.agrees + self.disagrees + self.abstains + self.unmapped + self.unjudged


@dataclass(frozen=True)
class AgreementTable:
    """How the labels of a data set and a rule table go together."""

    tables: tuple[str, ...]
    """name and version of the rule tables that were asked; more than one: counts are mixed"""
    rows: tuple[AgreementRow, ...]
    """by label, in alphabetical order"""
    totals: AgreementRow
    num_unlabelled: int
    """records without a label: they are in no row"""
    first_labels: Mapping[str, Mapping[str, int]]
    """label -> first label of the rule table, `NO_RULE` or `TIE` -> records"""


def agreement_table(records: Iterable[MerrRecord]) -> AgreementTable:
    """Count, for every label, what the rule table says and how many records were kept."""
    tables: set[str] = set()
    says: dict[str, Counter[str]] = {}
    first: dict[str, Counter[str]] = {}
    num_unlabelled = 0
    for record in records:
        if record.verdict is not None:
            tables.add(f"{record.verdict.table} {record.verdict.version}")
        if record.label is None:
            num_unlabelled += 1
            continue
        counts = says.setdefault(record.label, Counter())
        counts[_said(record)] += 1
        counts["kept"] += record.status == "kept"
        if record.verdict is not None:
            first.setdefault(record.label, Counter())[first_label(record.verdict)] += 1
    rows = tuple(_row(label, says[label]) for label in sorted(says))
    return AgreementTable(
        tables=tuple(sorted(tables)),
        rows=rows,
        totals=_row("all", sum(says.values(), Counter())),
        num_unlabelled=num_unlabelled,
        first_labels={label: dict(sorted(first[label].items())) for label in sorted(first)},
    )


def first_label(verdict: RuleVerdict) -> str:
    """Name the label with the largest share, `TIE` where two have it, `NO_RULE` without any."""
    if not verdict.distribution:
        return NO_RULE
    largest = max(verdict.distribution.values())
    first = [label for label, share in verdict.distribution.items() if share == largest]
    return first[0] if len(first) == 1 else TIE


def _said(record: MerrRecord) -> str:
    verdict = record.verdict
    return "unjudged" if verdict is None or verdict.agreement is None else verdict.agreement


def _row(label: str, counts: Mapping[str, int]) -> AgreementRow:
    return AgreementRow(
        label=label,
        agrees=counts.get("agrees", 0),
        disagrees=counts.get("disagrees", 0),
        abstains=counts.get("abstains", 0),
        unmapped=counts.get("unmapped", 0),
        unjudged=counts.get("unjudged", 0),
        kept=counts.get("kept", 0),
    )


def render_counts(table: AgreementTable) -> str:
    """Write, for every label, what the rule table says and how many were kept, as plain text."""
    counts = [
        [row.label, *(str(getattr(row, name)) for name in _COUNTED)]
        for row in (*table.rows, table.totals)
    ]
    columns = _columns([["label", *_COUNTED], *counts])
    return f"rule table: {', '.join(table.tables) or 'none'}\n{columns}"


def render_agreement(table: AgreementTable) -> str:
    """Write the counts, and the first labels of the rule table, as plain text for people."""
    parts = [render_counts(table)]
    names = sorted({name for row in table.first_labels.values() for name in row})
    if names:
        matrix = [
            [label, *(str(row.get(name, 0)) for name in names)]
            for label, row in table.first_labels.items()
        ]
        parts += ["label against the first label of the rule table:"]
        parts += [_columns([["label", *names], *matrix])]
    if table.num_unlabelled:
        parts.append(f"without a label: {table.num_unlabelled}")
    return "\n".join(parts)


def _columns(rows: list[list[str]]) -> str:
    """Set a table in columns: the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
