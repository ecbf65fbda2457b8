"""Tables of sentiment."""

from pathlib import Path

import pytest
from evaluation.readers.published_form import files, read, write

HEADER = "video_id,clip_id,text,label,label_T,label_A,label_V,annotation,mode\n"
ROWS = (
    "03bSn,1,It was good.,2.4,,,,Positive,test\n"
    "03bSn,10,,-0.8,,,,Negative,test\n"
    "_dI--,2,Bad.,-3,,,,Negative,train\n"
)
CLIPS = ("Raw/03bSn/1.mp4", "Raw/03bSn/10.mp4", "Raw/_dI--/2.mp4")


@pytest.mark.parametrize("name", ["cmu-mosi", "cmu-mosei"])
def test_one_table(name: str, tmp_path: Path) -> None:
    reading = read(name, write(tmp_path, {"label.csv": HEADER + ROWS}, CLIPS))
    assert [(s.sample_id, s.truth.value) for s in reading.samples] == [
        ("03bSn/1", 2.4),
        ("03bSn/10", -0.8),
    ]
    assert [s.transcript for s in reading.samples] == ["It was good.", None]
    assert reading.samples[0].groups == {"source": "03bSn", "language": "en"}
    assert files(reading, tmp_path) == ["Raw/03bSn/1.mp4", "Raw/03bSn/10.mp4"]
    assert reading.left_out == {"not in the split test": 1}


def test_the_table_of_the_second_sims(tmp_path: Path) -> None:
    text = HEADER + "aqgy4_0001,00000,好,-0.6,,,,Negative,test\n"
    reading = read("ch-sims-v2", write(tmp_path, {"meta.csv": text}, ["Raw/aqgy4_0001/00000.mp4"]))
    assert reading.samples[0].truth.value == -0.6


def test_the_metadata_of_the_first_sims(tmp_path: Path) -> None:
    rows = "v1,1,-1\nv1,0002,0.4\nv2,3,0\n"
    write(
        tmp_path,
        {
            "metadata/sentiment/label_M.csv": "video_id,clip_id,label\n" + rows,
            "metadata/test_index.csv": "index\n2\n1\n",
            "metadata/Translation.csv": "video_id,clip_id,Chinese,English\nv1,2,好,Good\n",
        },
        ["Raw/v1/0001.mp4", "Raw/v1/0002.mp4", "Raw/v2/0003.mp4"],
    )
    reading = read("ch-sims", tmp_path)
    assert [(s.sample_id, s.truth.value) for s in reading.samples] == [
        ("v1/0002", 0.4),
        ("v2/3", 0),
    ]
    assert files(reading, tmp_path) == ["Raw/v1/0002.mp4", "Raw/v2/0003.mp4"]
    assert [s.transcript for s in reading.samples] == ["好", None]
    assert read("ch-sims", tmp_path, transcript="english").samples[0].transcript == "Good"
    write(tmp_path, {"metadata/test_index.csv": "index\n3\n"})
    with pytest.raises(ValueError, match=r"found the index 3, expected less than 3"):
        read("ch-sims", tmp_path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("v,1,,3.5,,,,,test\n", "row 4: found the label 3.5, expected -3 to 3"),
        ("v,1,,good,,,,,test\n", "row 4, label: .*found 'good'"),
        ("v,1,,nan,,,,,test\n", "row 4, label: .*finite"),
        ("v,1,,1,,,,,\n", "row 4: found no mode"),
    ],
)
def test_a_wrong_row_is_named(row: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"label\.csv, {message}"):
        read("cmu-mosi", write(tmp_path, {"label.csv": HEADER + ROWS + row}, CLIPS))


def test_a_repeated_clip_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found 03bSn/1, 03bSn/10 more than once"):
        read("cmu-mosi", write(tmp_path, {"label.csv": HEADER + ROWS + ROWS}, CLIPS))
