"""Where the points and the skin of a face have gone -> how much of each movement explains it.

Knows: the movements of the table, how far each source of places errs. Does not know: pictures,
networks, which face is at rest, grades.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.movements import (
    MM,
    MOVEMENTS,
    RIGHT_SIDE,
    group_shifts,
    lip_gap,
    movement_matrix,
)
from emotion_llama.face.shape import population

Floats = NDArray[np.float64]

FITTED = tuple(MOVEMENTS)
PARTED, JAW = "AU25", "AU26"
MOST_MOVEMENT = {JAW: 2.0}
LARGEST = 1.5
"""Largest fitted share of the movements in `MOST_MOVEMENT`, and of the others: people differ, and
what a fit may not explain by the movement itself it explains by others. Grades end at 5."""
PRIOR_POPULATION, PRIOR_CLIP = 0.5, 0.4
"""Expected size of a movement as a share of the strongest, against many people's mean and against
the person's own face at rest: keeps noise from becoming movements."""

ERROR_POPULATION, ERROR_CLIP = 1.0 * MM, 0.5 * MM
"""Deviation of a real movement from the table's, of each coordinate; the same two."""
LIDS, LID_ERROR = (36, 37, 38, 39, 40, 41), 0.25 * MM
"""Points of the lids, and the same within a clip: they move little, and err little."""
CHIN, CHIN_ERROR = (6, 7, 8), 5.0 * MM
"""Points of the chin, and how far its height misleads: it is a smooth line without a mark, and
face crops end there."""
MOUTH_AND_NOSE = (31, 32, 33, 48, 49, 50, 51, 57, 58, 59, 60, 61, 62, 66, 67)
"""Points that a dropping jaw takes along, each face in its own way."""
CLIP_SHIFT = 0.5 * MM
"""Deviation of the height of brows and eyes, nose, mouth as groups within a clip: misread pitch."""

SKIN_GAIN = 0.9
"""Share of a movement that the squares of skin around the points follow: they reach beyond the edge
that moves. Median over planted motions of development people .7 to 1.0 (docs/face.md)."""
SKIN_SHIFT = 0.3 * MM
"""As `CLIP_SHIFT`, of followed skin."""
SKIN_MOUTH_ERROR = 1.0 * MM
"""What comes to the error of skin at mouth and nose: talking lips do more than the table knows."""
SKIN_PX = 0.25
"""Error of a followed place in pixels of the frame."""
SKIN_DEPTH = 5.0 * MM
"""How far the skin may lie off the depth that the network sees: by the sine of the head's turn this
becomes a motion that is none."""

JAW_DROP = 13.0 * MM
"""How far the lower lip goes down at the full grade of the jaw (`MOVEMENTS`)."""
FRAMES_AT_ONCE = 2048
"""Frames whose equations are held at a time, 3 kB each: a long film would fill the memory."""

OPENING_STEP = 0.25
"""Steps in which the drop of the jaw (share of the full grade) is told apart below."""
OPENING_ERROR = 0.1
"""Deviation of the points of mouth and nose, as a share of how far the jaw has dropped: an open
mouth is formed in many ways, and what the table does not explain must not become other units."""


@dataclass(frozen=True)
class SkinMotion:
    """Where followed skin has gone since the face at rest, in a clip."""

    differences: Floats
    """from the face at rest, numbers of `one_side`, [t x 58]"""
    is_certain: NDArray[np.bool_]
    """whether each number is known, [t x 58]"""
    turn: Floats
    """sine of the head's turn since, [t]"""
    eye_distance_px: Floats
    """[t]"""

    def rows(self, chosen: slice) -> "SkinMotion":
        """Give the motion of some frames."""
        return SkinMotion(
            self.differences[chosen],
            self.is_certain[chosen],
            self.turn[chosen],
            self.eye_distance_px[chosen],
        )


@dataclass(frozen=True)
class Fit:
    """The movement table made ready for what differs without any movement."""

    gram: Floats
    """[u x u]"""
    project: Floats
    """differences [t x 58] @ project = right-hand sides [t x u]"""
    reliability: Floats
    """share of the prior uncertainty of each movement that the points remove, 0 to 1, [u]"""
    widest_gap: float
    """between the lips when they part and the jaw drops in full, in eye corner distances"""


