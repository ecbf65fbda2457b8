"""Figures of a run -> the one that leads, beside what to hold it against, as HTML.

Knows: where the leading figure of each kind of protocol stands, and what its interval allows to
say. Does not know: the page around, how anything was computed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emotion_llama.evaluation.metrics import LEVEL
from emotion_llama.evaluation.report.read import FigureRow, MetricsRow
from emotion_llama.evaluation.report.sections import LEADING, draw_absent, majority_title
from emotion_llama.markup import (
    Html,
    joined,
    number,
    strip,
    tag,
    title_of,
    with_range,
)


@dataclass(frozen=True)
class Reading:
    """The leading figure, in one reading of it."""

    title: str
    figure: FigureRow
    num_clips: int


def readings(metrics: MetricsRow) -> list[Reading]:
    """Find the figure that the protocol names; some have several readings, such as two classes.

    Returns:
        none where the run does not have it
    """
    scored = metrics.labels.scored if metrics.labels else None
    if scored:
        name, clips = metrics.protocol.metric, scored.num_clips
        found = scored.figures.get(name)
        clips = metrics.counts.answered if clips is None else clips
        return [] if found is None else [Reading(title_of(name), found, clips)]
    section = getattr(metrics, LEADING.get(metrics.protocol.kind, "labels"))
    return [one for one in _of_section(metrics, section or {}) if one.figure.value is not None]


def _of_section(metrics: MetricsRow, section: Mapping[str, Any]) -> Iterator[Reading]:
    """Look for the figure in a section, and in the parts of it that are readings."""
    name, answered = metrics.protocol.metric, metrics.counts.answered
    for key, value in section.items():
        if key.split("@")[0] == name:  # a judged figure names its judge
            own = value if isinstance(value, Mapping) else {}
            clips = _clips(own, _clips(section, answered))
            yield Reading(title_of(key), _figure(value, section, name), clips)
        elif isinstance(value, Mapping) and isinstance(value.get(name), int | float):
            title = f"{title_of(name)}, {title_of(key)}"
            yield Reading(title, _figure(value[name], value, name), _clips(value, answered))


def _figure(value: Any, around: Mapping[str, Any], name: str) -> FigureRow:
    """Put a figure and its interval together, wherever the interval stands."""
    if isinstance(value, Mapping):
        interval = value.get("interval") or value
        value = value.get("value", value.get("mean"))
    else:
        interval = (around.get("intervals") or {}).get(name) or {}
    return FigureRow(value=value, low=interval.get("low"), high=interval.get("high"))


def _clips(around: Mapping[str, Any], otherwise: int) -> int:
    counts = [around.get(name) for name in ("num_scored", "num_clips", "n")]
    return next((int(count) for count in counts if count is not None), otherwise)


def draw_verdict(metrics: MetricsRow) -> Html:
    """Show the leading figure at one glance, or say why there is none."""
    found = readings(metrics)
    if not found:
        name = metrics.protocol.metric
        words = f"The run has no {title_of(name)}, the figure that leads here."
        reason = draw_absent(metrics, LEADING.get(metrics.protocol.kind, "labels"))
        return tag("div", tag("p", words, _class="said"), reason, _class="verdict")
    return _several(metrics, found) if len(found) > 1 else _single(metrics, found[0])


def _single(metrics: MetricsRow, leading: Reading) -> Html:
    name, figure = metrics.protocol.metric, leading.figure
    against = {**_baseline(metrics), "published": metrics.protocol.published.get(name)}
    has_interval = figure.low is not None
    interval = f"{100 * LEVEL:.0f} % interval over" if has_interval else "no interval,"
    big = tag(
        "div",
        tag("span", leading.title, _class="name"),
        with_range(figure.value, figure.low, figure.high),
        tag("span", f"{interval} {leading.num_clips:,} clips"),
        _class="big",
    )
    lines = [(title, number(value)) for title, value in against.items()]
    lines += _published_way(metrics)
    return tag(
        "div",
        big,
        _pairs(lines),
        strip(figure.value, figure.low, figure.high, against),
        tag("p", " ".join(_said(figure, against)), _class="said"),
        _class="verdict",
    )


def _several(metrics: MetricsRow, found: Sequence[Reading]) -> Html:
    """List the readings: to choose one of them here would be to choose the best."""
    lines: list[tuple[str, object]] = []
    for one in found:
        figure = with_range(one.figure.value, one.figure.low, one.figure.high)
        lines.append((one.title, joined([figure, f"over {one.num_clips:,} clips"], " ")))
    published = metrics.protocol.published.get(metrics.protocol.metric)
    lines.append(("published", number(published)))
    words = "This figure has several readings; compare like with like, as the note says."
    return tag("div", _pairs(lines), tag("p", words, _class="said"), _class="verdict")


def _pairs(lines: Sequence[tuple[str, object]]) -> Html:
    return tag("dl", *[part for one, two in lines for part in (tag("dt", one), tag("dd", two))])


def _published_way(metrics: MetricsRow) -> list[tuple[str, Html]]:
    """Give this run's figure, counted as the published one."""
    counted = metrics.labels.published if metrics.labels else None
    found = counted.figures.get(metrics.protocol.metric) if counted else None
    if found is None:
        return []
    return [("this run, published way", with_range(found.value, found.low, found.high))]


def _baseline(metrics: MetricsRow) -> dict[str, float | None]:
    """Name what is had without a model, and its figure."""
    name, baselines = metrics.protocol.metric, metrics.baselines
    if metrics.protocol.kind != "labels":
        others = (baselines.model_extra if baselines else None) or {}
        return {
            title: values[name]
            for title, values in others.items()
            if isinstance(values, Mapping) and isinstance(values.get(name), int | float)
        }
    found = baselines.majority.figures.get(name) if baselines and baselines.majority else None
    return {majority_title(metrics): found.value if found else None}


def _said(figure: FigureRow, against: Mapping[str, float | None]) -> list[str]:
    """Say in words how the figure stands to what it is held against."""
    if figure.low is None or figure.high is None:
        return ["Without an interval, nothing can be said about differences."]
    said = []
    for title, value in against.items():
        name = "the published figure" if title == "published" else f"the baseline: {title}"
        if value is not None:
            said.append(f"{_stands(figure.low, figure.high, value)} {name}.")
    return said or ["There is nothing to hold it against."]


def _stands(low: float, high: float, other: float) -> str:
    if low > other:
        return "Above"
    return "Below" if high < other else "Not told apart from"
