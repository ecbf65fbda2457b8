"""MELD with and without its clips."""

from pathlib import Path

import pytest
from evaluation.readers.published_form import files, read, truths, write

HEADER = (
    "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,"
    "StartTime,EndTime\n"
)
ROWS = (
    '1,"Oh, no!",Anna,anger,negative,0,0,3,19,"00:14:38,127","00:14:40,378"\n'
    '2,Great.,Ben,joy,positive,0,1,3,19,"00:14:40,629","00:14:47,385"\n'
)


def test_clips_and_words(tmp_path: Path) -> None:
    write(
        tmp_path,
        {"test_sent_emo.csv": HEADER + ROWS},
        ["output_repeated_splits_test/dia0_utt0.mp4"],
    )
    reading = read("meld", tmp_path)
    (sample,) = reading.samples
    assert (sample.sample_id, sample.truth.label) == ("dia0_utt0", "angry")
    assert sample.transcript == "Oh, no!"
    assert sample.groups == {"speaker": "Anna", "source": "dia0", "language": "en"}
    assert files(reading, tmp_path) == ["output_repeated_splits_test/dia0_utt0.mp4"]
    assert reading.left_out == {"no file of the clip": 1}, "broken clips are known"


@pytest.mark.parametrize(
    ("name", "table"), [("meld-text", "test_sent_emo.csv"), ("data-meld", "text/meld_test.csv")]
)
def test_words_alone(name: str, table: str, tmp_path: Path) -> None:
    reading = read(name, write(tmp_path, {table: HEADER + ROWS}))
    assert truths(reading) == {"dia0_utt0": "angry", "dia0_utt1": "happy"}
    assert [s.path for s in reading.samples] == [None, None]


def test_another_split(tmp_path: Path) -> None:
    write(tmp_path, {"dev_sent_emo.csv": HEADER + ROWS}, ["dev_splits_complete/dia0_utt1.mp4"])
    assert truths(read("meld", tmp_path, split="dev")) == {"dia0_utt1": "happy"}


def test_a_wrong_or_repeated_row_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"test_sent_emo.csv": HEADER + ROWS + "3,Hi.,Ben,joy,positive,x,2,,,,\n"})
    with pytest.raises(ValueError, match=r"test_sent_emo\.csv, row 3, Dialogue_ID: .*found 'x'"):
        read("meld-text", tmp_path)
    write(tmp_path, {"test_sent_emo.csv": HEADER + ROWS + ROWS})
    with pytest.raises(ValueError, match="found dia0_utt0, dia0_utt1 more than once"):
        read("meld-text", tmp_path)
