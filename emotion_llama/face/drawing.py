"""A frame and what was found in it -> the same frame with boxes, points, pose and bars drawn on.

Knows: colours, sizes, places in the picture. Does not know: files, time series, how anything was
found. Colours are those of Okabe & Ito (2008), told apart by colour-blind people too; every mark
has a dark rim, so it is seen on light and on dark.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ImageFont

from emotion_llama.face.movements import FULL
from emotion_llama.face.points import NOSE_BRIDGE
from emotion_llama.face.unit_names import titled

Picture = NDArray[np.uint8]
Colour = tuple[int, int, int]

WHITE: Colour = (255, 255, 255)
DARK: Colour = (0, 0, 0)
GREY: Colour = (225, 225, 225)
"""everybody else"""
PERSON: Colour = (86, 180, 233)
"""sky blue: the person that is reported"""
BAR: Colour = (230, 159, 0)
"""orange"""
PEAK: Colour = (240, 228, 66)
"""yellow"""
WARNING: Colour = (213, 94, 0)
"""vermilion"""
AXES: tuple[Colour, Colour, Colour] = ((213, 94, 0), (0, 158, 115), (240, 228, 66))
"""to the face's side, down, and out of it"""

SHADE = 0.62
"""How much darker the picture is behind a panel."""
SMALLEST_TEXT_PX, LARGEST_TEXT_PX = 12, 40


@dataclass(frozen=True)
class FaceMark:
    """The reported person's face in one frame."""

    box: NDArray[np.floating]
    """left, top, width, height in pixels, [4]"""
    label: str = ""
    points: NDArray[np.floating] | None = None
    """x, y, depth in pixels, [70 x 3]"""
    pose_deg: NDArray[np.floating] | None = None
    """yaw, pitch, roll as in `emotion_llama.face.frontal`, [3]"""


@dataclass(frozen=True)
class Bar:
    """An action unit in one frame."""

    unit: str
    intensity: float
    """0 to 5; NaN where it could not be measured"""
    confidence: float = 1.0


@dataclass(frozen=True)
class Timeline:
    """Where in the clip a frame is; all are shares of its length, 0 to 1."""

    position: float
    peak: float | None = None
    missing: Sequence[tuple[float, float]] = ()
    """stretches without the person"""


@dataclass(frozen=True)
class Overlay:
    """Everything that is drawn on one frame."""

    caption: str = ""
    """upper left corner: time and frame number"""
    face: FaceMark | None = None
    others: Sequence[NDArray[np.floating]] = ()
    """boxes of other people, each [4]"""
    bars: Sequence[Bar] = ()
    absence: str = ""
    """why there is no face, such as ``no face``"""
    peak: str = ""
    """words for the peak frame; empty in every other"""
    timeline: Timeline | None = None
    bars_at_right: bool = False
    bars_room_px: float = math.inf
    """width that the panel may take without names giving way; see `panel_room`"""


def draw_overlay(frame: Picture, overlay: Overlay) -> Picture:
    """Draw what was found on a copy of a frame.

    Args:
        frame: RGB, [h x w x 3]
        overlay: what to draw; places in pixels of this frame

    Returns:
        RGB, [h x w x 3]
    """
    drawn = frame.copy()
    if overlay.peak:
        draw_frame_rim(drawn, PEAK)
    for box in overlay.others:
        draw_box(drawn, box, GREY, thickness=line_width_px(drawn))
    if overlay.face is not None:
        draw_face(drawn, overlay.face)
    if overlay.timeline is not None:
        draw_timeline(drawn, overlay.timeline)
    if overlay.bars:
        at_right, room_px = overlay.bars_at_right, overlay.bars_room_px
        draw_bars(drawn, overlay.bars, at_right=at_right, room_px=room_px)
    _write_captions(drawn, overlay)
    return drawn


