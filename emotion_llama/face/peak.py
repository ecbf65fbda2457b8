"""Face track -> the moment of the strongest expression.

Knows: pixels of the crops. Does not know: action units, frames, models. First version: until action
units are measured, the peak is the crop that differs most from the person's own median face.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.records import FaceTrack

COMPARED_PX = 32
"""Side at which crops are compared: small shifts of the box matter less than the expression."""


def peak_crop(track: FaceTrack) -> int:
    """Give the position of the crop that differs most from the median crop of the track.

    Crops are compared in grey, each with its own mean and deviation taken out, so that a change of
    light is no expression; the first of equal ones counts.

    Args:
        track: the main person's crops, [t x h x w x 3]

    Returns:
        position in the track, 0 for a single crop
    """
    grey = np.stack([_standardized(crop) for crop in track.crops])  # [t x 32 x 32]
    difference = np.abs(grey - np.median(grey, axis=0)).mean(axis=(1, 2))  # [t]
    return int(np.argmax(difference))


def _standardized(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    small = cv2.resize(crop, (COMPARED_PX, COMPARED_PX), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray((grey - grey.mean()) / max(float(grey.std()), 1.0), dtype=np.float32)
