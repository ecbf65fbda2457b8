"""Tracks of MER2023 and MER2024 in each form of their labels."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation.readers.published_form import files, read, truths, write

from emotion_llama.evaluation.readers.corpus import read_corpus

CLIPS = ("test1/sample_01.avi", "test1/sample_02.mp4", "test1/sample_02.avi")
TABLE = "name,discrete,valence\nsample_01,angry,-2.5\nsample_02,happy,-10\n"


def test_a_table_of_labels_and_valences(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "test1-label.csv": TABLE,
            "subtitle_chieng.csv": "name,chinese,english\nsample_01,你好,Hello.\nsample_02,好,\n",
        },
        CLIPS,
    )
    reading = read("mer2023-multi", tmp_path)
    first, second = reading.samples
    assert truths(reading) == {"sample_01": "angry", "sample_02": "happy"}
    assert (first.truth.value, second.truth.value) == (-2.5, None), "-10 is unknown"
    assert files(reading, tmp_path) == ["test1/sample_01.avi", "test1/sample_02.mp4"]
    assert (first.transcript, second.transcript) == ("Hello.", None)
    assert (first.split, first.groups) == ("test1", {"language": "zh"})
    chinese = read("mer2023-multi", tmp_path, transcript="chinese").samples
    assert [s.transcript for s in chinese] == ["你好", "好"]


def test_a_table_without_valences(tmp_path: Path) -> None:
    write(tmp_path, {"test3-label.csv": "name,discrete\na,worried\n"}, ["test3/a.mp4"])
    assert read("mer2023-semi", tmp_path).samples[0].truth.value is None


def test_an_archive_of_labels(tmp_path: Path) -> None:
    corpus = {
        "sample_01": {"emo": "angry", "val": -10},
        "sample_02": {"emo": np.str_("sad"), "val": np.float64(-1.5)},
    }
    write(tmp_path, {}, ["video/sample_01.avi", "video/sample_02.mp4"])
    np.savez_compressed(tmp_path / "label-6way.npz", test1_corpus=corpus, test2_corpus={})
    reading = read("mer2023-multi", tmp_path)
    assert truths(reading) == {"sample_01": "angry", "sample_02": "sad"}
    assert [s.truth.value for s in reading.samples] == [None, -1.5]
    with pytest.raises(ValueError, match=r"found the parts test1_corpus, test2_corpus, expected t"):
        read_corpus(tmp_path / "label-6way.npz", "test3_corpus")


class Malicious:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def test_an_archive_that_would_run_code_is_not_opened(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    corpus = {"sample_01": {"emo": Malicious(mark), "val": 0.0}}
    np.savez(tmp_path / "label-6way.npz", test1_corpus=corpus)
    with pytest.raises(ValueError, match=r"asks for (posix|nt)\.mkdir.*name,discrete"):
        read("mer2023-multi", tmp_path)
    assert not mark.exists()
    np.load(tmp_path / "label-6way.npz", allow_pickle=True)["test1_corpus"]
    assert mark.exists(), "it is a danger indeed"


@pytest.mark.parametrize(
    ("corpus", "message"),
    [
        ({"a": {"val": 1.0}}, r"row 'a', emo: field required"),
        ({"a": {"emo": "sad", "val": "low"}}, r"row 'a', val: .*found 'low'"),
        ([1, 2], "array of int64, expected a dict"),
        (["a", None], "found ndarray, expected a dict"),
    ],
)
def test_a_broken_archive_is_told(corpus: Any, message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "label-6way.npz", test1_corpus=corpus)
    with pytest.raises(ValueError, match=message):
        read("mer2023-multi", tmp_path)


def test_what_is_no_archive_is_told(tmp_path: Path) -> None:
    write(tmp_path, {"label-6way.npz": "name,discrete"})
    with pytest.raises(ValueError, match="found no numpy archive"):
        read("mer2023-multi", tmp_path)


def test_an_annotation_list(tmp_path: Path) -> None:
    write(tmp_path, {"test3.txt": "a 120 happy\n\nb -10 worried\n"}, ["test3/a.avi", "test3/b.mp4"])
    reading = read("mer2023-semi", tmp_path)
    assert truths(reading) == {"a": "happy", "b": "worried"}
    write(tmp_path, {"test3.txt": "a 120 happy\nb worried\n"})
    with pytest.raises(ValueError, match=r"test3\.txt, row 2: found 'b worried', expected 3"):
        read("mer2023-semi", tmp_path)


def test_words_of_an_open_vocabulary(tmp_path: Path) -> None:
    table = "name,openset\na,\"['excited', 'happy']\"\nb,['sad']\nc,[]\n"
    write(tmp_path, {"check-openset.csv": table}, ["train/a.avi", "train/b.avi", "train/c.avi"])
    reading = read("mer2024-ov", tmp_path)
    assert [s.truth.words for s in reading.samples] == [("excited", "happy"), ("sad",)]
    assert reading.left_out == {"no emotion words": 1}


def test_the_later_tracks(tmp_path: Path) -> None:
    media = ["MER2024_semi/a.mp4", "MER2024_noise/b.mp4"]
    tables = {"reference-semi.csv": "name,discrete\na,sad\n"}
    tables["reference-noise.csv"] = "name,discrete\nb,angry\n"
    write(tmp_path, tables, media)
    assert truths(read("mer2024-semi", tmp_path)) == {"a": "sad"}
    assert truths(read("mer2024-noise", tmp_path)) == {"b": "angry"}


def test_a_wrong_row_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, {"test1-label.csv": TABLE + "sample_03,sad,low\n"}, CLIPS)
    message = r"test1-label\.csv, row 3, valence: .*found 'low'; the columns are name, discrete, va"
    with pytest.raises(ValueError, match=message):
        read("mer2023-multi", path)
    write(tmp_path, {"test1-label.csv": "clip,discrete\na,sad\n"})
    with pytest.raises(ValueError, match=r"row 1, name: field required; the columns are clip"):
        read("mer2023-multi", path)
    write(tmp_path, {"test1-label.csv": "name,discrete\na,sad,1,2\n"})
    with pytest.raises(ValueError, match=r"row 1: found 2 more cells than the 2 columns"):
        read("mer2023-multi", path)


def test_a_repeated_row_is_refused(tmp_path: Path) -> None:
    write(tmp_path, {"test1-label.csv": TABLE + "sample_01,sad,0\n"}, CLIPS)
    with pytest.raises(ValueError, match="found sample_01 more than once"):
        read("mer2023-multi", tmp_path)