def _write_captions(frame: Picture, overlay: Overlay) -> None:
    """Write what stands along the upper edge of a frame [h x w x 3]."""
    size = text_size_px(frame)
    middle, right, edge = frame.shape[1] // 2, frame.shape[1], size // 2
    lines = [overlay.caption] if overlay.caption else []
    if overlay.face is not None and overlay.face.pose_deg is not None:
        yaw, pitch, roll = (round(float(angle)) for angle in overlay.face.pose_deg)
        lines.append(f"yaw {yaw:+d} pitch {pitch:+d} roll {roll:+d}")
    if overlay.peak:
        draw_text(frame, overlay.peak, (right, edge), PEAK, margin=edge)
    for number, line in enumerate(lines):
        draw_text(frame, line, (edge, edge + number * round(1.5 * size)), WHITE, margin=edge)
    if overlay.absence:
        large = round(1.5 * size)
        draw_text(frame, overlay.absence, (middle, 4 * size), BAR, size=large, centred=True)


def text_size_px(frame: Picture) -> int:
    """Give the size of letters for a frame [h x w x 3]: legible on a small one, modest on large."""
    fitting = 8 + min(frame.shape[0], frame.shape[1]) // 50
    return int(min(max(fitting, SMALLEST_TEXT_PX), LARGEST_TEXT_PX))


