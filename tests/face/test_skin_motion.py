"""Following skin from view to view: known shifts come back, what is lost is said to be lost."""

import dataclasses

import numpy as np
import pytest
from face import planted

from emotion_llama.face import measure_action_units, track_faces
from emotion_llama.face.points import JAW, MIRRORED
from emotion_llama.face.skin_motion import VIEW_PX, follow_points, view_of

LIP_CORNER, NOSE_TIP = 48, 30


@pytest.fixture(scope="module")
def face(landmarker, detector):
    """A portrait in grey [400 x 400] and its points [70 x 3]."""
    portrait = planted.load("barkla")
    track = track_faces(portrait.pixels[None], np.zeros(1), detector, landmarker, 32)[0]
    return np.ascontiguousarray(portrait.pixels[..., 0]), track.points[0]


def views_of(pictures, points):
    return np.stack([view_of(one, points) for one in pictures])


@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, 0), (0, -3), (-2, 3)])
def test_skin_that_moves_under_still_points_is_followed(face, right, down):
    grey, points = face
    views = views_of([grey, np.roll(grey, (down, right), axis=(0, 1))], points)
    followed = follow_points(views, np.stack([points, points]), reference=0)
    moved = (followed.points[1] - points)[followed.is_certain[1].all(axis=1)]
    assert followed.is_certain[1].mean() > 0.6
    assert np.median(moved[:, 0]) == pytest.approx(right, abs=0.1)
    assert np.median(moved[:, 1]) == pytest.approx(down, abs=0.1)
    assert np.abs(moved[:, 2]).max() == 0, "depth is the network's"


def test_the_reference_is_found_where_it_is(face):
    grey, points = face
    followed = follow_points(views_of([grey] * 2, points), np.stack([points] * 2), reference=1)
    assert followed.is_certain[:, max(JAW) + 1 :].all(), "views end at the jaw"
    assert followed.points == pytest.approx(np.stack([points] * 2), abs=0.01)


def test_covered_skin_is_lost_on_both_sides_and_keeps_the_networks_place(face):
    grey, points = face
    covered = grey.copy()
    x, y = points[LIP_CORNER, :2].astype(int)
    covered[y - 25 : y + 25, x - 25 : x + 25] = np.random.default_rng(0).integers(0, 255, (50, 50))
    followed = follow_points(views_of([grey, covered], points), np.stack([points] * 2), 0)
    assert not followed.is_certain[1, LIP_CORNER].any()
    assert not followed.is_certain[1, MIRRORED[LIP_CORNER]].any()
    assert followed.is_certain[1, NOSE_TIP].all()
    assert followed.points[1, LIP_CORNER] == pytest.approx(points[LIP_CORNER])


def test_pictures_without_texture_leave_every_place_uncertain(face):
    _, points = face
    flat = np.full((3, VIEW_PX, VIEW_PX), 120, np.uint8)
    followed = follow_points(flat, np.stack([points] * 3), reference=1)
    assert not followed.is_certain.any()
    assert np.isfinite(followed.points).all()


def test_a_small_motion_that_the_network_hardly_sees_is_measured(detector, landmarker):
    """A third of stretched lips: 2 mm at the corners, which the points follow by a third."""
    frames, times_s, strengths = planted.clip(
        planted.load("barkla"), "lips_stretched", frames_per_second=12.5, strength=0.35
    )
    track = track_faces(frames, times_s, detector, landmarker, 32)[0]
    shown = np.interp(track.times_s, times_s, strengths) > 0.3
    grades = [
        measure_action_units(one).intensity["AU20"][shown].mean()
        for one in (track, dataclasses.replace(track, views=None))
    ]
    assert grades[0] > 0.5 > grades[1]
