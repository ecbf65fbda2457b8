"""Rows of pixels across a mouth at rest -> how high the outline of its lips is in other views.

Lips that tighten or roll in lose rows, whose skin no flow can find again; the rows above and below
are still there. Knows: rows matched with gaps. Does not know: optical flow, networks, units.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.movements import MM
from emotion_llama.face.points import OUTER_LIPS

Floats = NDArray[np.float64]

CORNERS, UPPER_EDGE, LOWER_EDGE = (48, 54), (61, 62, 63), (67, 66, 65)
LIP_OUTLINE = tuple(point for point in OUTER_LIPS if point not in CORNERS)
"""Points on the outer edges of the lips but for the corners, whose rows these are not."""
LOWEST = 57
EYE_CORNERS = (36, 45)
"""The outer ones, whose distance gives the scale."""

STEP_MM, COLUMNS, WIDTH = 0.5, 13, 0.6
"""Distance of rows; pixels of a row, and how much of the mouth's width it goes across: its middle
moves as one."""
BELOW_NOSE_MM, BELOW_LIP_MM, SPARE_MM = 2.0, 12.0, 15.0
"""Where rows begin below the base of the nose and end below the lower lip, and how much further
down a moved mouth is looked for."""
MOST_UNLIKE, MISSING = 1.0, 0.2
"""Largest distance of two rows, in variances of the mouth at rest, and what a row costs that is
there in one of the views only. Chosen on planted motions of training and development people
(docs/face.md)."""
LEAST_CONTRAST, LEAST_FOUND = 4.0, 0.35
"""Deviation of the grey levels of a mouth that can be told from others, and share of its rows that
must be found: lips that roll in hide up to half of them, a hand hides more."""
MOST_OPENED_MM, LIP_MM = 1.5, 3.0
"""How far the lips may part, and how far below them a view must reach: what an open mouth shows has
no row at rest."""
LEAST_PX_PER_MM = 0.25
"""Scale of the reference, along the line of the eyes, below which the head is turned too far: 0.7
from the front."""
FRAMES_AT_ONCE = 256
"""Views that are matched at a time, 0.1 MB each."""


def outline_heights(
    views: NDArray[np.uint8], seen: Floats, nose_heights: Floats, reference: int
) -> tuple[Floats, NDArray[np.bool_]]:
    """Find how high the outline of the lips is in each view.

    Args:
        views: grey, upright and alike in scale, [t x s x s]
        seen: places of the network's points in them, [t x 70 x 2]
        nose_heights: of the base of the nose, by which views are held side by side, [t]
        reference: number of the view whose rows are looked for

    Returns:
        heights of `LIP_OUTLINE` in pixels from the top, [t x 10], and whether they are known, [t]
    """
    heights = np.tile(seen[reference, list(LIP_OUTLINE), 1], (len(views), 1))
    unknown = np.zeros(len(views), dtype=bool)
    px_per_mm = _px_per_mm(seen[reference])
    if px_per_mm < LEAST_PX_PER_MM:
        return heights, unknown
    first = nose_heights + BELOW_NOSE_MM * px_per_mm  # [t]
    is_known = _is_shut(seen, reference, px_per_mm)
    is_known &= seen[:, LOWEST, 1] + LIP_MM * px_per_mm < views.shape[1]
    if not (is_known[reference] and first[reference] < heights[0].min()):
        return heights, unknown

    step = STEP_MM * px_per_mm
    ends = seen[reference, LOWEST, 1] + BELOW_LIP_MM * px_per_mm
    count = int((ends - first[reference]) / step)
    down = step * np.arange(count + round(SPARE_MM / STEP_MM))
    numbers = (heights[0] - first[reference]) / step  # [10]
    columns = _columns(seen, reference)  # [t x c]
    model = _rows(views[reference], columns[reference], first[reference] + down[:count])
    mean, spread = model.mean(), model.std()
    is_known &= spread >= LEAST_CONTRAST
    known = np.flatnonzero(is_known)
    for begin in range(0, len(known), FRAMES_AT_ONCE):
        part = known[begin : begin + FRAMES_AT_ONCE]
        rows = np.stack([_rows(views[k], columns[k], first[k] + down) for k in part])
        found, is_there = match_rows((model - mean) / spread, (rows - mean) / spread)  # [p x r]
        is_known[part] = is_there.mean(axis=1) >= LEAST_FOUND
        for k, places in zip(part, found, strict=True):
            heights[k] = first[k] + step * np.interp(numbers, np.arange(count), places)
    return heights, is_known


def _px_per_mm(points: Floats) -> float:
    right, left = (points[point, 0] for point in EYE_CORNERS)
    return float(abs(left - right)) * MM


def _is_shut(seen: Floats, reference: int, px_per_mm: float) -> NDArray[np.bool_]:
    """Tell where the lips are hardly further apart than in the reference, [t]."""
    inside = (seen[:, LOWER_EDGE, 1] - seen[:, UPPER_EDGE, 1]).mean(axis=1)  # [t]
    return np.asarray(inside - inside[reference] < MOST_OPENED_MM * px_per_mm)


def _columns(seen: Floats, reference: int) -> Floats:
    """Give the columns that rows are sampled at, about the middle of each mouth, [t x c]."""
    width = WIDTH * float(abs(np.subtract(*seen[reference, list(CORNERS), 0])))
    middles = seen[:, [*OUTER_LIPS, *UPPER_EDGE, *LOWER_EDGE], 0].mean(axis=1)
    return np.asarray(middles[:, None] + np.linspace(-width / 2, width / 2, COLUMNS))


def _rows(view: NDArray[np.uint8], columns: Floats, heights: Floats) -> NDArray[np.float32]:
    """Sample a view at columns [c] and heights [r] in pixels, [r x c]."""
    x, y = np.meshgrid(columns.astype(np.float32), heights.astype(np.float32))
    grey = cv2.remap(view, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return grey.astype(np.float32)


def match_rows(
    rest: NDArray[np.floating], now: NDArray[np.floating]
) -> tuple[Floats, NDArray[np.bool_]]:
    """Match the rows of one strip with those of others, in order and with gaps.

    The alignment of sequences of Needleman & Wunsch (1970): a row costs its squared distance from
    the row that it is matched with, or `MISSING` where it is there in one strip only.

    Args:
        rest: rows that are looked for, grey levels about 0 with variance 1, [r x c]
        now: strips in the same scale, each with some rows more, [t x s x c]

    Returns:
        number of the row that each is found at, and whether it is there, both [t x r]; a row that
        is gone lies halfway between those that its neighbours are found at
    """
    count, columns = rest.shape
    frames, length, _ = now.shape
    unlike = (now**2).mean(axis=2)[:, None] + (rest**2).mean(axis=1)[None, :, None]
    unlike = unlike - 2 / columns * np.einsum("rc,tsc->trs", rest, now, optimize=True)
    unlike = np.clip(unlike, 0.0, MOST_UNLIKE)  # [t x r x s]

    gone = MISSING * np.arange(length + 1)
    total = np.tile(gone, (frames, 1))  # what the best match costs that ends before each row of now
    begins = np.empty((count, frames, length + 1), dtype=np.int16)
    is_matched = np.empty((count, frames, length + 1), dtype=bool)
    for row in range(count):
        matched = np.full(total.shape, np.inf)
        matched[:, 1:] = total[:, :-1] + unlike[:, row]
        is_matched[row] = matched <= total + MISSING
        ahead = np.minimum(matched, total + MISSING) - gone
        least = np.minimum.accumulate(ahead, axis=1)
        begins[row] = np.maximum.accumulate(np.where(ahead <= least, np.arange(length + 1), 0), 1)
        total = least + gone

    strip, end = np.arange(frames), total.argmin(axis=1)
    places, is_there = np.empty((frames, count)), np.empty((frames, count), dtype=bool)
    for row in reversed(range(count)):
        end = begins[row, strip, end]
        is_there[:, row] = is_matched[row, strip, end]
        places[:, row] = end - np.where(is_there[:, row], 1.0, 0.5)
        end = end - is_there[:, row]
    return places, is_there
