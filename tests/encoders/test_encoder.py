"""What every encoder has, and what identifies its weights."""

import json
from typing import Any

import pytest
import torch
from encoders.towers import mae_tower, speech_tower, videomae_tower
from torch import nn
from transformers import Blip2VisionConfig

from emotion_llama.encoders import (
    EvaGlobalEncoder,
    FaceLocalEncoder,
    FaceTemporalEncoder,
    HubertAudioEncoder,
    MaeLocalEncoder,
    MelAudioEncoder,
    SceneGlobalEncoder,
    VideoMaeTemporalEncoder,
    weights_hash,
)


def eva() -> EvaGlobalEncoder:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    return EvaGlobalEncoder(
        Blip2VisionConfig(**sizes, num_attention_heads=2, image_size=28, patch_size=7)
    )


EVERY_ENCODER = {
    "mel": lambda: MelAudioEncoder((2, 3, 4, 5), 6, 7),
    "hubert": lambda: HubertAudioEncoder(speech_tower(num_layers=1)),
    "scene": lambda: SceneGlobalEncoder((2, 3, 4), 8),
    "eva": eva,
    "face local": lambda: FaceLocalEncoder((2, 3, 4)),
    "mae": lambda: MaeLocalEncoder(mae_tower()),
    "face temporal": lambda: FaceTemporalEncoder((2, 3, 4), 5, 6),
    "videomae": lambda: VideoMaeTemporalEncoder(videomae_tower()),
}


@pytest.mark.parametrize("kind", EVERY_ENCODER)
def test_every_encoder_has_a_name_and_settings_of_plain_values(kind: str) -> None:
    encoder: Any = EVERY_ENCODER[kind]()
    assert encoder.name and encoder.version and encoder.output_dim > 0
    once, again = (json.dumps(dict(encoder.settings), sort_keys=True) for _ in range(2))
    assert once == again
    assert json.dumps(dict(EVERY_ENCODER[kind]().settings), sort_keys=True) == once
    assert json.loads(once) == encoder.settings


def test_the_kinds_of_encoder_have_settings_of_their_own() -> None:
    pairs = [(e.name, json.dumps(dict(e.settings))) for e in (f() for f in EVERY_ENCODER.values())]
    assert len(set(pairs)) == len(EVERY_ENCODER)


def test_equal_weights_have_equal_hashes_of_sixteen_digits() -> None:
    first, second = MaeLocalEncoder(mae_tower()), MaeLocalEncoder(mae_tower())
    assert weights_hash(first) == weights_hash(second)
    assert len(weights_hash(first)) == 16 and int(weights_hash(first), 16) > 0


def small() -> nn.Module:
    module = nn.BatchNorm1d(2)  # has a tensor without dimensions
    module.requires_grad_(False)
    return module


def test_any_change_of_the_weights_changes_the_hash() -> None:
    changed, cast, renamed = small(), small().bfloat16(), nn.ModuleDict({"norm": small()})
    changed.weight[1] += 1e-7  # type: ignore[union-attr,operator]
    reshaped = small()
    reshaped.register_buffer("running_mean", torch.zeros(1, 2))
    modules = [small(), changed, cast, renamed, reshaped]
    assert len({weights_hash(module) for module in modules}) == len(modules)


def test_a_hash_is_computed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    module = small()
    first = weights_hash(module)
    monkeypatch.setattr(module, "state_dict", lambda: pytest.fail("read again"))
    assert weights_hash(module) == first
