"""Portraits moved by known facial action units: what a measurement must find is known.

Knows: control points of the portraits, how far each action unit moves them, how skin, lids and
lips follow. Does not know: the package, any estimator.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Pixels = NDArray[np.uint8]

FOLDER = Path(__file__).resolve().parent / "portraits"

EYES_MM = 90.0
"""Distance between the outer eye corners of an adult: turns millimetres into face units."""

GRID_PX = 4
"""Distance of the points at which the smooth part of a warp is computed."""

WITHIN, BEYOND = 0.28, 0.5
"""Face units from the nearest moved point: up to the first all of a warp holds, none at the second.
"""

LASHES = 0.026
"""Face units above the edge of the upper lid to which its lashes reach."""

MOUTH_DARK = np.array((52.0, 22.0, 20.0))
TEETH = np.array((192.0, 158.0, 136.0))
GUMS = np.array((168.0, 104.0, 98.0))
"""Red, green, blue of what an opened mouth shows where the portrait's own was closed."""


@dataclass(frozen=True)
class Portrait:
    """A photograph and its control points."""

    name: str
    pixels: Pixels
    """[h x w x 3], red, green, blue; read-only"""
    points: Mapping[str, tuple[float, float]]
    """Name -> (x, y) in pixels, the centre of the first pixel is (0, 0).

    Right and left are the person's own, so that ``right`` is on the picture's left.
    """

    @property
    def unit(self) -> float:
        """One face unit, the distance between the outer eye corners, in pixels."""
        return float(np.hypot(*self._across()))

    def axes(self) -> tuple[Floats, Floats]:
        """Give the directions towards the person's left and up the face, each [2], long one."""
        across = self._across() / self.unit
        return across, np.array([across[1], -across[0]])

    def _across(self) -> Floats:
        return np.subtract(self.points["left_eye_outer"], self.points["right_eye_outer"])


@dataclass(frozen=True)
class Motion:
    """What one facial movement does to the control points at full strength."""

    units: tuple[str, ...]
    """the FACS action units that are planted"""
    related: Mapping[str, str]
    """Unit that an estimator may report too -> why: it comes along, or looks the same."""
    shifts: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Point -> shift in face units (distances between the outer eye corners).

    ``*`` in a name stands for ``right`` and ``left``. The first number is outwards, towards the
    person's own right for a right point and left for a left one (for a point on the middle line
    towards the person's left), the second is up the face.
    """
    approaches: Mapping[str, tuple[str, float]] = field(default_factory=dict)
    """Point -> the point whose height it goes to, and which part of the way, after ``shifts``.

    In the order given, each towards where the other is by then.
    """
    rolls_lips_in: bool = False
    """whether the lips' red goes out of sight between them, in place of being squeezed"""


@dataclass(frozen=True)
class Head:
    """Where the head is, compared with the portrait; it moves the whole picture with it."""

    right: float = 0.0
    """shift to the picture's right, in face units"""
    down: float = 0.0
    """shift down, in face units"""
    scale: float = 1.0
    roll_degrees: float = 0.0
    """turn in the picture's plane, clockwise as seen"""


def _mm(**shifts: tuple[float, float]) -> Mapping[str, tuple[float, float]]:
    """Turn millimetres on an adult's face into face units; ``X`` in a name becomes ``*``."""
    return {
        name.replace("X", "*"): (out / EYES_MM, up / EYES_MM) for name, (out, up) in shifts.items()
    }


