"""Action units of clips whose motions were planted, and of points moved by known amounts."""

import dataclasses

import numpy as np
import pytest
from face import planted

from emotion_llama.face import (
    action_units,
    align_face,
    head_pose,
    measure_action_units,
    movement_fit,
    track_faces,
    whole_frame_track,
)
from emotion_llama.face.brow_reading import read_brows as read
from emotion_llama.face.movements import MM, MOVEMENTS
from emotion_llama.face.points import MIRRORED
from emotion_llama.face.shape import population
from emotion_llama.records import FaceTrack

MISSED = {
    ("collins", "lip_corners_up"): "her smile is at 5 already",
    ("collins", "lip_corners_down"): "it takes her smile back before it is AU15",
    ("collins", "lips_sucked"): "her lips close over teeth before they roll in",
}
PLANTED = [
    pytest.param(name, motion, marks=pytest.mark.xfail(reason=why) if why else ())
    for name in planted.portraits()
    for motion in planted.MOTIONS
    for why in [MISSED.get((name, motion))]
]


@pytest.mark.parametrize(("name", "motion_name"), PLANTED)
def test_planted_motion_raises_its_units_above_unrelated_ones(
    name, motion_name, detector, landmarker
):
    motion = planted.MOTIONS[motion_name]
    frames, times_s, strengths = planted.clip(
        planted.load(name), motion_name, frames_per_second=12.5
    )
    track = track_faces(frames, times_s, detector, landmarker, 32)[0]
    table = measure_action_units(track)
    assert (table.scope, table.scale) == ("clip", "0-5")
    strength = np.interp(track.times_s, times_s, strengths)
    strong, calm = strength > 0.9, strength < 0.05
    rise = {u: v[strong].mean() - v[calm].mean() for u, v in table.intensity.items()}
    unrelated = max(rise[u] for u in rise if u not in motion.units and u not in motion.related)
    assert min(rise[unit] for unit in motion.units) > unrelated


@pytest.fixture
def still(detector, landmarker):
    frames = np.stack([planted.load("collins").pixels])
    return track_faces(frames, np.zeros(1), detector, landmarker, 112)[0]


def test_a_still_is_held_against_many_people(still):
    table = measure_action_units(still)
    assert table.scope == "population"
    assert table.intensity["AU12"][0] > 2, "the portrait smiles"


def test_brows_of_a_whole_frame_are_read_on_the_aligned_crop(landmarker, monkeypatch):
    given = []
    monkeypatch.setattr(
        action_units, "read_brows", lambda crops: given.append(crops) or read(crops)
    )
    face = planted.load("collins").pixels[60:360, 60:340]
    track = whole_frame_track(np.stack([face]), np.zeros(1), 140, landmarker)
    table = measure_action_units(track)
    assert table.scope == "population"
    wanted = align_face(face, track.points[0], 140).astype(float)
    assert np.abs(given[0][0] - wanted).mean() < 5
    assert np.abs(track.crops[0] - wanted).mean() > 15, "the whole frame is framed otherwise"


def test_what_cannot_be_measured_has_no_value(still):
    tiny = dataclasses.replace(still, points=still.points / 20)
    table = measure_action_units(tiny)
    assert not table.tracked.any()
    assert all(np.isnan(values).all() for values in table.intensity.values())


def test_track_without_points_is_refused():
    track = whole_frame_track(np.zeros((1, 50, 50, 3), np.uint8), np.zeros(1), 32)
    with pytest.raises(ValueError, match="without points"):
        measure_action_units(track)


EYES_PX = 60.0
LIPS_AND_NOSE = ("AU09", "AU10", "AU14", "AU15", "AU17", "AU20", "AU23", "AU28")


def moved(**shares):
    """The mean face, its points moved by shares of the table's movements, [70 x 3]."""
    points = population()["mean"].astype(np.float64)
    for unit, share in shares.items():
        for point, (out, up) in MOVEMENTS[unit].items():
            twin = MIRRORED[point]
            points[point] += share * MM * np.array([-out, -up, 0.0])
            if twin != point:
                points[twin] += share * MM * np.array([out, -up, 0.0])
    return points


def track_of(faces):
    """Follow a face through frames of the same light whose points are given, [t x 70 x 3]."""
    points = (EYES_PX * np.asarray(faces)).astype(np.float32)
    return FaceTrack(
        crops=np.full((len(points), 96, 96, 3), 90, np.uint8),
        times_s=np.arange(len(points)) / 25,
        boxes=np.tile(np.float32([0, 0, 100, 100]), (len(points), 1)),
        coverage=1.0,
        producer="test 1",
        scores=np.ones(len(points), np.float32),
        points=points,
        pose_deg=head_pose(points).astype(np.float32),
        visible=np.ones((len(points), 3), np.float32),
    )


