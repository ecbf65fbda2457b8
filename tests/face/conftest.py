"""A drawn face that the cascade takes for one, and portraits on a plain ground for the networks."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from face import planted
from numpy.typing import NDArray

from emotion_llama.face import FaceBox, FaceLandmarker, NetworkDetector


@pytest.fixture
def drawn_face() -> Callable[[int], tuple[NDArray[np.uint8], FaceBox]]:
    """Draw a face of a given width in a 320 x 400 frame; give the frame and its box."""

    def draw(width: int) -> tuple[NDArray[np.uint8], FaceBox]:
        k = width / 200
        centre = (200, 160)

        def at(x: float, y: float) -> tuple[int, int]:
            return round(centre[0] + k * x), round(centre[1] + k * y)

        def axes(x: float, y: float) -> tuple[int, int]:
            return max(1, round(k * x)), max(1, round(k * y))

        frame = np.full((320, 400, 3), 60, np.uint8)
        cv2.ellipse(frame, at(0, 5), axes(88, 118), 0, 0, 360, (205, 170, 150), -1)
        cv2.ellipse(frame, at(0, -85), axes(90, 45), 0, 180, 360, (50, 35, 30), -1)
        for side in (-1, 1):
            cv2.ellipse(frame, at(38 * side, -22), axes(26, 14), 0, 0, 360, (130, 95, 85), -1)
            cv2.ellipse(frame, at(38 * side, -20), axes(17, 8), 0, 0, 360, (240, 235, 230), -1)
            cv2.circle(frame, at(38 * side, -20), axes(8, 8)[0], (40, 25, 20), -1)
            cv2.line(frame, at(16 * side, -42), at(60 * side, -44), (60, 40, 30), axes(9, 9)[0])
            cv2.ellipse(frame, at(9 * side, 28), axes(6, 4), 0, 0, 360, (120, 85, 75), -1)
        cv2.ellipse(frame, at(0, 0), axes(8, 26), 0, 0, 360, (228, 195, 175), -1)
        cv2.ellipse(frame, at(0, 62), axes(34, 10), 0, 0, 360, (150, 60, 60), -1)
        frame = cv2.GaussianBlur(frame, (0, 0), max(0.5, 2.5 * k))
        side = 170 * k
        return frame, FaceBox(centre[0] - side / 2, centre[1] - side / 2, side, side, score=1.0)

    return draw


@pytest.fixture(scope="session")
def detector() -> NetworkDetector:
    return NetworkDetector()


@pytest.fixture(scope="session")
def landmarker() -> FaceLandmarker:
    return FaceLandmarker()


@pytest.fixture
def scene() -> Callable[..., NDArray[np.uint8]]:
    """Put portraits on a noisy grey ground; each is name, x, y of its middle, and its side."""

    def draw(
        *people: tuple[str, int, int, int], size: tuple[int, int] = (480, 640), seed: int = 0
    ) -> NDArray[np.uint8]:
        ground = np.random.default_rng(seed).normal(110, 12, (*size, 3)).clip(0, 255)
        frame = cv2.GaussianBlur(ground.astype(np.uint8), (0, 0), 2)
        for name, x, y, side in people:
            picture = cv2.resize(
                planted.load(name).pixels, (side, side), interpolation=cv2.INTER_AREA
            )
            top, left = y - side // 2, x - side // 2
            rows = slice(max(0, top), min(size[0], top + side))
            columns = slice(max(0, left), min(size[1], left + side))
            frame[rows, columns] = picture[
                rows.start - top : rows.stop - top, columns.start - left : columns.stop - left
            ]
        return frame

    return draw
