"""Why an action unit has no value: a small, turned, doubtful or covered face, a wide-open mouth.

Knows: the limits of `action_units`. Does not know: how values are found, pictures.
"""

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.action_units import (
    FAR_JAW,
    MAX_TURN_DEG,
    MIN_EYE_PX,
    MIN_SCORE,
    MIN_VISIBLE,
    OPEN_TO,
    UNREAD_WHILE_OPEN,
)
from emotion_llama.face.movement_fit import JAW
from emotion_llama.face.movements import FULL, REGION_OF_UNIT
from emotion_llama.face.networks import REGIONS
from emotion_llama.face.shape import eye_distance_px
from emotion_llama.records import ActionUnitTable, FaceTrack

UNKNOWN = "reason unknown"


def why_never_measured(table: ActionUnitTable, track: FaceTrack) -> Mapping[str, str]:
    """Name the units without a value in any frame, each with its most frequent reason.

    Args:
        table: what was measured on the track
        track: a face with points
    """
    never = [unit for unit in table.units if np.isnan(table.intensity[unit]).all()]
    return {unit: _most_frequent(reasons_of_rows(table, track, unit)) for unit in never}


def reasons_of_rows(table: ActionUnitTable, track: FaceTrack, unit: str) -> list[str | None]:
    """Say for every row why a unit cannot be measured there; ``None`` where it can.

    Args:
        table: what was measured on the track
        track: a face with points
        unit: one that `measure_action_units` gives
    """
    assert track.points is not None and track.pose_deg is not None
    assert track.scores is not None and track.visible is not None
    region = REGION_OF_UNIT.get(JAW if unit == FAR_JAW else unit)
    covered = np.zeros(len(track.times_s), dtype=bool)
    if region is not None:
        covered = track.visible[:, REGIONS.index(region)] < MIN_VISIBLE
    checks: list[tuple[str, NDArray[np.bool_]]] = [
        (f"the face is too small (eye corners under {MIN_EYE_PX:g} px apart)",
         eye_distance_px(track.points) < MIN_EYE_PX),
        (f"the head is turned away ({MAX_TURN_DEG:g} degrees or more)",
         np.abs(track.pose_deg[:, :2]).max(axis=1) >= MAX_TURN_DEG),
        ("it is hardly a face", track.scores < MIN_SCORE),
        (f"the {region} {'are' if region == 'eyes' else 'is'} covered", covered),
        ("the mouth is wide open", _wide_open(table, unit)),
    ]  # fmt: skip
    reasons: list[str | None] = [None] * len(track.times_s)
    for words, holds in reversed(checks):  # the first check that holds has the last word
        for row in np.flatnonzero(holds):
            reasons[row] = words
    return reasons


def _wide_open(table: ActionUnitTable, unit: str) -> NDArray[np.bool_]:
    """Tell where the jaw has dropped too far for a unit of lips or nose to be read, [t]."""
    concerned = unit in UNREAD_WHILE_OPEN
    return (table.intensity[JAW] >= OPEN_TO * FULL) & concerned


def _most_frequent(reasons: list[str | None]) -> str:
    known = Counter(reason for reason in reasons if reason is not None)
    return known.most_common(1)[0][0] if known else UNKNOWN
