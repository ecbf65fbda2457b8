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