MOTIONS: Mapping[str, Motion] = {
    "brows_up": Motion(
        units=("AU01", "AU02"),
        related={"AU05": "the wider space between brow and eye looks like a wider eye"},
        shifts=_mm(
            X_brow_inner=(0.0, 7.0),
            X_brow_middle=(0.0, 7.5),
            X_brow_outer=(0.0, 6.5),
            X_lid_crease_inner=(0.0, 1.2),
            X_lid_crease_middle=(0.0, 1.4),
            X_lid_crease_outer=(0.0, 1.2),
            forehead=(0.0, 2.0),
        ),
    ),
    "inner_brows_up": Motion(
        units=("AU01",),
        related={
            "AU02": "the middle of the brow rises with its inner end",
            "AU04": "units 1 and 4 together slant the brows in the same way",
        },
        shifts=_mm(
            X_brow_inner=(0.0, 6.5),
            X_brow_middle=(0.0, 2.0),
            X_lid_crease_inner=(0.0, 1.2),
            forehead=(0.0, 1.5),
        ),
    ),
    "outer_brows_up": Motion(
        units=("AU02",),
        related={
            "AU01": "the middle of the brow rises with its outer end",
            "AU05": "the wider space between brow and eye looks like a wider eye",
        },
        shifts=_mm(
            X_brow_outer=(0.0, 6.5),
            X_brow_middle=(0.0, 5.0),
            X_lid_crease_outer=(0.0, 1.2),
            X_lid_crease_middle=(0.0, 0.8),
        ),
    ),
    "brows_down": Motion(
        units=("AU04",),
        related={
            "AU07": "lowered brows push the skin above the lids down",
            "AU09": "a wrinkled nose lowers the inner brows too",
        },
        shifts=_mm(
            X_brow_inner=(-2.5, -5.0),
            X_brow_middle=(-1.5, -4.5),
            X_brow_outer=(-0.5, -2.0),
            X_lid_crease_inner=(-0.8, -1.8),
            X_lid_crease_middle=(-0.5, -1.6),
            X_lid_crease_outer=(0.0, -0.8),
            forehead=(0.0, -1.0),
        ),
    ),
    "lids_wide": Motion(
        units=("AU05",),
        related={"AU01": "estimators see raised lids and raised brows together"},
        shifts=_mm(
            X_upper_lid_inner=(0.0, 2.0),
            X_upper_lid_middle=(0.0, 2.5),
            X_upper_lid_outer=(0.0, 2.0),
            X_lid_crease_inner=(0.0, 0.8),
            X_lid_crease_middle=(0.0, 1.0),
            X_lid_crease_outer=(0.0, 0.8),
        ),
    ),
    "lids_tight": Motion(
        units=("AU07",),
        related={
            "AU06": "raised cheeks narrow the eye from below too",
            "AU45": "a half closed eye is part of a blink",
        },
        shifts=_mm(
            X_lower_lid_inner=(0.0, 1.6),
            X_lower_lid_middle=(0.0, 2.2),
            X_lower_lid_outer=(0.0, 1.8),
            X_upper_lid_inner=(0.0, -0.8),
            X_upper_lid_middle=(0.0, -1.2),
            X_upper_lid_outer=(0.0, -0.8),
        ),
    ),
    "lids_closed": Motion(
        units=("AU45",),
        related={"AU07": "the eye narrows on its way to closed"},
        shifts=_mm(
            X_lid_crease_inner=(0.0, -1.6),
            X_lid_crease_middle=(0.0, -2.4),
            X_lid_crease_outer=(0.0, -1.6),
        ),
        approaches={
            "*_upper_lid_inner": ("*_lower_lid_inner", 1.0),
            "*_upper_lid_middle": ("*_lower_lid_middle", 1.0),
            "*_upper_lid_outer": ("*_lower_lid_outer", 1.0),
        },
    ),
    "nose_wrinkled": Motion(
        units=("AU09",),
        related={
            "AU04": "the inner brows come down with the skin of the nose",
            "AU10": "the wings of the nose take the upper lip up",
            "AU25": "the upper lip leaves the lower one",
        },
        shifts=_mm(
            X_nostril=(0.5, 3.0),
            X_nose_side=(0.0, 3.5),
            nose_tip=(0.0, 0.8),
            X_brow_inner=(-1.0, -2.5),
            X_brow_middle=(-0.3, -1.5),
            X_cheek=(0.0, 1.5),
            X_fold=(0.3, 2.0),
            upper_lip_top=(0.0, 1.5),
            upper_lip_X_peak=(0.0, 2.0),
            upper_lip_X_outer=(0.0, 1.8),
            upper_lip_bottom=(0.0, 1.2),
            upper_lip_X_inner=(0.0, 1.2),
        ),
    ),
    "upper_lip_up": Motion(
        units=("AU10",),
        related={
            "AU09": "a wrinkled nose takes the upper lip up too",
            "AU25": "the upper lip leaves the lower one",
        },
        shifts=_mm(
            upper_lip_top=(0.0, 3.5),
            upper_lip_X_peak=(0.0, 4.0),
            upper_lip_X_outer=(0.3, 3.5),
            upper_lip_bottom=(0.0, 3.0),
            upper_lip_X_inner=(0.0, 3.0),
            mouth_X_corner=(0.0, 0.5),
            X_nostril=(0.5, 1.2),
            X_fold=(0.8, 2.0),
        ),
    ),
    "lip_corners_up": Motion(
        units=("AU12",),
        related={
            "AU06": "the cheeks rise with the lip corners",
            "AU14": "dimpled corners go outwards too",
            "AU20": "stretched lips widen the mouth too",
            "AU25": "lips drawn thin by a smile part",
        },
        shifts=_mm(
            mouth_X_corner=(6.0, 7.0),
            upper_lip_X_outer=(3.0, 3.2),
            upper_lip_X_peak=(1.0, 0.8),
            upper_lip_X_inner=(2.5, 2.4),
            lower_lip_X_inner=(2.5, 2.4),
            lower_lip_X_outer=(2.5, 2.2),
            X_fold=(3.0, 4.0),
            X_cheek=(0.5, 3.0),
            X_nostril=(0.8, 0.4),
        ),
    ),
    "lip_corners_down": Motion(
        units=("AU15",),
        related={"AU17": "a raised chin bends the mouth in the same way"},
        shifts=_mm(
            mouth_X_corner=(0.5, -5.0),
            upper_lip_X_outer=(0.2, -2.2),
            upper_lip_X_inner=(0.0, -2.0),
            lower_lip_X_inner=(0.0, -2.0),
            lower_lip_X_outer=(0.2, -1.8),
            X_fold=(0.0, -1.5),
        ),
    ),
    "chin_up": Motion(
        units=("AU17",),
        related={
            "AU15": "the middle of the mouth rises, the corners stay behind",
            "AU23": "a lower lip pushed up shows less red",
            "AU24": "a lower lip pushed up presses on the upper one",
        },
        shifts=_mm(
            chin=(0.0, 2.5),
            chin_boss=(0.0, 4.0),
            chin_hollow=(0.0, 4.0),
            lower_lip_bottom=(0.0, 3.2),
            lower_lip_X_outer=(0.0, 2.5),
            lower_lip_top=(0.0, 2.0),
            lower_lip_X_inner=(0.0, 1.6),
            upper_lip_bottom=(0.0, 2.0),
            upper_lip_X_inner=(0.0, 1.6),
            upper_lip_top=(0.0, 1.5),
            upper_lip_X_peak=(0.0, 1.2),
            upper_lip_X_outer=(0.0, 0.8),
            mouth_X_corner=(0.0, -1.0),
        ),
    ),
    "lips_stretched": Motion(
        units=("AU20",),
        related={
            "AU12": "a smile widens the mouth too",
            "AU14": "dimpled corners go outwards too",
            "AU15": "the corners go down a little",
        },
        shifts=_mm(
            mouth_X_corner=(6.5, -1.0),
            upper_lip_X_outer=(4.0, -0.6),
            upper_lip_X_peak=(1.2, -0.4),
            upper_lip_top=(0.0, -0.4),
            upper_lip_X_inner=(3.0, -0.4),
            lower_lip_X_inner=(3.0, -0.4),
            lower_lip_X_outer=(3.5, 0.2),
            lower_lip_bottom=(0.0, 0.6),
            X_fold=(2.0, 0.0),
        ),
    ),
    "lips_tight": Motion(
        units=("AU23",),
        related={
            "AU24": "pressed lips show as little red",
            "AU28": "lips on their way in show less red too",
        },
        shifts=_mm(mouth_X_corner=(-1.5, 0.0)),
        approaches={
            "upper_lip_top": ("upper_lip_bottom", 0.55),
            "upper_lip_*_peak": ("upper_lip_*_inner", 0.45),
            "upper_lip_*_outer": ("upper_lip_*_inner", 0.45),
            "lower_lip_bottom": ("lower_lip_top", 0.55),
            "lower_lip_*_outer": ("lower_lip_*_inner", 0.5),
        },
        rolls_lips_in=True,
    ),
    "lips_parted": Motion(
        units=("AU25",),
        related={
            "AU10": "the upper lip rises a little",
            "AU26": "a jaw that drops a little parts the lips as far",
        },
        shifts=_mm(
            upper_lip_top=(0.0, 0.6),
            upper_lip_X_peak=(0.0, 0.6),
            upper_lip_bottom=(0.0, 1.2),
            upper_lip_X_inner=(0.0, 0.9),
            lower_lip_top=(0.0, -3.8),
            lower_lip_X_inner=(0.0, -3.0),
            lower_lip_bottom=(0.0, -3.2),
            lower_lip_X_outer=(0.0, -2.4),
            chin_hollow=(0.0, -1.6),
        ),
    ),
    "jaw_open": Motion(
        units=("AU25", "AU26"),
        related={"AU27": "a stretched mouth is a jaw dropped further"},
        shifts=_mm(
            chin=(0.0, -16.0),
            chin_boss=(0.0, -15.5),
            chin_hollow=(0.0, -14.5),
            lower_lip_bottom=(0.0, -13.5),
            lower_lip_X_outer=(-0.8, -11.0),
            lower_lip_top=(0.0, -13.0),
            lower_lip_X_inner=(-0.5, -10.0),
            mouth_X_corner=(-1.5, -4.0),
            X_jaw_low=(-0.5, -12.0),
            X_jaw=(0.0, -3.5),
            X_fold=(-0.5, -1.5),
            upper_lip_X_outer=(-0.5, -0.5),
        ),
    ),
    "lips_sucked": Motion(
        units=("AU28",),
        related={
            "AU17": "the skin of the chin follows the lower lip up",
            "AU23": "tightened lips show less red too",
            "AU24": "pressed lips show less red too",
        },
        shifts=_mm(
            mouth_X_corner=(-1.0, 0.0),
            chin_hollow=(0.0, 3.5),
            chin_boss=(0.0, 1.0),
        ),
        approaches={
            "upper_lip_bottom": ("lower_lip_top", 0.5),
            "lower_lip_top": ("upper_lip_bottom", 1.0),
            "upper_lip_*_inner": ("lower_lip_*_inner", 0.5),
            "lower_lip_*_inner": ("upper_lip_*_inner", 1.0),
            "upper_lip_top": ("upper_lip_bottom", 0.85),
            "upper_lip_*_peak": ("upper_lip_*_inner", 0.7),
            "upper_lip_*_outer": ("upper_lip_*_inner", 0.7),
            "lower_lip_bottom": ("lower_lip_top", 0.85),
            "lower_lip_*_outer": ("lower_lip_*_inner", 0.8),
        },
        rolls_lips_in=True,
    ),
}
"""Every motion that can be planted, from the brows down.

Amplitudes are those of an adult's full movement. Only shape moves: no folds or furrows are drawn.
"""


