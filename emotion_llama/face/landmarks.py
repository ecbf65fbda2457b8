"""Frame and region -> the points of the face in it, whether it is one, what is covered.

Knows: the landmark network's input and output. Does not know: where to look, time, action units.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emotion_llama.device import one_thread
from emotion_llama.face.alignment import Region, cut, inverse, mapped, region_of_points
from emotion_llama.face.networks import (
    CROP_PX,
    LandmarkNetwork,
    load_weights,
    short_hash,
    standardized,
)
from emotion_llama.face.shape import PACKAGED_DIR


@dataclass(frozen=True)
class FacePoints:
    """What the network says of one region."""

    points: NDArray[np.float32]
    """x, y, depth in pixels of the frame, depth around 0, [70 x 3]"""
    score: float
    """probability that the region shows a face"""
    visible: NDArray[np.float32]
    """probability that eyes, nose and mouth are not covered, [3]"""


class FaceLandmarker:
    """The packaged landmark network, or another of the same layers.

    Args:
        weights_path: safetensors file; default is the packaged one
    """

    name = "face-points"
    version = "1"

    def __init__(self, weights_path: Path | None = None) -> None:
        path = weights_path or PACKAGED_DIR / "landmarks.safetensors"
        self._network = load_weights(LandmarkNetwork(), path)
        self.weights = short_hash(path)

    def find(
        self, frame: NDArray[np.uint8], regions: Sequence[Region], *, passes: int = 1
    ) -> list[FacePoints]:
        """Find the points of one face a region.

        Args:
            frame: RGB [h x w x 3] or grey [h x w]
            regions: where to look, each around one face
            passes: looks at each face; every further one looks in the region that the points of
                the one before give, which a region from a detector needs (2)

        Returns:
            one record a region
        """
        grey = as_grey(frame)
        found: list[FacePoints] = []
        for number in range(passes if regions else 0):
            where = [region_of_points(face.points) for face in found] if number else regions
            found = self._look(grey, where)
        return found

    @one_thread()
    @torch.inference_mode()
    def _look(self, grey: NDArray[np.uint8], regions: Sequence[Region]) -> list[FacePoints]:
        crops = np.stack([cut(grey, region, CROP_PX) for region in regions])  # [b x 96 x 96]
        points, logits = self._network(standardized(torch.from_numpy(crops)[:, None].float()))
        return [
            _in_frame(face, state, region)
            for face, state, region in zip(points, torch.sigmoid(logits), regions, strict=True)
        ]


def _in_frame(face: Tensor, state: Tensor, region: Region) -> FacePoints:
    """Bring points from crop sides around the crop's centre to pixels of the frame."""
    values = face.numpy()  # [70 x 3]
    back = inverse(region.matrix(CROP_PX))
    points = np.empty(values.shape, dtype=np.float32)
    points[:, :2] = mapped(back, (values[:, :2] + 0.5) * CROP_PX)
    points[:, 2] = (values[:, 2] - values[:, 2].mean()) * region.side
    return FacePoints(points, float(state[0]), state[1:].numpy().copy())


def as_grey(frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Give the brightness of an RGB frame [h x w x 3] as [h x w]; a grey frame stays as it is."""
    if frame.ndim == 2:
        return frame
    return np.asarray(cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY))
