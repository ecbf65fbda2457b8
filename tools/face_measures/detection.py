"""How many faces are found, and how many boxes hold none.

Knows: composed scenes with held-out people, the acted clips with a teacher's boxes, the cascade and
a constant box as baselines. Does not know: points, time.
"""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Protocol

import numpy as np
from face_networks.composition import Composition, compose, spoiled
from face_networks.material import Scene
from numpy.typing import NDArray

from emotion_llama.face import CascadeDetector, FaceBox
from emotion_llama.face.detector import overlap

from . import figures
from .figures import Table
from .sources import (
    PersonFace,
    Pixels,
    Sources,
    acted_clips,
    as_rgb,
    empty_scenes,
    lfw_people,
    numbered_frames,
    packaged_networks,
    training_faces,
)

FOUND = 0.5
"""Intersection over union from which a box is the face's."""
SMALLEST_PX, LARGEST_PX = 40.0, 300.0
"""Box sides of the faces; a smaller box that holds no face does not count as false: scenes are
only known to be free of faces of this size."""
NUM_PICTURES = 600
SEED = 20
NUM_TRAINING = 300
"""Training compositions that give the constant box."""
FEWEST_FACES, MOST_FACES = 0, 3
TILT_DEG = 12.0
DISTRACTORS = 3
HIDDEN, SMALLEST_SHARE = 0.3, 0.5
SIZE_EDGES_PX = (40.0, 60.0, 100.0, 300.0)
YAW_EDGES_DEG = (0.0, 20.0, 40.0, 60.0)
STEP = 9
"""Frames from one that is looked at to the next; the teacher's boxes are of every third."""
TEACHERS = ("short", "full")
CLIP_SHAPE = (270, 360)
"""Height and width of the clips."""
OTHER_ACTORS = "median box of the other actors"


class Searcher(Protocol):
    """What gives boxes, best first, for a frame [h x w x 3]."""

    def detect(self, frame: Pixels) -> list[FaceBox]:
        """Find faces."""
        ...


@dataclass(frozen=True)
class ConstantBox:
    """The same box in every frame."""

    across: float
    """x of the centre over the width"""
    down: float
    """y of the centre over the height"""
    side: float
    """over the shorter side"""

    def detect(self, frame: Pixels) -> list[FaceBox]:
        """Give the box."""
        height, width = frame.shape[:2]
        side = self.side * min(height, width)
        left, top = self.across * width - side / 2, self.down * height - side / 2
        return [FaceBox(left, top, side, side, score=1.0)]


@dataclass(frozen=True)
class Truth:
    """A face that is to be found."""

    box: FaceBox
    group: str
    """what the bootstrap draws: the person, or the clip"""
    yaw_deg: float = 0.0


@dataclass
class Tally:
    """What one detector found."""

    truths: list[Truth] = field(default_factory=list)
    found: list[bool] = field(default_factory=list)
    false: list[int] = field(default_factory=list)
    """boxes without a face in each picture"""
    pictures: list[str] = field(default_factory=list)
    """what the bootstrap of false boxes draws, of each picture"""

    def add(self, boxes: Sequence[FaceBox], truths: Sequence[Truth], picture: str) -> None:
        """Count one picture."""
        found, false = count(boxes, [truth.box for truth in truths])
        self.truths += truths
        self.found += found
        self.false.append(false)
        self.pictures.append(picture)

    def recall(self, chosen: NDArray[np.bool_] | None = None) -> figures.Figure:
        """Give the share of faces found, of all or of the chosen ones [n]."""
        rows = np.arange(len(self.found)) if chosen is None else np.flatnonzero(chosen)
        return figures.mean([self.found[i] for i in rows], [self.truths[i].group for i in rows])

    def false_boxes(self) -> figures.Figure:
        """Give the mean number of false boxes in a picture."""
        return figures.mean(self.false, self.pictures)


def count(boxes: Sequence[FaceBox], truths: Sequence[FaceBox]) -> tuple[list[bool], int]:
    """Match boxes, best score first, to faces; a second box on a face is a false one.

    Returns:
        whether each face was found, and how many boxes of at least `SMALLEST_PX` are no face's
    """
    found = [False] * len(truths)
    false = 0
    for box in sorted(boxes, key=lambda box: -box.score):
        shares = [
            0.0 if is_found else overlap(box, truth)
            for truth, is_found in zip(truths, found, strict=True)
        ]
        best = int(np.argmax(shares)) if shares else -1
        if best >= 0 and shares[best] >= FOUND:
            found[best] = True
        elif max(box.width, box.height) >= SMALLEST_PX:
            false += 1
    return found, false


