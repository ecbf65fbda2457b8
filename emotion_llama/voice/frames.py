"""Waveform -> overlapping frames: level, power in bands, candidates for the pitch of each.

Knows: windows, spectra, autocorrelation. Does not know: which candidate is right, speech, words.
Source: Boersma 1993, "Accurate short-term analysis of the fundamental frequency and the
harmonics-to-noise ratio of a sampled sound".
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE_HZ = 16_000
HOP_S = 0.01
FLOOR_HZ = 65.0
"""Lowest pitch that is looked for: low voices end sentences near 70 Hz."""
CEILING_HZ = 800.0
"""Highest pitch that is looked for: high voices shout near 700 Hz."""
OCTAVE_COST = 0.025
"""Advantage of a candidate an octave higher: every multiple of a period repeats as well as it."""

LOWS_HZ = (50.0, 1000.0)
HIGHS_HZ = (1000.0, 5000.0)
"""The two bands of the alpha ratio (Eyben et al. 2016, GeMAPS)."""
SYLLABLES_HZ = (300.0, 3300.0)
"""Band whose level rises in every syllable: the first formants, without voice bar and hiss."""

_HOP = round(HOP_S * SAMPLE_RATE_HZ)
_WINDOW = 2 * round(1.5 * SAMPLE_RATE_HZ / FLOOR_HZ)
"""Three periods of the lowest pitch (Boersma 1993), in samples; 46 ms."""
_FFT = 2048
_FINER = 2
"""Points of the autocorrelation per sample: its peaks are narrow where a voice is sharp."""
_NUM_CANDIDATES = 6
_PASS_HZ = 2000.0
"""Above it the spectrum is faded out until `_STOP_HZ`: breath noise is there, and narrow peaks
between two points would be read too low."""
_STOP_HZ = 4000.0
_RUMBLE_HZ = 50.0
"""Below it nothing is a voice."""
_LEVEL_WINDOW = 400
"""25 ms, in samples: the level follows single sounds, not single periods."""
_LOWEST_POWER = 1e-10
"""-100 dB, below the noise of 16 bits: digital silence has a level, too."""
_BLOCK = 2000
"""Frames whose spectra are held at once: 20 s, about 60 MB."""


@dataclass(frozen=True)
class Frames:
    """What is known of a waveform every 10 ms."""

    peaks: NDArray[np.float64]
    """largest absolute sample, [t]"""
    levels_db: NDArray[np.float64]
    """level of 25 ms re full scale, [t]"""
    periods_s: NDArray[np.float64]
    """candidates for the period, [t x c]"""
    strengths: NDArray[np.float64]
    """share of the power that repeats with that period; -inf: no candidate, [t x c]"""
    lows: NDArray[np.float64]
    """power within `LOWS_HZ`, [t]"""
    highs: NDArray[np.float64]
    """power within `HIGHS_HZ`, [t]"""
    syllable_db: NDArray[np.float64]
    """level within `SYLLABLES_HZ`, [t]"""

    @property
    def times_s(self) -> NDArray[np.float64]:
        """Middle of each frame, [t]."""
        return np.asarray(np.arange(len(self.peaks)) * HOP_S, dtype=np.float64)


def cut_frames(waveform: NDArray[np.float32]) -> Frames:
    """Cut a waveform of 16 kHz into frames and look into each.

    Args:
        waveform: mono sound, [w]; beyond its ends it is taken for silent
    """
    sound = np.array(waveform, dtype=np.float64)
    sound -= sound.mean()
    num_frames = len(sound) // _HOP + 1
    padded = np.pad(sound, _WINDOW // 2)  # so that the first and the last sample have a frame
    pieces = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[::_HOP]  # [t x window]
    blocks = [_look(pieces[start : start + _BLOCK]) for start in range(0, num_frames, _BLOCK)]
    peaks, periods, strengths, lows, highs, syllables = (
        np.concatenate(parts) for parts in zip(*blocks, strict=True)
    )
    return Frames(
        peaks=peaks,
        levels_db=_levels(sound, num_frames),
        periods_s=periods,
        strengths=strengths,
        lows=lows,
        highs=highs,
        syllable_db=10 * np.log10(np.maximum(syllables, _LOWEST_POWER)),
    )


def _look(pieces: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Give peaks, periods, strengths and the power in the three bands of a block of frames."""
    centred = pieces - pieces.mean(axis=1, keepdims=True)
    spectrum = np.fft.rfft(centred * np.hanning(_WINDOW), _FFT)
    power = spectrum.real**2 + spectrum.imag**2  # [t x f]
    hertz = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE_HZ)
    bands = [
        power[:, (hertz >= low) & (hertz < high)].sum(axis=1)
        for low, high in (LOWS_HZ, HIGHS_HZ, SYLLABLES_HZ)
    ]
    peaks: NDArray[np.float64] = np.abs(centred).max(axis=1)
    return (peaks, *_candidates(power), *bands)