@dataclass(frozen=True)
class _Aperture:
    """An opening in the skin, eye or mouth: its two corners and the edges between them."""

    upper: tuple[str, ...]
    lower: tuple[str, ...]
    """names from one corner to the other, from the picture's left to its right"""
    lift: float
    """how far apart, in face units, its two sides are for the warp: skin does not cross it"""
    reach: float
    """face units above and below to which the two sides are kept apart"""
    shows_eye: bool


def _eye(side: str) -> _Aperture:
    """Name the edges of one eye."""
    order = ("outer", "middle", "inner") if side == "right" else ("inner", "middle", "outer")
    first, last = f"{side}_eye_{order[0]}", f"{side}_eye_{order[-1]}"
    return _Aperture(
        upper=(first, *(f"{side}_upper_lid_{part}" for part in order), last),
        lower=(first, *(f"{side}_lower_lid_{part}" for part in order), last),
        lift=0.10,
        reach=0.16,
        shows_eye=True,
    )


_APERTURES = (
    _eye("right"),
    _eye("left"),
    _Aperture(
        upper=(
            "mouth_right_corner",
            "upper_lip_right_inner",
            "upper_lip_bottom",
            "upper_lip_left_inner",
            "mouth_left_corner",
        ),
        lower=(
            "mouth_right_corner",
            "lower_lip_right_inner",
            "lower_lip_top",
            "lower_lip_left_inner",
            "mouth_left_corner",
        ),
        lift=0.2,
        reach=0.35,
        shows_eye=False,
    ),
)


