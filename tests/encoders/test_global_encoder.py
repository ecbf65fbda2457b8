"""The published tower (EVA): preprocessing, final norm, files, strictness."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional
from transformers import Blip2VisionConfig
from transformers.modeling_outputs import BaseModelOutput

from emotion_llama.encoders.global_encoder import EvaGlobalEncoder


def tiny_eva(seed: int = 0) -> EvaGlobalEncoder:
    torch.manual_seed(seed)
    config = Blip2VisionConfig(
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=28,
        patch_size=7,
        initializer_range=0.2,
    )
    return EvaGlobalEncoder(config)


def frame(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3)).astype(np.uint8)


def test_eva_preprocessing_is_bicubic_to_the_exact_size_then_clip_statistics() -> None:
    picture = frame(40, 90)
    resized = np.asarray(Image.fromarray(picture).resize((28, 28), Image.Resampling.BICUBIC))
    mean = np.array([0.48145466, 0.4578275, 0.40821073])
    std = np.array([0.26862954, 0.26130258, 0.27577711])
    expected = ((resized / 255.0 - mean) / std).transpose(2, 0, 1)
    found = tiny_eva().preprocess([picture])[0].numpy()
    assert np.abs(found - expected).max() < 1e-5


def test_eva_shapes_and_batch_equal_single() -> None:
    encoder = tiny_eva()
    frames = [frame(40, 90), frame(28, 28, 1), frame(100, 17, 2)]
    patches, class_token = encoder.encode(frames)
    assert patches.shape == (3, encoder.num_patches, encoder.patch_dim) == (3, 16, 16)
    assert class_token.shape == (3, 16)
    for row, picture in enumerate(frames):
        one_patches, one_class = encoder.encode([picture])
        torch.testing.assert_close(one_patches[0], patches[row], atol=1e-5, rtol=0)
        torch.testing.assert_close(one_class[0], class_token[row], atol=1e-5, rtol=0)


def test_eva_reads_the_final_norm_once_with_its_own_eps(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = tiny_eva()
    tower = encoder.tower
    with torch.no_grad():
        pixels = encoder.preprocess([frame(28, 28)])
        hidden = tower.encoder(inputs_embeds=tower.embeddings(pixels)).last_hidden_state
        # a small spread makes the two eps (1e-5 here, 1e-6 in the blocks) tell apart
        monkeypatch.setattr(
            tower.encoder, "forward", lambda **_: BaseModelOutput(last_hidden_state=hidden * 1e-3)
        )
        patches, class_token = encoder.encode_pixels(pixels)
        expected = functional.layer_norm(hidden * 1e-3, (16,), eps=1e-5)
        other = functional.layer_norm(hidden * 1e-3, (16,), eps=1e-6)
    torch.testing.assert_close(torch.cat([class_token[:, None], patches], dim=1), expected)
    assert (expected - other).abs().max() > 1e-2


def test_eva_save_and_load_keep_outputs_and_the_final_eps(tmp_path: Path) -> None:
    encoder = tiny_eva()
    encoder.save_pretrained(tmp_path)
    again = EvaGlobalEncoder.from_pretrained(tmp_path)
    assert again.tower.post_layernorm.eps == 1e-5
    assert again.tower.encoder.layers[0].layer_norm1.eps == 1e-6
    for before, after in zip(
        encoder.encode([frame(30, 30)]), again.encode([frame(30, 30)]), strict=True
    ):
        torch.testing.assert_close(before, after, atol=0, rtol=0)


@pytest.mark.parametrize("change", ["missing", "unexpected", "shape"])
def test_eva_load_names_the_wrong_tensor(tmp_path: Path, change: str) -> None:
    tiny_eva().save_pretrained(tmp_path)
    weights_path = tmp_path / "model.safetensors"
    tensors = load_file(weights_path)
    key = "encoder.layers.1.mlp.fc1.weight"
    if change == "missing":
        del tensors[key]
    elif change == "unexpected":
        key = "encoder.layers.7.mlp.fc1.weight"
        tensors[key] = torch.zeros(2)
    else:
        tensors[key] = torch.zeros(3, 3)
    save_file(tensors, weights_path, {"format": "pt"})
    with pytest.raises(ValueError, match=key):
        EvaGlobalEncoder.from_pretrained(tmp_path)


def test_eva_refuses_patches_that_cannot_be_merged_by_four() -> None:
    with pytest.raises(ValueError, match="21 px picture in 7 px patches gives 3"):
        EvaGlobalEncoder(Blip2VisionConfig(image_size=21, patch_size=7, num_hidden_layers=0))


def test_eva_refuses_a_picture_that_is_not_rgb_bytes() -> None:
    with pytest.raises(ValueError, match=r"\(28, 28\).*RGB uint8"):
        tiny_eva().encode([np.zeros((28, 28), np.uint8)])
