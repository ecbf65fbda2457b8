"""The planted motions are what they say, measured in the pictures without any estimator."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from face import planted
from face.planted import MOTIONS, Head, Portrait
from numpy.typing import NDArray

Floats = NDArray[np.float64]

PATCH_FU = 0.055
"""Half the side of the patches that are looked for, in face units: about 5 mm."""


def wears_collar(portrait: Portrait, motion: str) -> bool:
    """Tell whether a dropping jaw pushes a white collar down: his is close, his head is turned."""
    return portrait.name == "barkla" and motion == "jaw_open"


@pytest.fixture(params=planted.portraits())
def portrait(request: pytest.FixtureRequest) -> Portrait:
    return planted.load(request.param)


def difference(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> Floats:
    """Mean absolute difference of each pixel in grey levels, [h x w]."""
    return np.abs(a.astype(np.float64) - b).mean(-1)


def distances(portrait: Portrait, motion: str) -> Floats:
    """Distance of each pixel from the nearest point that moves, in face units, [h x w]."""
    moved = planted.moved_points(portrait, motion, 1.0)
    ends = [
        place
        for name in moved
        if np.hypot(*np.subtract(moved[name], portrait.points[name])) > 0
        for place in (moved[name], portrait.points[name])
    ]
    rows, columns = np.indices(portrait.pixels.shape[:2])
    grid = np.stack([columns, rows], axis=-1)[:, :, None]
    return np.sqrt(((grid - np.array(ends)) ** 2).sum(-1).min(-1)) / portrait.unit


def found(
    before: NDArray[np.uint8], after: NDArray[np.uint8], place: Floats, unit: float
) -> Floats:
    """Measure how far the patch around a place has gone, by template matching, in pixels."""
    scale = 4
    half = round(PATCH_FU * unit)
    reach = round(0.2 * unit)
    x, y = np.rint(place).astype(int)

    def part(picture: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
        cut = picture[y - size : y + size + 1, x - size : x + size + 1].astype(np.float32)
        return cv2.resize(cut, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)

    score = cv2.matchTemplate(part(after, half + reach), part(before, half), cv2.TM_CCOEFF_NORMED)
    row, column = np.unravel_index(int(score.argmax()), score.shape)
    return np.array([column, row]) / scale - reach


def test_at_least_two_faces_are_there() -> None:
    assert {"collins", "hopper"} <= set(planted.portraits())


def test_every_portrait_has_the_same_points_inside_its_picture(portrait: Portrait) -> None:
    assert set(portrait.points) == set(planted.load("hopper").points)
    height, width = portrait.pixels.shape[:2]
    assert all(0 <= x < width and 0 <= y < height for x, y in portrait.points.values())


def test_right_is_the_persons_own(portrait: Portrait) -> None:
    pairs = [name for name in portrait.points if "right" in name]
    assert len(pairs) >= 20
    for name in pairs:
        assert portrait.points[name][0] < portrait.points[name.replace("right", "left")][0], name


def test_points_stand_in_the_order_of_a_face(portrait: Portrait) -> None:
    downwards = (
        "right_brow_middle",
        "right_lid_crease_middle",
        "right_upper_lid_middle",
        "right_lower_lid_middle",
        "right_nostril",
        "upper_lip_top",
        "upper_lip_bottom",
        "lower_lip_top",
        "lower_lip_bottom",
        "chin_hollow",
        "chin_boss",
        "chin",
    )
    heights = [portrait.points[name][1] for name in downwards]
    assert heights == sorted(heights)


@pytest.mark.parametrize("motion", MOTIONS)
def test_motions_name_points_and_units_that_exist(motion: str) -> None:
    points = planted.load("hopper").points
    plan = MOTIONS[motion]
    goals = [goal for goal, _ in plan.approaches.values()]
    for pattern in [*plan.shifts, *plan.approaches, *goals]:
        assert pattern.replace("*", "right") in points
    assert all(len(unit) == 4 and unit.startswith("AU") for unit in [*plan.units, *plan.related])
    assert not set(plan.units) & set(plan.related)


def test_all_units_of_the_plan_are_planted() -> None:
    units = {unit for plan in MOTIONS.values() for unit in plan.units}
    numbers = (1, 2, 4, 5, 7, 9, 10, 12, 15, 17, 20, 23, 25, 26, 28, 45)
    assert units == {f"AU{number:02d}" for number in numbers}


@pytest.mark.parametrize("motion", [None, *MOTIONS])
def test_no_strength_gives_the_portrait_back(portrait: Portrait, motion: str | None) -> None:
    assert np.array_equal(planted.render(portrait, motion, 0.0), portrait.pixels)


@pytest.mark.parametrize("motion", MOTIONS)
def test_little_strength_changes_little(portrait: Portrait, motion: str) -> None:
    changed = difference(planted.render(portrait, motion, 0.01), portrait.pixels)
    assert changed.mean() < 0.2
    assert np.percentile(changed, 99.9) < 16  # no seam, line or tooth springs up at once


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_motion_changes_its_own_part_of_the_face_only(portrait: Portrait, motion: str) -> None:
    changed = difference(planted.render(portrait, motion, 1.0), portrait.pixels)
    distance = distances(portrait, motion)
    assert changed[distance < 0.05].mean() > 3.0
    assert changed[distance > 0.3].mean() < (4.0 if wears_collar(portrait, motion) else 1.0)
    spread = 2 * planted.GRID_PX / portrait.unit  # of the interpolation between grid points
    assert changed[distance > planted.BEYOND + spread].max() == 0.0


@pytest.mark.parametrize(
    ("motion", "region"),
    [
        ("brows_up", "mouth"),
        ("brows_down", "mouth"),
        ("lids_closed", "mouth"),
        ("lip_corners_up", "eye"),
        ("jaw_open", "eye"),
        ("jaw_open", "brow"),
        ("chin_up", "nose"),
        ("lips_stretched", "brow"),
    ],
)
def test_other_features_stay(portrait: Portrait, motion: str, region: str) -> None:
    changed = difference(planted.render(portrait, motion, 1.0), portrait.pixels)
    places = [
        portrait.points[name]
        for name in portrait.points
        if region in name and name not in {"nose_base", "nose_tip"}
    ]
    assert max(changed[round(y), round(x)] for x, y in places) < 12
    assert np.mean([changed[round(y), round(x)] for x, y in places]) < 2


MEASURED = [
    ("brows_up", "*_brow_inner"),
    ("brows_up", "*_brow_middle"),
    ("inner_brows_up", "*_brow_inner"),
    ("outer_brows_up", "*_brow_outer"),
    ("brows_down", "*_brow_inner"),
    ("nose_wrinkled", "*_nostril"),
    ("lip_corners_up", "mouth_*_corner"),
    ("lip_corners_down", "mouth_*_corner"),
    ("lips_stretched", "mouth_*_corner"),
    ("lips_parted", "lower_lip_bottom"),
    ("jaw_open", "lower_lip_bottom"),
    ("jaw_open", "chin_boss"),
    ("chin_up", "chin_boss"),
    ("upper_lip_up", "upper_lip_*_peak"),
]
"""Motion and point: places with enough texture to be found again."""


def measured_places() -> Iterator[tuple[str, str]]:
    for motion, pattern in MEASURED:
        for side in ("right", "left") if "*" in pattern else ("",):
            yield motion, pattern.replace("*", side)


@pytest.mark.parametrize(("motion", "name"), list(measured_places()))
def test_points_go_where_they_are_said_to(portrait: Portrait, motion: str, name: str) -> None:
    strength = 0.6  # full motions stretch the skin too much for a rigid patch
    place = np.array(portrait.points[name])
    told = np.array(planted.moved_points(portrait, motion, strength)[name]) - place
    after = planted.render(portrait, motion, strength)
    seen = found(portrait.pixels, after, place, portrait.unit)
    assert np.hypot(*(seen - told)) <= max(0.25 * np.hypot(*told), 0.6), f"{told=} {seen=}"


@pytest.mark.parametrize("motion", ["lips_parted", "jaw_open"])
def test_an_opened_mouth_is_dark_inside(portrait: Portrait, motion: str) -> None:
    moved = planted.moved_points(portrait, motion, 1.0)
    x, y = moved["lower_lip_top"]
    inside = planted.render(portrait, motion, 1.0)[round(y) - 3, round(x)]
    assert (
        inside.mean()
        < 0.65 * portrait.pixels[round(portrait.points["chin_boss"][1]), round(x)].mean()
    )


def test_closed_lids_cover_the_eye(portrait: Portrait) -> None:
    closed = planted.render(portrait, "lids_closed", 1.0)
    for side in ("right", "left"):
        upper, lower = (portrait.points[f"{side}_{lid}_lid_middle"] for lid in ("upper", "lower"))
        column, top, bottom = round(upper[0]), round(upper[1]), round(lower[1])
        opened = portrait.pixels[top : bottom - 2, column - 2 : column + 3]
        assert closed[top : bottom - 2, column - 2 : column + 3].mean() > opened.mean()


def test_wide_lids_show_more_of_the_eye_and_tight_ones_less(portrait: Portrait) -> None:
    def gap(motion: str) -> float:
        moved = planted.moved_points(portrait, motion, 1.0)
        return moved["right_lower_lid_middle"][1] - moved["right_upper_lid_middle"][1]

    still = (
        portrait.points["right_lower_lid_middle"][1] - portrait.points["right_upper_lid_middle"][1]
    )
    assert gap("lids_wide") > 1.2 * still
    assert gap("lids_tight") < 0.7 * still
    assert abs(gap("lids_closed")) < 0.5


def test_the_head_moves_with_its_points(portrait: Portrait) -> None:
    head = Head(right=0.06, down=-0.04, scale=1.02, roll_degrees=2.0)
    moved = planted.moved_points(portrait, None, 0.0, head=head)
    after = planted.render(portrait, None, 0.0, head=head)
    for name in ("right_eye_outer", "left_eye_inner", "nose_base", "mouth_left_corner"):
        place = np.array(portrait.points[name])
        seen = found(portrait.pixels, after, place, portrait.unit)
        assert np.hypot(*(seen - (np.array(moved[name]) - place))) < 0.8, name


def test_rendering_twice_gives_the_same(portrait: Portrait) -> None:
    head = Head(right=0.02, roll_degrees=1.0)
    first, second = (planted.render(portrait, "jaw_open", 0.7, head=head) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_clip_starts_and_ends_at_rest() -> None:
    portrait = planted.load("hopper")
    frames, times_s, strengths = planted.clip(portrait, "brows_up", frames_per_second=10)
    assert frames.shape == (20, *portrait.pixels.shape)
    assert frames.dtype == np.uint8
    assert times_s == pytest.approx(np.arange(20) / 10)
    assert strengths[times_s <= 0.5].max() == 0.0
    assert strengths[-1] == 0.0
    assert strengths.max() == 1.0
    assert np.array_equal(frames[0], portrait.pixels)
    assert not np.array_equal(frames[3], portrait.pixels)  # the head sways


def test_a_clip_with_a_still_head_shows_the_portrait_at_rest() -> None:
    portrait = planted.load("hopper")
    frames, _, strengths = planted.clip(
        portrait, "jaw_open", frames_per_second=8, strength=0.5, moving_head=False
    )
    assert strengths.max() == 0.5
    for frame, strength in zip(frames, strengths, strict=True):
        assert np.array_equal(frame, portrait.pixels) == (strength == 0)


def test_a_clip_without_time_for_a_motion_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 s"):
        planted.clip(planted.load("hopper"), "brows_up", seconds=0.6)


def test_unknown_names_are_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="collins, hopper"):
        planted.load("nobody")
    with pytest.raises(ValueError, match="brows_up"):
        planted.render(planted.load("hopper"), "ears_back", 1.0)


@pytest.mark.parametrize("motion", MOTIONS)
def test_the_skin_does_not_fold_over_itself(portrait: Portrait, motion: str) -> None:
    height, width = portrait.pixels.shape[:2]
    unmoved = np.eye(2, 3)
    seen = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float64)
    places = planted._destinations(portrait, motion, 1.0)
    rolled = MOTIONS[motion].rolls_lips_in
    sheets = planted._skin(portrait, places, unmoved, rolled=rolled)
    for shifts, above in zip(sheets, (True, False), strict=True):
        down, right = np.gradient(seen + shifts, axis=(0, 1))
        area = right[..., 0] * down[..., 1] - right[..., 1] * down[..., 0]
        for aperture in planted._APERTURES:
            # each sheet holds on its own side of an opening
            upper, lower = planted._edges(aperture, places, seen[..., 0])
            corners = places[aperture.upper[0]][0], places[aperture.upper[-1]][0]
            columns = (seen[..., 0] > corners[0]) & (seen[..., 0] < corners[1])
            y = seen[..., 1]
            near = np.abs(y - (upper + lower) / 2) < 0.4 * portrait.unit
            area[columns & near & ((y > upper - 1) if above else (y < lower + 1))] = 1.0
        # lids closed all the way are at the limit
        most = {"lids_closed": 6e-4, "jaw_open": 1e-2} if portrait.name == "barkla" else {}
        assert (area < 0.02).mean() < most.get(motion, 1e-4)
        assert area.max() < 8.0
