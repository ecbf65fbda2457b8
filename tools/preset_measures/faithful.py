"""Whether what the reasons of a preset state is what was measured of the same clips.

Knows: how a clip is measured for a comparison, in full and not only what evidence shows. Does not
know: models, how statements are read and compared (`emotion_llama.merr.faithfulness` does).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import PEAK_SMOOTHING_S
from emotion_llama.face import measure_action_units, peak_frame, smoothed, whole_frame_track
from emotion_llama.merr.facial import face_measures
from emotion_llama.merr.faithfulness import Share, corpus_faithfulness, measured, read_clues
from emotion_llama.merr.records import (
    FaceMeasures,
    FineCaption,
    MerrRecord,
    Source,
    VoiceMeasures,
)
from emotion_llama.merr.voice_clues import voice_measures
from emotion_llama.records import Clip
from emotion_llama.voice import measure_prosody, packaged_norm

from .rows import Row, mean_row, rounded

NUM_EXAMPLES = 5


@dataclass(frozen=True)
class Told:
    """A reason beside the clip that it is about."""

    clip: Clip
    reason: str
    person: str | None


def measure_clip(
    reader: ClipReader, clip: Clip
) -> tuple[FaceMeasures | None, VoiceMeasures | None]:
    """Measure face and voice of a clip in full.

    Args:
        reader: gives the landmarks of pictures that are a face already, where the clip has none
        clip: as read
    """
    return _face(reader, clip), voice_of(clip)


def _face(reader: ClipReader, clip: Clip) -> FaceMeasures | None:
    track = clip.faces
    if track is not None and track.points is None:
        assert clip.frames is not None
        assert clip.frame_times_s is not None
        track = whole_frame_track(
            clip.frames, clip.frame_times_s, reader.media.face_crop_size, reader.face_landmarker
        )
    if track is None or track.points is None or track.scores is None:
        return None
    talking = clip.waveform is not None
    table = smoothed(measure_action_units(track), PEAK_SMOOTHING_S)
    return face_measures(
        table,
        peak_frame(table, speech_counts=not talking),
        num_frames=None if clip.frames is None else len(clip.frames),
        coverage=track.coverage,
        score=float(np.mean(track.scores)),
        talking=talking,
    )


def voice_of(clip: Clip) -> VoiceMeasures | None:
    """Measure the voice of a clip against many speakers, as evidence does."""
    if clip.waveform is None:
        return None
    prosody = measure_prosody(clip.waveform, clip.sample_rate_hz)
    return voice_measures(prosody, packaged_norm(prosody, None))


def record_of(number: int, told: Told, reader: ClipReader) -> MerrRecord:
    """Put a reason and the measures of its clip into a record, in which they can be compared.

    Args:
        number: place of the clip; the next one is the other clip that the reason is held against
        told: the reason and the clip
        reader: as in `measure_clip`
    """
    face, voice = measure_clip(reader, told.clip)
    return MerrRecord(
        clip_id=f"{number:06d}",
        path=told.clip.clip_id,
        media_sha256=None,
        duration_s=told.clip.duration_s,
        source=Source("measured", None, speaker=told.person),
        split=None,
        transcript=told.clip.transcript,
        labels=(),
        label=None,
        verdict=None,
        face=face,
        scene=None,
        voice=voice,
        clues=(),
        scene_description=None,
        voice_description=None,
        coarse_caption=None,
        fine_caption=FineCaption(told.reason, "", label_conditioned=False),
        gates=(),
        status="kept",
        reasons=(),
        missing={},
        lineage={},
    )


def shuffled(told: Sequence[Told]) -> list[Told]:
    """Mix clips with a fixed seed: the next clip must not be of the same person or label."""
    mixed = list(told)
    random.Random(0).shuffle(mixed)
    return mixed


def score(records: Sequence[MerrRecord]) -> Row:
    """Score the reasons of one set.

    Returns:
        share of the stated clues that is true; the same against the next clip, of what can be told
        there; points lost; share of answers with a telling clue of each kind that was measured
    """
    report = corpus_faithfulness(records)
    with_clues = [one for one in records if measured(one).kinds]
    people = [one.source.speaker for one in with_clues]
    told = [one.clip_id not in report.not_telling for one in with_clues]
    states = [bool(read_clues(one.fine_caption.text)) for one in records if one.fine_caption]
    return {
        "n": len(records),
        "stated": report.num_stated,
        "states_any": mean_row(states, [one.source.speaker for one in records]),
        "own": _share(report.own),
        "other": _share(report.other),
        "drop_points": _share(report.drop_points),
        "telling": mean_row(told, people),
        "kinds": {kind: vars(count) for kind, count in report.kinds.items() if count.stated},
        "untrue": _examples(report.untrue),
    }


def _share(share: Share | None) -> Mapping[str, Any] | None:
    if share is None:
        return None
    interval = [rounded(share.low), rounded(share.high)]
    return {"value": rounded(share.value), "interval_95": interval, "over": "items"}


def _examples(untrue: Sequence[tuple[str, Any, str]]) -> list[str]:
    return [f"{clue.words} ({answer})" for _, clue, answer in untrue[:NUM_EXAMPLES]]
