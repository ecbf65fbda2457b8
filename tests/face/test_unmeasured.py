"""The reason that a unit has no value is the one that kept it from being measured."""

import numpy as np
import pytest

from emotion_llama.face import head_pose, measure_action_units
from emotion_llama.face.drawing import rotation_of
from emotion_llama.face.shape import population
from emotion_llama.face.unmeasured import reasons_of_rows, why_never_measured
from emotion_llama.records import FaceTrack


def track(eyes_px: float = 60.0, yaw: float = 0.0, score: float = 0.9, mouth: float = 0.9):
    """Three frames of the mean face."""
    turned = population()["mean"] @ rotation_of(np.array([yaw, 0.0, 0.0])).T
    points = np.repeat((eyes_px * turned)[None], 3, axis=0).astype(np.float32)
    return FaceTrack(
        crops=np.full((3, 112, 112, 3), 90, np.uint8),
        times_s=np.arange(3) / 25,
        boxes=np.tile(np.float32([0, 0, 100, 100]), (3, 1)),
        coverage=1.0,
        producer="test 1",
        scores=np.full(3, score, np.float32),
        points=points,
        pose_deg=head_pose(points).astype(np.float32),
        visible=np.tile(np.float32([0.9, 0.9, mouth]), (3, 1)),
    )


@pytest.mark.parametrize(
    ("changes", "words", "num_units"),
    [
        ({"eyes_px": 10.0}, "too small", 19),
        ({"yaw": 60.0}, "turned away", 19),
        ({"score": 0.2}, "hardly a face", 19),
        ({"mouth": 0.1}, "the mouth is covered", 11),
    ],
)
def test_the_reason_is_named(changes, words, num_units):
    face = track(**changes)
    table = measure_action_units(face)
    never = why_never_measured(table, face)
    assert len(never) == num_units
    assert all(words in reason for reason in never.values())


@pytest.mark.parametrize("changes", [{}, {"eyes_px": 10.0}, {"yaw": 60.0}, {"mouth": 0.1}])
def test_there_is_a_reason_exactly_where_there_is_no_value(changes):
    face = track(**changes)
    for unit, values in measure_action_units(face).intensity.items():
        reasons = reasons_of_rows(face, unit)
        assert [reason is not None for reason in reasons] == np.isnan(values).tolist(), unit
