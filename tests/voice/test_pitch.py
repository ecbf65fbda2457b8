"""The pitch tracker on sounds of known pitch."""

import numpy as np
import pytest
from voice.sounds import RATE, noise, silence, voice

from emotion_llama.voice.frames import cut_frames
from emotion_llama.voice.pitch import PitchTrack, track_pitch

EDGE = 4


def track(sound: np.ndarray) -> PitchTrack:
    return track_pitch(cut_frames(sound))


@pytest.mark.parametrize("hertz", [75.0, 110.0, 200.0, 317.0, 523.0, 700.0])
@pytest.mark.parametrize("tilt", [0.0, 1.0, 2.0])
def test_a_steady_voice_has_its_pitch_in_every_frame(hertz: float, tilt: float) -> None:
    found = track(voice(hertz, 0.6, tilt=tilt))
    assert found.voiced[EDGE:-EDGE].all(), "beyond the ends it is silent"
    assert found.hertz[EDGE:-EDGE] == pytest.approx(hertz, rel=0.002)


@pytest.mark.parametrize("hertz", [100.0, 200.0, 400.0])
def test_a_pure_tone_has_its_pitch(hertz: float) -> None:
    tone = 0.3 * np.sin(2 * np.pi * hertz * np.arange(RATE // 2) / RATE)
    assert np.nanmedian(track(tone).hertz) == pytest.approx(hertz, rel=0.005)


@pytest.mark.parametrize("hertz", [90.0, 200.0, 350.0])
def test_noise_ten_decibels_below_moves_no_frame_by_an_octave(hertz: float) -> None:
    sound = voice(hertz, 1.0)
    found = track(sound + noise(len(sound), 0.1 * 10**-0.5))
    assert found.voiced.mean() > 0.95
    assert found.hertz[found.voiced] == pytest.approx(hertz, rel=0.03)
    assert np.nanmedian(found.hertz) == pytest.approx(hertz, rel=0.005)


def test_a_missing_fundamental_is_heard_as_the_pitch() -> None:
    times = np.arange(RATE // 2) / RATE
    sound = sum(0.05 * np.cos(2 * np.pi * 150 * order * times) for order in range(2, 12))
    assert np.nanmedian(track(np.asarray(sound)).hertz) == pytest.approx(150, rel=0.002)


def test_a_strong_second_harmonic_is_no_octave() -> None:
    times = np.arange(RATE // 2) / RATE
    strengths = {1: 0.1, 2: 1.0, 3: 0.3, 4: 0.2}
    sound = sum(0.1 * part * np.cos(2 * np.pi * 120 * k * times) for k, part in strengths.items())
    assert np.nanmedian(track(np.asarray(sound)).hertz) == pytest.approx(120, rel=0.005)


def test_a_glide_is_followed() -> None:
    path = np.linspace(120, 320, RATE)
    found = track(voice(path, 1.0))
    truth = np.interp(np.arange(len(found.hertz)) * 0.01, np.arange(RATE) / RATE, path)
    assert found.hertz[EDGE:-EDGE] == pytest.approx(truth[EDGE:-EDGE], rel=0.01)


def test_noise_and_silence_have_no_voice() -> None:
    assert not track(noise(RATE, 0.1)).voiced.any()
    assert not track(silence(1.0)).voiced.any()


def test_a_voice_is_found_where_it_is() -> None:
    found = track(np.concatenate([silence(0.5), voice(180, 0.5), silence(0.5)]))
    heard = np.flatnonzero(found.voiced) * 0.01
    assert heard[0] == pytest.approx(0.5, abs=0.03)
    assert heard[-1] == pytest.approx(1.0, abs=0.03)


def test_semitones_count_from_the_lowest_a_of_a_piano() -> None:
    assert np.nanmedian(track(voice(220, 0.5)).semitones) == pytest.approx(36, abs=0.02)
