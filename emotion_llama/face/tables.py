"""Tables of action units: those of OpenFace, py-feat and LibreFace are read, our own also written.

Knows: columns, clocks and ranges of each program, and what it writes where it followed no face.
Does not know: pictures, how an action unit is estimated, what it means.
"""

import csv
import io
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, cast, get_args
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from emotion_llama.records import ActionUnitTable, AuScale, NeutralScope

_Kind = Literal["intensity", "presence", "confidence"]
_Column = NDArray[np.float64] | NDArray[np.float32] | NDArray[np.int64] | NDArray[np.bool_]

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
"""Stricter than ``float``, which takes ``1_0`` and ``infinity`` as well."""

_MISSING = frozenset({"", "nan", "-nan", "nan(ind)", "-nan(ind)"})
"""How the programs write "no value"; the last two are OpenFace's on Windows."""

_MAX_COLUMNS_NAMED = 12
"""Columns an error names; OpenFace can write 700."""


@dataclass(frozen=True)
class _Expected:
    """What a cell has to hold."""

    words: str
    low: float = -math.inf
    high: float = math.inf
    whole: bool = False
    missing: bool = False
    """whether NaN will do"""

    def holds(self, value: float) -> bool:
        if math.isnan(value):
            return self.missing
        if not math.isfinite(value) or not self.low <= value <= self.high:
            return False
        return not self.whole or value.is_integer()


_SECONDS = _Expected("a time in seconds")
_SHARE = _Expected("a number from 0 to 1", 0, 1)
_FLAG = _Expected("0 or 1", 0, 1, whole=True)
_FRAME = _Expected("a whole number from 0", 0, 2**53, whole=True)
_RANGES: Mapping[AuScale, _Expected] = {
    "0-5": _Expected("a number from 0 to 5", 0, 5),
    "0-1": _SHARE,
    "probability": _SHARE,
}