def portraits() -> tuple[str, ...]:
    """Name the portraits, in the order of the alphabet."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.jpg")))


@cache
def load(name: str) -> Portrait:
    """Read one portrait and its control points."""
    stored = cv2.imread(str(FOLDER / f"{name}.jpg"), cv2.IMREAD_COLOR)
    if stored is None:
        msg = f"found no portrait {name!r}; portraits: {', '.join(portraits())}"
        raise ValueError(msg)
    pixels = np.ascontiguousarray(stored[..., ::-1])
    pixels.flags.writeable = False
    table = json.loads((FOLDER / "points.json").read_text(encoding="utf-8"))
    return Portrait(name, pixels, {point: (x, y) for point, (x, y) in table[name].items()})


def moved_points(
    portrait: Portrait, motion: str | None, strength: float, *, head: Head | None = None
) -> dict[str, tuple[float, float]]:
    """Tell where ``render`` puts every control point, in pixels."""
    places = _destinations(portrait, motion, strength)
    to_picture = _placement(portrait, head or Head())
    return {
        name: (float(x), float(y))
        for name, place in places.items()
        for x, y in [to_picture[:, :2] @ place + to_picture[:, 2]]
    }


def render(
    portrait: Portrait, motion: str | None, strength: float, *, head: Head | None = None
) -> Pixels:
    """Draw the portrait with a motion, seen backwards: each pixel is looked up in the portrait.

    1. Spread the control points' shifts over the skin, on both sides of eyes and mouth.
    2. Look the skin up. 3. Draw into eyes and mouth what the skin there uncovers.

    Args:
        portrait: what ``load`` gives
        motion: a key of ``MOTIONS``, or None for the portrait as it is
        strength: 0 is the portrait, 1 the full motion; in between everything moves in proportion
        head: where the head is

    Returns:
        picture [h x w x 3], red, green, blue
    """
    height, width = portrait.pixels.shape[:2]
    to_portrait = cv2.invertAffineTransform(_placement(portrait, head or Head()))
    places = _destinations(portrait, motion, strength)
    seen = _seen(to_portrait, np.arange(width), np.arange(height))
    if not any(np.any(places[name] != portrait.points[name]) for name in places):
        return _look_up(portrait.pixels, seen)
    rolled = motion is not None and MOTIONS[motion].rolls_lips_in
    above, below = _skin(portrait, places, to_portrait, rolled=rolled)
    picture = _look_up(portrait.pixels, seen + above)
    for aperture in _APERTURES:
        if all(np.all(places[n] == portrait.points[n]) for n in aperture.upper + aperture.lower):
            continue
        box = _box(aperture, places, to_portrait, (height, width))
        upper, lower = _edges(aperture, places, seen[box][..., 0])
        under = np.clip(seen[box][..., 1] - (upper + lower) / 2 + 0.5, 0.0, 1.0)[..., None]
        skin = under * _look_up(portrait.pixels, seen[box] + below[box])
        skin += (1.0 - under) * picture[box]
        pressed = strength if rolled and not aperture.shows_eye else 0.0
        picture[box] = _opened(portrait, aperture, places, seen[box], skin, pressed)
    return picture


def clip(
    portrait: Portrait,
    motion: str | None,
    *,
    frames_per_second: float = 25,
    seconds: float = 2.0,
    strength: float = 1.0,
    moving_head: bool = True,
) -> tuple[Pixels, Floats, Floats]:
    """Draw a film: half a second at rest, then the motion rises, holds and goes.

    Args:
        portrait: what ``load`` gives
        motion: a key of ``MOTIONS``, or None for a face at rest
        frames_per_second: of the film
        seconds: length of the film, at least one second
        strength: the motion's strength while it holds
        moving_head: whether the head sways a little, the same way in every film

    Returns:
        pictures [t x h x w x 3], moments in seconds [t], and the true strength at each [t]
    """
    if seconds < 1.0:
        msg = f"found a film of {seconds} s; half a second is at rest, so give at least 1 s"
        raise ValueError(msg)
    moments = np.arange(round(seconds * frames_per_second)) / frames_per_second
    active = (moments - 0.5) / (seconds - 0.5)
    course = strength * _eased(active / 0.25) * _eased((0.9 - active) / 0.25)
    frames = [
        render(portrait, motion, float(level), head=_sway(float(moment)) if moving_head else None)
        for moment, level in zip(moments, course, strict=True)
    ]
    return np.stack(frames), moments, course


def _eased(part: Floats) -> Floats:
    """Go from 0 to 1 with a slow start and a slow end."""
    held = np.clip(part, 0.0, 1.0)
    return held * held * (3.0 - 2.0 * held)


def _sway(moment_s: float) -> Head:
    """Give where a head that is held still really is; it starts at the portrait's own place."""
    return Head(
        right=0.03 * np.sin(1.9 * moment_s),
        down=0.02 * np.sin(2.7 * moment_s),
        scale=1.0 + 0.012 * np.sin(1.3 * moment_s),
        roll_degrees=1.8 * np.sin(2.3 * moment_s),
    )


