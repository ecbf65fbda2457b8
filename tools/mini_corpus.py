"""Read the data folder for the `mini` preset: utterances with labels, in official splits.

Knows: the file forms under ``text/`` and how their labels map to the eight of the preset. Does not
know: models, prompts, tokens. Splits: MELD and GoEmotions as published (docs/data.md).
"""

import csv
import random
import re
from dataclasses import dataclass
from pathlib import Path

GOEMOTIONS_LABELS = ("angry", "disgust", "fear", "happy", "neutral", "sad", "surprise")
"""Labels of the preset in the order of the data set's ``labels.txt`` (Ekman grouping)."""

MELD_LABELS = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "joy": "happy",
    "neutral": "neutral",
    "sadness": "sad",
    "surprise": "surprise",
}

_NAMES = ("Anna", "Ben", "Carla", "David", "Emma", "Frank", "Maria", "Tom", "Sara", "Paul")


@dataclass(frozen=True)
class Utterance:
    """One written or transcribed line."""

    text: str
    label: str | None
    """``None`` where the annotators gave more than one"""
    source: str
    """``meld`` or ``goemotions``"""


def read_meld(data_dir: Path, split: str) -> list[Utterance]:
    """Read the utterances of one split of MELD."""
    with (data_dir / "text" / f"meld_{split}.csv").open(encoding="utf-8", newline="") as file:
        return [
            Utterance(row["Utterance"].strip(), MELD_LABELS[row["Emotion"]], "meld")
            for row in csv.DictReader(file)
        ]


def read_goemotions(data_dir: Path, split: str) -> list[Utterance]:
    """Read the comments of one split of GoEmotions; masked names and religions get a word."""
    lines = (data_dir / "text" / "goemotions" / f"{split}.tsv").read_text("utf-8").splitlines()
    utterances = []
    for number, line in enumerate(lines):
        text, ids, _ = line.split("\t")
        name = _NAMES[number % len(_NAMES)]
        text = text.replace("[NAME]", name).replace("[RELIGION]", "religious").strip()
        labels = ids.split(",")
        label = GOEMOTIONS_LABELS[int(labels[0])] if len(labels) == 1 else None
        utterances.append(Utterance(text, label, "goemotions"))
    return utterances


def vary_spelling(text: str, rng: random.Random) -> str:
    """Give the text as another writer or a speech recogniser might have written it.

    Typographic quotes become plain ones in four of five cases; in a quarter the text is lower case
    without punctuation.
    """
    if rng.random() < 0.8:
        text = plain_quotes(text)
    if rng.random() < 0.25:
        text = re.sub(r"\s+", " ", re.sub(r"[^\w\s'’]", " ", text.lower())).strip() or text
    return text


def plain_quotes(text: str) -> str:
    """Replace typographic quotation marks and dashes by those of a keyboard."""
    table = str.maketrans({"’": "'", "‘": "'", "“": '"', "”": '"', "—": "-", "–": "-", "…": "."})
    return text.translate(table)