@dataclass(frozen=True)
class _Sheet:
    """The cells of one file."""

    path: Path
    notes: Mapping[str, str]
    """the ``# key: value`` lines above the header"""
    columns: Mapping[str, int]
    """name -> position"""
    rows: Sequence[Sequence[str]]
    lines: Sequence[int]
    """line of the file of each row"""

    def cells(self, column: str) -> list[str]:
        position = self.columns[column]
        return [row[position].strip() for row in self.rows]

    def filled(self, column: str) -> NDArray[np.bool_]:
        """Say which rows have a value, [t]."""
        return np.array([cell.lower() not in _MISSING for cell in self.cells(column)], bool)

    def numbers(
        self, column: str, expected: _Expected, where: NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Read a column.

        Args:
            column: its name
            expected: what every cell with a value has to hold
            where: rows to read, [t]; all by default

        Returns:
            the values, NaN where there is none or none was asked for, [t]

        Raises:
            ValueError: a cell holds something else
        """
        wanted = self.filled(column) if where is None else self.filled(column) & where
        cells = self.cells(column)
        values = np.full(len(cells), np.nan)
        for row in np.flatnonzero(wanted):
            if not _NUMBER.fullmatch(cells[row]) or not expected.holds(float(cells[row])):
                raise self.wrong_cell(int(row), column, expected.words)
            values[row] = float(cells[row])
        return values

    def complete(self, column: str, expected: _Expected) -> NDArray[np.float64]:
        """Read a column in which every row needs a value, [t]."""
        values = self.numbers(column, expected)
        self.require(~np.isnan(values), column, expected.words)
        return values

    def require(self, fine: NDArray[np.bool_], column: str, expected: str) -> None:
        """Refuse the first row that is not fine, [t]."""
        if not fine.all():
            raise self.wrong_cell(int(np.argmin(fine)), column, expected)

    def kept(self, keep: Sequence[bool]) -> "_Sheet":
        """Keep some of the rows."""
        rows = [row for row, kept in zip(self.rows, keep, strict=True) if kept]
        lines = [line for line, kept in zip(self.lines, keep, strict=True) if kept]
        return replace(self, rows=rows, lines=lines)

    def wrong_cell(self, row: int, column: str, expected: str) -> ValueError:
        value = self.rows[row][self.columns[column]].strip()
        place = f"line {self.lines[row]}, column {column!r}"
        return _wrong(self.path, f"{value!r} in {place}", expected)


_Clock = Callable[[_Sheet, str, NDArray[np.int64]], NDArray[np.float64]]
"""Sheet, its time column, frame of each row [t] -> seconds [t]."""


@dataclass(frozen=True)
class _Program:
    """How one program writes its tables; a column it names may be absent."""

    name: str
    version: str
    scale: AuScale
    markers: tuple[frozenset[str], ...]
    """sets of columns, one of which is always there"""
    unit: re.Pattern[str]
    """an action unit's column: its number, and a key of ``kinds``"""
    kinds: Mapping[str, _Kind]
    frame: str
    first_frame: int
    time: str
    clock: _Clock
    face: tuple[str, ...] = ()
    """columns that may tell faces apart"""
    success: str | None = None
    """column with 1 where the face was followed; else the confidence tells"""
    confidence: str | None = None
    """column for the whole row; 1 in every row of a program without"""

    def wrote(self, sheet: _Sheet) -> bool:
        names = sheet.columns.keys()
        return any(marker <= names for marker in self.markers) and any(
            self.unit.fullmatch(name) for name in names
        )


def read_action_units(
    path: Path, *, person: int | None = None, frames_per_second: float | None = None
) -> ActionUnitTable:
    """Read the action units of one face from a CSV file.

    The header tells who wrote it: OpenFace 2.x (video or still), py-feat, LibreFace or
    `write_action_units`. A row without a face holds only NaN and confidence 0, whatever numbers
    its program put there. Units keep the name of their program: the closed eye is AU43 in py-feat
    and AU45 in OpenFace.

    Times are those of the table. ``approx_time`` of py-feat counts whole seconds, so it serves only
    where no two rows share one. ``frame_time_in_ms`` of LibreFace holds seconds or milliseconds,
    depending on its version: a step below 2 from frame to frame is one of seconds. The single row
    of a still has time 0.

    Args:
        path: comma-separated table in UTF-8
        person: which face to read, as the table numbers them (OpenFace ``face_id`` or ``face``,
            py-feat ``Identity``); needed when there are several. py-feat's rows without any face
            belong to everyone
        frames_per_second: of the video; times become frame / frames_per_second, in place of
            those of the table

    Returns:
        the table, with ``confidence`` as its program gives it for the whole face; LibreFace gives
        none and writes no row without a face: 1

    Raises:
        ValueError: unknown header; several faces and none chosen, or one that is not there; no
            times; a cell that is not what its column holds
    """
    if frames_per_second is not None and not 0 < frames_per_second < math.inf:
        msg = f"frames_per_second: found {frames_per_second}, expected a number above 0"
        raise ValueError(msg)
    sheet = _read_sheet(path)
    if sheet.columns.keys() >= _OWN_COLUMNS:
        return _read_own(_choose_face(sheet, (), person), frames_per_second)
    program = _find_program(sheet)
    return _read_foreign(_choose_face(sheet, program.face, person), program, frames_per_second)


def write_action_units(table: ActionUnitTable, path: Path) -> None:
    """Write a table so that `read_action_units` gives back the same, bit for bit.

    Comma-separated UTF-8: four lines ``# key: value`` (producer, version, scale, scope), a header,
    a row a frame; NaN is an empty cell. The file appears whole or not at all.

    Args:
        table: what to write
        path: the file; it is replaced where it exists

    Raises:
        ValueError: the table breaks a rule of `emotion_llama.records.ActionUnitTable`
    """
    _require_sound(table, path)
    columns = _own_columns(table)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("x", encoding="utf-8", newline="") as file:
            file.writelines(f"# {key}: {getattr(table, key)}\n" for key in _OWN_NOTES)
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(columns)
            rows.writerows(zip(*columns.values(), strict=True))
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _wrong(path: Path, found: str, expected: str, next_step: str | None = None) -> ValueError:
    message = f"{path}: found {found}, expected {expected}"
    return ValueError(f"{message}; {next_step}" if next_step else message)


def _read_sheet(path: Path) -> _Sheet:
    lines = list(io.StringIO(_text_of(path), newline=""))
    notes = []
    for line in lines:
        if not line.startswith("#"):
            break
        notes.append(line)
    reader = csv.reader(lines[len(notes) :], strict=True)
    try:
        numbered = [(len(notes) + reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        line_num = len(notes) + reader.line_num
        raise _wrong(path, f"{error} in line {line_num}", "comma-separated cells") from error
    if not numbered:
        raise _wrong(path, "an empty file", "a header and rows", "write the table again")
    header = [name.strip() for name in numbered[0][1]]
    _require_rectangle(path, header, numbered[1:])
    return _Sheet(
        path=path,
        notes=dict(map(_split_note, notes)),
        columns={name: position for position, name in enumerate(header)},
        rows=[row for _, row in numbered[1:]],
        lines=[line for line, _ in numbered[1:]],
    )


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"bytes that are not UTF-8 (at byte {error.start})"
        raise _wrong(path, found, "a table in UTF-8", "save it again in UTF-8") from error


def _split_note(line: str) -> tuple[str, str]:
    key, _, value = line.rstrip("\r\n").removeprefix("#").partition(":")
    return key.strip(), value.removeprefix(" ")


def _require_rectangle(
    path: Path, header: Sequence[str], numbered: Sequence[tuple[int, Sequence[str]]]
) -> None:
    twice = [name for position, name in enumerate(header) if name in header[:position]]
    if twice:
        raise _wrong(path, f"the column {twice[0]!r} twice", "every column once")
    if not numbered:
        raise _wrong(path, "a header and no row", "a row a frame", "write the table again")
    for line, row in numbered:
        if len(row) != len(header):
            raise _wrong(
                path, f"{len(row)} cells in line {line}", f"{len(header)}, one for every column"
            )


def _find_program(sheet: _Sheet) -> _Program:
    for program in _PROGRAMS:
        if program.wrote(sheet):
            return program
    names = [repr(name) for name in sheet.columns]
    more = ", ..." if len(names) > _MAX_COLUMNS_NAMED else ""
    known = ", ".join(program.name for program in _PROGRAMS)
    raise _wrong(
        sheet.path,
        f"{len(names)} columns ({', '.join(names[:_MAX_COLUMNS_NAMED])}{more})",
        f"a comma-separated table with action units of {known} or write_action_units",
        "let OpenFace run with -aus, or rename the columns to those of write_action_units",
    )


def _choose_face(sheet: _Sheet, columns: Sequence[str], person: int | None) -> _Sheet:
    """Keep the rows of one face, and those that name none."""
    labels = _face_labels(sheet, columns)
    faces = sorted({label for label in labels if label}, key=lambda label: (len(label), label))
    if person is None and len(faces) <= 1:
        return sheet
    if str(person) not in faces:
        raise _wrong(
            sheet.path,
            f"the faces {', '.join(faces)}" if faces else "no column that tells faces apart",
            f"person={person}" if person is not None else "one face",
            "pass person=<one of them>" if faces else "leave person out",
        )
    return sheet.kept([label in {"", str(person)} for label in labels])


def _face_labels(sheet: _Sheet, columns: Sequence[str]) -> list[str]:
    for column in columns:
        if column in sheet.columns:
            cells = sheet.cells(column)
            return ["" if c.lower() in _MISSING else c.removeprefix("Person_") for c in cells]
    return [""] * len(sheet.rows)


def _read_foreign(
    sheet: _Sheet, program: _Program, frames_per_second: float | None
) -> ActionUnitTable:
    units = _find_units(sheet, program.unit, program.kinds)
    frames = _read_frames(sheet, program)
    tracked, confidence = _read_tracking(sheet, program, units)
    intensity = {
        unit: sheet.numbers(column, _RANGES[program.scale], tracked).astype(np.float32)
        for unit, column in units["intensity"].items()
    }
    presence = {
        unit: sheet.numbers(column, _FLAG, tracked).astype(np.float32)
        for unit, column in units["presence"].items()
    }
    return ActionUnitTable(
        times_s=_read_times(sheet, program, frames, frames_per_second),
        frames=frames,
        intensity=intensity,
        presence=presence,
        confidence={unit: confidence.copy() for unit in {**intensity, **presence}},
        tracked=tracked,
        scale=program.scale,
        scope="producer",
        producer=program.name,
        version=program.version,
    )


def _find_units(
    sheet: _Sheet, pattern: re.Pattern[str], kinds: Mapping[str, _Kind]
) -> dict[_Kind, dict[str, str]]:
    """Give for each kind: unit -> its column."""
    found: dict[_Kind, dict[str, str]] = {kind: {} for kind in get_args(_Kind)}
    for column in sheet.columns:
        match = pattern.fullmatch(column)
        if match is None:
            continue
        unit, kind = f"AU{int(match[1]):02d}", kinds[match[2]]
        if unit in found[kind]:
            both = f"the columns {found[kind][unit]!r} and {column!r}"
            raise _wrong(sheet.path, both, f"one column for the {kind} of {unit}")
        found[kind][unit] = column
    return found


def _read_frames(sheet: _Sheet, program: _Program) -> NDArray[np.int64]:
    """Read frame numbers, counted from 0, [t]; without them, every row is the next frame."""
    if program.frame not in sheet.columns:
        return np.arange(len(sheet.rows), dtype=np.int64)
    first = program.first_frame
    expected = replace(_FRAME, words=f"a whole number from {first}", low=first)
    frames = (sheet.complete(program.frame, expected) - first).astype(np.int64)
    later = np.append(True, np.diff(frames) > 0)
    sheet.require(later, program.frame, "a later frame than the row above, one row a frame")
    return frames


def _read_tracking(
    sheet: _Sheet, program: _Program, units: Mapping[_Kind, Mapping[str, str]]
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Give whether a face was followed, and the row's confidence: [t], [t]."""
    columns = [column for kind in units.values() for column in kind.values()]
    tracked = np.any([sheet.filled(column) for column in columns], axis=0)
    confidence = np.ones(len(sheet.rows))
    if program.confidence is not None:
        confidence = np.nan_to_num(sheet.numbers(program.confidence, _SHARE))
    if program.success is not None and program.success in sheet.columns:
        tracked &= sheet.complete(program.success, _FLAG) == 1
    else:
        tracked &= confidence > 0
    return tracked, np.where(tracked, confidence, 0).astype(np.float32)


def _read_times(
    sheet: _Sheet,
    program: _Program,
    frames: NDArray[np.int64],
    frames_per_second: float | None,
) -> NDArray[np.float64]:
    if frames_per_second is not None:
        return frames / frames_per_second
    if program.time in sheet.columns:
        return program.clock(sheet, program.time, frames)
    if len(frames) == 1:
        return np.zeros(1)
    found = f"no column {program.time!r}"
    raise _wrong(sheet.path, found, "the time of each row", "pass frames_per_second")


def _plain_seconds(sheet: _Sheet, column: str, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    return sheet.complete(column, _SECONDS)


def _whole_seconds(sheet: _Sheet, column: str, frames: NDArray[np.int64]) -> NDArray[np.float64]:
    """Read ``mm:ss`` or seconds; frames that share a second cannot be told apart."""
    times_s = np.array([_clock_seconds(cell) for cell in sheet.cells(column)])
    sheet.require(~np.isnan(times_s), column, "minutes and seconds as mm:ss, or seconds")
    later = np.append(True, np.diff(times_s) > 0)
    sheet.require(later, column, "a later time than the row above; pass frames_per_second")
    return times_s


def _clock_seconds(cell: str) -> float:
    """Give seconds, NaN for anything else."""
    minutes, colon, seconds = cell.rpartition(":")
    if not _NUMBER.fullmatch(seconds) or (colon and not re.fullmatch(r"\d+", minutes, re.ASCII)):
        return math.nan
    return 60.0 * int(minutes or 0) + float(seconds)


def _seconds_or_milliseconds(
    sheet: _Sheet, column: str, frames: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Tell the unit by the step between frames: in milliseconds, 2 is 500 frames a second."""
    times = sheet.complete(column, _SECONDS)
    steps = np.diff(times) / np.diff(frames) if len(frames) > 1 else times / max(frames[0], 1)
    return times if np.median(steps) < 2 else times / 1000


_PROGRAMS: tuple[_Program, ...] = (
    _Program(
        name="OpenFace",
        version="2.x",
        scale="0-5",
        markers=(frozenset({"confidence", "success"}), frozenset({"face", "confidence"})),
        unit=re.compile(r"AU(\d{1,2})_([rc])", re.ASCII),
        kinds={"r": "intensity", "c": "presence"},
        frame="frame",
        first_frame=1,
        time="timestamp",
        clock=_plain_seconds,
        face=("face_id", "face"),
        success="success",
        confidence="confidence",
    ),
    _Program(
        name="py-feat",
        version="unknown",
        scale="probability",
        markers=(frozenset({"FaceRectX", "FaceScore"}),),
        unit=re.compile(r"AU(\d{1,2})()", re.ASCII),
        kinds={"": "intensity"},
        frame="frame",
        first_frame=0,
        time="approx_time",
        clock=_whole_seconds,
        face=("Identity",),
        confidence="FaceScore",
    ),
    _Program(
        name="LibreFace",
        version="unknown",
        scale="0-5",
        markers=(frozenset(),),
        unit=re.compile(r"au_(\d{1,2})(_intensity|)", re.ASCII),
        kinds={"_intensity": "intensity", "": "presence"},
        frame="frame_idx",
        first_frame=0,
        time="frame_time_in_ms",
        clock=_seconds_or_milliseconds,
    ),
)

_OWN_COLUMNS = frozenset({"frame", "time_s", "tracked"})
_OWN_UNIT = re.compile(r"AU(\d{1,2})_(intensity|presence|confidence)", re.ASCII)
_OWN_NOTES: Mapping[str, tuple[str, ...]] = {
    "producer": (),
    "version": (),
    "scale": get_args(AuScale),
    "scope": get_args(NeutralScope),
}
"""Lines above the header, with the values allowed; none named: any."""


def _read_own(sheet: _Sheet, frames_per_second: float | None) -> ActionUnitTable:
    _require_notes(sheet)
    scale = cast("AuScale", sheet.notes["scale"])
    units = _find_units(sheet, _OWN_UNIT, {kind: kind for kind in get_args(_Kind)})
    ranges: Mapping[_Kind, _Expected] = _own_ranges(scale)
    values = {
        kind: {
            unit: sheet.numbers(column, ranges[kind]).astype(np.float32)
            for unit, column in units[kind].items()
        }
        for kind in ranges
    }
    frames = sheet.complete("frame", _FRAME).astype(np.int64)
    times_s = sheet.complete("time_s", _SECONDS)
    table = ActionUnitTable(
        times_s=times_s if frames_per_second is None else frames / frames_per_second,
        frames=frames,
        intensity=values["intensity"],
        presence=values["presence"],
        confidence=values["confidence"],
        tracked=sheet.complete("tracked", _FLAG) == 1,
        scale=scale,
        scope=cast("NeutralScope", sheet.notes["scope"]),
        producer=sheet.notes["producer"],
        version=sheet.notes["version"],
    )
    _require_rules(table, sheet.path)
    return table


def _require_notes(sheet: _Sheet) -> None:
    for key, allowed in _OWN_NOTES.items():
        value = sheet.notes.get(key)
        if value is None:
            raise _wrong(sheet.path, f"no {key}", f"a line '# {key}: ...' above the header")
        if allowed and value not in allowed:
            raise _wrong(sheet.path, f"{key} {value!r}", f"one of {', '.join(allowed)}")


def _own_ranges(scale: AuScale) -> Mapping[_Kind, _Expected]:
    return {"intensity": _RANGES[scale], "presence": _FLAG, "confidence": _SHARE}


def _own_columns(table: ActionUnitTable) -> dict[str, list[str]]:
    """Give column -> cells, as they are written."""
    columns = {
        "frame": [str(frame) for frame in table.frames.tolist()],
        "time_s": [repr(time) for time in table.times_s.tolist()],
        "tracked": [str(int(tracked)) for tracked in table.tracked.tolist()],
    }
    for unit in table.units:
        for kind, values in _kinds_of(table).items():
            if unit in values:
                columns[f"{unit}_{kind}"] = [_cell(v) for v in values[unit].tolist()]
    return columns


def _cell(value: float) -> str:
    # nine digits are enough for every float32 to come back
    return "" if math.isnan(value) else f"{value:.9g}"


def _kinds_of(table: ActionUnitTable) -> Mapping[_Kind, Mapping[str, NDArray[np.float32]]]:
    return {
        "intensity": table.intensity,
        "presence": table.presence,
        "confidence": table.confidence,
    }


def _require_sound(table: ActionUnitTable, path: Path) -> None:
    """Refuse what the reader would refuse or could not give back."""
    for key in _OWN_NOTES:
        if re.search(r"[\r\n]", getattr(table, key)):
            raise _wrong(path, f"{key} {getattr(table, key)!r}", "one line of text")
    num_rows = len(table.frames)
    if num_rows == 0:
        raise _wrong(path, "a table without rows", "a row a frame")
    _require_column(path, "frames", table.frames, _FRAME, num_rows)
    _require_column(path, "times_s", table.times_s, _SECONDS, num_rows)
    _require_column(path, "tracked", table.tracked, _FLAG, num_rows)
    ranges = _own_ranges(table.scale)
    for kind, units in _kinds_of(table).items():
        for unit, values in units.items():
            if not re.fullmatch(r"AU\d{2}", unit, re.ASCII):
                raise _wrong(path, f"the unit {unit!r}", "AU and two digits")
            or_missing = replace(ranges[kind], missing=True)
            _require_column(path, f"{unit}_{kind}", values, or_missing, num_rows)
    _require_rules(table, path)


def _require_column(
    path: Path, name: str, values: _Column, expected: _Expected, num_rows: int
) -> None:
    if len(values) != num_rows:
        raise _wrong(path, f"{len(values)} values in {name}", f"{num_rows}, one a frame")
    for value in values.tolist():
        if not expected.holds(float(value)):
            raise _wrong(path, f"{value!r} in {name}", expected.words)


def _require_rules(table: ActionUnitTable, path: Path) -> None:
    """Hold a table to its record: a confidence for every unit, no value where not tracked."""
    for unit in sorted({*table.intensity, *table.presence} ^ {*table.confidence}):
        half = "a confidence and no value" if unit in table.confidence else "no confidence"
        raise _wrong(path, f"{half} for {unit}", "a confidence for every unit with a value")
    for unit, values in [*table.intensity.items(), *table.presence.items()]:
        invented = ~table.tracked & ~np.isnan(values)
        if invented.any():
            found = f"a value of {unit} in row {int(np.argmax(invented))}, which is not tracked"
            raise _wrong(path, found, "no value there")
