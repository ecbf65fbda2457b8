"""The figures on the pages are those that were measured."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PRESET = ROOT / "emotion_llama" / "presets" / "mini"


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    path = ROOT / "tools" / "write_model_card.py"
    spec = importlib.util.spec_from_file_location("write_model_card", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pages_show_the_measured_figures(tool: ModuleType) -> None:
    figures = json.loads((PRESET / "figures.json").read_text("utf-8"))
    for page, block in (
        (ROOT / "README.md", tool.readme_block(figures)),
        (PRESET / "README.md", tool.card_block(figures)),
    ):
        text = page.read_text("utf-8")
        assert tool.between_marks(text, block) == text, f"run tools/write_model_card.py: {page}"


def test_a_page_without_marks_is_refused(tool: ModuleType) -> None:
    with pytest.raises(ValueError, match="put both marks"):
        tool.between_marks("no marks", "block")


def mean(value: float | None, n: int = 40) -> dict[str, object]:
    interval = None if value is None else [value - 0.1, value + 0.1]
    return {"value": value, "interval_95": interval, "n": n, "over": "items"}


def label_row(name: str) -> dict[str, object]:
    return {
        "name": name,
        "n": 72,
        "groups": 3,
        "resampled": "items",
        "labels": 6,
        "uar": 0.5,
        "uar_95": [0.4, 0.6],
        "accuracy": 0.45,
        "accuracy_95": [0.35, 0.55],
        "weighted_f1": 0.4,
        "weighted_f1_95": [0.3, 0.5],
        "recalls": {"happy": 1.0},
    }


def part() -> dict[str, object]:
    """Everything that can be measured of one split."""
    share = {"value": 0.8, "interval_95": [0.7, 0.9], "over": "items"}
    points = {"value": 42.0, "interval_95": [30.0, 50.0], "over": "items"}
    truth = {"stated": 90, "own": share, "other": None, "drop_points": points}
    clips = {**label_row("Clips, face + voice"), "top_2": 0.7, "top_2_95": [0.6, 0.8]}
    effect = {
        "clips": 72,
        "labels changed": 0.25,
        "labels changed 95": [0.15, 0.35],
        "mean total variation": 0.2,
        "mean total variation 95": [0.1, 0.3],
        "clips with any change": 1.0,
        "over": "items",
        "towards the sound": mean(0.75, 72),
        "towards the sound where both sounds differ": mean(0.6, 30),
    }
    return {
        "figures": [label_row("Voices")],
        "clips": [{**clips, "valence": mean(0.6, 60)}],
        "baselines": [{**label_row("Voices"), "method": "a machine", "training_items": 9}],
        "calibration": [
            {
                "name": "speech",
                "n": 704,
                "resampled": "items",
                "ece": None,
                "ece_95": None,
                "perfect_ece": None,
                "nll": 1.0,
                "nll_95": [0.9, 1.1],
                "brier": 0.5,
                "brier_95": [0.4, 0.6],
                "answered_at_80": 0.25,
                "answered_at_80_95": [0.1, 0.4],
            }
        ],
        "language": [
            {
                "name": "speech",
                "n": 40,
                "greedy_is_scored": mean(0.9),
                "well_formed": mean(0.85),
                "names_another": mean(0.1),
                "concludes_truly": mean(0.9),
                "frames": 12,
                "words": mean(17.0),
                "examples": ["the reason of somebody"],
                "faithfulness": {**truth, "telling": mean(0.7), "untrue": ["some words"]},
            },
            {"name": "all", "n": 40, "faithfulness": {**truth, "telling": mean(None)}},
        ],
        "following": {
            "voice": [
                {
                    "name": "voice raised, reason",
                    "moves_along": mean(0.5),
                    "moves_against": mean(0.2),
                }
            ],
            "face": [],
        },
        "modality effects": {"audio swapped": effect},
        "speed": {
            "film_s": 5.0,
            "answer_s": 0.5,
            "load_s": 0.25,
            "repeats": 5,
            "threads": 1,
            "device": "cpu",
            "files": {"total": 10_900_000},
        },
    }


def test_every_measured_part_has_its_table(tool: ModuleType) -> None:
    card = tool.card_block({"dev": part(), "test": part()})
    for line in (
        "| Voices | 72 | 3 | 6 | 0.500 [0.400, 0.600] | 0.167 | 0.450 [0.350, 0.550] "
        "| 0.400 [0.300, 0.500] | items |",
        "| Clips, face + voice | 72 | 0.700 [0.600, 0.800] | 60 % [50, 70] (n 60) | items |",
        "| Voices | a machine | 72 | 0.500 [0.400, 0.600] | 0.400 [0.300, 0.500] | 0.500 | 0.400 |",
        "| speech | 704 | n below 1000 | - | 1.000 [0.900, 1.100] | 0.500 [0.400, 0.600] "
        "| 0.250 [0.100, 0.400] | items |",
        "| speech | 40 | 90 % [80, 100] | 85 % [75, 95] | 10 % [0, 20] | 90 % [80, 100] | 12 "
        "| 17.0 |",
        "| all | 40 | 90 | 80 % [70, 90] | - | 42 [30, 50] | - |",
        "| voice raised, reason | 40 | 50 % [40, 60] | against: 20 % [10, 30] |",
        "| audio swapped | 72 | 100% | 25 % [15, 35] | 0.200 [0.100, 0.300] |",
    ):
        assert line in card
    assert "more probable in 75 % [65, 85] of 72 clips" in card
    assert "Files: 10.9 MB." in card


def test_what_was_not_measured_has_no_heading(tool: ModuleType) -> None:
    whole, bare = part(), {"figures": [label_row("Voices")]}
    card = tool.card_block({"dev": whole, "test": bare})
    assert "### Calibration (development)" in card
    assert "### Calibration (test)" not in card
    assert "### Baselines, fitted on the training splits (test)" not in card


def test_the_readme_names_the_clips_that_are_whole(tool: ModuleType) -> None:
    block = tool.readme_block({"dev": part(), "test": part()})
    assert "On 72 development clips with face and voice of 3 people" in block


def test_stored_figures_hold_no_written_reasons(tool: ModuleType) -> None:
    stored = json.dumps(tool.without_examples(part()))
    assert "somebody" not in stored
    assert "some words" not in stored
    assert "greedy_is_scored" in stored
