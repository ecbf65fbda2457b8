"""Report -> the clip again, with what was found drawn on its frames.

Knows: which drawing belongs to which frame, films and pictures as targets. Does not know: how a
mark looks, how anything was measured.
"""

from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emotion_llama.clip_faces import FaceReport
from emotion_llama.face.drawing import (
    Bar,
    FaceMark,
    Overlay,
    Timeline,
    draw_overlay,
    panel_room,
)
from emotion_llama.media import FilmWriter, stream_frames

FILM_SUFFIXES = (".mp4", ".m4v")
PICTURE_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""How the overlay of a still picture may be written."""

LARGEST_PX = 4096
"""Longest side of an overlay: what players of H.264 take."""

FEW_BARS, MANY_BARS, LARGE_FRAME_PX = 5, 8, 480
"""Rows of the panel on frames below and from a shorter side."""


def require_overlay_name(path: Path, *, is_still: bool | None = None) -> None:
    """Check that a file's ending says a form that an overlay can have.

    Args:
        path: the file
        is_still: whether the clip is a still picture, where that is known

    Raises:
        ValueError: it does not
    """
    suffix = path.suffix.lower()
    if suffix in FILM_SUFFIXES or (suffix in PICTURE_FORMATS and is_still is not False):
        return
    why = "the clip is a film" if suffix in PICTURE_FORMATS else "no other form is written"
    allowed = ", ".join((*FILM_SUFFIXES, *PICTURE_FORMATS))
    expected = ", ".join(FILM_SUFFIXES) if suffix in PICTURE_FORMATS else allowed
    msg = f"found the ending {suffix!r} of {path}, expected one of {expected}: {why}"
    raise ValueError(msg)


def write_overlay(
    report: FaceReport, path: Path, advance: Callable[[], None] = lambda: None
) -> None:
    """Read the clip a second time and write it with everything drawn on.

    A film keeps its size and its sound; it has the frames that were looked at.

    Args:
        report: of one person
        path: ``.mp4``, or for a still picture also ``.png`` or ``.jpg``; it is replaced where it
            exists, and appears whole or not at all
        advance: called after every frame

    Raises:
        ValueError: another ending
    """
    clip = report.clip
    require_overlay_name(path, is_still=clip.is_still)
    frames = stream_frames(clip.path, clip.frames_per_second, LARGEST_PX)
    if path.suffix.lower() in PICTURE_FORMATS:
        _, frame = next(frames)
        _write_picture(draw_overlay(frame, _overlay(report, 0, frame)), path)
        advance()
        return
    with FilmWriter(path, None if clip.is_still else clip.path) as film:
        for number, (time_s, frame) in enumerate(frames):
            film.add(draw_overlay(frame, _overlay(report, number, frame)), time_s)
            advance()


def _write_picture(frame: NDArray[np.uint8], path: Path) -> None:
    part = path.with_name(f".{path.name}.{uuid4().hex}.part")
    try:
        with part.open("xb") as stream:
            Image.fromarray(frame).save(stream, format=PICTURE_FORMATS[path.suffix.lower()])
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _overlay(report: FaceReport, number: int, frame: NDArray[np.uint8]) -> Overlay:
    """Collect what is drawn on frame ``number``, [h x w x 3]."""
    clip, table = report.clip, report.table
    scale = frame.shape[1] / clip.width  # a large frame was looked at in a smaller size
    row = _row(report, number)
    peak = report.peak
    is_peak = peak is not None and peak.frame == number
    at_right, room_px = panel_room(report.track.boxes.mean(axis=0) * scale, frame.shape[1])
    caption = "" if clip.is_still else f"{clip.times_s[number]:.2f} s"
    return Overlay(
        caption=caption,
        face=None if row is None else _face(report, row, scale),
        others=_others(report, number, scale),
        bars=_bars(report, row, frame),
        absence=_absence(report, number, row),
        peak=f"PEAK {table.times_s[peak.row]:.2f} s" if peak and is_peak and caption else "",
        timeline=None if clip.is_still else _timeline(report, number),
        bars_at_right=at_right,
        bars_room_px=room_px,
    )


def _row(report: FaceReport, number: int) -> int | None:
    """Give the row of the person's track that frame ``number`` is, if there is one."""
    rows = report.clip.rows_of(report.track)
    place = int(np.searchsorted(rows, number))
    return place if place < len(rows) and rows[place] == number else None


def _face(report: FaceReport, row: int, scale: float) -> FaceMark:
    track = report.track
    assert track.points is not None and track.pose_deg is not None
    many = len(report.clip.people) > 1
    return FaceMark(
        box=track.boxes[row] * scale,
        label=f"person {track.person}" if many else "",
        points=track.points[row] * scale,
        pose_deg=track.pose_deg[row],
    )


def _others(report: FaceReport, number: int, scale: float) -> list[NDArray[np.floating]]:
    boxes: list[NDArray[np.floating]] = []
    for track in report.clip.people:
        if track.person != report.track.person:
            here = report.clip.rows_of(track) == number
            boxes.extend(track.boxes[here] * scale)
    return boxes


def _absence(report: FaceReport, number: int, row: int | None) -> str:
    if row is not None:
        return ""
    return "no face" if report.clip.nobody[number] else f"person {report.track.person} not here"


def _bars(report: FaceReport, row: int | None, frame: NDArray[np.uint8]) -> list[Bar]:
    """Give the same units in every frame, so that the eye can follow them."""
    number = FEW_BARS if min(frame.shape[:2]) < LARGE_FRAME_PX else MANY_BARS
    table = report.table
    if row is None:
        return [Bar(unit, float("nan"), 0.0) for unit in report.strongest(number)]
    return [
        Bar(unit, float(table.intensity[unit][row]), float(table.confidence[unit][row]))
        for unit in report.strongest(number)
    ]


def _timeline(report: FaceReport, number: int) -> Timeline:
    times_s = report.clip.times_s
    start, length = float(times_s[0]), max(float(times_s[-1] - times_s[0]), 1e-6)
    missing = [
        ((begin - start) / length, (end - start) / length)
        for begin, end, _ in report.clip.spans_of(report.missing)
    ]
    peak = None if report.peak is None else (report.peak.time_s - start) / length
    return Timeline((float(times_s[number]) - start) / length, peak, missing)
