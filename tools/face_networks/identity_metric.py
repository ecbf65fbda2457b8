"""How faces of one person differ, and of two: the metric by which the tracker tells people apart.

Knows: pictures of named people and how a picture changes within a clip. Does not know: tracks,
files of the package. Training people give the metric; development people judge it.
"""

import csv
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import scipy.linalg
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

from emotion_llama.face.alignment import Region, aligned_region, cut, region_of_box
from emotion_llama.face.detector import FaceBox
from emotion_llama.face.identity import SIZE_PX, measure, project, reduced
from emotion_llama.face.landmarks import FaceLandmarker

from .composition import Random
from .material import grey_of, names_person

MIN_SCORE = 0.5
KEPT_GRADIENTS, KEPT_PATTERNS = 10, 12
"""Components of a block and of a cell. These, the directions and the shrinkage were chosen on
development people."""
NUM_DIRECTIONS = 160
SHRINKAGE = 0.1
"""Share of a round scatter mixed into that within people."""
MOST_PICTURES = 20
"""A person with more pictures counts with so many: one has 166."""
NUM_COPIES = 3
"""Changed copies of each picture."""
MOST_COMPARED, NUM_STRANGERS = 8, 20000
"""Pictures of a development person that are compared, and pairs of two people."""
FALSE_ACCEPTS = 0.01
"""Share of pairs of two people at which the misses of one person's pairs are told."""


@dataclass(frozen=True)
class Portrait:
    """A picture of a named person, with the square in which the tracker describes the face."""

    person: str
    grey: NDArray[np.uint8]
    """[h x w]"""
    region: Region


@dataclass(frozen=True)
class Comparison:
    """How alike pairs of pictures are."""

    likeness: NDArray[np.float32]
    """[n]"""
    is_one: NDArray[np.bool_]
    """which pairs show one person, [n]"""
    people: NDArray[np.str_]
    """whom the first picture shows, [n]"""


def portraits(data_dir: Path, split: str) -> list[Portrait]:
    """Read the LFW pictures of a split, the larger of two copies; faces not found are left out."""
    landmarker = FaceLandmarker()
    found = []
    for person, grey, box in _named(data_dir, split):
        face = landmarker.find(grey, [region_of_box(box)], passes=2)[0]
        if face.score >= MIN_SCORE:
            found.append(Portrait(person, grey, aligned_region(face.points)))
    return found


def _named(data_dir: Path, split: str) -> Iterator[tuple[str, NDArray[np.uint8], FaceBox]]:
    """Give person, picture and face box of each picture."""
    folder = data_dir / "faces"
    with (folder / "lfw_full_boxes.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    largest: dict[str, dict[str, str]] = {}
    for row in rows:
        if row["range"] == "short":
            other = largest.get(row["file"], row)
            largest[row["file"]] = max(row, other, key=lambda one: float(one["width"]))
    with zipfile.ZipFile(folder / "lfw_full.zip") as archive:
        for name, row in largest.items():
            left, top, width, height = (float(row[k]) for k in ("x", "y", "width", "height"))
            box = FaceBox(left, top, width, height, 1.0)
            yield name.rsplit("_", 1)[0], grey_of(archive.read(name)), box
    known = {Path(name).stem for name in largest}
    with np.load(folder / "lfw_emotion.npz", allow_pickle=False) as small:
        data, offsets, splits = small["jpg"], small["offset"], small["split"]
        people, names = small["identity"], small["name"].tolist()
    for number in np.flatnonzero(names_person(people) & (splits == split)):
        if Path(names[number]).stem not in known:
            grey = grey_of(data[offsets[number] : offsets[number + 1]].tobytes())
            whole = FaceBox(0.0, 0.0, float(grey.shape[1]), float(grey.shape[0]), 1.0)
            yield str(people[number]), grey, whole


def changed(portrait: Portrait, random: Random) -> NDArray[np.uint8]:
    """Cut the face as another frame may show it, [64 x 64].

    The square is off by one or two pixels, and focus, resolution and compression differ.
    """
    region = portrait.region
    x, y = np.array(region.centre) + random.normal(0, 0.018, 2) * region.side
    side = region.side * np.exp(random.normal(0, 0.035))
    turned = Region((float(x), float(y)), float(side), region.roll_deg + random.normal(0, 2))
    crop = cut(portrait.grey, turned, SIZE_PX)
    choice = random.random()
    if choice < 0.5:
        crop = np.asarray(cv2.GaussianBlur(crop, (0, 0), random.uniform(0.4, 2.0)))
    elif choice < 0.8:
        small = int(random.integers(24, 56))
        shrunk = cv2.resize(crop, (small, small), interpolation=cv2.INTER_AREA)
        crop = np.asarray(cv2.resize(shrunk, (SIZE_PX, SIZE_PX)), dtype=np.uint8)
    if random.random() < 0.5:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(random.integers(20, 80))]
        packed = cv2.imencode(".jpg", crop, quality)[1]
        crop = np.asarray(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)
    return crop


