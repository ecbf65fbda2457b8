"""Tiny towers of the published kinds with random weights, and inputs for them."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    HubertConfig,
    HubertModel,
    VideoMAEConfig,
    VideoMAEModel,
    ViTMAEConfig,
    ViTMAEModel,
    Wav2Vec2Config,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
)

KINDS = {
    "hubert": (HubertConfig, HubertModel),
    "wav2vec2": (Wav2Vec2Config, Wav2Vec2Model),
    "wavlm": (WavLMConfig, WavLMModel),
}


def speech_tower(kind: str = "hubert", norm: str = "layer", num_layers: int = 5) -> Any:
    """Build a tower; ``layer`` is laid out as the large models are, ``group`` as the base ones."""
    torch.manual_seed(0)
    config_class, model_class = KINDS[kind]
    config = config_class(
        hidden_size=32,
        num_hidden_layers=num_layers,
        num_attention_heads=2,
        intermediate_size=48,
        conv_dim=(8,) * 7,
        conv_bias=norm == "layer",
        feat_extract_norm=norm,
        do_stable_layer_norm=norm == "layer",
        num_conv_pos_embeddings=16,
        # 16 channels each; the published sizes have 64. With 8, oneDNN's bf16 convolution is
        # wrong on CPUs with AMX (torch 2.13)
        num_conv_pos_embedding_groups=2,
        initializer_range=0.2,
    )
    return model_class(config).eval()


def mae_tower(width: int = 64, num_layers: int = 2) -> ViTMAEModel:
    torch.manual_seed(0)
    config = ViTMAEConfig(
        hidden_size=width,
        num_hidden_layers=num_layers,
        num_attention_heads=width // 64 or 1,
        intermediate_size=24,
        image_size=32,
        patch_size=8,
        layer_norm_eps=1e-6,
        initializer_range=0.2,
    )
    return ViTMAEModel(config).eval()


def videomae_config(**changes: Any) -> VideoMAEConfig:
    sizes = {
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 1,
        "intermediate_size": 24,
        "image_size": 16,
        "patch_size": 8,
        "layer_norm_eps": 1e-6,
        "initializer_range": 0.2,
        "use_mean_pooling": False,
        "decoder_hidden_size": 32,
        "decoder_num_attention_heads": 2,
        "decoder_num_hidden_layers": 1,
        "decoder_intermediate_size": 16,
    }
    return VideoMAEConfig(**{**sizes, **changes})


def videomae_tower(**changes: Any) -> VideoMAEModel:
    torch.manual_seed(0)
    return VideoMAEModel(videomae_config(**changes)).eval()


def sound(num_samples: int, seed: int = 0) -> NDArray[np.float32]:
    """Make noise whose level changes, so that no part of it is like another."""
    rng = np.random.default_rng(seed)
    level = np.linspace(0.1, 0.5, num_samples)
    return (0.05 + level * rng.standard_normal(num_samples)).astype(np.float32)


def crops(length: int, size: int, seed: int = 0) -> NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (length, size, size, 3)).astype(np.uint8)
