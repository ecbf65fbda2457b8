"""Records <-> Arrow rows: every field keeps its type, nested ones too.

Knows: how a type of the records is written in Arrow. Does not know: which fields there are, files.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from emotion_llama.merr.record_file import canonical_json, from_line
from emotion_llama.merr.records import MerrRecord

KEY, VALUE = "key", "value"
"""A mapping becomes a list of pairs: readers of data sets know no other type for free keys."""


@cache
def record_schema() -> Any:
    """Give the Arrow schema of a record."""
    import pyarrow

    return pyarrow.schema(_arrow_fields(MerrRecord))


def to_row(record: MerrRecord) -> dict[str, Any]:
    """Give a record as plain values that fit `record_schema`."""
    row = _pairs(asdict(record), MerrRecord)
    return {str(name): value for name, value in row.items()}


def from_row(row: Mapping[str, Any], where: str) -> MerrRecord:
    """Give the record of a row.

    Args:
        row: as Arrow gives it
        where: file and row, for the error

    Raises:
        ValueError: of another schema version, or it breaks the schema
    """
    known = {name: value for name, value in row.items() if name in _hints(MerrRecord)}
    return from_line(canonical_json(_mappings(known, MerrRecord)), where)


def _arrow_fields(kind: type) -> list[Any]:
    import pyarrow

    return [pyarrow.field(name, _arrow_type(hint)) for name, hint in _hints(kind).items()]


def _arrow_type(hint: Any) -> Any:
    import pyarrow

    plain = {
        str: pyarrow.string(),
        int: pyarrow.int64(),
        float: pyarrow.float64(),
        bool: pyarrow.bool_(),
    }
    inner = _stripped(hint)
    if get_origin(inner) is Literal:
        return pyarrow.string()
    if get_origin(inner) is tuple:
        return pyarrow.list_(_arrow_type(get_args(inner)[0]))
    if get_origin(inner) is Mapping:
        pair = [
            pyarrow.field(KEY, pyarrow.string()),
            pyarrow.field(VALUE, _arrow_type(get_args(inner)[1])),
        ]
        return pyarrow.list_(pyarrow.struct(pair))
    if _is_record(inner):
        return pyarrow.struct(_arrow_fields(inner))
    return plain[inner]


def _pairs(value: Any, hint: Any) -> Any:
    """Write mappings as sorted lists of pairs."""
    inner = _stripped(hint)
    if value is None:
        return None
    if _is_record(inner):
        hints = _hints(inner)
        return {name: _pairs(value[name], hints[name]) for name in hints}
    if get_origin(inner) is tuple:
        return [_pairs(item, get_args(inner)[0]) for item in value]
    if get_origin(inner) is Mapping:
        kind = get_args(inner)[1]
        return [{KEY: key, VALUE: _pairs(item, kind)} for key, item in sorted(value.items())]
    return value


def _mappings(value: Any, hint: Any) -> Any:
    """Read lists of pairs as mappings."""
    inner = _stripped(hint)
    if value is None:
        return None
    if _is_record(inner):
        hints = _hints(inner)
        return {n: _mappings(item, hints[n]) for n, item in value.items() if n in hints}
    if get_origin(inner) is tuple:
        return [_mappings(item, get_args(inner)[0]) for item in value]
    if get_origin(inner) is Mapping:
        kind = get_args(inner)[1]
        return {pair[KEY]: _mappings(pair[VALUE], kind) for pair in value}
    return value


def _is_record(kind: Any) -> bool:
    return is_dataclass(kind)


@cache
def _hints(kind: Any) -> Mapping[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _stripped(hint: Any) -> Any:
    """Take ``None`` and aliases off a type."""
    if get_origin(hint) in (Union, UnionType):
        inner: Sequence[Any] = [one for one in get_args(hint) if one is not type(None)]
        return _stripped(inner[0])
    return hint