def identity_metric(pictures: Sequence[Portrait], random: Random) -> dict[str, Any]:
    """Learn the directions that differ between people and not within one (Fisher 1936).

    Returns:
        ``identity_gradients`` [36 x 10] and ``identity_patterns`` [59 x 12]: main components of a
        block and of a cell, the same everywhere; ``identity_weights`` int8 [160 x 496],
        ``identity_scale`` [160] and ``identity_bias`` [160]: what is kept times weights times
        scale, less the bias, is the description
    """
    originals = _measured([cut(one.grey, one.region, SIZE_PX) for one in pictures])
    copies = _measured([changed(one, random) for one in pictures for _ in range(NUM_COPIES)])
    found: dict[str, Any] = {
        "identity_gradients": _components(originals[0], KEPT_GRADIENTS),
        "identity_patterns": _components(originals[1], KEPT_PATTERNS),
    }
    faces = reduced(*originals, found).astype(np.float64)  # [n x 496]
    mean = faces.mean(axis=0)
    changes = reduced(*copies, found) - np.repeat(faces, NUM_COPIES, axis=0)
    between, within = _scatters(faces - mean, [one.person for one in pictures], random)
    within += changes.T @ changes / len(changes)
    size = len(within)
    level = np.trace(within) / size * np.eye(size)
    within = (1 - SHRINKAGE) * within + SHRINKAGE * level
    strongest = (size - NUM_DIRECTIONS, size - 1)
    _, directions = scipy.linalg.eigh(between, within, subset_by_index=strongest)
    scale = np.abs(directions).max(axis=0) / 127  # [160]
    weights = np.rint(directions / scale).T.astype(np.int8)
    return {
        **found,
        "identity_weights": weights,
        "identity_scale": scale.astype(np.float32),
        "identity_bias": (weights @ mean * scale).astype(np.float32),
    }


def _measured(
    crops: Sequence[NDArray[np.uint8]],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Measure crops: gradients [n x 28 x 36] and patterns [n x 18 x 59]."""
    gradients, patterns = zip(*(measure(crop) for crop in crops), strict=True)
    return np.stack(gradients), np.stack(patterns)


def _components(measures: NDArray[np.float32], num_kept: int) -> NDArray[np.float16]:
    """Find the main components of [n x places x values] around each place's mean, [values x k]."""
    around = (measures - measures.mean(axis=0)).reshape(-1, measures.shape[-1])
    size = measures.shape[-1]
    kept = scipy.linalg.eigh(around.T @ around, subset_by_index=(size - num_kept, size - 1))[1]
    return np.asarray(kept, dtype=np.float16)


def _scatters(
    faces: NDArray[np.float64], people: Sequence[str], random: Random
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the scatter of people's means and that of their pictures around them, [496 x 496]."""
    means, differences, freedom = [], [], 0
    for rows in _rows_of_people(people).values():
        own = faces[random.permutation(rows)[:MOST_PICTURES]]
        means.append(own.mean(axis=0))
        differences.append(own - means[-1])
        freedom += len(own) - 1
    middle, around = np.stack(means), np.concatenate(differences)
    return middle.T @ middle / len(middle), around.T @ around / freedom


def _rows_of_people(people: Sequence[str]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, person in enumerate(people):
        rows.setdefault(person, []).append(row)
    return rows


def compare(pictures: Sequence[Portrait], random: Random) -> Comparison:
    """Compare every two pictures of a person, and as many of two people as `NUM_STRANGERS`."""
    faces = np.stack([project(*measure(cut(one.grey, one.region, SIZE_PX))) for one in pictures])
    people = np.array([picture.person for picture in pictures])
    chosen = [
        random.permutation(rows)[:MOST_COMPARED]
        for rows in _rows_of_people(people.tolist()).values()
    ]
    one = [pair for rows in chosen for pair in combinations(rows.tolist(), 2)]
    pairs = random.choice(np.concatenate(chosen), (2 * NUM_STRANGERS, 2))
    two = pairs[people[pairs[:, 0]] != people[pairs[:, 1]]][:NUM_STRANGERS]
    left, right = np.concatenate([np.array(one, dtype=np.int64), two]).T
    return Comparison(
        likeness=(faces[left] * faces[right]).sum(axis=1),
        is_one=np.arange(len(left)) < len(one),
        people=people[left],
    )


def threshold(compared: Comparison) -> float:
    """Give the likeness that `FALSE_ACCEPTS` of the pairs of two people reach."""
    return float(np.quantile(compared.likeness[~compared.is_one], 1 - FALSE_ACCEPTS))


def summary(compared: Comparison) -> str:
    """Say how well one person's pairs are told from those of two."""
    area = roc_auc_score(compared.is_one, compared.likeness)
    accepts, hits, _ = roc_curve(compared.is_one, compared.likeness)
    equal = (1 - hits)[np.argmin(np.abs(1 - hits - accepts))]
    least = threshold(compared)
    rejected = (compared.likeness[compared.is_one] < least).mean()
    num_one, num_two = compared.is_one.sum(), (~compared.is_one).sum()
    return (
        f"{num_one} pairs of one person, {num_two} of two: area {area:.3f}, equal error "
        f"{equal:.3f}; likeness {least:.2f}, which {FALSE_ACCEPTS:.0%} of two reach, "
        f"{rejected:.3f} of one miss"
    )
