"""A record that has all that an export may need, with changes."""

from dataclasses import replace
from typing import Any

from emotion_llama.merr.records import (
    Clue,
    FaceMeasures,
    FineCaption,
    GateResult,
    LabelReading,
    MerrRecord,
    Origin,
    RuleVerdict,
    SceneMeasures,
    Source,
    UnitReading,
    VoiceMeasures,
)


def make_record(clip_id: str = "anna/01.mp4", **changes: Any) -> MerrRecord:
    record = MerrRecord(
        clip_id=clip_id,
        path=clip_id,
        media_sha256=None,
        duration_s=2.5,
        source=Source("talks", "CC-BY-4.0", speaker="anna", language="en", group=None),
        split="train",
        transcript="Well, that is good.",
        labels=(
            LabelReading("happy", "human", "labels.csv", "1"),
            LabelReading("neutral", "model", "some model", "2", {"neutral": 0.6, "happy": 0.4}),
        ),
        label="happy",
        verdict=RuleVerdict(
            "merr", "1", {"happy": 1.0}, 1.0, False, None, {"happy": ("AU12",)}, (), "agrees"
        ),
        face=FaceMeasures(
            units=(
                UnitReading("AU04", 0.2, False, 0.9),
                UnitReading("AU12", 3.1, True, 0.9),
                UnitReading("AU25", 1.5, True, 0.8),
            ),
            scale="0-5",
            scope="clip",
            peak_frame=7,
            peak_s=0.28,
            peak_score=3.3,
            peak_reading="all",
            num_frames=50,
            coverage=1.0,
            score=0.99,
            talking=None,
        ),
        scene=SceneMeasures(640, 480, 1, 0.2, 0.5, None, 0),
        voice=VoiceMeasures(
            {"pitch": 220.0, "rate": None}, {"pitch": 1.2}, "corpus", 12, 1.4, 0.7, None
        ),
        clues=(
            Clue("facial", "AU12", "clear", "the lip corners are clearly pulled up", 3.1, 0.28),
            Clue("facial", "AU25", "slight", "the lips are slightly parted", 1.5),
            Clue("voice", "pitch", "clearly high", "the pitch is clearly high", 1.2, 0.0, 2.5),
        ),
        scene_description=None,
        voice_description="The pitch is clearly high.",
        coarse_caption="One person is seen. The lip corners are clearly pulled up.",
        fine_caption=FineCaption(
            "The lip corners are clearly pulled up.",
            "This speaks for happy.",
            False,
            ("AU12",),
            (),
        ),
        gates=(GateResult("face coverage", 1.0, 0.5, "passed", "1.0 is at least 0.5"),),
        status="kept",
        reasons=(),
        missing={"scene_description": "no describer was asked for"},
        lineage={"face": Origin("face program", "1", "ab12", "cd34")},
        notes=("lips may part in speech",),
    )
    return replace(record, **changes)