def composed(
    people: Sequence[PersonFace], scenes: Sequence[Scene], num: int, hide: float, spoil: bool
) -> Iterator[tuple[Composition, list[str]]]:
    """Compose pictures at the scenes' own size, always the same ones.

    Yields:
        a picture, and whose each of its faces is
    """
    random = np.random.default_rng(SEED)
    for _ in range(num):
        scene = scenes[int(random.integers(0, len(scenes)))]
        drawn = random.integers(0, len(people), random.integers(FEWEST_FACES, MOST_FACES + 1))
        chosen = [people[int(i)] for i in drawn]
        height, width = scene.pixels.shape
        made = compose(
            scene,
            [one.face for one in chosen],
            (height, width),
            (SMALLEST_PX, min(LARGEST_PX, height, width)),
            random,
            distractors=DISTRACTORS,
            tilt_deg=TILT_DEG,
            hide=hide,
            zoom=(1.0, 1.0),
        )
        pixels = spoiled(made.pixels, random, SMALLEST_SHARE) if spoil else made.pixels
        names = [chosen[face.number].person for face in made.faces]
        yield Composition(pixels, made.faces, made.unknown), names


def constant_box(boxes: Sequence[tuple[FaceBox, tuple[int, int]]]) -> ConstantBox:
    """Take the median of boxes in pictures of (height, width)."""
    shares = [
        (
            (box.left + box.width / 2) / width,
            (box.top + box.height / 2) / height,
            box.width / min(height, width),
        )
        for box, (height, width) in boxes
    ]
    return ConstantBox(*(float(v) for v in np.median(shares, axis=0)))


@cache
def training_box(sources: Sources) -> ConstantBox:
    """Take the median box of compositions of training people and scenes."""
    people = [PersonFace(face, "") for face in training_faces(sources.data_dir)]
    scenes = empty_scenes(sources.data_dir, "train")
    return constant_box(
        [
            (_square(face.box), made.pixels.shape)
            for made, _ in composed(people, scenes, NUM_TRAINING, 0.0, False)
            for face in made.faces
        ]
    )


def measure_composed(sources: Sources) -> list[Table]:
    """Measure on held-out people in scenes without people."""
    people = lfw_people(sources.data_dir, "test")
    scenes = empty_scenes(sources.data_dir, "test")
    searchers: Mapping[str, Searcher] = {
        "network": packaged_networks()[0],
        "cascade": CascadeDetector(),
        "constant box": training_box(sources),
    }
    tallies: dict[tuple[str, str], Tally] = {}
    for name, hide, spoil in (("clean", 0.0, False), ("spoiled", HIDDEN, True)):
        pictures = composed(people, scenes, NUM_PICTURES, hide, spoil)
        for number, (made, names) in enumerate(pictures):
            truths = [
                Truth(_square(face.box), person, abs(face.yaw_deg))
                for face, person in zip(made.faces, names, strict=True)
            ]
            frame = as_rgb(made.pixels)
            for searcher in searchers:
                tally = tallies.setdefault((name, searcher), Tally())
                tally.add(searchers[searcher].detect(frame), truths, str(number))
    return [
        _overall(tallies, len(scenes)),
        _binned(tallies, "box side", SIZE_EDGES_PX, "px", lambda truth: truth.box.width),
        _binned(tallies, "turn of the head", YAW_EDGES_DEG, "deg", lambda truth: truth.yaw_deg),
    ]


def _overall(tallies: Mapping[tuple[str, str], Tally], num_scenes: int) -> Table:
    rows = [
        (condition, searcher, tally.recall(), tally.false_boxes())
        for (condition, searcher), tally in tallies.items()
    ]
    note = (
        f"{NUM_PICTURES} pictures composed of {num_scenes} test scenes at their own size (481 x "
        f"321) and {FEWEST_FACES} to {MOST_FACES} faces of LFW test people, {SMALLEST_PX:g} to "
        f"{LARGEST_PX:g} px, "
        f"grey; found: intersection over union of at least {FOUND}, at the default threshold; "
        f"boxes under {SMALLEST_PX:g} px do not count as false. Spoiled: {HIDDEN:.0%} of the faces "
        "partly covered, lower resolution, blur, noise, JPEG. Intervals draw persons for recall "
        "(n faces of so many persons) and pictures for false boxes."
    )
    columns = ("pictures", "detector", "recall", "false boxes in a picture")
    return Table("Faces found in composed scenes", columns, rows, note)


