"""A face through a clip -> whether its person talks: then an open mouth is no expression.

Knows: how the gap between the lips moves in speech. Does not know: how action units are measured,
where sound comes from. The one place that decides whether AU25, AU26 and AU27 count
(`emotion_llama.face.peak`).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.action_units import MIN_VISIBLE
from emotion_llama.face.networks import REGIONS
from emotion_llama.face.points import LEFT_EYE, RIGHT_EYE
from emotion_llama.records import FaceTrack

LEAST_SWING = 0.08
"""Of the gap between the lips, in distances between the eyes: every one of 72 acted sentences has
`FEWEST_SWINGS` of them, and no portrait that rests or moves its mouth once as many of .02."""
FEWEST_SWINGS = 3
"""Open, closed, open: a mouth that falls open or smiles once does not come to as many."""
WITHIN_S = 2.0
"""Seconds in which so many swings are speech; lips that talk move four to five times a second, of
which a reader that looks at 5 frames a second sees every other one."""

_INNER_LIPS = ((61, 67), (62, 66), (63, 65))
"""Points that face each other on the inner edges, upper and lower."""


def is_talking(track: FaceTrack | None, *, has_sound: bool) -> bool:
    """Tell whether somebody may be talking: there is audible sound, or the lips are seen to talk.

    Args:
        track: whose face; ``None`` where nobody's was followed
        has_sound: whether the clip has audible sound, whoever makes it
    """
    return has_sound or (track is not None and lips_talk(track))


def lips_talk(track: FaceTrack) -> bool:
    """Tell whether lips open and close as in speech, without a sound to go by."""
    if track.points is None or len(track.points) <= FEWEST_SWINGS:
        return False
    points = track.points[..., :2]  # [t x 70 x 2]
    rows = np.ones(len(points), dtype=bool)
    if track.visible is not None:
        rows = track.visible[:, REGIONS.index("mouth")] >= MIN_VISIBLE
    if not rows.any():
        return False
    eyes = points[:, RIGHT_EYE].mean(1) - points[:, LEFT_EYE].mean(1)
    upper, lower = np.transpose(_INNER_LIPS)
    gaps = np.linalg.norm(points[:, upper] - points[:, lower], axis=-1).mean(1)
    gaps = gaps / np.median(np.linalg.norm(eyes, axis=-1))
    at_s = track.times_s[rows][swings(gaps[rows], LEAST_SWING)]
    return bool((at_s[FEWEST_SWINGS - 1 :] - at_s[: 1 - FEWEST_SWINGS] <= WITHIN_S).any())


def swings(values: NDArray[np.floating] | Sequence[float], least: float) -> NDArray[np.intp]:
    """Give the rows at which values [t] have gone ``least`` far, each time in the other direction.

    A way further in the same direction is the same swing.
    """
    found: list[int] = []
    low = high = float(values[0])
    direction = 0
    for row, value in enumerate(map(float, values)):
        low, high = min(low, value), max(high, value)
        turned = 1 if value - low >= least else -1 if high - value >= least else direction
        if turned != direction:
            found.append(row)
            direction = turned
            low = high = value
        elif direction > 0:
            low = high  # only a fall from the highest counts now
        elif direction < 0:
            high = low
    return np.array(found, dtype=np.intp)
