"""Action units of clips whose motions were planted, and the peak frame of tables."""

import dataclasses

import numpy as np
import pytest
from face import planted

from emotion_llama.face import (
    action_units,
    align_face,
    measure_action_units,
    peak_frame,
    track_faces,
    whole_frame_track,
)
from emotion_llama.face.brow_reading import read_brows as read
from emotion_llama.records import ActionUnitTable

PLANTED = [
    ("collins", "brows_up"),
    ("collins", "inner_brows_up"),
    ("collins", "outer_brows_up"),
    ("collins", "brows_down"),
    ("collins", "lids_closed"),
    ("collins", "lips_stretched"),
    ("collins", "jaw_open"),
    ("hopper", "brows_down"),
    ("hopper", "lids_closed"),
    ("hopper", "lip_corners_up"),
    ("hopper", "lips_parted"),
    ("hopper", "chin_up"),
    ("hopper", "jaw_open"),
    pytest.param(
        "collins", "lip_corners_up", marks=pytest.mark.xfail(reason="her smile is at 5 already")
    ),
    pytest.param(
        "collins", "lip_corners_down", marks=pytest.mark.xfail(reason="a smile hides AU15")
    ),
    pytest.param(
        "hopper", "lip_corners_down", marks=pytest.mark.xfail(reason="her AU15 is lost in noise")
    ),
    pytest.param("hopper", "brows_up", marks=pytest.mark.xfail(reason="glasses hide the brows")),
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


def table(**units):
    size = len(next(iter(units.values())))
    values = {name: np.array(value, np.float32) for name, value in units.items()}
    return ActionUnitTable(
        times_s=np.arange(size) / 10,
        frames=np.arange(size),
        intensity=values,
        presence={},
        confidence={name: np.ones(size, np.float32) for name in units},
        tracked=np.ones(size, bool),
        scale="0-5",
        scope="clip",
        producer="test",
        version="1",
    )


def test_peak_is_the_largest_sum_without_blinks_and_speech():
    units = table(AU06=[0, 1, 2], AU12=[0, 3, 1], AU25=[0, 0, 5], AU26=[0, 0, 5], AU45=[5, 0, 5])
    peak = peak_frame(units)
    assert (peak.row, peak.score, peak.units) == (1, 4.0, ("AU06", "AU12"))
    assert peak_frame(units, speech_counts=True).row == 2


def test_frequent_reading_sums_only_what_occurs_often():
    units = table(AU12=[2, 2, 3, 2], AU04=[0, 5, 0, 0])
    assert peak_frame(units, "all").row == 1
    frequent = peak_frame(units, "frequent")
    assert (frequent.row, frequent.units) == (2, ("AU12",))


def test_untracked_and_doubtful_frames_are_no_peak():
    units = table(AU12=[1, 5, 4, 2])
    tracked = np.array([True, False, True, True])
    doubt = {"AU12": np.array([1, 1, 0.2, 1], np.float32)}
    assert peak_frame(dataclasses.replace(units, tracked=tracked, confidence=doubt)).row == 3


def test_no_frame_no_peak():
    units = table(AU12=[1, 2])
    assert peak_frame(dataclasses.replace(units, tracked=np.zeros(2, bool))) is None
    assert peak_frame(table(AU45=[1, 2])) is None