def measured(*faces):
    """Measure a clip of 12 frames of each face in turn: unit -> grade and confidence of each."""
    table = measure_action_units(track_of(np.repeat(np.stack(faces), 12, axis=0)))
    assert table.scope == "clip"
    return [
        {unit: (table.intensity[unit][row], table.confidence[unit][row]) for unit in table.units}
        for row in range(0, 12 * len(faces), 12)
    ]


def grades(face):
    return {unit: grade for unit, (grade, _) in face.items()}


HIGH = {"AU01": 0.9, "AU02": 0.9, "AU05": 0.8}


def test_brows_that_stand_high_all_through_a_clip_are_the_persons_own():
    still, smiling = map(grades, measured(moved(**HIGH), moved(**HIGH, AU12=0.8)))
    assert max(still[unit] for unit in HIGH) < 0.5
    assert max(smiling[unit] for unit in HIGH) < 0.5
    assert smiling["AU12"] > 3


def test_low_brows_all_through_a_clip_are_the_persons_own_too():
    assert grades(measured(moved(AU04=0.9), moved(AU04=0.9, AU12=0.8))[0])["AU04"] < 0.5


def test_high_brows_that_rise_further_are_raised():
    calm, raised = map(grades, measured(moved(AU01=0.5, AU02=0.5), moved(AU01=1.0, AU02=1.0)))
    assert min(raised["AU01"], raised["AU02"]) > 2
    assert max(calm["AU01"], calm["AU02"]) < 0.5


@pytest.mark.parametrize("share", [1.0, 1.5, 2.0])
@pytest.mark.parametrize("smile", [0.0, 0.8])
def test_a_wide_open_mouth_leaves_lips_and_nose_unmeasured(share, smile):
    calm, wide = measured(moved(), moved(AU26=share, AU25=share, AU12=smile))
    for unit in LIPS_AND_NOSE:
        assert np.isnan(wide[unit][0]) and wide[unit][1] == 0, unit
        assert not np.isnan(calm[unit][0]) and calm[unit][1] > 0, unit
    for unit in set(wide) - set(LIPS_AND_NOSE):
        assert not np.isnan(wide[unit][0]) and wide[unit][1] == calm[unit][1] > 0, unit
    assert wide["AU26"][0] == 5 and wide["AU27"][0] > 1
    assert (wide["AU12"][0] > 1) == (smile > 0)


def test_a_half_open_mouth_leaves_lips_and_nose_less_sure():
    shares = [0.0, 0.2, 0.3, 0.4]
    closed, ajar, *half = measured(*(moved(AU26=share, AU25=share) for share in shares))
    for unit in LIPS_AND_NOSE:
        assert ajar[unit][1] == closed[unit][1], f"{unit}: below a drop of .3 nothing changes"
        sure = [closed[unit][1], *(face[unit][1] for face in half)]
        assert sure[0] > sure[1] > sure[2] > 0, unit
        assert not any(np.isnan(face[unit][0]) for face in half), unit
    assert all(face["AU12"][1] == closed["AU12"][1] for face in half)


def test_lips_of_an_open_mouth_move_further_before_they_count():
    drop = {"AU26": 0.3, "AU25": 0.3}
    calm, closed, jaw, both = map(
        grades, measured(moved(), moved(AU20=0.4), moved(**drop), moved(**drop, AU20=0.4))
    )
    assert closed["AU20"] - calm["AU20"] > 2
    assert 1 < both["AU20"] - jaw["AU20"] < 0.85 * (closed["AU20"] - calm["AU20"])


def test_a_still_of_a_wide_open_mouth_leaves_lips_and_nose_unmeasured_too():
    table = measure_action_units(track_of([moved(AU26=1.5, AU25=1.5)]))
    assert table.scope == "population"
    assert all(np.isnan(table.intensity[unit][0]) for unit in LIPS_AND_NOSE)
    assert all(table.confidence[unit][0] == 0 for unit in LIPS_AND_NOSE)
    assert table.confidence["AU12"][0] > 0


def test_a_long_film_is_fitted_part_by_part_with_the_same_result(monkeypatch, landmarker, detector):
    frames, times_s, _ = planted.clip(planted.load("barkla"), "brows_up", frames_per_second=12.5)
    track = track_faces(frames, times_s, detector, landmarker, 32)[0]
    whole = measure_action_units(track)
    monkeypatch.setattr(movement_fit, "FRAMES_AT_ONCE", 7)
    parts = measure_action_units(track)
    for unit, grades in whole.intensity.items():
        assert parts.intensity[unit] == pytest.approx(grades, abs=5e-3, nan_ok=True), unit
