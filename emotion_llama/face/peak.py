"""Action units over time -> the frame in which the expression is strongest.

Knows: the published formula in both of its readings, and which units and frames count. Does not
know: how units were measured, pictures. Source: Cheng et al. 2024, section 3.1 and appendix A.3:
the frame with the largest sum of intensities; docs/face.md has the two readings.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from emotion_llama.records import ActionUnitTable

PeakReading = Literal["all", "frequent"]
"""``all`` sums every unit (main text); ``frequent`` only the units that occur most often over the
clip (appendix)."""

BLINKS = ("AU43", "AU45")
"""Closed eyes: never part of the sum, since everybody blinks."""
SPEECH = ("AU25", "AU26", "AU27")
"""Parted lips and dropped jaw: talking does that too."""
PRESENT = 1.0
"""Grade from which a unit counts as occurring in a frame."""
OFTEN = 0.5
"""A unit occurs often if it does in this share of the frames of the most frequent one."""
CONFIDENT = 0.5
"""A frame counts if its mean confidence is at least this share of the clip's best frame's."""


@dataclass(frozen=True)
class PeakFrame:
    """The frame with the strongest expression, and how it was chosen."""

    row: int
    """row of the table"""
    frame: int
    """frame number of that row, as the table's producer counted"""
    time_s: float
    score: float
    """sum of the intensities that count"""
    reading: PeakReading
    units: tuple[str, ...]
    """units that were summed"""
    num_frames: int
    """frames that were compared"""


def peak_frame(
    table: ActionUnitTable,
    reading: PeakReading = "all",
    *,
    speech_counts: bool = False,
    weighs: bool = True,
) -> PeakFrame | None:
    """Find argmax over frames of the summed intensities; of equals, the first.

    Units weigh by their confidence, in the mean of the clip: what can hardly be measured decides
    little. Where a program gives all units one confidence, as OpenFace does, all weigh 1, and the
    sum is the published one.

    Frames count that are tracked and confident; blinks do not count. Parted lips and jaw drop
    count only on request: where somebody talks, the widest open vowel would be the peak.

    Args:
        table: action units of one person
        reading: which units are summed
        speech_counts: also sum AU25, AU26 and AU27; right for silent clips and stills
        weighs: whether units weigh by their confidence; not so as published

    Returns:
        ``None`` when no frame or no unit is left
    """
    left_out = uncounted_units(speech_counts=speech_counts)
    units = tuple(unit for unit in table.intensity if unit not in left_out)
    counted = countable_rows(table)
    if not units or not counted.any():
        return None
    if reading == "frequent":
        values = _completed(table, units, counted)
        occurrences = (values[counted] >= PRESENT).sum(axis=0)  # [u]
        if occurrences.max() > 0:
            often = occurrences >= OFTEN * occurrences.max()
            units = tuple(unit for unit, is_often in zip(units, often, strict=True) if is_often)
    scores = summed(table, units, weighs=weighs)
    row = int(np.nanargmax(scores))
    return PeakFrame(
        row=row,
        frame=int(table.frames[row]),
        time_s=float(table.times_s[row]),
        score=float(scores[row]),
        reading=reading,
        units=units,
        num_frames=int(counted.sum()),
    )


def summed(
    table: ActionUnitTable, units: Sequence[str], *, weighs: bool = True
) -> NDArray[np.float64]:
    """Give the sum of which the peak is the largest, NaN in frames that do not count, [t].

    Args:
        table: action units of one person
        units: which are summed
        weighs: whether units weigh by their confidence
    """
    counted = countable_rows(table)
    weights = _weights(table, units, counted) if weighs else np.ones(len(units))
    return np.where(counted, _completed(table, units, counted) @ weights, np.nan)


