from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from emotion_llama.face import FaceBox, FaceTracker, track_faces, whole_frame_track
from emotion_llama.face.alignment import box_of_points
from emotion_llama.face.detector import overlap
from emotion_llama.face.landmarks import FacePoints
from emotion_llama.face.shape import population
from emotion_llama.face.tracker import prominence

HEIGHT, WIDTH = 240, 360
STEP_S = 0.2


@dataclass(frozen=True)
class Person:
    """Somebody whose face is a texture that nobody else has."""

    number: int
    is_twin: bool = False
    """somebody else with the same texture"""

    def texture(self, side):
        noise = np.random.default_rng(self.number).integers(0, 255, (6, 6, 3), dtype=np.uint8)
        return cv2.resize(noise, (side, side), interpolation=cv2.INTER_CUBIC)


def points_in(x, y, side):
    """Give the mean face in a box with middle x, y."""
    mean = population()["mean"].astype(np.float64)
    box = box_of_points(mean)
    scale = side / box.width
    points = mean * scale
    points[:, 0] += x - (box.left + box.width / 2) * scale
    points[:, 1] += y - (box.top + box.height / 2) * scale
    return points.astype(np.float32)


class World:
    """Frames with people at known places, and a detector and a landmarker that know them."""

    name, version = "world", "1"

    def __init__(self, frames, ground=None):
        """Take, for each frame, {person: (x, y, side)}; and the brightness of each ground."""
        self.places = frames
        self.ground = ground or [90] * len(frames)
        self.now = -1
        self.searches = 0
        self.score = 1.0

    def __iter__(self):
        for now, places in enumerate(self.places):
            self.now = now
            frame = np.full((HEIGHT, WIDTH, 3), self.ground[self.now], np.uint8)
            for person, (x, y, side) in places.items():
                half = side // 2
                frame[y - half : y + half, x - half : x + half] = person.texture(2 * half)
            yield frame

    def detect(self, frame):
        self.searches += 1
        boxes = [box_of_points(points_in(*p)) for p in self.places[self.now].values()]
        return boxes if self.now % 2 else boxes[::-1]

    def find(self, frame, regions, *, passes=1):
        return [self._look(region) for region in regions]

    def _look(self, region):
        for x, y, side in self.places[self.now].values():
            if np.hypot(x - region.centre[0], y - region.centre[1]) < 0.45 * region.side:
                return FacePoints(points_in(x, y, side), self.score, np.ones(3, np.float32))
        nothing = points_in(*region.centre, region.side / 1.3)
        return FacePoints(nothing, 0.0, np.ones(3, np.float32))

    def tracks(self, size=32):
        times_s = np.arange(len(self.places)) * STEP_S
        return track_faces(self, times_s, self, self, size)


ANN, BOB = Person(1), Person(2)


def test_one_person_who_moves():
    world = World([{ANN: (100 + 6 * i, 120, 60)} for i in range(10)])
    (track,) = world.tracks()
    assert track.crops.shape == (10, 32, 32, 3)
    assert (track.coverage, track.person, len(track.missing_s)) == (1.0, 1, 0)
    assert track.times_s.tolist() == pytest.approx([STEP_S * i for i in range(10)])
    middles = track.boxes[:, 0] + track.boxes[:, 2] / 2
    assert middles == pytest.approx([100 + 6 * i for i in range(10)], abs=0.5)
    assert track.producer == "world 1, world 1"
    assert track.points.shape == (10, 70, 3)
    assert np.abs(track.pose_deg).max() < 1.0


def test_later_frames_need_no_search_of_the_frame():
    world = World([{ANN: (100, 120, 60)}] * 20)
    world.tracks()
    # 20 frames are 4 s: the first frame, and then once a second
    assert world.searches == 4


def test_frames_without_the_person_are_named():
    here, gone = {ANN: (100, 120, 60)}, {}
    (track,) = World([here, gone, here, here, gone]).tracks()
    assert track.coverage == 0.6
    assert track.missing_s.tolist() == pytest.approx([STEP_S, 4 * STEP_S])
    assert track.times_s.tolist() == pytest.approx([0, 2 * STEP_S, 3 * STEP_S])


def test_nobody():
    assert World([{}, {}]).tracks() == ()
    assert World([]).tracks() == ()


def test_who_does_not_look_like_a_face_is_nobody():
    world = World([{ANN: (100, 120, 60)}] * 3)
    world.score = 0.4
    assert world.tracks() == ()


