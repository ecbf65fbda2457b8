"""What is drawn on frames: a new picture of the same size, with the marks where they belong."""

import numpy as np
import pytest

from emotion_llama.face import drawing
from emotion_llama.face.drawing import Bar, FaceMark, Overlay, Timeline, draw_overlay
from emotion_llama.face.shape import frontal, population
from emotion_llama.face.unit_names import UNIT_NAMES, grade, titled

BOX = np.array([130.0, 80.0, 100.0, 100.0], np.float32)


def grey(height: int = 270, width: int = 360):
    return np.full((height, width, 3), 90, np.uint8)


def changed(frame, drawn):
    """Which pixels differ, [h x w]."""
    return (frame != drawn).any(axis=2)


def mean_face(box=BOX):
    """The mean face in the middle of a box, [70 x 3]."""
    points = population()["mean"].astype(np.float64)
    return points * box[2] / 2 + [box[0] + box[2] / 2, box[1] + box[3] / 3, 0]


def full_overlay(**changes):
    face = FaceMark(BOX, "person 1", mean_face(), np.array([10.0, -5.0, 3.0]))
    values = {
        "caption": "1.24 s",
        "face": face,
        "others": (np.array([10.0, 100.0, 60.0, 60.0]),),
        "bars": (Bar("AU12", 4.0, 0.9), Bar("AU04", float("nan"), 0.0)),
        "peak": "PEAK 1.24 s",
        "timeline": Timeline(0.5, peak=0.5, missing=((0.8, 0.9),)),
    }
    return Overlay(**{**values, **changes})


@pytest.mark.parametrize("size", [(270, 360), (720, 1280), (101, 77), (16, 16), (2, 3)])
def test_a_new_picture_of_the_same_shape(size):
    frame = grey(*size)
    before = frame.copy()
    drawn = draw_overlay(frame, full_overlay())
    assert np.array_equal(frame, before)
    assert (drawn.shape, drawn.dtype) == (frame.shape, np.uint8)
    assert changed(frame, drawn).any()


def test_nothing_to_draw_changes_nothing():
    assert np.array_equal(draw_overlay(grey(), Overlay()), grey())


def test_the_box_is_where_the_face_is():
    drawn = draw_overlay(grey(), Overlay(face=FaceMark(BOX)))
    marked = changed(grey(), drawn)
    assert marked[80, 130:231].all()
    assert marked[80:181, 230].all()
    assert not marked[100:160, 150:210].any(), "the face itself stays visible"
    assert tuple(drawn[80, 180]) == drawing.PERSON


def test_other_people_have_thinner_boxes():
    others = draw_overlay(grey(720, 1280), Overlay(others=(BOX,)))
    person = draw_overlay(grey(720, 1280), Overlay(face=FaceMark(BOX)))
    assert changed(grey(720, 1280), others).sum() < changed(grey(720, 1280), person).sum()


def test_points_are_dots_at_their_places():
    points = mean_face()
    frame = grey()
    drawing.draw_points(frame, points)
    places = points[:, :2].round().astype(int)
    assert (frame[places[:, 1], places[:, 0]] == 255).all(axis=1).mean() > 0.9
    assert changed(grey(), frame).mean() < 0.05


@pytest.mark.parametrize("pose", [(0, 0, 0), (25, 0, 0), (0, 20, 0), (0, 0, 30), (-15, 10, -20)])
def test_the_axes_turn_as_the_pose_is_measured(pose):
    rotation = drawing.rotation_of(np.array(pose, float))
    turned = population()["mean"].astype(np.float64) @ rotation.T
    assert frontal(turned[None])[1][0] == pytest.approx(pose, abs=1e-3)


def test_the_axis_out_of_the_face_points_where_the_head_is_turned():
    right = grey()
    drawing.draw_axes(right, mean_face(), np.array([40.0, 0.0, 0.0]), 60)
    tip = mean_face()[30, :2].round().astype(int)
    yellow = np.argwhere((right == drawing.AXES[2]).all(axis=2))
    assert len(yellow)
    assert (yellow[:, 1] >= tip[0] - 3).all(), "yaw above 0 is to the picture's right"


