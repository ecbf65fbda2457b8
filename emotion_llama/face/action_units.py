"""Tracked points of a face -> action units on the 0-5 scale, and how far each can be relied on.

Knows: the fit of the movement table to a face's points, neutral faces, what makes a value
unreliable. Does not know: pictures, tracking, emotions, which frame is the peak.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.brow_reading import UNITS as BROW_UNITS
from emotion_llama.face.brow_reading import read_brows
from emotion_llama.face.movements import (
    FULL,
    MM,
    MOVEMENTS,
    REGION_OF_UNIT,
    group_shifts,
    movement_matrix,
    one_side,
)
from emotion_llama.face.networks import REGIONS
from emotion_llama.face.points import MIRRORED
from emotion_llama.face.shape import eye_distance_px, frontal, population
from emotion_llama.records import ActionUnitTable, FaceTrack, NeutralScope

PRODUCER, VERSION = "face-points movement fit", "1"

FITTED = tuple(MOVEMENTS)
JAW = "AU26"
FAR_JAW = "AU27"
"""Mouth stretch: what the jaw drops beyond the full grade of AU26."""
MOST_MOVEMENT = {JAW: 2.0}
"""Largest fitted share of a movement, where it is not 1."""
MODEL_ERROR = 1.0 * MM
"""Deviation of a real movement from the table's, of each coordinate."""
PRIOR_DEVIATION = 0.5
"""Expected size of a movement as a share of the strongest: keeps noise from becoming movements."""

FEWEST_FRAMES_FOR_NEUTRAL = 8
"""Frames from which a clip can show the person's neutral face; fewer are held against many
people's."""
CALM_SHARE = 0.25
"""Share of frames, the calmest, that give the neutral face."""
OWN_SHAPE = 0.25
"""Movement (share of the strongest) that the calmest frames may hold and still count as the shape
of a face at rest: about a grade."""

MIN_EYE_PX, GOOD_EYE_PX = 14.0, 40.0
"""Distance of the outer eye corners: below the first nothing is measured, from the second on size
costs no confidence."""
GOOD_TURN_DEG, MAX_TURN_DEG = 20.0, 45.0
"""Yaw or pitch: confidence falls from the first and is 0 at the second, where nothing is measured.
"""
MIN_SCORE, MIN_VISIBLE = 0.5, 0.5
"""Probability of a face, and of its part being uncovered, below which nothing is measured."""


@dataclass(frozen=True)
class _Fit:
    """The movement table made ready for one metric."""

    gram: NDArray[np.float64]
    """[u x u]"""
    project: NDArray[np.float64]
    """differences [t x 58] @ project = right-hand sides [t x u]"""
    reliability: NDArray[np.float64]
    """share of the prior uncertainty of each movement that the points remove, 0 to 1, [u]"""


@cache
def _fit(scope: NeutralScope) -> _Fit:
    """Prepare the fit: least squares in the metric of what differs without any movement.

    Against many people's mean, faces at rest differ by their shape; against the person's own
    neutral only by errors of the points. Both spreads are measured on training people: of every
    coordinate, and of the shifts that move a group of points together.
    """
    statistics = population()
    shifts = group_shifts() * statistics[f"{scope}_shifts"].astype(np.float64)  # [58 x 3]
    spread = statistics[f"{scope}_spread"].astype(np.float64) ** 2 + MODEL_ERROR**2
    covariance = shifts @ shifts.T + np.diag(spread)
    movements = movement_matrix(FITTED)
    project = np.asarray(np.linalg.solve(covariance, movements), dtype=np.float64)  # [58 x u]
    prior = np.eye(len(FITTED)) / PRIOR_DEVIATION**2
    gram = movements.T @ project + prior
    left_over = np.diag(np.linalg.inv(gram)) / PRIOR_DEVIATION**2
    return _Fit(gram, project, np.asarray(1.0 - left_over, dtype=np.float64))


