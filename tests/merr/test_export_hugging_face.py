"""Records <-> Parquet in the layout of the hub."""

from pathlib import Path
from typing import Any

import pytest
from exported_record import make_record

from emotion_llama.merr.export import read_hugging_face, write_hugging_face
from emotion_llama.merr.export.arrow import from_row, record_schema, to_row
from emotion_llama.merr.records import MerrRecord, Source

RECORDS = [
    make_record("a/01.mp4"),
    make_record("b/01.mp4", split="test", voice=None, verdict=None, fine_caption=None, clues=()),
    make_record("c.mp4", split="dev", face=None, scene=None, labels=(), label=None, missing={}),
    make_record("d.mp4", split=None, source=Source("x", "CC0-1.0"), notes=()),
    make_record("e.mp4", transcript="ü 'q' \n\t"),
]


def by_clip(records: list[MerrRecord]) -> list[MerrRecord]:
    return sorted(records, key=lambda record: record.clip_id)


def test_records_come_back_equal(tmp_path: Path) -> None:
    report = write_hugging_face(RECORDS, tmp_path / "out", shard_rows=1)
    assert by_clip(read_hugging_face(tmp_path / "out")) == RECORDS
    assert report.num_written == 5
    assert report.files[-1] == "data/unsplit-00000-of-00001.parquet"
    assert "data/train-00001-of-00002.parquet" in report.files


def test_fields_have_their_own_types() -> None:
    schema = record_schema()
    assert str(schema.field("duration_s").type) == "double"
    assert str(schema.field("clues").type).startswith("list<element: struct<kind: string") or str(
        schema.field("clues").type
    ).startswith("list<item: struct<kind: string")
    assert schema.names == list(MerrRecord.__dataclass_fields__)
    assert from_row(to_row(RECORDS[0]), "row 1") == RECORDS[0]


def test_the_library_loads_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="NOT CHECKED: the library datasets is not installed")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    import datasets

    write_hugging_face(RECORDS, tmp_path / "out")
    loaded: Any = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"))
    assert {name: len(part) for name, part in loaded.items()} == {
        "train": 2,
        "dev": 1,
        "test": 1,
        "unsplit": 1,
    }
    assert loaded["train"]["label"] == ["happy", "happy"]
    read = [from_row(row, "row") for part in loaded.values() for row in part]
    assert by_clip(read) == RECORDS


def test_the_same_records_give_the_same_bytes(tmp_path: Path) -> None:
    turned = make_record("a/01.mp4", missing={"b": "x", "a": "y"})
    other = make_record("a/01.mp4", missing={"a": "y", "b": "x"})
    for name, record in (("one", turned), ("two", other)):
        report = write_hugging_face([record], tmp_path / name)
    for file in report.files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_a_shard_that_is_missing_is_noticed(tmp_path: Path) -> None:
    write_hugging_face(RECORDS, tmp_path / "out", shard_rows=1)
    (tmp_path / "out" / "data" / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(ValueError, match="found 1 of 2 shards of 'train'"):
        read_hugging_face(tmp_path / "out")
    with pytest.raises(ValueError, match="a folder written by the export for Hugging Face"):
        read_hugging_face(tmp_path)


def test_only_what_may_be_passed_on_and_was_kept(tmp_path: Path) -> None:
    secret = make_record("x.mp4", source=Source("x", "research-only"))
    with pytest.raises(ValueError, match="1 of 6 records may not be passed on"):
        write_hugging_face([*RECORDS, secret], tmp_path / "out")
    rejected = make_record("y.mp4", status="rejected", reasons=("too dark",))
    report = write_hugging_face([*RECORDS, rejected], tmp_path / "out")
    assert report.left_out == {"rejected by the build": 1}
    everything = write_hugging_face([*RECORDS, rejected], tmp_path / "all", kept_only=False)
    assert everything.num_written == 6
