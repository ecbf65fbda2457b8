"""Measures -> curves on one time axis, as SVG within HTML.

Knows: axes, lines, marks. Does not know: how anything was measured. Colours are the page's own, so
that the curves are read on light and on dark; letters are HTML, so that they keep their size on a
phone, where only the curves shrink.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.unit_names import UNIT_NAMES
from emotion_llama.markup import Html, joined, tag
from emotion_llama.server.page.measures import COLUMNS, Curve, Measures

WIDTH, HEIGHT = 1000.0, 100.0
"""Of a drawing, in its own units; the page stretches it."""
TICKS = 6
"""Most times that are written under the curves."""
STEPS_S = (0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)


def curves(measures: Measures) -> Html:
    """Draw sound, voice and face over time; empty where there is no time."""
    if not measures.is_timed:
        return Html("")
    rows = [*_sound(measures)]
    rows += [_row(curve, measures, f"el-{curve.name}") for curve in measures.voice]
    rows += [_row(curve, measures, "el-unit") for curve in measures.units]
    if not rows:
        return Html("")
    return tag("div", *rows, _axis(measures), _legend(measures), _class="el-curves")


def _sound(measures: Measures) -> Iterator[Html]:
    if measures.envelope is None or not len(measures.envelope):
        return
    highest = max(float(np.abs(measures.envelope).max()), 1e-6)
    middle, reach = HEIGHT / 2, HEIGHT / 2 / highest
    places = np.linspace(0, WIDTH, len(measures.envelope))
    lower, upper = (
        [f"{x:.1f} {middle - reach * y:.1f}" for x, y in zip(places, edge, strict=True)]
        for edge in measures.envelope.T
    )
    path = f'<path class="el-fill" d="M{" L".join([*upper, *reversed(lower)])}Z"/>'
    yield _drawing("sound", "", path, measures, "el-sound", "The waveform")


def _row(curve: Curve, measures: Measures, kind: str) -> Html:
    """Draw one measure; gaps stay gaps."""
    name = UNIT_NAMES.get(curve.name, curve.name)
    title = f"{curve.name} {name}" if name != curve.name else name
    known = curve.values[~np.isnan(curve.values)]
    if curve.unit == "0 to 5":
        scale, said = "0 to 5", f"highest {known.max():.1f}"
    else:
        scale = said = f"{known.min():.0f} to {known.max():.0f} {curve.unit}"
    path = f'<path class="el-line" d="{_path(curve, measures)}"/>'
    return _drawing(title, scale, path, measures, kind, f"{title} over time, {said}")


def _path(curve: Curve, measures: Measures) -> str:
    """Write a curve as moves and lines, a new move after each gap."""
    times_s, values = _thinned(curve.times_s, curve.values)
    x = WIDTH * (times_s - measures.start_s) / (measures.end_s - measures.start_s)
    y = HEIGHT * (1 - (values - curve.low) / max(curve.high - curve.low, 1e-9))
    y = np.clip(y, 2, HEIGHT - 2)  # a line at the edge keeps its width
    parts, is_down = [], False
    for place, height in zip(x, y, strict=True):
        if math.isnan(height):
            is_down = False
            continue
        parts.append(f"{'L' if is_down else 'M'}{place:.1f} {height:.1f}")
        is_down = True
    return "".join(parts)


def _thinned(
    times_s: NDArray[np.float64], values: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Take every n-th value of a course longer than a screen is wide."""
    step = max(1, math.ceil(len(values) / COLUMNS))
    return times_s[::step], values[::step]


def _drawing(title: str, scale: str, path: str, measures: Measures, kind: str, said: str) -> Html:
    marks = "".join(_mark(measures, time_s, kind) for time_s, kind in _marks(measures))
    drawn = Html(
        f'<svg viewBox="0 0 {WIDTH:g} {HEIGHT:g}" preserveAspectRatio="none" role="img" '
        f'aria-label="{said}">{marks}{path}</svg>'
    )
    name = tag("span", title, tag("small", scale), _class="el-row-name")
    return tag("div", name, drawn, _class=f"el-row {kind}")


def _marks(measures: Measures) -> list[tuple[float, str]]:
    marks = ((measures.key_frame_s, "el-key-mark"), (measures.peak_s, "el-peak-mark"))
    return [(time_s, kind) for time_s, kind in marks if time_s is not None]


def _mark(measures: Measures, time_s: float, kind: str) -> str:
    x = WIDTH * (time_s - measures.start_s) / (measures.end_s - measures.start_s)
    return f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{HEIGHT:g}"/>'


def _axis(measures: Measures) -> Html:
    length_s = measures.end_s - measures.start_s
    step_s = next((step for step in STEPS_S if length_s / step <= TICKS), STEPS_S[-1])
    first = math.ceil(measures.start_s / step_s - 1e-6)
    last = math.floor(measures.end_s / step_s + 1e-6)
    ticks = [number * step_s for number in range(first, last + 1)]
    labels = [
        tag("span", f"{tick:g} s", style=f"left:{100 * (tick - measures.start_s) / length_s:.2f}%")
        for tick in ticks
    ]
    return tag("div", tag("span", *labels, _class="el-ticks"), _class="el-axis", aria_hidden="true")


def _legend(measures: Measures) -> Html:
    """Say what the upright lines are, with their times."""
    named = {"el-key-mark": "key frame", "el-peak-mark": "peak of the face"}
    items: list[object] = [
        tag("span", tag("i", _class=kind), f"{named[kind]}, {time_s:.2f} s")
        for time_s, kind in _marks(measures)
    ]
    return tag("p", joined(items, " "), _class="el-legend el-small") if items else Html("")
