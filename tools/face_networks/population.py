"""Statistics of many faces: the mean face.

Knows: Procrustes alignment over training faces. Does not know: networks.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.points import MIRRORED
from emotion_llama.face.shape import frontal

from .material import Face, yaw_of

ROUNDS = 5
FRONTAL_DEG = 15.0
"""Only faces seen from the front give the mean: depth is measured worst from the side."""


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
