"""Texts and numbers -> pieces of HTML; every text is escaped here.

Knows: tables, intervals, how a number is written. Does not know: runs, sections, plots.
A piece that is HTML already is a `Html`; whatever else is given is a text and gets escaped.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

FIGURE_TITLES: Mapping[str, str] = {
    "accuracy": "accuracy (WAR)",
    "uar": "mean recall (UAR)",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "ece": "calibration error (ECE)",
    "perfect_ece": "the same if confidences were right",
    "adaptive_ece": "ECE, bins of equal count",
    "perfect_adaptive_ece": "the same if confidences were right",
    "classwise_ece": "ECE over all labels",
    "perfect_classwise_ece": "the same if confidences were right",
    "nll": "log loss (NLL), nats",
    "brier": "Brier score, 0 to 2",
    "auroc": "right told from wrong (AUROC)",
    "aurc": "area under the curve (AURC)",
    "best_aurc": "the same in the best order",
    "uar_interval": "its interval",
    "wheel_f1": "wheel F1",
    "n": "clips",
    "num_clips": "clips",
    "num_unparsed": "without a label",
}
"""Names of figures, as a reader looks for them."""

NONE = "none"
"""What stands where there is no value: never 0, never an empty cell."""

_LARGE = 10_000
"""From here, a number with three decimals says more than anybody reads."""


_TALLY = 9
"""Counts by name that share one row; more than the fields that any record has."""

_SMALL = 0.001
"""Below this, three decimals would show 0."""

_OF_FIGURE = frozenset({"value", "mean", "low", "high", "over", "level", "num_units"})
"""Fields of a figure with its interval, and of an interval alone."""


class Html(str):
    """A text that is HTML already and is not escaped again."""

    __slots__ = ()


def escaped(value: object) -> Html:
    """Give HTML for any value; a `Html` stays as it is."""
    return value if isinstance(value, Html) else Html(html.escape(str(value)))


def joined(parts: Sequence[object], between: str = "") -> Html:
    """Put pieces one after the other; ``between`` is HTML."""
    return Html(between.join(escaped(part) for part in parts))


def tag(name: str, *parts: object, **attributes: str) -> Html:
    """Give an element; ``_class`` is written as ``class``, ``aria_label`` as ``aria-label``."""
    words = [
        f' {key.lstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
    ]
    return Html(f"<{name}{''.join(words)}>{joined(parts)}</{name}>")


def title_of(name: str) -> str:
    """Write the name of a field as words."""
    return FIGURE_TITLES.get(name, name.replace("_", " "))


def number(value: float | None, *, signed: bool = False) -> str:
    """Write a number: whole ones whole, others with three decimals; a small one is not 0."""
    if value is None:
        return NONE
    size = abs(value)
    if isinstance(value, int) or size >= _LARGE:
        words = f"{size:,.0f}"
    else:
        words = f"{size:.1g}" if 0 < size < _SMALL else f"{size:,.3f}"
    sign = "\N{MINUS SIGN}" if value < 0 else "+" * (signed and value > 0)
    return sign + words


def with_range(
    value: float | None, low: float | None, high: float | None, *, signed: bool = False
) -> Html:
    """Give a figure and, below it, its interval."""
    figure = tag("span", number(value, signed=signed), _class="figure")
    if value is None or low is None or high is None:
        return figure
    words = f"{number(low, signed=signed)} to {number(high, signed=signed)}"
    return joined([figure, tag("span", words, _class="range")], " ")


def value_of(value: Any) -> Html:
    """Give HTML for a value of JSON; a figure with its interval is written as one."""
    if value is None or isinstance(value, bool):
        return escaped({None: NONE, True: "yes", False: "no"}[value])
    if isinstance(value, int | float):
        return escaped(number(value))
    if _is_tally(value):
        return escaped(", ".join(f"{name} {number(count)}" for name, count in value.items()))
    if isinstance(value, Mapping):
        low, high = value.get("low"), value.get("high")
        if "value" in value or "mean" in value:
            return with_range(value.get("value", value.get("mean")), low, high)
        return escaped(f"{number(low)} to {number(high)}")
    if isinstance(value, Sequence) and not isinstance(value, str):
        return joined([value_of(one) for one in value], ", ") if value else escaped(NONE)
    return escaped(value)


def flat(values: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """List nested fields as (title, value); a figure and its interval stay together."""
    is_one = _is_tally(values) or _is_figure(values)
    if isinstance(values, Mapping) and values and not is_one:
        for name, value in values.items():
            yield from flat(value, (*above, title_of(str(name))))
    elif _holds_mappings(values):
        for place, value in enumerate(values, 1):
            yield from flat(value, (*above, str(place)))
    else:
        # an empty mapping has no fields, but its name is not lost
        yield ", ".join(above), None if values == {} else values


def _is_figure(values: Any) -> bool:
    is_known = isinstance(values, Mapping) and not values.keys() - _OF_FIGURE
    return is_known and ("value" in values or "low" in values)


def _is_tally(values: Any) -> bool:
    """Say whether these are many counts by name, such as words: too many for a row each."""
    is_long = isinstance(values, Mapping) and len(values) >= _TALLY
    return is_long and all(isinstance(count, int) for count in values.values())


def _holds_mappings(values: Any) -> bool:
    is_list = isinstance(values, Sequence) and not isinstance(values, str)
    return is_list and all(isinstance(value, Mapping) for value in values) and bool(values)


def table(
    head: Sequence[object], rows: Sequence[Sequence[object]], *, numeric: bool = True
) -> Html:
    """Give a table whose first column names the rows.

    Args:
        head: one piece a column
        rows: as many pieces each; a row of fewer ends in a cell over the rest
        numeric: the other columns are numbers, and stand right
    """
    top = tag("tr", *[tag("th", one, scope="col") for one in head])
    body = [_row(row, len(head)) for row in rows]
    kind = "numbers" if numeric else "words"
    inner = tag("table", tag("thead", top), tag("tbody", *body), _class=kind)
    return tag("div", inner, _class="scroll", tabindex="0")


def _row(cells: Sequence[object], width: int) -> Html:
    first, *rest = cells
    parts = [tag("th", first, scope="row"), *[tag("td", cell) for cell in rest]]
    if len(cells) < width:
        span = str(width - len(cells) + 1)
        parts[-1] = tag("td", rest[-1], colspan=span, _class="said")
    return tag("tr", *parts)


def fields(values: Mapping[str, Any]) -> Html:
    """Give a table of nested names and values, and one for each list of records."""
    if not values:
        return note(NONE)
    single = {name: value for name, value in values.items() if not _holds_mappings(value)}
    rows = [(title, value_of(value)) for title, value in flat(single)] if single else []
    tables = [table(("name", "value"), rows, numeric=False)] * bool(rows)
    return joined([*tables, *[records(values[name]) for name in values if name not in single]])


def records(found: Sequence[Mapping[str, Any]]) -> Html:
    """Give a table of records, a row each; nested fields get columns of their own."""
    rows = [dict(flat(record)) for record in found]
    names = list(dict.fromkeys(name for row in rows for name in row))
    cells = [[value_of(row.get(name)) for name in names] for row in rows]
    return table(names, cells)


def strip(
    value: float | None,
    low: float | None,
    high: float | None,
    marks: Mapping[str, float | None] = MappingProxyType({}),
) -> Html:
    """Draw a share on a line from 0 to 1 with its interval and, by name, what to hold it against.

    Values outside 0 to 1 give nothing: the line has no place for them.
    """
    against = {name: one for name, one in marks.items() if one is not None}
    shown = [one for one in (value, low, high, *against.values()) if one is not None]
    if value is None or not all(0 <= one <= 1 for one in shown):
        return Html("")
    parts = [
        tag("i", tag("b", name), _class="mark", style=_left(one)) for name, one in against.items()
    ]
    if low is not None and high is not None:
        width = f"{_left(low)};width:{100 * (high - low):.2f}%"
        parts.append(tag("i", _class="span", style=width))
    parts.append(tag("i", _class="dot", style=_left(value)))
    return tag("span", *parts, _class="strip", aria_hidden="true")


def _left(share: float) -> str:
    return f"left:{100 * share:.2f}%"


def note(*parts: object) -> Html:
    """Give a paragraph that explains."""
    return tag("p", *parts, _class="note")
