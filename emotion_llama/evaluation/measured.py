"""A clip and the reason written about it -> a record in which the two can be compared.

Knows: how a clip is measured for a comparison, in full and not only what evidence shows. Does not
know: models, how statements are read and compared (`emotion_llama.merr.faithfulness` does).
"""

import numpy as np

from emotion_llama.clip_reader import ClipReader
from emotion_llama.config import PEAK_SMOOTHING_S
from emotion_llama.face import measure_action_units, peak_frame, smoothed, whole_frame_track
from emotion_llama.merr.facial import face_measures
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


def face_of(reader: ClipReader, clip: Clip) -> FaceMeasures | None:
    """Measure the face of a clip; ``None`` where none was found.

    Args:
        reader: gives the points of pictures that are a face already, where the clip has none
        clip: as read
    """
    track = clip.faces
    if track is not None and track.points is None and clip.frames is not None:
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


def reason_record(
    clip_id: str, clip: Clip, reason: str, person: str | None, reader: ClipReader
) -> MerrRecord:
    """Put a reason and the measures of its clip into a record.

    Args:
        clip_id: what the record is called
        clip: as read
        reason: what was written about it
        person: who is seen or heard; ``None``: not known
        reader: as in `face_of`
    """
    return MerrRecord(
        clip_id=clip_id,
        path=clip.clip_id,
        media_sha256=None,
        duration_s=clip.duration_s,
        source=Source("measured", None, speaker=person),
        split=None,
        transcript=clip.transcript,
        labels=(),
        label=None,
        verdict=None,
        face=face_of(reader, clip),
        scene=None,
        voice=voice_of(clip),
        clues=(),
        scene_description=None,
        voice_description=None,
        coarse_caption=None,
        fine_caption=FineCaption(reason, "", label_conditioned=False),
        gates=(),
        status="kept",
        reasons=(),
        missing={},
        lineage={},
    )
