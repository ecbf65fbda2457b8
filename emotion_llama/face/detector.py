"""Frame -> boxes of faces with scores.

Knows: the interface of a detector, the packaged network, and OpenCV's frontal-face cascade as a
fallback without weights of ours. Does not know: time, identities, crops.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from emotion_llama.device import one_thread
from emotion_llama.face.networks import (
    STRIDES,
    DetectorNetwork,
    decode,
    load_weights,
    short_hash,
    standardized,
)
from emotion_llama.face.shape import PACKAGED_DIR

SAME_FACE = 0.35
"""Intersection over union from which two boxes of one picture are one face: faces of two people
side by side share less."""
LOWEST_SCORE = 0.43
"""Probability at which the packaged network gives 1 false box in 50 composed development pictures
(0.4259, measured at the end of its training)."""
MAX_CELLS = 400
"""Most cells of one picture that become boxes; a face covers a few dozen."""


@dataclass(frozen=True)
class FaceBox:
    """Where a face is in a frame."""

    left: float
    """pixels from the left edge of the frame; may lie outside it"""
    top: float
    """pixels from the upper edge of the frame; may lie outside it"""
    width: float
    height: float
    score: float
    """how sure the detector is; comparable only within one detector"""
    keypoints: tuple[tuple[float, float], tuple[float, float], tuple[float, float]] | None = None
    """x, y of right eye, left eye and mouth in pixels of the frame, if the detector gives them"""


class FaceDetector(Protocol):
    """What finds faces in a frame."""

    @property
    def name(self) -> str:
        """What detects."""
        ...

    @property
    def version(self) -> str:
        """Version of the weights or the program."""
        ...

    def detect(self, frame: NDArray[np.uint8]) -> list[FaceBox]:
        """Find faces, best score first, in an RGB frame [h x w x 3]."""
        ...


class NetworkDetector:
    """The packaged detector network, or another of the same layers.

    The score is the network's probability.

    Args:
        min_face_px: smallest face side to find, in pixels of the frame; as a box is an estimate,
            boxes down to `SMALLEST_ESTIMATE` of it are given
        lowest_score: probability below which nothing is a face
        weights_path: safetensors file; default is the packaged one
    """

    name = "face-detector"
    version = "1"

    WORK_PX = 448
    """A frame no larger than this is searched as it is."""
    SMALLEST_FACE_PX = 28
    """Face side in pixels of the network's input from which faces are found reliably."""
    SMALLEST_ESTIMATE = 0.9
    """Share of a face's side that its box may fall short of and the face still be given.

    Set by composed development pictures: a lower share finds hardly more of the faces from 40 px,
    only more of the smaller ones."""

    def __init__(
        self,
        *,
        min_face_px: int = 40,
        lowest_score: float = LOWEST_SCORE,
        weights_path: Path | None = None,
    ) -> None:
        path = weights_path or PACKAGED_DIR / "detector.safetensors"
        self._network = load_weights(DetectorNetwork(), path)
        self.weights = short_hash(path)
        self._min_face_px = min_face_px
        self._lowest_score = lowest_score

    def scale(self, height: int, width: int) -> float:
        """Give how far a frame is shrunk: to 448 px, but no further than small faces allow."""
        smallest = min(1.0, self.SMALLEST_FACE_PX / self._min_face_px)
        return min(1.0, max(self.WORK_PX / max(height, width), smallest))

    @one_thread()
    @torch.inference_mode()
    def detect(self, frame: NDArray[np.uint8]) -> list[FaceBox]:
        """Find faces, best score first.

        1. Grey, shrunk by area, edges repeated up to whole cells. 2. Network. 3. Boxes in pixels
        of the frame, small ones left out.

        Args:
            frame: RGB, [h x w x 3]

        Raises:
            ValueError: another shape or type of frame
        """
        require_frame(frame)
        scale = self.scale(*frame.shape[:2])
        grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)  # [h x w]
        if scale < 1.0:
            size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        height, width = grey.shape
        cell = STRIDES[-1]
        below = math.ceil(height / cell) * cell - height
        right = math.ceil(width / cell) * cell - width
        grey = cv2.copyMakeBorder(grey, 0, below, 0, right, cv2.BORDER_REPLICATE)
        maps = self._network(standardized(torch.from_numpy(grey)[None, None].float()))
        found = boxes_of_maps(maps, self._lowest_score, scale)
        smallest_px = self.SMALLEST_ESTIMATE * self._min_face_px
        return [box for box in found if box.width >= smallest_px]


