"""Real people's portraits with control points, to be moved by the renderer of the face tests.

Knows: the LFW pictures of docs/data.md, their face mesh, which vertices are the control points of
tests/face/planted.py. Does not know: the motions, any estimator. Nothing of it may be shipped.
Contact sheet, in tools/:
``python -m face_networks.planted_people --data DIR --output sheet.jpg``.
"""

import argparse
import csv
import hashlib
import io
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from .material import points_of_mesh, yaw_of

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from face import planted

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

CROP_PX = 300
"""Side of the crops that are taken; smaller ones show too little of a lid."""
MARGIN = 0.25
"""Share of the side that is added on each side, edge pixels repeated: crops end at the chin."""
SIZE_PX = 400
"""Side of a portrait, as in tests/face/portraits."""

YAW_DEG, ROLL_DEG = 12.0, 12.0
"""Heads turned further are left out."""
NOSE = 0.1
"""Face units from the eyes' middle beyond which a nose tip shows that the mesh's yaw is wrong."""
SIDES, TOP, BOTTOM = 0.02, -0.04, 1.04
"""Shares of the crop's side: how far the mesh stays from its sides, how far up and down it goes."""
OPEN_EYE = 0.06
"""Distance between the lids in face units below which eyes are too narrow to be moved."""
CLOSED_MOUTH = 0.03
"""Distance between the lips' inner edges in face units below which a mouth is nearly closed."""

SHARP = 0.028
"""Fine detail around the eyes, as a share of the contrast, below which meshes are off too often."""
EYES_MARGIN_PX = 8

MIDDLE: Mapping[str, int] = {
    "hairline": 10, "forehead": 151, "nose_bridge": 168, "nose_tip": 4, "nose_base": 2,
    "upper_lip_top": 0, "upper_lip_bottom": 13, "lower_lip_top": 14, "lower_lip_bottom": 17,
    "chin_hollow": 18, "chin_boss": 199, "chin": 152,
}  # fmt: skip
"""Control point on the middle line -> vertex of the 478-point mesh."""
SIDED: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "*_brow_inner": ((107, 55), (336, 285)),
    "*_brow_middle": ((105, 52, 66, 65), (334, 282, 296, 295)),
    "*_brow_outer": ((63, 53), (293, 283)),
    "*_eye_inner": ((133,), (362,)),
    "*_eye_outer": ((33,), (263,)),
    "*_upper_lid_inner": ((157,), (384,)),
    "*_upper_lid_middle": ((159,), (386,)),
    "*_upper_lid_outer": ((161,), (388,)),
    "*_lower_lid_inner": ((154,), (381,)),
    "*_lower_lid_middle": ((145,), (374,)),
    "*_lower_lid_outer": ((163,), (390,)),
    "*_temple": ((54,), (284,)),
    "*_face_edge": ((116,), (345,)),
    "*_cheek": ((50,), (280,)),
    "*_cheek_edge": ((192,), (416,)),
    "*_nose_side": ((198,), (420,)),
    "*_nostril": ((102,), (331,)),
    "*_fold": ((206,), (426,)),
    "mouth_*_corner": ((61,), (291,)),
    "upper_lip_*_peak": ((37,), (267,)),
    "upper_lip_*_outer": ((39,), (269,)),
    "upper_lip_*_inner": ((81,), (311,)),
    "lower_lip_*_inner": ((178,), (402,)),
    "lower_lip_*_outer": ((181,), (405,)),
    "*_jaw": ((135,), (364,)),
    "*_jaw_low": ((149,), (378,)),
}
"""Control point, ``*`` for its side -> vertices on the person's right and left, to be averaged."""
LID_CREASES: Mapping[str, float] = {"inner": 0.34, "middle": 0.40, "outer": 0.34}
"""Part of the upper lid -> where its crease is on the way up to the brow; the mesh has none."""


