"""What the command makes of its flags, and a run of one's own table with it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from emotion_llama.cli.program import app

FAST = ("--analyses", "none", "--device", "cpu")


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def words_of(result: Result) -> str:
    return " ".join(result.output.replace("│", " ").split())


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.csv"
    path.write_text("text,value\nI am glad.,0.8\nI hate it.,-0.5\nIt is late.,0\n", "utf-8")
    return path


def test_a_table_of_sentiment_is_scored_in_its_range(
    table: Path, tiny_preset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    common = ("manifest-sentiment", "--data", table, "--preset", tiny_preset, "--out", out, *FAST)
    result = call(*common, "--value-range", "-1,1")
    assert result.exit_code == 0, result.output
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    found = metrics["sentiment"]
    assert metrics["protocol"]["value_range"] == [-1, 1]
    assert (found["non_negative"]["num_clips"], found["without_zeros"]["num_clips"]) == (3, 2)
    assert found["acc7"] is None
    assert found["acc5"] is not None
    assert found["mae"] is not None
    assert "Sentiment" in (out / "report.html").read_text("utf-8")
    other = call(*common)
    assert other.exit_code != 0
    assert "value_range" in words_of(other), "another range is another run"


@pytest.mark.parametrize("text", ["1", "0,1", "a,b", "-1,inf", "1,-1", "-1,0,1"])
def test_a_range_that_is_none_is_refused(
    text: str, table: Path, tiny_preset: Path, tmp_path: Path
) -> None:
    result = call(
        "manifest-sentiment", "--data", table, "--preset", tiny_preset, "--value-range", text
    )
    assert result.exit_code == 2
    assert f"found the value range '{text}'" in words_of(result)


def test_a_range_is_for_tables_of_sentiment(table: Path, tiny_preset: Path) -> None:
    for protocol in ("manifest", "cmu-mosi"):
        result = call(protocol, "--data", table, "--preset", tiny_preset, "--value-range", "-1,1")
        assert result.exit_code == 2
        assert "--value-range is for manifest-sentiment" in words_of(result)


def test_labels_are_not_for_tables_of_sentiment(table: Path, tiny_preset: Path) -> None:
    result = call("manifest-sentiment", "--data", table, "--preset", tiny_preset, "--labels", "a,b")
    assert "--labels is for folder and manifest" in words_of(result)
