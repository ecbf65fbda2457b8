"""Measure a preset through `Predictor` on people it was not trained on.

    python tools/measure_mini.py --data DIR --split dev|test --out figures.json [--preset mini]

Every row is the scored label over the closed label set of its data set, from the files as a user
would give them. Intervals are 95 % percentile bootstraps over people (each drawn with all clips)
where at least ten are known; with fewer, over items, which is too narrow for unseen people and
said in the table. Choose on ``dev``; look at ``test`` once.
"""

import argparse
import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emotion_llama import Prediction, Predictor
from emotion_llama.config import MediaConfig
from emotion_llama.labels import MINI
from emotion_llama.predict import ClipFailure

COMMON = ("neutral", "happy", "angry", "sad", "surprise", "fear")
RESAMPLES = 2000
FEWEST_PEOPLE = 10
"""A bootstrap over fewer people says little."""


@dataclass(frozen=True)
class Item:
    """One clip, picture or line with its truth."""

    path: Path | None
    text: str | None
    label: str
    group: str
    """speaker, or the item itself where no person is known"""


@dataclass(frozen=True)
class Figure:
    """One row of the table."""

    name: str
    n: int
    groups: int
    resampled: str
    """``people`` or ``items``"""
    labels: int
    uar: float
    uar_95: tuple[float, float]
    accuracy: float
    accuracy_95: tuple[float, float]
    weighted_f1: float
    recalls: dict[str, float]
    failures: int
    note: str


def read_manifest(data_dir: Path, dataset: str, split: str, labels: Sequence[str]) -> list[Item]:
    """Read the items of a speech or clip data set; other labels are left out."""
    with (data_dir / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return [
            Item(data_dir / row["path"], None, row["label"], row["speaker"])
            for row in csv.DictReader(file)
            if row["dataset"] == dataset and row["split"] == split and row["label"] in labels
        ]


def read_ferplus(data_dir: Path, split: str, scratch: Path) -> list[Item]:
    """Write the faces of a split as PNG files; the label is the annotators' most frequent one.

    Faces that most annotators called unknown or no face are left out.
    """
    with np.load(data_dir / "faces" / "ferplus.npz", allow_pickle=False) as file:
        data, offsets, votes = file["webp"], file["offset"], file["votes"]
        order, splits = [str(x) for x in file["vote_order"]], file["split"]
    name = "valid" if split == "dev" else split
    items = []
    for row in np.flatnonzero(splits == name):
        label = order[int(votes[row].argmax())]
        if label not in MINI.labels:
            continue
        picture = Image.open(io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes()))
        path = scratch / f"{row}.png"
        picture.convert("RGB").save(path)
        items.append(Item(path, None, label, str(row)))
    return items


def read_meld(data_dir: Path, split: str) -> list[Item]:
    """Read the lines of a split; the two quotation styles are left as they are."""
    names = {"anger": "angry", "joy": "happy", "sadness": "sad"}
    with (data_dir / "text" / f"meld_{split}.csv").open(encoding="utf-8", newline="") as file:
        return [
            Item(None, row["Utterance"], names.get(row["Emotion"], row["Emotion"]), row["Sr No."])
            for row in csv.DictReader(file)
        ]


def answer(
    predictor: Predictor, items: Sequence[Item], labels: Sequence[str]
) -> list[Prediction | ClipFailure]:
    """Give the label of each item; the reason is not asked for."""
    if items[0].path is None:
        return [predictor(None, item.text, tuple(labels), with_reason=False) for item in items]
    paths = [item.path for item in items if item.path is not None]
    return list(predictor.batch(paths, labels=tuple(labels), batch_size=16, with_reason=False))


