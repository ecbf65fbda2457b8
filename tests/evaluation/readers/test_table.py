"""Files of one's own."""

from pathlib import Path

import pytest
from evaluation.readers.published_form import files, read, truths, write

from emotion_llama.evaluation.protocol import load_protocol
from emotion_llama.evaluation.readers import READERS, own_labels
from emotion_llama.evaluation.samples import MissingDataError

HEADER = "path,label,text,speaker,sex,age,language,source,split,fold,votes_happy,votes_Sadness\n"
ROWS = (
    "a.mp4,Joy,Hello,s1,female,30-39,en,show,test,2,3,1\n"
    "b.mp4,sad,,s1,,,,,train,,,\n"
    ",angry,No!,,,,,,test,,,\n"
    "c.mp4,,,,,,,,test,,,\n"
)


def test_a_folder_with_a_sub_folder_per_label(tmp_path: Path) -> None:
    media = ["Happy/a.mp4", "sadness/x/b.wav", "calm/c.png", "loose.mp4", "sadness/notes.md"]
    reading = read("folder", write(tmp_path, {}, media))
    assert truths(reading) == {"Happy/a.mp4": "happy", "sadness/x/b.wav": "sad"}
    assert files(reading, tmp_path) == ["Happy/a.mp4", "sadness/x/b.wav"]
    assert reading.left_out == {
        "label calm is not scored": 1,
        "not in the sub-folder of a label": 1,
    }
    assert own_labels(tmp_path) == ("calm", "happy", "sadness")


def test_labels_of_ones_own_replace_the_packaged_ones(tmp_path: Path) -> None:
    write(tmp_path, {}, ["Calm/a.mp4", "anger/b.mp4"])
    protocol = load_protocol("folder").model_copy(update={"labels": own_labels(tmp_path)})
    reading = READERS["folder"](tmp_path, protocol, tmp_path)
    assert truths(reading) == {"Calm/a.mp4": "calm", "anger/b.mp4": "anger"}


def test_a_table(tmp_path: Path) -> None:
    write(tmp_path, {"manifest.csv": HEADER + ROWS}, ["a.mp4", "b.mp4", "c.mp4"])
    reading = read("manifest", tmp_path, split="test")
    first, second = reading.samples
    assert truths(reading) == {"a.mp4": "happy", "row 3": "angry"}
    assert (first.path, first.transcript, first.fold) == (tmp_path / "a.mp4", "Hello", "2")
    assert first.groups == {
        "speaker": "show/s1",
        "sex": "female",
        "age": "30-39",
        "language": "en",
        "source": "show",
    }
    assert first.truth.votes is not None and first.truth.votes["sad"] == 0.25
    assert (second.path, second.transcript, second.truth.votes) == (None, "No!", None)
    assert reading.left_out == {"no label": 1, "not in the split test": 1}
    everything = read("manifest", tmp_path)
    assert len(everything.samples) == 3
    assert own_labels(tmp_path) == own_labels(tmp_path / "manifest.csv") == ("angry", "joy", "sad")


def test_a_table_is_named_itself_and_may_have_other_forms(tmp_path: Path) -> None:
    write(tmp_path, {"t/clips.jsonl": '{"path": "a.mp4", "label": "sad", "age": 7}\n'}, ["t/a.mp4"])
    (sample,) = read("manifest", tmp_path / "t" / "clips.jsonl").samples
    assert (sample.path, sample.groups) == (tmp_path / "t" / "a.mp4", {"age": "7"})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (",sad\n", "row 1: found neither path nor text"),
        ("a.mp4,sad,x\n", "row 1: found 1 more cells than the 2 columns"),
    ],
)
def test_a_wrong_row_is_named(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"manifest\.csv, {message}"):
        read("manifest", write(tmp_path, {"manifest.csv": "path,label\n" + row}))


@pytest.mark.parametrize("count", ["many", "-1", "nan"])
def test_what_is_no_count_of_votes_is_named(count: str, tmp_path: Path) -> None:
    write(tmp_path, {"manifest.csv": f"path,label,votes_sad\na.mp4,sad,{count}\n"}, ["a.mp4"])
    with pytest.raises(ValueError, match=rf"row 1, votes_sad: found '{count}', expected a count"):
        read("manifest", tmp_path)


def test_a_table_of_sentiment(tmp_path: Path) -> None:
    rows = "path,value,text\na.mp4,2.4,\nb.mp4,-3,Bad.\nc.mp4,0,\n"
    write(tmp_path, {"manifest.csv": rows}, ["a.mp4", "b.mp4", "c.mp4"])
    reading = read("manifest-sentiment", tmp_path)
    assert [one.truth.value for one in reading.samples] == [2.4, -3, 0]
    assert {one.truth.label for one in reading.samples} == {None}
    lines = '{"text": "Good.", "value": 1}\n{"text": "Bad.", "value": "-0.5"}\n'
    write(tmp_path, {"t/clips.jsonl": lines})
    reading = read("manifest-sentiment", tmp_path / "t" / "clips.jsonl")
    assert [one.truth.value for one in reading.samples] == [1, -0.5]


@pytest.mark.parametrize(
    ("value", "found"),
    [("3.1", "'3.1'"), ("-4", "'-4'"), ("", "nothing"), ("good", "'good'"), ("nan", "'nan'")],
)
def test_what_is_no_value_of_the_range_is_named(value: str, found: str, tmp_path: Path) -> None:
    rows = f"path,value\na.mp4,1\na.mp4,{value}\n"
    write(tmp_path, {"manifest.csv": rows}, ["a.mp4"])
    with pytest.raises(ValueError, match=rf"row 2, value: found {found}, expected .* -3 to 3"):
        read("manifest-sentiment", tmp_path)


def test_a_table_without_values_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"manifest.csv": "path,label\na.mp4,sad\n"}, ["a.mp4"])
    with pytest.raises(ValueError, match="row 1, value: found nothing"):
        read("manifest-sentiment", tmp_path)
    text = '{"text": "Good.", "value": true}\n'
    write(tmp_path, {"t/clips.jsonl": text})
    with pytest.raises(ValueError, match="found True"):
        read("manifest-sentiment", tmp_path / "t" / "clips.jsonl")


def test_a_column_of_that_name_is_left_alone_where_labels_are_scored(tmp_path: Path) -> None:
    write(tmp_path, {"manifest.csv": "path,label,value\na.mp4,sad,cheap\n"}, ["a.mp4"])
    assert read("manifest", tmp_path).samples[0].truth.value is None


def test_repeated_and_missing_clips(tmp_path: Path) -> None:
    write(tmp_path, {"manifest.csv": "path,label\na.mp4,sad\na.mp4,happy\n"})
    with pytest.raises(MissingDataError, match=r"any of the 2 clips, such as .*a\.mp4"):
        read("manifest", tmp_path)
    write(tmp_path, {}, ["a.mp4"])
    with pytest.raises(ValueError, match=r"found a\.mp4 more than once"):
        read("manifest", tmp_path)


def test_no_label_at_all(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no label, expected sub-folders"):
        own_labels(tmp_path)