@dataclass(frozen=True)
class _Crop:
    """One picture that may become a portrait."""

    file: str
    mesh: Floats
    """[478 x 3], pixels"""
    mouth: float
    """distance between the lips' inner edges in face units"""
    pixels: Pixels
    """[CROP_PX x CROP_PX x 3], red, green, blue"""
    sharpness: float

    @property
    def person(self) -> str:
        """The name, which LFW's file names have before the picture's number."""
        return self.file.rsplit("_", 1)[0]


def people(data_dir: Path, count: int, split: str = "test") -> list[planted.Portrait]:
    """Give portraits of different people, always the same ones, in no order of their names.

    Those whose mouth is nearly closed come first; more people are added at the end.

    Args:
        data_dir: folder of docs/data.md
        count: number of people
        split: train, dev or test

    Returns:
        SIZE_PX x SIZE_PX portraits, named after the file; they see the viewer, upright
    """
    best: dict[str, _Crop] = {}
    for crop in _crops(data_dir / "faces", split):
        other = best.get(crop.person)
        if other is None or _merit(crop) > _merit(other):
            best[crop.person] = crop
    if count > len(best):
        msg = f"found {len(best)} suitable people in split {split!r}, fewer than {count}"
        raise ValueError(msg)
    return [_portrait(crop) for crop in sorted(best.values(), key=_rank)[:count]]


def control_points(mesh: Floats) -> dict[str, tuple[float, float]]:
    """Give the renderer's control points of a mesh, [478 x 3] or [478 x 2], in its pixels."""
    flat = mesh[:, :2].astype(np.float64)
    places = {name: flat[vertex] for name, vertex in MIDDLE.items()}
    for pattern, (right, left) in SIDED.items():
        places[pattern.replace("*", "right")] = flat[list(right)].mean(0)
        places[pattern.replace("*", "left")] = flat[list(left)].mean(0)
    across = places["left_eye_outer"] - places["right_eye_outer"]
    across = across / np.hypot(*across)
    up = np.array([across[1], -across[0]])
    for upper in ("upper_lip_bottom", "upper_lip_right_inner", "upper_lip_left_inner"):
        lower = upper.replace("upper", "lower").replace("bottom", "top")
        if (places[upper] - places[lower]) @ up < 0:  # lips that press cross in some meshes
            places[upper] = places[lower] = (places[upper] + places[lower]) / 2
    for side in ("right", "left"):
        brow = [places[f"{side}_brow_{part}"] for part in ("inner", "middle", "outer")]
        brow.sort(key=lambda place: float(place @ across))
        columns, heights = [place @ across for place in brow], [place @ up for place in brow]
        for part, share in LID_CREASES.items():
            lid = places[f"{side}_upper_lid_{part}"]
            rise = np.interp(lid @ across, columns, heights) - lid @ up
            places[f"{side}_lid_crease_{part}"] = lid + share * rise * up
    return {name: (float(x), float(y)) for name, (x, y) in places.items()}


def contact_sheet(portraits: Sequence[planted.Portrait], tile_px: int = 200) -> Pixels:
    """Draw one row a person: at rest with the control points, then every motion in full."""
    rows = []
    for portrait in portraits:
        marked = portrait.pixels.copy()
        for x, y in portrait.points.values():
            cv2.circle(marked, (round(x), round(y)), 2, (0, 255, 0), -1, cv2.LINE_AA)
        moved = [planted.render(portrait, motion, 1.0) for motion in planted.MOTIONS]
        tiles = [
            cv2.resize(tile, (tile_px, tile_px), interpolation=cv2.INTER_AREA)
            for tile in (marked, *moved)
        ]
        rows.append(np.concatenate(tiles, axis=1))
    return np.concatenate(rows)


