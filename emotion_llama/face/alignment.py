"""Frame and face -> square picture of the face, upright.

Knows: geometry of squares in a frame. Does not know: who found the face, time, networks.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.detector import FaceBox, require_frame
from emotion_llama.face.points import INNER_LIPS, LEFT_EYE, OUTER_LIPS, RIGHT_EYE

BOX_SCALE, BOX_SHIFT = 1.106, -0.051
"""Face box of a set of points: its side over their larger extent, and the shift of its centre down
in box sides. Medians over the training faces, against the boxes of the detector's teacher."""

REGION_SCALE = 1.4
"""Side of the square that the landmark network sees, over the larger extent of the points: leaves
room for motion between two frames."""

EYE_HEIGHT, EYE_DISTANCE = 0.39, 0.37
"""Where an aligned crop has the middle between the eyes, and how far apart their centres are, in
crop sides: medians of the training pictures of FER+ (0.391, 0.376) and LFW (0.398, 0.370), so that
encoders see faces framed as they were trained."""


@dataclass(frozen=True)
class Region:
    """A turned square in a frame."""

    centre: tuple[float, float]
    """x, y in pixels of the frame"""
    side: float
    """pixels of the frame"""
    roll_deg: float
    """clockwise turn of the head in the picture that the crop undoes"""

    def matrix(self, size: int) -> NDArray[np.float64]:
        """Give the map from frame to crop pixels, [2 x 3]."""
        scale = size / self.side
        turned = cv2.getRotationMatrix2D(self.centre, self.roll_deg, scale)
        result: NDArray[np.float64] = np.array(turned, dtype=np.float64)
        result[:, 2] += size / 2 - np.array(self.centre)
        return result


