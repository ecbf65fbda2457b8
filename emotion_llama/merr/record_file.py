"""One record <-> one JSON line: checked when it is read, the same bytes whenever it is written.

Knows: canonical JSON, the schema. Does not know: what the fields mean.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from emotion_llama.merr.records import SCHEMA_VERSION, MerrRecord

RECORDS_FILE = "records.jsonl"
REJECTED_FILE = "rejected.jsonl"


@cache
def _adapter() -> TypeAdapter[MerrRecord]:
    return TypeAdapter(MerrRecord)


def json_schema() -> dict[str, Any]:
    """Give the JSON Schema of a record."""
    return _adapter().json_schema()


def to_line(record: MerrRecord) -> str:
    """Write a record as one line of canonical JSON: sorted keys, no blanks, no NaN.

    Raises:
        ValueError: a number is not finite
    """
    return canonical_json(asdict(record))


def canonical_json(value: Any) -> str:
    """Write plain values as JSON that is the same whenever the values are.

    Raises:
        ValueError: a number is not finite
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def from_line(line: str | bytes, where: str = "record") -> MerrRecord:
    """Read a record.

    Args:
        line: one line of JSON
        where: file and line, for the error

    Raises:
        ValueError: it is no JSON, of another schema version, or breaks the schema
    """
    try:
        plain = json.loads(line)
    except ValueError as error:
        msg = f"{where}: found {line[:60]!r}, expected one JSON object ({error})"
        raise ValueError(msg) from error
    version = plain.get("schema_version") if isinstance(plain, dict) else None
    if version != SCHEMA_VERSION:
        msg = (
            f"{where}: found schema version {version!r}, expected {SCHEMA_VERSION!r}; "
            "build the data set again with this version of the package"
        )
        raise ValueError(msg)
    try:
        return _adapter().validate_python(plain)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(map(str, fault["loc"])) or "the record"
        msg = f"{where}: {place}: {fault['msg'].lower()}, found {fault['input']!r:.80}"
        raise ValueError(msg) from error


def read_records(path: Path) -> Iterator[MerrRecord]:
    """Read the records of a file, or of a data set's folder, one at a time.

    Raises:
        ValueError: there is no such file, or a line breaks the schema
    """
    file = path / RECORDS_FILE if path.is_dir() else path
    if not file.is_file():
        msg = f"{file}: found no file; expected the records of a data set made by `build`"
        raise ValueError(msg)
    with file.open(encoding="utf-8", newline="\n") as lines:
        for number, line in enumerate(lines, start=1):
            yield from_line(line, f"{file}, line {number}")


def write_records(path: Path, records: Iterable[MerrRecord]) -> int:
    """Write records, a line each; the file appears whole or not at all.

    Returns:
        how many there were
    """
    part = path.with_name(f".{path.name}.part")
    count = 0
    with part.open("w", encoding="utf-8", newline="\n") as file:
        for record in records:
            file.write(to_line(record) + "\n")
            count += 1
    part.replace(path)
    return count
