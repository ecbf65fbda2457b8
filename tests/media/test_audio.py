import re

import numpy as np
import pytest

from emotion_llama.config import MediaConfig
from emotion_llama.media import read_waveform

LOSSLESS = {"sound_codec": "pcm_s16le"}


def hertz(waveform, rate=16000):
    """Strongest frequency of a waveform [w]."""
    return np.abs(np.fft.rfft(waveform)).argmax() * rate / len(waveform)


def rms(waveform):
    return float(np.sqrt(np.mean(waveform**2)))


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
def test_any_rate_becomes_16_khz_with_the_same_pitch_level_and_length(make_film, tone, rate):
    path = make_film("a.wav", sounds=[tone(1.0, rate)], rate=rate, **LOSSLESS)
    sound = read_waveform(path, MediaConfig())
    assert sound.waveform.dtype == np.float32
    assert len(sound.waveform) == pytest.approx(16000, abs=2)
    assert hertz(sound.waveform) == pytest.approx(440, abs=1)
    assert rms(sound.waveform) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize("codec", ["pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_f32le", "pcm_f64le"])
def test_sample_formats_have_one_scale(make_film, tone, codec):
    sound = read_waveform(
        make_film("a.wav", sounds=[tone(1.0, 16000)], sound_codec=codec), MediaConfig()
    )
    assert rms(sound.waveform) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)
    assert abs(float(sound.waveform.mean())) < 0.005


@pytest.mark.parametrize(
    ("name", "codec", "rate"),
    [
        ("a.mp3", "libmp3lame", 44100),
        ("a.opus", "libopus", 48000),
        ("a.m4a", "aac", 44100),
        ("a.flac", "flac", 16000),
    ],
)
def test_codecs(make_film, tone, name, codec, rate):
    path = make_film(name, sounds=[tone(1.0, rate)], rate=rate, sound_codec=codec)
    waveform = read_waveform(path, MediaConfig()).waveform
    assert hertz(waveform) == pytest.approx(440, abs=5)
    assert rms(waveform) == pytest.approx(0.35, abs=0.03)


def test_channels_are_averaged(make_film, tone):
    left = tone(1.0, 44100)
    path = make_film("a.wav", sounds=[np.stack([left, 0 * left])], rate=44100, **LOSSLESS)
    waveform = read_waveform(path, MediaConfig()).waveform
    assert rms(waveform) == pytest.approx(0.25 / np.sqrt(2), rel=0.01)


def test_first_of_several_tracks_is_used_and_said(make_film, tone):
    path = make_film("a.mkv", sounds=[tone(1.0, 16000, 440), tone(1.0, 16000, 880)])
    sound = read_waveform(path, MediaConfig())
    assert hertz(sound.waveform) == pytest.approx(440, abs=5)
    assert sound.warnings == ("2 sound tracks: used track 1, the first one",)


def test_longest_duration(make_film, tone):
    path = make_film("a.wav", sounds=[tone(2.0, 44100)], rate=44100, **LOSSLESS)
    sound = read_waveform(path, MediaConfig(max_duration_s=0.5))
    assert len(sound.waveform) == 8000
    assert sound.warnings == ()


def test_file_without_sound(make_film, frames_25):
    sound = read_waveform(make_film(frames=frames_25), MediaConfig())
    assert (sound.waveform, sound.absence) == (None, "the file has no sound")


@pytest.mark.parametrize(
    ("amplitude", "reason"),
    [(0.0, "every sample is 0"), (1e-4, r"loudest sample -80\.0 dBFS; below -70 dBFS")],
)
def test_silence_is_absent_with_its_level(make_film, tone, amplitude, reason):
    sounds = [tone(1.0, 16000, amplitude=amplitude)]
    sound = read_waveform(make_film("a.wav", sounds=sounds, sound_codec="pcm_f32le"), MediaConfig())
    assert sound.waveform is None
    assert re.search(reason, sound.absence)


def test_quiet_sound_is_no_silence(make_film, tone):
    sounds = [tone(1.0, 16000, amplitude=1e-3)]
    sound = read_waveform(make_film("a.wav", sounds=sounds, sound_codec="pcm_f32le"), MediaConfig())
    assert sound.absence is None


@pytest.mark.parametrize("num_samples", [1, 399])
def test_too_short_says_the_length(make_film, num_samples):
    sounds = [np.full(num_samples, 0.5, np.float32)]
    sound = read_waveform(make_film("a.wav", sounds=sounds, **LOSSLESS), MediaConfig())
    assert f"lasts {num_samples / 16000:.4g} s; at least 0.025 s" in sound.absence


def test_just_long_enough(make_film):
    sounds = [np.full(400, 0.5, np.float32)]
    sound = read_waveform(make_film("a.wav", sounds=sounds, **LOSSLESS), MediaConfig())
    assert len(sound.waveform) == 400


def test_no_samples(make_film):
    path = make_film("a.wav", sounds=[np.zeros(0, np.float32)], **LOSSLESS)
    assert read_waveform(path, MediaConfig()).absence == "the sound track has no samples"


def test_samples_that_are_no_numbers_are_counted(make_film, tone):
    samples = tone(1.0, 16000)
    samples[100:103] = np.nan
    path = make_film("a.wav", sounds=[samples], sound_codec="pcm_f32le")
    sound = read_waveform(path, MediaConfig())
    assert np.isfinite(sound.waveform).all()
    assert sound.warnings == ("3 samples of the sound are no finite numbers; set to 0",)
