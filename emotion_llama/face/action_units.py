"""Tracked points of a face -> action units on the 0-5 scale, and how far each can be relied on.

Knows: the fit of the movement table to a face's points, neutral faces, what makes a value
unreliable. Does not know: pictures, tracking, emotions, which frame is the peak.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.alignment import align_face, square_around
from emotion_llama.face.brow_reading import UNITS as BROW_UNITS
from emotion_llama.face.brow_reading import read_brows
from emotion_llama.face.detector import FaceBox
from emotion_llama.face.movements import (
    FULL,
    MM,
    MOVEMENTS,
    REGION_OF_UNIT,
    RIGHT_SIDE,
    group_shifts,
    lip_gap,
    movement_matrix,
    one_side,
)
from emotion_llama.face.networks import REGIONS
from emotion_llama.face.points import MIRRORED
from emotion_llama.face.shape import eye_distance_px, frontal, population
from emotion_llama.records import ActionUnitTable, FaceTrack, NeutralScope

PRODUCER, VERSION = "face-points movement fit", "3"

FITTED = tuple(MOVEMENTS)
PARTED, JAW = "AU25", "AU26"
FAR_JAW = "AU27"
"""Mouth stretch: what the jaw drops beyond the full grade of AU26."""
MOST_MOVEMENT = {JAW: 2.0}
LARGEST = 1.5
"""Largest fitted share of the movements in `MOST_MOVEMENT`, and of the others: people differ, and
what a fit may not explain by the movement itself it explains by others. Grades end at 5."""
MODEL_ERROR = {"population": 1.0 * MM, "clip": 0.5 * MM}
"""Deviation of a real movement from the table's, of each coordinate."""
LIDS, LID_ERROR = (36, 37, 38, 39, 40, 41), 0.25 * MM
"""Points of the lids, and the same within a clip: they move little, and err little."""
CHIN, CHIN_ERROR = (6, 7, 8), 5.0 * MM
"""Points of the chin, and how far its height misleads: it is a smooth line without a mark, and
face crops end there."""
MOUTH_AND_NOSE = (31, 32, 33, 48, 49, 50, 51, 57, 58, 59, 60, 61, 62, 66, 67)
"""Points that a dropping jaw takes along, each face in its own way."""
JAW_DROP = 13.0 * MM
"""How far the lower lip goes down at the full grade of the jaw (`MOVEMENTS`)."""
CLIP_SHIFT = 0.5 * MM
"""Deviation of the height of brows and eyes, nose, mouth as groups within a clip: misread pitch."""
PRIOR_DEVIATION = {"population": 0.5, "clip": 0.4}
"""Expected size of a movement as a share of the strongest: keeps noise from becoming movements."""

OPENING_STEP = 0.25
"""Steps in which the drop of the jaw (share of the full grade) is told apart below."""
OPENING_ERROR = 0.1
"""Deviation of the points of mouth and nose, as a share of how far the jaw has dropped: an open
mouth is formed in many ways, and what the table does not explain must not become other units."""
OPEN_FROM, OPEN_TO = 0.3, 0.6
"""Drop of the jaw (share of the full grade) from which the units below lose confidence, and at
which they are not measured: lips and nose follow the jaw, on talking people more than they express.
Chosen on the development clips (docs/face.md)."""
UNREAD_WHILE_OPEN = ("AU09", "AU10", "AU14", "AU15", "AU17", "AU20", "AU23", "AU28")
"""Units of nose and lips that cannot be read while the mouth is wide open; a smile can."""

FEWEST_FRAMES_FOR_NEUTRAL = 8
"""Frames from which a clip can show the person's neutral face; fewer are held against many
people's."""
CALM_SHARE, CALM_SPAN = 0.25, 0.5
"""Most of the frames, the calmest, that give the face at rest, and how much more movement (sum of
shares) than the calmest they may show: where a smile grows slowly, its beginning is no rest."""
FEWEST_CALM = 3
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
    widest_gap: float
    """between the lips when they part and the jaw drops in full, in eye corner distances"""


