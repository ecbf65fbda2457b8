"""Records -> what is in a data set, in numbers and as tables for a terminal.

Knows: counts, quantiles, agreement. Does not know: files, plots, how anything was measured.
What was not measured is in no denominator. One pass; memory grows with the labels, sources and
speakers of a data set, not with its clips.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from emotion_llama.merr.agreement import first_label
from emotion_llama.merr.records import CLUE_KINDS, LabelKind, MerrRecord

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

Counts = Mapping[str, int]
Matrix = Mapping[str, Mapping[str, int]]
"""row -> column -> records"""

LABEL_KINDS: tuple[LabelKind, ...] = ("human", "model", "rule")
SAYS = ("agrees", "disagrees", "abstains", "unmapped", "unjudged")
"""What a rule table can say to a label, and that no table was asked."""
OUTCOMES = ("passed", "failed", "unknown")
SPLITS = ("train", "dev", "test")
"""Order in which splits are told; others follow by name."""
NO_SPLIT = "(no split)"
UNSTATED = "(not stated)"
OTHER_REASONS = "(other reasons)"

MAX_REASONS = 50
"""Wordings that are counted of each missing field; a reason may hold a number of its clip."""
MARGIN_STEP = 0.001
"""Margins are counted in these steps, so that quantiles need no list of all records."""
DURATION_STEP = 0.1
"""The same for durations, in seconds."""

REPORT_WIDTH = 100
_MOST_UNITS = 14
"""Units that the table of a terminal has room for; plots and `Statistics` have all."""
_MOST_COLUMNS = 11
"""Columns of a matrix before the rest is counted: nine labels, no rule and a tie."""
_NAME_CHARS = 8
"""Letters of a column's name in a matrix, so that as many columns fit."""
_MOST_SPLITS = 4
_MOST_ROWS = 12
"""Rows of long lists before the rest is counted."""


@dataclass(frozen=True)
class Spread:
    """How values are spread; quantiles are interpolated between ranks."""

    count: int
    minimum: float
    p5: float
    median: float
    mean: float
    p95: float
    maximum: float


@dataclass(frozen=True)
class UnitShare:
    """How often an action unit is present in the records of a label."""

    present: int
    known: int
    """records of the label in which it was decided whether it is present"""
    share: float
    """present / known"""
    lift: float | None
    """share over that of all labelled records; ``None`` where the unit is never present"""


@dataclass(frozen=True)
class LabelAgreement:
    """How far the first human and the first model label of a record are equal."""

    counts: Matrix
    """human label -> model label -> records that have both"""
    num_records: int
    accuracy: float | None
    """share that is equal; ``None`` without any record"""
    kappa: float | None
    """Cohen 1960, equation 1; ``None`` without any record, or where chance agrees always"""