def recall(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    """Unweighted average recall over the labels that occur."""
    return float(np.mean([np.mean(guess[truth == x] == x) for x in np.unique(truth)]))


def weighted_f1(truth: NDArray[Any], guess: NDArray[Any]) -> float:
    """F1 of each label weighted by how often it occurs."""
    total = 0.0
    for label in np.unique(truth):
        hits = np.sum((truth == label) & (guess == label))
        called, there = np.sum(guess == label), np.sum(truth == label)
        total += (2 * hits / (called + there)) * there
    return float(total / len(truth))


def interval(
    measure: Callable[[NDArray[Any], NDArray[Any]], float],
    truth: NDArray[Any],
    guess: NDArray[Any],
    groups: NDArray[Any],
) -> tuple[float, float]:
    """95 % percentile bootstrap that draws whole groups."""
    rng = np.random.default_rng(0)
    members = [np.flatnonzero(groups == g) for g in np.unique(groups)]
    values = []
    for _ in range(RESAMPLES):
        rows = np.concatenate([members[i] for i in rng.integers(0, len(members), len(members))])
        values.append(measure(truth[rows], guess[rows]))
    low, high = np.percentile(values, [2.5, 97.5])
    return round(float(low), 3), round(float(high), 3)


def summarize(
    name: str,
    items: Sequence[Item],
    results: Sequence[Prediction | ClipFailure],
    labels: Sequence[str],
    note: str,
) -> Figure:
    """Score one data set; a clip that failed counts as wrong."""
    truth = np.array([item.label for item in items])
    guess = np.array(
        [(r.label or "none") if isinstance(r, Prediction) else "failed" for r in results]
    )
    people = np.array([item.group for item in items])
    by_people = len(np.unique(people)) >= FEWEST_PEOPLE
    groups = people if by_people else np.arange(len(items))
    return Figure(
        name=name,
        n=len(items),
        groups=len(np.unique(people)),
        resampled="people" if by_people and len(np.unique(people)) < len(items) else "items",
        labels=len(labels),
        uar=round(recall(truth, guess), 3),
        uar_95=interval(recall, truth, guess, groups),
        accuracy=round(float(np.mean(truth == guess)), 3),
        accuracy_95=interval(lambda t, g: float(np.mean(t == g)), truth, guess, groups),
        weighted_f1=round(weighted_f1(truth, guess), 3),
        recalls={
            str(x): round(float(np.mean(guess[truth == x] == x)), 2) for x in np.unique(truth)
        },
        failures=int(np.sum(guess == "failed")),
        note=note,
    )


def modality_effects(
    predictor: Predictor, items: Sequence[Item]
) -> dict[str, dict[str, float | int]]:
    """What leaving a modality out, or taking it from another person's clip, changes.

    Returns:
        by change: clips, share of changed labels, mean total variation of the probabilities
    """
    features = [predictor.embeddings(item.path) for item in items if item.path is not None]
    others = features[len(features) // 2 :] + features[: len(features) // 2]
    parts = {
        "audio": ("audio",),
        "local": ("local",),
        "temporal": ("temporal",),
        "global": ("patches", "class_token"),
    }
    whole = [predictor.from_features(f, labels=COMMON, with_reason=False) for f in features]
    effects: dict[str, dict[str, float | int]] = {}
    for name, fields in parts.items():
        for change in ("left out", "swapped"):
            pairs = [
                (
                    before,
                    predictor.from_features(
                        replace(
                            own,
                            **{
                                f: None if change == "left out" else getattr(other, f)
                                for f in fields
                            },
                        ),
                        labels=COMMON,
                        with_reason=False,
                    ),
                )
                for before, own, other in zip(whole, features, others, strict=True)
                if getattr(own, fields[0]) is not None and getattr(other, fields[0]) is not None
            ]
            distance = [
                sum(abs(a.probabilities[x] - b.probabilities[x]) for x in COMMON) / 2
                for a, b in pairs
            ]
            effects[f"{name} {change}"] = {
                "clips": len(pairs),
                "labels changed": round(float(np.mean([a.label != b.label for a, b in pairs])), 3),
                "mean total variation": round(float(np.mean(distance)), 3),
                "clips with any change": round(float(np.mean(np.array(distance) > 1e-4)), 3),
            }
    return effects


def rows(
    predictor: Predictor, data_dir: Path, split: str, scratch: Path
) -> Iterable[tuple[Figure, Sequence[Prediction | ClipFailure]]]:
    """Measure one data set after the other."""
    speech = {
        "RAVDESS, voice": ("ravdess", (*COMMON, "disgust"), "calm left out"),
        "EmoDB, voice": (
            "emodb",
            ("neutral", "happy", "angry", "sad", "fear", "disgust"),
            "boredom left out",
        ),
        "nEMO, voice": ("nemo", COMMON, ""),
        "URDU, voice": ("urdu", ("angry", "happy", "neutral", "sad"), "language never trained on"),
    }
    for name, (dataset, labels, note) in speech.items():
        items = read_manifest(data_dir, dataset, split, labels)
        if items:
            results = answer(predictor, items, labels)
            yield summarize(name, items, results, labels, note), results
    faces = read_ferplus(data_dir, split, scratch)
    whole = Predictor(
        predictor.model,
        predictor.processor,
        predictor.extractor,
        preset=predictor.preset,
        media=MediaConfig(face_source="whole-frame"),
    )
    results = answer(whole, faces, MINI.labels)
    note = "still face crops; official split, persons unknown"
    yield summarize("FER+, picture", faces, results, MINI.labels, note), results
    lines = read_meld(data_dir, split)
    labels = (*COMMON, "disgust")
    results = answer(predictor, lines, labels)
    yield summarize("MELD, words", lines, results, labels, "speakers shared by splits"), results
    if split == "dev":
        clips = read_manifest(data_dir, "javanese", "dev", COMMON)
        results = answer(predictor, clips, COMMON)
        note = "face and voice; acted, trains nothing, looked at during development"
        yield summarize("Javanese clips, face + voice", clips, results, COMMON, note), results


def main() -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("EMOTION_LLAMA_DATA"))
    parser.add_argument("--split", choices=("dev", "test"), required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="mini")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("found no data folder; give --data DIR or set EMOTION_LLAMA_DATA")
    data_dir = Path(arguments.data)
    predictor = Predictor.from_pretrained(arguments.preset)
    figures = []
    print(
        "data set                        n  groups  labels    UAR [95 %]            accuracy [95 %]"
    )
    with tempfile.TemporaryDirectory() as scratch:
        for figure, _ in rows(predictor, data_dir, arguments.split, Path(scratch)):
            figures.append(asdict(figure))
            print(
                f"{figure.name:<28}{figure.n:>5}{figure.groups:>8}{figure.labels:>8}"
                f"   {figure.uar:.3f} {list(figure.uar_95)}"
                f"   {figure.accuracy:.3f} {list(figure.accuracy_95)}",
                flush=True,
            )
    content: dict[str, Any] = {"split": arguments.split, "figures": figures}
    if arguments.split == "dev":
        clips = read_manifest(data_dir, "javanese", "dev", COMMON)
        content["modality effects"] = modality_effects(predictor, clips)
        for name, effect in content["modality effects"].items():
            print(f"{name:<20}", effect)
    arguments.out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