def _levels(sound: NDArray[np.float64], num_frames: int) -> NDArray[np.float64]:
    """Level of the 25 ms around each frame's middle in dB re full scale, [t]."""
    sums = np.concatenate([[0.0], np.cumsum(np.pad(sound, _LEVEL_WINDOW // 2) ** 2)])
    starts = np.arange(num_frames) * _HOP
    ends = np.minimum(starts + _LEVEL_WINDOW, len(sums) - 1)
    power = (sums[ends] - sums[starts]) / _LEVEL_WINDOW
    return np.asarray(10 * np.log10(np.maximum(power, _LOWEST_POWER)))


@cache
def _window_repeated(num_lags: int) -> NDArray[np.float64]:
    """Autocorrelation of the window, 1 at lag 0: what it takes from a periodic sound, [lag]."""
    power = np.abs(np.fft.rfft(np.hanning(_WINDOW), _FFT)) ** 2
    repeated = np.fft.irfft(power, _FINER * _FFT)[:num_lags]
    return np.asarray(repeated / repeated[0])


def _candidates(power: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give periods in seconds and strengths of the highest peaks, both [t x c]."""
    hertz = np.fft.rfftfreq(_FFT, 1 / SAMPLE_RATE_HZ)
    fade = np.clip((_STOP_HZ - hertz) / (_STOP_HZ - _PASS_HZ), 0, 1) * (hertz >= _RUMBLE_HZ)
    lags_per_s = _FINER * SAMPLE_RATE_HZ
    num_lags = int(lags_per_s / FLOOR_HZ) + 2
    repeated = np.fft.irfft(power * fade, _FINER * _FFT)[:, :num_lags]  # [t x lag]
    share = repeated / np.maximum(repeated[:, :1], 1e-12) / _window_repeated(num_lags)
    before, here, after = share[:, :-2], share[:, 1:-1], share[:, 2:]
    is_peak = (here > before) & (here >= after) & (here > 0)
    is_peak[:, : int(lags_per_s / CEILING_HZ) - 1] = False
    worth = here - OCTAVE_COST * np.log2(np.arange(1, num_lags - 1))
    worth = np.where(is_peak, worth, -np.inf)
    best = np.argsort(-worth, axis=1, kind="stable")[:, :_NUM_CANDIDATES]  # [t x c]
    left, middle, right = (np.take_along_axis(part, best, axis=1) for part in (before, here, after))
    found = np.take_along_axis(is_peak, best, axis=1)
    # the top of the parabola through three points
    curve = np.minimum(left - 2 * middle + right, -1e-12)
    shift = np.clip((left - right) / (2 * curve), -0.5, 0.5)
    height = np.minimum(middle - (left - right) ** 2 / (8 * curve), 1.0)
    return (best + 1 + shift) / lags_per_s, np.where(found, height, -np.inf)
