"""Sets of five folds (DFEW, MAFW) and FERV39k."""

from pathlib import Path

import pytest
from evaluation.readers.published_form import files, read, truths, write

from emotion_llama.evaluation.samples import MissingDataError

DFEW_TABLE = "EmoLabel_DataSplit/test(single-labeled)/set_{}.csv"
MAFW_LIST = "Train & Test Set/single/no_caption/set_{}/test.txt"


def dfew(folder: Path, **tables: str) -> Path:
    rows = {f: tables.get(f"set_{f}", f"{f},{f}\n") for f in range(1, 6)}
    texts = {DFEW_TABLE.format(f): f"video_name,label\n{row}" for f, row in rows.items()}
    media = [f"Clip/original/part_1/{n}.mp4" for n in (1, 2, 3)]
    return write(folder, texts, [*media, "Clip/original/00004.avi", "Clip/original/00005.mp4"])


def test_dfew_reads_all_five_test_sets(tmp_path: Path) -> None:
    reading = read("dfew", dfew(tmp_path, set_1="1,1\n16372,7\n12,6\n"))
    assert truths(reading) == {
        "00001": "happy",
        "00002": "sad",
        "00003": "neutral",
        "00004": "angry",
        "00005": "surprise",
    }
    assert [s.fold for s in reading.samples] == ["1", "2", "3", "4", "5"]
    assert files(reading, tmp_path)[2:4] == [
        "Clip/original/part_1/3.mp4",
        "Clip/original/00004.avi",
    ]
    assert reading.left_out == {"no file of the clip": 2}


def test_dfew_reads_one_fold(tmp_path: Path) -> None:
    reading = read("dfew-merr9", dfew(tmp_path), fold=2)
    assert truths(reading) == {"00002": "sad"}
    with pytest.raises(ValueError, match="option fold"):
        read("dfew", tmp_path, fold=6)


def test_a_wrong_row_of_dfew_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"set_3\.csv, row 2, label: .* 7; found '8'"):
        read("dfew", dfew(tmp_path, set_3="3,3\n4,8\n"))


def test_a_clip_of_two_test_sets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 00001 more than once"):
        read("dfew", dfew(tmp_path, set_2="1,1\n"))


def test_a_missing_fold_is_named(tmp_path: Path) -> None:
    (dfew(tmp_path) / DFEW_TABLE.format(4)).unlink()
    with pytest.raises(MissingDataError, match=r"found no EmoLabel.*set_4\.csv or test"):
        read("dfew", tmp_path)
    assert read("dfew", tmp_path, fold=1).samples


def test_mafw(tmp_path: Path) -> None:
    rows = ["00001.mp4 anger", "00002.mp4 happiness", "00003.mp4 disappointment"]
    rows += ["00004.mp4 sadness", "00005.mp4 contempt"]
    texts = {MAFW_LIST.format(f): row + "\n" for f, row in enumerate(rows, 1)}
    write(tmp_path, texts, [f"data/clips/0000{n}.mp4" for n in range(1, 5)])
    reading = read("mafw", tmp_path)
    assert list(truths(reading).values()) == ["angry", "happy", "disappointment", "sad"]
    assert [s.fold for s in reading.samples] == ["1", "2", "3", "4"]
    assert reading.left_out == {"no file of the clip": 1}
    write(tmp_path, {MAFW_LIST.format(2): "00002.mp4\n"})
    with pytest.raises(ValueError, match=r"test\.txt, row 1: found '00002.mp4', expected 2 fields"):
        read("mafw", tmp_path)


def test_ferv39k(tmp_path: Path) -> None:
    texts = {"4_setups/All_scenes/test_All.csv": "Action/Sad/0010 Sad\nSpeech/Fear/0002 Fear\n"}
    write(tmp_path, texts, ["0_7_LabelClips/Action/Sad/0010.mp4"])
    reading = read("ferv39k", tmp_path)
    assert truths(reading) == {"Action/Sad/0010": "sad"}
    assert reading.samples[0].groups == {"scene": "Action"}
    assert reading.left_out == {"no file of the clip": 1}