@cache
def population_fit() -> Fit:
    """Prepare the fit against many people's mean, which tells apart less.

    Faces at rest differ by their shape, of every coordinate and of the groups of points together.
    """
    statistics = population()
    shifts = group_shifts() * statistics["population_shifts"].astype(np.float64)  # [58 x 3]
    spread = statistics["population_spread"].astype(np.float64)
    covariance = np.diag(spread**2) + shifts @ shifts.T
    errors = _point_errors(np.full((len(RIGHT_SIDE), 2), ERROR_POPULATION))
    return _prepared(covariance, errors, movement_matrix(FITTED), PRIOR_POPULATION)


@cache
def clip_fit(opening: float = 0.0) -> Fit:
    """Prepare the fit of the network's points against the person's own face at rest.

    Only the points' errors differ there, and the movements are those that the network makes of
    known ones, which follow a moved part only half of the way. Both are measured on training people
    (``tools/make_face_population.py``).

    Args:
        opening: how far the jaw has dropped, as a share of the full grade
    """
    statistics = population()
    shifts = CLIP_SHIFT * group_shifts()
    covariance = statistics["clip_covariance"].astype(np.float64) + shifts @ shifts.T
    errors = _point_errors(_within_clip(), opening)
    return _prepared(covariance, errors, statistics["responses"].astype(np.float64), PRIOR_CLIP)


def _within_clip() -> Floats:
    """Give the errors of movements within a clip, [29 x 2]."""
    errors = np.full((len(RIGHT_SIDE), 2), ERROR_CLIP)
    errors[_rows(LIDS)] = LID_ERROR
    return errors


def _point_errors(errors: Floats, opening: float = 0.0) -> Floats:
    """Add to errors [29 x 2] those of the chin and of a mouth that opens."""
    errors = errors.copy()
    errors[_rows(CHIN), 1] = CHIN_ERROR
    concerned = _rows(MOUTH_AND_NOSE)
    errors[concerned] = np.hypot(errors[concerned], OPENING_ERROR * opening * JAW_DROP)
    return errors


def _rows(points: tuple[int, ...]) -> list[int]:
    return [RIGHT_SIDE.index(point) for point in points]


def _prepared(covariance: Floats, errors: Floats, movements: Floats, prior: float) -> Fit:
    """Prepare least squares in the metric of a covariance [58 x 58] and errors [29 x 2]."""
    metric = covariance + np.diag(errors.reshape(-1) ** 2)
    project = np.asarray(np.linalg.solve(metric, movements), dtype=np.float64)  # [58 x u]
    gram = movements.T @ project + np.eye(len(FITTED)) / prior**2
    reliability = np.asarray(1.0 - np.diag(np.linalg.inv(gram)) / prior**2, dtype=np.float64)
    widest = movements[:, FITTED.index(PARTED)] + movements[:, FITTED.index(JAW)]
    return Fit(gram, project, reliability, float(lip_gap(widest[None])[0]))


def population_shares(differences: Floats) -> Floats:
    """Explain differences from many people's mean.

    Args:
        differences: numbers of `one_side`, [t x 58]

    Returns:
        share of each movement of `FITTED`; 1 is the strongest, [t x u]
    """
    fit = population_fit()
    nothing = np.zeros(len(FITTED))
    shares = _solve(fit.gram, differences @ fit.project, nothing)
    return _with_gap(shares, lip_gap(differences) / fit.widest_gap, nothing)


def clip_shares(differences: Floats, skin: SkinMotion | None, base: Floats) -> Floats:
    """Explain differences from the person's own face at rest, doubting an open mouth.

    Fit once to see how far the jaw has dropped, then again with what is known to go wrong there.

    Args:
        differences: of the network's points, [t x 58]
        skin: what followed skin says of the same frames; ``None``: nothing was followed
        base: shares that the face at rest shows already, [u]

    Returns:
        what comes to the base, [t x u]
    """
    if len(differences) > FRAMES_AT_ONCE:
        parts = [
            slice(first, first + FRAMES_AT_ONCE)
            for first in range(0, len(differences), FRAMES_AT_ONCE)
        ]
        return np.concatenate(
            [clip_shares(differences[p], skin and skin.rows(p), base) for p in parts]
        )
    jaw = FITTED.index(JAW)
    opening = np.zeros(len(differences))
    for _ in range(2):
        shares = _shares_at(opening, differences, skin, base)
        steps = np.round((shares[:, jaw] + base[jaw]) / OPENING_STEP) * OPENING_STEP
        opening = np.maximum(steps, 0.0)
    gap = lip_gap(differences)
    if skin is not None:  # the network follows the gap itself only in part
        gap = np.maximum(gap, lip_gap(shares @ movement_matrix(FITTED).T))
    return _with_gap(shares, gap / clip_fit().widest_gap, base)


