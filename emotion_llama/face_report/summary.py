"""How a report on a face looks to a person in a terminal.

Knows: rich, wording, which units are worth a line. Does not know: flags, files, how faces are
found.
"""

import numpy as np
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from emotion_llama import terminal
from emotion_llama.clip_faces import ClipFaces, FaceReport, Span
from emotion_llama.face.movements import FULL
from emotion_llama.face.unit_names import grade, titled
from emotion_llama.records import FaceTrack

MAX_SPANS = 6
"""Stretches of time that are listed; of more, the rest is counted."""
MAX_UNITS = 8
WORTH_A_LINE = 0.5
"""Intensity from which a unit is listed: nearer to a trace (A) than to absent."""
BAR_CELLS = 20
COLOUR = "#e69f00"
SCOPES = {
    "clip": "relative to this person's own face at rest, taken from the calmest frames",
    "population": "relative to the mean face of many people: too few frames to see this one at "
    "rest, so features of the person may pass for expression",
    "producer": "as the program that measured it has it",
}


def summary(report: FaceReport, *, ascii_only: bool = False) -> RenderableType:
    """Lay out a report: what was looked at, who was found, the peak and its units."""
    name = terminal.printable(str(report.clip.path))
    parts: list[RenderableType] = [Text(name, style="bold", overflow="fold"), Text()]
    parts += [_facts(report), Text()]
    if report.peak is not None:
        parts += [_peak_units(report, ascii_only=ascii_only)]
    if report.never:
        parts += [Text(), _never_measured(report)]
    return Group(*parts)


def faceless(clip: ClipFaces) -> str:
    """Say that nobody was found, and what may help."""
    num_frames = len(clip.times_s)
    where = "the picture" if clip.is_still else f"{num_frames} frame{'s' * (num_frames != 1)}"
    return (
        f"{terminal.printable(str(clip.path))}: no face was found in {where} "
        f"({clip.width} x {clip.height} px); faces under 40 px and backs of heads are not found"
    )


def _facts(report: FaceReport) -> Table:
    clip = report.clip
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(overflow="fold")
    grid.add_row("  looked at", _looked_at(clip))
    for track in clip.people:
        grid.add_row("  people" if track.person == 1 else "", _person_line(clip, track, report))
    if clip.nobody.any():
        grid.add_row("  nobody", Text(_spans(clip.spans_of(clip.nobody)), style="yellow"))
    if (report.missing != clip.nobody).any():
        words = f"{_spans(clip.spans_of(report.missing))} without person {report.track.person}"
        grid.add_row("  missing", Text(words, style="yellow"))
    grid.add_row("  head", _pose_ranges(report.track))
    grid.add_row("  neutral", Text(SCOPES[report.table.scope]))
    grid.add_row("  peak", _peak_words(report))
    grid.add_row("  not counted", Text(_left_out_words(report)))
    for note in clip.notes:
        grid.add_row("  note", Text(terminal.printable(note), style="yellow"))
    return grid


def _looked_at(clip: ClipFaces) -> Text:
    size = f"{clip.width} x {clip.height} px"
    if clip.is_still:
        return Text(f"a still picture of {size}")
    num_frames = len(clip.times_s)
    rate = f", {1 / clip.step_s:.3g} a second" if clip.step_s else ""
    span = f"{clip.times_s[0]:.2f} to {clip.times_s[-1]:.2f} s"
    return Text(f"{num_frames} frame{'s' * (num_frames != 1)}, {span}{rate}, {size}")


def _person_line(clip: ClipFaces, track: FaceTrack, report: FaceReport) -> Text:
    is_reported = track.person == report.track.person
    side = float(track.boxes[:, 2:].max(axis=1).mean())
    share = np.floor(100 * track.coverage)  # only what is everywhere is 100 %
    line = Text(f"{track.person}: in {share:.0f} % of the frames, face {side:.0f} px wide")
    if is_reported:
        line.append("   reported here", style="bold")
    return line


