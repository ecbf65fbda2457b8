"""The files of a data set: which there are, that they say the same, and appear whole."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from build_samples import contents
from exported_record import make_record
from pyarrow import parquet

from emotion_llama.merr import dataset_files
from emotion_llama.merr.dataset_files import write_dataset
from emotion_llama.merr.export.arrow import from_row
from emotion_llama.merr.record_file import json_schema, read_records
from emotion_llama.merr.records import MerrRecord

KEPT = [
    make_record("a.mp4"),
    make_record("b.mp4", face=None, voice=None, fine_caption=None, transcript=None, clues=()),
    make_record("c.mp4", label="sad", split=None),
]
REJECTED = [make_record("d.mp4", status="rejected", reasons=("snr_db: too low", "label: none"))]
PRODUCERS = {
    "ab12": {"producer": "face program", "version": "1", "settings": {"rate": 5}},
    "ffff": {"producer": "nobody here", "version": "1", "settings": {}},
}


def write(folder: Path, records: list[MerrRecord] | None = None, **more: Any) -> Path:
    known = {"failures": {"e.mp4": "no film"}, "producers": PRODUCERS, "made": {"settings": {}}}
    given = [*KEPT, *REJECTED] if records is None else records
    write_dataset(folder / "set", given, **(known | more))
    return folder / "set"


def test_kept_and_rejected_are_apart_and_come_back(tmp_path: Path) -> None:
    folder = write(tmp_path)
    assert list(read_records(folder)) == KEPT
    assert list(read_records(folder / "rejected.jsonl")) == REJECTED


def test_the_table_says_what_the_lines_say(tmp_path: Path) -> None:
    rows = parquet.read_table(write(tmp_path) / "records.parquet").to_pylist()
    assert [from_row(row, "table") for row in rows] == KEPT


def test_columns_have_their_own_types_also_without_a_record(tmp_path: Path) -> None:
    full = parquet.read_schema(write(tmp_path) / "records.parquet")
    empty = parquet.read_schema(write(tmp_path / "empty", []) / "records.parquet")
    assert full.equals(empty)
    assert str(full.field("duration_s").type) == "double"
    assert full.field("face").type.field("units").type.value_type.field("unit") is not None


def test_many_records_are_one_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset_files, "_ROWS_A_GROUP", 2)
    file = parquet.ParquetFile(write(tmp_path) / "records.parquet")
    assert (file.num_row_groups, file.metadata.num_rows) == (2, 3)


def test_failures_producers_schema_and_counts_are_written(tmp_path: Path) -> None:
    folder = write(tmp_path, made={"settings": {"seed": 4}})
    assert (folder / "errors.jsonl").read_text() == '{"clip_id":"e.mp4","error":"no film"}\n'
    named = json.loads((folder / "producers.json").read_text())
    assert named == {"ab12": PRODUCERS["ab12"]}, "only those that a record names"
    assert json.loads((folder / "schema.json").read_text()) == json_schema()
    built = json.loads((folder / "build.json").read_text())
    assert built["settings"] == {"seed": 4}
    assert (built["kept"], built["rejected"], built["failed"]) == (3, 1, 1)


def test_the_card_counts_what_is_there_and_why_the_rest_is_not(tmp_path: Path) -> None:
    card = (write(tmp_path) / "README.md").read_text("utf-8")
    assert "3 annotated clips" in card
    assert "| snr_db | 1 |" in card and "| label | 1 |" in card
    assert "| talks | CC-BY-4.0 |" in card
    for name in contents(tmp_path / "set"):
        assert name in card or name in {"README.md", "build.json", "schema.json"}


def test_the_same_records_are_the_same_bytes(tmp_path: Path) -> None:
    one, other = write(tmp_path / "one"), write(tmp_path / "other")
    assert contents(one) == contents(other)
    assert len(contents(one)) == 8
    producers = {name: PRODUCERS[name] for name in reversed(PRODUCERS)}
    assert contents(write(tmp_path / "third", producers=producers)) == contents(one)


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    write(tmp_path)
    folder = write(tmp_path, KEPT[:1], failures={})
    assert list(read_records(folder)) == KEPT[:1]
    assert list(read_records(folder / "rejected.jsonl")) == []
    assert (folder / "errors.jsonl").read_text() == ""
    assert parquet.read_metadata(folder / "records.parquet").num_rows == 1


def test_a_table_that_could_not_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = contents(write(tmp_path))["records.parquet"]

    def fail(_: MerrRecord) -> None:
        msg = "no room"
        raise OSError(msg)

    monkeypatch.setattr(dataset_files, "to_row", fail)
    with pytest.raises(OSError, match="no room"):
        write(tmp_path, [replace(KEPT[0], notes=("changed",))])
    assert contents(tmp_path / "set")["records.parquet"] == before
