"""A record is written the same way whenever it is written, and read strictly."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from emotion_llama.merr.record_file import from_line, read_records, to_line, write_records
from emotion_llama.merr.records import FaceMeasures, MerrRecord, Source, UnitReading

RECORD = MerrRecord(
    clip_id="a/x.mp4",
    path="a/x.mp4",
    media_sha256=None,
    duration_s=1.5,
    source=Source("set", None),
    split="train",
    transcript="Ja, „gut“.",
    labels=(),
    label=None,
    verdict=None,
    face=FaceMeasures(
        (UnitReading("AU12", 2.5, True, 0.9),), "0-5", "clip", 3, 0.1, 2.5, "all", 9, 1.0, 0.9, True
    ),
    scene=None,
    voice=None,
    clues=(),
    scene_description=None,
    voice_description=None,
    coarse_caption=None,
    fine_caption=None,
    gates=(),
    status="rejected",
    reasons=("label: none",),
    missing={"voice": "no sound"},
    lineage={},
)


def test_a_record_comes_back_as_it_was(tmp_path: Path) -> None:
    records = [RECORD, replace(RECORD, clip_id="b")]
    assert write_records(tmp_path / "records.jsonl", records) == 2
    assert list(read_records(tmp_path)) == records
    assert [path.name for path in tmp_path.iterdir()] == ["records.jsonl"]


def test_equal_records_are_equal_bytes_whatever_the_order_of_names() -> None:
    other = from_line(json.dumps(dict(reversed(json.loads(to_line(RECORD)).items()))))
    assert to_line(other) == to_line(RECORD)


def changed(**values: object) -> str:
    return json.dumps({**json.loads(to_line(RECORD)), **values})


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (changed(mood="x"), "mood: unexpected keyword argument"),
        (changed(status="perhaps"), "status: input should be 'kept' or 'rejected'"),
        (changed(schema_version="0"), "found schema version '0', expected '1'; build"),
        (changed(face={"units": []}), "face"),
        ("{", "expected one JSON object"),
        ("[]", "schema version"),
    ],
)
def test_what_breaks_the_schema_says_where(line: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        from_line(line, "records.jsonl, line 7")
    assert "records.jsonl, line 7" in str(error.value)


def test_a_number_that_is_none_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        to_line(replace(RECORD, duration_s=float("nan")))


def test_a_folder_without_records_says_what_makes_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected the records of a data set made by `build`"):
        list(read_records(tmp_path))
