"""Report -> a plot of action units over time.

Knows: matplotlib, rows, colours. Does not know: how anything was measured, films. Colours are from
Okabe & Ito (2008), told apart by colour-blind people too.
"""

from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from emotion_llama.clip_faces import FaceReport
from emotion_llama.face.movements import FULL
from emotion_llama.face.peak import summed
from emotion_llama.face.unit_names import titled

FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}
WIDTH_IN, ROW_IN = 9.0, 0.27
SCOPES = {
    "clip": "the person's own neutral",
    "population": "the mean face of many people",
    "producer": "what the producer takes as neutral",
}
COUNTED_COLOUR, OTHER_COLOUR = "#0072b2", "#777777"
PEAK_COLOUR = "#d55e00"
POSE_COLOURS = {"yaw": "#0072b2", "pitch": "#e69f00", "roll": "#000000"}
POSE_STYLES = {"yaw": "-", "pitch": "--", "roll": ":"}
SURE = 0.5
"""Confidence from which an area has its full colour."""


def require_matplotlib() -> None:
    """Check that plots can be drawn.

    Raises:
        ValueError: matplotlib is not installed
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        msg = (
            "found no matplotlib, which --plot draws with; "
            "install it with: pip install 'emotion-llama[plot]'"
        )
        raise ValueError(msg) from error


def require_plot_name(path: Path) -> None:
    """Check that a file's ending says a form that a plot can have.

    Raises:
        ValueError: it does not
    """
    if path.suffix.lower() not in FORMATS:
        msg = f"found the ending {path.suffix!r} of {path}, expected one of {', '.join(FORMATS)}"
        raise ValueError(msg)


def write_plot(report: FaceReport, path: Path) -> None:
    """Draw every unit as a strip over time, above them their sum and below them the head's pose.

    Args:
        report: of one person
        path: ``.png``, ``.svg`` or ``.pdf``; it is replaced where it exists, and appears whole or
            not at all

    Raises:
        ValueError: another ending, or matplotlib is not installed
    """
    require_plot_name(path)
    require_matplotlib()
    figure = _figure(report)
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as stream:
            figure.savefig(stream, format=FORMATS[path.suffix.lower()], dpi=130)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _figure(report: FaceReport) -> Any:
    # not pyplot: it would choose a window system and keep the figure
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    heights = [1.0, len(report.table.units) * ROW_IN, 1.2]
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 1.6), layout="constrained")
    FigureCanvasAgg(figure)
    above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=heights)
    edges_s = _edges_s(report)
    _draw_sum(above, report)
    _draw_units(middle, report, edges_s)
    _draw_pose(below, report)
    for axis in (above, middle, below):
        _mark_times(axis, report)
    above.set_xlim(edges_s[0], edges_s[-1])
    words = "still picture" if report.clip.is_still else "time in seconds"
    below.set_xlabel(words, fontsize=8)
    below.tick_params(axis="x", labelsize=8)
    if report.clip.is_still:
        below.set_xticks([])
    _label_peak(above, report)
    figure.suptitle(_title(report), x=0.01, ha="left", fontsize=10)
    figure.supxlabel(
        "height of a row: intensity 0 to 5   |   pale: confidence under "
        f"{SURE:g}   |   grey: not counted at the peak   |   hatched: not measured",
        fontsize=8,
    )
    return figure


def _title(report: FaceReport) -> str:
    table = report.table
    name = report.clip.path.name.replace("$", r"\$")  # a pair of $ would be read as a formula
    who = f", person {table_person}" if (table_person := report.track.person) > 1 else ""
    return (
        f"{name}{who}: facial action units\n"
        f"{table.producer}, version {table.version}\nmeasured against {SCOPES[table.scope]}"
    )


def _edges_s(report: FaceReport) -> NDArray[np.float64]:
    """Give when each frame begins, and when the last one ends, [t + 1]."""
    times_s = report.clip.times_s
    return np.append(times_s, times_s[-1] + (report.clip.step_s or 1.0))


def _middles_s(report: FaceReport) -> NDArray[np.float64]:
    """Give the middle of the time that each frame is shown, [t]."""
    edges_s = _edges_s(report)
    return (edges_s[:-1] + edges_s[1:]) / 2


def _on_clip(report: FaceReport, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Spread a column of the table over all frames of the clip, NaN without the person, [t]."""
    spread = np.full(len(report.clip.times_s), np.nan)
    spread[report.table.frames] = values
    return spread


