"""Write the figures of a preset into its folder, its model card and the README.

    python tools/write_model_card.py --dev dev.json --test test.json

``dev.json`` and ``test.json`` come from ``tools/measure_mini.py``. No figure is typed by hand:
the tables stand between two marks and are replaced; a test compares them with ``figures.json``.
"""

import argparse
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from preset_measures import tables

ROOT = Path(__file__).resolve().parents[1]
PRESET = ROOT / "emotion_llama" / "presets" / "mini"
MARKS = ("<!-- figures -->", "<!-- end of figures -->")

Part = Mapping[str, Any]


def readme_block(figures: Mapping[str, Any]) -> str:
    """Render what the README shows."""
    dev = figures["dev"]
    clips = dev["clips"][0] if dev.get("clips") else dev["figures"][-1]
    low, high = clips["uar_95"]
    return (
        "People in the test splits of the training sets, and URDU, which trains nothing "
        "(`tools/measure_mini.py`, scored label over the closed label set of each):\n\n"
        + tables.figure_table(figures["test"]["figures"])
        + f"\n\nOn {clips['n']} development clips with face and voice of {clips['groups']} people "
        f"it reaches a UAR of {clips['uar']:.3f} [{low:.3f}, {high:.3f}] over {clips['labels']} "
        "labels."
    )


def card_block(figures: Mapping[str, Any]) -> str:
    """Render what the model card shows; what was not measured is left out with its heading."""
    test, dev = figures["test"], figures["dev"]
    sections = {
        "### Test splits": _labels(test),
        "### Development splits and clips, looked at while choosing": _labels(dev),
        "### Baselines, fitted on the training splits (test)": _baselines(test),
        "### Baselines, fitted on the training splits (development)": _baselines(dev),
        "### Calibration (test)": [tables.calibration_table(test.get("calibration", []))],
        "### Calibration (development)": [tables.calibration_table(dev.get("calibration", []))],
        "### What it writes (test)": _language(test),
        "### What it writes (development)": _language(dev),
        "### What each modality changes (72 clips with face and voice)": _effects(dev),
        "### Speed and size": [tables.speed_sentence(dev["speed"])] if "speed" in dev else [],
    }
    blocks = [
        block
        for heading, texts in sections.items()
        if any(texts)
        for block in (heading, *filter(None, texts))
    ]
    return "\n\n".join(blocks)


def _labels(part: Part) -> list[str]:
    clips = part.get("clips", [])
    rows = [*part["figures"], *clips]
    return [tables.figure_table(rows), tables.recall_table(rows), tables.clip_table(clips)]


def _baselines(part: Part) -> list[str]:
    return [tables.baseline_table(part.get("baselines", []), part["figures"])]


def _language(part: Part) -> list[str]:
    language = part.get("language", [])
    return [
        tables.language_table(language),
        tables.faithfulness_table(language),
        tables.following_table(part.get("following", {})),
    ]


def _effects(part: Part) -> list[str]:
    effects = part.get("modality effects", {})
    return [tables.effect_table(effects), tables.sound_sentence(effects)]


def between_marks(text: str, block: str) -> str:
    """Replace what stands between the marks.

    Raises:
        ValueError: the text lacks a mark
    """
    pattern = re.compile(f"{re.escape(MARKS[0])}.*?{re.escape(MARKS[1])}", re.DOTALL)
    if not pattern.search(text):
        msg = f"found no {MARKS[0]} ... {MARKS[1]}; put both marks where the tables belong"
        raise ValueError(msg)
    return pattern.sub(lambda _: f"{MARKS[0]}\n{block}\n{MARKS[1]}", text)


def without_examples(part: Part) -> dict[str, Any]:
    """Leave out written reasons and what they were read from: they quote data sets."""
    return {name: _without_examples(value) for name, value in part.items()}


def _without_examples(value: Any) -> Any:
    quoting = ("examples", "untrue", "commonest_frames")
    if isinstance(value, Mapping):
        return {k: _without_examples(v) for k, v in value.items() if k not in quoting}
    return [_without_examples(one) for one in value] if isinstance(value, list) else value


def main() -> None:
    """Store the figures and write both pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    arguments = parser.parse_args()
    figures = {
        name: without_examples(json.loads(path.read_text(encoding="utf-8")))
        for name, path in (("dev", arguments.dev), ("test", arguments.test))
    }
    text = json.dumps(figures, indent=1) + "\n"
    (PRESET / "figures.json").write_text(text, encoding="utf-8")
    for page, block in (
        (ROOT / "README.md", readme_block(figures)),
        (PRESET / "README.md", card_block(figures)),
    ):
        page.write_text(between_marks(page.read_text("utf-8"), block), encoding="utf-8")


if __name__ == "__main__":
    main()
