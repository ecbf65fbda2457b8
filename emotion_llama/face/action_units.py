"""Tracked face -> action units on the 0-5 scale, and how far each can be relied on.

Knows: which frames show the face at rest, grades, what makes a value unreliable. Does not know: how
movements are fitted, tracking, emotions, which frame is the peak.
"""

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.alignment import align_face, square_around
from emotion_llama.face.brow_reading import UNITS as BROW_UNITS
from emotion_llama.face.brow_reading import read_brows
from emotion_llama.face.detector import FaceBox
from emotion_llama.face.movement_fit import (
    FITTED,
    JAW,
    SkinMotion,
    clip_fit,
    clip_shares,
    population_fit,
    population_shares,
)
from emotion_llama.face.movements import FULL, REGION_OF_UNIT, RIGHT_SIDE, one_side
from emotion_llama.face.networks import REGIONS
from emotion_llama.face.points import MIRRORED
from emotion_llama.face.shape import eye_distance_px, frontal, population
from emotion_llama.face.skin_motion import FollowedPoints, follow_points
from emotion_llama.records import ActionUnitTable, FaceTrack, NeutralScope

PRODUCER, VERSION = "face movement fit", "5"

FAR_JAW = "AU27"
"""Mouth stretch: what the jaw drops beyond the full grade of AU26."""
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
CALM_ALIKE = 1.5
"""Difference from the calmest frame (sum over all movements of shares) beyond which a frame shows
another state, however calm: the mean of two states is neither."""
FEWEST_CALM = 3
RESTING = ("AU04", "AU45")
"""Units that do not make a frame less calm: many people's brows are low and lids hang at rest."""
MIDST, MIDST_S = 0.5, 1.0
"""Movement (sum of shares) that counts against a frame this many seconds or more from both ends of
what is seen of the face, less nearer to an end: an expression rises and falls, so that rest is
likelier at the ends. Between states that look equally calm this decides."""
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


def _calm_frames(shares: NDArray[np.float64], times_s: NDArray[np.float64]) -> NDArray[np.intp]:
    """Find the calmest frames.

    Args:
        shares: what each frame shows against many people's mean, [t x u]
        times_s: presentation times of the frames, [t]

    Returns:
        their numbers, the calmest first
    """
    counted = [k for k, unit in enumerate(FITTED) if unit not in RESTING]
    to_end_s = np.minimum(times_s - times_s[0], times_s[-1] - times_s)
    total = shares[:, counted].sum(axis=1) + MIDST * np.minimum(to_end_s / MIDST_S, 1.0)  # [t]
    order = np.argsort(total, kind="stable")
    is_alike = np.abs(shares - shares[order[0]]).sum(axis=1) <= CALM_ALIKE
    order = np.concatenate([order[is_alike[order]], order[~is_alike[order]]])
    is_calm = is_alike & (total <= total[order[FEWEST_CALM - 1]] + CALM_SPAN)
    return order[: max(FEWEST_CALM, min(int(is_calm.sum()), round(CALM_SHARE * len(order))))]


def _lasting(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give what the face at rest expresses, [u], from the shares of the calm frames [c x u].

    A movement that lasts there and is too strong for the shape of a face at rest is an expression;
    what is weaker is the person's own shape. Brows and lids are the person's own as well, however
    high: neither points nor pixels tell them from raised ones.
    """
    lasting = np.median(shares, axis=0)
    base = np.where(lasting > OWN_SHAPE, lasting, 0.0)
    base[[FITTED.index(unit) for unit in (*BROW_UNITS, "AU45")]] = 0.0
    return base


def _shares_in_clip(
    track: FaceTrack,
    usable: NDArray[np.bool_],
    differences: NDArray[np.float64],
    pose_deg: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Explain a clip against the person's own face at rest.

    Args:
        track: a face with points, [t]
        usable: the frames that count, n of them, [t]
        differences: of their points from the mean neutral face, [n x 58]
        pose_deg: their yaw, pitch and roll, [n x 3]

    Returns:
        share of each movement of `FITTED`, [n x u]
    """
    shares = population_shares(differences)
    calm = _calm_frames(shares, track.times_s[usable])
    at_rest = np.median(differences[calm], axis=0)  # [58]
    base = _lasting(shares[calm])
    skin = None
    if track.views is not None and track.points is not None:
        likest = calm[np.abs(differences[calm] - at_rest).sum(axis=1).argmin()]
        reference = int(np.flatnonzero(usable)[likest])
        # all frames: the views of those that count, picked out, would be a second copy of a film
        followed = follow_points(track.views, track.points, reference).of(usable)
        eyes_px = eye_distance_px(track.points[usable])
        skin = _skin_motion(followed, calm, pose_deg, eyes_px)
    return clip_shares(differences - at_rest, skin, base) + base


def _skin_motion(
    followed: FollowedPoints,
    calm: NDArray[np.intp],
    pose_deg: NDArray[np.float64],
    eyes_px: NDArray[np.float64],
) -> SkinMotion:
    """Give where followed skin has gone since the calm frames, and how far that may be wrong."""
    places = one_side(frontal(followed.points)[0], MIRRORED)  # [n x 58]
    turned_deg = np.linalg.norm(pose_deg[:, :2] - np.median(pose_deg[calm, :2], axis=0), axis=1)
    return SkinMotion(
        differences=places - np.median(places[calm], axis=0),
        is_certain=followed.is_certain[:, RIGHT_SIDE].reshape(places.shape),
        turn=np.sin(np.radians(np.minimum(turned_deg, 90.0))),
        eye_distance_px=eyes_px,
    )


def measure_action_units(
    track: FaceTrack, frames: NDArray[np.int64] | None = None
) -> ActionUnitTable:
    """Estimate action units in every frame of a track.

    1. Turn the face to the front. 2. Take the person's calmest frames for the face at rest, what
    they clearly express apart; on a still or a very short clip the mean of many people. 3. Follow
    the skin of the face at rest through the clip. 4. Explain by movements where points and skin
    have gone.

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
        scope, fit = "clip", clip_fit()
        grades = np.zeros((len(differences), len(FITTED)))
        shares = _shares_in_clip(track, usable, differences[usable], pose_deg[usable])
        grades[usable] = FULL * shares
    else:
        fit = population_fit()
        grades = FULL * population_shares(differences)
        # the points cannot tell a raised brow from a high one
        grades[:, [FITTED.index(unit) for unit in BROW_UNITS]] = read_brows(_aligned_crops(track))
    trust = trust * _closed(grades)
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
