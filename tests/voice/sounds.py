"""Sounds with known pitch, level and tempo."""

import numpy as np
from numpy.typing import NDArray

RATE = 16_000


def voice(
    hertz: float | NDArray[np.float64], seconds: float, *, level: float = 0.1, tilt: float = 1.0
) -> NDArray[np.float32]:
    """Harmonics of a pitch that fall by 6 dB an octave times tilt, [w]."""
    num = round(seconds * RATE)
    pitch = np.broadcast_to(np.asarray(hertz, dtype=float), (num,))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    orders = range(1, int(7000 / pitch.max()) + 1)
    sound = sum(np.cos(order * phase) / order**tilt for order in orders)
    return np.asarray(level * sound / np.sqrt(np.mean(sound**2)), dtype=np.float32)


def silence(seconds: float) -> NDArray[np.float32]:
    return np.zeros(round(seconds * RATE), np.float32)


def noise(num: int, level: float, seed: int = 0) -> NDArray[np.float32]:
    drawn = np.random.default_rng(seed).normal(size=num)
    return np.asarray(level * drawn / np.sqrt(np.mean(drawn**2)), dtype=np.float32)


def syllables(num: int, per_second: float, hertz: float = 150.0) -> NDArray[np.float32]:
    """A voice whose level rises and falls once a syllable, [w]."""
    seconds = num / per_second
    times = np.arange(round(seconds * RATE)) / RATE
    swell = 0.05 + 0.95 * np.sin(np.pi * times * per_second) ** 2
    return np.asarray(voice(hertz, seconds)[: len(times)] * swell, dtype=np.float32)
