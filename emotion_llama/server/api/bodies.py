"""Body of a request, as it comes in -> form fields and a file, or JSON, within limits.

Knows: multipart, forms, JSON, what each may hold. Does not know: what fields mean.
A file is hashed and written while it comes, into a private folder; it is never held in memory.
"""

import json
import re
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qsl

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from emotion_llama.server.api.api_error import ApiError
from emotion_llama.server.api.uploads import Upload, UploadFolder

FILE_FIELD = "file"
"""Field of a form that holds the file."""

MAX_FIELD_BYTES = 65_536
"""Of one field that is no file; the longest text is shorter."""

FORM_BYTES = 1_000_000
"""What a form may have besides its file: boundaries, headers and fields."""

MAX_DEPTH = 32
"""Objects and lists within each other; the deepest that is understood has six."""

_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


@dataclass(frozen=True)
class Form:
    """What a client filled in."""

    fields: Mapping[str, str]
    upload: Upload | None = None
    """the file; whoever reads the form removes it"""


@dataclass
class _Events:
    """What a parser found in the bytes so far, in order."""

    found: list[tuple[Literal["begin", "data", "end", "done"], bytes]] = field(default_factory=list)
    name: bytes = b""
    value: bytes = b""
    disposition: bytes = b""

    def callbacks(self) -> Any:
        """Give what the parser calls."""
        return {
            "on_header_field": self._add_to_name,
            "on_header_value": self._add_to_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._begin,
            "on_part_data": lambda data, start, end: self._find("data", data[start:end]),
            "on_part_end": lambda: self._find("end"),
            "on_end": lambda: self._find("done"),
        }

    def _find(self, kind: Literal["begin", "data", "end", "done"], data: bytes = b"") -> None:
        self.found.append((kind, data))

    def _add_to_name(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def _add_to_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def _end_header(self) -> None:
        if self.name.lower() == b"content-disposition":
            self.disposition = self.value
        self.name = self.value = b""

    def _begin(self) -> None:
        self._find("begin", self.disposition)
        self.disposition = b""


async def read_form(request: Request, folder: UploadFolder, names: Collection[str]) -> Form:
    """Read a form with at most one file.

    Args:
        request: ``multipart/form-data``, or ``application/x-www-form-urlencoded`` without a file
        folder: gets the file
        names: fields that may stand there, besides `FILE_FIELD`

    Raises:
        ApiError: it is no form (415), broken (400), or has fields that are unknown, stand there
            twice or are too long (422); no file is left behind
        TooLargeError: the file is larger than the folder takes
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if kind == b"application/x-www-form-urlencoded":
        return Form(_plain_fields(await _collected(request.stream(), "form"), names))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        found = kind.decode("latin-1")[:100] or "nothing"
        msg = f"found the content type {found!r}, expected multipart/form-data with a boundary"
        raise ApiError(415, "unsupported_content_type", msg)
    fields: dict[str, str] = {}
    upload: Upload | None = None
    try:
        parts = _parts(request, boundary)
        async for _, disposition in parts:
            name, file_name = _part_name(disposition)
            taken = {*fields, FILE_FIELD} if upload else fields
            _require_known(name, taken, (*names, FILE_FIELD))
            if name == FILE_FIELD:
                upload = await folder.receive(_data(parts), _file_name(file_name))
            else:
                fields[name] = _text(await _collected(_data(parts), name), name)
    except BaseException as error:
        if upload is not None:
            folder.remove(upload)
        if isinstance(error, FormParserError):
            msg = f"found a broken form ({error}), expected multipart/form-data"
            raise ApiError(400, "broken_form", msg) from error
        raise
    return Form(fields, upload)


async def read_json(request: Request, max_bare_bytes: int) -> Any:
    """Read a JSON body that may hold long strings, but not much besides.

    Parsed, a list of empty objects takes 20 times the memory of its text, a string takes its own;
    so what is outside of strings is limited by itself.

    Args:
        request: ``application/json``
        max_bare_bytes: of the JSON, each string counted as two

    Raises:
        ApiError: it is of another type (415), too much (413), or no JSON (400)
    """
    kind, _ = parse_options_header(request.headers.get("content-type"))
    if kind != b"application/json":
        found = kind.decode("latin-1")[:100] or "nothing"
        msg = f"found the content type {found!r}, expected application/json"
        raise ApiError(415, "unsupported_content_type", msg)
    # not request.body(), which would be kept as long as the request
    body = b"".join([chunk async for chunk in request.stream()])
    bare = _STRING.sub(b'""', body)
    if len(bare) > max_bare_bytes:
        msg = f"found more than {max_bare_bytes:,} bytes of JSON outside of strings; send less"
        raise ApiError(413, "too_large", msg)
    if _depth(bare) > MAX_DEPTH:
        msg = f"found JSON of more than {MAX_DEPTH} levels, expected at most that"
        raise ApiError(400, "broken_json", msg)
    try:
        return json.loads(body, parse_constant=_refuse_constant)
    except ValueError as error:  # also of text that is not UTF-8
        where = f" at {error.pos}" if isinstance(error, json.JSONDecodeError) else ""
        msg = f"found no JSON{where}, expected an object in UTF-8"
        raise ApiError(400, "broken_json", msg) from error


async def _parts(
    request: Request, boundary: bytes
) -> AsyncIterator[tuple[Literal["begin", "data", "end", "done"], bytes]]:
    """Give what is found in a multipart body, as it comes.

    Raises:
        FormParserError: it is broken, or ends before its end
    """
    events = _Events()
    parser = MultipartParser(boundary, events.callbacks())
    is_done = False
    async for chunk in request.stream():
        parser.write(chunk)
        for event in events.found:
            if event[0] == "done":
                is_done = True
            else:
                yield event
        events.found.clear()
    parser.finalize()
    if not is_done:
        msg = "it ends before its last boundary"
        raise FormParserError(msg)


async def _data(parts: AsyncIterator[tuple[str, bytes]]) -> AsyncIterator[bytes]:
    """Give the bytes of one part, up to its end."""
    async for kind, data in parts:
        if kind != "data":
            return
        yield data


async def _collected(chunks: AsyncIterator[bytes], name: str) -> bytes:
    """Put short bytes together.

    Raises:
        ApiError: they are not short
    """
    collected = bytearray()
    async for chunk in chunks:
        collected += chunk
        if len(collected) > MAX_FIELD_BYTES:
            msg = f"found more than {MAX_FIELD_BYTES:,} bytes in {name}, expected at most that"
            raise ApiError(422, "too_long", msg, param=name)
    return bytes(collected)


def _part_name(disposition: bytes) -> tuple[str, bytes | None]:
    """Give the name of a part, and that of its file."""
    _, options = parse_options_header(disposition)
    if b"name" not in options:
        msg = "found a part of the form without a name, expected one"
        raise ApiError(400, "broken_form", msg)
    return options[b"name"].decode("utf-8", "replace"), options.get(b"filename")


def _file_name(name: bytes | None) -> str:
    """Give the name of a file.

    Raises:
        ApiError: the part is text, such as the path or address of a file: neither is ever opened
    """
    if name is None:
        msg = "found text in the field 'file', expected a file; send its bytes, with a file name"
        raise ApiError(422, "invalid", msg, param=FILE_FIELD)
    return name.decode("utf-8", "replace")


def _plain_fields(body: bytes, names: Collection[str]) -> dict[str, str]:
    """Read the fields of a form that holds no file."""
    fields: dict[str, str] = {}
    try:
        rows = parse_qsl(_text(body, "form"), keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        msg = f"found a broken form ({error}), expected at most 100 fields"
        raise ApiError(400, "broken_form", msg) from error
    for name, value in rows:
        if name == FILE_FIELD:
            _file_name(None)
        _require_known(name, fields, names)
        fields[name] = value
    return fields


def _require_known(name: str, taken: Collection[str], names: Collection[str]) -> None:
    if name not in names:
        msg = f"found the field {name[:100]!r}, expected one of {', '.join(sorted(names))}"
        raise ApiError(422, "unknown_field", msg)
    if name in taken:
        msg = f"found the field {name!r} twice, expected it once"
        raise ApiError(422, "repeated_field", msg, param=name)


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        msg = f"found bytes in {name} that are no UTF-8, expected text"
        raise ApiError(422, "invalid", msg, param=name) from error


def _depth(bare: bytes) -> int:
    """Give how many objects and lists stand within each other."""
    depth = deepest = 0
    for byte in bare:
        depth += (byte in b"[{") - (byte in b"]}")
        deepest = max(deepest, depth)
    return deepest


def _refuse_constant(name: str) -> None:
    msg = f"found {name}"
    raise ValueError(msg)
