"""The packaged networks on two photographs that trained nothing: what a user's first clip meets."""

import cv2
import numpy as np
import pytest
from face import planted

from emotion_llama.face import measure_action_units, track_faces
from emotion_llama.face.alignment import region_of_box
from emotion_llama.face.detector import CascadeDetector

PEOPLE = planted.portraits()
FACE_SHARE = 0.40
"""Side of the face box over the side of a portrait, about."""


def track(frames, detector, landmarker):
    return track_faces(frames, np.arange(len(frames)) * 0.2, detector, landmarker, 64)


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("side", [130, 160, 260, 420, 640])
def test_found_at_any_size_with_no_other(name, side, detector, scene):
    boxes = detector.detect(scene((name, 320, 240, side)))
    assert len(boxes) == 1
    middle = boxes[0].left + boxes[0].width / 2
    assert middle == pytest.approx(320, abs=0.15 * side)
    assert boxes[0].width == pytest.approx(FACE_SHARE * side, rel=0.35)
    right, left, mouth = boxes[0].keypoints
    assert right[0] < left[0]
    assert mouth[1] > right[1]


def test_several_people_of_different_size(detector, scene):
    frame = scene(("hopper", 130, 240, 240), ("collins", 420, 150, 160), ("hopper", 560, 390, 130))
    assert len(detector.detect(frame)) == 3


def test_a_large_frame_is_searched_for_small_faces(detector, scene):
    frame = scene(("collins", 1000, 300, 130), size=(720, 1280))
    assert len(detector.detect(frame)) == 1


def test_smallest_face_is_a_setting(scene):
    from emotion_llama.face import NetworkDetector

    frame = scene(("hopper", 320, 240, 200))  # a face of about 80 px
    assert NetworkDetector(min_face_px=40).detect(frame)
    assert NetworkDetector(min_face_px=120).detect(frame) == []


@pytest.mark.parametrize("level", [0, 128, 255])
def test_even_frames_have_no_face(level, detector, landmarker):
    frames = np.full((4, 240, 320, 3), level, np.uint8)
    assert detector.detect(frames[0]) == []
    assert track(frames, detector, landmarker) == ()


def test_noise_has_no_face(detector):
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    assert detector.detect(noise) == []


@pytest.mark.parametrize("size", [(1, 1), (5, 500), (33, 31)])
def test_frames_smaller_than_a_face(size, detector):
    assert detector.detect(np.zeros((*size, 3), np.uint8)) == []


def test_frame_is_not_changed(detector, landmarker, scene):
    frame = scene(("hopper", 320, 240, 300))
    before = frame.copy()
    track([frame, frame], detector, landmarker)
    assert np.array_equal(frame, before)


NAMES = {
    "right_pupil": 68,
    "left_pupil": 69,
    "mouth_right_corner": 48,
    "mouth_left_corner": 54,
    "chin": 8,
}


@pytest.mark.parametrize("name", PEOPLE)
def test_points_lie_where_a_person_marked_them(name, detector, landmarker):
    portrait = planted.load(name)
    frame = np.ascontiguousarray(portrait.pixels)
    (box,) = detector.detect(frame)
    face = landmarker.find(frame, [region_of_box(box)], passes=2)[0]
    assert face.score > 0.9
    assert (face.visible > 0.5).all()
    span = np.linalg.norm(face.points[36, :2] - face.points[45, :2])
    known = {key: number for key, number in NAMES.items() if key in portrait.points}
    assert len(known) >= 3
    for key, number in known.items():
        error = np.linalg.norm(face.points[number, :2] - portrait.points[key]) / span
        assert error < (0.2 if key == "chin" else 0.08), key


@pytest.mark.parametrize("degrees", [-25, 15, 30])
def test_roll_is_measured_and_undone(degrees, detector, landmarker, scene):
    upright = scene(("hopper", 320, 240, 420))
    turn = cv2.getRotationMatrix2D((320, 240), -degrees, 1.0)  # clockwise is positive here
    turned = cv2.warpAffine(upright, turn, (640, 480), borderMode=cv2.BORDER_REFLECT)
    before = track([upright], detector, landmarker)[0]
    after = track([turned], detector, landmarker)[0]
    assert after.pose_deg[0, 2] - before.pose_deg[0, 2] == pytest.approx(degrees, abs=4)
    difference = np.abs(after.crops[0].astype(float) - before.crops[0])[8:56, 8:56]
    assert difference.mean() < 14, "the aligned crops show the same"


def test_mirrored_face_turns_the_other_way(detector, landmarker, scene):
    frame = scene(("collins", 320, 240, 420))
    yaw = [
        track([np.ascontiguousarray(picture)], detector, landmarker)[0].pose_deg[0, 0]
        for picture in (frame, frame[:, ::-1])
    ]
    assert yaw[0] == pytest.approx(-yaw[1], abs=5)


def test_mask_over_the_mouth_is_stated(detector, landmarker, scene):
    frame = scene(("hopper", 320, 240, 420))
    bare = track([frame], detector, landmarker)[0]
    x, y = bare.points[0, 48:60, 0], bare.points[0, 27:60, 1]
    masked = frame.copy()
    low = int(bare.points[0, 8, 1]) + 8
    corners = np.array([bare.points[0, i, :2] for i in (2, 4, 6, 8, 10, 12, 14, 29)])
    cv2.fillPoly(masked, [np.rint(corners).astype(np.int32)], (200, 205, 210))
    assert x.size
    assert y.size
    assert low < 480
    covered = track([masked], detector, landmarker)
    assert len(covered) == 1
    assert bare.visible[0, 2] > 0.5 > covered[0].visible[0, 2]
    units = measure_action_units(covered[0])
    assert np.isnan(units.intensity["AU12"][0])
    assert np.isfinite(units.intensity["AU01"][0])


def test_cut_every_second_between_two_real_people(detector, landmarker, scene):
    shots = [i // 5 % 2 for i in range(20)]
    frames = [scene((("hopper", "collins")[shot], 320, 240, 360)) for shot in shots]
    tracks = track(frames, detector, landmarker)
    assert [len(one.times_s) for one in tracks] == [10, 10]
    assert {len(set(np.rint(one.times_s * 5).astype(int) // 5 % 2)) for one in tracks} == {1}


def test_two_people_side_by_side_stay_two(detector, landmarker, scene):
    frames = [scene(("hopper", 180 + i, 240, 300), ("collins", 470, 240, 300)) for i in range(6)]
    first, second = track(frames, detector, landmarker)
    assert (first.coverage, second.coverage) == (1.0, 1.0)
    assert abs(first.boxes[0, 0] - second.boxes[0, 0]) > 200


def test_cascade_boxes_lead_to_the_same_points(detector, landmarker, scene):
    frame = scene(("hopper", 320, 240, 420))
    one = track([frame], detector, landmarker)[0]
    other = track([frame], CascadeDetector(), landmarker)[0]
    assert np.abs(one.points - other.points)[0, :, :2].max() < 12
    assert "haarcascade" in other.producer


def test_same_frames_give_the_same_track(detector, landmarker, scene):
    frames = [scene(("collins", 320, 240, 300), seed=i) for i in range(3)]
    one, other = (track(frames, detector, landmarker)[0] for _ in range(2))
    assert np.array_equal(one.points, other.points)
    assert np.array_equal(one.crops, other.crops)
