"""Aligned still -> how brows and upper lids stand, read off the pixels around them.

On a still the points alone cannot tell a raised brow from a high one. This reads the gradients of
the brow and lid strip; it was trained on the expressions that a unit usually goes with, so it is
evidence of another kind than a measured movement. Knows: the strip. Does not know: points, time.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.movements import FULL
from emotion_llama.face.shape import population

UNITS = ("AU01", "AU02", "AU04", "AU05")
SIZE_PX = 96
"""Side of the aligned crop."""
ROWS, COLUMNS = slice(1, 5), slice(1, 10)
"""Blocks of the strip: from 8 to 48 px down, 8 px in from both sides."""

_GRADIENTS = cv2.HOGDescriptor((SIZE_PX, SIZE_PX), (16, 16), (8, 8), (8, 8), 8)
_BLOCKS = SIZE_PX // 8 - 1


def strip_gradients(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Describe the brow and lid strip of an aligned crop by oriented gradients.

    Args:
        crop: RGB [s x s x 3] or grey [s x s], as `emotion_llama.face.align_face` cuts it

    Returns:
        Dalal & Triggs 2005 descriptors of 4 x 9 blocks, [1152]
    """
    grey = crop if crop.ndim == 2 else cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    if grey.shape != (SIZE_PX, SIZE_PX):
        shrinks = grey.shape[0] > SIZE_PX
        interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        grey = cv2.resize(grey, (SIZE_PX, SIZE_PX), interpolation=interpolation)
    blocks = np.asarray(_GRADIENTS.compute(grey)).reshape(_BLOCKS, _BLOCKS, -1)  # columns first
    return np.asarray(blocks[COLUMNS, ROWS].reshape(-1), dtype=np.float32)


def read_brows(crops: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Grade `UNITS` in aligned crops, each by itself.

    The grade is 5 times the probability that the unit is present, from the median of neutral faces
    (0) to certainty (5).

    Args:
        crops: RGB, [t x s x s x 3]

    Returns:
        0 to 5, [t x 4]
    """
    statistics = population()
    strips = np.stack([strip_gradients(crop) for crop in crops])  # [t x 1152]
    scores = strips @ statistics["brow_weights"].T + statistics["brow_bias"]
    chance = 1.0 / (1.0 + np.exp(-scores.astype(np.float64)))
    usual = statistics["brow_neutral"].astype(np.float64)
    return np.asarray(FULL * np.clip((chance - usual) / (1.0 - usual), 0.0, 1.0))
