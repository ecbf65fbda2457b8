"""Each measure on sounds for which it is known, and what is left out with a reason."""

import time

import numpy as np
import pytest
from voice.sounds import RATE, noise, silence, syllables, voice

from emotion_llama.voice import MEASURES, Prosody, measure_prosody, measure_without_limits


def measured(*pieces: np.ndarray) -> Prosody:
    return measure_prosody(np.concatenate(pieces), RATE)


def value(prosody: Prosody, name: str) -> float:
    found = prosody.values[name]
    assert found is not None, prosody.missing
    return found


def test_pitch_and_its_range_are_those_of_the_sound() -> None:
    steady = measured(silence(0.3), voice(220, 1.5), silence(0.3))
    assert value(steady, "pitch") == pytest.approx(36, abs=0.05)
    assert value(steady, "pitch_range") == pytest.approx(0, abs=0.1)
    glide = 220 * 2 ** (np.linspace(-6, 6, 2 * RATE) / 12)
    moving = measured(voice(glide, 2.0))
    assert value(moving, "pitch") == pytest.approx(36, abs=0.1)
    assert value(moving, "pitch_range") == pytest.approx(0.8 * 12, abs=0.2)


@pytest.mark.parametrize("slope", [-8.0, 0.0, 5.0])
def test_the_course_of_the_pitch_is_its_slope(slope: float) -> None:
    path = 200 * 2 ** (slope * np.linspace(0, 1.5, round(1.5 * RATE)) / 12)
    assert value(measured(voice(path, 1.5)), "pitch_slope") == pytest.approx(slope, abs=0.15)


def test_the_course_is_that_of_the_last_two_seconds() -> None:
    rise_then_steady = np.concatenate([np.linspace(100, 200, 2 * RATE), np.full(3 * RATE, 200.0)])
    assert value(measured(voice(rise_then_steady, 5.0)), "pitch_slope") == pytest.approx(0, abs=0.1)


def test_loudness_is_the_level_of_speech_and_not_of_the_silence_around() -> None:
    for level in (0.1, 0.02):
        sound = voice(200, 1.5, level=level)
        alone, framed = measured(sound), measured(silence(1.0), sound, silence(1.0))
        assert value(alone, "loudness") == pytest.approx(20 * np.log10(level), abs=0.3)
        assert value(framed, "loudness") == pytest.approx(value(alone, "loudness"), abs=0.3)


def test_loudness_that_varies_has_a_range() -> None:
    even = voice(200, 2.0)
    swelling = even * np.linspace(0.1, 1, len(even), dtype=np.float32)
    assert value(measured(even), "loudness_range") < 1
    assert value(measured(swelling), "loudness_range") > 8


@pytest.mark.parametrize("per_second", [3.0, 5.0, 7.0])
def test_rate_counts_syllables(per_second: float) -> None:
    found = value(measured(silence(0.3), syllables(10, per_second), silence(0.3)), "rate")
    assert found == pytest.approx(per_second, rel=0.1)


def test_pauses_are_gaps_within_speech_only() -> None:
    part = voice(200, 1.0)
    assert value(measured(silence(1.0), part, silence(1.0)), "pauses") == 0
    assert value(measured(part, silence(0.1), part), "pauses") == 0, "a plosive is no pause"
    assert value(measured(part, silence(0.5), part), "pauses") == pytest.approx(0.2, abs=0.03)


def test_noise_in_the_voice_lowers_hnr() -> None:
    clean = voice(200, 1.5)
    found = [value(measured(clean + noise(len(clean), part)), "hnr") for part in (1e-4, 0.02, 0.05)]
    assert found[0] > found[1] + 5 > found[2] + 5


def test_tension_is_more_power_above_one_kilohertz() -> None:
    lax, tense = (value(measured(voice(200, 1.5, tilt=tilt)), "tension") for tilt in (2.0, 0.5))
    assert tense > lax + 10


def test_snr_is_speech_over_pauses() -> None:
    sound = np.concatenate([silence(0.5), voice(200, 1.5), silence(0.5)])
    noisy = sound + noise(len(sound), 0.1 * 10 ** (-20 / 20))
    assert measure_prosody(noisy, RATE).snr_db == pytest.approx(20, abs=1)


def test_without_a_pause_there_is_no_snr_and_it_leaves_nothing_out() -> None:
    found = measured(voice(200, 1.5))
    assert found.snr_db is None
    assert not found.missing


def test_the_span_of_speech_is_told() -> None:
    found = measured(silence(0.5), voice(200, 1.5), silence(1.0))
    assert found.speech_start_s == pytest.approx(0.5, abs=0.04)
    assert found.speech_end_s == pytest.approx(2.0, abs=0.04)
    assert found.speech_share == pytest.approx(0.5, abs=0.03)
    assert found.duration_s == 3


def test_too_little_voice_has_a_reason_and_no_value() -> None:
    found = measured(silence(0.5), voice(200, 0.4), silence(0.5))
    assert set(found.values.values()) == {None}
    assert found.missing["hnr"] == "0.4 s of voiced sound; at least 1 s is needed"
    middle = measured(silence(0.5), voice(200, 0.8), silence(0.5))
    assert {name for name, one in middle.values.items() if one is not None} == {"pitch", "loudness"}


def test_silence_has_reasons_for_everything() -> None:
    found = measured(silence(1.0))
    assert set(found.missing) == set(found.values) == set(MEASURES)
    assert found.snr_db is None
    assert found.peak_db is None
    assert found.speech_start_s is None


def test_a_noisy_recording_keeps_only_what_noise_does_not_move() -> None:
    sound = np.concatenate([silence(0.5), voice(200, 1.5), silence(0.5)])
    noisy = sound + noise(len(sound), 0.1 * 10 ** (-12 / 20))
    found = measure_prosody(noisy, RATE)
    assert {name for name, one in found.values.items() if one is not None} == {
        "pitch",
        "pitch_slope",
        "loudness",
        "pauses",
    }
    assert "dB above the noise; at least 25 dB is needed" in found.missing["hnr"]
    assert measure_without_limits(noisy, RATE).values["hnr"] is not None


def test_four_seconds_take_less_than_a_tenth_of_a_second() -> None:
    sound = syllables(16, 4.0)
    measure_prosody(sound, RATE)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        measure_prosody(sound, RATE)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.1


def test_a_long_recording_is_the_same_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = np.concatenate([syllables(6, 4.0), silence(0.4), syllables(6, 5.0, 220)])
    whole = measure_prosody(sound, RATE)
    monkeypatch.setattr("emotion_llama.voice.frames._BLOCK", 50)
    assert measure_prosody(sound, RATE) == whole


@pytest.mark.parametrize(
    ("sound", "rate", "says"),
    [
        (np.zeros(8000, np.float32), 8000, "found a waveform of 8000 Hz, expected 16000 Hz"),
        (np.zeros((2, 800), np.float32), RATE, r"of shape \(2, 800\), expected \[w\]"),
        (np.zeros(0, np.float32), RATE, "at least one sample"),
        (np.full(800, np.nan, np.float32), RATE, "all of them finite"),
    ],
)
def test_what_is_no_waveform_is_refused(sound: np.ndarray, rate: int, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        measure_prosody(sound, rate)
