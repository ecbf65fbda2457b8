"""Data set -> its faults: what its files say against the schema, each other and the clips.

Knows: what must hold in every record and between records. Does not know: how records are made.
It trusts no file: a line that cannot be read is a fault, and the others are still checked.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from emotion_llama.labels import MERR, LabelSet
from emotion_llama.merr.importing.published import NOT_STATED
from emotion_llama.merr.record_file import RECORDS_FILE, REJECTED_FILE, from_line, to_line
from emotion_llama.merr.records import CLUE_KINDS, ClueKind, MerrRecord

PARQUET_FILE = "records.parquet"
PRODUCERS_FILE = "producers.json"
BUILD_FILE = "build.json"

SUM_TOLERANCE = 1e-5
"""By how much shares may miss a sum of 1: twenty shares of six decimals each."""
TIME_TOLERANCE_S = 0.1
"""By how much a clue may end after its clip: containers round durations."""
SCALE_TOP: Mapping[str, float] = {"0-5": 5.0, "0-1": 1.0, "probability": 1.0}
"""Scale of action units -> its largest value; the smallest is 0."""
LABEL_ORDER = ("human", "model", "rule")
TRACED = ("label", "verdict", "face", "scene", "voice", "coarse_caption", "fine_caption")
"""Fields that need lineage where they have a value; so do the clues."""
OWN_WORDS = frozenset({"transcript", "coarse_caption", "fine_caption", "clues"})
"""Fields that repeat what somebody said; a path in them is part of the speech."""

_PATH = re.compile(r"(?:^|[\s'\"(])(?:~?/[\w.-]+/[\w./-]+|[A-Za-z]:[\\/]\w)")
_OWN_PRODUCER = "emotion_llama"
_SHOWN = 80
"""Letters of what was found that a fault repeats."""


@dataclass(frozen=True)
class Fault:
    """Something that does not hold."""

    file: str
    line: int | None
    """from 1; ``None``: the file as a whole"""
    clip_id: str | None
    rule: str
    """short name of what should hold"""
    found: str
    expected: str

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}, line {self.line}"
        clip = "" if self.clip_id is None else f", clip {self.clip_id}"
        return f"{place}{clip}: {self.rule}: found {self.found}, expected {self.expected}"


Finding = tuple[str, str]
"""What was found and what was expected."""
Check = Callable[[MerrRecord], Iterable[Finding]]


@dataclass(frozen=True)
class _Line:
    """A record that could be read, and where it stands."""

    file: str
    number: int
    record: MerrRecord

    def fault(self, rule: str, finding: Finding) -> Fault:
        found, expected = finding
        shown = found if len(found) <= 2 * _SHOWN else f"{found[: 2 * _SHOWN]}..."
        return Fault(self.file, self.number, self.record.clip_id, rule, shown, expected)


def validate(dataset_dir: Path, media_dir: Path | None = None) -> list[Fault]:
    """Check a data set.

    Args:
        dataset_dir: folder that was built
        media_dir: folder that the clips' paths begin at; given, files are checked too

    Returns:
        the faults: by record, then between records, then of other files; empty: none was found

    Raises:
        ValueError: the folder holds no records at all
    """
    if not (dataset_dir / RECORDS_FILE).is_file():
        msg = (
            f"{dataset_dir}: found no {RECORDS_FILE}, expected the folder of a data set; "
            "name the folder that `build` wrote"
        )
        raise ValueError(msg)
    faults: list[Fault] = []
    lines = list(_lines(dataset_dir, faults))
    checks = _checks(lines)
    if media_dir is not None:
        checks["media"] = partial(_check_media, media_dir)
    for line in lines:
        for rule, check in checks.items():
            faults += [line.fault(rule, finding) for finding in check(line.record)]
    faults += _between(lines)
    faults += _check_producers(dataset_dir, lines)
    faults += _check_parquet(dataset_dir, lines)
    faults += _check_counts(dataset_dir, lines)
    return faults


def _lines(dataset_dir: Path, faults: list[Fault]) -> Iterator[_Line]:
    """Read both files; what cannot be read, or is not written canonically, becomes a fault."""
    for name in (RECORDS_FILE, REJECTED_FILE):
        path = dataset_dir / name
        if not path.is_file():
            continue
        with path.open("rb") as file:
            for number, text in enumerate(file, start=1):
                try:
                    record = from_line(text, "")
                except ValueError as error:
                    found = str(error).removeprefix(": ")
                    faults.append(Fault(name, number, None, "schema", found, "a valid record"))
                    continue
                line = _Line(name, number, record)
                if to_line(record).encode() + b"\n" != text:
                    finding = ("other blanks, order or ending", "the line that `to_line` writes")
                    faults.append(line.fault("canonical form", finding))
                yield line


def _checks(lines: Iterable[_Line]) -> dict[str, Check]:
    """List the checks of single records, by the name of their rule."""
    known = {line.record.label for line in lines} | {*MERR.labels}
    labels = LabelSet("of the data set", tuple(sorted(name for name in known if name)))
    return {
        "path": check_paths,
        "label": check_label,
        "status": check_status,
        "scale": check_scales,
        "sum": check_sums,
        "clue": check_clues,
        "missing": check_missing,
        "lineage": check_lineage,
        "caption": partial(check_captions, labels=labels),
    }


def check_paths(record: MerrRecord) -> Iterator[Finding]:
    """Find paths of one machine."""
    path = record.path
    is_absolute = PurePosixPath(path).is_absolute() or PureWindowsPath(path).drive
    if not path or is_absolute or path.startswith("~") or ".." in PurePosixPath(path).parts:
        yield f"path {path!r}", "a path from the folder that was built from"
    for name, value in asdict(record).items():
        if name in OWN_WORDS | {"path", "clip_id"}:
            continue
        for text in _texts(value):
            if _PATH.search(text):
                yield f"{name}: {text!r:.{_SHOWN}}", "no path of one machine"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(key)
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)


def check_label(record: MerrRecord) -> Iterator[Finding]:
    """Hold the label against the readings: human before model before rule, the first is it."""
    kinds = [LABEL_ORDER.index(reading.kind) for reading in record.labels]
    if kinds != sorted(kinds):
        given = ", ".join(reading.kind for reading in record.labels)
        yield f"labels by {given}", f"the order {', '.join(LABEL_ORDER)}"
    given_labels = [one.label for one in record.labels if one.kind != "rule"]
    first = given_labels[0] if given_labels else None
    if record.label != first:
        yield f"label {record.label!r}", f"{first!r}, the first of labels"
    agreement = None if record.verdict is None else record.verdict.agreement
    if record.label is None and agreement is not None:
        yield f"agreement {agreement!r} without a label", "no agreement"


def check_status(record: MerrRecord) -> Iterator[Finding]:
    """Hold status, reasons and gates against each other."""
    if record.status == "kept" and record.reasons:
        yield f"a kept record with the reason {record.reasons[0]!r:.{_SHOWN}}", "no reason"
    if record.status == "rejected" and not record.reasons:
        yield "a rejected record without a reason", "at least one reason"
    failed = [gate.name for gate in record.gates if gate.outcome == "failed"]
    if record.status == "kept" and failed:
        yield f"a kept record with the failed gate {failed[0]}", "a rejected record"
    for gate in record.gates:
        if (gate.value is None) != (gate.outcome == "unknown") and gate.limit is not None:
            yield f"gate {gate.name}: {gate.outcome} with value {gate.value}", "unknown without one"


def check_scales(record: MerrRecord) -> Iterator[Finding]:
    """Find numbers outside of their scale."""
    for name, value, top in _scaled(record):
        if value is not None and not 0 <= value <= top:
            yield f"{name} {value:g}", f"0 to {top:g}"
    end = record.duration_s
    for clue in record.clues:
        span = (clue.start_s, clue.end_s)
        if None not in span and span[0] > span[1]:  # type: ignore[operator]
            yield f"clue {clue.feature} from {span[0]} to {span[1]} s", "an end after its start"
        if end is not None and (clue.end_s or 0.0) > end + TIME_TOLERANCE_S:
            yield f"clue {clue.feature} to {clue.end_s} s", f"at most the {end:g} s of the clip"


def _scaled(record: MerrRecord) -> Iterator[tuple[str, float | None, float]]:
    """Give numbers that have a scale from 0: name, value, largest value."""
    face, scene, voice = record.face, record.scene, record.voice
    if face is not None:
        top = SCALE_TOP.get(face.scale or "", float("inf"))
        for unit in face.units:
            yield f"intensity of {unit.unit}", unit.intensity, top
            yield f"confidence of {unit.unit}", unit.confidence, 1.0
        for clue in record.clues_of("facial"):
            yield f"value of clue {clue.feature}", clue.value, top
        yield "face.coverage", face.coverage, 1.0
        yield "face.score", face.score, 1.0
    if scene is not None:
        yield "scene.face_share", scene.face_share, 1.0
        yield "scene.brightness", scene.brightness, 1.0
    if voice is not None:
        yield "voice.speech_share", voice.speech_share, 1.0
    if record.verdict is not None:
        yield "verdict.margin", record.verdict.margin, 1.0


def check_sums(record: MerrRecord) -> Iterator[Finding]:
    """Find distributions whose shares do not add up to 1."""
    distributions = {
        f"probabilities of the {one.kind} label": one.probabilities for one in record.labels
    }
    if record.verdict is not None:
        distributions["the verdict's distribution"] = record.verdict.distribution
    for name, shares in distributions.items():
        if not shares:
            continue
        total = sum(shares.values())
        if abs(total - 1) > SUM_TOLERANCE or min(shares.values()) < 0:
            yield f"{name} adding up to {total:.7g}", "shares of at least 0 that add up to 1"


def check_clues(record: MerrRecord) -> Iterator[Finding]:
    """Hold facial clues against the lexicon and the measured units.

    Others have words of their own for a unit; only such as are read as another unit are a fault.
    """
    from emotion_llama.merr.facial import read_facial

    units = {unit.unit: unit for unit in (record.face.units if record.face else ())}
    for clue in record.clues_of("facial"):
        read = read_facial(clue.statement)
        named = [stated for stated in read if clue.feature in stated.feature.split("|")]
        may_be_unread = not read and _is_imported(record, "clues")
        if (not named or len(named) != len(read)) and not may_be_unread:
            says = ", ".join(stated.feature for stated in read) or "no unit"
            yield f"{clue.statement!r}, which names {says}", f"words for {clue.feature}"
        if not clue.feature.startswith("AU"):
            continue
        unit = units.get(clue.feature)
        if unit is None or not unit.is_present:
            state = "not measured" if unit is None else "not present"
            yield f"a clue of {clue.feature}, which is {state}", "a unit of the peak frame"
        elif unit.intensity != clue.value:
            yield f"{clue.feature} of {clue.value}", f"{unit.intensity}, the measured intensity"


def check_missing(record: MerrRecord) -> Iterator[Finding]:
    """Hold ``missing`` against what is there; every kind without clues needs a reason."""
    names = {one.name for one in fields(record)}
    for name, why in record.missing.items():
        # a name may be both; a kind of clue is missing where nothing is said, though measured
        kind = next((one for one in CLUE_KINDS if one == name), None)
        if kind is not None:
            is_there = bool(record.clues_of(kind))
        elif name in names:
            is_there = bool(getattr(record, name))
        else:
            yield f"{name!r} in missing", "a field or a kind of clue"
            continue
        if is_there:
            yield f"{name} in missing, though it is there", "only what is not there"
        if not why.strip():
            yield f"{name} in missing without a reason", "a reason"
    for kind in CLUE_KINDS:
        if not record.clues_of(kind) and kind not in record.missing:
            yield f"no {kind} clue and no reason", f"a reason in missing for {kind}"


def check_lineage(record: MerrRecord) -> Iterator[Finding]:
    """Find fields that have a value and no origin, and origins of what is not there."""
    for name in TRACED:
        if getattr(record, name) is not None and name not in record.lineage:
            yield f"{name} without lineage", f"an origin of {name}"
    if "clues" not in record.lineage:
        for kind in CLUE_KINDS:
            if record.clues_of(kind) and kind not in record.lineage:
                yield f"{kind} clues without lineage", f"an origin of clues or of {kind}"
    known = {one.name for one in fields(record)} | set(CLUE_KINDS)
    for name in record.lineage:
        if name not in known:
            yield f"lineage of {name!r}", "a field or a kind of clue"


def check_captions(record: MerrRecord, labels: LabelSet) -> Iterator[Finding]:
    """Hold captions against the rules by which they are rejected.

    What others wrote has no part without the label; it is only searched for failed answers.

    Args:
        record: whose captions
        labels: every label of the data set: none may stand in the evidence
    """
    from emotion_llama.merr import caption_rules as rules
    from emotion_llama.merr.faithfulness import measured

    if record.status != "kept":
        return
    for name in ("scene_description", "voice_description", "coarse_caption"):
        yield from _failed_answer(name, getattr(record, name))
    caption = record.fine_caption
    if caption is None:
        return
    if _is_imported(record, "fine_caption"):
        yield from _failed_answer("fine_caption", caption.text)
        return
    if record.label is None:
        yield "a fine caption without a label", "a label"
        return
    draft = rules.Draft(
        caption.evidence,
        caption.conclusion,
        record.label,
        labels,
        measured(record),
        described=_described_by_models(record),
    )
    for broken in rules.broken_rules(draft):
        yield f"{broken.name}: {broken.reason}", "a fine caption that breaks no rule"
    features = {clue.feature for clue in record.clues}
    for feature in (*caption.supports, *caption.contradicts):
        if feature not in features:
            yield f"the caption weighs {feature!r}", "the feature of a clue"


def _failed_answer(name: str, text: str | None) -> Iterator[Finding]:
    """Find what a model writes in place of a caption."""
    from emotion_llama.merr.caption_rules import failed_answer

    if text is not None and (reason := failed_answer(text)):
        found = reason.removeprefix("found ")
        yield f"{found} in the {name.replace('_', ' ')}", "the words of an observer"


def _is_imported(record: MerrRecord, field: str) -> bool:
    """Tell whether a field is of a file of others, which does not say how it was made."""
    origin = record.lineage.get(field)
    return origin is not None and origin.settings == NOT_STATED


def _described_by_models(record: MerrRecord) -> frozenset[ClueKind]:
    """List the kinds that a model described in words of its own, which no measure can check."""
    described: set[ClueKind] = set()
    for name, kind in (("scene_description", "scene"), ("voice_description", "voice")):
        origin = record.lineage.get(name)
        if getattr(record, name) and origin and not origin.producer.startswith(_OWN_PRODUCER):
            described.add(kind)  # type: ignore[arg-type]
    return frozenset(described)


def _check_media(media_dir: Path, record: MerrRecord) -> Iterator[Finding]:
    """Hold a record against its file."""
    import hashlib

    path = media_dir / record.path
    if not path.is_file():
        yield f"no file {record.path!r} in the folder of the clips", "the file of the clip"
    elif record.media_sha256 is not None:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != record.media_sha256:
            yield f"a file of sha256 {digest[:16]}...", f"{record.media_sha256[:16]}..."


def _between(lines: Iterable[_Line]) -> Iterator[Fault]:
    """Hold records against each other: order, ids, file, splits."""
    places: dict[str, str] = {}
    last: dict[str, str] = {}
    splits: defaultdict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for line in lines:
        record = line.record
        name = record.clip_id
        if name in places:
            yield line.fault("unique id", (f"the id again, after {places[name]}", "every id once"))
        places.setdefault(name, f"{line.file}, line {line.number}")
        if name < last.get(line.file, ""):
            found = f"{name!r} after {last[line.file]!r}"
            yield line.fault("order", (found, "records sorted by clip_id"))
        last[line.file] = name
        file = RECORDS_FILE if record.status == "kept" else REJECTED_FILE
        if line.file != file:
            yield line.fault("file", (f"a {record.status} record", f"it in {file}"))
        if record.split is not None:
            yield from _torn(line, record.split, splits)


def _torn(
    line: _Line, split: str, splits: Mapping[tuple[str, str, str], dict[str, str]]
) -> Iterator[Fault]:
    """Find a speaker or a group that is in another split already."""
    source = line.record.source
    for what, name in (("speaker", source.speaker), ("group", source.group)):
        if name is None:
            continue
        seen = splits[what, source.name, name]
        if seen and split not in seen:
            other, clip = next(iter(seen.items()))
            found = f"{what} {name!r} in {split}, and in {other} with clip {clip}"
            yield line.fault("split", (found, f"every {what} in one split"))
        seen.setdefault(split, line.record.clip_id)


def _check_producers(dataset_dir: Path, lines: Iterable[_Line]) -> Iterator[Fault]:
    """Find settings hashes that the list of producers does not explain."""
    known: Any = {}
    path = dataset_dir / PRODUCERS_FILE
    try:
        known = json.loads(path.read_bytes())
    except (OSError, ValueError):
        found = "no file that can be read"
        yield Fault(PRODUCERS_FILE, None, None, "producers", found, "settings by their hashes")
        return
    told: set[str] = set()
    for line in lines:
        for name, origin in line.record.lineage.items():
            if origin.settings not in {NOT_STATED, *known, *told}:
                told.add(origin.settings)
                finding = (f"settings {origin.settings} of {name}", f"them in {PRODUCERS_FILE}")
                yield line.fault("producers", finding)


def _check_parquet(dataset_dir: Path, lines: Iterable[_Line]) -> Iterator[Fault]:
    """Hold the table against the lines of the kept records."""
    path = dataset_dir / PARQUET_FILE
    if not path.is_file():
        return
    kept = [line for line in lines if line.file == RECORDS_FILE]
    count = 0
    try:
        for count, line in enumerate(_rows(path), start=1):
            if count > len(kept):
                continue
            own = kept[count - 1]
            if line != to_line(own.record):
                finding = (f"another record in row {count} of {PARQUET_FILE}", "the same record")
                yield own.fault("parquet", finding)
    except (OSError, ValueError) as error:
        # what pyarrow raises is one of the two
        found = f"a table that cannot be read ({error})"
        yield Fault(PARQUET_FILE, None, None, "parquet", found, "the records as a table")
        return
    if count != len(kept):
        found = f"{count} rows"
        yield Fault(PARQUET_FILE, None, None, "parquet", found, f"{len(kept)}, one a line")


def _rows(path: Path) -> Iterator[str]:
    """Give each row of a table as the line that it stands for."""
    from pyarrow import parquet

    from emotion_llama.merr.export.arrow import from_row

    for batch in parquet.ParquetFile(path).iter_batches(batch_size=256):
        for row in batch.to_pylist():
            yield to_line(from_row(row, PARQUET_FILE))


def _check_counts(dataset_dir: Path, lines: Iterable[_Line]) -> Iterator[Fault]:
    """Hold the numbers of the build against the files, where it left any."""
    path = dataset_dir / BUILD_FILE
    if not path.is_file():
        return
    try:
        built = json.loads(path.read_bytes())
    except ValueError as error:
        yield Fault(BUILD_FILE, None, None, "counts", f"no JSON ({error})", "what was built")
        return
    statuses = [line.record.status for line in lines]
    for status in ("kept", "rejected"):
        if isinstance(built, dict) and built.get(status, statuses.count(status)) != statuses.count(
            status
        ):
            found = f"{statuses.count(status)} {status} records"
            yield Fault(BUILD_FILE, None, None, "counts", found, f"{built[status]}, as built")
