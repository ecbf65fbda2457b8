"""Facts of the picture: measured frame by frame, worded, read back."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from emotion_llama.merr.records import SceneMeasures, StatedClue
from emotion_llama.merr.scene import SceneMeter, read_scene, scene_agrees, scene_clues

SCENE = SceneMeasures(
    width=640,
    height=480,
    num_people=1,
    face_share=0.118,
    brightness=0.1,
    motion=0.02,
    num_cuts=0,
)


def photograph(seed: int, height: int = 96, width: int = 128) -> NDArray[np.uint8]:
    """Smooth blotches, unlike those of any other seed, [h x w x 3]."""
    grid = np.random.default_rng(seed).integers(0, 256, (6, 8, 3))
    return np.kron(grid, np.ones((height // 6, width // 8, 1))).astype(np.uint8)


def measure(frames: Iterable[NDArray[np.uint8]], frames_per_second: float = 25.0) -> SceneMeasures:
    meter = SceneMeter()
    for number, frame in enumerate(frames):
        meter.update(number / frames_per_second, frame)
    return meter.finish(num_people=1, face_share=0.1)


def film(seconds: float, rate: float, picture: Callable[[float], NDArray[np.uint8]]):
    return [picture(number / rate) for number in range(round(seconds * rate))]


def ball(time_s: float) -> NDArray[np.uint8]:
    """A bright square that crosses a grey picture in two seconds."""
    frame = np.full((96, 128, 3), 90, np.uint8)
    left = round(96 * time_s / 2)
    frame[30:62, left : left + 32] = 250
    return frame


def test_brightness_is_the_median_luma_of_rec_709() -> None:
    frame = np.zeros((48, 64, 3), np.uint8)
    frame[:, :, 1] = 200
    assert measure([frame]).brightness == pytest.approx(0.7152 * 200 / 255, abs=0.003)
    frame[:20] = 255
    assert measure([frame]).brightness == pytest.approx(0.7152 * 200 / 255, abs=0.003)


def test_brightness_counts_time_not_frames() -> None:
    meter = SceneMeter()
    dark, light = np.full((48, 64, 3), 51, np.uint8), np.full((48, 64, 3), 204, np.uint8)
    for number in range(10):
        meter.update(number / 10, dark)
    meter.update(5.0, light)
    meter.update(9.0, light)
    assert meter.finish(0, None).brightness == 0.8


def test_size_is_that_of_the_frames() -> None:
    assert (measure([ball(0)]).width, measure([ball(0)]).height) == (128, 96)


def test_a_still_has_neither_motion_nor_cuts() -> None:
    still = measure([photograph(1)])
    assert (still.motion, still.num_cuts) == (None, None)
    resting = measure([photograph(1)] * 25)
    assert (resting.motion, resting.num_cuts) == (0.0, 0)


def test_motion_does_not_depend_on_the_frame_rate() -> None:
    values = [measure(film(2, rate, ball), rate).motion for rate in (12.5, 24, 25, 30, 60, 240)]
    assert min(values) > 0.04
    assert max(values) < 1.1 * min(values)
    # more movement is more motion
    assert measure(film(1, 25, lambda t: ball(2 * t)), 25).motion > 1.7 * max(values)


def test_noise_of_single_frames_is_hardly_motion() -> None:
    noise = np.random.default_rng(0)
    frames = [noise.normal(128, 4, (240, 320, 3)).clip(0, 255).astype(np.uint8) for _ in range(12)]
    assert 0 < measure(frames).motion < 0.05


@pytest.mark.parametrize("rate", [10, 25, 30, 60])
def test_a_hard_cut_counts_once(rate: float) -> None:
    frames = [photograph(1)] * rate + [photograph(2)] * rate + [photograph(3)] * rate
    found = measure(frames, rate)
    assert found.num_cuts == 2
    assert found.motion == 0, "a cut is no motion"


def test_what_moves_fades_or_flashes_is_no_cut() -> None:
    assert measure(film(2, 25, ball)).num_cuts == 0
    first, second = photograph(1).astype(float), photograph(2).astype(float)
    fade = [((1 - s) * first + s * second).astype(np.uint8) for s in np.linspace(0, 1, 13)]
    assert measure([photograph(1)] * 10 + fade + [photograph(2)] * 10).num_cuts == 0
    to_dark = [(first * s).astype(np.uint8) for s in np.linspace(1, 0.3, 13)]
    assert measure([photograph(1)] * 10 + to_dark).num_cuts == 0
    lamp_off = [photograph(1)] * 10 + [photograph(1) // 3] * 10
    assert measure(lamp_off).num_cuts == 0
    flash = [photograph(1)] * 10 + [255 - photograph(2) // 8] * 3 + [photograph(1)] * 10
    assert measure(flash).num_cuts == 0
    shake = [np.roll(photograph(1), shift, axis=1) for shift in [0, 16] * 12]
    assert measure(shake).num_cuts == 0


def test_black_pictures_are_no_shot() -> None:
    black = np.zeros((96, 128, 3), np.uint8)
    found = measure([black] * 5 + [photograph(1)] * 25)
    assert (found.num_cuts, found.motion) == (0, 0.0)
    between = measure([photograph(1)] * 25 + [black] * 10 + [photograph(2)] * 25)
    assert between.num_cuts == 1


def test_the_meter_refuses_what_it_cannot_measure() -> None:
    meter = SceneMeter()
    with pytest.raises(ValueError, match="found no frame"):
        meter.finish(0, None)
    with pytest.raises(ValueError, match=r"shape \(48, 64\).*expected RGB \[h x w x 3\]"):
        meter.update(0.0, np.zeros((48, 64), np.uint8))
    meter.update(1.0, ball(0))
    with pytest.raises(ValueError, match=r"0\.500 s after one at 1\.000 s"):
        meter.update(0.5, ball(0))
    with pytest.raises(ValueError, match="face share of 1.5"):
        meter.finish(1, 1.5)


def test_statements_are_what_was_measured() -> None:
    assert [clue.statement for clue in scene_clues(SCENE)] == [
        "one person is in the picture",
        "the face takes up about 12 % of the picture",
        "the picture is dim",
        "the picture hardly moves",
    ]
    busy = replace(SCENE, num_people=3, face_share=0.004, brightness=0.7, motion=0.3, num_cuts=2)
    assert [clue.statement for clue in scene_clues(busy)] == [
        "three people are in the picture",
        "the face takes up less than 1 % of the picture",
        "the picture is bright",
        "the picture moves much",
        "the picture has two cuts",
    ]
    assert [clue.value for clue in scene_clues(busy)] == [3, 0.004, 0.7, 0.3, 2]


def test_what_was_not_measured_is_not_said() -> None:
    still = replace(SCENE, num_people=0, face_share=None, motion=None, num_cuts=None)
    assert [clue.feature for clue in scene_clues(still)] == ["people", "brightness"]
    assert scene_clues(still)[0].statement == "no face is seen in the picture"


@pytest.mark.parametrize("num_people", [0, 1, 2, 13])
@pytest.mark.parametrize("face_share", [None, 0.002, 0.0999, 0.333])
@pytest.mark.parametrize(("brightness", "motion"), [(0.0, None), (0.25, 0.05), (0.9, 0.5)])
@pytest.mark.parametrize("num_cuts", [None, 1, 14])
def test_own_statements_are_read_back(num_people, face_share, brightness, motion, num_cuts) -> None:
    scene = SceneMeasures(640, 480, num_people, face_share, brightness, motion, num_cuts)
    clues = scene_clues(scene)
    told = [(clue.feature, clue.reading) for clue in clues]
    for joint in (", and ", "; ", ". "):
        text = joint.join(clue.statement for clue in clues).upper() + "."
        stated = read_scene(text)
        assert [(one.feature, one.reading) for one in stated] == told
        assert all(scene_agrees(one, scene) for one in stated)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A single person stands in a dark room.", [("people", "one"), ("brightness", "dim")]),
        ("Two people talk; the scene is dimly lit.", [("people", "two"), ("brightness", "dim")]),
        ("We see a man and a young woman.", [("people", "two")]),
        ("There are 3 women.", [("people", "three")]),
        ("Several people and more than two men", [("people", None)]),
        ("The face fills roughly 13.5 percent of it.", [("face_size", "13.5 %")]),
        ("The image is quite bright.", [("brightness", "bright")]),
        ("There is very little motion in the video.", [("motion", "hardly")]),
        ("The clip contains one hard cut.", [("cuts", "one")]),
        ("The video has no cuts.", [("cuts", "no")]),
    ],
)
def test_paraphrases_are_read(text: str, expected: list[tuple[str, str | None]]) -> None:
    assert [(one.feature, one.reading) for one in read_scene(text)] == expected


@pytest.mark.parametrize(
    "text",
    [
        "A woman with dark hair and a bright smile looks up.",
        'The words are: "two people in a dark room, the picture is bright".',
        "She moves slowly and stays still.",
        "He has a cut on his cheek.",
        "The person wears a dark blue shirt.",
        "One of the reasons is that the voice is bright.",
    ],
)
def test_other_things_are_not_read_as_the_picture(text: str) -> None:
    assert read_scene(text) == ()


def test_statements_are_held_against_the_measures() -> None:
    def agrees(feature: str, reading: str | None, scene: SceneMeasures = SCENE) -> bool | None:
        return scene_agrees(StatedClue("scene", feature, reading, ""), scene)

    assert agrees("people", "one") is True
    assert agrees("people", "two") is False
    assert agrees("people", None) is None
    assert agrees("face_size", "12 %") is True
    assert agrees("face_size", "11 %") is True
    assert agrees("face_size", "14 %") is False
    assert agrees("face_size", "less than 1 %") is False
    assert agrees("brightness", "bright") is False
    assert agrees("motion", "hardly", replace(SCENE, motion=None)) is None
    assert agrees("cuts", "no") is True
    assert scene_agrees(StatedClue("voice", "motion", "hardly", ""), SCENE) is None