def _placement(portrait: Portrait, head: Head) -> Floats:
    """Give the matrix from the portrait's pixels to the picture's, [2 x 3]."""
    pivot = np.array(portrait.points["nose_tip"])
    turn = np.deg2rad(head.roll_degrees)
    linear = head.scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shift = pivot - linear @ pivot + portrait.unit * np.array([head.right, head.down])
    return np.column_stack([linear, shift])


def _destinations(portrait: Portrait, motion: str | None, strength: float) -> dict[str, Floats]:
    """Tell where each control point goes in the portrait's own pixels."""
    still = {name: np.array(place) for name, place in portrait.points.items()}
    if motion is None or strength == 0:
        return still
    if motion not in MOTIONS:
        msg = f"found motion {motion!r}; motions: {', '.join(MOTIONS)}"
        raise ValueError(msg)
    to_left, up = portrait.axes()
    full = dict(still)
    for pattern, (out, rise) in MOTIONS[motion].shifts.items():
        for name, side in _sided(pattern):
            outwards = -to_left if side == "right" else to_left
            full[name] = still[name] + portrait.unit * (out * outwards + rise * up)
    for pattern, (goal, part) in MOTIONS[motion].approaches.items():
        for name, side in _sided(pattern):
            way = full[goal.replace("*", side)] - full[name]
            full[name] = full[name] + part * (way @ up) * up
    return {name: still[name] + strength * (full[name] - still[name]) for name in still}


