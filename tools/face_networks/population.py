"""Statistics of many faces: mean face, spread of neutral faces and of errors, reading of brows.

Knows: training faces with points of the teacher and of the package's networks, expression labels.
Does not know: training of networks, files of the package.
"""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression

from emotion_llama.face import brow_reading as reading
from emotion_llama.face.alignment import align_face, region_of_box
from emotion_llama.face.detector import FaceBox
from emotion_llama.face.landmarks import FaceLandmarker
from emotion_llama.face.movements import GROUPS, MM, RIGHT_SIDE, group_shifts, one_side
from emotion_llama.face.points import MIRRORED
from emotion_llama.face.shape import frontal

from .material import Face, yaw_of

ROUNDS = 5
FRONTAL_DEG = 15.0
"""Only faces seen from the front give the mean: depth is measured worst from the side."""
MAX_TURN_DEG = 25.0
"""Faces turned further do not count for the spread."""
NUM_FACES = 8000
"""Training faces that the statistics are taken of."""

USUAL_UNITS: dict[str, dict[str, float]] = {
    "AU01": {"surprise": 1.0, "fear": 1.0, "sad": 0.6},
    "AU02": {"surprise": 1.0, "fear": 0.6},
    "AU04": {"angry": 1.0, "sad": 0.5, "fear": 0.5, "disgust": 0.5},
    "AU05": {"surprise": 1.0, "fear": 1.0, "angry": 0.3},
}
"""How often a unit goes with an expression, in round figures after the EMFACS prototypes (Ekman,
Friesen & Hager 2002): weak labels for the reading of brows. Other expressions: 0."""
REGULARISATION = 0.01
"""C of the logistic regression; chosen on FER+ development faces out of 0.003, 0.01, 0.03."""


@dataclass(frozen=True)
class ReadFaces:
    """Faces of one split as the package's networks see them."""

    rows: NDArray[np.int64]
    """row in the archive, [n]"""
    points: NDArray[np.float32]
    """[n x 70 x 3]"""
    crops: NDArray[np.uint8]
    """aligned, grey, [n x 96 x 96]"""
    labels: NDArray[np.str_]
    """expression that most voters named, [n]"""


def mean_face(faces: Sequence[Face]) -> NDArray[np.float32]:
    """Average aligned faces and their mirror images (generalised Procrustes, Gower 1975).

    Returns:
        the mean face as `emotion_llama.face.shape.population` describes it, [70 x 3]
    """
    points = np.stack([face.points for face in faces if abs(yaw_of(face.points)) < FRONTAL_DEG])
    mean = points[0].astype(np.float64)
    for _ in range(ROUNDS):
        mean = _unit(mean)
        shapes, _ = frontal(points, mean)
        mean = np.median(shapes, axis=0)
        mirrored = mean[MIRRORED] * np.array([-1.0, 1.0, 1.0])
        mean = _level((mean + mirrored) / 2, points)
    return _unit(mean).astype(np.float32)


def _level(face: NDArray[np.float64], points: NDArray[np.float32]) -> NDArray[np.float64]:
    """Nod a face so that the median pitch of the faces is 0: photographs are taken at eye level."""
    pitch = np.radians(np.median(frontal(points, face)[1][:, 1]))
    turn = np.array(
        [
            [1.0, 0.0, 0.0],
            [0.0, np.cos(pitch), -np.sin(pitch)],
            [0.0, np.sin(pitch), np.cos(pitch)],
        ]
    )
    return np.asarray(face @ turn.T)


def _unit(face: NDArray[np.float64]) -> NDArray[np.float64]:
    """Centre a face between its outer eye corners, make their distance 1, level and turn it."""
    face = face - (face[36] + face[45]) / 2
    across = face[45] - face[36]
    return np.asarray(face / np.linalg.norm(across))


