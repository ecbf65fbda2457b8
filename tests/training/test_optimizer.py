import re
from pathlib import Path

import pytest
import torch
from torch import nn
from training.tiny_run import make_trainer, tiny_model

from emotion_llama.model import EmotionLlama, EmotionLlamaConfig
from emotion_llama.training import is_decayed, prepare_trainable


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("projector.audio_projection.weight", (4, 3), True),
        ("projector.audio_projection.bias", (4,), False),
        ("language_model.model.layers.0.self_attn.q_proj.lora_A.default.weight", (2, 4), True),
        ("bias_table.weight", (4, 3), False),  # anywhere in the name, as published
        ("ln_vision.weight", (4, 3), False),
        ("bn1.weight", (4, 3), False),
        ("norm.weight", (4,), False),  # a vector, whatever it is called
    ],
)
def test_what_decays(name: str, shape: tuple[int, ...], expected: bool) -> None:
    assert is_decayed(name, nn.Parameter(torch.zeros(shape))) is expected


def test_the_published_count_learns() -> None:
    with torch.device("meta"):
        model = EmotionLlama(EmotionLlamaConfig())
    assert prepare_trainable(model) == 74_993_664


def test_only_what_learns_is_in_the_optimiser(tmp_path: Path) -> None:
    model = tiny_model()
    trainer = make_trainer(tmp_path, model=model)
    trainer.create_optimizer()
    decayed, others = trainer.optimizer.param_groups
    assert (decayed["weight_decay"], others["weight_decay"]) == (0.05, 0.0)
    names = {id(value): name for name, value in model.named_parameters()}
    in_optimiser = [names[id(p)] for group in (decayed, others) for p in group["params"]]
    assert sorted(in_optimiser) == sorted(model.trainable_parameters())
    assert all(name.endswith("bias") for name in map(names.get, map(id, others["params"])))
    assert trainer.num_trainable == sum(p.numel() for p in model.trainable_parameters().values())


def test_what_learns_is_fp32_and_what_is_frozen_stays_as_it_is() -> None:
    model = tiny_model().half()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    prepare_trainable(model)
    kinds = {
        (p.requires_grad, p.dtype, bool(re.search(r"projector|lora_", n)))
        for n, p in model.named_parameters()
    }
    assert kinds == {(True, torch.float32, True), (False, torch.float16, False)}


def test_quantised_projections_are_refused() -> None:
    model = tiny_model()
    layer = model.projector.audio_projection
    layer.weight = nn.Parameter(torch.zeros(4, 3, dtype=torch.uint8), requires_grad=False)
    with pytest.raises(ValueError, match=r"audio_projection.weight is torch.uint8"):
        prepare_trainable(model)