def _spans(spans: list[Span]) -> str:
    shown = [
        f"{start:.2f} to {end:.2f} s ({num} frame{'s' * (num != 1)})" if end > start else "always"
        for start, end, num in spans[:MAX_SPANS]
    ]
    rest = spans[MAX_SPANS:]
    if rest:
        shown.append(f"{len(rest)} more ({sum(num for *_, num in rest)} frames)")
    return ", ".join(shown)


def _pose_ranges(track: FaceTrack) -> Text:
    assert track.pose_deg is not None
    low, high = track.pose_deg.min(axis=0), track.pose_deg.max(axis=0)
    parts = []
    for name, small, large in zip(("yaw", "pitch", "roll"), low, high, strict=True):
        first, last = round(float(small)), round(float(large))
        parts.append(f"{name} {first}" if first == last else f"{name} {first} to {last}")
    return Text(f"{', '.join(parts)} degrees (above 0: right, down, clockwise)")


def _peak_words(report: FaceReport) -> Text:
    peak = report.peak
    if peak is None:
        return Text("none: no unit could be measured in any frame", style="yellow")
    where = "" if report.clip.is_still else f"{peak.time_s:.2f} s (frame {peak.frame}), "
    compared = "" if report.clip.is_still else f"; {peak.num_frames} frames compared"
    line = Text(where, style="bold")
    line.append(f"weighted sum {peak.score:.1f} over {len(peak.units)} units ", style="bold")
    return line.append(f"(reading {peak.reading}{compared})", style="not bold")


def _left_out_words(report: FaceReport) -> str:
    silence = report.clip.silence
    words = "blinks; AU25, AU26 and AU27 (parted lips, dropped jaw), "
    if report.speech_counts:
        words = f"blinks; AU25, AU26 and AU27 count, for there is no sound ({silence})"
    elif silence is None:
        words += "for the clip has audible sound and talking moves them too"
    else:
        words += f"for the lips are seen to talk, though there is no sound ({silence})"
    if report.peak is None or report.peak.reading == "all":
        return words
    num_rare = len(report.table.units) - len(report.left_out) - len(report.peak.units)
    return f"{words}; {num_rare} units that occur less often (reading frequent)"


def _peak_units(report: FaceReport, *, ascii_only: bool) -> RenderableType:
    """List the strongest units at the peak with bars."""
    assert report.peak is not None
    table, row = report.table, report.peak.row
    values = {unit: float(table.intensity[unit][row]) for unit in table.intensity}
    shown = [unit for unit in values if values[unit] >= WORTH_A_LINE]
    shown = sorted(shown, key=lambda unit: -values[unit])[:MAX_UNITS]
    if not shown:
        words = f"no unit reaches {WORTH_A_LINE:g} at the peak: the face hardly moves"
        return Padding(Text(words), (0, 2))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(width=BAR_CELLS, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True)
    head = ("  at the peak" if not report.clip.is_still else "  measured", "", "0-5", "sure")
    grid.add_row(*(Text(words, style="dim") for words in head))
    for unit in shown:
        cells = values[unit] / FULL * BAR_CELLS / terminal.BAR_WIDTH
        is_counted = unit in report.peak.units
        sure = Text(f"{table.confidence[unit][row]:.2f}")
        if not is_counted:
            sure.append("  not counted", style="dim")
        grid.add_row(
            Text(f"  {titled(unit)}"),
            Text(terminal.bar(cells, ascii_only=ascii_only), style=COLOUR if is_counted else "dim"),
            Text(f"{values[unit]:.1f} {grade(values[unit])}"),
            sure,
        )
    return grid


def _never_measured(report: FaceReport) -> RenderableType:
    """List the units without a value in any frame, by reason."""
    by_reason: dict[str, list[str]] = {}
    for unit, reason in report.never.items():
        by_reason.setdefault(reason, []).append(unit)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True, style="yellow")
    grid.add_column(overflow="fold")
    for reason, units in by_reason.items():
        every = len(units) == len(report.table.units)
        names = f"all {len(units)} units" if every else ", ".join(map(titled, units))
        grid.add_row("  not measured", Text(f"{names}: {reason}"))
    return grid
