"""The reason that a unit has no value is the one that kept it from being measured."""

import numpy as np
import pytest

from emotion_llama.face import head_pose, measure_action_units
from emotion_llama.face.drawing import rotation_of
from emotion_llama.face.shape import population
from emotion_llama.face.unmeasured import reasons_of_rows, why_never_measured
from emotion_llama.records import FaceTrack

LIPS_AND_JAW = [*range(55, 60), *range(65, 68), *range(6, 11)]
"""Points of the lower lip and the chin."""


def track(
    eyes_px: float = 60.0,
    yaw: float = 0.0,
    score: float = 0.9,
    mouth: float = 0.9,
    frames: int = 3,
    open_from: int | None = None,
):
    """Frames of the mean face; from one of them on the mouth stands wide open."""
    shapes = np.repeat(population()["mean"][None], frames, axis=0)
    if open_from is not None:
        shapes[open_from:, LIPS_AND_JAW, 1] += 0.2
    turned = shapes @ rotation_of(np.array([yaw, 0.0, 0.0])).T
    points = (eyes_px * turned).astype(np.float32)
    return FaceTrack(
        crops=np.full((frames, 112, 112, 3), 90, np.uint8),
        times_s=np.arange(frames) / 25,
        boxes=np.tile(np.float32([0, 0, 100, 100]), (frames, 1)),
        coverage=1.0,
        producer="test 1",
        scores=np.full(frames, score, np.float32),
        points=points,
        pose_deg=head_pose(points).astype(np.float32),
        visible=np.tile(np.float32([0.9, 0.9, mouth]), (frames, 1)),
    )


@pytest.mark.parametrize(
    ("changes", "words", "num_units"),
    [
        ({"eyes_px": 10.0}, "too small", 19),
        ({"yaw": 60.0}, "turned away", 19),
        ({"score": 0.2}, "hardly a face", 19),
        ({"mouth": 0.1}, "the mouth is covered", 11),
        ({"frames": 12, "open_from": 0}, "the mouth is wide open", 8),
    ],
)
def test_the_reason_is_named(changes, words, num_units):
    face = track(**changes)
    table = measure_action_units(face)
    never = why_never_measured(table, face)
    assert len(never) == num_units
    assert all(words in reason for reason in never.values())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"eyes_px": 10.0},
        {"yaw": 60.0},
        {"mouth": 0.1},
        {"frames": 24, "open_from": 12},
        {"open_from": 0},
    ],
)
def test_there_is_a_reason_exactly_where_there_is_no_value(changes):
    face = track(**changes)
    table = measure_action_units(face)
    for unit, values in table.intensity.items():
        reasons = reasons_of_rows(table, face, unit)
        assert [reason is not None for reason in reasons] == np.isnan(values).tolist(), unit