def _solve(fit: _Fit, differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the shares of movements, not below 0, that explain differences best.

    Minimises the squared distance in the metric of the fit plus the squared shares over their
    prior variance, by coordinate descent (the problem is convex: every start ends the same).

    Args:
        fit: metric and movements
        differences: from neutral, [t x 58]

    Returns:
        1 is the strongest movement, [t x u]
    """
    target = differences @ fit.project  # [t x u]
    most = np.array([MOST_MOVEMENT.get(unit, 1.0) for unit in FITTED])
    shares = np.zeros_like(target)
    for _ in range(200):
        largest = 0.0
        for k in range(len(FITTED)):
            rest = target[:, k] - shares @ fit.gram[:, k]
            new = np.clip(shares[:, k] + rest / fit.gram[k, k], 0.0, most[k])
            largest = max(largest, float(np.abs(new - shares[:, k]).max(initial=0.0)))
            shares[:, k] = new
        if largest < 1e-4:
            break
    return shares


def _own_neutral(differences: NDArray[np.float64]) -> NDArray[np.float64]:
    """Estimate how a person's face at rest differs from many people's mean.

    1. Fit movements against the mean. 2. Take the calmest frames. 3. What they show beyond their
    movements, and movements too weak to tell from the shape of a face, is the person's.

    Args:
        differences: from the mean neutral face, of the frames that count, [t x 58]

    Returns:
        the person's neutral less the mean one, [58]
    """
    shares = _solve(_fit("population"), differences)
    counted = [k for k, unit in enumerate(FITTED) if unit != "AU45"]
    order = np.argsort(shares[:, counted].sum(axis=1), kind="stable")
    calm = order[: max(3, round(CALM_SHARE * len(order)))]
    lasting = np.median(shares[calm], axis=0)  # [u]
    movement = np.where(lasting > OWN_SHAPE, shares[calm], shares[calm] - lasting)
    rest = differences[calm] - movement @ movement_matrix(FITTED).T
    return np.asarray(np.median(rest, axis=0))


def measure_action_units(
    track: FaceTrack, frames: NDArray[np.int64] | None = None
) -> ActionUnitTable:
    """Estimate action units in every frame of a track.

    1. Turn the face to the front. 2. Take the person's neutral from the calmest frames; on a still
    or a very short clip the mean of many people. 3. Explain the difference by movements.

    A value is NaN where the face is too small, turned too far, or its part is covered.

    Args:
        track: a face with points
        frames: frame number of each row, [t]; default counts from 0

    Raises:
        ValueError: the track has no points
    """
    if track.points is None or track.scores is None or track.visible is None:
        msg = (
            f"found a face track by {track.producer!r} without points, expected one of "
            "track_faces; action units are read off the points"
        )
        raise ValueError(msg)
    shapes, pose_deg = frontal(track.points)
    differences = one_side(shapes, MIRRORED) - population()["neutral"]
    trust = _trust(track, pose_deg)  # [t x u]
    usable = trust.max(axis=1) > 0
    scope: NeutralScope = "population"
    if usable.sum() >= FEWEST_FRAMES_FOR_NEUTRAL:
        scope = "clip"
        differences = differences - _own_neutral(differences[usable])
    fit = _fit(scope)
    grades = FULL * _solve(fit, differences)
    if scope == "population":  # the points alone cannot tell a raised brow from a high one
        brows = [FITTED.index(unit) for unit in BROW_UNITS]
        grades[:, brows] = (grades[:, brows] + read_brows(track.crops)) / 2
    values = np.where(trust > 0, grades, np.nan).astype(np.float32)
    sure = (trust * fit.reliability).astype(np.float32)
    intensity = {unit: np.minimum(values[:, k], FULL) for k, unit in enumerate(FITTED)}
    confidence = {unit: sure[:, k] for k, unit in enumerate(FITTED)}
    jaw = values[:, FITTED.index(JAW)]
    intensity[FAR_JAW] = np.clip(jaw - FULL, 0.0, FULL)
    confidence[FAR_JAW] = confidence[JAW]
    return ActionUnitTable(
        times_s=track.times_s,
        frames=np.arange(len(track.times_s)) if frames is None else frames,
        intensity=dict(sorted(intensity.items())),
        presence={},
        confidence=dict(sorted(confidence.items())),
        tracked=usable,
        scale="0-5",
        scope=scope,
        producer=f"{PRODUCER} on {track.producer}",
        version=VERSION,
    )


def _trust(track: FaceTrack, pose_deg: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give how far size, turn, cover and the network's own doubt leave each unit, [t x u]."""
    assert track.points is not None and track.scores is not None and track.visible is not None
    eyes_px = eye_distance_px(track.points)
    size = np.clip(eyes_px / GOOD_EYE_PX, 0.0, 1.0) * (eyes_px >= MIN_EYE_PX)
    turn = np.abs(pose_deg[:, :2]).max(axis=1)
    front = np.clip((MAX_TURN_DEG - turn) / (MAX_TURN_DEG - GOOD_TURN_DEG), 0.0, 1.0)
    face = np.where(track.scores >= MIN_SCORE, track.scores, 0.0)
    seen = np.where(track.visible >= MIN_VISIBLE, track.visible, 0.0)  # [t x 3]
    parts = [REGIONS.index(REGION_OF_UNIT[unit]) for unit in FITTED]
    return np.asarray((size * front * face)[:, None] * seen[:, parts])
