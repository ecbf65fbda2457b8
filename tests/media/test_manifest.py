"""Folder, table or file -> clips, each with a name of its own."""

import json
import os
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from emotion_llama.media.manifest import ClipFile, list_clips


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_files_of_one_name_in_two_folders_are_two_clips(tmp_path: Path) -> None:
    touch(tmp_path / "b" / "x.mp4", tmp_path / "a" / "x.MP4", tmp_path / "notes.txt")
    touch(tmp_path / ".hidden.mp4", tmp_path / ".cache" / "x.mp4")
    assert list_clips(tmp_path) == [
        ClipFile("a/x.MP4", tmp_path / "a" / "x.MP4"),
        ClipFile("b/x.mp4", tmp_path / "b" / "x.mp4"),
    ]


def test_a_named_file_may_have_any_ending(tmp_path: Path) -> None:
    touch(tmp_path / "x.dat")
    assert list_clips(tmp_path / "x.dat") == [ClipFile("x.dat", tmp_path / "x.dat")]


def test_a_name_that_is_no_unicode_becomes_an_id_that_can_be_stored(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    try:
        touch(path)
    except OSError:
        pytest.skip("this file system takes only unicode names")
    assert list_clips(tmp_path) == list_clips(path) == [ClipFile("caf\\udce9.mp4", path)]


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_every_form_of_table_gives_the_same(tmp_path: Path, ending: str) -> None:
    rows = [
        {"path": "deep/a, b.mp4", "clip_id": "one\u2028two", "label": "sad"},
        {"path": "c.wav", "clip_id": None, "label": "happy"},
    ]
    table = tmp_path / f"clips{ending}"
    if ending == ".parquet":
        parquet.write_table(pa.Table.from_pylist(rows), table)
    elif ending == ".jsonl":
        table.write_text("\n".join(json.dumps(r, ensure_ascii=False) for r in rows), "utf-8")
    else:
        mark = "," if ending == ".csv" else "\t"
        lines = [[f'"{row[name] or ""}"' for name in rows[0]] for row in rows]
        text = "\n".join(mark.join(line) for line in [list(rows[0]), *lines])
        table.write_text(text, "utf-8-sig")
    assert list_clips(table) == [
        ClipFile("one\u2028two", tmp_path / "deep" / "a, b.mp4", {"label": "sad"}),
        ClipFile("c.wav", tmp_path / "c.wav", {"label": "happy"}),
    ]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"file\nx.mp4\n", "found columns file; expected 'path'"),
        ("a.csv", b"path,clip_id\n,x\n", "row 1"),
        ("a.csv", b"path\n", "holds no row"),
        ("a.csv", b"path\nx.mp4\nx.mp4\n", "found clip 'x.mp4' more than once"),
        ("a.csv", b"path\ncaf\xe9.mp4\n", "no UTF-8"),
        ("a.jsonl", b"x.mp4\n", "expected one JSON object a line"),
        ("a.jsonl", b"[1]\n", "expected a JSON object with a path"),
        ("a.jsonl", b'{"path": 3}\n', "valid string"),
    ],
)
def test_an_unusable_table_says_where(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        list_clips(tmp_path / name)
    assert name in str(caught.value)


def test_nothing_to_work_on_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="holds no media file"):
        list_clips(tmp_path)
    with pytest.raises(ValueError, match="found no file or folder"):
        list_clips(tmp_path / "absent")
