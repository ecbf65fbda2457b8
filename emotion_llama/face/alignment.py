"""Frame and box -> square face crop.

Knows: geometry of the crop. Does not know: who found the box, time, what the crop is for.
First version: an upright square around the box; rotation by landmarks is not measured yet.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.detector import FaceBox, require_frame


def crop_face(frame: NDArray[np.uint8], box: FaceBox, size: int) -> NDArray[np.uint8]:
    """Cut the square around a box, as large as its longer side, and scale it.

    Where the square leaves the frame, the frame's edge pixels are repeated.

    Args:
        frame: RGB, [h x w x 3]
        box: the face, in pixels of the frame
        size: side of the crop in pixels

    Returns:
        RGB, [size x size x 3]

    Raises:
        ValueError: an empty box, a size below 1, or no RGB frame
    """
    require_frame(frame)
    if not (box.width > 0 and box.height > 0) or size < 1:
        msg = (
            f"found a box of {box.width} x {box.height} px and a crop of {size} px, expected sides "
            "above 0; check the detector"
        )
        raise ValueError(msg)
    side = max(1, round(max(box.width, box.height)))
    left = round(box.left + box.width / 2 - side / 2)
    top = round(box.top + box.height / 2 - side / 2)
    # repeated indices at the border repeat the edge pixels without a padded copy of the frame
    rows = np.clip(np.arange(top, top + side), 0, frame.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, frame.shape[1] - 1)
    square = frame[rows[:, None], columns[None, :]]  # [side x side x 3]
    # area interpolation averages only when it shrinks
    interpolation = cv2.INTER_AREA if size <= side else cv2.INTER_LINEAR
    crop = cv2.resize(square, (size, size), interpolation=interpolation)
    return np.asarray(crop, dtype=np.uint8)
