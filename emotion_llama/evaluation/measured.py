"""A clip and the reason written about it -> a record in which the two can be compared.

Knows: how a clip is measured for a comparison, in full and not only what evidence shows. Does not
know: models, how statements are read and compared (`emotion_llama.merr.faithfulness` does).
"""

from dataclasses import replace

from emotion_llama.clip_reader import ClipReader
from emotion_llama.evidence import measured_face, measured_voice
from emotion_llama.face import whole_frame_track
from emotion_llama.merr.records import FaceMeasures, FineCaption, MerrRecord, Source
from emotion_llama.records import Clip


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
    return measured_face(replace(clip, faces=track))


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
        voice=measured_voice(clip),
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
