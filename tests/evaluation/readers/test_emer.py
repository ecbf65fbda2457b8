"""Both forms of EMER."""

from pathlib import Path

import pytest
from evaluation.readers.published_form import read, write


def test_the_first_form(tmp_path: Path) -> None:
    table = (
        "names,emotions,subtitles,reasons\n"
        'a,angry,"No, I won\'t.","She frowns, so she is angry."\n'
        "b,happy,Yes.,\n"
        "c,sad,No.,He cries.\n"
    )
    write(tmp_path, {"gt-eng.csv": table}, ["video/a.avi", "video/b.avi"])
    reading = read("emer", tmp_path)
    (sample,) = reading.samples
    assert sample.transcript == "No, I won't."
    assert sample.truth.description == "She frowns, so she is angry."
    assert sample.truth.words == ("angry",)
    assert reading.left_out == {"no description": 1, "no file of the clip": 1}


def test_the_second_form_in_either_language(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "final-EMER-reason.csv": "name,chinese,english\na,她皱眉。,She frowns.\n",
            "subtitle_chieng.csv": "name,chinese,english\na,不,No.\n",
        },
        ["train/a.avi"],
    )
    (sample,) = read("emer", tmp_path).samples
    assert (sample.truth.description, sample.transcript) == ("She frowns.", "No.")
    assert sample.truth.words is None
    (sample,) = read("emer", tmp_path, language="chinese").samples
    assert (sample.truth.description, sample.transcript) == ("她皱眉。", "不")


def test_a_wrong_row_is_named(tmp_path: Path) -> None:
    write(tmp_path, {"gt-eng.csv": "clip,reasons\na,x\n"})
    with pytest.raises(ValueError, match=r"gt-eng\.csv, row 1, names: field required"):
        read("emer", tmp_path)