@dataclass(frozen=True)
class Statistics:
    """What is in a data set. Kept records only, unless a field says otherwise."""

    num_kept: int
    num_rejected: int
    reasons: Counts
    """why records were rejected (the words before a colon); one record may have several"""
    labels: Counts
    """label of the record"""
    labels_by_split: Matrix
    """split -> label"""
    labels_by_kind: Mapping[str, Counts]
    """``human``, ``model``, ``rule`` -> first label of this kind"""
    num_unlabelled: int
    clue_records: Counts
    """kind of clue -> records that have one"""
    clue_numbers: Mapping[str, Spread | None]
    """kind, and ``all`` -> clues a record"""
    lengths: Mapping[str, Spread | None]
    """``coarse`` and ``fine`` -> words of the caption"""
    words: Mapping[str, Mapping[int, int]]
    """``coarse`` and ``fine`` -> number of words -> records"""
    durations_s: Spread | None
    total_s: float
    units: Mapping[str, Mapping[str, UnitShare]]
    """label -> unit"""
    says: Matrix
    """label -> what the rule table says to it; all records that have a label"""
    first_labels: Matrix
    """label -> first label of the rule table; all records that have a label and a verdict"""
    margins: Spread | None
    """distance of the rule table's first to its second share; all records that have one"""
    num_abstained: int
    """verdicts without a label; all records"""
    num_verdicts: int
    """all records"""
    human_model: LabelAgreement
    """all records"""
    missing: Mapping[str, Counts]
    """field or kind of clue -> why it is not there -> records; all records"""
    gates: Matrix
    """gate -> outcome; all records"""
    sources: Counts
    licences: Counts
    languages: Counts
    splits: Counts
    speakers_by_split: Counts
    """split -> stated speakers"""
    num_speakers: int
    """stated speakers; those of two sources are two people"""
    num_without_speaker: int
    carried: Counts
    """what a comparison of data sets asks for -> records that have it: ``voice``, ``scene``,
    ``facial``, ``label``, ``human label``, ``fine_caption``, ``coarse_caption``"""
    num_label_conditioned: int
    """fine captions whose writer knew the label before the evidence"""
    num_supported: int
    """fine captions that name a clue for the label"""
    num_contradicted: int
    """fine captions that name a clue against it"""

    @property
    def num_records(self) -> int:
        """Kept and rejected together."""
        return self.num_kept + self.num_rejected

    def clue_share(self, kind: str) -> float | None:
        """Give the share of records that have a clue of a kind; ``None`` without any record."""
        return self.clue_records[kind] / self.num_kept if self.num_kept else None

    def to_dict(self) -> dict[str, Any]:
        """Give plain values that can be written as JSON."""
        plain = asdict(self)
        plain["words"] = {
            name: {str(words): count for words, count in counts.items()}
            for name, counts in self.words.items()
        }
        return plain


def statistics(records: Iterable[MerrRecord]) -> Statistics:
    """Count what is in a data set.

    Args:
        records: kept and rejected ones, in any order
    """
    tally = _Tally()
    for record in records:
        tally.add(record)
    return tally.result()