class CascadeDetector:
    """OpenCV's boosted cascade for frontal faces; misses profiles and strongly turned heads.

    The score is the cascade's last-stage sum, above zero for every box.
    """

    CASCADE = "haarcascade_frontalface_alt2"
    """Cascade file that OpenCV carries; the tree-based one gives the fewest false faces."""

    WINDOW_PX = 20
    """Side of the window that the cascade was trained on: no smaller face can be found."""

    def __init__(
        self, *, max_side_px: int = 480, min_face_px: int = 40, min_neighbors: int = 4
    ) -> None:
        """Load the cascade.

        Args:
            max_side_px: a frame is shrunk to this longest side before the search
            min_face_px: smallest face side in the frame as given; in a frame shrunk so far that
                this is under 20 px, the smallest face is 20 px of the shrunk frame
            min_neighbors: overlapping hits that make a face

        Raises:
            ValueError: the installed OpenCV does not carry the cascade
        """
        self._cascade = _loaded_cascade(self.CASCADE)
        self._max_side_px = max_side_px
        self._min_face_px = min_face_px
        self._min_neighbors = min_neighbors

    @property
    def name(self) -> str:
        """The cascade's name."""
        return f"opencv-{self.CASCADE}"

    @property
    def version(self) -> str:
        """The version of OpenCV."""
        return str(cv2.__version__)

    def detect(self, frame: NDArray[np.uint8]) -> list[FaceBox]:
        """Find frontal faces, best score first.

        1. Grey, shrunk by area, equalised. 2. Cascade. 3. Back to pixels of the frame.

        Args:
            frame: RGB, [h x w x 3]

        Raises:
            ValueError: another shape or type of frame
        """
        require_frame(frame)
        height, width = frame.shape[:2]
        scale = min(1.0, self._max_side_px / max(height, width))
        grey = cv2.cvtColor(np.ascontiguousarray(frame), cv2.COLOR_RGB2GRAY)  # [h x w]
        if scale < 1.0:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        min_side = max(self.WINDOW_PX, round(self._min_face_px * scale))
        if min(grey.shape) < min_side:
            return []
        rectangles, _, scores = self._cascade.detectMultiScale3(
            cv2.equalizeHist(grey),
            scaleFactor=1.1,
            minNeighbors=self._min_neighbors,
            minSize=(min_side, min_side),
            outputRejectLevels=True,
        )
        found = np.asarray(rectangles, dtype=np.float64).reshape(-1, 4) / scale  # [faces x 4]
        boxes = [
            FaceBox(left, top, wide, high, float(score))
            for (left, top, wide, high), score in zip(found.tolist(), np.ravel(scores), strict=True)
        ]
        return sorted(boxes, key=lambda box: (-box.score, box.left, box.top))


def overlap(one: FaceBox, other: FaceBox) -> float:
    """Give the intersection over union of two boxes, 0 to 1."""
    width = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    height = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / (one.width * one.height + other.width * other.height - shared)


def boxes_of_maps(
    maps: list[tuple[Tensor, Tensor]], lowest_score: float, scale: float = 1.0
) -> list[FaceBox]:
    """Read the faces out of the detector network's maps of one picture, best first.

    1. Take the cells above the lowest score. 2. Decode their boxes. 3. Of boxes that overlap by
    more than `SAME_FACE`, keep the best.

    Args:
        maps: score logits [1 x 1 x h x w] and box values [1 x 9 x h x w] of each level
        lowest_score: probability below which a cell is no face
        scale: pixels of the network's input over pixels of the frame
    """
    rows = []
    for level, (logits, values) in enumerate(maps):
        scores = torch.sigmoid(logits.float())[0, 0]  # [h x w]
        chosen = scores >= lowest_score
        if chosen.any():
            boxes, points = decode(values.float(), level)
            rows.append(
                torch.cat([scores[chosen][None], boxes[0][:, chosen], points[0][:, chosen]])
            )
    if not rows:
        return []
    found = torch.cat(rows, dim=1).T  # [cells x 10]
    order = torch.argsort(found[:, 0], descending=True, stable=True)[:MAX_CELLS]
    kept: list[FaceBox] = []
    for score, *numbers in found[order].tolist():
        x, y, side, *places = (number / scale for number in numbers)
        right, left, mouth = zip(places[::2], places[1::2], strict=True)
        box = FaceBox(x - side / 2, y - side / 2, side, side, score, (right, left, mouth))
        if all(overlap(box, other) <= SAME_FACE for other in kept):
            kept.append(box)
    return kept


def _loaded_cascade(name: str) -> Any:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path = Path(folder) / f"{name}.xml"
    if not path.is_file():
        msg = (
            f"found no {name} in OpenCV {cv2.__version__}, expected it beside cv2; "
            "install opencv-python-headless 4.x"
        )
        raise ValueError(msg)
    return cv2.CascadeClassifier(str(path))


def require_frame(frame: NDArray[np.uint8]) -> None:
    """Check that an array is an RGB frame [h x w x 3] of bytes with at least one pixel.

    Raises:
        ValueError: it is not
    """
    if frame.ndim != 3 or frame.shape[2] != 3 or 0 in frame.shape or frame.dtype != np.uint8:
        msg = (
            f"found a frame of shape {frame.shape} and type {frame.dtype}, expected uint8 RGB "
            "[h x w x 3] with at least one pixel; convert it first"
        )
        raise ValueError(msg)
