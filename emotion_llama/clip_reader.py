"""File -> Clip with the face of the person asked for and, where nobody gave them, the words.

The one way from a file to what the encoders see, behind answers, bulk extraction and data sets.
Knows: the order of reading, face and words. Does not know: how any of them works, encoders.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from emotion_llama.clip_words import WordReader
from emotion_llama.config import MediaConfig
from emotion_llama.face import (
    FaceDetector,
    FaceLandmarker,
    NetworkDetector,
    is_talking,
    measure_action_units,
    peak_frame,
    track_faces,
    whole_frame_track,
)
from emotion_llama.media import read_clip, text_clip
from emotion_llama.media.audio import sound_start_s
from emotion_llama.records import Clip, Evidence, Modality


class ClipReader:
    """Reads files as the settings say.

    Args:
        media: sampling, key frame and whose face
        face_detector: what finds faces; default is the packaged network
        face_landmarker: what finds their points; default is the packaged network
        words: what hears words where none are given and translates them; default is nothing
        measure: what says what face, voice and words show; ``None``: nothing is measured
    """

    def __init__(
        self,
        media: MediaConfig | None = None,
        *,
        face_detector: FaceDetector | None = None,
        face_landmarker: FaceLandmarker | None = None,
        words: WordReader | None = None,
        measure: Callable[[Clip], tuple[Evidence, ...]] | None = None,
    ) -> None:
        self.media = media or MediaConfig()
        self.face_detector = face_detector or NetworkDetector()
        self.face_landmarker = face_landmarker or FaceLandmarker()
        self.words = words or WordReader()
        self.measure = measure

    @property
    def finders(self) -> Mapping[str, str]:
        """What finds faces and their points: name -> version and weights."""
        return {
            finder.name: f"{finder.version} {getattr(finder, 'weights', '')}".rstrip()
            for finder in (self.face_detector, self.face_landmarker)
        }

    def read(
        self,
        path: str | Path | None,
        text: str | None = None,
        span: tuple[float, float] | None = None,
    ) -> Clip:
        """Read a file (or text alone), find the main person's face and see to the words.

        Args:
            path: video, sound or picture; ``None`` for text alone
            text: what is said in the clip, or in the span
            span: start and end in seconds of the part of a film or sound to read; all times stay
                those of the whole file

        Raises:
            MediaError: the file gives nothing, or not that span
            ValueError: neither file nor text
        """
        if path is None:
            return self.finish(text_clip(text or ""))
        return self.complete(self.decode(path, text, span), span)

    def decode(
        self,
        path: str | Path,
        text: str | None = None,
        span: tuple[float, float] | None = None,
    ) -> Clip:
        """Do the first half of `read`: pictures and sound of a file.

        Raises:
            MediaError: the file gives nothing, or not that span
        """
        return read_clip(Path(path), self.media, text, span)

    def complete(self, clip: Clip, span: tuple[float, float] | None = None) -> Clip:
        """Do the second half of `read`: the face, the words and, if asked to, measures.

        Args:
            clip: as from `decode`
            span: as given to `decode`
        """
        return self.finish(self.find_face(clip), span)

    def find_face(self, clip: Clip) -> Clip:
        """Follow the face of the person asked for, and choose the key frame if it depends on it.

        Who and what is not there is named in ``missing``.
        """
        if clip.frames is None or clip.frame_times_s is None:
            return clip
        size = self.media.face_crop_size
        if self.media.face_source == "whole-frame":
            # points are looked for where something reads them
            align = self.media.align_whole_frames
            needed = align or self.measure is not None or self._seeks_peak(clip)
            track = whole_frame_track(
                clip.frames,
                clip.frame_times_s,
                size,
                self.face_landmarker if needed else None,
                align=align,
            )
            return self._at_peak(replace(clip, faces=track))
        tracks = track_faces(
            clip.frames, clip.frame_times_s, self.face_detector, self.face_landmarker, size
        )
        person = self.media.person
        if person <= len(tracks):
            return self._at_peak(replace(clip, faces=tracks[person - 1]))
        why = f"no face was found in {len(clip.frames)} frame{'s' * (len(clip.frames) > 1)}"
        if tracks:
            count = f"{len(tracks)} {'people were' if len(tracks) > 1 else 'person was'} found"
            why = f"there is no person {person}: {count}"
        absent: dict[Modality, str] = {"local": why, "temporal": why}
        return self._at_peak(replace(clip, missing={**clip.missing, **absent}))

    def finish(self, clip: Clip, span: tuple[float, float] | None = None) -> Clip:
        """Do what is left of `complete` where the face is found: words and measures."""
        return self._measured(self.words.complete(clip), span)

    def _measured(self, clip: Clip, span: tuple[float, float] | None) -> Clip:
        """Say what was measured; what was heard is timed from the first sample of a waveform."""
        if self.measure is None:
            return clip
        evidence = self.measure(clip)
        if span is not None and clip.path is not None and clip.waveform is not None:
            begins_s = max(span[0], sound_start_s(clip.path))
            evidence = tuple(_later(item, begins_s) for item in evidence)
        return replace(clip, evidence=evidence)

    def _seeks_peak(self, clip: Clip) -> bool:
        """Tell whether the key frame is chosen by the face; a still has but one frame."""
        return self.media.key_frame == "peak" and clip.kind != "image"

    def _at_peak(self, clip: Clip) -> Clip:
        """Show the global encoder the frame with the strongest expression, where asked to."""
        if not self._seeks_peak(clip) or clip.frames is None or clip.frame_times_s is None:
            return clip
        peak = None
        if clip.faces is not None:
            units = measure_action_units(clip.faces)
            peak = peak_frame(
                units, speech_counts=not is_talking(clip.faces, has_sound=clip.waveform is not None)
            )
        if peak is None:
            note = "no action units could be measured: the key frame is the middle one"
            return replace(clip, warnings=(*clip.warnings, note))
        position = int(np.searchsorted(clip.frame_times_s, peak.time_s))
        return replace(clip, key_frame=clip.frames[position], key_frame_s=peak.time_s)


def _later(item: Evidence, seconds: float) -> Evidence:
    """Count the times of what was heard from the start of the file; those of a face are already."""
    if item.modality != "audio" or item.start_s is None or item.end_s is None:
        return item
    return replace(item, start_s=item.start_s + seconds, end_s=item.end_s + seconds)
