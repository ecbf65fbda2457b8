"""Face -> a description by which one person of a clip is told from another.

Knows: gradients of the aligned face. Does not know: names, other clips: it tells the few people of
one clip apart, under one light, and is no face recognition.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.alignment import align_face
from emotion_llama.face.shape import population

SIZE_PX = 48
"""Side of the aligned face that is described."""

_GRADIENTS = cv2.HOGDescriptor((SIZE_PX, SIZE_PX), (16, 16), (8, 8), (8, 8), 9)


def describe(grey: NDArray[np.uint8], points: NDArray[np.floating]) -> NDArray[np.float32]:
    """Describe a face by oriented gradients (Dalal & Triggs 2005) less those of the mean face.

    Args:
        grey: frame, [h x w]
        points: of the face in it, [70 x 3]

    Returns:
        unit vector, [900]
    """
    found = raw_gradients(align_face(grey, points, SIZE_PX))
    return unit(found - population()["gradients"].astype(np.float32))


def raw_gradients(crop: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Give the oriented gradients of an aligned grey crop [s x s], scaled to 48 px, [900]."""
    small = cv2.resize(crop, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_AREA)
    return np.ravel(np.asarray(_GRADIENTS.compute(small), dtype=np.float32))


def unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale a vector to length 1; a zero vector stays."""
    length = float(np.linalg.norm(vector))
    return vector / length if length > 0 else vector
