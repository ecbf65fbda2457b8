import numpy as np
import pytest

from emotion_llama.face import CascadeDetector, FaceBox, track_main_face, whole_frame_track
from emotion_llama.face.tracker import overlap, prominence


class Scripted:
    """Gives the boxes of a list, one entry per frame."""

    name, version = "scripted", "1"

    def __init__(self, script):
        self.script = iter(script)

    def detect(self, frame):
        return next(self.script)


def box(left, top, side):
    return FaceBox(left, top, side, side, 1.0)


def film(num_frames):
    return np.zeros((num_frames, 200, 300, 3), np.uint8), np.arange(num_frames) / 5


def main_face(script, size=32):
    frames, times_s = film(len(script))
    return track_main_face(frames, times_s, Scripted(script), size)


def test_one_person_who_moves_slowly():
    track = main_face([[box(100 + 4 * i, 60, 60)] for i in range(6)])
    assert track.crops.shape == (6, 32, 32, 3)
    assert track.coverage == 1.0
    assert track.times_s.tolist() == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1.0])
    assert track.boxes[:, 0].tolist() == [100, 104, 108, 112, 116, 120]
    assert track.producer == "scripted 1"


def test_frames_without_the_person_give_no_crop():
    track = main_face([[box(100, 60, 60)], [], [box(102, 60, 60)], []])
    assert (track.coverage, track.times_s.tolist()) == (0.5, [0.0, 0.4])


def test_nobody():
    assert main_face([[], [], []]) is None
    assert main_face([]) is None


def test_larger_person_is_the_main_one():
    script = [[box(60, 70, 40), box(150, 50, 90)]] * 4
    assert main_face(script).boxes[0].tolist() == [150, 50, 90, 90]


def test_presence_outweighs_a_larger_face_that_is_seen_once():
    script = [[box(60, 70, 60)] for _ in range(5)]
    script[2] = [box(150, 60, 90), box(60, 70, 60)]
    assert main_face(script).boxes[0].tolist() == [60, 70, 60, 60]


def test_person_in_the_middle_of_equals_is_the_main_one():
    script = [[box(0, 0, 60), box(120, 70, 60)]] * 3
    assert main_face(script).boxes[0].tolist() == [120, 70, 60, 60]


def test_two_people_keep_their_boxes_whatever_the_order():
    left, right = box(40, 60, 80), box(180, 60, 70)
    track = main_face([[left, right], [right, left], [left, right]])
    assert (track.boxes == [40, 60, 80, 80]).all()


def test_jitter_of_one_frame_is_steadied():
    script = [[box(100, 60, 60)] for _ in range(5)]
    script[2] = [box(110, 66, 70)]
    assert (main_face(script).boxes == [100, 60, 60, 60]).all()


def test_jump_is_another_person():
    track = main_face([[box(100, 60, 60)]] * 3 + [[box(10, 10, 60)]])
    assert (track.coverage, len(track.crops)) == (0.75, 3)


def test_overlap():
    assert overlap(box(0, 0, 10), box(0, 0, 10)) == 1.0
    assert overlap(box(0, 0, 10), box(5, 0, 10)) == pytest.approx(1 / 3)
    assert overlap(box(0, 0, 10), box(10, 0, 10)) == 0.0


def test_prominence_is_size_times_presence_times_centrality():
    middle = [box(125, 75, 50)]
    assert prominence(middle, (2, 200, 300)) == pytest.approx(50 / 200 * 1 / 2)
    corner = [FaceBox(-25, -25, 50, 50, 1.0)]
    assert prominence(corner, (1, 200, 300)) == pytest.approx(50 / 200 * 0.1)


def test_whole_frames():
    frames, times_s = film(3)
    frames[:, :, :150] = 255
    track = whole_frame_track(frames, times_s, 30)
    assert track.crops.shape == (3, 30, 30, 3)
    assert track.boxes.tolist() == [[0, 0, 300, 200]] * 3
    assert (track.coverage, track.producer) == (1.0, "whole-frame 1")
    assert (track.crops[0, :, :14] == 255).all()
    assert (track.crops[0, :, 16:] == 0).all()


def test_whole_frames_of_nothing():
    with pytest.raises(ValueError, match="at least one"):
        whole_frame_track(*film(0), 30)


def test_as_many_times_as_frames():
    frames, times_s = film(3)
    with pytest.raises(ValueError, match="3 frames and 2 times"):
        whole_frame_track(frames, times_s[:2], 30)


def test_with_the_real_detector(drawn_face):
    frame, where = drawn_face(200)
    track = track_main_face(np.stack([frame] * 3), np.arange(3.0), CascadeDetector(), 64)
    assert track.coverage == 1.0
    assert overlap(FaceBox(*map(float, track.boxes[0]), score=1.0), where) > 0.5
