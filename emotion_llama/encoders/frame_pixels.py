"""Whole frames of any size -> square pictures, the same for every global encoder.

Knows: resizing. Does not know: colour statistics, networks, files.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor


def resize_frames(frames: Sequence[NDArray[np.uint8]], size: int) -> Tensor:
    """Resize frames to a square, bicubic; the aspect ratio is not kept.

    Args:
        frames: RGB pictures, each [h x w x 3]
        size: side in pixels

    Returns:
        values in [0, 1], [b x 3 x size x size]

    Raises:
        ValueError: no frame, or one that is not RGB uint8
    """
    if len(frames) == 0:
        msg = "found no frame; give at least one"
        raise ValueError(msg)
    pictures = []
    for frame in frames:
        pictures.append(torch.from_numpy(np.array(square(frame, size))).permute(2, 0, 1))
    return torch.stack(pictures).float() / 255.0


def square(frame: NDArray[np.uint8], size: int) -> Image.Image:
    """Give one frame as the encoder sees it; a frame of this size already stays as it is.

    Args:
        frame: RGB, [h x w x 3]
        size: side in pixels

    Raises:
        ValueError: it is not RGB uint8
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8 or frame.size == 0:
        msg = (
            f"found a frame of shape {frame.shape} and type {frame.dtype}; "
            "give RGB uint8, [h x w x 3]"
        )
        raise ValueError(msg)
    return Image.fromarray(frame).resize((size, size), Image.Resampling.BICUBIC)


def square_side(size: int | list[int] | tuple[int, ...]) -> int:
    """Give the one side of a square picture or patch.

    Raises:
        ValueError: the sides differ
    """
    if isinstance(size, int):
        return size
    if len(set(size)) != 1:
        msg = f"found sides of {size} px; the towers take square pictures and patches, give one"
        raise ValueError(msg)
    return size[0]
