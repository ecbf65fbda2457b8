"""What each facial action unit does to the points of a face: the table behind the estimates.

Knows: directions and sizes of movements. Does not know: pictures, estimation, emotions.
Source of which part moves where: Ekman, Friesen & Hager 2002, Facial Action Coding System (manual).
The sizes are our own round figures for the strongest movement (intensity 5), in millimetres of a
face whose outer eye corners are 90 mm apart (adult mean, Farkas 1994); docs/face.md discusses them.
"""

import numpy as np
from numpy.typing import NDArray

FULL = 5.0
"""Grade of the strongest movement on the 0-5 scale."""

MM = 1.0 / 90.0
"""One millimetre in units of the distance of the outer eye corners."""

RIGHT_SIDE = (17, 18, 19, 20, 21, 36, 37, 38, 39, 40, 41, 31, 32, 33,
              48, 49, 50, 51, 57, 58, 59, 60, 61, 62, 66, 67, 6, 7, 8)  # fmt: skip
"""Points of one side and the midline: estimates are of both sides together, each point averaged
with its mirror image."""

INNER_LIPS = ((61, 62), (67, 66))
"""Points on the inner edges of the upper and of the lower lip."""

MOVEMENTS: dict[str, dict[int, tuple[float, float]]] = {
    # brows: 17 is the outer end, 21 the inner
    "AU01": {21: (0, 7), 20: (0, 6), 19: (0, 3.5), 18: (0, 1)},
    "AU02": {17: (0, 5), 18: (0, 7), 19: (0, 5), 20: (0, 2)},
    "AU04": {21: (-2.5, -5), 20: (-2, -5), 19: (-1.5, -4), 18: (-1, -3), 17: (-0.5, -1)},
    # lids: 37 and 38 above, 40 and 41 below
    "AU05": {37: (0, 2.5), 38: (0, 2.5), 40: (0, -0.8), 41: (0, -0.8)},
    "AU06": {17: (0, -1), 40: (0, 1.8), 41: (0, 2.2), 36: (0, 0.4)},
    "AU07": {37: (0, -1.5), 38: (0, -1.5), 40: (0, 1.8), 41: (0, 1.8)},
    "AU45": {37: (0, -8), 38: (0, -8), 40: (0, 0.8), 41: (0, 0.8)},
    # nose and upper lip
    "AU09": {31: (0.5, 3), 32: (0, 2.5), 33: (0, 1), 49: (0, 1.5), 50: (0, 2), 51: (0, 1.5),
             20: (0, -2), 21: (0, -3)},
    "AU10": {31: (0.5, 1), 49: (0, 3), 50: (0, 5), 51: (0, 4.5), 61: (0, 5), 62: (0, 4.5)},
    # lip corners: 48 outside, 60 inside
    "AU12": {48: (7, 8), 60: (6.5, 7.5), 49: (4, 5), 59: (4, 5), 61: (2.5, 4), 67: (2.5, 4),
             50: (1.5, 2.5), 58: (1.5, 2.5), 51: (0, 1.5), 57: (0, 1.5), 62: (0, 1.5),
             66: (0, 1.5)},
    "AU14": {48: (3, 0), 60: (2.5, 0), 49: (0.8, -0.5), 59: (0.8, 0.5)},
    "AU15": {48: (1, -5), 60: (1, -4.5), 59: (0.5, -3.5), 49: (0.5, -2), 58: (0, -1)},
    "AU20": {48: (7, -1), 60: (6.5, -1), 49: (4, -0.5), 59: (4, -0.5), 61: (3, 0), 67: (3, 0),
             50: (1, 0), 58: (1, 0)},
    # lips and jaw: 51 and 62 middle of the upper lip, 57 and 66 of the lower, 8 the chin
    "AU17": {8: (0, 4), 7: (0, 3), 57: (0, 4), 58: (0, 3.5), 59: (0, 2), 66: (0, 3), 67: (0, 2.5),
             62: (0, 1.5), 51: (0, 1), 61: (0, 1), 48: (0, -1), 60: (0, -1)},
    "AU23": {48: (-2, 0), 60: (-1.5, 0), 49: (-1, -1.5), 59: (-1, 1.5), 50: (0, -2.5),
             51: (0, -2.5), 57: (0, 2.5), 58: (0, 2.5)},
    "AU25": {66: (0, -6), 67: (0, -5), 57: (0, -5), 58: (0, -4), 59: (0, -2), 61: (0, 1),
             62: (0, 1)},
    "AU26": {8: (0, -15), 7: (0, -14), 6: (0, -11), 57: (0, -13), 58: (0, -12), 59: (-1, -7),
             66: (0, -13), 67: (0, -11), 48: (-1.5, -4), 60: (-1.5, -4)},
    "AU28": {49: (0, -3), 50: (0, -5), 51: (0, -5), 59: (0, 3), 58: (0, 5), 57: (0, 5),
             61: (0, -1), 62: (0, -1), 66: (0, 1), 67: (0, 1)},
}  # fmt: skip
"""Action unit -> point -> (outwards, upwards) in millimetres at intensity 5."""

