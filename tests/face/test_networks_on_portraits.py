"""The packaged networks on two photographs that trained nothing: what a user's first clip meets."""

import cv2
import numpy as np
import pytest
import torch
from face import planted

from emotion_llama.face import (
    FaceLandmarker,
    NetworkDetector,
    measure_action_units,
    track_faces,
    whole_frame_track,
)
from emotion_llama.face.alignment import region_of_box
from emotion_llama.face.detector import CascadeDetector
from emotion_llama.face.movements import REGION_OF_UNIT

PEOPLE = planted.portraits()
FACE_SHARE = {"barkla": 0.55, "collins": 0.40, "hopper": 0.40}
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
    assert boxes[0].width == pytest.approx(FACE_SHARE[name] * side, rel=0.35)
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
    frame = scene(("hopper", 320, 240, 200))  # a face of about 80 px
    assert NetworkDetector(min_face_px=40).detect(frame)
    assert NetworkDetector(min_face_px=120).detect(frame) == []


def test_a_box_a_bit_smaller_than_the_smallest_face_is_given(detector, scene):
    frame = scene(("hopper", 320, 240, 200))
    (box,) = detector.detect(frame)
    larger = [NetworkDetector(min_face_px=round(box.width / share)) for share in (0.95, 0.85)]
    assert [len(one.detect(frame)) for one in larger] == [1, 0]


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


MASK = (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 29)
"""Points around what a mask hides: along the jaw from cheek to cheek, and the nose."""


@pytest.mark.parametrize("colour", [(200, 205, 210), (70, 110, 160), (25, 25, 25)])
@pytest.mark.parametrize("name", PEOPLE)
def test_mask_over_the_mouth_is_stated(name, colour, detector, landmarker, scene):
    frame = scene((name, 320, 240, 420))
    (bare,) = track([frame], detector, landmarker)
    masked = frame.copy()
    outline = np.rint(bare.points[0, MASK, :2]).astype(np.int32)
    cv2.fillPoly(masked, [outline], colour)
    (covered,) = track([masked], detector, landmarker)
    assert bare.visible[0, 2] > 0.5 > covered.visible[0, 2]
    before, after = measure_action_units(bare).intensity, measure_action_units(covered).intensity
    of_mouth = [unit for unit, part in REGION_OF_UNIT.items() if part == "mouth"]
    assert len(of_mouth) > 5
    assert all(np.isfinite(before[unit][0]) and np.isnan(after[unit][0]) for unit in of_mouth)
    assert np.isfinite(after["AU01"][0]), "brows are still seen"


def squeezed(frame, share):
    """Narrow a frame [h x w x 3] to a share of its width about its middle."""
    width = frame.shape[1]
    matrix = np.array([[share, 0, width / 2 * (1 - share)], [0, 1, 0]])
    ground = (110, 110, 110)
    return cv2.warpAffine(
        frame, matrix, frame.shape[1::-1], flags=cv2.INTER_AREA, borderValue=ground
    )


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("side", [200, 300, 420])
def test_a_face_as_narrow_as_in_profile_is_doubted(name, side, landmarker, scene):
    doubting = NetworkDetector(lowest_score=0.001)
    wide = scene((name, 320, 240, side))
    narrow = squeezed(wide, 0.35)
    scores = [max(box.score for box in doubting.detect(one)) for one in (wide, narrow)]
    assert scores[1] < 0.6 * scores[0]
    of_frame = [
        whole_frame_track(squeezed(planted.load(name).pixels, share)[None], [0.0], 64, landmarker)
        for share in (1.0, 0.35)
    ]
    assert of_frame[1].scores[0] < 0.5 < of_frame[0].scores[0]
    assert np.isnan(measure_action_units(of_frame[1]).intensity["AU12"]).all()
    for one in track([narrow, wide, narrow], doubting, landmarker):
        assert np.isfinite(one.points).all()
        measure_action_units(one)


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


def test_the_number_of_threads_changes_nothing(detector, landmarker, scene):
    frames = [scene(("collins", 300 + 3 * k, 240, 260)) for k in range(8)]
    before = torch.get_num_threads()
    found = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            found.append(track(frames, detector, landmarker)[0])
            assert torch.get_num_threads() == count, "others keep their threads"
    finally:
        torch.set_num_threads(before)
    assert np.array_equal(found[0].points, found[1].points)
    assert np.array_equal(found[0].crops, found[1].crops)


def test_a_picture_that_a_face_fills_is_aligned_only_where_it_is_asked_for() -> None:
    upright = planted.load("collins").pixels
    height, width = upright.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 12, 1.0)
    frames = cv2.warpAffine(upright, turn, (width, height))[None]
    times, landmarker = np.zeros(1), FaceLandmarker()
    plain = whole_frame_track(frames, times, 96, landmarker)
    aligned = whole_frame_track(frames, times, 96, landmarker, align=True)
    assert plain.points is not None and aligned.points is not None
    assert not plain.is_aligned and aligned.is_aligned
    np.testing.assert_array_equal(plain.crops, whole_frame_track(frames, times, 96).crops)
    assert np.abs(plain.crops.astype(int) - aligned.crops.astype(int)).mean() > 5
