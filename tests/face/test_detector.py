import cv2
import numpy as np
import pytest
from PIL import Image

from emotion_llama.face import CascadeDetector
from emotion_llama.face.detector import FaceBox
from emotion_llama.face.tracker import overlap


@pytest.fixture(scope="module")
def detector():
    return CascadeDetector()


def test_finds_a_drawn_face_where_it_is(detector, drawn_face):
    frame, box = drawn_face(200)
    found = detector.detect(frame)
    assert len(found) == 1
    assert overlap(found[0], box) > 0.5
    assert found[0].score > 0


def test_box_is_in_pixels_of_a_large_frame(detector, drawn_face):
    frame, box = drawn_face(200)
    frame = np.array(Image.fromarray(frame).resize((frame.shape[1] * 4, frame.shape[0] * 4)))
    found = detector.detect(frame)
    large = FaceBox(*(4 * side for side in (box.left, box.top, box.width, box.height)), score=1)
    assert overlap(found[0], large) > 0.5


def test_no_face_in_noise_or_a_blank_frame(detector):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    assert detector.detect(noise) == []
    assert detector.detect(np.full((240, 320, 3), 128, np.uint8)) == []


def test_small_face_is_left_out(drawn_face):
    frame, _ = drawn_face(60)
    assert CascadeDetector(min_face_px=40).detect(frame)
    assert CascadeDetector(min_face_px=120).detect(frame) == []


def test_frame_smaller_than_any_face(detector):
    assert detector.detect(np.zeros((5, 500, 3), np.uint8)) == []


def test_frame_is_not_changed(detector, drawn_face):
    frame, _ = drawn_face(200)
    before = frame.copy()
    detector.detect(frame)
    assert np.array_equal(frame, before)


@pytest.mark.parametrize(
    "frame", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)]
)
def test_other_arrays_are_refused(detector, frame):
    with pytest.raises(ValueError, match="expected uint8 RGB"):
        detector.detect(frame)


def test_opencv_without_cascades(monkeypatch):
    monkeypatch.setattr(cv2.data, "haarcascades", "/nowhere")
    with pytest.raises(ValueError, match="install opencv-python-headless 4.x"):
        CascadeDetector()


def test_says_what_it_is(detector):
    assert detector.name == "opencv-haarcascade_frontalface_alt2"
    assert detector.version == cv2.__version__
