"""The description of the API (OpenAPI) -> one page to read, without scripts, styles or fonts.

Knows: how routes, fields and answers are written down. Does not know: what they do.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

Described = Mapping[str, Any]


def to_html(described: Described) -> str:
    """Write the page: a section for each route, what it takes and what it answers."""
    info = described["info"]
    routes = [
        _route(f"{method.upper()} {path}", operation, described)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    ]
    title = f"{escape(info['title'])} {escape(info['version'])}"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>'
        f"<h1>{title}</h1><p>{escape(info['summary'])}</p>"
        '<p>For programs: <a href="/openapi.json">openapi.json</a></p>' + "".join(routes)
    )


def _route(name: str, operation: Described, described: Described) -> str:
    parts = [f"<h2><code>{escape(name)}</code> {escape(operation['summary'])}</h2>"]
    parts.append(_words(operation.get("description", "")))
    parameters = [
        (one["name"], one.get("schema", {}), one.get("required", False))
        for one in operation.get("parameters", ())
    ]
    if parameters:
        parts.append(_fields("Parameters", parameters))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        schema = _resolved(content["schema"], described)
        parts.append(_fields(kind, _properties(schema)))
    answers = [
        (f"<code>{status}</code>", _words(answer["description"]))
        for status, answer in operation["responses"].items()
    ]
    parts.append(_table("Answers", answers))
    good = operation["responses"].get("200", {}).get("content", {}).get("application/json")
    if good is not None:
        schema = _resolved(good["schema"], described)
        parts.append(_fields("200", _properties(schema)))
    return "".join(parts)


def _properties(schema: Described) -> Iterator[tuple[str, Described, bool]]:
    for name, one in schema.get("properties", {}).items():
        yield name, one, name in schema.get("required", ())


def _fields(title: str, rows: Iterable[tuple[str, Described, bool]]) -> str:
    """Write a table of fields, each with its type and meaning."""
    cells = []
    for name, schema, is_required in rows:
        kind = escape(_kind(schema)) + (", required" if is_required else "")
        words = _words(schema.get("description", ""))
        cells.append((f"<code>{escape(name)}</code>", kind, words))
    return _table(title, cells) if cells else ""


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    lines = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<h3>{escape(title)}</h3><table border="1" cellpadding="4">{lines}</table>'


def _kind(schema: Described) -> str:
    """Name the type of a field."""
    if "$ref" in schema:
        return str(schema["$ref"].rpartition("/")[2])
    if "const" in schema:
        return repr(schema["const"])
    kinds = [_kind(one) for one in schema.get("anyOf", ())]
    if kinds:
        return " or ".join(kinds)
    kind = str(schema.get("type", "any"))
    return f"{kind} of {_kind(schema['items'])}" if "items" in schema else kind


def _resolved(schema: Described, described: Described) -> Described:
    """Follow a reference."""
    found: Described = schema
    if "$ref" in schema:
        found = described["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _words(text: str) -> str:
    """Write paragraphs, with `code` as such."""
    paragraphs = escape(text).split("\n\n")
    coded = (re.sub(r"`([^`]+)`", r"<code>\1</code>", one) for one in paragraphs)
    return "".join(f"<p>{one}</p>" for one in coded)
