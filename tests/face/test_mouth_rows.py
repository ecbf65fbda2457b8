"""Rows of a mouth matched with gaps: what moved, what is gone, what cannot be told."""

import numpy as np
import pytest
from face import planted

from emotion_llama.face import track_faces
from emotion_llama.face.alignment import aligned_region, mapped
from emotion_llama.face.mouth_rows import LIP_OUTLINE, match_rows, outline_heights
from emotion_llama.face.skin_motion import VIEW_EYE_HEIGHT, VIEW_PX


@pytest.fixture
def strip():
    """Twenty rows of nine pixels, no two alike [20 x 9]."""
    return np.random.default_rng(0).normal(size=(20, 9)).astype(np.float32)


def test_the_same_rows_are_found_where_they_are(strip):
    places, is_there = match_rows(strip, strip[None])
    assert places[0].tolist() == list(range(20))
    assert is_there.all()


@pytest.mark.parametrize("shift", [1, 4])
def test_rows_that_moved_down_are_found_there(strip, shift):
    above = np.random.default_rng(1).normal(size=(shift, 9)).astype(np.float32)
    places, is_there = match_rows(strip, np.concatenate([above, strip])[None])
    assert places[0].tolist() == list(range(shift, 20 + shift))
    assert is_there.all()


def test_rows_that_are_gone_lie_where_their_neighbours_meet(strip):
    places, is_there = match_rows(strip, np.delete(strip, [8, 9, 10], axis=0)[None])
    assert places[0, :8].tolist() == list(range(8))
    assert places[0, 11:].tolist() == list(range(8, 17))
    assert places[0, 8:11].tolist() == [7.5] * 3
    assert np.flatnonzero(~is_there[0]).tolist() == [8, 9, 10]


def test_rows_that_appear_push_the_others_apart(strip):
    teeth = np.full((5, 9), 3.0, np.float32)
    places, is_there = match_rows(strip, np.concatenate([strip[:10], teeth, strip[10:]])[None])
    assert places[0].tolist() == [*range(10), *range(15, 25)]
    assert is_there.all()


def test_strips_are_matched_one_by_one(strip):
    longer = np.concatenate([strip, strip[:3]])
    moved = np.concatenate([strip[:2], longer[:-2]])
    together, _ = match_rows(strip, np.stack([longer, moved]))
    for row, one in enumerate((longer, moved)):
        assert match_rows(strip, one[None])[0][0].tolist() == together[row].tolist()


def test_a_strip_of_something_else_has_none_of_the_rows(strip):
    other = 3.0 * np.random.default_rng(2).normal(size=(1, 24, 9)).astype(np.float32)
    _, is_there = match_rows(strip, other)
    assert not is_there.any()


@pytest.fixture(scope="module")
def film(detector, landmarker):
    """Views of lips that roll in [t x s x s], their points [t x 70 x 2], the true strength [t]."""
    frames, times_s, strengths = planted.clip(
        planted.load("hopper"), "lips_sucked", frames_per_second=12.5
    )
    track = track_faces(frames, times_s, detector, landmarker, 32)[0]
    maps = [aligned_region(face, VIEW_EYE_HEIGHT).matrix(VIEW_PX) for face in track.points]
    seen = np.stack([mapped(m, p[:, :2]) for m, p in zip(maps, track.points, strict=True)])
    return track.views, seen, np.interp(track.times_s, times_s, strengths)


def test_both_edges_of_lips_that_roll_in_come_together(film):
    views, seen, strengths = film
    heights, is_known = outline_heights(views, seen, seen[:, 33, 1], int(strengths.argmin()))
    assert is_known.mean() > 0.9
    upper, lower = LIP_OUTLINE.index(51), LIP_OUTLINE.index(57)
    between = heights[:, lower] - heights[:, upper]
    shown, at_rest = strengths > 0.9, strengths < 0.05
    assert between[shown].mean() < 0.5 * between[at_rest].mean()
    network = seen[:, 57, 1] - seen[:, 51, 1]
    assert network[shown].mean() > 0.7 * network[at_rest].mean(), "the points hardly see it"


@pytest.mark.parametrize("change", ["covered", "opened", "out of view", "from the side"])
def test_a_mouth_that_cannot_be_compared_is_not_known(film, change):
    views, seen, strengths = film
    calm = int(strengths.argmin())
    views, seen = views[[calm, calm]].copy(), seen[[calm, calm]].copy()
    if change == "covered":
        rows = slice(int(seen[1, 33, 1]) + 1, None)
        views[1, rows] = np.random.default_rng(0).integers(0, 255, views[1, rows].shape)
    elif change == "opened":
        seen[1, [65, 66, 67], 1] += 5
    elif change == "out of view":
        seen[1, 57, 1] = views.shape[1]
    else:
        seen[:, [36, 45], 0] = views.shape[1] / 2 + np.array([-5, 5])
    _, is_known = outline_heights(views, seen, seen[:, 33, 1], 0)
    assert is_known.tolist() == [change != "from the side", False]