def test_larger_person_is_the_main_one():
    first, second = World([{ANN: (90, 120, 40), BOB: (250, 120, 90)}] * 4).tracks()
    assert (first.person, second.person) == (1, 2)
    assert first.boxes[0, 2] == pytest.approx(90, abs=1)
    assert first.prominence > second.prominence


def test_presence_outweighs_a_larger_face_that_is_seen_once():
    frames = [{ANN: (120, 120, 60)} for _ in range(10)]
    frames[5] = {ANN: (120, 120, 60), BOB: (260, 120, 90)}
    assert World(frames).tracks()[0].boxes[0, 2] == pytest.approx(60, abs=1)


def test_person_in_the_middle_of_equals_is_the_main_one():
    tracks = World([{ANN: (40, 40, 60), BOB: (180, 120, 60)}] * 3).tracks()
    assert tracks[0].boxes[0, 0] > 100


def test_two_people_keep_their_places_whatever_the_order():
    first, second = World([{ANN: (80, 120, 80), BOB: (250, 120, 70)}] * 12).tracks()
    assert np.ptp(first.boxes[:, 0]) < 1
    assert np.ptp(second.boxes[:, 0]) < 1


def test_newcomer_is_found_within_a_second():
    alone, both = {ANN: (80, 120, 80)}, {ANN: (80, 120, 80), BOB: (250, 120, 70)}
    _, second = World([alone] * 3 + [both] * 7).tracks()
    assert second.times_s[0] <= 3 * STEP_S + 1.0


def test_who_comes_back_elsewhere_is_the_same_person():
    frames = [{ANN: (80, 120, 80)}] * 4 + [{}] * 4 + [{ANN: (260, 110, 64)}] * 4
    (track,) = World(frames).tracks()
    assert track.coverage == pytest.approx(8 / 12)


