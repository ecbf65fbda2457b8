"""The data sets that a preset is measured on: items, the labels that are scored, who is seen.

Knows: the data folder of docs/data.md. Does not know: models, figures.
"""

import csv
import io
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from emotion_llama.labels import MINI

COMMON = ("neutral", "happy", "angry", "sad", "surprise", "fear")
"""Labels of the clips, and those that pictures are scored on once more."""
URDU_LABELS = ("angry", "happy", "neutral", "sad")
CLIPS = "Javanese clips"
FERPLUS, FERPLUS_COMMON, MELD = "FER+, picture", "FER+, picture, six labels", "MELD, words"


@dataclass(frozen=True)
class Item:
    """One clip, picture or line with its truth."""

    path: Path | None
    text: str | None
    label: str
    person: str | None
    """``None`` where nobody knows who it is"""

    @property
    def name(self) -> str:
        """What it is called in a table of clips."""
        return str(self.path or self.text)


@dataclass(frozen=True)
class ItemSet:
    """One data set of a split and the closed list of labels that is scored on it."""

    name: str
    items: tuple[Item, ...]
    labels: tuple[str, ...]
    note: str = ""
    fills_frame: bool = False
    """whether each picture is a face already, which need not be looked for"""

    def __len__(self) -> int:
        return len(self.items)

    @property
    def truths(self) -> list[str]:
        """Right label of each item."""
        return [item.label for item in self.items]

    @property
    def people(self) -> list[str | None]:
        """Person of each item."""
        return [item.person for item in self.items]


SPEECH: Mapping[str, tuple[str, tuple[str, ...], str]] = {
    "RAVDESS, voice": ("ravdess", (*COMMON, "disgust"), "calm left out"),
    "EmoDB, voice": (
        "emodb",
        ("neutral", "happy", "angry", "sad", "fear", "disgust"),
        "boredom left out",
    ),
    "nEMO, voice": ("nemo", COMMON, ""),
    "URDU, voice": ("urdu", URDU_LABELS, "language never trained on"),
}
"""Name of a row -> data set, labels, note."""


def thinned(chosen: ItemSet, most: int | None) -> ItemSet:
    """Give at most so many items of a set, drawn with a fixed seed, in their order."""
    if most is None or len(chosen) <= most:
        return chosen
    rows = sorted(random.Random(0).sample(range(len(chosen)), most))
    return replace(chosen, items=tuple(chosen.items[row] for row in rows))


def read_speech(data_dir: Path, split: str) -> list[ItemSet]:
    """Read the recordings of a split, data set by data set; those without any are left out."""
    sets = []
    for name, (dataset, labels, note) in SPEECH.items():
        items = read_manifest(data_dir, dataset, split, labels)
        if items:
            sets.append(ItemSet(name, items, labels, note))
    return sets


def read_clips(data_dir: Path, split: str) -> ItemSet:
    """Read the clips with face and voice; only ``dev`` has any."""
    items = read_manifest(data_dir, "javanese", split, COMMON)
    return ItemSet(CLIPS, items, COMMON, "acted, trains nothing, looked at during development")


def read_manifest(
    data_dir: Path, dataset: str, split: str, labels: Sequence[str]
) -> tuple[Item, ...]:
    """Read the items of one data set; those of other labels are left out."""
    with (data_dir / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return tuple(
            Item(data_dir / row["path"], None, row["label"], row["speaker"] or None)
            for row in csv.DictReader(file)
            if row["dataset"] == dataset and row["split"] == split and row["label"] in labels
        )


def read_ferplus(data_dir: Path, split: str, scratch: Path, most: int | None = None) -> ItemSet:
    """Write the faces of a split as PNG files; the label is the annotators' most frequent one.

    Faces that most annotators called unknown or no face are left out.

    Args:
        data_dir: folder of docs/data.md
        split: dev or test
        scratch: folder for the pictures
        most: pictures to write at most
    """
    with np.load(data_dir / "faces" / "ferplus.npz", allow_pickle=False) as file:
        data, offsets, votes = file["webp"], file["offset"], file["votes"]
        order, splits = [str(x) for x in file["vote_order"]], file["split"]
    rows = np.flatnonzero(splits == ("valid" if split == "dev" else split))
    labels = {int(row): order[int(votes[row].argmax())] for row in rows}
    items = tuple(
        Item(scratch / f"{row}.png", None, label, None)
        for row, label in labels.items()
        if label in MINI.labels
    )
    note = "still face crops; official split, persons unknown"
    chosen = thinned(ItemSet(FERPLUS, items, MINI.labels, note, fills_frame=True), most)
    for item in chosen.items:
        assert item.path is not None
        row = int(item.path.stem)
        picture = Image.open(io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes()))
        picture.convert("RGB").save(item.path)
    return chosen


def common_ferplus(faces: ItemSet) -> ItemSet:
    """Keep the pictures of the six common labels, and offer only these."""
    items = tuple(item for item in faces.items if item.label in COMMON)
    return replace(faces, name=FERPLUS_COMMON, items=items, labels=COMMON)


def read_meld(data_dir: Path, split: str) -> ItemSet:
    """Read the lines of a split; the two quotation styles are left as they are."""
    names = {"anger": "angry", "joy": "happy", "sadness": "sad"}
    with (data_dir / "text" / f"meld_{split}.csv").open(encoding="utf-8", newline="") as file:
        items = tuple(
            Item(
                None,
                row["Utterance"],
                names.get(row["Emotion"], row["Emotion"]),
                row["Speaker"] or None,
            )
            for row in csv.DictReader(file)
        )
    return ItemSet(MELD, items, (*COMMON, "disgust"), "speakers shared by splits")
