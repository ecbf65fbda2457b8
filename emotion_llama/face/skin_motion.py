"""Aligned views of a face through a clip -> where the skin at each point of one view has gone.

The landmark network finds points in each picture anew and follows a moved part only half of the
way; this compares pictures of the same skin. Knows: optical flow, when it has lost a place. Does
not know: networks, movements, action units.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.alignment import aligned_region, inverse, mapped
from emotion_llama.face.points import MIRRORED

VIEW_PX = 112
"""Side of the views: 1 mm of an adult's face is 0.7 px."""
WINDOW_PX = 9
"""Side of the square around a point that is looked for: 13 mm, small enough for lids and lips."""
PYRAMID_LEVELS = 2
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)

MOST_ASTRAY_PX = 0.5
"""Distance from a point to where following it there and back ends (Kalal, Mikolajczyk & Matas 2010)
beyond which the place is lost."""
PATCH_PX, LEAST_ALIKE = 11, 0.85
"""Side of the patches that are compared before and after, and their normalised correlation below
which the skin is not the same: a lid has closed over the eye, teeth have come out."""


@dataclass(frozen=True)
class FollowedPoints:
    """Where the places of one picture are in all of them."""

    points: NDArray[np.float64]
    """x, y, depth in pixels of the frame, [t x 70 x 3]; the network's where a place is lost"""
    is_certain: NDArray[np.bool_]
    """whether a place and its mirror image were found again, [t x 70]"""

    def of(self, chosen: NDArray[np.bool_]) -> "FollowedPoints":
        """Give the places in some of the pictures, [t]."""
        return FollowedPoints(self.points[chosen], self.is_certain[chosen])


def follow_points(
    views: NDArray[np.uint8], points: NDArray[np.floating], reference: int
) -> FollowedPoints:
    """Look in every view for the skin that is at the points in one of them.

    Pyramids of Lucas & Kanade (Bouguet 2001), begun where the network sees the points.

    Args:
        views: grey, aligned by the points, [t x s x s]
        points: of the network, x, y, depth in pixels of the frame, [t x 70 x 3]
        reference: number of the view whose skin is looked for
    """
    size = views.shape[1]
    maps = np.stack([aligned_region(face).matrix(size) for face in points])  # [t x 2 x 3]
    seen = np.stack([mapped(m, p[:, :2]) for m, p in zip(maps, points, strict=True)])
    start = seen[reference].astype(np.float32)  # [70 x 2]
    before = _patches(views[reference], start)
    followed = np.array(points, dtype=np.float64)
    is_certain = np.zeros(followed.shape[:2], dtype=bool)
    for row, view in enumerate(views):
        guess = (start + (seen[row] - seen[reference])).astype(np.float32)
        there, is_there = _flow(views[reference], view, start, guess)
        back, is_back = _flow(view, views[reference], there, start)
        alike = (_patches(view, there) * before).sum(axis=1)
        astray = np.linalg.norm(back - start, axis=1)
        is_certain[row] = is_there & is_back & (astray < MOST_ASTRAY_PX) & (alike > LEAST_ALIKE)
        found = is_certain[row]
        followed[row, found, :2] = mapped(inverse(maps[row]), there[found])
    return FollowedPoints(followed, is_certain & is_certain[:, MIRRORED])


def _flow(
    first: NDArray[np.uint8],
    second: NDArray[np.uint8],
    places: NDArray[np.float32],
    guess: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Find places [n x 2] of the first view in the second, and whether there was any texture."""
    found, status, _ = cv2.calcOpticalFlowPyrLK(
        first,
        second,
        places[:, None],
        guess[:, None].copy(),
        winSize=(WINDOW_PX, WINDOW_PX),
        maxLevel=PYRAMID_LEVELS,
        criteria=_STOP,
        flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )
    return np.asarray(found[:, 0], dtype=np.float32), np.asarray(status[:, 0] == 1)


def _patches(view: NDArray[np.uint8], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut the patches around places [n x 2], less their mean and of length 1, [n x p]."""
    steps = np.arange(PATCH_PX, dtype=np.float32) - PATCH_PX // 2
    columns = places[:, 0, None, None] + np.zeros((PATCH_PX, 1), np.float32) + steps
    rows = places[:, 1, None, None] + steps[:, None] + np.zeros(PATCH_PX, np.float32)
    count = len(places)
    cut = cv2.remap(
        view,
        columns.reshape(count * PATCH_PX, PATCH_PX),
        rows.reshape(count * PATCH_PX, PATCH_PX),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    flat = cut.reshape(count, -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-3))