def mapped(matrix: NDArray[np.float64], points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Map points [n x 2] through [2 x 3]."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2], dtype=np.float64)


def inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the map [2 x 3] that undoes another."""
    return np.asarray(cv2.invertAffineTransform(matrix), dtype=np.float64)


def roll_of(
    right_eye: NDArray[np.floating], left_eye: NDArray[np.floating], mouth: NDArray[np.floating]
) -> float:
    """Give the clockwise turn of a head in degrees from three places x, y [2].

    The line of the eyes says it when the face is seen from the front, the line from eyes to mouth
    when it is seen from the side; each counts with its length in the picture.
    """
    across = left_eye - right_eye
    down = mouth - (left_eye + right_eye) / 2
    x, y = across[0] + down[1], across[1] - down[0]
    return float(np.degrees(np.arctan2(y, x)))


def roll_of_points(points: NDArray[np.floating]) -> float:
    """Give the clockwise turn of a head in degrees from its points [70 x 2 or 3]."""
    eyes = [points[list(group), :2].mean(axis=0) for group in (RIGHT_EYE, LEFT_EYE)]
    mouth = points[[*OUTER_LIPS, *INNER_LIPS], :2].mean(axis=0)
    return roll_of(eyes[0], eyes[1], mouth)


def region_of_points(points: NDArray[np.floating], scale: float = REGION_SCALE) -> Region:
    """Give the upright square around the points of a face [70 x 2 or 3]."""
    roll = roll_of_points(points)
    turn = Region((0.0, 0.0), 1.0, roll).matrix(1)
    turn[:, 2] = 0.0
    upright = mapped(turn, points[:, :2])
    low, high = upright.min(axis=0), upright.max(axis=0)
    centre = mapped(inverse(turn), ((low + high) / 2)[None])[0]
    return Region((float(centre[0]), float(centre[1])), float(scale * max(high - low)), roll)


def region_of_box(box: FaceBox) -> Region:
    """Give the square in which to look for the points of a detected face."""
    roll = 0.0
    if box.keypoints is not None:
        roll = roll_of(*(np.array(point) for point in box.keypoints))
    side = max(box.width, box.height)
    x, y = box.left + box.width / 2, box.top + box.height / 2
    turn = np.radians(roll)
    shift = BOX_SHIFT * side
    centre = (float(x + np.sin(turn) * shift), float(y - np.cos(turn) * shift))
    return Region(centre, REGION_SCALE / BOX_SCALE * side, roll)


def box_of_points(points: NDArray[np.floating], score: float = 1.0) -> FaceBox:
    """Give the upright square box of a face from its points [70 x 2 or 3]."""
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    side = float(BOX_SCALE * max(high - low))
    x, y = (low + high) / 2
    left, top = float(x) - side / 2, float(y) + BOX_SHIFT * side - side / 2
    return FaceBox(left, top, side, side, score)


def aligned_region(points: NDArray[np.floating], eye_height: float = EYE_HEIGHT) -> Region:
    """Give the square that an aligned crop shows: a similarity transform on the eyes.

    The head is set upright, the middle between the eyes comes to `eye_height`, and the distance of
    the eyes, with its depth, becomes `EYE_DISTANCE`: a turned head is not enlarged.

    Args:
        points: x, y, depth in pixels, [70 x 3]
        eye_height: from the top, in sides of the square
    """
    right, left = (points[list(group)].mean(axis=0) for group in (RIGHT_EYE, LEFT_EYE))
    roll = roll_of_points(points)
    side = float(np.linalg.norm(left - right)) / EYE_DISTANCE
    turn = np.radians(roll)
    down = np.array([-np.sin(turn), np.cos(turn)])
    x, y = (right + left)[:2] / 2 + down * side * (0.5 - eye_height)
    return Region((float(x), float(y)), side, roll)


def align_face(
    frame: NDArray[np.uint8], points: NDArray[np.floating], size: int
) -> NDArray[np.uint8]:
    """Cut the aligned crop of a face; the same input gives the same pixels.

    Args:
        frame: [h x w x 3] or [h x w]
        points: of the face in it, x, y, depth in pixels, [70 x 3]
        size: side of the crop in pixels

    Returns:
        [size x size x 3] or [size x size]
    """
    return cut(frame, aligned_region(points), size)


def cut(frame: NDArray[np.uint8], region: Region, size: int) -> NDArray[np.uint8]:
    """Cut a turned square out of a frame and scale it; outside, edge pixels are repeated.

    Args:
        frame: [h x w] or [h x w x 3]
        region: what to cut
        size: side of the result in pixels

    Returns:
        [size x size] or [size x size x 3]
    """
    matrix = region.matrix(size)
    if region.side > 2 * size:  # linear sampling would skip pixels: average them first
        shrink = min(1.0, 1.5 * size / region.side)
        shape = (max(1, round(frame.shape[1] * shrink)), max(1, round(frame.shape[0] * shrink)))
        ratio = np.array([frame.shape[1] / shape[0], frame.shape[0] / shape[1]])
        frame = np.asarray(cv2.resize(frame, shape, interpolation=cv2.INTER_AREA))
        # pixel centres lie at whole numbers: the shift of the finer grid is half a pixel less
        matrix[:, 2] += matrix[:, :2] @ (ratio / 2 - 0.5)
        matrix[:, :2] = matrix[:, :2] * ratio
    crop = cv2.warpAffine(frame, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(crop, dtype=np.uint8)


def square_around(box: FaceBox) -> tuple[int, int, int]:
    """Give left, top and side of the square around a box, in whole pixels of the frame."""
    side = max(1, round(max(box.width, box.height)))
    left = round(box.left + box.width / 2 - side / 2)
    top = round(box.top + box.height / 2 - side / 2)
    return left, top, side


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
    left, top, side = square_around(box)
    # repeated indices at the border repeat the edge pixels without a padded copy of the frame
    rows = np.clip(np.arange(top, top + side), 0, frame.shape[0] - 1)
    columns = np.clip(np.arange(left, left + side), 0, frame.shape[1] - 1)
    square = frame[rows[:, None], columns[None, :]]  # [side x side x 3]
    # area interpolation averages only when it shrinks
    interpolation = cv2.INTER_AREA if size <= side else cv2.INTER_LINEAR
    crop = cv2.resize(square, (size, size), interpolation=interpolation)
    return np.asarray(crop, dtype=np.uint8)
