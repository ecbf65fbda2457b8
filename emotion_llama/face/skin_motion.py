"""Aligned views of a face through a clip -> where the skin at each point of one view has gone.

The landmark network finds points in each picture anew and follows a moved part only half of the
way; this compares pictures of the same skin. Knows: optical flow, when it has lost a place, which
rows of the mouth say it then. Does not know: networks, movements, action units.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.alignment import aligned_region, cut, inverse, mapped
from emotion_llama.face.mouth_rows import LIP_OUTLINE, outline_heights
from emotion_llama.face.points import MIRRORED, NOSE_BASE

VIEW_PX, VIEW_EYE_HEIGHT = 112, 0.28
"""Side of the views: 1 mm of an adult's face is 0.7 px; and where they have the eyes, in sides from
the top: higher than the crops of encoders, for the chin of a long face moves and its forehead does
not."""
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
    """whether a place and its mirror image were found again across and along the face, [t x 70 x 2]
    """

    def of(self, chosen: NDArray[np.bool_]) -> "FollowedPoints":
        """Give the places in some of the pictures, [t]."""
        return FollowedPoints(self.points[chosen], self.is_certain[chosen])


def view_of(grey: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Cut the view [s x s] of a face out of a grey frame [h x w], by its points [70 x 3]."""
    return cut(grey, aligned_region(points, VIEW_EYE_HEIGHT), VIEW_PX)


def follow_points(
    views: NDArray[np.uint8], points: NDArray[np.floating], reference: int
) -> FollowedPoints:
    """Look in every view for the skin that is at the points in one of them.

    Pyramids of Lucas & Kanade (Bouguet 2001), begun where the network sees the points. Lips that
    tighten or roll in take their own skin out of sight: where it is lost, the rows of the mouth say
    how high their outline is.

    Args:
        views: grey, of `view_of`, [t x s x s]
        points: of the network, x, y, depth in pixels of the frame, [t x 70 x 3]
        reference: number of the view whose skin is looked for
    """
    size = views.shape[1]
    maps = np.stack([aligned_region(face, VIEW_EYE_HEIGHT).matrix(size) for face in points])
    seen = np.stack([mapped(m, p[:, :2]) for m, p in zip(maps, points, strict=True)])
    places, is_found = _flowed(views, seen, reference)
    is_certain = np.repeat((is_found & is_found[:, MIRRORED])[..., None], 2, axis=2)
    lips = list(LIP_OUTLINE)
    heights, is_known = outline_heights(views, seen, places[:, NOSE_BASE[2], 1], reference)
    is_new = is_known[:, None] & ~is_certain[:, lips, 1]  # [t x lips]
    places[:, lips, 1] = np.where(is_new, heights, places[:, lips, 1])
    is_certain[:, lips, 1] |= is_new
    followed = np.array(points, dtype=np.float64)
    for row, place in enumerate(places):
        is_moved = is_certain[row].any(axis=1)
        followed[row, is_moved, :2] = mapped(inverse(maps[row]), place[is_moved])
    return FollowedPoints(followed, is_certain)


def _flowed(
    views: NDArray[np.uint8], seen: NDArray[np.float64], reference: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Follow the places of one view, [70 x 2], by optical flow there and back.

    Returns:
        places in pixels of the views, as seen where they are lost, [t x 70 x 2]; which were found
        again, [t x 70]
    """
    start = seen[reference].astype(np.float32)
    before = _patches(views[reference], start)
    places = seen.copy()
    is_found = np.zeros(places.shape[:2], dtype=bool)
    for row, view in enumerate(views):
        guess = (start + (seen[row] - seen[reference])).astype(np.float32)
        there, is_there = _flow(views[reference], view, start, guess)
        back, is_back = _flow(view, views[reference], there, start)
        alike = (_patches(view, there) * before).sum(axis=1)
        astray = np.linalg.norm(back - start, axis=1)
        is_found[row] = is_there & is_back & (astray < MOST_ASTRAY_PX) & (alike > LEAST_ALIKE)
        places[row, is_found[row]] = there[is_found[row]]
    return places, is_found


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
