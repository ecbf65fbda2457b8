"""Candidates of every frame -> pitch over time: the cheapest path through them.

Knows: voicing, jumps by an octave. Does not know: words, speakers, files. Source: Boersma 1993,
see `emotion_llama.voice.frames`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emotion_llama.voice.frames import CEILING_HZ, OCTAVE_COST, Frames

REFERENCE_HZ = 27.5
"""0 semitones, the lowest A of a piano, as in GeMAPS."""

_VOICING = 0.45
"""Strength of the unvoiced candidate (Boersma 1993)."""
_SILENCE = 0.03
"""Frames below this share of the loudest are unvoiced (Boersma 1993)."""
_LOUDEST = 99.0
"""Percentile of the frames' peaks that is the loudest: a click is not the voice."""
_JUMP_COST = 0.35
"""Cost of a change by an octave between neighbouring frames (the usual setting of Praat)."""
_VOICE_COST = 0.14
"""Cost of a change between voiced and unvoiced (the usual setting of Praat)."""
_LOW_SHARE = 0.75
"""Of the first quartile: floor of the second pass (De Looze and Hirst 2008)."""
_HIGH_SHARE = 2.5
"""Of the third quartile: ceiling of the second pass, for expressive speech (Hirst 2011)."""


@dataclass(frozen=True)
class PitchTrack:
    """Pitch over time."""

    hertz: NDArray[np.float64]
    """NaN where there is no voice, [t]"""
    strength: NDArray[np.float64]
    """share of the power that repeats with the period, 0 to 1; NaN where there is no voice, [t]"""

    @property
    def voiced(self) -> NDArray[np.bool_]:
        """Which frames are voiced, [t]."""
        return ~np.isnan(self.hertz)

    @property
    def semitones(self) -> NDArray[np.float64]:
        """Pitch in semitones re `REFERENCE_HZ`, [t]."""
        return np.asarray(12 * np.log2(self.hertz / REFERENCE_HZ))


def track_pitch(frames: Frames) -> PitchTrack:
    """Follow the pitch of one voice.

    1. Choose a candidate or "unvoiced" for every frame, where jumps cost. 2. Once more within the
    range that this voice was found to have, against errors of an octave.
    """
    loudest = max(float(np.percentile(frames.peaks, _LOUDEST)), 1e-9)
    quiet = np.maximum(0.0, 2.0 - frames.peaks / loudest / (_SILENCE / (1 + _VOICING)))
    unvoiced = _VOICING + quiet  # [t]
    track = _cheapest_path(frames.periods_s, frames.strengths, unvoiced)
    if not track.voiced.any():
        return track
    low, high = np.percentile(track.hertz[track.voiced], (25, 75))
    hertz = 1 / frames.periods_s
    outside = (hertz < _LOW_SHARE * low) | (hertz > _HIGH_SHARE * high)
    strengths = np.where(outside, -np.inf, frames.strengths)
    return _cheapest_path(frames.periods_s, strengths, unvoiced)


def _cheapest_path(
    periods_s: NDArray[np.float64], strengths: NDArray[np.float64], unvoiced: NDArray[np.float64]
) -> PitchTrack:
    """Choose one candidate a frame so that strength less costs is greatest.

    Args:
        periods_s: candidates, [t x c]
        strengths: of the candidates, [t x c]
        unvoiced: strength of having no voice, [t]
    """
    octaves = np.log2(periods_s)
    values = strengths - OCTAVE_COST * (octaves + np.log2(CEILING_HZ))
    values = np.concatenate([values, unvoiced[:, None]], axis=1)  # [t x c+1]
    num_frames, num_states = values.shape
    costs = np.full((num_frames - 1, num_states, num_states), _VOICE_COST)
    costs[:, :-1, :-1] = _JUMP_COST * np.abs(octaves[:-1, :, None] - octaves[1:, None, :])
    costs[:, -1, -1] = 0.0
    came_from = np.zeros((num_frames, num_states), dtype=np.intp)
    total = values[0]
    for frame in range(1, num_frames):
        arrivals = total[:, None] - costs[frame - 1]  # [from x to]
        came_from[frame] = arrivals.argmax(axis=0)
        total = arrivals.max(axis=0) + values[frame]
    path = np.empty(num_frames, dtype=np.intp)
    path[-1] = int(total.argmax())
    for frame in range(num_frames - 1, 0, -1):
        path[frame - 1] = came_from[frame, path[frame]]
    rows = np.arange(num_frames)
    is_voiced = path < num_states - 1
    chosen = np.minimum(path, num_states - 2)
    return PitchTrack(
        hertz=np.where(is_voiced, 1 / periods_s[rows, chosen], np.nan),
        strength=np.where(is_voiced, np.clip(strengths[rows, chosen], 0, 1), np.nan),
    )