def line_width_px(frame: Picture) -> int:
    """Give the width of main lines for a frame [h x w x 3]."""
    return max(1, int(min(frame.shape[0], frame.shape[1])) // 250)


@lru_cache(maxsize=512)
def _letters(text: str, size: int) -> NDArray[np.float32]:
    """Give how much of each pixel of a line of text is ink, 0 to 1, [h x w]."""
    font = ImageFont.load_default(size)
    ink = font.getmask(text, mode="L")
    width, height = ink.size
    _, top, _, _ = font.getbbox(text)
    rows = np.array(ink, dtype=np.float32).reshape(height, width) / 255.0
    line = np.zeros((round(1.35 * size), width), dtype=np.float32)
    first = max(0, min(round(top), len(line) - height))
    line[first : first + height] = rows[: len(line)]
    return line


def text_width_px(text: str, size: int) -> int:
    """Give the width of a line of text."""
    return int(_letters(text, size).shape[1]) if text else 0


def draw_text(
    frame: Picture,
    text: str,
    place: tuple[int, int],
    colour: Colour,
    *,
    size: int | None = None,
    centred: bool = False,
    margin: int = 3,
    shade: bool = True,
) -> None:
    """Write a line into a frame [h x w x 3], pushed inside where it would stick out.

    Args:
        frame: changed in place
        text: one line
        place: x and y of its upper left corner; with ``centred`` x of its middle
        colour: of the letters
        size: of the letters; default fits the frame
        centred: see ``place``
        margin: pixels to leave at the left and right edge
        shade: darken the picture behind it
    """
    ink = _letters(text, size or text_size_px(frame))
    height, width = ink.shape
    left = place[0] - width // 2 if centred else place[0]
    left = max(margin, min(left, frame.shape[1] - width - margin))
    top = max(0, min(place[1], frame.shape[0] - height))
    if shade:
        _shade(frame, left - 3, top - 1, left + width + 3, top + height)
    under = frame[top : top + height, left : left + width]
    share = ink[: under.shape[0], : under.shape[1], None]
    under[:] = (under * (1 - share) + np.array(colour) * share).round().astype(np.uint8)


def _shade(frame: Picture, left: int, top: int, right: int, bottom: int) -> None:
    """Darken a rectangle of a frame."""
    part = frame[max(0, top) : max(0, bottom), max(0, left) : max(0, right)]
    part[:] = (part * (1 - SHADE)).astype(np.uint8)


def draw_box(
    frame: Picture, box: NDArray[np.floating], colour: Colour, *, thickness: int | None = None
) -> None:
    """Draw a box left, top, width, height [4] into a frame [h x w x 3]."""
    left, top, width, height = (float(value) for value in box)
    first, last = (round(left), round(top)), (round(left + width), round(top + height))
    wide = thickness or line_width_px(frame) + 1
    cv2.rectangle(frame, first, last, DARK, wide + 2, cv2.LINE_AA)
    cv2.rectangle(frame, first, last, colour, wide, cv2.LINE_AA)


def draw_face(frame: Picture, face: FaceMark) -> None:
    """Draw the reported person's box, points, pose and label into a frame [h x w x 3]."""
    draw_box(frame, face.box, PERSON)
    if face.points is not None:
        draw_points(frame, face.points)
        if face.pose_deg is not None:
            draw_axes(frame, face.points, face.pose_deg, 0.3 * float(face.box[2]))
    left, top = round(float(face.box[0])), round(float(face.box[1]))
    line = round(1.35 * text_size_px(frame))
    if face.label:
        draw_text(frame, face.label, (left, top - line - 2), PERSON)


def draw_points(frame: Picture, points: NDArray[np.floating]) -> None:
    """Draw points [n x 2 or 3] as dots into a frame [h x w x 3]."""
    radius = max(1, round(min(frame.shape[:2]) / 400))
    places = [(round(float(x)), round(float(y))) for x, y in points[:, :2]]
    for place in places:
        cv2.circle(frame, place, radius + 1, DARK, -1, cv2.LINE_AA)
    for place in places:
        cv2.circle(frame, place, radius, WHITE, -1, cv2.LINE_AA)


def rotation_of(pose_deg: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give the rotation [3 x 3] of a head with yaw, pitch and roll [3] as in `frontal`."""
    yaw, pitch, roll = np.radians(np.asarray(pose_deg, dtype=np.float64))
    nod = np.array(
        [[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]]
    )
    turn = np.array([[np.cos(yaw), 0, -np.sin(yaw)], [0, 1, 0], [np.sin(yaw), 0, np.cos(yaw)]])
    lean = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    return np.asarray(lean @ turn @ nod, dtype=np.float64)


def draw_axes(
    frame: Picture, points: NDArray[np.floating], pose_deg: NDArray[np.floating], length: float
) -> None:
    """Draw the axes of a head at the tip of its nose: sideways, down, and out of the face.

    Args:
        frame: changed in place, [h x w x 3]
        points: [70 x 2 or 3]
        pose_deg: yaw, pitch, roll, [3]
        length: of an axis seen at its full length, in pixels
    """
    origin = np.asarray(points[NOSE_BRIDGE[-1], :2], dtype=np.float64)
    rotation = rotation_of(pose_deg)
    wide = line_width_px(frame) + 1
    start = (round(float(origin[0])), round(float(origin[1])))
    for axis, colour in zip((rotation[:, 0], rotation[:, 1], -rotation[:, 2]), AXES, strict=True):
        tip = origin + length * axis[:2]
        end = (round(float(tip[0])), round(float(tip[1])))
        cv2.line(frame, start, end, DARK, wide + 2, cv2.LINE_AA)
        cv2.line(frame, start, end, colour, wide, cv2.LINE_AA)


def draw_bars(
    frame: Picture, bars: Sequence[Bar], *, at_right: bool = False, room_px: float = math.inf
) -> None:
    """Draw a panel of action units into a lower corner of a frame [h x w x 3].

    A bar as long as its field is intensity 5; the paler it is, the less sure. What could not be
    measured has a dash and no bar.

    Args:
        frame: changed in place
        bars: from top to bottom
        at_right: which corner
        room_px: where a row of name, bar and value would take more, the name gives way to its
            number; where that is too much, the bar stands below
    """
    size = text_size_px(frame)
    row, gap = round(1.35 * size), size // 2
    field_px = max(30, frame.shape[1] // 10)
    names = [titled(bar.unit) for bar in bars]
    if _panel_px(names, size, field_px) > room_px:
        names = [bar.unit for bar in bars]
    if _panel_px(names, size, field_px) > room_px:
        _draw_narrow_bars(frame, bars, at_right=at_right)
        return
    names_px = max(text_width_px(name, size) for name in names)
    width = _panel_px(names, size, field_px)
    left = frame.shape[1] - width if at_right else 0
    top = frame.shape[0] - row * len(bars) - timeline_height_px(frame) - gap
    _shade(frame, left, top - gap // 2, left + width, top + row * len(bars) + gap // 2)
    for number, (bar, name) in enumerate(zip(bars, names, strict=True)):
        y, x = top + number * row, left + gap
        draw_text(frame, name, (x, y), WHITE, size=size, shade=False)
        x += names_px + gap
        _draw_bar(frame, bar, (x, y + row // 4), (field_px, max(3, row // 2)))
        draw_text(frame, _value(bar), (x + field_px + gap, y), WHITE, size=size, shade=False)


def _draw_narrow_bars(frame: Picture, bars: Sequence[Bar], *, at_right: bool) -> None:
    """Draw a panel of action units as `draw_bars` does, each bar below its number and value."""
    size = text_size_px(frame)
    line, gap, thick = round(1.2 * size), size // 2, max(3, size // 4)
    row = line + thick + gap // 2
    names_px = max(text_width_px(bar.unit, size) for bar in bars)
    width = names_px + text_width_px("0.0", size) + 3 * gap
    left = frame.shape[1] - width if at_right else 0
    top = frame.shape[0] - row * len(bars) - timeline_height_px(frame) - gap
    _shade(frame, left, top - gap // 2, left + width, top + row * len(bars) + gap // 2)
    for number, bar in enumerate(bars):
        x, y = left + gap, top + number * row
        draw_text(frame, bar.unit, (x, y), WHITE, size=size, shade=False)
        value_px = text_width_px(_value(bar), size)
        draw_text(
            frame, _value(bar), (left + width - gap - value_px, y), WHITE, size=size, shade=False
        )
        _draw_bar(frame, bar, (x, y + line), (width - 2 * gap, thick))


def _value(bar: Bar) -> str:
    return "-" if np.isnan(bar.intensity) else f"{bar.intensity:.1f}"


def _panel_px(names: Sequence[str], size: int, field_px: int) -> int:
    """Give the width of a panel of bars."""
    names_px = max(text_width_px(name, size) for name in names)
    return names_px + field_px + text_width_px("0.0", size) + 4 * (size // 2)


def _draw_bar(frame: Picture, bar: Bar, place: tuple[int, int], size: tuple[int, int]) -> None:
    (x, y), (width, height) = place, size
    cv2.rectangle(frame, (x, y), (x + width, y + height), (70, 70, 70), -1)
    if np.isnan(bar.intensity):
        return
    share = min(max(bar.intensity / FULL, 0.0), 1.0)
    sure = 0.4 + 0.6 * min(max(bar.confidence, 0.0), 1.0)
    colour = tuple(round(sure * value + (1 - sure) * 110) for value in BAR)
    if round(share * width) > 0:
        cv2.rectangle(frame, (x, y), (x + round(share * width), y + height), colour, -1)


def timeline_height_px(frame: Picture) -> int:
    """Give the height of the strip under a frame's panels."""
    return max(5, text_size_px(frame) // 2)


def draw_timeline(frame: Picture, timeline: Timeline) -> None:
    """Draw the clip's length along the lower edge of a frame [h x w x 3].

    White is what has been shown; vermilion are stretches without the person, yellow is the peak.
    """
    height, width = frame.shape[0], frame.shape[1]
    strip = timeline_height_px(frame)
    top = height - strip
    _shade(frame, 0, top, width, height)

    def column(share: float) -> int:
        return int(min(max(share, 0.0), 1.0) * (width - 1))

    cv2.rectangle(frame, (0, top + 1), (column(timeline.position), height - 2), WHITE, -1)
    for start, end in timeline.missing:
        cv2.rectangle(
            frame, (column(start), height - strip // 2), (column(end), height - 1), WARNING, -1
        )
    if timeline.peak is not None:
        x = column(timeline.peak)
        cv2.rectangle(frame, (x - 2, top - strip // 2), (x + 2, height - 1), DARK, -1)
        cv2.rectangle(frame, (x - 1, top - strip // 2 + 1), (x + 1, height - 1), PEAK, -1)


def draw_frame_rim(frame: Picture, colour: Colour) -> None:
    """Draw a rim along the edges of a frame [h x w x 3]."""
    wide = max(3, min(frame.shape[:2]) // 60)
    for edge in (frame[:wide], frame[-wide:], frame[:, :wide], frame[:, -wide:]):
        edge[:] = np.array(colour, dtype=np.uint8)


def panel_room(box: NDArray[np.floating], width: int) -> tuple[bool, float]:
    """Choose the side of a frame where a face leaves more room.

    Args:
        box: left, top, width, height of the face, [4]
        width: of the frame

    Returns:
        whether it is the right side, and how wide the room is in pixels
    """
    left_px, right_px = float(box[0]), width - float(box[0] + box[2])
    return right_px >= left_px, max(left_px, right_px)
