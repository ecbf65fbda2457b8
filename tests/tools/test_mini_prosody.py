"""Voice measures on made sounds with known answers."""

import numpy as np
import pytest
from numpy.typing import NDArray

prosody = pytest.importorskip("mini_prosody")

RATE_HZ = 16000


def voice(hertz: float, seconds: float = 1.0, amplitude: float = 0.1) -> NDArray[np.float32]:
    """Five harmonics, as a steady vowel has."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    wave = sum(np.sin(2 * np.pi * hertz * n * time_s) / n for n in range(1, 6))
    return (amplitude * wave).astype(np.float32)


@pytest.mark.parametrize("hertz", [85, 120, 210, 330, 450])
def test_pitch_is_the_fundamental_and_no_octave_of_it(hertz: float) -> None:
    measured = prosody.measure_prosody(voice(hertz), RATE_HZ, None)
    # 1 % is a sixth of a semitone: one sample of lag at 16 kHz and 450 Hz is 3 %
    expected = 12 * np.log2(hertz / prosody.LOWEST_HZ)
    assert measured.pitch_semitones == pytest.approx(expected, abs=0.5)
    assert measured.pitch_range_semitones < 0.5


def test_twice_the_amplitude_is_six_decibels() -> None:
    one = prosody.measure_prosody(voice(150), RATE_HZ, None).loudness_db
    two = prosody.measure_prosody(voice(150, amplitude=0.2), RATE_HZ, None).loudness_db
    assert two - one == pytest.approx(6.02, abs=0.01)


def test_pauses_around_the_speech_do_not_slow_it_down() -> None:
    pause = np.zeros(RATE_HZ, np.float32)
    bare = prosody.measure_prosody(voice(150), RATE_HZ, "ten letters")
    padded = prosody.measure_prosody(
        np.concatenate([pause, voice(150), pause]), RATE_HZ, "ten letters"
    )
    assert bare.rate_per_s == pytest.approx(10, rel=0.06)
    assert padded.rate_per_s == pytest.approx(bare.rate_per_s, rel=0.06)


def test_noise_has_no_pitch_and_no_transcript_no_rate() -> None:
    noise = np.random.default_rng(0).standard_normal(RATE_HZ).astype(np.float32)
    measured = prosody.measure_prosody(noise, RATE_HZ, None)
    assert np.isnan(measured.pitch_semitones)
    assert np.isnan(measured.rate_per_s)


def test_a_recording_is_compared_with_its_own_speaker() -> None:
    levels = [0.05, 0.06, 0.07, 0.4]
    measures = [
        prosody.measure_prosody(voice(hertz, amplitude=level), RATE_HZ, "abc")
        for hertz in (110, 220)
        for level in levels
    ]
    described = prosody.describe_voices(measures, ["low"] * 4 + ["high"] * 4)
    assert "loud" in described[3][0].words
    assert "loud" in described[7][0].words
    assert all("high" not in words.words and "low" not in words.words for words, _ in described)


def test_named_words_are_held_against_the_scores() -> None:
    agreed = prosody.words_agree(("loud", "low", "person"), (1.0, 0.5, 0.0, 0.0))
    assert agreed == {"loud": True, "low": False}
