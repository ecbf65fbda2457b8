"""Plots are drawn for what there is, the same bytes every time."""

import sys
from pathlib import Path

import pytest
from exported_record import make_record

from emotion_llama.merr.plots import PLOTS, write_plots
from emotion_llama.merr.records import LabelReading
from emotion_llama.merr.statistics import Statistics, statistics


@pytest.fixture(scope="module")
def stats() -> Statistics:
    happy = make_record("a")
    other = (LabelReading("$x_1$", "human", "t", "1"), LabelReading("happy", "model", "m", "1"))
    return statistics([happy, make_record("b", labels=other, label="$x_1$", split="test")])


def test_every_plot_is_written_and_two_runs_are_equal(tmp_path: Path, stats: Statistics) -> None:
    pytest.importorskip("matplotlib")
    first = write_plots(stats, tmp_path / "new" / "one", "svg")
    assert [path.stem for path in first] == list(PLOTS)
    second = write_plots(stats, tmp_path / "two", "svg")
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
        assert one.read_bytes().startswith(b"<?xml")
    assert not [path for path in (tmp_path / "two").iterdir() if path.suffix != ".svg"]


def test_only_what_there_are_numbers_for_is_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    bare = make_record(labels=(), label=None, verdict=None, face=None, coarse_caption="two words")
    (path,) = write_plots(statistics([bare]), tmp_path)
    assert path.name == "lengths.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_without_matplotlib_it_says_how_to_get_it(
    tmp_path: Path, stats: Statistics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match=r"pip install 'emotion-llama\[plot\]'"):
        write_plots(stats, tmp_path)


def test_other_forms_are_refused(tmp_path: Path, stats: Statistics) -> None:
    with pytest.raises(ValueError, match="found the form 'gif', expected png or svg"):
        write_plots(stats, tmp_path, "gif")  # type: ignore[arg-type]
