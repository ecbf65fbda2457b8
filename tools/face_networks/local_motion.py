"""Faces with planted local motion: the truth about points by construction.

A mesh made for avatars follows brows and lip corners with half a heart; pictures whose parts were
moved by a known distance teach a network to follow them. Knows: smooth warps between points.
Does not know: networks, estimates.
"""

from collections.abc import Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.movements import MM, MOVEMENTS
from emotion_llama.face.points import MIRRORED

from .composition import Random
from .material import Face

UNITS = tuple(unit for unit in MOVEMENTS if unit not in ("AU25", "AU26"))
"""What skin can do without opening the mouth, which needs more than a warp."""
MOST_UNITS = 3
STRENGTH = (-0.8, 1.1)
"""Share of the strongest movement; below 0 is the opposite movement."""
LIDS_STRENGTH = (-0.3, 0.35)
"""Lids that close all the way hide the eye, which a warp cannot."""
ONE_SIDED = 0.25
"""Share of movements of one side only."""
REACH = 0.10
"""Deviation of the kernel between points, in extents of the face."""
GRID = 20


def drawn_strengths(random: Random) -> dict[str, tuple[float, float]]:
    """Draw units and how far each moves the right and the left side, as shares of the strongest."""
    strengths = {}
    for unit in random.choice(UNITS, int(random.integers(1, MOST_UNITS + 1)), replace=False):
        strength = random.uniform(*(LIDS_STRENGTH if unit == "AU45" else STRENGTH))
        sides = (1.0, 1.0)
        if random.random() < ONE_SIDED:
            sides = (1.0, 0.0) if random.random() < 0.5 else (0.0, 1.0)
        strengths[str(unit)] = (strength * sides[0], strength * sides[1])
    return strengths


def displacements(
    points: NDArray[np.float32], strengths: Mapping[str, tuple[float, float]]
) -> NDArray[np.float64]:
    """Give where each point of a face goes, in pixels, [70 x 2].

    Args:
        points: of the face at rest, pixels, [70 x 3]
        strengths: unit -> share of the strongest movement of the right and of the left side
    """
    across = (points[45] - points[36])[:2].astype(np.float64)
    unit_px = float(np.linalg.norm(points[45] - points[36])) * MM
    x_axis = across / max(float(np.linalg.norm(across)), 1e-6)
    y_axis = np.array([-x_axis[1], x_axis[0]])
    moves = np.zeros((len(points), 2))  # to the picture's right, up
    for unit, (right, left) in strengths.items():
        for point, (out, up) in MOVEMENTS[unit].items():
            other = int(MIRRORED[point])
            if other == point:
                moves[point] += np.mean((right, left)) * np.array([0.0, up])
            else:
                moves[point] += right * np.array([-out, up])
                moves[other] += left * np.array([out, up])
    # a turned head shows less of a movement across
    shortened = float(np.linalg.norm(across)) * MM / unit_px
    return unit_px * (moves[:, :1] * shortened * x_axis - moves[:, 1:] * y_axis)


def with_motion(face: Face, strengths: Mapping[str, tuple[float, float]]) -> Face:
    """Warp a face so that its points go where `displacements` says; the rest follows smoothly."""
    places = face.points[:, :2].astype(np.float64)
    moves = displacements(face.points, strengths)
    height, width = face.pixels.shape
    reach = REACH * float(np.ptp(places[:, 1]))
    x, y = np.meshgrid(np.linspace(0, width, 6), np.linspace(0, height, 6))
    far = np.stack([x.ravel(), y.ravel()], axis=1)
    distance = np.linalg.norm(far[:, None] - places[None], axis=2).min(axis=1)
    held = far[distance > 1.5 * reach]
    knots = np.concatenate([places + moves, held])
    sources = np.concatenate([-moves, np.zeros_like(held)])
    kernel = _kernel(knots, knots, reach) + 1e-2 * np.eye(len(knots))
    weights = np.linalg.solve(kernel, sources)
    x, y = np.meshgrid(
        (np.arange(GRID) + 0.5) * width / GRID, (np.arange(GRID) + 0.5) * height / GRID
    )
    grid = np.stack([x.ravel(), y.ravel()], axis=1)
    field = (_kernel(grid, knots, reach) @ weights).reshape(GRID, GRID, 2).astype(np.float32)
    field = cv2.resize(field, (width, height), interpolation=cv2.INTER_LINEAR)
    columns, rows = np.meshgrid(
        np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    )
    pixels = cv2.remap(
        face.pixels,
        columns + field[..., 0],
        rows + field[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    points = face.points.copy()
    points[:, :2] = places + moves
    return Face(np.asarray(pixels), points, face.box)


def _kernel(
    one: NDArray[np.float64], other: NDArray[np.float64], reach: float
) -> NDArray[np.float64]:
    squared = ((one[:, None] - other[None]) ** 2).sum(axis=2)
    return np.asarray(np.exp(-squared / (2 * reach * reach)))
