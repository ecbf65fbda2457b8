"""File -> what is measured of its face, its picture and its voice: the first stage.

Knows: the order of reading, what is absent and why. Does not know: labels, words, other clips.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter

from emotion_llama.clip_faces import ClipFaces, look_at
from emotion_llama.config import BuildConfig, MediaConfig
from emotion_llama.face import (
    FaceDetector,
    FaceLandmarker,
    NetworkDetector,
    action_units,
    is_talking,
    measure_action_units,
    peak_frame,
    read_action_units,
    smoothed,
)
from emotion_llama.media import MediaError, read_waveform, stream_frames
from emotion_llama.merr.duplicates import (
    NUM_PICTURES,
    Fingerprint,
    picture_hash,
    sound_envelope,
)
from emotion_llama.merr.facial import face_measures
from emotion_llama.merr.records import FaceMeasures, SceneMeasures
from emotion_llama.merr.scene import SceneMeter
from emotion_llama.merr.sources import SourceClip
from emotion_llama.records import ActionUnitTable
from emotion_llama.voice import Prosody, measure_prosody

VERSION = "3"
"""Version of this stage: it changes when the same file would give other values."""


@dataclass(frozen=True)
class ClipMeasures:
    """What was measured of one clip."""

    duration_s: float | None
    face: FaceMeasures | None
    face_producer: tuple[str, str] | None
    """name and version of what measured the action units"""
    scene: SceneMeasures | None
    prosody: Prosody | None
    fingerprint: Fingerprint
    """without the words, which are not of the file"""
    missing: Mapping[str, str]
    """``facial``, ``scene``, ``voice`` -> why it is not there"""
    notes: tuple[str, ...] = ()

    def to_dict(self) -> Mapping[str, Any]:
        """Give plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "ClipMeasures":
        """Read what `to_dict` gave."""
        return _adapter().validate_python(values)


@cache
def _adapter() -> TypeAdapter[ClipMeasures]:
    return TypeAdapter(ClipMeasures)


@dataclass
class _Pictures:
    """What is kept of the frames of a clip while they pass."""

    scene: SceneMeter = field(default_factory=SceneMeter)
    hashes: list[str] = field(default_factory=list)
    num_seen: int = 0
    hashed: frozenset[int] | None = None
    """numbers of the frames that are hashed; ``None``: all, because nobody knows how many come"""

    def expect(self, num_frames: int) -> None:
        """Choose the middles of equal parts, where the number of frames is known."""
        if num_frames > NUM_PICTURES:
            parts = (np.arange(NUM_PICTURES) + 0.5) * num_frames / NUM_PICTURES
            self.hashed = frozenset(parts.astype(int).tolist())

    def observe(self, time_s: float, frame: NDArray[np.uint8]) -> None:
        """Take what is needed of a frame."""
        self.scene.update(time_s, frame)
        if self.hashed is None or self.num_seen in self.hashed:
            self.hashes.append(picture_hash(frame))
        self.num_seen += 1

    def chosen(self) -> tuple[str, ...]:
        """Give the hashes of the middles of equal parts."""
        if len(self.hashes) <= NUM_PICTURES:
            return tuple(self.hashes)
        parts = (np.arange(NUM_PICTURES) + 0.5) * len(self.hashes) / NUM_PICTURES
        return tuple(self.hashes[index] for index in parts.astype(int))