@cache
def _fit(scope: NeutralScope, opening: float = 0.0) -> _Fit:
    """Prepare the fit: least squares in the metric of what differs without any movement.

    Against many people's mean, faces at rest differ by their shape, of every coordinate and of the
    groups of points together. Against the person's own neutral only the points' errors differ; and
    there the movements are those that the network makes of known ones, which follow a moved part
    only half of the way. Both are measured on training people (``tools/make_face_population.py``).
    """
    statistics = population()
    if scope == "clip":
        shifts = CLIP_SHIFT * group_shifts()
        covariance = statistics["clip_covariance"].astype(np.float64) + shifts @ shifts.T
        movements = statistics["responses"].astype(np.float64)
    else:
        shifts = group_shifts() * statistics["population_shifts"].astype(np.float64)  # [58 x 3]
        spread = statistics["population_spread"].astype(np.float64)
        covariance = np.diag(spread**2) + shifts @ shifts.T
        movements = movement_matrix(FITTED)
    errors = np.full((len(RIGHT_SIDE), 2), MODEL_ERROR[scope])
    errors[[RIGHT_SIDE.index(point) for point in CHIN], 1] = CHIN_ERROR
    if scope == "clip":
        errors[[RIGHT_SIDE.index(point) for point in LIDS]] = LID_ERROR
    mouth_and_nose = [RIGHT_SIDE.index(point) for point in MOUTH_AND_NOSE]
    errors[mouth_and_nose] = np.hypot(errors[mouth_and_nose], OPENING_ERROR * opening * JAW_DROP)
    covariance = covariance + np.diag(errors.reshape(-1) ** 2)
    project = np.asarray(np.linalg.solve(covariance, movements), dtype=np.float64)  # [58 x u]
    prior = np.eye(len(FITTED)) / PRIOR_DEVIATION[scope] ** 2
    gram = movements.T @ project + prior
    left_over = np.diag(np.linalg.inv(gram)) / PRIOR_DEVIATION[scope] ** 2
    reliability = np.asarray(1.0 - left_over, dtype=np.float64)
    widest = movements[:, FITTED.index(PARTED)] + movements[:, FITTED.index(JAW)]
    return _Fit(gram, project, reliability, float(lip_gap(widest[None])[0]))