def test_cut_to_another_ground_and_place():
    shots = [i // 5 % 2 for i in range(20)]
    frames = [{BOB: (250, 120, 70)} if shot else {ANN: (100, 120, 90)} for shot in shots]
    tracks = World(frames, [200 if shot else 60 for shot in shots]).tracks()
    assert [len(track.times_s) for track in tracks] == [10, 10]


def test_stretches_of_one_person_are_joined_in_order_of_time():
    across = [80] * 4 + [260] * 4 + [80] * 4
    (track,) = World([{ANN: (x, 120, 80)} for x in across]).tracks()
    assert track.times_s.tolist() == pytest.approx([STEP_S * i for i in range(12)])
    middles = track.boxes[:, 0] + track.boxes[:, 2] / 2
    assert middles == pytest.approx(across, abs=0.5)
    assert track.points[:, :, 0].mean(axis=1) == pytest.approx(across, abs=5)
    assert track.crops.shape[0] == len(track.scores) == 12


def test_people_of_one_frame_are_two_however_alike():
    twin = Person(ANN.number, is_twin=True)
    places = [{ANN: (90, 120, 80)}, {ANN: (90, 120, 80), twin: (260, 120, 70)}]
    frames = [places[i // 5 % 2] for i in range(20)]
    tracks = World(frames, [60 if i // 5 % 2 else 200 for i in range(20)]).tracks()
    assert [len(track.times_s) for track in tracks] == [20, 10]


@pytest.mark.parametrize(("later_ground", "num_people"), [(90, 1), (102, 2)])
def test_other_looks_are_somebody_else_only_when_the_picture_changed(
    monkeypatch, later_ground, num_people
):
    looks = np.eye(160, dtype=np.float32)
    turned = 0.6 * looks[0] + 0.8 * looks[1]
    world = World([{ANN: (100, 120, 60)}] * 8, [90] * 4 + [later_ground] * 4)
    monkeypatch.setattr(
        "emotion_llama.face.tracker.describe", lambda *_: looks[0] if world.now < 4 else turned
    )
    assert len(world.tracks()) == num_people


def test_a_first_frame_after_a_cut_does_not_decide_who_it_is(monkeypatch):
    ann, other = np.eye(160, dtype=np.float32)[:2]
    bob = np.float32(0.3) * ann + np.float32(np.sqrt(0.91)) * other
    between = (ann + bob) / np.linalg.norm(ann + bob)
    looks = [ann] * 5 + [between] + [bob] * 4
    world = World([{ANN: (100, 120, 60)}] * 10, [60] * 5 + [200] * 5)
    monkeypatch.setattr("emotion_llama.face.tracker.describe", lambda *_: looks[world.now])
    assert sorted(track.times_s[0] for track in world.tracks()) == pytest.approx([0, 5 * STEP_S])


def test_portraits_who_take_turns_in_one_place_are_kept_apart(detector, landmarker, scene):
    names = ["hopper", "collins"]
    owners = np.arange(20) // 5 % 2
    frames = [
        cv2.convertScaleAbs(
            scene((names[owner], 320 + i, 240, 300), seed=i), alpha=0.8 + 0.02 * i, beta=4
        )
        for i, owner in enumerate(owners)
    ]
    tracks = track_faces(frames, np.arange(20) * STEP_S, detector, landmarker, 32)
    rows = [np.rint(track.times_s / STEP_S).astype(int) for track in tracks]
    assert sorted(owners[own].tolist() for own in rows) == [[0] * 10, [1] * 10]


def test_tracks_of_two_people_do_not_merge_when_one_walks_past_the_other():
    frames = [{ANN: (60 + 24 * i, 120, 60), BOB: (180, 120, 80)} for i in range(3)]
    frames += [{ANN: (60 + 24 * i, 50, 60), BOB: (180, 160, 80)} for i in range(3, 10)]
    tracks = World(frames).tracks()
    for track in tracks[:2]:
        assert np.ptp(track.boxes[:, 2]) < 2, "one track has the size of one person"


def test_other_frames_are_refused():
    world = World([{}])
    tracker = FaceTracker(world, world, 32)
    with pytest.raises(ValueError, match="expected uint8 RGB"):
        tracker.update(np.zeros((9, 9), np.uint8), 0.0)


def test_as_many_times_as_frames():
    world = World([{}] * 3)
    with pytest.raises(ValueError, match="zip"):
        track_faces(world, [0.0, 0.2], world, world, 32)


def test_numbers_of_frames_and_times_are_named():
    world = World([{}])
    with pytest.raises(ValueError, match="3 frames and 2 times"):
        track_faces(np.zeros((3, 9, 9, 3), np.uint8), [0.0, 0.2], world, world, 32)


def test_overlap():
    def box(left, top, side):
        return FaceBox(left, top, side, side, 1.0)

    assert overlap(box(0, 0, 10), box(0, 0, 10)) == 1.0
    assert overlap(box(0, 0, 10), box(5, 0, 10)) == pytest.approx(1 / 3)
    assert overlap(box(0, 0, 10), box(10, 0, 10)) == 0.0


def test_prominence_is_size_times_presence_times_centrality():
    middle = [FaceBox(125, 75, 50, 50, 1.0)]
    assert prominence(middle, (2, 200, 300)) == pytest.approx(50 / 200 * 1 / 2)
    corner = [FaceBox(-25, -25, 50, 50, 1.0)]
    assert prominence(corner, (1, 200, 300)) == pytest.approx(50 / 200 * 0.1)


def test_whole_frames():
    frames = np.zeros((3, 200, 300, 3), np.uint8)
    frames[:, :, :150] = 255
    track = whole_frame_track(frames, np.arange(3) / 5, 30)
    assert track.crops.shape == (3, 30, 30, 3)
    assert track.boxes.tolist() == [[0, 0, 300, 200]] * 3
    assert (track.coverage, track.producer) == (1.0, "whole-frame 1")
    assert track.points is None
    assert (track.crops[0, :, :14] == 255).all()
    assert (track.crops[0, :, 16:] == 0).all()


def test_whole_frames_with_points(landmarker, scene):
    frames = np.stack([scene(("hopper", 160, 160, 320), size=(320, 320))] * 2)
    track = whole_frame_track(frames, np.arange(2.0), 48, landmarker)
    assert track.points.shape == (2, 70, 3)
    assert track.scores.min() > 0.9
    assert "face-points" in track.producer


def test_whole_frames_of_nothing():
    with pytest.raises(ValueError, match="at least one"):
        whole_frame_track(np.zeros((0, 9, 9, 3), np.uint8), np.zeros(0), 30)
    with pytest.raises(ValueError, match="3 frames and 2 times"):
        whole_frame_track(np.zeros((3, 9, 9, 3), np.uint8), np.zeros(2), 30)
