"""The published speech encoder: its numbers, long and short sound, folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders.towers import KINDS, sound, speech_tower
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import HubertConfig, HubertForCTC, HubertModel, Wav2Vec2FeatureExtractor

from emotion_llama.encoders import HubertAudioEncoder, audio_encoder, weights_hash
from emotion_llama.encoders.long_sound import ReceptiveField, convolve, in_windows

NORMS = ("layer", "group")


def directly(
    encoder: HubertAudioEncoder, waveform: np.ndarray, *, normalize: bool = True
) -> Tensor:
    """Compute the last layer as anybody with the library would."""
    preparation = Wav2Vec2FeatureExtractor(do_normalize=normalize)
    values = preparation(waveform, sampling_rate=16000, return_tensors="pt").input_values
    with torch.no_grad():
        hidden: Tensor = encoder.tower(values).last_hidden_state[0]
    return hidden


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", NORMS)
def test_the_mean_of_the_last_layer(kind: str, norm: str) -> None:
    encoder = HubertAudioEncoder(speech_tower(kind, norm))
    expected = directly(encoder, sound(9000)).mean(dim=0)
    torch.testing.assert_close(encoder.encode([sound(9000)])[0], expected, atol=1e-6, rtol=0)
    assert expected.std() > 0.01


def test_the_waveform_is_normalised_only_where_asked() -> None:
    tower = speech_tower("hubert", "layer")
    plain = HubertAudioEncoder(tower, do_normalize=False)
    expected = directly(plain, sound(5000), normalize=False).mean(dim=0)
    found = plain.encode([sound(5000)])[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    assert (found - HubertAudioEncoder(tower).encode([sound(5000)])[0]).abs().max() > 1e-4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", NORMS)
def test_the_sum_of_four_layers_ends_with_the_normalised_last_one(kind: str, norm: str) -> None:
    encoder = HubertAudioEncoder(speech_tower(kind, norm), reading="sum_of_last_four")
    values = Wav2Vec2FeatureExtractor()(sound(6000), sampling_rate=16000, return_tensors="pt")
    with torch.no_grad():
        output = encoder.tower(values.input_values, output_hidden_states=True)
    # entry 0 is the input of the first layer, so entry i is the output of layer i
    expected = output.last_hidden_state + sum(output.hidden_states[i] for i in (2, 3, 4))
    found = encoder.encode_frames(sound(6000))
    torch.testing.assert_close(found, expected[0], atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("norm", NORMS)
def test_convolutions_in_pieces_equal_the_whole(kind: str, norm: str) -> None:
    # in double precision: with the 8 channels of these towers single precision is off by up to 6e-6
    tower = speech_tower(kind, norm).double()
    field = ReceptiveField.of(tower.config.conv_kernel, tower.config.conv_stride)
    assert field == ReceptiveField(400, 320)
    for num_samples in (400, 719, 720, 16000, 16123):
        waveform = torch.from_numpy(sound(num_samples)).double()
        with torch.no_grad():
            whole = tower.feature_extractor(waveform[None])[0].T
            assert len(whole) == field.num_frames(num_samples)
            for piece_frames in (1, 7, 16):
                pieces = convolve(tower.feature_extractor, waveform, field, piece_frames)
                torch.testing.assert_close(pieces, whole, atol=1e-10, rtol=0)


def test_pieces_need_the_moments_of_the_whole_sound() -> None:
    tower = speech_tower("hubert", "group")
    field = ReceptiveField(400, 320)
    waveform = torch.from_numpy(sound(16000))
    with torch.no_grad():
        whole = tower.feature_extractor(waveform[None])[0].T
        alone = tower.feature_extractor(field.cut(waveform, 0, 7)[None])[0].T
    assert (whole[:7] - alone).abs().max() > 1e-3, "the test above would pass without them"


@pytest.mark.parametrize("norm", NORMS)
def test_a_sound_of_several_pieces_gives_the_embedding_of_one_pass(
    norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = HubertAudioEncoder(speech_tower("hubert", norm))
    monkeypatch.setattr(audio_encoder, "FRAMES_PER_PIECE", 9)
    expected = directly(encoder, sound(20000)).mean(dim=0)
    torch.testing.assert_close(encoder.encode([sound(20000)])[0], expected, atol=2e-6, rtol=0)


@pytest.mark.parametrize("norm", NORMS)
def test_a_batch_equals_single_bit_for_bit_and_repeats(norm: str) -> None:
    encoder = HubertAudioEncoder(speech_tower("hubert", norm))
    sounds = [sound(400), sound(7000, 1), sound(16001, 2)]
    together = encoder.encode(sounds)
    assert together.shape == (3, encoder.output_dim) == (3, 32)
    assert torch.equal(together, encoder.encode(sounds))
    for row, one in enumerate(sounds):
        assert torch.equal(encoder.encode([torch.from_numpy(one)])[0], together[row])


def test_long_sound_runs_in_windows_and_says_that_it_is_approximate() -> None:
    tower = speech_tower("hubert", "layer")
    short, whole = HubertAudioEncoder(tower, max_one_pass_s=0.5), HubertAudioEncoder(tower)
    assert short.max_one_pass_frames == 24
    assert not short.is_approximate(8000) and short.is_approximate(8080)
    assert not whole.is_approximate(120 * 16000) and whole.is_approximate(121 * 16000)
    assert torch.equal(short.encode([sound(8000)]), whole.encode([sound(8000)]))
    frames, exact = short.encode_frames(sound(30000)), whole.encode_frames(sound(30000))
    assert frames.shape == exact.shape
    difference = (frames - exact).abs().max()
    assert 1e-6 < difference < exact.abs().max()


@pytest.mark.parametrize("num_frames", [11, 12, 25, 31])
def test_windows_cover_every_frame_with_weights_that_add_up(num_frames: int) -> None:
    frames = torch.randn(num_frames, 3)
    seen: list[int] = []

    def double(window: Tensor) -> Tensor:
        seen.append(len(window))
        return window * 2.0

    torch.testing.assert_close(in_windows(frames, 10, double), frames * 2.0)
    assert set(seen) == {10}


def test_a_frame_counts_most_in_the_window_that_has_it_in_the_middle() -> None:
    calls = iter((0.0, 1.0, 2.0))
    averaged = in_windows(torch.zeros(20, 1), 10, lambda window: window + next(calls))[:, 0]
    assert averaged[0] == 0.0 and averaged[-1] == 2.0
    assert averaged[10] > 0.8 and averaged[10] < 1.2
    assert (averaged.diff() >= 0).all()


@pytest.mark.parametrize("waveform", [sound(399), np.zeros(0, np.float32), np.zeros((2, 800))])
def test_sound_shorter_than_a_frame_or_not_mono_is_refused(waveform: np.ndarray) -> None:
    encoder = HubertAudioEncoder(speech_tower())
    with pytest.raises(ValueError, match=r"shape \(.*at least 400 samples \(25 ms"):
        encoder.encode([waveform])
    with pytest.raises(ValueError, match="found no waveform"):
        encoder.encode([])


def test_unusable_choices_are_refused() -> None:
    with pytest.raises(ValueError, match="'first'.*last, sum_of_last_four"):
        HubertAudioEncoder(speech_tower(), reading="first")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs 4 layers, the tower has 2"):
        HubertAudioEncoder(speech_tower(num_layers=2), reading="sum_of_last_four")
    with pytest.raises(ValueError, match="max_one_pass_s is 0.02"):
        HubertAudioEncoder(speech_tower(), max_one_pass_s=0.02)


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_the_library_is_read_with_its_preprocessing(kind: str, tmp_path: Path) -> None:
    tower = speech_tower(kind, "group")
    tower.save_pretrained(tmp_path)
    assert HubertAudioEncoder.from_pretrained(tmp_path).do_normalize is True
    Wav2Vec2FeatureExtractor(do_normalize=False).save_pretrained(tmp_path)
    encoder = HubertAudioEncoder.from_pretrained(tmp_path, local_files_only=True)
    assert encoder.do_normalize is False
    assert HubertAudioEncoder.from_pretrained(tmp_path, do_normalize=True).do_normalize is True
    expected = HubertAudioEncoder(tower, do_normalize=False).encode([sound(4000)])
    assert torch.equal(encoder.encode([sound(4000)]), expected)
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert not encoder.training


def test_a_model_for_another_rate_is_refused(tmp_path: Path) -> None:
    speech_tower().save_pretrained(tmp_path)
    Wav2Vec2FeatureExtractor(sampling_rate=8000).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="8000 Hz, expected 16000 Hz"):
        HubertAudioEncoder.from_pretrained(tmp_path)


def test_a_head_on_the_tower_is_ignored_and_listed(tmp_path: Path) -> None:
    config = HubertConfig(**{**speech_tower().config.to_dict(), "vocab_size": 5})
    HubertForCTC(config).save_pretrained(tmp_path)
    encoder = HubertAudioEncoder.from_pretrained(tmp_path)
    assert encoder.ignored_weights == ("lm_head.bias", "lm_head.weight")


def test_the_vector_of_masked_training_may_be_absent(tmp_path: Path) -> None:
    speech_tower().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["masked_spec_embed"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    hashes = {weights_hash(HubertAudioEncoder.from_pretrained(tmp_path)) for _ in range(2)}
    assert len(hashes) == 1


@pytest.mark.parametrize("change", ["missing", "unexpected", "wrong shape"])
def test_a_wrong_tensor_is_named(change: str, tmp_path: Path) -> None:
    speech_tower().save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    key = "encoder.layers.1.attention.q_proj.weight"
    if change == "missing":
        del tensors[key]
    elif change == "unexpected":
        key = "encoder.layers.7.attention.q_proj.weight"
        tensors[key] = torch.zeros(32, 32)
    else:
        tensors[key] = torch.zeros(3, 3)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"{change}: {key}"):
        HubertAudioEncoder.from_pretrained(tmp_path)


def test_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ValueError, match="type 'bert', expected hubert or wav2vec2 or wavlm"):
        HubertAudioEncoder.from_pretrained(tmp_path)


def test_settings_survive_a_folder_and_tell_readings_apart(tmp_path: Path) -> None:
    encoder = HubertAudioEncoder(
        speech_tower(), reading="sum_of_last_four", do_normalize=False, max_one_pass_s=3
    )
    encoder.save_pretrained(tmp_path)
    again = HubertAudioEncoder.from_pretrained(tmp_path)
    assert json.dumps(again.settings) == json.dumps(encoder.settings)
    assert weights_hash(again) == weights_hash(encoder)
    assert torch.equal(again.encode([sound(4000)]), encoder.encode([sound(4000)]))
    assert Wav2Vec2FeatureExtractor.from_pretrained(tmp_path).do_normalize is False
    assert HubertAudioEncoder(speech_tower()).settings != encoder.settings


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["layer", "group"])
def test_pieces_of_the_published_width_give_the_whole_in_single_precision(norm: str) -> None:
    """Convolutions as wide as published; measured worst: 0 for large models, 1.2e-7 for base."""
    torch.manual_seed(0)
    config = HubertConfig(feat_extract_norm=norm, conv_bias=norm == "layer", num_hidden_layers=1)
    extractor = HubertModel(config).eval().feature_extractor
    field = ReceptiveField.of(config.conv_kernel, config.conv_stride)
    waveform = 0.3 * torch.randn(12 * 16000)
    with torch.no_grad():
        whole = extractor(waveform[None])[0].T
        pieces = convolve(extractor, waveform, field, 250)
    torch.testing.assert_close(pieces.mean(0), whole.mean(0), rtol=0, atol=1e-6)
