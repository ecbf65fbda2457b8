"""Waveform -> prosody: pitch, loudness, tempo, pauses and quality of the voice, in their units.

Knows: what each measure is and what it needs. Does not know: who speaks, what is usual, words.
Sources: Eyben et al. 2016 (GeMAPS) for the choice; docs/voice.md has every formula.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emotion_llama.voice.frames import HOP_S, SAMPLE_RATE_HZ, Frames, cut_frames
from emotion_llama.voice.measures import MEASURES, Measure
from emotion_llama.voice.pitch import PitchTrack, track_pitch
from emotion_llama.voice.speech_parts import MIN_NOISE_S, count_syllables, find_runs, find_speech

DECIMALS = 3
"""Of written values: finer than any of them is exact, and the same bytes from every machine."""

_LEAST_S = 0.2
"""Voiced sound below which nothing is measured, whatever is asked for."""
_COURSE_S = 2.0
"""Voiced sound at the end whose slope is taken: a sentence, not the whole of a long recording. The
slope of the last 0.3 s was tried: it hardly came back when a sentence was said again."""
_WIDE = (10.0, 90.0)
"""Percentiles between which pitch and level are said to vary."""
_BASE_PERCENTILE = 10.0
"""Of pitch: near the resting pitch of a voice, which liveliness moves less than the median (Lindh
and Eriksson 2007 found it at 7.6)."""
_STRONGEST_SHARE = 0.9999
"""Repeating share from which the harmonics-to-noise ratio is not resolved; 40 dB."""


@dataclass(frozen=True)
class Prosody:
    """The voice of one recording."""

    values: Mapping[str, float | None]
    """measure -> value in the unit of `MEASURES`; ``None`` where it could not be taken"""
    missing: Mapping[str, str]
    """measure -> why it could not be taken"""
    voiced_s: float
    speech_share: float
    """share of the recording in which somebody speaks, 0 to 1"""
    snr_db: float | None
    """level of speech over that of the pauses; ``None`` where there is no pause"""
    duration_s: float
    speech_start_s: float | None
    """``None`` where nobody speaks"""
    speech_end_s: float | None
    pitch_base: float | None
    """tenth percentile of pitch in semitones re 27.5 Hz: it tells low voices from high ones"""
    peak_db: float | None
    """largest sample re full scale; it tells recordings that were brought to one level"""


def measure_prosody(waveform: NDArray[np.float32], sample_rate_hz: int) -> Prosody:
    """Measure the voice in a recording; several voices are measured as one.

    Values that a short or noisy recording makes too uncertain are left out, with the reason.

    Args:
        waveform: mono sound in [-1, 1], [w]
        sample_rate_hz: 16000

    Raises:
        ValueError: another sample rate, another shape, no samples or samples that are no numbers
    """
    return within_limits(measure_without_limits(waveform, sample_rate_hz))


def within_limits(prosody: Prosody) -> Prosody:
    """Leave out what a recording is too short or too noisy for.

    Where there is no pause, the signal-to-noise ratio is not known and leaves nothing out.
    """
    obstacles = {
        name: why for name, measure in MEASURES.items() if (why := _obstacle(measure, prosody))
    }
    return replace(
        prosody,
        values={
            name: None if name in obstacles else value for name, value in prosody.values.items()
        },
        missing={**prosody.missing, **obstacles},
    )


def measure_without_limits(waveform: NDArray[np.float32], sample_rate_hz: int) -> Prosody:
    """Take all that can be computed, however uncertain: for calibration only.

    Args:
        waveform: mono sound in [-1, 1], [w]
        sample_rate_hz: 16000

    Raises:
        ValueError: as `measure_prosody`
    """
    if sample_rate_hz != SAMPLE_RATE_HZ:
        msg = (
            f"found a waveform of {sample_rate_hz} Hz, expected {SAMPLE_RATE_HZ} Hz; "
            "resample it first"
        )
        raise ValueError(msg)
    if waveform.ndim != 1 or len(waveform) == 0 or not np.isfinite(waveform).all():
        msg = (
            f"found a waveform of shape {waveform.shape}, expected [w] with at least one sample, "
            "all of them finite; mix it down to one channel and take out what is no number"
        )
        raise ValueError(msg)
    frames = cut_frames(waveform)
    track = track_pitch(frames)
    speech = find_speech(frames.levels_db, track.voiced)
    voiced_s = _rounded(track.voiced.sum() * HOP_S)
    found = _take(frames, track, speech) if voiced_s >= _LEAST_S and speech.any() else {}
    why = f"{voiced_s:.1f} s of voiced sound; at least {_LEAST_S:g} s is needed"
    heard = np.flatnonzero(speech) * HOP_S
    peak = float(np.abs(waveform).max())
    return Prosody(
        values={name: _rounded(found[name]) if found else None for name in MEASURES},
        missing={} if found else dict.fromkeys(MEASURES, why),
        voiced_s=voiced_s,
        speech_share=_rounded(speech.mean()),
        snr_db=_signal_to_noise(frames.levels_db, speech),
        duration_s=_rounded(len(waveform) / SAMPLE_RATE_HZ),
        speech_start_s=_rounded(heard[0]) if len(heard) else None,
        speech_end_s=_rounded(heard[-1]) if len(heard) else None,
        pitch_base=_base(track) if found else None,
        peak_db=_rounded(20 * np.log10(peak)) if peak > 0 else None,
    )


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), DECIMALS)


def _obstacle(measure: Measure, prosody: Prosody) -> str | None:
    """Say why a measure cannot be taken; ``None``: it can."""
    if prosody.voiced_s < measure.min_voiced_s:
        return (
            f"{prosody.voiced_s:.1f} s of voiced sound; "
            f"at least {measure.min_voiced_s:g} s is needed"
        )
    if prosody.snr_db is not None and prosody.snr_db < measure.min_snr_db:
        return (
            f"speech lies {prosody.snr_db:.1f} dB above the noise; "
            f"at least {measure.min_snr_db:g} dB is needed"
        )
    return None


def _take(frames: Frames, track: PitchTrack, speech: NDArray[np.bool_]) -> dict[str, float]:
    """Take every measure of a recording with speech."""
    voiced = track.voiced
    semitones = track.semitones[voiced]  # [v]
    heard = np.flatnonzero(speech)
    span = speech[heard[0] : heard[-1] + 1]
    strength = np.clip(track.strength[voiced], 1 - _STRONGEST_SHARE, _STRONGEST_SHARE)
    lows, highs = (np.maximum(band[voiced], 1e-12) for band in (frames.lows, frames.highs))
    syllables = count_syllables(frames.syllable_db, voiced, speech)
    return {
        "pitch": float(np.median(semitones)),
        "pitch_range": _range(semitones),
        "pitch_slope": _final_slope(frames.times_s[voiced], semitones),
        "loudness": _mean_level(frames.levels_db[speech]),
        "loudness_range": _range(frames.levels_db[voiced]),
        "rate": float(syllables / (speech.sum() * HOP_S)),
        "pauses": float(1 - span.mean()),
        "hnr": float(np.median(10 * np.log10(strength / (1 - strength)))),
        "tension": float(np.median(10 * np.log10(highs / lows))),
    }


def _base(track: PitchTrack) -> float:
    return _rounded(np.percentile(track.semitones[track.voiced], _BASE_PERCENTILE))


def _range(values: NDArray[np.float64]) -> float:
    low, high = np.percentile(values, _WIDE)
    return float(high - low)


def _mean_level(levels_db: NDArray[np.float64]) -> float:
    """Level of the mean power in dB."""
    return float(10 * np.log10(np.mean(10 ** (levels_db / 10))))


def _final_slope(times_s: NDArray[np.float64], semitones: NDArray[np.float64]) -> float:
    """Median slope between all pairs of the last voiced frames (Theil 1950, Sen 1968)."""
    num = round(_COURSE_S / HOP_S)
    times, pitches = times_s[-num:], semitones[-num:]
    first, second = np.triu_indices(len(times), 1)
    return float(np.median((pitches[second] - pitches[first]) / (times[second] - times[first])))


def _signal_to_noise(levels_db: NDArray[np.float64], speech: NDArray[np.bool_]) -> float | None:
    """Level of speech over that of the pauses in dB; the frames at their borders are neither."""
    noise = np.zeros_like(speech)
    for start, end in find_runs(~speech):
        noise[start + (start > 0) : end - (end < len(speech))] = True
    if not speech.any() or noise.sum() * HOP_S < MIN_NOISE_S:
        return None
    return _rounded(_mean_level(levels_db[speech]) - _mean_level(levels_db[noise]))
