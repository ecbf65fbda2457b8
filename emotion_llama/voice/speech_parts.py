"""Levels and voicing -> which frames are speech, which are pauses, where syllables peak.

Knows: levels over time. Does not know: pitch, words, speakers.
"""

import numpy as np
from numpy.typing import NDArray

from emotion_llama.voice.frames import HOP_S

MIN_PAUSE_S = 0.2
"""Shorter gaps are closures of plosives, not pauses (the lower bounds in use are 0.2 to 0.25 s)."""

MIN_NOISE_S = 0.1
"""Sound without a voice that the level of the noise is taken from; with less there is no pause."""

_DEPTH_DB = 30.0
"""Speech lies within this distance of the loudest voiced sounds."""
_ABOVE_NOISE_DB = 6.0
"""Speech lies this far above the quietest frames without a voice ..."""
_ABOVE_NOISE_SHARE = 0.3
"""... or this share of the whole range above them, where the range is small."""
_MIN_VOICED_S = 0.04
"""A stretch with less voice is a knock or a breath."""
_DIP_DB = 2.0
"""Least dip between two syllables (de Jong and Wempe 2009)."""
_SYLLABLE_DEPTH_DB = 25.0
"""Syllables peak within this distance of the loudest (de Jong and Wempe 2009)."""
_SMOOTHING_FRAMES = 1.5
"""Standard deviation of the smoothing, 15 ms. Of 80 combinations of band, smoothing and dip this
one followed the syllables of the transcripts best in training recordings."""


def find_runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """List where flags stand without a break, as first frame and one past the last."""
    steps = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    return list(
        zip(np.flatnonzero(steps == 1).tolist(), np.flatnonzero(steps == -1).tolist(), strict=True)
    )


def find_speech(levels_db: NDArray[np.float64], voiced: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell which frames are speech: loud enough, and with a voice in each stretch, [t].

    Gaps of less than `MIN_PAUSE_S` belong to the speech around them.

    Args:
        levels_db: level, [t]
        voiced: which frames have a voice, [t]
    """
    if not voiced.any():
        return np.zeros_like(voiced)
    loudest = float(np.percentile(levels_db[voiced], 95))
    least = loudest - _DEPTH_DB
    if (~voiced).sum() * HOP_S >= MIN_NOISE_S:
        noise = float(np.percentile(levels_db[~voiced], 5))
        margin = min(_ABOVE_NOISE_DB, _ABOVE_NOISE_SHARE * max(loudest - noise, 0.0))
        least = max(least, noise + margin)
    speech: NDArray[np.bool_] = levels_db > least
    for start, end in find_runs(~speech):
        if start > 0 and end < len(speech) and (end - start) * HOP_S < MIN_PAUSE_S:
            speech[start:end] = True
    for start, end in find_runs(speech):
        if voiced[start:end].sum() * HOP_S < _MIN_VOICED_S:
            speech[start:end] = False
    return speech


def count_syllables(
    syllable_db: NDArray[np.float64], voiced: NDArray[np.bool_], speech: NDArray[np.bool_]
) -> int:
    """Count the peaks of the level that stand for syllables.

    A peak counts that rises and falls by `_DIP_DB`, is voiced and near enough to the loudest (after
    de Jong and Wempe 2009, "Praat script to detect syllable nuclei and measure speech rate
    automatically").

    Args:
        syllable_db: level in the band of the first formants, [t]
        voiced: which frames have a voice, [t]
        speech: which frames are speech, [t]
    """
    if not speech.any():
        return 0
    smooth = _smooth(syllable_db)
    least = float(np.percentile(smooth[speech], 95)) - _SYLLABLE_DEPTH_DB
    near_voice = np.convolve(voiced, np.ones(5), "same") > 0
    tops = (top for first, end in find_runs(speech) for top in _tops(smooth, first, end))
    return sum(bool(smooth[top] > least and near_voice[top]) for top in tops)


def _tops(levels: NDArray[np.float64], first: int, end: int) -> list[int]:
    """List the peaks of a stretch with a dip of `_DIP_DB` between them; its ends are dips, too."""
    tops: list[int] = []
    top: int | None = first
    lowest = levels[first]
    for frame in range(first + 1, end):
        level = levels[frame]
        if top is None:
            lowest = min(lowest, level)
            if level >= lowest + _DIP_DB:
                top = frame
        elif level > levels[top]:
            top = frame
        elif level <= levels[top] - _DIP_DB:
            tops.append(top)
            top, lowest = None, level
    return tops if top is None else [*tops, top]


def _smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smooth over time by a bell of `_SMOOTHING_FRAMES`, [t]."""
    reach = int(4 * _SMOOTHING_FRAMES)
    bell = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * _SMOOTHING_FRAMES**2))
    return np.convolve(np.pad(values, reach, mode="edge"), bell / bell.sum(), "valid")
