"""Face crops of any size -> square pictures, grey or in colour, the same for training and use.

Knows: colour weights, resizing, standardisation. Does not know: networks, faces, files.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional

from .transfer import to_device

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in brightness (ITU-R BT.601), also Pillow's."""
COLOUR_MEAN = (0.485, 0.456, 0.406)
COLOUR_DEVIATION = (0.229, 0.224, 0.225)
"""Channel statistics of ImageNet, with which MAE and VideoMAE were trained."""
SMALLEST_DEVIATION = 4.0
"""In grey levels: keeps a nearly even picture from being blown up to noise."""


def check_tracks(face_crops: Sequence[NDArray[np.uint8]]) -> None:
    """Refuse a batch without a track.

    Raises:
        ValueError: there is none
    """
    if len(face_crops) == 0:
        msg = "found no face track; give at least one"
        raise ValueError(msg)


def check_crops(crops: NDArray[np.uint8]) -> None:
    """Refuse what is no stack of RGB crops.

    Raises:
        ValueError: no crop, or not uint8 [t x h x w x 3]
    """
    if crops.ndim != 4 or crops.shape[3] != 3 or crops.dtype != np.uint8 or crops.size == 0:
        msg = (
            f"found face crops of shape {crops.shape} and type {crops.dtype}; "
            "give at least one RGB uint8 crop, [t x h x w x 3]"
        )
        raise ValueError(msg)


def grey_crops(crops: NDArray[np.uint8], size: int, device: torch.device | str = "cpu") -> Tensor:
    """Turn crops grey and resize them to a square.

    Args:
        crops: RGB uint8 crops, [t x h x w x 3]
        size: side in pixels
        device: where the result lives

    Returns:
        grey levels from 0 to 255, [t x 1 x size x size]
    """
    check_crops(crops)
    pixels = to_device(torch.from_numpy(np.ascontiguousarray(crops)), device).float()
    weights = torch.tensor(LUMA, device=device)
    grey = (pixels * weights).sum(dim=-1)[:, None]  # [t x 1 x h x w]; no product to be autocast
    if grey.shape[2:] == (size, size):
        return grey
    return functional.interpolate(
        grey, (size, size), mode="bilinear", antialias=True, align_corners=False
    )


def colour_crops(
    crops: NDArray[np.uint8], size: int, *, normalize: bool, device: torch.device | str = "cpu"
) -> Tensor:
    """Resize crops to a square, bilinear with Pillow (``torchvision.transforms.Resize``'s default).

    Args:
        crops: RGB uint8 crops, [t x h x w x 3]
        size: side in pixels
        normalize: take off `COLOUR_MEAN` and divide by `COLOUR_DEVIATION`
        device: where the result lives

    Returns:
        values in [0, 1], or normalised, [t x 3 x size x size]
    """
    check_crops(crops)
    if crops.shape[1:3] != (size, size):
        crops = np.stack(
            [
                np.asarray(Image.fromarray(crop).resize((size, size), Image.Resampling.BILINEAR))
                for crop in crops
            ]
        )
    pixels = to_device(torch.from_numpy(np.ascontiguousarray(crops)), device)  # [t x h x w x 3]
    pixels = pixels.permute(0, 3, 1, 2) / 255.0
    if not normalize:
        return pixels
    mean = torch.tensor(COLOUR_MEAN, device=device)[:, None, None]
    return (pixels - mean) / torch.tensor(COLOUR_DEVIATION, device=device)[:, None, None]


def standardize(grey: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Take off the mean and divide by the deviation over some dimensions.

    Args:
        grey: grey levels from 0 to 255
        dims: dimensions that share one mean and one deviation

    Returns:
        the same shape, zero mean and about unit deviation
    """
    centred = grey - grey.mean(dim=dims, keepdim=True)
    deviation = centred.square().mean(dim=dims, keepdim=True).sqrt()
    return centred / deviation.clamp(min=SMALLEST_DEVIATION)