def _sided(pattern: str) -> tuple[tuple[str, str], ...]:
    """Give the names that a pattern stands for, each with its side (empty on the middle line)."""
    if "*" not in pattern:
        return ((pattern, ""),)
    return tuple((pattern.replace("*", side), side) for side in ("right", "left"))


def _seen(to_portrait: Floats, columns: Floats, rows: Floats) -> Floats:
    """Give where pixels of the picture lie in the portrait, [rows x columns x 2]."""
    x, y = np.meshgrid(columns, rows)
    return np.stack([a * x + b * y + c for a, b, c in to_portrait], axis=-1)


def _look_up(pixels: Pixels, source: Floats) -> Pixels:
    """Read the portrait at places between its pixels, mirrored beyond its border."""
    at = source.astype(np.float32)
    return np.asarray(
        cv2.remap(
            pixels, at[..., 0], at[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
        )
    )


def _skin(
    portrait: Portrait, places: Mapping[str, Floats], to_portrait: Floats, *, rolled: bool
) -> tuple[Floats, Floats]:
    """Give how far back the skin at each pixel comes from, as a thin plate bends.

    To part the lids and the lips, every place gets a third coordinate, its lift: positive above
    an opening, negative below. Two sheets are computed, one for each side; where no opening is
    near they are the same.

    Returns:
        shifts for pixels above and for pixels below an opening, each [h x w x 2]
    """
    height, width = portrait.pixels.shape[:2]
    unit = portrait.unit
    knots, shifts, lifts = _knots(portrait, places, rolled=rolled)
    moved = knots[np.any(shifts != 0, axis=1)]
    ring = _ring(portrait)
    knots = np.concatenate(
        [np.column_stack([knots, lifts]), np.column_stack([ring, ring[:, 0] * 0])]
    )
    backwards = np.concatenate([-shifts, np.zeros_like(ring)])
    weights = _bend(knots / unit, backwards)
    num_columns, num_rows = -(-width // GRID_PX), -(-height // GRID_PX)
    centre = (GRID_PX - 1) / 2
    grid = _seen(
        to_portrait,
        np.arange(num_columns) * GRID_PX + centre,
        np.arange(num_rows) * GRID_PX + centre,
    )
    distance = np.sqrt(((grid[:, :, None] - moved) ** 2).sum(-1).min(-1)) / unit
    held = _eased((BEYOND - distance) / (BEYOND - WITHIN))
    near = held > 0
    lift = _lift(grid[near], places, unit)
    sheets = []
    for sign in (1.0, -1.0):
        shifts = np.zeros_like(grid)
        at = np.column_stack([grid[near], sign * lift]) / unit
        shifts[near] = _bent(at, knots / unit, weights) * held[near][:, None]
        fine = cv2.resize(
            shifts,
            (num_columns * GRID_PX, num_rows * GRID_PX),
            interpolation=cv2.INTER_CUBIC,
        )
        sheets.append(fine[:height, :width])
    return sheets[0], sheets[1]


def _knots(
    portrait: Portrait, places: Mapping[str, Floats], *, rolled: bool
) -> tuple[Floats, Floats, Floats]:
    """Give what the skin is held at: where it goes [n x 2], its shifts [n x 2], its lifts [n]."""
    unit = portrait.unit
    hidden = set(_APERTURES[-1].upper[1:-1] + _APERTURES[-1].lower[1:-1]) if rolled else set()
    names = [name for name in places if name not in hidden]
    knots = np.array([places[name] for name in names])
    shifts = knots - np.array([portrait.points[name] for name in names])
    sides = np.array([_side(name) for name in names])
    # lashes go with the edge of their lid, they are not stretched; a lid that rises has no room
    up = portrait.axes()[1]
    lashes = np.array(["upper_lid" in name for name in names]) & (shifts @ up <= 0)
    knots = np.concatenate([knots, knots[lashes] + LASHES * unit * up])
    shifts = np.concatenate([shifts, shifts[lashes]])
    sides = np.concatenate([sides, sides[lashes]])
    return knots, shifts, sides * _lift(knots, places, unit)


def _ring(portrait: Portrait) -> Floats:
    """Give places around the head that stay, [n x 2]."""
    angles = np.arange(20) * (2 * np.pi / 20)
    to_left, up = portrait.axes()
    spread = np.outer(np.cos(angles), 0.95 * to_left) + np.outer(np.sin(angles), 1.3 * up)
    return np.array(portrait.points["nose_tip"]) + portrait.unit * spread


def _side(name: str) -> int:
    """Tell whether a control point lies above (1) or below (-1) the opening next to it."""
    return -1 if name.startswith(("lower_lip", "chin")) or "lower_lid" in name else 1


def _lift(at: Floats, places: Mapping[str, Floats], unit: float) -> Floats:
    """Give how far places are lifted on either side of the openings, in pixels, [... x 2]."""
    total: Floats = np.zeros(at.shape[:-1])
    for aperture in _APERTURES:
        x = at[..., 0]
        first, last = places[aperture.upper[0]][0], places[aperture.upper[-1]][0]
        along = np.clip((x - first) / (last - first), 0.0, 1.0)
        upper, lower = _edges(aperture, places, x)
        away = np.maximum(np.maximum(upper - at[..., 1], at[..., 1] - lower), 0.0)
        fade = np.clip(1.0 - (away / unit / aperture.reach) ** 2, 0.0, 1.0) ** 2
        total += aperture.lift * unit * np.sqrt(4 * along * (1 - along)) * fade
    return total


def _plate(squared: NDArray[np.float32]) -> NDArray[np.float32]:
    """Give the thin plate's r * r * log(r), up to a factor, from squared distances."""
    return squared * np.log(squared + np.float32(1e-12))


def _between(at: Floats, knots: Floats) -> NDArray[np.float32]:
    """Give squared distances between places [n x 3] and knots [m x 3], [n x m]."""
    a, b = at.astype(np.float32), knots.astype(np.float32)
    squared = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2.0 * (a @ b.T)
    return np.maximum(squared, np.float32(0))


def _bend(knots: Floats, shifts: Floats) -> Floats:
    """Solve for the plate that has the given shifts at the knots; [m x 3], [m x 2]."""
    count = len(knots)
    squared = ((knots[:, None] - knots) ** 2).sum(-1)
    plane = np.column_stack([np.ones(count), knots])
    system = np.zeros((count + 4, count + 4))
    system[:count, :count] = squared * np.log(squared + 1e-12)
    system[:count, count:] = plane
    system[count:, :count] = plane.T
    wanted = np.concatenate([shifts, np.zeros((4, 2))])
    return np.linalg.solve(system, wanted)


def _bent(at: Floats, knots: Floats, weights: Floats) -> Floats:
    """Give the plate's shifts at places, [n x 3] -> [n x 2]."""
    count = len(knots)
    curved = _plate(_between(at, knots)) @ weights[:count].astype(np.float32)
    return curved + np.column_stack([np.ones(len(at)), at]) @ weights[count:]


def _edges(aperture: _Aperture, places: Mapping[str, Floats], x: Floats) -> tuple[Floats, Floats]:
    """Give the height of an opening's upper and lower edge at columns, both of the shape of x."""
    upper = _curve(np.array([places[name] for name in aperture.upper]), x)
    lower = _curve(np.array([places[name] for name in aperture.lower]), x)
    middle = (upper + lower) / 2
    # edges that would cross meet half way
    return np.minimum(upper, middle), np.maximum(lower, middle)


def _curve(knots: Floats, x: Floats) -> Floats:
    """Draw a smooth line through knots [n x 2]; level beyond its ends."""
    steps = np.diff(knots, axis=0)
    slopes = steps[:, 1] / steps[:, 0]
    inner = (slopes[:-1] * steps[1:, 0] + slopes[1:] * steps[:-1, 0]) / (
        steps[1:, 0] + steps[:-1, 0]
    )
    ends = 1.5 * slopes[[0, -1]] - 0.5 * inner[[0, -1]]
    tangents = np.concatenate([ends[:1], inner, ends[1:]])
    fine = np.linspace(0.0, 1.0, 12, endpoint=False)
    h00, h10 = 2 * fine**3 - 3 * fine**2 + 1, fine**3 - 2 * fine**2 + fine
    h01, h11 = 3 * fine**2 - 2 * fine**3, fine**3 - fine**2
    heights = (
        np.outer(knots[:-1, 1], h00)
        + np.outer(tangents[:-1] * steps[:, 0], h10)
        + np.outer(knots[1:, 1], h01)
        + np.outer(tangents[1:] * steps[:, 0], h11)
    )
    columns = knots[:-1, :1] + np.outer(steps[:, 0], fine)
    return np.interp(x, np.append(columns, knots[-1, 0]), np.append(heights, knots[-1, 1]))


def _box(
    aperture: _Aperture, places: Mapping[str, Floats], to_portrait: Floats, size: tuple[int, int]
) -> tuple[slice, slice]:
    """Give the rows and columns of the picture around an opening."""
    to_picture = cv2.invertAffineTransform(to_portrait)
    rim = np.array([places[name] for name in aperture.upper + aperture.lower])
    rim = rim @ to_picture[:, :2].T + to_picture[:, 2]
    margin = 0.6 * float(np.ptp(rim[:, 0]))
    (left, top), (right, bottom) = rim.min(0) - margin, rim.max(0) + margin
    return (
        slice(max(0, int(top)), min(size[0], int(bottom) + 1)),
        slice(max(0, int(left)), min(size[1], int(right) + 1)),
    )


def _opened(
    portrait: Portrait,
    aperture: _Aperture,
    places: Mapping[str, Floats],
    seen: Floats,
    skin: Floats,
    pressed: float,
) -> Pixels:
    """Draw into a part of the picture what an opening shows, where the skin leaves it open.

    Args:
        portrait: what is drawn
        aperture: the opening
        places: where the control points are
        seen: where the part's pixels lie in the portrait, [h x w x 2]
        skin: the part with the skin drawn, [h x w x 3]
        pressed: how firmly lips that are rolled in close, 0 to 1

    Returns:
        the part with both, [h x w x 3]
    """
    x, y = seen[..., 0], seen[..., 1]
    upper, lower = _edges(aperture, places, x)
    still = {name: np.array(place) for name, place in portrait.points.items()}
    was_upper, was_lower = _edges(aperture, still, x)
    inside = np.clip(np.minimum(y - upper, lower - y), 0.0, 1.0)[..., None]
    draw = _eyeball if aperture.shows_eye else _mouth
    content = draw(portrait, seen, (upper, lower), (was_upper, was_lower))
    mixed = inside * content + (1.0 - inside) * skin
    # the lashes of two lids, and lips that press, meet in one dark line
    first, last = places[aperture.upper[0]][0], places[aperture.upper[-1]][0]
    along = np.clip((x - first) / (last - first), 0.0, 1.0)
    closed = _eased(1.0 - 2.5 * (lower - upper) / np.maximum(was_lower - was_upper, 1.0))
    depth = 0.5 * closed if aperture.shows_eye else 0.4 * pressed * (lower - upper < 1.0)
    line = np.exp(-(((y - (upper + lower) / 2) / (0.011 * portrait.unit)) ** 2))
    depth = depth * line * np.clip(8 * along * (1 - along), 0.0, 1.0)
    mixed = mixed * (1.0 - depth[..., None])
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _eyeball(
    portrait: Portrait,
    seen: Floats,
    edges: tuple[Floats, Floats],
    were: tuple[Floats, Floats],
) -> Floats:
    """Draw the eye: lids that close cover it, lids that open further stretch what is below them."""
    x, y = seen[..., 0], seen[..., 1]
    middle = (were[0] + were[1]) / 2
    up = np.clip((middle - y) / np.maximum(middle - edges[0], 1e-3), 0.0, 1.0)
    down = np.clip((y - middle) / np.maximum(edges[1] - middle, 1e-3), 0.0, 1.0)
    stretched = y + up * np.maximum(were[0] - edges[0], 0.0)
    stretched = stretched - down * np.maximum(edges[1] - were[1], 0.0)
    return _look_up(portrait.pixels, np.stack([x, stretched], axis=-1)).astype(np.float64)


def _mouth(
    portrait: Portrait,
    seen: Floats,
    edges: tuple[Floats, Floats],
    were: tuple[Floats, Floats],
) -> Floats:
    """Draw the mouth: the portrait's own teeth stay with the head, the rest is dark."""
    y = seen[..., 1]
    thin = 0.02 * portrait.unit
    showed = np.clip((were[1] - were[0]) / (0.6 * thin) - 1.0, 0.0, 1.0)
    # teeth that the portrait hides show as a dim edge where its lips meet
    gap = np.clip((edges[1] - edges[0]) / portrait.unit / 0.06 - 0.3, 0.0, 1.0)
    upper_row = _eased((0.045 - (y - were[0]) / portrait.unit) / 0.02)
    hint = (0.55 * gap * upper_row * (1.0 - showed))[..., None]
    dark = hint * TEETH + (1.0 - hint) * MOUTH_DARK
    above = np.clip((were[0] - y) / thin, 0.0, 1.0)[..., None]
    below = np.clip((y - were[1]) / thin, 0.0, 1.0)[..., None]
    hidden = showed[..., None] * GUMS + (1.0 - showed[..., None]) * dark
    own = _look_up(portrait.pixels, seen).astype(np.float64)
    return above * hidden + below * dark + (1.0 - above - below) * own
