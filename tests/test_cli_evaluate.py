"""emotion-llama evaluate: what is said, what is written, how it ends."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from emotion_llama.cli.program import app

FAST = ("--analyses", "none", "--device", "cpu")


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.fixture
def clips(talking_film: Path, tmp_path: Path) -> Path:
    """Two films with their labels as folders."""
    folder = tmp_path / "clips"
    for label in ("happy", "sad"):
        (folder / label).mkdir(parents=True)
        shutil.copy(talking_film, folder / label / f"{label}.mp4")
    return folder


def test_protocols_are_listed() -> None:
    result = call("--list")
    assert result.exit_code == 0
    assert "mer2023-semi" in result.stdout
    assert "weighted_f1" in result.stdout


def test_own_clips_are_scored_and_reported(clips: Path, tiny_preset: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = call("folder", "--data", clips, "--preset", tiny_preset, "--out", out, *FAST)
    assert result.exit_code == 0, result.output
    assert "2 of 2 samples answered" in result.stdout
    assert "always one label 0.500" in result.stdout
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert metrics["protocol"]["labels"] == ["happy", "sad"]
    assert (out / "report.html").is_file()
    before = (out / "answers.jsonl").read_bytes()
    again = call("folder", "--data", clips, "--preset", tiny_preset, "--out", out, *FAST)
    assert again.exit_code == 0
    assert (out / "answers.jsonl").read_bytes() == before


def test_a_broken_clip_counts_as_wrong_and_ends_with_1(
    clips: Path, tiny_preset: Path, tmp_path: Path
) -> None:
    (clips / "sad" / "broken.mp4").write_bytes(b"no film")
    out = tmp_path / "run"
    result = call("folder", "--data", clips, "--preset", tiny_preset, "--out", out, *FAST)
    assert result.exit_code == 1
    assert "2 of 3 samples answered" in result.stdout
    assert "broken.mp4" in (out / "report.html").read_text("utf-8")


def test_two_runs_are_compared(clips: Path, tiny_preset: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    common = ("folder", "--data", clips, "--preset", tiny_preset, *FAST)
    assert call(*common, "--out", one).exit_code == 0
    deaf = call(*common, "--out", two, "--modalities", "vision", "--compare", one)
    assert deaf.exit_code == 0, deaf.output
    comparison = json.loads((two / "metrics.json").read_text("utf-8"))["comparison"]
    assert comparison["other"] == "one"
    assert sum(comparison["table"].values()) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nonsense", "--data", "."), "found no protocol 'nonsense'"),
        (("mer2023-semi", "--data", "."), "test3"),
        (("mer2023-semi", "--data", ".", "--labels", "a,b"), "--labels is for folder and manifest"),
        (("folder", "--data", "nowhere"), "nowhere"),
        (("folder",), "name a protocol and give --data"),
    ],
)
def test_what_cannot_be_done_is_said(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EMOTION_LLAMA_DATA", raising=False)
    result = call(*arguments)
    assert result.exit_code == 2
    assert message in " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("--analyses", "sing", "found the analysis 'sing'"),
        ("--modalities", "smell", "expected one or more of audio, vision, text"),
        ("--limit", "0", "the limit is 0"),
        ("--batch-size", "many", "expected auto or a number of at least 1"),
    ],
)
def test_flags_are_checked(
    flag: str, value: str, message: str, clips: Path, tiny_preset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    result = call("folder", "--data", clips, "--preset", tiny_preset, "--out", out, flag, value)
    assert result.exit_code != 0
    assert message in " ".join(result.output.split())


def test_only_a_run_is_removed(clips: Path, tiny_preset: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work", encoding="utf-8")
    common = ("folder", "--data", clips, "--preset", tiny_preset, "--out", out, *FAST)
    result = call(*common, "--restart")
    assert result.exit_code == 2
    assert "nothing was removed" in " ".join(result.output.split())
    assert (out / "thesis.txt").is_file()