def _draw_units(axis: Any, report: FaceReport, edges_s: NDArray[np.float64]) -> None:
    """Draw a row a unit, the curve of its intensity filled; what was not measured is hatched."""
    table = report.table
    for row, unit in enumerate(table.units):
        floor = len(table.units) - 1.0 - row
        height = 0.86 * _on_clip(report, table.intensity[unit]) / FULL  # [t]
        sure = _on_clip(report, table.confidence[unit]) >= SURE
        colour = OTHER_COLOUR if unit in report.left_out else COUNTED_COLOUR
        _fill(axis, edges_s, floor, height, color=colour, alpha=0.35, linewidth=0)
        _fill(axis, edges_s, floor, np.where(sure, height, np.nan), color=colour, linewidth=0)
        _fill(axis, edges_s, floor, np.where(np.isnan(height), np.nan, 0.02), color="#999999",
              linewidth=0)  # fmt: skip
        absent = np.where(np.isnan(height), 1.0, np.nan)
        _fill(axis, edges_s, floor, absent, facecolor="none", edgecolor="#bbbbbb", hatch="////",
              linewidth=0)  # fmt: skip
        highest = "-" if unit in report.never else f"{np.nanmax(table.intensity[unit]):.1f}"
        axis.text(1.005, floor + 0.4, highest, transform=axis.get_yaxis_transform(), fontsize=7,
                  va="center")  # fmt: skip
        if unit in report.never:
            _say_never(axis, (edges_s[0] + edges_s[-1]) / 2, floor, report.never[unit])
    axis.text(1.005, len(table.units) + 0.1, "max", transform=axis.get_yaxis_transform(),
              fontsize=7, va="bottom")  # fmt: skip
    axis.set_ylim(0, len(table.units))
    names = [titled(unit) for unit in reversed(table.units)]
    axis.set_yticks(np.arange(len(names)) + 0.4, names, fontsize=8)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
    axis.set_axisbelow(True)


def _say_never(axis: Any, middle_s: float, floor: float, reason: str) -> None:
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1.0}
    words = f"not measured: {reason}"
    axis.text(middle_s, floor + 0.45, words, ha="center", va="center", fontsize=7, bbox=box)


def _fill(
    axis: Any,
    edges_s: NDArray[np.float64],
    floor: float,
    height: NDArray[np.floating],
    **style: Any,
) -> None:
    """Fill steps of the height of each frame [t] over a floor; NaN leaves a gap."""
    if not np.isnan(height).all():
        # two corners a frame: with steps of matplotlib, the last frame before a gap has no width
        corners_s = np.repeat(edges_s, 2)[1:-1]
        corners = np.repeat(height, 2)
        shown = ~np.isnan(corners)
        axis.fill_between(corners_s, floor, floor + corners, where=shown, **style)


def _draw_sum(axis: Any, report: FaceReport) -> None:
    """Draw the sum that the peak is the largest of."""
    axis.set_ylabel("weighted sum", fontsize=8)
    axis.tick_params(axis="y", labelsize=7)
    if report.peak is None:
        return
    sums = _on_clip(report, summed(report.table, report.peak.units))
    times_s = _middles_s(report)
    marker = "o" if len(times_s) == 1 else None
    axis.plot(times_s, sums, color=COUNTED_COLOUR, linewidth=1.4, marker=marker)
    axis.fill_between(times_s, 0, sums, color=COUNTED_COLOUR, alpha=0.15, linewidth=0)
    axis.set_ylim(0, max(1.0, 1.25 * float(np.nanmax(sums))))


def _draw_pose(axis: Any, report: FaceReport) -> None:
    pose_deg = report.track.pose_deg
    assert pose_deg is not None
    times_s = _middles_s(report)
    marker = "o" if len(times_s) == 1 else None
    for column, (name, colour) in enumerate(POSE_COLOURS.items()):
        angles = _on_clip(report, pose_deg[:, column])
        axis.plot(times_s, angles, POSE_STYLES[name], color=colour, label=name, marker=marker)
    reach = max(20.0, 1.1 * float(np.abs(pose_deg).max()))
    axis.set_ylim(-reach, reach)
    axis.axhline(0, color="#999999", linewidth=0.6)
    axis.set_ylabel("head, degrees", fontsize=8)
    axis.tick_params(axis="y", labelsize=7)
    # above the frame, where no curve runs
    axis.legend(loc="lower right", bbox_to_anchor=(1.0, 0.97), ncols=3, fontsize=7, frameon=False)


def _mark_times(axis: Any, report: FaceReport) -> None:
    """Shade the stretches without the person and draw the line of the peak."""
    for start, end, _ in report.clip.spans_of(report.missing):
        axis.axvspan(start, end, color="#e4e4e4", linewidth=0, zorder=0)
    if report.peak is not None and not report.clip.is_still:
        axis.axvline(_peak_s(report), color=PEAK_COLOUR, linewidth=1.5)


def _peak_s(report: FaceReport) -> float:
    """Give the middle of the time that the peak frame is shown."""
    assert report.peak is not None
    return float(_middles_s(report)[report.peak.frame])


def _label_peak(axis: Any, report: FaceReport) -> None:
    if report.peak is None:
        return
    peak, clip = report.peak, report.clip
    words = (
        f"weighted sum {peak.score:.1f}"
        if clip.is_still
        else (f"peak at {peak.time_s:.2f} s, weighted sum {peak.score:.1f}")
    )
    is_late = peak.time_s - clip.times_s[0] > 0.7 * (clip.times_s[-1] - clip.times_s[0] + 1e-6)
    axis.annotate(
        words,
        (_peak_s(report), 0.97),
        (-5 if is_late else 5, 0),
        xycoords=axis.get_xaxis_transform(),
        textcoords="offset points",
        ha="right" if is_late else "left",
        va="top",
        fontsize=8,
        color=PEAK_COLOUR,
        fontweight="bold",
    )
