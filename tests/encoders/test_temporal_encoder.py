"""The published face-motion encoder: its numbers, both norms, short tracks, folders."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from encoders.towers import crops, videomae_config, videomae_tower
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import VideoMAEForPreTraining, VideoMAEForVideoClassification

from emotion_llama.encoders import VideoMaeTemporalEncoder, weights_hash

MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def pixels_of(frames: np.ndarray, *, normalize: bool = True) -> Tensor:
    values = frames / 255.0
    values = (values - MEAN) / DEVIATION if normalize else values
    return torch.from_numpy(values.transpose(0, 3, 1, 2)).float()[None]  # [1 x t x 3 x h x w]


@pytest.mark.parametrize("normalize", [True, False])
def test_the_mean_of_all_normalised_tokens(normalize: bool) -> None:
    tower, track = videomae_tower(), crops(32, 16)
    with torch.no_grad():
        tokens = tower(pixels_of(track[1::2], normalize=normalize)).last_hidden_state
    assert tokens.shape == (1, 8 * 4, 64)
    encoder = VideoMaeTemporalEncoder(tower, normalize_colours=normalize)
    found = encoder.encode([track])
    torch.testing.assert_close(found, tokens.mean(dim=1), atol=1e-5, rtol=0)


def test_a_fine_tuned_model_is_normalised_after_the_mean(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = VideoMAEForVideoClassification(videomae_config(use_mean_pooling=True)).eval()
    nn.init.normal_(whole.fc_norm.weight)
    whole.save_pretrained(tmp_path)
    track = crops(16, 16)
    with torch.no_grad():
        mean = whole.videomae(pixels_of(track)).last_hidden_state.mean(dim=1)
        expected = whole.fc_norm(mean)
    encoder = VideoMaeTemporalEncoder.from_pretrained(tmp_path)
    # the library builds this norm with eps 1e-5, VideoMAE's own program with 1e-6
    torch.testing.assert_close(encoder.encode([track]), expected, atol=1e-3, rtol=0)
    assert (expected - mean).abs().max() > 0.1
    assert encoder.ignored_weights == ("classifier.bias", "classifier.weight")
    encoder.save_pretrained(tmp_path / "again")
    again = VideoMaeTemporalEncoder.from_pretrained(tmp_path / "again")
    assert torch.equal(again.encode([track]), encoder.encode([track]))
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors["fc_norm.weight"]
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=r"missing or of a wrong shape: fc_norm\.weight"):
        VideoMaeTemporalEncoder.from_pretrained(tmp_path)


def test_a_pretraining_folder_is_read_without_its_decoder(tmp_path: Path) -> None:
    whole = VideoMAEForPreTraining(videomae_config())
    whole.videomae.load_state_dict(videomae_tower().state_dict())
    whole.save_pretrained(tmp_path)
    encoder = VideoMaeTemporalEncoder.from_pretrained(tmp_path)
    expected = VideoMaeTemporalEncoder(videomae_tower()).encode([crops(16, 16)])
    assert torch.equal(encoder.encode([crops(16, 16)]), expected)
    assert "mask_token" in encoder.ignored_weights
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


def test_a_tower_has_exactly_one_norm() -> None:
    with pytest.raises(ValueError, match="found neither of the norm"):
        VideoMaeTemporalEncoder(videomae_tower(use_mean_pooling=True))
    with pytest.raises(ValueError, match="found both of the norm"):
        VideoMaeTemporalEncoder(videomae_tower(), pooled_norm=nn.LayerNorm(64))
    with pytest.raises(ValueError, match="takes 8 frames, expected 16"):
        VideoMaeTemporalEncoder(videomae_tower(num_frames=8))


def test_a_batch_equals_single_bit_for_bit_and_repeats() -> None:
    encoder = VideoMaeTemporalEncoder(videomae_tower())
    tracks = [crops(2, 16), crops(40, 24, 1), crops(16, 16, 2)]
    together = encoder.encode(tracks)
    assert together.shape == (3, encoder.output_dim) == (3, 64)
    assert torch.equal(together, encoder.encode(tracks))
    for row, track in enumerate(tracks):
        assert torch.equal(encoder.encode([track])[0], together[row])


def test_a_short_track_repeats_its_crops() -> None:
    encoder, pair = VideoMaeTemporalEncoder(videomae_tower()), crops(2, 16)
    assert torch.equal(encoder.encode([pair]), encoder.encode([pair.repeat(8, axis=0)]))


def test_a_seed_draws_other_crops_and_the_same_ones_again() -> None:
    tower, track = videomae_tower(), crops(64, 16)
    fixed = VideoMaeTemporalEncoder(tower).encode([track])
    first, second = (VideoMaeTemporalEncoder(tower, seed=seed) for seed in (1, 2))
    assert torch.equal(first.encode([track]), first.encode([track]))
    assert not torch.equal(first.encode([track]), fixed)
    assert not torch.equal(first.encode([track]), second.encode([track]))
    assert first.settings != second.settings


def test_motion_backwards_is_another_motion() -> None:
    encoder, track = VideoMaeTemporalEncoder(videomae_tower()), crops(16, 16)
    forwards, backwards = encoder.encode([track, track[::-1].copy()])
    assert (forwards - backwards).abs().max() > 1e-3


def test_what_is_no_track_of_rgb_bytes_is_refused() -> None:
    encoder = VideoMaeTemporalEncoder(videomae_tower())
    with pytest.raises(ValueError, match="found no face track"):
        encoder.encode([])
    with pytest.raises(ValueError, match=r"float64.*RGB uint8"):
        encoder.encode([np.zeros((16, 16, 16, 3))])  # type: ignore[list-item]


def test_settings_survive_a_folder(tmp_path: Path) -> None:
    encoder = VideoMaeTemporalEncoder(videomae_tower(), normalize_colours=False, seed=3)
    encoder.save_pretrained(tmp_path)
    again = VideoMaeTemporalEncoder.from_pretrained(tmp_path)
    assert json.dumps(again.settings) == json.dumps(encoder.settings)
    assert weights_hash(again) == weights_hash(encoder)
    assert torch.equal(again.encode([crops(20, 16)]), encoder.encode([crops(20, 16)]))
