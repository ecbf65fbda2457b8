"""Write the figures of a preset into its folder, its model card and the README.

    python tools/write_model_card.py --dev dev.json --test test.json

``dev.json`` and ``test.json`` come from ``tools/measure_mini.py``. No figure is typed by hand:
the tables stand between two marks and are replaced; a test compares them with ``figures.json``.
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PRESET = ROOT / "emotion_llama" / "presets" / "mini"
MARKS = ("<!-- figures -->", "<!-- end of figures -->")


def figure_table(figures: Sequence[Mapping[str, Any]]) -> str:
    """Render one row for each data set; chance is one over the number of labels."""
    lines = [
        "| data | n | people | labels | UAR [95 %] | chance | accuracy [95 %] | weighted F1 "
        "| interval over |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in figures:
        people = "unknown" if row["groups"] == row["n"] else str(row["groups"])
        low, high = row["uar_95"]
        low_accuracy, high_accuracy = row["accuracy_95"]
        lines.append(
            f"| {row['name']} | {row['n']} | {people} | {row['labels']} "
            f"| {row['uar']:.3f} [{low:.3f}, {high:.3f}] | {1 / row['labels']:.3f} "
            f"| {row['accuracy']:.3f} [{low_accuracy:.3f}, {high_accuracy:.3f}] "
            f"| {row['weighted_f1']:.3f} | {row['resampled']} |"
        )
    return "\n".join(lines)


def recall_table(figures: Sequence[Mapping[str, Any]]) -> str:
    """Render the recall of each label."""
    labels = list(dict.fromkeys(label for row in figures for label in row["recalls"]))
    lines = [
        "| data | " + " | ".join(labels) + " |",
        "| --- |" + " --- |" * len(labels),
    ]
    for row in figures:
        cells = [f"{row['recalls'][x]:.2f}" if x in row["recalls"] else "" for x in labels]
        lines.append(f"| {row['name']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def effect_table(effects: Mapping[str, Mapping[str, float]]) -> str:
    """Render what leaving out or swapping a modality changes."""
    lines = [
        "| change | clips | probabilities change | label changes | mean total variation |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name, effect in effects.items():
        lines.append(
            f"| {name} | {effect['clips']} | {effect['clips with any change']:.0%} "
            f"| {effect['labels changed']:.0%} | {effect['mean total variation']:.3f} |"
        )
    return "\n".join(lines)


def readme_block(figures: Mapping[str, Any]) -> str:
    """Render what the README shows."""
    clips = figures["dev"]["figures"][-1]
    low, high = clips["uar_95"]
    return (
        "People in the test splits of the training sets, and URDU, which trains nothing; looked "
        "at once (`tools/measure_mini.py`, scored label over the closed label set of each):\n\n"
        + figure_table(figures["test"]["figures"])
        + f"\n\nOn {clips['n']} development clips with face and voice of {clips['groups']} people "
        f"it reaches a UAR of {clips['uar']:.3f} [{low:.3f}, {high:.3f}] over {clips['labels']} "
        "labels."
    )


def card_block(figures: Mapping[str, Any]) -> str:
    """Render what the model card shows."""
    test, dev = figures["test"], figures["dev"]
    return "\n\n".join(
        [
            "### Test splits, looked at once",
            figure_table(test["figures"]),
            recall_table(test["figures"]),
            "### Development splits and clips, looked at while choosing",
            figure_table(dev["figures"]),
            recall_table(dev["figures"]),
            "### What each modality changes (72 clips with face and voice)",
            effect_table(dev["modality effects"]),
        ]
    )


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


def main() -> None:
    """Store the figures and write both pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--test", type=Path, required=True)
    arguments = parser.parse_args()
    figures = {
        name: json.loads(path.read_text(encoding="utf-8"))
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
