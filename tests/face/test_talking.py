"""Whether lips are seen to talk: by drawn gaps, and by portraits whose jaw moves."""

from dataclasses import replace

import numpy as np
import pytest
from face import planted
from numpy.typing import NDArray

from emotion_llama.evidence import measured_face
from emotion_llama.face import is_talking, track_faces
from emotion_llama.face.talking import lips_talk, swings
from emotion_llama.records import Clip, FaceTrack

STEP_S = 0.2
TALK = (0.0, 0.9, 0.2, 0.8, 0.1, 1.0, 0.3, 0.9, 0.0, 0.8)
"""How far the jaw drops, frame by frame, as in talking."""
ONCE = (0.0, 0.2, 0.6, 1.0, 1.0, 1.0, 1.0, 0.6, 0.2, 0.0)
"""The same as in surprise."""


def mouth(gaps: list[float], *, eyes: float = 50.0, step_s: float = STEP_S) -> FaceTrack:
    """Give a face whose lips are so far apart, in distances between its eyes."""
    count = len(gaps)
    points = np.zeros((count, 70, 3), np.float32)
    points[:, 42:48, 0] = eyes
    points[:, [67, 66, 65], 1] = eyes * np.array(gaps)[:, None]
    return FaceTrack(
        crops=np.zeros((count, 8, 8, 3), np.uint8),
        times_s=step_s * np.arange(count),
        boxes=np.zeros((count, 4), np.float32),
        coverage=1.0,
        producer="drawn",
        scores=np.ones(count, np.float32),
        points=points,
        visible=np.ones((count, 3), np.float32),
    )


@pytest.mark.parametrize(
    ("values", "rows"),
    [
        ([0, 1, 2, 3, 2, 1, 0], [1, 4]),
        ([3, 2, 1, 2, 3], [1, 3]),
        ([0, 0.5, 0, 0.5, 0], []),
        ([0, 0.4, 0.8, 1.2, 1.2, 0.4, 0.1], [3, 6]),
        ([5], []),
    ],
)
def test_a_swing_is_a_way_in_the_other_direction(values: list[float], rows: list[int]) -> None:
    assert swings(values, least=1.0).tolist() == rows


@pytest.mark.parametrize("eyes", [20.0, 200.0])
def test_lips_that_open_and_close_talk_at_any_size(eyes: float) -> None:
    assert lips_talk(mouth([0.1, 0.3, 0.1, 0.3, 0.2], eyes=eyes))


@pytest.mark.parametrize(
    "gaps",
    [
        [0.3],
        [0.0, 0.3, 0.3, 0.3, 0.0],
        [0.3, 0.3, 0.0, 0.0, 0.3],
        [0.1, 0.16, 0.1, 0.16, 0.1, 0.16],
    ],
    ids=["still", "opens once", "closes once", "trembles"],
)
def test_other_mouths_do_not_talk(gaps: list[float]) -> None:
    assert not lips_talk(mouth(gaps))


def test_three_swings_in_a_long_time_are_no_speech() -> None:
    gaps = [0.1, 0.3, 0.1, 0.3]
    assert lips_talk(mouth(gaps, step_s=0.5))
    assert not lips_talk(mouth(gaps, step_s=1.5))


def test_a_covered_mouth_says_nothing() -> None:
    track = mouth([0.1, 0.3, 0.1, 0.3, 0.1])
    hidden = np.ones((5, 3), np.float32)
    hidden[:, 2] = 0.1
    assert lips_talk(track)
    assert not lips_talk(replace(track, visible=hidden))
    assert not lips_talk(replace(track, points=None))


def test_where_there_is_sound_somebody_may_talk() -> None:
    still = mouth([0.1] * 5)
    assert is_talking(still, has_sound=True)
    assert is_talking(None, has_sound=True)
    assert not is_talking(still, has_sound=False)
    assert not is_talking(None, has_sound=False)


@pytest.fixture(params=["collins", "hopper"])
def portrait(request: pytest.FixtureRequest) -> planted.Portrait:
    return planted.load(request.param)


def film(portrait: planted.Portrait, course: tuple[float, ...]) -> NDArray[np.uint8]:
    return np.stack([planted.render(portrait, "jaw_open", level) for level in course])


def clip(frames: NDArray[np.uint8], faces: FaceTrack) -> Clip:
    return Clip("mute", frames=frames, frame_times_s=faces.times_s, faces=faces, kind="video")


def test_a_dropped_jaw_is_told_of_a_mute_film_unless_the_lips_talk(
    portrait, detector, landmarker
) -> None:
    told = {}
    for name, course in (("talks", TALK), ("opens once", ONCE)):
        frames = film(portrait, course)
        times_s = STEP_S * np.arange(len(frames))
        (faces,) = track_faces(frames, times_s, detector, landmarker, 64)
        measures = measured_face(clip(frames, faces))
        assert measures is not None
        told[name] = measures.talking
    assert told == {"talks": True, "opens once": False}
