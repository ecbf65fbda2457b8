"""Measure a voice and name what stands out: loud, quiet, high, low, lively, flat, fast, slow.

Knows: energy, fundamental frequency by autocorrelation, speaking rate, robust scores against the
speaker's other recordings. Does not know: emotions, models, files. The words are evidence for
explanations, so they come from the sound alone and never from a label.
"""

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import numpy as np
from mini_sentences import VOICE_WORDS, VoiceEvidence
from numpy.typing import NDArray

FRAME_S = 0.040
"""Window of the pitch measure: two and a half periods of the lowest voice."""
HOP_S = 0.010
LOWEST_HZ, HIGHEST_HZ = 65.0, 500.0
"""Range of speaking voices, from low men to raised women's and children's voices."""
SILENCE_DB = 30.0
"""Frames this far below the loudest one are pauses."""
VOICED_CORRELATION = 0.45
"""Smallest normalised autocorrelation of a frame that counts as voiced."""
NEAR_BEST = 0.85
"""A shorter lag whose correlation reaches this share of the best one is taken as the period."""
STANDS_OUT = 0.8
"""Robust z-score from which a measure is named; about one recording in five on either side."""


@dataclass(frozen=True)
class Prosody:
    """Four measures of one recording; not a number where a measure cannot be taken."""

    loudness_db: float
    """level of the mean power of the frames that are no pause, relative to full scale"""
    pitch_semitones: float
    """median fundamental frequency, semitones above 65 Hz"""
    pitch_range_semitones: float
    """distance between the 10th and the 90th percentile of the fundamental frequency"""
    rate_per_s: float
    """letters of the transcript per second between first and last sound"""


def measure_prosody(
    waveform: NDArray[np.float32], sample_rate_hz: int, transcript: str | None
) -> Prosody:
    """Take the four measures.

    Args:
        waveform: mono sound in [-1, 1], [w]
        sample_rate_hz: samples per second
        transcript: what is said; without it there is no speaking rate
    """
    hop, window = round(HOP_S * sample_rate_hz), round(FRAME_S * sample_rate_hz)
    padded = np.pad(waveform.astype(np.float64), (0, max(0, window - len(waveform))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, window)[::hop]  # [t x window]
    level = 10.0 * np.log10(np.mean(frames**2, axis=1) + 1e-10)
    sounding = np.flatnonzero(level > level.max() - SILENCE_DB)
    pitch = _pitch_semitones(frames[sounding], sample_rate_hz)
    letters = sum(character.isalpha() for character in transcript or "")
    seconds = (sounding[-1] - sounding[0] + 1) * HOP_S
    enough = len(pitch) >= 10
    return Prosody(
        loudness_db=float(10.0 * np.log10(np.mean(frames[sounding] ** 2) + 1e-10)),
        pitch_semitones=float(np.median(pitch)) if enough else float("nan"),
        pitch_range_semitones=float(np.subtract(*np.percentile(pitch, [90, 10])))
        if enough
        else float("nan"),
        rate_per_s=float(letters / seconds) if letters else float("nan"),
    )


def _pitch_semitones(frames: NDArray[np.float64], sample_rate_hz: int) -> NDArray[np.float64]:
    """Give the fundamental frequency of the voiced frames, semitones above `LOWEST_HZ`."""
    window = frames.shape[1]
    tapered = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(window)
    size = 1 << (2 * window - 1).bit_length()
    power = np.abs(np.fft.rfft(tapered, size, axis=1)) ** 2
    correlation = np.fft.irfft(power, axis=1)[:, :window]  # [t x lag]
    # The taper weakens long lags; dividing by its own autocorrelation takes that off again.
    taper = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(window), size)) ** 2)[:window]
    shortest, longest = int(sample_rate_hz / HIGHEST_HZ), int(sample_rate_hz / LOWEST_HZ)
    lags = slice(shortest, min(longest, window - 1))
    energy = np.maximum(correlation[:, :1], 1e-12)
    normalized = (correlation / energy) / np.maximum(taper / taper[0], 1e-3)
    searched = normalized[:, lags]
    strength = searched.max(axis=1)
    # Every multiple of the period correlates too: the first peak near the best one is the period.
    inner = searched[:, 1:-1]
    is_peak = (inner >= searched[:, :-2]) & (inner >= searched[:, 2:])
    is_candidate = is_peak & (inner >= NEAR_BEST * strength[:, None])
    voiced = (strength > VOICED_CORRELATION) & is_candidate.any(axis=1)
    hertz = sample_rate_hz / (is_candidate[voiced].argmax(axis=1) + shortest + 1)
    semitones: NDArray[np.float64] = 12.0 * np.log2(hertz / LOWEST_HZ)
    return semitones


def describe_voices(
    measures: Sequence[Prosody], speakers: Sequence[str]
) -> list[tuple[VoiceEvidence, tuple[float, ...]]]:
    """Name what stands out in each recording against the others of its speaker.

    Returns:
        graded words and the four z-scores of each recording
    """
    table = np.array([astuple(measure) for measure in measures])  # [n x 4]
    names = np.array(speakers)
    scores = np.zeros_like(table)
    for speaker in np.unique(names):
        rows = names == speaker
        scores[rows] = _robust_scores(table[rows])
    return [(VoiceEvidence(graded_words(row)), tuple(row.tolist())) for row in scores]


def _robust_scores(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give (value - median) / (1.4826 x median absolute deviation) per column; 0 if unknown."""
    middle = np.nanmedian(values, axis=0)
    spread = 1.4826 * np.nanmedian(np.abs(values - middle), axis=0)
    scores: NDArray[np.float64] = np.nan_to_num((values - middle) / np.maximum(spread, 1e-6))
    return scores


def graded_words(scores: Sequence[float] | NDArray[np.float64]) -> tuple[str, ...]:
    """Name the measures whose score is `STANDS_OUT` or more away from the speaker's usual."""
    words = []
    for score, (more, less) in zip(scores, VOICE_WORDS, strict=True):
        if abs(score) >= STANDS_OUT:
            words.append(more if score > 0 else less)
    return tuple(words)


def words_agree(named: Sequence[str], scores: Sequence[float]) -> Mapping[str, bool]:
    """Say for each named word whether the measured score lies on its side of the usual."""
    side = {}
    for score, (more, less) in zip(scores, VOICE_WORDS, strict=True):
        side[more], side[less] = score > 0, score < 0
    return {word: side[word] for word in named if word in side}
