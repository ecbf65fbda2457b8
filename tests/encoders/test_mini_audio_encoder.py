"""The speech encoder: the mel picture, trimming, segments, batches and odd input."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from emotion_llama.encoders.mini_audio_encoder import (
    SEGMENT_SAMPLES,
    MelAudioEncoder,
    cut_segments,
    normalize_log_mel,
    trim_silence,
)


def tiny_audio(seed: int = 0) -> MelAudioEncoder:
    torch.manual_seed(seed)
    return MelAudioEncoder(channels=(2, 3, 4, 5), frame_width=6, output_dim=7).eval()


def sound(seconds: float, seed: int = 0, hz: float = 220.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    time = np.arange(int(seconds * 16000)) / 16000
    tone = 0.3 * np.sin(2 * np.pi * hz * time) + 0.02 * rng.standard_normal(len(time))
    return tone.astype(np.float32)


def test_a_tone_is_loudest_in_the_band_around_its_frequency() -> None:
    log_mel = tiny_audio().log_mel(torch.from_numpy(sound(1.0, hz=1000.0))[None])[0]

    def mel(hz: float) -> float:
        return float(2595 * np.log10(1 + hz / 700))

    centres = np.linspace(mel(60.0), mel(7600.0), 66)[1:-1]
    nearest = int(np.abs(centres - mel(1000.0)).argmin())
    assert abs(int(log_mel.mean(dim=1).argmax()) - nearest) <= 1


def test_silence_is_cut_off_both_ends_and_kept_when_there_is_nothing_else() -> None:
    quiet = torch.zeros(16000)
    trimmed = trim_silence(torch.cat([quiet, torch.from_numpy(sound(1.0)), quiet]))
    assert 16000 <= len(trimmed) <= 16000 + 2 * 400
    assert len(trim_silence(quiet)) == 16000


@pytest.mark.parametrize(
    ("seconds", "starts_s"), [(1.0, [0.0]), (3.0, [0.0]), (5.0, [0.0, 1.5, 2.0])]
)
def test_segments_cover_the_sound(seconds: float, starts_s: list[float]) -> None:
    ramp = torch.arange(int(seconds * 16000), dtype=torch.float32)
    segments = cut_segments(ramp)
    assert segments.shape == (len(starts_s), SEGMENT_SAMPLES)
    assert segments[:, 0].tolist() == [start * 16000 for start in starts_s]


def test_the_level_goes_and_half_of_the_average_spectrum_stays() -> None:
    log_mel = torch.randn(1, 64, 50)
    plain = normalize_log_mel(log_mel)
    torch.testing.assert_close(normalize_log_mel(log_mel + 5.0), plain, atol=1e-5, rtol=0)
    colour = torch.linspace(-1.0, 1.0, 64)[None, :, None]
    change = normalize_log_mel(log_mel + colour) - plain
    torch.testing.assert_close(change, (0.5 * colour / 2.5).expand_as(change), atol=1e-5, rtol=0)


def test_batch_equals_single_and_repeats_exactly() -> None:
    encoder = tiny_audio()
    sounds = [sound(0.7), sound(3.0, 1), sound(7.3, 2)]
    together = encoder.encode(sounds)
    assert together.shape == (3, encoder.output_dim) == (3, 7)
    assert torch.equal(together, encoder.encode(sounds))
    for row, one in enumerate(sounds):
        torch.testing.assert_close(encoder.encode([one])[0], together[row], atol=1e-5, rtol=0)
    assert (together[0] - together[2]).abs().max() > 1e-4


def test_encoding_leaves_training_mode_and_asks_for_no_gradient() -> None:
    encoder = tiny_audio().train()
    assert not encoder.encode([sound(1.0)]).requires_grad
    assert not encoder.training


@pytest.mark.parametrize("length", [1, 399, 401])
def test_very_short_and_silent_sounds_give_finite_numbers(length: int) -> None:
    encoder = tiny_audio()
    for waveform in (sound(1.0)[:length], np.zeros(length, np.float32)):
        assert torch.isfinite(encoder.encode([waveform])).all()


def test_empty_and_stereo_sound_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(0,\).*mono"):
        tiny_audio().encode([np.zeros(0, np.float32)])
    with pytest.raises(ValueError, match=r"\(2, 10\).*mono"):
        tiny_audio().encode([np.zeros((2, 10), np.float32)])
    with pytest.raises(ValueError, match="at least one"):
        tiny_audio().encode([])
