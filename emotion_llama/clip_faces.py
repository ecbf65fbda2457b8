"""File -> everybody's face through it, and one person's action units with their peak.

Knows: the order of the steps, and when parted lips count. Does not know: flags, layout, drawing.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_llama.config import MediaConfig
from emotion_llama.face import (
    FaceDetector,
    FaceLandmarker,
    FaceTracker,
    PeakFrame,
    PeakReading,
    is_talking,
    measure_action_units,
    peak_frame,
)
from emotion_llama.face.peak import uncounted_units
from emotion_llama.face.unmeasured import why_never_measured
from emotion_llama.media import expected_frames, read_waveform, stream_frames
from emotion_llama.media.still import read_still
from emotion_llama.records import ActionUnitTable, FaceTrack

FRAMES_PER_SECOND = 30.0
"""Most frames looked at: films of cameras have 24 to 30, and expressions last longer than 2."""

CROP_PX = 48
"""Side of the crops that are kept of every frame, with the views 2.1 GB an hour of film; only the
reading of brows on stills and very short clips looks at them, and it learned from pictures of this
size."""

Span = tuple[float, float, int]
"""From and to in seconds, and the number of frames."""


@dataclass(frozen=True)
class ClipFaces:
    """Everybody's face in one file."""

    path: Path
    times_s: NDArray[np.float64]
    """presentation time of each frame that was looked at, [t]"""
    height: int
    """of the frames as they were looked at, in pixels"""
    width: int
    people: tuple[FaceTrack, ...]
    """the main one first"""
    frames_per_second: float
    """most frames that were looked at"""
    is_still: bool
    silence: str | None
    """why there is no audible sound; ``None`` where there is"""
    notes: tuple[str, ...] = ()
    """what a person should know of the reading"""

    @property
    def nobody(self) -> NDArray[np.bool_]:
        """Which frames show nobody, [t]."""
        seen = np.zeros(len(self.times_s), dtype=bool)
        for track in self.people:
            seen[self.rows_of(track)] = True
        return ~seen

    @property
    def step_s(self) -> float:
        """How long a frame is shown, as a rule; 0 for a single one."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else 0.0

    def rows_of(self, track: FaceTrack) -> NDArray[np.intp]:
        """Give the numbers of the frames that show a person, in order of time."""
        return np.searchsorted(self.times_s, track.times_s)

    def spans_of(self, chosen: NDArray[np.bool_]) -> list[Span]:
        """Join neighbouring frames [t] to stretches; one ends where the next frame begins."""
        edges = np.flatnonzero(np.diff(np.concatenate([[False], chosen, [False]]).astype(int)))
        ends_s = np.append(self.times_s, self.times_s[-1] + self.step_s)
        return [
            (float(self.times_s[start]), float(ends_s[end]), int(end - start))
            for start, end in edges.reshape(-1, 2)
        ]


@dataclass(frozen=True)
class FaceReport:
    """One person's face in a clip."""

    clip: ClipFaces
    track: FaceTrack
    table: ActionUnitTable
    peak: PeakFrame | None
    speech_counts: bool
    never: dict[str, str]
    """units without a value in any frame, with the reason"""

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which frames do not show the person, [t]."""
        absent = np.ones(len(self.clip.times_s), dtype=bool)
        absent[self.clip.rows_of(self.track)] = False
        return absent

    @property
    def left_out(self) -> tuple[str, ...]:
        """Units that the peak does not count, of those measured."""
        uncounted = uncounted_units(speech_counts=self.speech_counts)
        return tuple(unit for unit in self.table.units if unit in uncounted)

    def strongest(self, number: int) -> list[str]:
        """Name the units with the largest values in the clip, of those that count at the peak."""
        highest = {
            unit: float(np.nanmax(values))
            for unit, values in self.table.intensity.items()
            if unit not in self.left_out and not np.isnan(values).all()
        }
        chosen = sorted(highest, key=lambda unit: -highest[unit])[:number]
        return [unit for unit in self.table.units if unit in chosen]


def look_at(
    path: Path,
    detector: FaceDetector,
    frames_per_second: float = FRAMES_PER_SECOND,
    observe: Callable[[float, NDArray[np.uint8]], None] = lambda _time_s, _frame: None,
    expect: Callable[[int], None] = lambda _: None,
    landmarker: FaceLandmarker | None = None,
) -> ClipFaces:
    """Follow every face through a file, frame by frame.

    Args:
        path: film or still picture
        detector: what finds faces
        frames_per_second: most frames to look at
        observe: given every frame with its time, after the face was looked for
        expect: called once before them with their number by the file's header; 0: unknown
        landmarker: what finds their points; default is the packaged network

    Raises:
        MediaError: the file cannot be opened, or has no picture
    """
    tracker = FaceTracker(detector, landmarker or FaceLandmarker(), CROP_PX)
    times: list[float] = []
    notes: list[str] = []
    height = width = 0
    frames: Iterable[tuple[float, NDArray[np.uint8]]]
    still = read_still(path, MediaConfig())
    if still is not None and still.key_frame is not None:
        expect(1)
        notes.extend(still.warnings)
        frames = [(0.0, still.key_frame)]
    else:
        expect(expected_frames(path, frames_per_second))
        frames = stream_frames(path, frames_per_second, notes=notes)
    for time_s, frame in frames:
        tracker.update(frame, time_s)
        times.append(time_s)
        height, width = frame.shape[:2]
        observe(time_s, frame)
    silence = "a still picture" if still else read_waveform(path, MediaConfig()).absence
    return ClipFaces(
        path=path,
        times_s=np.array(times),
        height=height,
        width=width,
        people=tracker.finish(),
        frames_per_second=frames_per_second,
        is_still=still is not None,
        silence=silence,
        notes=tuple(notes),
    )


def report_on(clip: ClipFaces, person: int = 1, reading: PeakReading = "all") -> FaceReport:
    """Measure one person's action units and find their peak.

    Parted lips and jaw drop count towards the peak only where nobody is heard or seen to talk.

    Args:
        clip: what `look_at` gave
        person: 1 is the main person
        reading: which units are summed at the peak

    Raises:
        ValueError: there are not so many people
    """
    track = _person(clip.people, person)
    table = measure_action_units(track, clip.rows_of(track).astype(np.int64))
    speech_counts = not is_talking(track, has_sound=clip.silence is None)
    return FaceReport(
        clip=clip,
        track=track,
        table=table,
        peak=peak_frame(table, reading, speech_counts=speech_counts),
        speech_counts=speech_counts,
        never=dict(why_never_measured(table, track)),
    )


def _person(people: Sequence[FaceTrack], person: int) -> FaceTrack:
    if not 1 <= person <= len(people):
        found = "1 person" if len(people) == 1 else f"{len(people)} people"
        numbers = "1" if len(people) == 1 else f"a number from 1 to {len(people)}"
        msg = f"found {found}, and person {person} was asked for; use --person {numbers}"
        raise ValueError(msg)
    return people[person - 1]