def _shares_at(
    opening: Floats, differences: Floats, skin: SkinMotion | None, base: Floats
) -> Floats:
    """Give the shares that explain both kinds of places, each weighed by its error."""
    fits = [clip_fit(float(one)) for one in opening]
    gram = np.stack([fit.gram for fit in fits])  # [t x u x u]
    target = np.stack([row @ fit.project for row, fit in zip(differences, fits, strict=True)])
    if skin is not None:
        skin_gram, skin_target = _skin_terms(skin, opening)
        gram, target = gram + skin_gram, target + skin_target
    return _solve(gram, target, base)


def _skin_terms(skin: SkinMotion, opening: Floats) -> tuple[Floats, Floats]:
    """Give what followed skin adds to the equations, [t x u x u] and [t x u].

    Its errors are independent but for the shift of the groups, which is taken out of them (matrix
    inversion lemma, Woodbury 1950); a place that is lost weighs nothing.
    """
    movements = SKIN_GAIN * movement_matrix(FITTED)  # [58 x u]
    weights = np.where(skin.is_certain, _skin_errors(skin, opening) ** -2, 0.0)  # [t x 58]
    shifts = SKIN_SHIFT * group_shifts()  # [58 x 3]
    own = np.einsum("iu,ti,iv->tuv", movements, weights, movements, optimize=True)
    cross = np.einsum("iu,ti,ig->tug", movements, weights, shifts, optimize=True)
    shared = np.eye(shifts.shape[1]) + np.einsum("ig,ti,ih->tgh", shifts, weights, shifts)
    taken = np.linalg.solve(shared, np.swapaxes(cross, 1, 2))  # [t x 3 x u]
    weighed = weights * skin.differences
    target = weighed @ movements - np.einsum("tgu,tg->tu", taken, weighed @ shifts)
    return own - cross @ taken, target


def _skin_errors(skin: SkinMotion, opening: Floats) -> Floats:
    """Give the error of every number of followed skin, [t x 58]."""
    usual = _within_clip()
    concerned = _rows(MOUTH_AND_NOSE)
    usual[concerned] = np.hypot(usual[concerned], SKIN_MOUTH_ERROR)
    steps, which = np.unique(opening, return_inverse=True)
    known = np.stack([_point_errors(usual, float(one)).reshape(-1) for one in steps])[which]
    doubt = np.hypot(SKIN_PX / skin.eye_distance_px, SKIN_DEPTH * skin.turn)  # [t]
    return np.asarray(np.hypot(known, doubt[:, None]))


def _with_gap(shares: Floats, gap: Floats, base: Floats) -> Floats:
    """Put the gap between the lips itself in the place of AU25, whatever parts them.

    The fit shares the gap out among jaw and lips; AU25 is scored with either (FACS manual).
    """
    column = FITTED.index(PARTED)
    shares = shares.copy()
    shares[:, column] = np.clip(gap, -base[column], 1.0 - base[column])
    return shares


def _solve(gram: Floats, target: Floats, base: Floats) -> Floats:
    """Find the shares of movements that explain differences best.

    Minimises the squared distance in the metric of the fit plus the squared shares over their
    prior variance, by coordinate descent (the problem is convex: every start ends the same).

    Args:
        gram: one for all frames or one for each, [u x u] or [t x u x u]
        target: right-hand sides, [t x u]
        base: shares that are there already, [u]; what is found takes at most these back, and adds
            at most the largest share

    Returns:
        what comes to the base; 1 is the strongest movement, [t x u]
    """
    most = np.array([MOST_MOVEMENT.get(unit, LARGEST) for unit in FITTED])
    shares = np.zeros_like(target)
    for _ in range(200):
        largest = 0.0
        for k in range(len(FITTED)):
            row = gram[..., k, :]  # [u] or [t x u]
            rest = target[:, k] - (shares * row).sum(axis=1)
            new = np.clip(shares[:, k] + rest / row[..., k], -base[k], most[k])
            largest = max(largest, float(np.abs(new - shares[:, k]).max(initial=0.0)))
            shares[:, k] = new
        if largest < 1e-4:
            break
    return shares
