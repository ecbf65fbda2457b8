"""What is known of clips before anything is measured: manifests, transcripts, labels."""

from pathlib import Path

import pytest

from emotion_llama.merr.records import Source
from emotion_llama.merr.sources import SourceClip, list_sources, read_labels


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def clips(*names: str) -> list[SourceClip]:
    return [SourceClip(name, Path(name), name, Source("set", None)) for name in names]


def test_a_folder_gives_ids_and_paths_without_its_own_place(tmp_path: Path) -> None:
    write(tmp_path / "set" / "a" / "x.mp4")
    write(tmp_path / "set" / "b" / "x.mp4")
    found = list_sources(tmp_path / "set", licence="own")
    assert [clip.clip_id for clip in found] == ["a/x.mp4", "b/x.mp4"]
    assert [clip.shown_path for clip in found] == ["a/x.mp4", "b/x.mp4"]
    assert {clip.source for clip in found} == {Source("set", "own")}


def test_a_manifest_says_what_is_known_and_the_flags_fill_in(tmp_path: Path) -> None:
    table = write(
        tmp_path / "clips.csv",
        "path,text,speaker,source,license,language,group,action_units\n"
        "x.mp4,  two  words ,s1,films,CC-BY-4.0,en,film 1,x.csv\n"
        "/elsewhere/y.mp4,,,,,,,\n",
    )
    first, second = list_sources(table, name="mine", licence="own", transcripts={"y": "hello"})
    assert first.transcript == "two words"
    assert first.source == Source("films", "CC-BY-4.0", "s1", "en", "film 1")
    assert first.action_units == tmp_path / "x.csv"
    assert second.source == Source("mine", "own")
    assert (second.transcript, second.shown_path) == ("hello", "y.mp4")


def test_a_path_that_leads_out_of_the_folder_is_shown_without_its_way(tmp_path: Path) -> None:
    table = write(tmp_path / "m" / "clips.csv", "path\n../films/x.mp4\n")
    assert list_sources(table)[0].shown_path == "films/x.mp4"


def test_a_transcript_by_file_name_needs_the_name_to_be_one_clip(tmp_path: Path) -> None:
    write(tmp_path / "a" / "x.mp4")
    write(tmp_path / "b" / "x.mp4")
    with pytest.raises(ValueError, match="the transcript for 'x' could belong to 2 clips"):
        list_sources(tmp_path, transcripts={"x": "hello"})
    found = list_sources(tmp_path, transcripts={"b/x.mp4": "hello"})
    assert [clip.transcript for clip in found] == [None, "hello"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("name,label\na/x.mp4,Happiness\ny,sad\n", {"a/x.mp4": "happy", "y.wav": "sad"}),
        ("clip_id,emotion\ny.wav,boredom\n", {"y.wav": "boredom"}),
    ],
)
def test_labels_are_found_by_id_or_file_name(
    tmp_path: Path, content: str, expected: dict[str, str]
) -> None:
    table = write(tmp_path / "labels.csv", content)
    assert read_labels(table, clips("a/x.mp4", "y.wav")) == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("name,label\nx,happy\nx,sad\n", "row 2: found the label 'sad' for 'x'"),
        ("name,label\nz,happy\n", "none of its 1 names is a clip"),
        ("name,mood\nx,happy\n", "found columns name, mood; expected 'name' and 'label'"),
        ("name,label\nx,\n", "label"),
    ],
)
def test_an_unusable_table_of_labels_says_why(tmp_path: Path, content: str, said: str) -> None:
    table = write(tmp_path / "labels.csv", content)
    with pytest.raises(ValueError, match=said):
        read_labels(table, clips("x.mp4"))
