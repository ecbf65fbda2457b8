"""What the landmark network makes of movements that are known: the instrument's own calibration.

The network follows a moved brow or lip corner only part of the way, and takes neighbouring points
along. Training faces are moved by known movements and looked at again. Knows: local motion, the
network's answer. Does not know: the fit, the planted clips that judge it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.alignment import Region, region_of_points
from emotion_llama.face.landmarks import FaceLandmarker
from emotion_llama.face.movement_fit import FITTED, JAW
from emotion_llama.face.movements import movement_matrix, one_side
from emotion_llama.face.points import MIRRORED
from emotion_llama.face.shape import frontal

from . import material
from .composition import Random
from .local_motion import UNITS, with_motion
from .material import Face

NUM_FACES, NUM_MIXTURES = 120, 2400
MAX_YAW_DEG, MIN_BOX_PX = 20.0, 90.0
SMALL = {"AU45": 0.3}
"""Share of the strongest movement at which the answer is taken, where it is not all of it."""
MOST_MIXED = 3
LIKE_TABLE = 0.5
"""Cosine to the table's movement under which an answer is mostly what the network drags along: such
a unit keeps the table's direction."""
OPENING = 0.75
"""Share of the table's movement that the network follows of lips and jaw; these cannot be warped.
Of the planted jaw drops of development people it follows 10 of 13 mm."""
OUTLIERS = 0.03
"""Share of mixtures, the worst explained, that do not count for the errors: faces lost."""
SHIFT, GROWTH, ROLL_DEG = 0.02, 0.03, 2.0
"""Deviations of the region in which a face is looked at from one frame to the next."""


def responses(data_dir: Path, random: Random) -> dict[str, Any]:
    """Move training faces and measure what the network sees.

    Returns:
        ``responses`` [58 x u]: answer to the strongest movement of each unit of ``FITTED``, in the
        numbers of `one_side`; ``clip_covariance`` [58 x 58]: what mixtures of movements leave
        unexplained
    """
    faces = [
        face
        for face in material.lfw(data_dir, "train")
        if abs(material.yaw_of(face.points)) < MAX_YAW_DEG and face.box[2] > MIN_BOX_PX
    ]
    chosen = [faces[k] for k in random.permutation(len(faces))[:NUM_FACES]]
    landmarker = FaceLandmarker()
    at_rest = [_look(landmarker, face) for face in chosen]
    answers = _answers(landmarker, chosen, at_rest)
    shares = np.zeros((NUM_MIXTURES, len(FITTED)))
    seen = np.zeros((NUM_MIXTURES, len(answers)))
    for row in range(NUM_MIXTURES):
        face, rest = chosen[row % len(chosen)], at_rest[row % len(chosen)]
        mixture = _mixture(random)
        shares[row] = [mixture.get(unit, 0.0) for unit in FITTED]
        moved = with_motion(face, {unit: (share, share) for unit, share in mixture.items()})
        seen[row] = _look(landmarker, moved, random) - rest
    left_over = seen - shares @ answers.T
    usual = 1.4826 * np.median(np.abs(left_over), axis=0) + 1e-6
    size = np.linalg.norm(left_over / usual, axis=1)
    counted = left_over[size < np.quantile(size, 1 - OUTLIERS)]
    return {
        "responses": answers.astype(np.float32),
        "clip_covariance": np.cov(counted.T).astype(np.float32),
    }


def _mixture(random: Random) -> Mapping[str, float]:
    """Draw up to three units and their shares."""
    units = random.choice(UNITS, int(random.integers(0, MOST_MIXED + 1)), replace=False)
    return {str(unit): random.uniform(0.0, SMALL.get(str(unit), 1.0)) for unit in units}


def _answers(
    landmarker: FaceLandmarker, faces: Sequence[Face], at_rest: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Give the median answer to the strongest movement of each unit, [58 x u]."""
    table = movement_matrix(FITTED)
    answers = OPENING * table
    gains = []
    for column, unit in enumerate(FITTED):
        if unit not in UNITS:
            continue
        share = SMALL.get(unit, 1.0)
        moved = [with_motion(face, {unit: (share, share)}) for face in faces]
        seen = [_look(landmarker, face) - rest for face, rest in zip(moved, at_rest, strict=True)]
        answers[:, column] = np.median(seen, axis=0) / share
        along = table[:, column]
        gains.append(float(answers[:, column] @ along / (along @ along)))
        size = float(np.linalg.norm(answers[:, column]) * np.linalg.norm(along))
        likeness = float(answers[:, column] @ along) / size
        print(f"{unit}: follows {gains[-1]:.2f} of the movement, likeness {likeness:.2f}")
        if likeness < LIKE_TABLE:
            answers[:, column] = float(np.mean(gains)) * along
    assert JAW in FITTED and JAW not in UNITS
    return answers


def _look(
    landmarker: FaceLandmarker, face: Face, random: Random | None = None
) -> NDArray[np.float64]:
    """Find the points of a face as a tracker would and give them as `one_side` does, [58]."""
    region: Region = region_of_points(face.points)
    if random is not None:
        x, y = np.array(region.centre) + random.normal(0, SHIFT, 2) * region.side
        region = replace(
            region,
            centre=(float(x), float(y)),
            side=region.side * float(np.exp(random.normal(0, GROWTH))),
            roll_deg=region.roll_deg + float(random.normal(0, ROLL_DEG)),
        )
    found = landmarker.find(face.pixels, [region])[0]
    return one_side(frontal(found.points[None])[0], MIRRORED)[0]