REGION_OF_UNIT = {
    **dict.fromkeys(("AU01", "AU02", "AU04", "AU05", "AU06", "AU07", "AU45"), "eyes"),
    "AU09": "nose",
    **dict.fromkeys(
        ("AU10", "AU12", "AU14", "AU15", "AU17", "AU20", "AU23", "AU25", "AU26", "AU28"), "mouth"
    ),
}
"""Part of the face that must be seen for a unit to be measured."""


GROUPS = (
    (17, 18, 19, 20, 21, 36, 37, 38, 39, 40, 41),
    (31, 32, 33),
    (48, 49, 50, 51, 57, 58, 59, 60, 61, 62, 66, 67, 6, 7, 8),
)
"""Points of `RIGHT_SIDE` that rise and fall together when the face is long or the pitch misread."""


def group_shifts() -> NDArray[np.float64]:
    """Give what a unit of upward shift of each group does to numbers of `one_side`, [58 x 3]."""
    matrix = np.zeros((len(RIGHT_SIDE), 2, len(GROUPS)))
    for column, group in enumerate(GROUPS):
        matrix[[RIGHT_SIDE.index(point) for point in group], 1, column] = 1.0
    return matrix.reshape(-1, len(GROUPS))


def one_side(shapes: NDArray[np.floating], mirrored: NDArray[np.intp]) -> NDArray[np.float64]:
    """Average both sides of frontal shapes and string the points of one side up.

    Args:
        shapes: x to the picture's right, y down, in eye corner distances, [t x 70 x 3]
        mirrored: point on the other side of each, [70]

    Returns:
        outwards and upwards of `RIGHT_SIDE`, [t x 58]
    """
    flat = np.asarray(shapes, dtype=np.float64)[:, :, :2]
    mean = (flat + flat[:, mirrored] * np.array([-1.0, 1.0])) / 2
    return np.asarray(-mean[:, RIGHT_SIDE].reshape(len(flat), -1))


def lip_gap(differences: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give how much further the inner edges of the lips are apart, [t x 58] -> [t]."""
    heights = np.asarray(differences, dtype=np.float64).reshape(-1, len(RIGHT_SIDE), 2)[:, :, 1]
    upper, lower = ([RIGHT_SIDE.index(point) for point in side] for side in INNER_LIPS)
    return np.asarray(heights[:, upper].mean(axis=1) - heights[:, lower].mean(axis=1))


def movement_matrix(units: tuple[str, ...]) -> NDArray[np.float64]:
    """Give the movements of units as columns over the numbers of `one_side`, [58 x u]."""
    matrix = np.zeros((len(RIGHT_SIDE), 2, len(units)))
    for column, unit in enumerate(units):
        for point, offset in MOVEMENTS[unit].items():
            matrix[RIGHT_SIDE.index(point), :, column] = np.array(offset) * MM
    return matrix.reshape(-1, len(units))
