"""Records and reviews for the tests of reviewing."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from emotion_llama.merr.record_file import RECORDS_FILE, REJECTED_FILE, write_records
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
)
from emotion_llama.merr.review.overlay import Edits, Review, record_hash

BUILT = Origin("build", "1", "0" * 16, "1" * 16)


def sample(clip_id: str = "a.mp4", **changes: Any) -> MerrRecord:
    """Make a record of a happy clip."""
    record = MerrRecord(
        clip_id=clip_id,
        path=clip_id,
        media_sha256=None,
        duration_s=3.0,
        source=Source("example", "CC0-1.0"),
        split="train",
        transcript="Oh, this is wonderful!",
        labels=(LabelReading("happy", "model", "mini", "1", {"happy": 0.8, "sad": 0.2}),),
        label="happy",
        verdict=RuleVerdict(
            table="merr",
            version="1",
            distribution={"happy": 0.7, "surprise": 0.3},
            margin=0.4,
            abstains=False,
            why=None,
            fired={"happy": ("AU06", "AU12"), "surprise": ("AU26",)},
            unknown=("worried",),
            agreement="agrees",
        ),
        face=FaceMeasures(
            units=(
                UnitReading("AU04", 0.2, False, 0.9),
                UnitReading("AU06", 2.4, True, 0.9),
                UnitReading("AU12", 3.8, True, 0.95),
                UnitReading("AU28", None, True, 0.5),
            ),
            scale="0-5",
            scope="clip",
            peak_frame=37,
            peak_s=1.48,
            peak_score=6.4,
            peak_reading="all",
            num_frames=75,
            coverage=1.0,
            score=0.98,
            talking=True,
        ),
        scene=SceneMeasures(320, 240, 1, 0.2, 0.5, 0.02, 0),
        voice=None,
        clues=(
            Clue(
                "facial",
                "AU12",
                "strong",
                "the lip corners are strongly pulled up",
                3.8,
                1.2,
                1.8,
            ),
            Clue("scene", "people", "one", "one person is in the picture", 1.0),
        ),
        scene_description=None,
        voice_description=None,
        coarse_caption="The lip corners are strongly pulled up.",
        fine_caption=FineCaption(
            evidence="The lip corners are strongly pulled up.",
            conclusion="This speaks for the label happy.",
            label_conditioned=False,
            supports=("AU12",),
        ),
        gates=(GateResult("face_coverage", 1.0, 0.5, "passed", "share 1.00 is at least 0.50"),),
        status="kept",
        reasons=(),
        missing={"voice": "the clip has no sound"},
        lineage={"label": BUILT, "coarse_caption": BUILT},
    )
    return replace(record, **changes)


def review(
    record: MerrRecord, decision: str = "accept", reviewer: str = "ann", **changes: Any
) -> Review:
    """Make a decision on a record; edits are given by name."""
    edits = {name: changes.pop(name) for name in list(changes) if hasattr(Edits, name)}
    made = Review(
        clip_id=record.clip_id,
        record_sha256=record_hash(record),
        reviewer=reviewer,
        time="2025-01-31T12:00:00Z",
        decision=decision,  # type: ignore[arg-type]
        edits=Edits(**edits),
        comment="blurred" if decision == "reject" else "",
    )
    return replace(made, **changes)


def write_dataset(folder: Path, *records: MerrRecord) -> Path:
    """Write the records of a data set as a build does."""
    folder.mkdir(exist_ok=True)
    write_records(folder / RECORDS_FILE, [one for one in records if one.status == "kept"])
    write_records(folder / REJECTED_FILE, [one for one in records if one.status == "rejected"])
    return folder
