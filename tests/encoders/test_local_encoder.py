"""The published still-face encoder: its numbers, the order of patches, readings, folders."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from encoders.towers import crops, mae_tower
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import ViTMAEConfig, ViTMAEForPreTraining

from emotion_llama.encoders import MaeLocalEncoder, local_encoder, weights_hash


def directly(tower: Any, pixels: Tensor) -> Tensor:
    """Run the tower's parts without the library's masking."""
    embeddings = tower.embeddings
    with torch.no_grad():
        places = embeddings.position_embeddings
        patches = embeddings.patch_embeddings(pixels) + places[:, 1:]
        first = (embeddings.cls_token + places[:, :1]).expand(len(pixels), -1, -1)
        hidden = torch.cat([first, patches], dim=1)
        for layer in tower.layers:
            hidden = layer(hidden, None)
        tokens: Tensor = tower.layernorm(hidden)
    return tokens


def resized(track: NDArray[np.uint8], size: int = 32) -> Tensor:
    pictures = [Image.fromarray(face).resize((size, size), Image.BILINEAR) for face in track]
    stacked = np.stack([np.asarray(picture) for picture in pictures])
    return torch.from_numpy(stacked.transpose(0, 3, 1, 2) / 255.0).float()


def test_a_track_is_the_mean_of_its_class_tokens() -> None:
    tower, track = mae_tower(), crops(5, 48)
    expected = directly(tower, resized(track))[:, 0].mean(dim=0)
    found = MaeLocalEncoder(tower).encode([track])
    assert found.shape == (1, 64)
    torch.testing.assert_close(found[0], expected, atol=1e-6, rtol=0)


def test_patches_keep_their_order_and_none_is_masked() -> None:
    encoder, track = MaeLocalEncoder(mae_tower()), crops(3, 32)
    outputs: list[Any] = []
    encoder.tower.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    encoder.encode([track])
    assert torch.equal(outputs[0].ids_restore, torch.arange(16).expand(3, -1))
    assert (outputs[0].mask == 0).all()
    expected = directly(encoder.tower, resized(track))
    torch.testing.assert_close(outputs[0].last_hidden_state, expected, atol=1e-6, rtol=0)
    with torch.no_grad():
        shuffled = encoder.tower(resized(track)).last_hidden_state
    assert (shuffled[:, 1:] - expected[:, 1:]).abs().max() > 1e-2, "the library does shuffle"


def test_the_mean_of_patches_is_another_reading() -> None:
    tower, track = mae_tower(), crops(2, 32)
    expected = directly(tower, resized(track))[:, 1:].mean(dim=(0, 1))
    found = MaeLocalEncoder(tower, reading="mean").encode([track])[0]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)
    with pytest.raises(ValueError, match="'max'.*class, mean"):
        MaeLocalEncoder(tower, reading="max")  # type: ignore[arg-type]


def test_colours_are_normalised_only_where_asked() -> None:
    tower, track = mae_tower(), crops(2, 32)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    pixels = (resized(track) - mean[:, None, None]) / deviation[:, None, None]
    expected = directly(tower, pixels)[:, 0].mean(dim=0)
    found = MaeLocalEncoder(tower, normalize_colours=True).encode([track])[0]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert (found - MaeLocalEncoder(tower).encode([track])[0]).abs().max() > 1e-3


def test_a_batch_equals_single_bit_for_bit_in_any_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = MaeLocalEncoder(mae_tower())
    tracks = [crops(1, 32), crops(7, 50, 1), crops(3, 20, 2)]
    together = encoder.encode(tracks)
    assert torch.equal(together, encoder.encode(tracks))
    for row, track in enumerate(tracks):
        assert torch.equal(encoder.encode([track])[0], together[row])
    monkeypatch.setattr(local_encoder, "FACES_PER_PASS", 2)
    torch.testing.assert_close(encoder.encode(tracks), together, atol=1e-6, rtol=0)


def test_what_is_no_track_of_rgb_bytes_is_refused() -> None:
    encoder = MaeLocalEncoder(mae_tower())
    with pytest.raises(ValueError, match="found no face track"):
        encoder.encode([])
    with pytest.raises(ValueError, match="at least one RGB"):
        encoder.encode([crops(0, 32)])


def test_a_pretraining_folder_is_read_without_its_decoder(tmp_path: Path) -> None:
    tower = mae_tower()
    sizes = {"decoder_hidden_size": 16, "decoder_num_attention_heads": 2}
    sizes |= {"decoder_num_hidden_layers": 1, "decoder_intermediate_size": 16}
    whole = ViTMAEForPreTraining(ViTMAEConfig(**{**tower.config.to_dict(), **sizes}))
    whole.vit.load_state_dict(tower.state_dict())
    whole.save_pretrained(tmp_path)
    encoder = MaeLocalEncoder.from_pretrained(tmp_path, local_files_only=True)
    assert torch.equal(
        encoder.encode([crops(2, 32)]), MaeLocalEncoder(tower).encode([crops(2, 32)])
    )
    assert "decoder.decoder_embed.weight" in encoder.ignored_weights
    assert not any(parameter.requires_grad for parameter in encoder.parameters())


@pytest.mark.parametrize("change", ["missing", "unexpected", "wrong shape"])
def test_a_wrong_tensor_is_named(change: str, tmp_path: Path) -> None:
    MaeLocalEncoder(mae_tower()).save_pretrained(tmp_path)
    tensors = load_file(tmp_path / "model.safetensors")
    key = "layernorm.weight"
    if change == "missing":
        del tensors[key]
    elif change == "unexpected":
        key = "surprise.weight"
        tensors[key] = torch.zeros(1)
    else:
        tensors[key] = torch.zeros(3)
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=f"{change}: {key}"):
        MaeLocalEncoder.from_pretrained(tmp_path)


def test_settings_survive_a_folder(tmp_path: Path) -> None:
    encoder = MaeLocalEncoder(mae_tower(), reading="mean", normalize_colours=True)
    encoder.save_pretrained(tmp_path)
    again = MaeLocalEncoder.from_pretrained(tmp_path)
    assert json.dumps(again.settings) == json.dumps(encoder.settings)
    assert weights_hash(again) == weights_hash(encoder)
    assert torch.equal(again.encode([crops(2, 40)]), encoder.encode([crops(2, 40)]))
