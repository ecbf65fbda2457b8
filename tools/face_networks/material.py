"""Training material of the face networks: faces with points and boxes, and scenes without faces.

Knows: the picture archives of docs/data.md and the label files of make_labels.py. Rows of a split
are decoded only when that split is asked for. Does not know: networks, composition.
"""

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from emotion_llama.face.alignment import box_of_points

SOURCE_PX = 160
"""Larger face pictures are shrunk to this side: the networks see faces of at most 100 px."""

BROWS = {
    17: (70, 46), 18: (63, 53), 19: (105, 52), 20: (66, 65), 21: (107, 55),
    22: (336, 285), 23: (296, 295), 24: (334, 282), 25: (293, 283), 26: (300, 276),
}  # fmt: skip
"""Brow points lie between the mesh's upper and lower brow line."""
MESH_OF_POINT = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    *(upper for upper, _ in BROWS.values()),
    168, 197, 5, 4, 98, 97, 2, 326, 327,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181,
    78, 82, 13, 312, 308, 317, 14, 87,
    468, 473,
)  # fmt: skip
"""Vertex of the 478-point mesh at each of the package's points (emotion_llama/face/points.py)."""


@dataclass(frozen=True)
class Face:
    """One labelled face picture."""

    pixels: NDArray[np.uint8]
    """grey, [h x w]"""
    points: NDArray[np.float32]
    """x, y, depth in pixels, depth around 0, [70 x 3]"""
    box: NDArray[np.float32]
    """centre x, y and side of the square face box in pixels, [3]"""


@dataclass(frozen=True)
class Scene:
    """One photograph with the places where a face cannot be ruled out."""

    pixels: NDArray[np.uint8]
    """grey, [h x w]"""
    candidates: NDArray[np.float32]
    """left, top, width, height, [n x 4]"""


def points_of_mesh(mesh: NDArray[Any]) -> NDArray[np.float32]:
    """Choose the package's points out of a mesh, [478 x 3] -> [70 x 3]; depth around 0."""
    mesh = mesh.astype(np.float32)
    points = mesh[list(MESH_OF_POINT)]
    for number, (upper, lower) in BROWS.items():
        points[number] = (mesh[upper] + mesh[lower]) / 2
    points[:, 2] -= points[:, 2].mean()
    return points


def yaw_of(points: NDArray[np.float32]) -> float:
    """Give the turn of the head in degrees from the depth of the outer eye corners [70 x 3]."""
    across = points[45] - points[36]
    return float(np.degrees(np.arctan2(across[2], np.hypot(across[0], across[1]))))


def _shrunk(picture: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], float]:
    factor = min(1.0, SOURCE_PX / max(picture.shape))
    if factor == 1.0:
        return picture, factor
    size = (max(1, round(picture.shape[1] * factor)), max(1, round(picture.shape[0] * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA)), factor


def grey_of(data: bytes) -> NDArray[np.uint8]:
    """Decode a picture file as brightness, [h x w]."""
    return np.asarray(Image.open(io.BytesIO(data)).convert("L"))


def names_person(identities: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Tell which identities of ``lfw_emotion`` are people, [n].

    The others are the names of files: those pictures were put into splits one by one.
    """
    return ~np.char.endswith(identities, ".jpg")


def lfw(data_dir: Path, split: str) -> list[Face]:
    """Read the large LFW crops of a split whose mesh was found (the first face of each)."""
    folder = data_dir / "faces"
    with (folder / "lfw_full_boxes.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    boxes = {row["file"]: row for row in rows if row["range"] == "short"}
    with np.load(folder / "lfw_full_mesh.npz", allow_pickle=False) as meshes:
        mesh_of = dict(zip(meshes["key"].tolist(), meshes["points"], strict=True))
    faces = []
    with zipfile.ZipFile(folder / "lfw_full.zip") as archive:
        for name, row in boxes.items():
            mesh = mesh_of.get(f"{name}#0#0")
            if mesh is None:
                continue
            pixels, factor = _shrunk(grey_of(archive.read(name)))
            left, top, width, height = (float(row[k]) for k in ("x", "y", "width", "height"))
            box = np.array([left + width / 2, top + height / 2, max(width, height)], np.float32)
            faces.append(Face(pixels, points_of_mesh(mesh) * factor, box * factor))
    return faces


def labelled(data_dir: Path, labels_dir: Path, name: str, split: str) -> list[Face]:
    """Read small faces (``ferplus`` or ``lfw_emotion``) of a split that make_labels.py labelled."""
    column = {"ferplus": "webp", "lfw_emotion": "jpg"}[name]
    with np.load(data_dir / "faces" / f"{name}.npz", allow_pickle=False) as file:
        data, offsets, splits = file[column], file["offset"], file["split"]
        if name == "lfw_emotion":
            splits = np.where(names_person(file["identity"]), splits, "unknown person")
    with np.load(labels_dir / f"{name}.npz", allow_pickle=False) as file:
        rows, meshes = file["row"], file["points"]
    faces = []
    for row, mesh in zip(rows, meshes, strict=True):
        if splits[row] == split:
            points = points_of_mesh(mesh)
            pixels = grey_of(data[offsets[row] : offsets[row + 1]].tobytes())
            box = box_of_points(points)
            centre = (box.left + box.width / 2, box.top + box.height / 2)
            faces.append(Face(pixels, points, np.array([*centre, box.width], np.float32)))
    return faces


def scenes(data_dir: Path, split: str, labels_dir: Path | None = None) -> list[Scene]:
    """Read the scene photographs of a split.

    Args:
        data_dir: folder of docs/data.md
        split: train, dev or test
        labels_dir: holds ``scenes.csv`` of make_scene_labels.py, whose places are added
    """
    found: dict[str, list[list[float]]] = {}
    with (data_dir / "faces" / "scenes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == split:
                boxes = found.setdefault(row["file"], [])
                if row["faces"] == "candidate":
                    boxes.append(_place(row))
    if labels_dir is not None:
        with (labels_dir / "scenes.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                if row["file"] in found:
                    found[row["file"]].append(_place(row))
    with zipfile.ZipFile(data_dir / "faces" / "scenes.zip") as archive:
        return [
            Scene(grey_of(archive.read(name)), np.array(boxes, np.float32).reshape(-1, 4))
            for name, boxes in found.items()
        ]


def _place(row: dict[str, str]) -> list[float]:
    return [float(row[key]) for key in ("x", "y", "width", "height")]
