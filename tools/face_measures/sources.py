"""What is measured on: held-out faces with the person's name, and the clips with face and voice.

Knows: the archives of docs/data.md. Does not know: networks, figures.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from face_networks import material
from numpy.typing import NDArray

from emotion_llama.config import MediaConfig
from emotion_llama.face import FaceLandmarker, NetworkDetector, track_faces
from emotion_llama.media.video import read_frames
from emotion_llama.records import FaceTrack

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Sources:
    """Where the material is."""

    data_dir: Path
    """folder of docs/data.md"""
    labels_dir: Path | None = None
    """folder with labels of make_labels.py, for what is measured on them only"""


@dataclass(frozen=True)
class PersonFace:
    """A labelled face and whose it is."""

    face: material.Face
    person: str


@dataclass(frozen=True)
class ActedClip:
    """One clip of an actor."""

    path: Path
    actor: str
    label: str


@dataclass(frozen=True)
class Sampled:
    """Frames of a clip."""

    frames: Pixels
    """[t x h x w x 3]"""
    times_s: NDArray[np.float64]
    """[t]"""


def lfw_people(data_dir: Path, split: str) -> list[PersonFace]:
    """Read the LFW faces of a split, as `material.lfw` does, with the names of the people."""
    folder = data_dir / "faces"
    with (folder / "lfw_full_boxes.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    files = dict.fromkeys(row["file"] for row in rows if row["range"] == "short")
    with np.load(folder / "lfw_full_mesh.npz", allow_pickle=False) as meshes:
        known = set(meshes["key"].tolist())
    names = [name.rsplit("_", 1)[0] for name in files if f"{name}#0#0" in known]
    faces = material.lfw(data_dir, split)
    return [PersonFace(face, name) for face, name in zip(faces, names, strict=True)]


@cache
def training_faces(data_dir: Path) -> list[material.Face]:
    """Read the LFW training faces once."""
    return material.lfw(data_dir, "train")


def empty_scenes(data_dir: Path, split: str) -> list[material.Scene]:
    """Read the scenes of a split in which the table names no place where a face may be."""
    return [scene for scene in material.scenes(data_dir, split) if not len(scene.candidates)]


def as_rgb(grey: Pixels) -> Pixels:
    """Repeat brightness [h x w] for the three colours, [h x w x 3]."""
    return np.repeat(grey[..., None], 3, axis=2)


def acted_clips(data_dir: Path) -> list[ActedClip]:
    """List the development clips with face and voice."""
    with (data_dir / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return [
            ActedClip(data_dir / row["path"], row["speaker"], row["label"])
            for row in csv.DictReader(file)
            if row["dataset"] == "javanese"
        ]


def numbered_frames(path: Path, step: int) -> Iterator[tuple[int, Pixels]]:
    """Decode one frame in ``step`` of a clip, [h x w x 3], with its number from 0."""
    with av.open(str(path)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number % step == 0:
                yield number, frame.to_ndarray(format="rgb24")


def sampled(path: Path, frames_per_second: float) -> Sampled:
    """Read frames of a clip as the package does."""
    reading = read_frames(path, MediaConfig(frames_per_second=frames_per_second, max_frames=1000))
    assert reading.frames is not None and reading.times_s is not None
    return Sampled(reading.frames, reading.times_s)


@cache
def packaged_networks() -> tuple[NetworkDetector, FaceLandmarker]:
    """Load the packaged networks once."""
    return NetworkDetector(), FaceLandmarker()


def tracks_of(
    frames: Pixels, times_s: Sequence[float] | NDArray[np.float64]
) -> tuple[FaceTrack, ...]:
    """Follow the faces of a clip [t x h x w x 3] with the packaged networks."""
    detector, landmarker = packaged_networks()
    return track_faces(frames, times_s, detector, landmarker, MediaConfig().face_crop_size)
