import numpy as np
import pytest

from emotion_llama.face import FaceBox, crop_face


def test_box_inside_the_frame_is_cut_exactly():
    frame = np.random.default_rng(0).integers(0, 255, (50, 60, 3), dtype=np.uint8)
    crop = crop_face(frame, FaceBox(10, 20, 16, 16, 1), 16)
    assert np.array_equal(crop, frame[20:36, 10:26])


def test_shrinking_averages_over_area():
    frame = np.zeros((4, 4, 3), np.uint8)
    frame[:, ::2] = 200
    assert (crop_face(frame, FaceBox(0, 0, 4, 4, 1), 2) == 100).all()


def test_outside_the_frame_its_edge_is_repeated():
    frame = np.zeros((20, 20, 3), np.uint8)
    frame[:, 0] = (255, 0, 0)
    crop = crop_face(frame, FaceBox(-10, 0, 20, 20, 1), 20)
    assert (crop[:, :11] == (255, 0, 0)).all()
    assert (crop[:, 11:] == 0).all()


def test_longer_side_makes_the_square_and_the_centre_stays():
    frame = np.zeros((40, 40, 3), np.uint8)
    frame[18:22, 18:22] = 255
    crop = crop_face(frame, FaceBox(15, 10, 10, 20, 1), 20)
    assert crop.shape == (20, 20, 3)
    assert np.argwhere(crop[..., 0] == 255).mean(axis=0) == pytest.approx([9.5, 9.5])


def test_small_face_is_enlarged_smoothly():
    frame = np.zeros((8, 8, 3), np.uint8)
    frame[:, 4:] = 200
    crop = crop_face(frame, FaceBox(0, 0, 8, 8, 1), 64)
    assert len(np.unique(crop)) > 4


@pytest.mark.parametrize(("width", "size"), [(0, 9), (-4, 9), (float("nan"), 9), (9, 0)])
def test_empty_box_or_crop(width, size):
    with pytest.raises(ValueError, match="expected sides above 0"):
        crop_face(np.zeros((9, 9, 3), np.uint8), FaceBox(0, 0, width, 5, 1), size)