def _solve(
    fit: _Fit, differences: NDArray[np.float64], base: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Find the shares of movements that explain differences best.

    Minimises the squared distance in the metric of the fit plus the squared shares over their
    prior variance, by coordinate descent (the problem is convex: every start ends the same).

    Args:
        fit: metric and movements
        differences: from the face that shows the base, [t x 58]
        base: shares that this face shows already, [u]; default is none. With what is found they
            stay between 0 and the largest share

    Returns:
        what comes to the base; 1 is the strongest movement, [t x u]
    """
    target = differences @ fit.project  # [t x u]
    shown = np.zeros(len(FITTED)) if base is None else base
    most = np.array([MOST_MOVEMENT.get(unit, LARGEST) for unit in FITTED])
    shares = np.zeros_like(target)
    for _ in range(200):
        largest = 0.0
        for k in range(len(FITTED)):
            rest = target[:, k] - shares @ fit.gram[:, k]
            new = np.clip(shares[:, k] + rest / fit.gram[k, k], -shown[k], most[k] - shown[k])
            largest = max(largest, float(np.abs(new - shares[:, k]).max(initial=0.0)))
            shares[:, k] = new
        if largest < 1e-4:
            break
    return shares


def _shares(
    fit: _Fit, differences: NDArray[np.float64], base: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Give the shares of `_solve`, but of parted lips the gap itself, whatever parts them.

    The fit shares the gap out among jaw and lips; AU25 is scored with either (FACS manual).
    """
    shares = _solve(fit, differences, base)
    column = FITTED.index(PARTED)
    shown = 0.0 if base is None else base[column]
    shares[:, column] = np.clip(lip_gap(differences) / fit.widest_gap, -shown, 1.0 - shown)
    return shares


def _shares_in_motion(
    differences: NDArray[np.float64], base: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Give the shares of `_shares` against a person's own neutral, doubting an open mouth.

    Fit once to see how far the jaw has dropped, then again with what is known to go wrong there.
    """
    shares = _shares(_fit("clip"), differences, base)
    jaw = FITTED.index(JAW)
    opening = np.round((shares[:, jaw] + base[jaw]) / OPENING_STEP) * OPENING_STEP
    for one in np.unique(opening[opening > 0]):
        rows = opening == one
        shares[rows] = _shares(_fit("clip", float(one)), differences[rows], base)
    return shares


def _calm_face(
    differences: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Find the face that a clip shows in its calmest frames, and what it expresses.

    A movement that lasts there and is too strong for the shape of a face at rest is an expression;
    what is weaker is the person's own shape. Brows that stand high all through a clip are the
    person's own as well: neither points nor pixels tell them from raised ones.

    Args:
        differences: from the mean neutral face, of the frames that count, [t x 58]

    Returns:
        the calm face less the mean neutral one, [58]; the shares that it shows, [u]
    """
    shares = _shares(_fit("population"), differences)
    counted = [k for k, unit in enumerate(FITTED) if unit != "AU45"]
    total = shares[:, counted].sum(axis=1)  # [t]
    order = np.argsort(total, kind="stable")
    num_calm = int((total <= total[order[FEWEST_CALM - 1]] + CALM_SPAN).sum())
    calm = order[: max(FEWEST_CALM, min(num_calm, round(CALM_SHARE * len(order))))]
    lasting = np.median(shares[calm], axis=0)  # [u]
    base = np.where(lasting > OWN_SHAPE, lasting, 0.0)
    base[[FITTED.index(unit) for unit in BROW_UNITS]] = 0.0
    base[FITTED.index("AU45")] = 0.0  # lids that hang are the person's own
    return np.asarray(np.median(differences[calm], axis=0)), base


def measure_action_units(
    track: FaceTrack, frames: NDArray[np.int64] | None = None
) -> ActionUnitTable:
    """Estimate action units in every frame of a track.

    1. Turn the face to the front. 2. Take the person's calmest frames for the face at rest, what
    they clearly express apart; on a still or a very short clip the mean of many people. 3. Explain
    the difference by movements.

    A value is NaN where the face is too small, turned too far, or its part is covered; in a clip
    also, of lips and nose, where the mouth is wide open.

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
        calm, base = _calm_face(differences[usable])
        grades = FULL * (_shares_in_motion(differences - calm, base) + base)
    else:
        grades = FULL * _shares(_fit(scope), differences)
        # the points cannot tell a raised brow from a high one
        grades[:, [FITTED.index(unit) for unit in BROW_UNITS]] = read_brows(_aligned_crops(track))
    trust = trust * _closed(grades)
    values = np.where(trust > 0, grades, np.nan).astype(np.float32)
    sure = (trust * _fit(scope).reliability).astype(np.float32)
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


def _closed(grades: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give how far the drop of the jaw leaves each unit readable, 0 to 1, [t x u]."""
    opening = grades[:, FITTED.index(JAW)] / FULL
    left = np.clip((OPEN_TO - opening) / (OPEN_TO - OPEN_FROM), 0.0, 1.0)  # [t]
    concerned = np.array([unit in UNREAD_WHILE_OPEN for unit in FITTED])
    return np.where(concerned, left[:, None], 1.0)


def _aligned_crops(track: FaceTrack) -> NDArray[np.uint8]:
    """Give crops turned and scaled on the eyes, [t x s x s x 3]; cut again where they are not."""
    if track.is_aligned or track.points is None:
        return track.crops
    size = track.crops.shape[1]
    cuts = []
    for crop, box, points in zip(track.crops, track.boxes, track.points, strict=True):
        x, y, width, height = map(float, box)
        left, top, side = square_around(FaceBox(x, y, width, height, score=1.0))
        inside = points - np.array([left, top, 0.0])
        cuts.append(align_face(crop, inside * (size / side), size))
    return np.stack(cuts)


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