def test_bars_are_as_long_as_the_intensity():
    def orange(value: float) -> int:
        frame = grey()
        drawing.draw_bars(frame, [Bar("AU12", value)])
        return int((frame == drawing.BAR).all(axis=2).sum())

    assert orange(5.0) > 1.8 * orange(2.5) > 0
    assert orange(0.0) == orange(float("nan")) == 0


def test_the_panel_takes_the_corner_it_is_given_and_names_give_way():
    bars = [Bar(unit, 2.0) for unit in ("AU12", "AU15")]
    left, right, short = grey(), grey(), grey()
    drawing.draw_bars(left, bars)
    drawing.draw_bars(right, bars, at_right=True)
    drawing.draw_bars(short, bars, room_px=100)
    assert changed(grey(), left)[-40:, :40].any()
    assert not changed(grey(), left)[:, -40:].any()
    assert not changed(grey(), right)[:, :40].any()
    assert changed(grey(), short).sum() < changed(grey(), left).sum()


@pytest.mark.parametrize("at_right", [False, True])
def test_a_panel_without_room_has_its_bars_below_the_numbers(at_right):
    room_px = 80

    def drawn(value: float):
        frame = grey(320, 320)
        bars = [Bar("AU12", value), Bar("AU15", float("nan"))]
        drawing.draw_bars(frame, bars, at_right=at_right, room_px=room_px)
        return frame

    def orange(value: float) -> int:
        return int((drawn(value) == drawing.BAR).all(axis=2).sum())

    columns = np.flatnonzero(changed(grey(320, 320), drawn(5.0)).any(axis=0))
    assert np.ptp(columns) < room_px
    assert (columns[-1] == 319) if at_right else (columns[0] == 0)
    assert orange(5.0) > 1.8 * orange(2.5) > 0
    assert orange(0.0) == 0


def test_room_is_beside_the_face():
    assert drawing.panel_room(np.array([200.0, 0, 100, 100]), 320) == (False, 200.0)
    assert drawing.panel_room(np.array([10.0, 0, 100, 100]), 320) == (True, 210.0)


@pytest.mark.parametrize(
    ("size", "smallest", "largest"),
    [((270, 360), 12, 16), ((720, 1280), 18, 28), ((16, 16), 12, 12), ((4000, 6000), 30, 40)],
)
def test_letters_are_legible(size, smallest, largest):
    assert smallest <= drawing.text_size_px(grey(*size)) <= largest


def test_letters_are_bright_on_a_dark_ground():
    frame = np.full((270, 360, 3), 255, np.uint8)
    drawing.draw_text(frame, "no face", (20, 20), drawing.WHITE)
    text = frame[20:36, 20:70]
    assert text.max() > 200
    assert np.median(text) < 110


def test_text_is_pushed_into_the_frame():
    frame = grey()
    drawing.draw_text(frame, "3.20 s", (350, -20), drawing.WHITE)
    assert changed(grey(), frame)[:20, 300:].any()


def test_the_peak_frame_has_a_rim_and_no_other():
    drawn = draw_overlay(grey(), full_overlay())
    assert tuple(drawn[0, 180]) == drawing.PEAK
    assert tuple(drawn[100, 0]) == drawing.PEAK
    plain = draw_overlay(grey(), full_overlay(peak="", timeline=None))
    assert not (plain == drawing.PEAK).all(axis=2)[:, :2].any()


def test_the_timeline_shows_place_peak_and_gaps():
    frame = grey()
    drawing.draw_timeline(frame, Timeline(0.25, peak=0.5, missing=((0.75, 1.0),)))
    below = frame[-2]
    assert tuple(below[40]) == drawing.WHITE
    assert tuple(below[180]) == drawing.PEAK
    assert tuple(below[320]) == drawing.WARNING
    assert below[120].max() < 90
    assert not changed(grey(), frame)[:240].any()


def test_names_and_grades():
    assert titled("AU12") == "AU12 lip corner puller"
    assert titled("AU99") == "AU99"
    assert [grade(value) for value in (0.2, 0.5, 1.4, 2.5, 4.9, 9.0)] == list("-AACEE")
    assert all(name == name.lower() for name in UNIT_NAMES.values())
