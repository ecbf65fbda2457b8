"""Descriptions of faces: equal for one person, other for another."""

import cv2
import numpy as np
import pytest
from face import planted

from emotion_llama.face.alignment import region_of_box
from emotion_llama.face.identity import (
    SIZE_PX,
    describe,
    measure,
    project,
    raw_patterns,
    same_people,
)
from emotion_llama.face.tracker import OTHER_IN_STILL, OTHER_PERSON, SAME_PERSON

PEOPLE = planted.portraits()
THRESHOLD = 0.8


@pytest.fixture(scope="module")
def described(detector, landmarker):
    def describe_face(pixels):
        pixels = np.ascontiguousarray(pixels)
        (box,) = detector.detect(pixels)
        grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
        (face,) = landmarker.find(grey, [region_of_box(box)], passes=2)
        return describe(grey, face.points)

    return describe_face


@pytest.fixture(scope="module")
def portraits(described):
    return {name: described(planted.load(name).pixels) for name in PEOPLE}


def relit(pixels):
    across = np.linspace(0.75, 1.25, pixels.shape[1])[None, :, None]
    return np.clip(pixels * across, 0, 255).astype(np.uint8)


CHANGES = {
    "light from one side": relit,
    "darker": lambda pixels: cv2.convertScaleAbs(pixels, alpha=0.6, beta=10),
    "out of focus": lambda pixels: cv2.GaussianBlur(pixels, (0, 0), 1.5),
    "smaller": lambda pixels: cv2.resize(
        pixels, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA
    ),
    "mirrored": lambda pixels: pixels[:, ::-1],
    "shifted": lambda pixels: np.roll(pixels, (5, 7), (0, 1)),
}


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("change", CHANGES)
def test_one_person_otherwise_taken_is_like_nobody_else(name, change, portraits, described):
    found = described(CHANGES[change](planted.load(name).pixels))
    assert found.shape == (160,)
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)
    assert found @ portraits[name] > SAME_PERSON
    assert all(found @ portraits[other] < OTHER_IN_STILL for other in PEOPLE if other != name)


@pytest.mark.parametrize("name", PEOPLE)
@pytest.mark.parametrize("motion", planted.MOTIONS)
def test_an_expression_is_no_other_person(name, motion, portraits, described):
    found = described(planted.render(planted.load(name), motion, 1.0))
    assert found @ portraits[name] > OTHER_PERSON
    assert all(found @ portraits[other] < OTHER_IN_STILL for other in PEOPLE if other != name)


def test_a_crop_and_its_mirror_image_measure_the_same():
    crop = np.random.default_rng(0).integers(0, 255, (SIZE_PX, SIZE_PX), dtype=np.uint8)
    for one, other in zip(measure(crop), measure(crop[:, ::-1]), strict=True):
        assert np.abs(one - other).max() < 1e-5
    upright, turned = measure(crop)[1], measure(np.ascontiguousarray(crop[::-1]))[1]
    assert np.abs(upright - turned).max() > 0.1


def test_patterns_are_shares_of_each_cell():
    crop = np.random.default_rng(0).integers(0, 255, (SIZE_PX, SIZE_PX), dtype=np.uint8)
    assert (raw_patterns(crop) ** 2).sum(axis=1) == pytest.approx(np.ones(18), abs=1e-5)


def test_brightness_and_contrast_do_not_count():
    crop = np.random.default_rng(0).integers(50, 90, (8, 8), dtype=np.uint8)
    crop = cv2.resize(crop, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC)
    brighter = (crop.astype(int) * 2 + 20).astype(np.uint8)
    assert project(*measure(crop)) @ project(*measure(brighter)) > 0.9


def test_nothing_to_see_has_a_description():
    found = project(*measure(np.full((SIZE_PX, SIZE_PX), 90, np.uint8)))
    assert np.isfinite(found).all()
    assert np.linalg.norm(found) == pytest.approx(1.0, abs=1e-5)


def directions(*degrees):
    turns = np.radians(degrees)
    return np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def grouped(described, *together):
    apart = np.zeros((len(described),) * 2, dtype=bool)
    for one, other in together:
        apart[one, other] = apart[other, one] = True
    return same_people(described, apart, THRESHOLD)


def test_like_sets_are_one_person():
    assert grouped(directions(0, 90, 10, 80)) == [[0, 2], [1, 3]]
    assert grouped(directions(0)) == [[0]]


def test_sets_seen_side_by_side_are_never_joined():
    assert grouped(directions(0, 1), (0, 1)) == [[0], [1]]
    # the third is most like the first, and with it apart from whom the first was seen with
    assert grouped(directions(0, 4, 1), (0, 1)) == [[0, 2], [1]]
    assert grouped(directions(0, 4, 1, 5), (0, 1), (2, 3)) == [[0, 2], [1, 3]]


def test_means_are_compared_and_not_a_chain_of_neighbours():
    # each is within 37 degrees of the next, the last far from the first
    assert grouped(directions(0, 25, 55, 95)) == [[0, 1], [2], [3]]


def test_a_long_set_counts_by_its_frames():
    long_one = directions(0, 30, 66) * np.array([[1.0], [100.0], [1.0]], dtype=np.float32)
    assert grouped(long_one.astype(np.float32)) == [[0, 1, 2]]