def _crops(folder: Path, split: str) -> list[_Crop]:
    """Find the suitable pictures of a split; only pictures whose mesh suits are decoded."""
    with (folder / "lfw_full_boxes.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    with np.load(folder / "lfw_full_mesh.npz", allow_pickle=False) as meshes:
        mesh_of = dict(zip(meshes["key"].tolist(), meshes["points"], strict=True))
    crops = []
    with zipfile.ZipFile(folder / "lfw_full.zip") as archive:
        for name in sorted({row["file"] for row in rows}):
            mesh = mesh_of.get(f"{name}#0#0")
            if mesh is None or not _suits(mesh := mesh.astype(np.float64)):
                continue
            pixels = np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB"))
            if pixels.shape[:2] != (CROP_PX, CROP_PX):
                continue
            sharpness = _sharpness(pixels, mesh)
            if sharpness > SHARP:
                mouth = _distance(mesh, 13, 14) / _distance(mesh, 33, 263)
                crops.append(_Crop(name, mesh, mouth, pixels, sharpness))
    return crops


def _suits(mesh: Floats) -> bool:
    """Tell whether a face is frontal, upright, inside its crop, and its eyes are open."""
    across = mesh[263] - mesh[33]
    unit = _distance(mesh, 33, 263)
    nose = (mesh[4] - (mesh[33] + mesh[263]) / 2)[:2] @ across[:2] / unit**2
    low, high = mesh.min(0) / CROP_PX, mesh.max(0) / CROP_PX
    lids = min(_distance(mesh, 159, 145), _distance(mesh, 386, 374)) / unit
    return bool(
        abs(yaw_of(points_of_mesh(mesh))) < YAW_DEG
        and abs(nose) < NOSE
        and abs(np.degrees(np.arctan2(across[1], across[0]))) < ROLL_DEG
        and min(low[0], 1.0 - high[0]) > SIDES
        and low[1] > TOP
        and high[1] < BOTTOM
        and lids > OPEN_EYE
    )


def _distance(mesh: Floats, first: int, second: int) -> float:
    return float(np.hypot(*(mesh[first] - mesh[second])[:2]))


def _sharpness(pixels: Pixels, mesh: Floats) -> float:
    """Measure the fine detail around the eyes, noise apart, as a share of the contrast."""
    around = mesh[[33, 133, 362, 263, 70, 300, 159, 145, 386, 374], :2]
    left, top = np.maximum(around.min(0).astype(int) - EYES_MARGIN_PX, 0)
    right, bottom = around.max(0).astype(int) + EYES_MARGIN_PX
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[top:bottom, left:right].astype(np.float32)
    detail = cv2.Laplacian(cv2.GaussianBlur(grey, (0, 0), 1.5), cv2.CV_32F)
    return float(np.abs(detail).mean() / max(float(grey.std()), 1e-6))


def _merit(crop: _Crop) -> tuple[bool, float, str]:
    """Say which of a person's pictures is the best: a closed mouth, then sharp."""
    return crop.mouth < CLOSED_MOUTH, crop.sharpness, crop.file


def _rank(crop: _Crop) -> tuple[bool, bytes]:
    """Shuffle by the name's hash: more people leave those before them in place."""
    return crop.mouth >= CLOSED_MOUTH, hashlib.sha256(crop.person.encode()).digest()


def _portrait(crop: _Crop) -> planted.Portrait:
    """Add the margin to a crop and shift the mesh with it."""
    margin = round(MARGIN * CROP_PX)
    padded = np.pad(crop.pixels, ((margin, margin), (margin, margin), (0, 0)), mode="edge")
    pixels = np.asarray(
        cv2.resize(padded, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA), np.uint8
    )
    pixels.flags.writeable = False
    # the mesh's zero is the first pixel's edge, the control points' its centre
    mesh = (crop.mesh[:, :2] + margin) * (SIZE_PX / padded.shape[0]) - 0.5
    return planted.Portrait(Path(crop.file).stem, pixels, control_points(mesh))


def main() -> None:
    """Save a contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of docs/data.md")
    parser.add_argument("--output", type=Path, required=True, help="picture file to write")
    parser.add_argument("--count", type=int, default=8, help="number of people")
    parser.add_argument("--split", choices=("train", "dev", "test"), default="test")
    arguments = parser.parse_args()
    sheet = contact_sheet(people(arguments.data, arguments.count, arguments.split))
    Image.fromarray(sheet).save(arguments.output)


if __name__ == "__main__":
    main()