def _completed(
    table: ActionUnitTable, units: Sequence[str], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give intensities with what is usual in place of what was not measured, [t x u]."""
    values = np.stack([table.intensity[unit] for unit in units], axis=1).astype(np.float64)
    return np.where(np.isnan(values), _usual(values[counted]), values)


def _weights(
    table: ActionUnitTable, units: Sequence[str], counted: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Weigh units by their mean confidence where they were measured; 1 in the mean, [u]."""
    sure = np.zeros(len(units))
    for place, unit in enumerate(units):
        rows = counted & ~np.isnan(table.intensity[unit])
        if rows.any():
            sure[place] = float(table.confidence[unit][rows].mean())
    return sure / sure.mean() if sure.any() else np.ones(len(units))


def _usual(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the median of each unit's measured values, 0 where there is none, [t x u] -> [u].

    It stands for a unit that a frame does not show, so that frames are neither rewarded nor
    punished for what could not be measured in them.
    """
    known = ~np.isnan(values)
    usual = np.zeros(values.shape[1])
    for unit in np.flatnonzero(known.any(axis=0)):
        usual[unit] = np.median(values[known[:, unit], unit])
    return usual


def smoothed(table: ActionUnitTable, window_s: float) -> ActionUnitTable:
    """Take the running median of every unit over time.

    Lips that talk change four to five times a second; an expression stays. A value is the median
    of those frames of the window in which the unit was measured, a confidence that of all of them,
    with 0 where it was not. Flags, the clock, frame numbers and untracked rows stay as they are.

    Args:
        table: action units of one person
        window_s: width in seconds; no wider than a frame leaves the table as it is

    Raises:
        ValueError: a negative window
    """
    if window_s < 0:
        msg = f"window_s: found {window_s}, expected a number of seconds from 0"
        raise ValueError(msg)
    step_s = float(np.median(np.diff(table.times_s))) if len(table.times_s) > 1 else 0.0
    reach = round(window_s / step_s / 2) if step_s > 0 else 0
    if reach == 0:
        return table
    # where the face was lost for a while, the next row is no neighbour
    distances_s = _windows(table.times_s, reach) - table.times_s[:, None]
    near = np.abs(distances_s) < (reach + 0.5) * step_s  # [t x window], NaN is not

    def calm(values: NDArray[np.float32]) -> NDArray[np.float32]:
        medians = _medians(np.where(near, _windows(values, reach), np.nan))
        return np.where(table.tracked, medians, values).astype(np.float32)

    return replace(
        table,
        intensity={unit: calm(values) for unit, values in table.intensity.items()},
        confidence={unit: calm(values) for unit, values in table.confidence.items()},
    )


def _windows(values: NDArray[np.floating], reach: int) -> NDArray[np.float64]:
    """Give each value with ``reach`` neighbours on both sides, NaN past the ends, [t x window]."""
    padded = np.pad(values.astype(np.float64), reach, constant_values=np.nan)
    return np.lib.stride_tricks.sliding_window_view(padded, 2 * reach + 1)


def _medians(windows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the median of each row without NaN; NaN where nothing else is there, [t]."""
    known = ~np.isnan(windows).all(axis=1)
    medians = np.full(len(windows), np.nan)
    medians[known] = np.nanmedian(windows[known], axis=1)
    return medians


def uncounted_units(*, speech_counts: bool) -> tuple[str, ...]:
    """Name the units that are never summed, and those of talking unless they count."""
    return BLINKS if speech_counts else BLINKS + SPEECH


def countable_rows(table: ActionUnitTable) -> NDArray[np.bool_]:
    """Tell which frames may be the peak: tracked, measured and confident, [t]."""
    rows: NDArray[np.bool_] = table.tracked.copy()
    if not table.intensity or not rows.any():
        return rows & False
    values = np.stack(list(table.intensity.values()), axis=1)  # [t x u]
    sure = np.stack([table.confidence[unit] for unit in table.intensity], axis=1)
    # a unit that could not be measured in a frame gives it no confidence
    mean = np.where(np.isnan(values), 0.0, np.nan_to_num(sure)).mean(axis=1)
    return np.asarray(rows & (mean > 0) & (mean >= CONFIDENT * mean[rows].max()))
