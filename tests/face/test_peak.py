"""The moment of the strongest expression."""

import numpy as np

from emotion_llama.face import peak_crop
from emotion_llama.records import FaceTrack


def track(crops: np.ndarray) -> FaceTrack:
    count = len(crops)
    return FaceTrack(crops, np.arange(count) / 5, np.zeros((count, 4), np.float32), 1.0, "test")


def test_the_crop_that_differs_most_is_the_peak() -> None:
    crops = np.full((7, 48, 48, 3), 120, np.uint8)
    crops[:, 10:14, 10:38] = 40
    crops[4, 30:40, 12:36] = 240
    assert peak_crop(track(crops)) == 4


def test_a_change_of_light_is_no_expression() -> None:
    crops = np.full((5, 48, 48, 3), 80, np.uint8)
    crops[:, 10:14, 10:38] = 40
    crops[1] += 60
    crops[3, 30:34, 20:30] = 120
    assert peak_crop(track(crops)) == 3


def test_a_single_crop_is_its_own_peak() -> None:
    assert peak_crop(track(np.zeros((1, 48, 48, 3), np.uint8))) == 0