class ClipMeter:
    """Measures clips, one after the other.

    Args:
        config: frames a second, reading of the peak
        detector: what finds faces; default is the packaged network
        landmarker: what finds their points; default is the packaged network
    """

    def __init__(
        self,
        config: BuildConfig,
        *,
        detector: FaceDetector | None = None,
        landmarker: FaceLandmarker | None = None,
    ) -> None:
        self._config = config
        self._detector = detector or NetworkDetector()
        self._landmarker = landmarker or FaceLandmarker()

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that the measures depend on beside the file."""
        return {
            "version": VERSION,
            "frames_per_second": self._config.frames_per_second,
            "peak_reading": self._config.peak_reading,
            "peak_speech": self._config.peak_speech,
            "peak_weights": self._config.peak_weights,
            "peak_smoothing_s": self._config.peak_smoothing_s,
            "action_units": f"{action_units.PRODUCER} {action_units.VERSION}",
            "finders": self._finders,
        }

    @property
    def _finders(self) -> Mapping[str, str]:
        """What finds faces and their points: name -> version and hash of the weights."""
        finders: list[Any] = [self._detector, self._landmarker]
        return {
            finder.name: f"{finder.version} {getattr(finder, 'weights', '')}".rstrip()
            for finder in finders
        }

    def measure(self, clip: SourceClip, media_sha256: str) -> ClipMeasures:
        """Measure one clip; what cannot be measured is named.

        Args:
            clip: what to measure
            media_sha256: of the file

        Raises:
            MediaError: the file gives neither picture nor sound
            ValueError: its table of action units cannot be used
        """
        sound = read_waveform(clip.path, MediaConfig())
        missing: dict[str, str] = {}
        pictures = _Pictures()
        faces = self._faces(clip.path, pictures, sound.absence, missing)
        rate = MediaConfig().sample_rate_hz
        duration_s = _duration(faces, sound.duration_s)
        prosody = None
        if sound.waveform is None:
            missing["voice"] = sound.absence or "there is no sound"
        else:
            prosody = measure_prosody(sound.waveform, rate)
        face, producer = self._face(clip, faces, missing)
        return ClipMeasures(
            duration_s=duration_s,
            face=face,
            face_producer=producer,
            scene=None if faces is None else _scene(faces, pictures),
            prosody=prosody,
            fingerprint=Fingerprint(
                sha256=media_sha256,
                pictures=pictures.chosen(),
                sound=() if sound.waveform is None else sound_envelope(sound.waveform, rate),
                duration_s=duration_s,
            ),
            missing=missing,
            notes=(*sound.warnings, *(faces.notes if faces else ())),
        )

    def _faces(
        self, path: Path, pictures: _Pictures, silence: str | None, missing: dict[str, str]
    ) -> ClipFaces | None:
        """Follow the faces; a file without picture is no fault where there is sound."""
        try:
            return look_at(
                path,
                self._detector,
                self._config.frames_per_second,
                pictures.observe,
                pictures.expect,
                landmarker=self._landmarker,
            )
        except MediaError as error:
            if silence is not None:
                raise MediaError(
                    path,
                    found=f"nothing to measure: {error.found}; {silence}",
                    expected="a picture or audible sound",
                    next_step="check that it plays",
                ) from error
            missing["facial"] = missing["scene"] = f"the file has {error.found}"
            return None

    def _face(
        self, clip: SourceClip, faces: ClipFaces | None, missing: dict[str, str]
    ) -> tuple[FaceMeasures | None, tuple[str, str] | None]:
        if clip.action_units is not None:
            return self._imported(clip.action_units, faces, missing)
        if faces is None:
            return None, None
        if not faces.people:
            num = len(faces.times_s)
            missing["facial"] = f"no face was found in {num} frame{'s' * (num > 1)}"
            return None, None
        track = faces.people[0]
        table = measure_action_units(track, faces.rows_of(track).astype(np.int64))
        score = None if track.scores is None else float(np.mean(track.scores))
        talking = is_talking(track, has_sound=faces.silence is None)
        measures = self._at_peak(table, len(faces.times_s), track.coverage, score, talking, missing)
        found_by = ", ".join(f"{name} {version}" for name, version in self._finders.items())
        return measures, (table.producer, f"{table.version}; {found_by}")

    def _at_peak(
        self,
        table: ActionUnitTable,
        num_frames: int,
        coverage: float,
        score: float | None,
        talking: bool,
        missing: dict[str, str],
    ) -> FaceMeasures:
        """Find the peak and read the action units there."""
        calm = smoothed(table, self._config.peak_smoothing_s)
        counts = self._config.peak_speech == "count" or not talking
        weighs = self._config.peak_weights == "confidence"
        peak = peak_frame(calm, self._config.peak_reading, speech_counts=counts, weighs=weighs)
        if peak is None:
            missing["facial"] = "the face was followed, but no action unit could be measured"
        return face_measures(
            calm, peak, num_frames=num_frames, coverage=coverage, score=score, talking=talking
        )

    def _imported(
        self, path: Path, faces: ClipFaces | None, missing: dict[str, str]
    ) -> tuple[FaceMeasures, tuple[str, str]]:
        """Take the action units of another program's table; its own clock says when."""
        table = read_action_units(path)
        followed = table.tracked
        sure = [values[followed] for values in table.confidence.values()]
        score = float(np.nanmean(sure)) if followed.any() and sure else None
        shown = faces.people[0] if faces is not None and faces.people else None
        talking = faces is None or is_talking(shown, has_sound=faces.silence is None)
        coverage = float(np.mean(followed))
        missing.pop("facial", None)  # the table has what the file, without a picture, has not
        measures = self._at_peak(table, len(followed), coverage, score, talking, missing)
        return measures, (table.producer, table.version)


def _duration(faces: ClipFaces | None, sound_s: float) -> float | None:
    shown_s = 0.0
    if faces is not None and not faces.is_still:
        shown_s = float(faces.times_s[-1]) + faces.step_s
    longest = max(shown_s, sound_s)
    return round(longest, 3) if longest > 0 else None


def _scene(faces: ClipFaces, pictures: _Pictures) -> SceneMeasures:
    share = None
    if faces.people:
        boxes = faces.people[0].boxes
        share = float(np.median(boxes[:, 2] * boxes[:, 3])) / (faces.width * faces.height)
    return pictures.scene.finish(len(faces.people), share)


def picture_at(path: Path, time_s: float, frames_per_second: float) -> NDArray[np.uint8]:
    """Give the frame of a clip that is shown at a time, RGB [h x w x 3].

    Raises:
        MediaError: the file has no picture
    """
    found: NDArray[np.uint8] | None = None
    for shown_s, frame in stream_frames(path, frames_per_second):
        if found is not None and shown_s > time_s + 1e-6:
            break
        found = frame
    assert found is not None, "stream_frames raises where there is none"
    return found
