"""Folder of a data set -> its files, its rows as checked records, the reader's options.

Knows: where to look, how a fault is told. Does not know: any data set, what a row means.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from emotion_llama.evaluation.protocol import Protocol
from emotion_llama.evaluation.samples import MissingDataError
from emotion_llama.media.manifest import read_table

ROW = ConfigDict(frozen=True, extra="ignore", str_strip_whitespace=True, coerce_numbers_to_str=True)
"""Of a row of a published file: other columns are left alone."""

OPTIONS = ConfigDict(frozen=True, extra="forbid")
"""Of a reader's options: a name that the reader does not know is a fault."""

VIDEO_ENDINGS = (".mp4", ".avi")
"""In the order in which a clip is looked for, as the published evaluation does."""

Record = TypeVar("Record", bound=BaseModel)


def missing(what: str, protocol: Protocol) -> MissingDataError:
    """Tell what is not there, how the folder must look and where the data come from."""
    msg = (
        f"{protocol.name}: found no {what}; expected this folder:\n{protocol.layout.strip()}\n"
        f"Get the data from: {protocol.source.strip()}"
    )
    return MissingDataError(msg)


def find_file(folder: Path, names: Sequence[str], protocol: Protocol) -> Path:
    """Give the first of some files that exists.

    Raises:
        MissingDataError: none does
    """
    found = first_file(folder / name for name in names)
    if found is None:
        what = f"{' or '.join(names)} in {folder}"
        raise missing(what, protocol)
    return found


def first_file(places: Iterable[Path]) -> Path | None:
    """Give the first place where there is a file."""
    return next((place for place in places if place.is_file()), None)


def clip_places(folder: Path, below: Sequence[str], name: str) -> tuple[Path, ...]:
    """List where a clip may lie: in each of some folders, with each ending of a video.

    A name that has such an ending keeps it.
    """
    bare = bare_name(name)
    names = [name] if bare != name else [name + ending for ending in VIDEO_ENDINGS]
    return tuple(folder / place / one for place in below for one in names)


def bare_name(name: str) -> str:
    """Give a clip's name without the ending of a video."""
    return str(Path(name).with_suffix("")) if name.lower().endswith(VIDEO_ENDINGS) else name


def read_rows(path: Path, kind: type[Record]) -> list[Record]:
    """Read a table with a header, row by row.

    Raises:
        ValueError: a row breaks its form; names file, row and column
    """
    return [checked_row(row, kind, path, number) for number, row in enumerate(read_table(path), 1)]


def checked_row(
    row: Mapping[Any, Any], kind: type[Record], path: Path, number: int | str
) -> Record:
    """Check one row.

    Raises:
        ValueError: it breaks its form; names file, row and column
    """
    if None in row:
        msg = (
            f"{path}, row {number}: found {len(row[None])} more cells than the {len(row) - 1} "
            "columns of the header; put text with commas in quotation marks"
        )
        raise ValueError(msg)
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        msg = f"{path}, row {number}, {_fault(error)}; the columns are {', '.join(row)}"
        raise ValueError(msg) from error


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file.

    Raises:
        ValueError: it is no UTF-8
    """
    try:
        return path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        msg = f"{path}: found bytes that are no UTF-8 ({error.reason}); save the file as UTF-8"
        raise ValueError(msg) from error


def read_fields(path: Path, kind: type[Record], names: Sequence[str]) -> list[Record]:
    """Read a text file without a header: one row a line, fields separated by blanks.

    Args:
        path: of the file; blank lines are left out
        kind: of the records
        names: of the fields, in order; the first one holds what the others leave

    Raises:
        ValueError: a line has fewer fields, or one breaks its form; names file and line
    """
    records = []
    for number, line in enumerate(read_lines(path), 1):
        if not line.strip():
            continue
        fields = line.strip().rsplit(maxsplit=len(names) - 1)
        if len(fields) != len(names):
            msg = (
                f"{path}, row {number}: found {line.strip()!r}, expected {len(names)} fields: "
                f"{', '.join(names)}"
            )
            raise ValueError(msg)
        records.append(checked_row(dict(zip(names, fields, strict=True)), kind, path, number))
    return records


def read_options(protocol: Protocol, kind: type[Record]) -> Record:
    """Check the options of a protocol.

    Raises:
        ValueError: names the option
    """
    try:
        return kind.model_validate(protocol.options)
    except ValidationError as error:
        msg = f"protocol {protocol.name}, option {_fault(error)}"
        raise ValueError(msg) from error


def _fault(error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"])) or "the whole"
    found = "" if first["type"] == "missing" else f"; found {first['input']!r}"[:200]
    return f"{place}: {first['msg'].lower()}{found}"
