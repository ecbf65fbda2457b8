"""Published data sets beside this one: unknown is not no, and little is not all."""

from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from exported_record import make_record
from rich.console import Console

from emotion_llama.merr.comparison import (
    CARRIED,
    UNKNOWN,
    compared,
    comparison_table,
    published_sets,
    this_set,
)
from emotion_llama.merr.records import LabelReading
from emotion_llama.merr.statistics import statistics


def test_the_published_rows_are_those_of_the_paper() -> None:
    rows = {row.name: row for row in published_sets().sets}
    assert list(rows) == [
        "EmoSet", "EmoVIT", "DFEW", "MER2023", "EMER", "MERR", "MER-Caption", "MMEVerse"
    ]  # fmt: skip
    assert rows["EmoSet"].size == UNKNOWN
    assert rows["EmoVIT"].holds["caption"] == "part"
    assert rows["MER2023"].holds == {
        "audio": "no", "scene": "no", "facial": "no", "label": "yes", "caption": "no"
    }  # fmt: skip
    assert "28,618" in rows["MERR"].size and rows["MERR"].holds["label"] == "pseudo"
    assert all(row.source for row in rows.values())


def test_a_field_that_95_of_100_records_carry_is_held() -> None:
    whole = make_record()
    dumb = replace(whole, voice_description=None, clues=whole.clues[:2])
    most = statistics([whole] * 19 + [dumb])
    assert this_set(most).holds["audio"] == "yes"
    fewer = statistics([whole] * 18 + [dumb] * 2)
    assert this_set(fewer).holds["audio"] == "90 %"
    few = statistics([whole] + [dumb] * 199)
    assert this_set(few).holds["audio"] == "< 1 %"
    assert this_set(few).holds["scene"] == "no"


def test_labels_that_no_person_gave_are_pseudo_labels() -> None:
    guessed = (LabelReading("happy", "model", "m", "1"),)
    assert this_set(statistics([make_record(labels=guessed)])).holds["label"] == "pseudo"
    assert this_set(statistics([make_record()])).holds["label"] == "yes"


def test_the_last_row_has_the_sizes_of_this_set() -> None:
    records = [make_record("a"), make_record("b", fine_caption=None),
               make_record("c", status="rejected", reasons=("x: y",))]  # fmt: skip
    row = compared(statistics(records))[-1]
    assert row.size == "2 coarse, 1 fine"
    assert "kept 2 of 3" in row.how


def test_of_an_empty_set_nothing_is_known() -> None:
    assert set(this_set(statistics([])).holds.values()) == {UNKNOWN}


def test_what_a_table_does_not_state_is_unknown(tmp_path: Path) -> None:
    columns = "".join(f"  {column}: x\n" for column in CARRIED)
    path = tmp_path / "sets.yaml"
    path.write_text(f'columns:\n{columns}sets:\n  - {{name: X, size: null, source: s, '
                    'holds: {audio: "no", scene: null}}\n')  # fmt: skip
    (row,) = published_sets(path).sets
    assert row.holds == {"audio": "no"} | dict.fromkeys(list(CARRIED)[1:], UNKNOWN)
    path.write_text(f"columns:\n{columns}sets:\n  - {{name: X, size: null, source: s, "
                    "holds: {smell: x}}\n")  # fmt: skip
    published_sets.cache_clear()
    with pytest.raises(ValueError, match=r"X: found \['smell'\], expected audio"):
        published_sets(path)


def test_the_table_fits_a_terminal() -> None:
    text = StringIO()
    Console(file=text, width=100).print(comparison_table(statistics([make_record()])))
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert any(line.lstrip().startswith("this data set") for line in lines)