@dataclass
class _Tally:
    """What has been counted so far."""

    num_kept: int = 0
    num_rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    by_split: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    by_kind: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    clue_records: Counter[str] = field(default_factory=Counter)
    clue_numbers: defaultdict[str, Counter[int]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    words: defaultdict[str, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    durations: Counter[int] = field(default_factory=Counter)
    present: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    known: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    says: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    first: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    margins: Counter[int] = field(default_factory=Counter)
    numbers: Counter[str] = field(default_factory=Counter)
    human_model: defaultdict[str, Counter[str]] = field(
        default_factory=lambda: defaultdict(Counter)
    )
    missing: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    gates: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    places: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    speakers: defaultdict[str, set[tuple[str, str]]] = field(
        default_factory=lambda: defaultdict(set)
    )
    carried: Counter[str] = field(default_factory=Counter)

    def add(self, record: MerrRecord) -> None:
        """Count one record."""
        self._judged(record)
        for name, why in record.missing.items():
            seen = self.missing[name]
            seen[why if why in seen or len(seen) < MAX_REASONS else OTHER_REASONS] += 1
        for gate in record.gates:
            self.gates[gate.name][gate.outcome] += 1
        if record.status == "rejected":
            self.num_rejected += 1
            # the same gate may give two reasons, but rejects once
            self.reasons.update({reason.partition(":")[0] for reason in record.reasons})
            return
        self.num_kept += 1
        self._labelled(record)
        self._told(record)
        self._placed(record)

    def _judged(self, record: MerrRecord) -> None:
        verdict, given = record.verdict, _first_of_kinds(record)
        if verdict is not None:
            self.numbers["verdicts"] += 1
            self.numbers["abstained"] += verdict.abstains
            if verdict.margin is not None:
                self.margins[round(verdict.margin / MARGIN_STEP)] += 1
        if record.label is not None:
            said = "unjudged" if verdict is None else verdict.agreement or "unjudged"
            self.says[record.label][said] += 1
            if verdict is not None:
                self.first[record.label][first_label(verdict)] += 1
        if "human" in given and "model" in given:
            self.human_model[given["human"]][given["model"]] += 1

    def _labelled(self, record: MerrRecord) -> None:
        for kind, label in _first_of_kinds(record).items():
            self.by_kind[kind][label] += 1
        if record.label is None:
            self.numbers["unlabelled"] += 1
            return
        self.by_split[record.split or NO_SPLIT][record.label] += 1
        for unit in () if record.face is None else record.face.units:
            if unit.is_present is not None:
                self.known[record.label][unit.unit] += 1
                self.present[record.label][unit.unit] += unit.is_present

    def _told(self, record: MerrRecord) -> None:
        numbers = Counter(clue.kind for clue in record.clues)
        for kind in CLUE_KINDS:
            self.clue_records[kind] += numbers[kind] > 0
            self.clue_numbers[kind][numbers[kind]] += 1
        self.clue_numbers["all"][len(record.clues)] += 1
        caption = record.fine_caption
        if record.coarse_caption is not None:
            self.words["coarse"][len(record.coarse_caption.split())] += 1
        if caption is not None:
            self.words["fine"][len(caption.text.split())] += 1
            self.numbers["conditioned"] += caption.label_conditioned
            self.numbers["supported"] += bool(caption.supports)
            self.numbers["contradicted"] += bool(caption.contradicts)
        has = {
            "voice": bool(record.voice_description) or numbers["voice"] > 0,
            "scene": bool(record.scene_description) or numbers["scene"] > 0,
            "facial": numbers["facial"] > 0,
            "label": record.label is not None,
            "human label": any(label.kind == "human" for label in record.labels),
            "coarse_caption": bool(record.coarse_caption),
            "fine_caption": caption is not None,
        }
        for name, is_there in has.items():
            self.carried[name] += is_there

    def _placed(self, record: MerrRecord) -> None:
        source, split = record.source, record.split or NO_SPLIT
        self.places["source"][source.name] += 1
        self.places["licence"][source.licence or UNSTATED] += 1
        self.places["language"][source.language or UNSTATED] += 1
        self.places["split"][split] += 1
        if source.speaker is None:
            self.numbers["no speaker"] += 1
        else:
            self.speakers[split].add((source.name, source.speaker))
        if record.duration_s is not None:
            self.durations[round(record.duration_s / DURATION_STEP)] += 1

    def result(self) -> Statistics:
        """Give what was counted, in an order that does not depend on that of the records."""
        labels = sum(self.by_split.values(), Counter())
        return Statistics(
            num_kept=self.num_kept,
            num_rejected=self.num_rejected,
            reasons=_sorted(self.reasons),
            labels=_sorted(labels),
            labels_by_split=_matrix(self.by_split),
            labels_by_kind={kind: _sorted(self.by_kind[kind]) for kind in LABEL_KINDS},
            num_unlabelled=self.numbers["unlabelled"],
            clue_records={kind: self.clue_records[kind] for kind in CLUE_KINDS},
            clue_numbers={kind: _spread(self.clue_numbers[kind]) for kind in (*CLUE_KINDS, "all")},
            lengths={name: _spread(self.words[name]) for name in ("coarse", "fine")},
            words={name: dict(sorted(self.words[name].items())) for name in ("coarse", "fine")},
            durations_s=_spread(self.durations, DURATION_STEP),
            total_s=round(sum(n * k for n, k in self.durations.items()) * DURATION_STEP, 1),
            units=_unit_shares(self.present, self.known),
            says={
                label: {said: self.says[label][said] for said in SAYS}
                for label in sorted(self.says)
            },
            first_labels=_matrix(self.first),
            margins=_spread(self.margins, MARGIN_STEP),
            num_abstained=self.numbers["abstained"],
            num_verdicts=self.numbers["verdicts"],
            human_model=_label_agreement(self.human_model),
            missing=_matrix(self.missing),
            gates={
                gate: {outcome: self.gates[gate][outcome] for outcome in OUTCOMES}
                for gate in sorted(self.gates)
            },
            sources=_sorted(self.places["source"]),
            licences=_sorted(self.places["licence"]),
            languages=_sorted(self.places["language"]),
            splits=_sorted(self.places["split"]),
            speakers_by_split={split: len(self.speakers[split]) for split in sorted(self.speakers)},
            num_speakers=len(set().union(*self.speakers.values())),
            num_without_speaker=self.numbers["no speaker"],
            carried=_sorted(self.carried),
            num_label_conditioned=self.numbers["conditioned"],
            num_supported=self.numbers["supported"],
            num_contradicted=self.numbers["contradicted"],
        )


def _first_of_kinds(record: MerrRecord) -> dict[str, str]:
    """Give the first label of each kind."""
    first: dict[str, str] = {}
    for reading in record.labels:
        first.setdefault(reading.kind, reading.label)
    return first


def _sorted(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items()))


def _matrix(counts: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {row: _sorted(counts[row]) for row in sorted(counts)}


def _spread(counts: Mapping[int, int], step: float = 1.0) -> Spread | None:
    """Give the spread of values that were counted in whole steps."""
    values = sorted(counts)
    total = sum(counts.values())
    if not total:
        return None
    ends: list[int] = []
    for value in values:
        ends.append(counts[value] + (ends[-1] if ends else 0))

    def at(share: float) -> float:
        place = share * (total - 1)
        low, high = (
            next(value for value, end in zip(values, ends, strict=True) if end > rank)
            for rank in (int(place), min(int(place) + 1, total - 1))
        )
        return round((low + (high - low) * (place - int(place))) * step, 6)

    mean = sum(value * count for value, count in counts.items()) / total * step
    return Spread(total, at(0), at(0.05), at(0.5), round(mean, 6), at(0.95), at(1))


def _unit_shares(
    present: Mapping[str, Counter[str]], known: Mapping[str, Counter[str]]
) -> dict[str, dict[str, UnitShare]]:
    all_present, all_known = (sum(one.values(), Counter()) for one in (present, known))
    shares: dict[str, dict[str, UnitShare]] = {}
    for label in sorted(known):
        shares[label] = {}
        for unit in sorted(known[label], key=_unit_number):
            times, of = present[label][unit], known[label][unit]
            base = all_present[unit] / all_known[unit]
            lift = round(times / of / base, 6) if base else None
            shares[label][unit] = UnitShare(times, of, round(times / of, 6), lift)
    return shares


def _unit_number(unit: str) -> tuple[int, str]:
    digits = unit.removeprefix("AU")
    return (int(digits) if digits.isdigit() else 0, unit)


def _label_agreement(counts: Mapping[str, Counter[str]]) -> LabelAgreement:
    """Hold two labels of the same records against each other."""
    total = sum(sum(row.values()) for row in counts.values())
    if not total:
        return LabelAgreement({}, 0, None, None)
    equal = sum(row[label] for label, row in counts.items()) / total
    columns = sum(counts.values(), Counter())
    chance = sum(sum(row.values()) * columns[label] for label, row in counts.items()) / total**2
    kappa = None if chance == 1 else round((equal - chance) / (1 - chance), 6)
    return LabelAgreement(_matrix(counts), total, round(equal, 6), kappa)


def common_units(stats: Statistics, most: int | None = None) -> tuple[str, ...]:
    """List the units that are present in any record, by number; if need be only the most common."""
    present: Counter[str] = Counter()
    for row in stats.units.values():
        present.update({unit: share.present for unit, share in row.items() if share.present})
    chosen = sorted(present, key=lambda unit: (-present[unit], _unit_number(unit)))[:most]
    return tuple(sorted(chosen, key=_unit_number))


def by_count(counts: Mapping[str, int]) -> list[str]:
    """List names by their counts, the largest first; equals by name."""
    return sorted(counts, key=lambda name: (-counts[name], name))


def split_order(splits: Iterable[str]) -> list[str]:
    """List splits in the order of `SPLITS`, others after them by name."""
    return sorted(splits, key=lambda s: (SPLITS.index(s) if s in SPLITS else len(SPLITS), s))


def statistics_report(stats: Statistics) -> "RenderableType":
    """Lay statistics out as tables for a terminal of `REPORT_WIDTH` columns."""
    from rich.console import Group
    from rich.text import Text

    tables = [
        _overview(stats),
        _classes(stats),
        _clues(stats),
        _spreads(stats),
        _unit_table(stats),
        _agreement(stats),
        _matrix_table(
            "label (rows) and the rule table's first label (columns), all records",
            stats.first_labels,
        ),
        _matrix_table(_human_model_title(stats.human_model), stats.human_model.counts),
        _gates(stats),
        _missing(stats),
    ]
    parts: list[RenderableType] = []
    for table in tables:
        if table is not None and table.row_count:
            # a table's own title would be broken at the width of the table
            parts += [Text(str(table.title), style="bold"), table]
            table.title = None
    return Group(*parts)


def _table(title: str, *columns: str) -> "Table":
    """Begin a table: names on the left, numbers on the right."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(
        title=title,
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
        header_style="dim",
    )
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right", overflow="fold")
    return table


def _row(table: "Table", *cells: str, style: str = "") -> None:
    """Add cells as plain text: what comes from a file is no markup and no control code."""
    from rich.text import Text

    table.add_row(*(Text(_printable(cell)) for cell in cells), style=style)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _overview(stats: Statistics) -> "Table":
    table = _table("data set", "", "clips", "share")
    total = stats.num_records
    _row(table, "kept", str(stats.num_kept), _share(stats.num_kept, total))
    _row(table, "rejected", str(stats.num_rejected), _share(stats.num_rejected, total))
    for reason in by_count(stats.reasons)[:_MOST_ROWS]:
        _row(
            table,
            f"  for {reason}",
            str(stats.reasons[reason]),
            _share(stats.reasons[reason], total),
            style="dim",
        )
    _row(table, "speakers stated", str(stats.num_speakers), "")
    _row(
        table,
        "kept, speaker not stated",
        str(stats.num_without_speaker),
        _share(stats.num_without_speaker, stats.num_kept),
    )
    for name, counts in (
        ("source", stats.sources),
        ("licence", stats.licences),
        ("language", stats.languages),
    ):
        for value in by_count(counts)[:_MOST_ROWS]:
            _row(
                table, f"{name} {value}", str(counts[value]), _share(counts[value], stats.num_kept)
            )
        if len(counts) > _MOST_ROWS:
            _row(table, f"{len(counts) - _MOST_ROWS} more of {name}", "", "")
    return table


def _classes(stats: Statistics) -> "Table":
    splits = split_order(stats.labels_by_split)[:_MOST_SPLITS]
    kinds = [kind for kind in LABEL_KINDS if stats.labels_by_kind[kind]]
    table = _table(
        "labels of kept clips",
        "label",
        "clips",
        "share",
        *splits,
        *(f"by {kind}" for kind in kinds),
    )
    known = set(stats.labels).union(*(stats.labels_by_kind[kind] for kind in kinds))
    for label in by_count({label: stats.labels.get(label, 0) for label in known}):
        count = stats.labels.get(label, 0)
        _row(
            table,
            label,
            str(count),
            _share(count, stats.num_kept),
            *(str(stats.labels_by_split[split].get(label, 0)) for split in splits),
            *(str(stats.labels_by_kind[kind].get(label, 0)) for kind in kinds),
        )
    if splits:
        _row(
            table,
            "clips",
            str(stats.num_kept),
            "",
            *(str(stats.splits.get(split, 0)) for split in splits),
            *("" for _ in kinds),
            style="dim",
        )
        _row(
            table,
            "speakers stated",
            str(stats.num_speakers),
            "",
            *(str(stats.speakers_by_split.get(split, 0)) for split in splits),
            *("" for _ in kinds),
            style="dim",
        )
    return table


def _clues(stats: Statistics) -> "Table":
    table = _table("clues of kept clips", "kind", "clips with one", "share", *_SPREAD_NAMES[1:])
    for kind in (*CLUE_KINDS, "all"):
        spread = stats.clue_numbers[kind]
        with_one = stats.clue_records.get(kind)
        _row(
            table,
            kind,
            "" if with_one is None else str(with_one),
            "" if with_one is None else _share(with_one, stats.num_kept),
            *_cells(spread)[1:],
        )
    return table


_SPREAD_NAMES = ("clips", "min", "p5", "median", "mean", "p95", "max")


def _spreads(stats: Statistics) -> "Table":
    table = _table("lengths and margins", "", *_SPREAD_NAMES)
    for name, spread in (
        ("words, coarse caption", stats.lengths["coarse"]),
        ("words, fine caption", stats.lengths["fine"]),
        ("seconds of a clip", stats.durations_s),
        ("margin of the rules, all records", stats.margins),
    ):
        if spread is not None:
            _row(table, name, *_cells(spread))
    return table


def _cells(spread: Spread | None) -> list[str]:
    if spread is None:
        return ["0", *[""] * 6]
    values = (spread.minimum, spread.p5, spread.median, spread.mean, spread.p95, spread.maximum)
    return [str(spread.count), *(_number(value) for value in values)]


def _number(value: float) -> str:
    return (
        f"{value:.0f}" if value == int(value) else f"{value:.2f}" if value < 1 else f"{value:.1f}"
    )


def _unit_table(stats: Statistics) -> "Table":
    units = common_units(stats, _MOST_UNITS)
    table = _table(
        "share of a label's clips in which an action unit is present; below it the lift",
        "label",
        *(unit.removeprefix("AU") for unit in units),
    )
    for label in by_count(stats.labels) if units else ():
        row = [stats.units.get(label, {}).get(unit) for unit in units]
        _row(table, label, *("" if one is None else f"{one.share:.2f}" for one in row))
        lifts = (None if one is None else one.lift for one in row)
        _row(table, "", *("" if lift is None else f"x{lift:.1f}" for lift in lifts), style="dim")
    return table


def _agreement(stats: Statistics) -> "Table":
    table = _table("what the rule table says to a label, all records", "label", *SAYS, "agrees")
    rows = {label: sum(says.values()) for label, says in stats.says.items()}
    for label in by_count(rows):
        says = stats.says[label]
        _row(table, label, *(str(says[said]) for said in SAYS), _share(says["agrees"], rows[label]))
    if len(rows) > 1:
        every = {said: sum(says[said] for says in stats.says.values()) for said in SAYS}
        _row(
            table,
            "all",
            *(str(every[said]) for said in SAYS),
            _share(every["agrees"], sum(every.values())),
            style="dim",
        )
    return table


def _matrix_table(title: str, matrix: Matrix) -> "Table | None":
    """Lay a matrix out; columns that do not fit are left to `Statistics`."""
    if not matrix:
        return None
    totals: Counter[str] = Counter()
    for row in matrix.values():
        totals.update(row)
    columns = by_count(totals)[:_MOST_COLUMNS]
    left_out = len(totals) - len(columns)
    table = _table(
        title,
        "",
        *(name[:_NAME_CHARS] for name in columns),
        *((f"{left_out} more",) if left_out else ()),
    )
    for label in by_count({label: sum(row.values()) for label, row in matrix.items()}):
        row = matrix[label]
        cells = [str(row.get(name, 0)) for name in columns]
        rest = sum(row.values()) - sum(row.get(name, 0) for name in columns)
        _row(table, label[:_NAME_CHARS], *cells, *((str(rest),) if left_out else ()))
    return table


def _human_model_title(agreement: LabelAgreement) -> str:
    title = "human label (rows) and model label (columns), all records"
    if agreement.accuracy is None:
        return title
    kappa = "none" if agreement.kappa is None else f"{agreement.kappa:.2f}"
    return f"{title}: equal {100 * agreement.accuracy:.1f} %, kappa {kappa}"


def _gates(stats: Statistics) -> "Table":
    table = _table("quality gates, all records", "gate", *OUTCOMES)
    for gate, outcomes in stats.gates.items():
        _row(table, gate, *(str(outcomes[outcome]) for outcome in OUTCOMES))
    return table


def _missing(stats: Statistics) -> "Table":
    table = _table("what is missing, all records", "field: why", "clips", "share")
    for name, whys in stats.missing.items():
        for why in by_count(whys)[:3]:
            _row(table, f"{name}: {why}", str(whys[why]), _share(whys[why], stats.num_records))
        if len(whys) > 3:
            rest = sum(whys.values()) - sum(whys[why] for why in by_count(whys)[:3])
            _row(
                table,
                f"{name}: {len(whys) - 3} more reasons",
                str(rest),
                _share(rest, stats.num_records),
                style="dim",
            )
    return table


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.1f} %" if total else ""
