"""Clip -> what a page can draw of it: curves over time, the key frame with the face marked.

Knows: which measures have a course, how many points a screen shows. Does not know: HTML, answers.
The numbers are those behind the evidence (`emotion_llama.evidence`), before they are put in words.
"""

import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emotion_llama.evidence import measured_units
from emotion_llama.face import is_talking, peak_frame
from emotion_llama.face.drawing import PERSON, draw_box, draw_points
from emotion_llama.face.movements import FULL
from emotion_llama.records import ActionUnitTable, Clip, FaceTrack
from emotion_llama.voice.frames import SAMPLE_RATE_HZ, cut_frames
from emotion_llama.voice.pitch import track_pitch

COLUMNS = 500
"""Points of a curve over the width of a screen; of more, neighbours are summed up."""
MOST_UNITS = 5
"""Action units that are drawn and listed, the strongest first: more are a thicket."""
WORTH_SHOWING = 0.5
"""Intensity from which a unit is shown: nearer to a trace (A) than to absent."""
NEAR_S = 0.11
"""Farthest that a tracked frame may be from the key frame to be its face: half a step of the
default five frames a second."""
PICTURE_PX = 640
"""Longest side of the key frame as it is shown."""
QUIETEST_DB = 40.0
"""Range below the loudest moment that the curve of loudness shows."""


@dataclass(frozen=True)
class Curve:
    """One measure over time."""

    name: str
    unit: str
    times_s: NDArray[np.float64]
    """in the whole file, [t]"""
    values: NDArray[np.float64]
    """NaN where there is none, [t]"""
    low: float
    high: float
    """ends of the scale"""


@dataclass(frozen=True)
class FoundUnit:
    """An action unit in the key frame."""

    unit: str
    intensity: float
    """0 to 5"""
    confidence: float


@dataclass(frozen=True)
class Measures:
    """What is drawn of one clip or segment."""

    start_s: float
    end_s: float
    envelope: NDArray[np.float64] | None = None
    """lowest and highest sample of equal parts of the sound, [t x 2]"""
    voice: tuple[Curve, ...] = ()
    units: tuple[Curve, ...] = ()
    peak_s: float | None = None
    """where the action units are strongest"""
    key_frame_s: float | None = None
    """``None`` for what has no time"""
    found: tuple[FoundUnit, ...] = ()
    """in the key frame, the strongest first"""
    plain_frame: bytes | None = None
    """the key frame, JPEG"""
    marked_frame: bytes | None = None
    """the key frame with box and points of the face, JPEG"""

    @property
    def is_timed(self) -> bool:
        """Whether there is a time axis."""
        return self.end_s > self.start_s


def measure(clip: Clip, span: tuple[float, float] | None = None) -> Measures:
    """Take what can be drawn of a clip.

    Args:
        clip: as `emotion_llama.server.reading.readers.Readers` gives it
        span: which part of its file it is
    """
    start_s = span[0] if span else 0.0
    end_s = start_s + (clip.duration_s or 0.0)
    table = measured_units(clip)
    talking = is_talking(clip.faces, has_sound=clip.waveform is not None)
    peak = None if table is None else peak_frame(table, speech_counts=not talking)
    row = _row_at(clip.faces, clip.key_frame_s)
    is_timed = end_s > start_s
    return Measures(
        start_s=start_s,
        end_s=end_s,
        envelope=None if clip.waveform is None else _envelope(clip.waveform),
        voice=_voice_curves(clip, start_s),
        units=() if table is None or not is_timed else _unit_curves(table),
        peak_s=peak.time_s if peak is not None and is_timed else None,
        key_frame_s=clip.key_frame_s if is_timed else None,
        found=() if table is None or row is None else _found(table, row),
        plain_frame=None if clip.key_frame is None else _jpeg(clip.key_frame),
        marked_frame=_marked(clip, row),
    )


def _row_at(faces: FaceTrack | None, time_s: float | None) -> int | None:
    """Find the row of the face at a time; ``None``: it is not followed there."""
    if faces is None or time_s is None:
        return None
    row = int(np.argmin(np.abs(faces.times_s - time_s)))
    return row if abs(float(faces.times_s[row]) - time_s) < NEAR_S else None


def _found(table: ActionUnitTable, row: int) -> tuple[FoundUnit, ...]:
    units = [
        FoundUnit(unit, float(values[row]), float(table.confidence[unit][row]))
        for unit, values in table.intensity.items()
        if values[row] >= WORTH_SHOWING
    ]
    return tuple(sorted(units, key=lambda one: -one.intensity)[:MOST_UNITS])


def _unit_curves(table: ActionUnitTable) -> tuple[Curve, ...]:
    """Give the courses of the units that were strongest somewhere in the clip."""
    highest = {
        unit: float(np.nanmax(values))
        for unit, values in table.intensity.items()
        if not np.isnan(values).all()
    }
    strongest = sorted(highest, key=lambda unit: -highest[unit])[:MOST_UNITS]
    return tuple(
        Curve(unit, "0 to 5", table.times_s, table.intensity[unit].astype(np.float64), 0.0, FULL)
        for unit in strongest
        if highest[unit] >= WORTH_SHOWING
    )


def _voice_curves(clip: Clip, start_s: float) -> tuple[Curve, ...]:
    """Give pitch and loudness over time; nothing where nobody was heard."""
    if clip.waveform is None or clip.sample_rate_hz != SAMPLE_RATE_HZ or not len(clip.waveform):
        return ()
    frames = cut_frames(clip.waveform)
    times_s = start_s + frames.times_s
    loudest = float(frames.levels_db.max())
    levels = np.maximum(frames.levels_db, loudest - QUIETEST_DB)
    loudness = Curve("loudness", "dB", times_s, levels, loudest - QUIETEST_DB, loudest)
    hertz = track_pitch(frames).hertz
    if np.isnan(hertz).all():
        return (loudness,)
    low, high = 0.9 * float(np.nanmin(hertz)), 1.1 * float(np.nanmax(hertz))
    return (Curve("pitch", "Hz", times_s, hertz, low, high), loudness)


def _envelope(waveform: NDArray[np.float32]) -> NDArray[np.float64]:
    """Give the lowest and highest sample of equal parts of a sound [w], [t x 2]."""
    edges = np.unique(np.linspace(0, len(waveform), COLUMNS + 1).astype(np.intp))[:-1]
    if not len(edges):
        return np.empty((0, 2))
    lows, highs = np.minimum.reduceat(waveform, edges), np.maximum.reduceat(waveform, edges)
    return np.stack([lows, highs], axis=1).astype(np.float64)


def _marked(clip: Clip, row: int | None) -> bytes | None:
    if clip.key_frame is None or clip.faces is None or row is None:
        return None
    drawn = clip.key_frame.copy()
    draw_box(drawn, clip.faces.boxes[row], PERSON)
    if clip.faces.points is not None:
        draw_points(drawn, clip.faces.points[row])
    return _jpeg(drawn)


def _jpeg(frame: NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(frame)
    image.thumbnail((PICTURE_PX, PICTURE_PX))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=90)
    return out.getvalue()
