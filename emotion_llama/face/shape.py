"""Points of a face -> pose of the head, and the shape of the face seen from the front.

Knows: the mean face and rigid alignment. Does not know: pictures, networks, action units.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from emotion_llama.face.points import JAW, NOSE_BASE, NOSE_BRIDGE

PACKAGED_DIR = Path(__file__).resolve().parent.parent / "presets" / "face"
"""Where the weights and the statistics of the face package are."""

RIGID_POINTS = {
    **dict.fromkeys((36, 39, 42, 45), 3.0),
    **dict.fromkeys(NOSE_BRIDGE, 2.0),
    **dict.fromkeys((NOSE_BASE[0], NOSE_BASE[2], NOSE_BASE[4]), 1.0),
    **dict.fromkeys((*JAW[:3], *JAW[-3:]), 1.0),
}
"""Points that no expression moves much, with their weight in the alignment."""


_in_use: dict[str, NDArray[np.floating]] = {}


def population() -> Mapping[str, NDArray[np.floating]]:
    """Give the packaged statistics of many faces; see ``tools/make_face_population.py``.

    Returns:
        ``mean``: the mean face, x to the picture's right, y down, depth away from the camera, in
        units of the distance of the outer eye corners, centred between them, [70 x 3]; and what
        `action_units`, `brow_reading` and `identity` read
    """
    if not _in_use:
        _in_use.update(load_file(PACKAGED_DIR / "population.safetensors"))
    return _in_use


def use_population(statistics: Mapping[str, NDArray[np.floating]]) -> None:
    """Use other statistics than the packaged ones in this process: for measuring new ones."""
    _in_use.clear()
    _in_use.update(statistics)


def frontal(
    points: NDArray[np.floating], mean: NDArray[np.floating] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn faces to the front and scale them to the mean face.

    The rotation and scale that bring the rigid points of the mean face closest to those of each
    face (Kabsch 1976, Umeyama 1991) are undone.

    Args:
        points: x, y, depth in pixels, [t x 70 x 3]
        mean: the face to align to; default is the packaged mean face

    Returns:
        shapes in units of the mean face's outer eye corner distance, [t x 70 x 3]; and the heads'
        yaw (positive: to the picture's right), pitch (positive: down) and roll (positive:
        clockwise in the picture) in degrees, [t x 3]
    """
    target = np.asarray(population()["mean"] if mean is None else mean, dtype=np.float64)
    chosen = list(RIGID_POINTS)
    weights = np.array(list(RIGID_POINTS.values()))
    weights = (weights / weights.sum())[:, None]  # [r x 1]
    faces = np.asarray(points, dtype=np.float64)
    centre = (faces[:, chosen] * weights).sum(axis=1, keepdims=True)  # [t x 1 x 3]
    origin = (target[chosen] * weights).sum(axis=0)  # [3]
    seen, known = faces[:, chosen] - centre, target[chosen] - origin
    # the rotation R with seen ~ scale * known @ R.T
    u, values, vt = np.linalg.svd(np.einsum("tri,rj,r->tij", seen, known, weights[:, 0]))
    sign = np.ones((len(faces), 3))
    sign[:, 2] = np.sign(np.linalg.det(u @ vt))
    rotation = (u * sign[:, None]) @ vt  # [t x 3 x 3]
    scale = (values * sign).sum(axis=1) / (known**2 * weights).sum()  # [t]
    upright = (faces - centre) @ rotation / scale[:, None, None]
    return upright + origin, _angles(rotation)


def _angles(rotation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Take rotations [t x 3 x 3] = roll after yaw after pitch apart, in degrees [t x 3]."""
    yaw = np.arcsin(np.clip(rotation[:, 2, 0], -1.0, 1.0))
    pitch = np.arctan2(rotation[:, 2, 1], rotation[:, 2, 2])
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 0, 0])
    return np.asarray(np.degrees(np.stack([yaw, pitch, roll], axis=1)))


def head_pose(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give yaw, pitch and roll in degrees of faces [t x 70 x 3]; signs as in `frontal`."""
    return frontal(points)[1]


def eye_distance_px(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give the distance of the outer eye corners in pixels, depth included, [t x 70 x 3] -> [t]."""
    faces = np.asarray(points, dtype=np.float64)
    return np.asarray(np.linalg.norm(faces[..., 36, :] - faces[..., 45, :], axis=-1))