def _binned(
    tallies: Mapping[tuple[str, str], Tally],
    what: str,
    edges: Sequence[float],
    unit: str,
    value: Callable[[Truth], float],
) -> Table:
    rows = []
    for (condition, searcher), tally in tallies.items():
        values = np.array([value(truth) for truth in tally.truths])
        # a side drawn as the smallest may be a rounding error below it
        bins = figures.in_bins(np.clip(values, edges[0], None), edges)
        rows.append((condition, searcher, *(tally.recall(chosen) for chosen in bins)))
    columns = ("pictures", "detector", *figures.bin_names(edges, unit))
    note = "The same pictures; intervals draw persons, and say little where these are under ten."
    return Table(f"Recall in composed scenes by {what}", columns, rows, note)


def _square(box: NDArray[np.float32]) -> FaceBox:
    """Turn centre and side [3] into a box."""
    x, y, side = (float(v) for v in box)
    return FaceBox(x - side / 2, y - side / 2, side, side, score=1.0)


def clip_boxes(sources: Sources) -> dict[tuple[str, int], dict[str, FaceBox]]:
    """Read the teacher's boxes of the clips: file and frame -> range -> box."""
    boxes: dict[tuple[str, int], dict[str, FaceBox]] = {}
    path = sources.data_dir / "faces" / "javanese_dev_boxes.csv"
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            ranges = boxes.setdefault((row["file"], int(row["frame"])), {})
            if row["range"]:
                sides = (float(row[key]) for key in ("x", "y", "width", "height", "score"))
                ranges[row["range"]] = FaceBox(*sides)
    return boxes


def other_actors_box(
    known: Mapping[tuple[str, int], Mapping[str, FaceBox]],
    actor_of: Mapping[str, str],
    actor: str,
    teacher: str,
) -> ConstantBox:
    """Take the median of the teacher's boxes in the clips of everybody else."""
    boxes = [
        (ranges[teacher], CLIP_SHAPE)
        for (file, _), ranges in known.items()
        if actor_of[file] != actor and teacher in ranges
    ]
    return constant_box(boxes)


def measure_clips(sources: Sources) -> list[Table]:
    """Measure on the acted clips, against the boxes of both ranges of the teacher."""
    known = clip_boxes(sources)
    clips = acted_clips(sources.data_dir)
    actor_of = {clip.path.name: clip.actor for clip in clips}
    searchers: Mapping[str, Searcher] = {
        "network": packaged_networks()[0],
        "cascade": CascadeDetector(),
        "constant box of the training compositions": training_box(sources),
    }
    medians = {
        (actor, teacher): other_actors_box(known, actor_of, actor, teacher)
        for actor in sorted(set(actor_of.values()))
        for teacher in TEACHERS
    }
    tallies: dict[tuple[str, str], Tally] = {}
    for clip in clips:
        name = clip.path.name
        for number, frame in numbered_frames(clip.path, STEP):
            ranges = known.get((name, number))
            if ranges is None:
                continue
            found = {key: searcher.detect(frame) for key, searcher in searchers.items()}
            for teacher in TEACHERS:
                if ranges and teacher not in ranges:
                    continue  # a face is there, and this teacher does not say where
                found[OTHER_ACTORS] = medians[clip.actor, teacher].detect(frame)
                truths = [Truth(ranges[teacher], name)] if ranges else []
                for key, boxes in found.items():
                    tallies.setdefault((teacher, key), Tally()).add(boxes, truths, name)
    rows = [
        (teacher, key, tally.recall(), tally.false_boxes())
        for (teacher, key), tally in sorted(tallies.items(), key=_teacher_of)
    ]
    note = (
        f"{len(clips)} acted clips of {len(set(actor_of.values()))} people (360 x 270; development "
        f"clips, they train nothing), every {STEP}th frame; truth: boxes of the teacher's short "
        "and full range; frames without a picture count for false boxes only. Intervals draw "
        "clips (n frames of so many clips): they hold for these people only."
    )
    columns = ("truth", "detector", "recall", "false boxes in a frame")
    return [Table("Faces found in acted clips", columns, rows, note)]


def _teacher_of(item: tuple[tuple[str, str], Tally]) -> int:
    return TEACHERS.index(item[0][0])