def read_faces(data_dir: Path, split: str, most: int = NUM_FACES) -> ReadFaces:
    """Find points in FER+ pictures, which are face crops; faces not found are left out."""
    with np.load(data_dir / "faces" / "ferplus.npz", allow_pickle=False) as file:
        data, offsets, splits = file["webp"], file["offset"], file["split"]
        labels = file["vote_order"][file["votes"].astype(int).argmax(axis=1)]
    rows = np.flatnonzero(splits == split)
    if len(rows) > most:
        rows = np.sort(np.random.default_rng(0).choice(rows, most, replace=False))
    landmarker = FaceLandmarker()
    kept, points, crops = [], [], []
    for row in rows:
        picture = Image.open(io.BytesIO(data[offsets[row] : offsets[row + 1]].tobytes()))
        grey = np.asarray(picture.convert("L"))
        whole = FaceBox(0.0, 0.0, float(grey.shape[1]), float(grey.shape[0]), 1.0)
        face = landmarker.find(grey, [region_of_box(whole)], passes=2)[0]
        if face.score >= 0.5:
            kept.append(row)
            points.append(face.points)
            crops.append(align_face(grey, face.points, reading.SIZE_PX))
    chosen = np.array(kept)
    return ReadFaces(chosen, np.stack(points), np.stack(crops), labels[chosen])


def neutral_statistics(faces: ReadFaces) -> dict[str, Any]:
    """Measure neutral faces.

    Returns:
        ``neutral`` [58]: median neutral face; ``population_shifts`` [3] and ``population_spread``
        [58]: deviations of neutral faces, of groups together and of each coordinate beyond that
    """
    shapes, pose = frontal(faces.points)
    values = one_side(shapes, MIRRORED)
    is_front = (np.abs(pose[:, :2]) < MAX_TURN_DEG).all(axis=1)
    rest = values[is_front & (faces.labels == "neutral")]
    neutral = np.median(rest, axis=0)
    shifts, spread = _spreads(rest - neutral)
    print(f"shifts {np.round(shifts / MM, 2)} mm, spread {spread.mean() / MM:.2f} mm")
    return {
        "neutral": neutral.astype(np.float32),
        "population_shifts": shifts,
        "population_spread": spread,
    }


def _spreads(differences: NDArray[np.float64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Take differences [n x 58] apart into shifts of the groups and the rest; robust deviations."""
    basis = group_shifts()
    sizes = np.array([len(group) for group in GROUPS])
    shifts = differences @ basis / sizes  # [n x 3]
    left = differences - shifts @ basis.T
    deviation = 1.4826 * np.median(np.abs(shifts), axis=0)
    spread = 1.4826 * np.median(np.abs(left - np.median(left, axis=0)), axis=0)
    assert spread.shape == (2 * len(RIGHT_SIDE),)
    return deviation.astype(np.float32), spread.astype(np.float32)


def brow_reading(faces: ReadFaces) -> dict[str, Any]:
    """Fit one logistic regression a unit on the brow strip, both classes of equal weight.

    Returns:
        ``brow_weights`` [4 x 1152], ``brow_bias`` [4], ``brow_neutral`` [4]: median probability of
        neutral faces
    """
    strips = np.stack([reading.strip_gradients(crop) for crop in faces.crops])
    weights, biases, usual = [], [], []
    for unit in reading.UNITS:
        present = np.array([USUAL_UNITS[unit].get(str(label), 0.0) for label in faces.labels])
        share = np.concatenate([present / present.sum(), (1 - present) / (1 - present).sum()])
        counted = share > 0
        truth = np.repeat([1, 0], len(strips))[counted]
        fit = LogisticRegression(C=REGULARISATION, max_iter=300)
        doubled = np.concatenate([strips, strips])[counted]
        fit.fit(doubled, truth, sample_weight=share[counted] * len(strips))
        weights.append(fit.coef_[0])
        biases.append(fit.intercept_[0])
        at_rest = strips[faces.labels == "neutral"]
        usual.append(np.median(fit.predict_proba(at_rest)[:, 1]))
    return {
        "brow_weights": np.array(weights, dtype=np.float32),
        "brow_bias": np.array(biases, dtype=np.float32),
        "brow_neutral": np.array(usual, dtype=np.float32),
    }
