"""Blocks of rows in files: whole or not at all, in order, and the same after a stop."""

from pathlib import Path

import pytest

from emotion_llama.evaluation.blocks import BlockFiles, in_blocks, in_order, read_rows, to_line


def add(files: BlockFiles, number: int) -> None:
    files.add({"a.jsonl": [{"n": number}, {"n": number + 0.5}], "b.jsonl": [{"n": number}]})


def test_a_stopped_run_goes_on_with_the_bytes_of_an_undisturbed_one(tmp_path: Path) -> None:
    whole, part = tmp_path / "whole", tmp_path / "part"
    for folder in (whole, part):
        folder.mkdir()
    files = BlockFiles(whole, "progress.json")
    for number in range(3):
        add(files, number)
    add(BlockFiles(part, "progress.json"), 0)
    with (part / "a.jsonl").open("ab") as file:
        file.write(b'{"n":1}\n{"n"')  # killed in the middle of the second block
    resumed = BlockFiles(part, "progress.json")
    assert resumed.num_done == 1
    for number in (1, 2):
        add(resumed, number)
    for name in ("a.jsonl", "b.jsonl"):
        assert (part / name).read_bytes() == (whole / name).read_bytes()


def test_what_a_kill_left_of_the_first_block_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"n":0}\n{"n"', encoding="utf-8")
    add(BlockFiles(tmp_path, "progress.json"), 0)
    assert [row["n"] for row in read_rows(tmp_path / "a.jsonl")] == [0, 0.5]


def test_a_file_that_begins_later_is_kept(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path, "progress.json")
    files.add({"a.jsonl": [{"n": 0}]})
    files.add({"a.jsonl": [{"n": 1}], "late.jsonl": [{"n": 1}]})
    again = BlockFiles(tmp_path, "progress.json")
    again.add({"late.jsonl": [{"n": 2}]})
    assert [row["n"] for row in read_rows(tmp_path / "late.jsonl")] == [1, 2]


def test_blocks_and_their_order() -> None:
    assert in_blocks("abcde", 2) == [("a", "b"), ("c", "d"), ("e",)]
    assert list(in_order([(3, "d"), (2, "c"), (4, "e")], 2)) == ["c", "d", "e"]
    assert list(in_order([(3, "d")], 2)) == [], "what comes before it is not there yet"


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        to_line({"n": float("nan")})


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert list(read_rows(tmp_path / "none.jsonl")) == []
