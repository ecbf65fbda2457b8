"""Which parameters learn, in which number type, and which of them decay.

Knows: names and shapes of parameters. Does not know: optimisers, schedules, data. What is
trainable is decided by `EmotionLlama.trainable_parameters`.
"""

import torch
from torch import nn

from emotion_llama.model import EmotionLlama

UNDECAYED_NAMES = ("bias", "ln", "bn")
"""A parameter with one of these anywhere in its name does not decay (docs/published-model.md)."""

_MATRIX_NDIM = 2
"""Vectors do not decay either: biases and the scales of norms."""


def is_decayed(name: str, parameter: nn.Parameter) -> bool:
    """Say whether weight decay applies to a parameter, as published."""
    return parameter.ndim >= _MATRIX_NDIM and not any(part in name for part in UNDECAYED_NAMES)


def prepare_trainable(model: EmotionLlama) -> int:
    """Bring what learns into fp32 and freeze the rest.

    Steps of 1e-6 are lost in fp16 and bf16, and a gradient scaler takes fp32 gradients only; the
    frozen language model keeps its number type. Frozen parameters get no optimiser state.

    Returns:
        number of trainable values: 74,993,664 at the published sizes

    Raises:
        ValueError: a parameter that is to learn is quantised
    """
    trainable = model.trainable_parameters()
    for name, parameter in trainable.items():
        if not parameter.dtype.is_floating_point:
            msg = (
                f"{name} is {parameter.dtype}, expected a floating-point type; load the model with "
                "emotion_llama.model.quantization_config, which leaves what learns as it is"
            )
            raise ValueError(msg)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name in trainable)
    for parameter in trainable.values():
        parameter.data = parameter.data.to(torch.float32)
    return sum(parameter.numel() for parameter in trainable.values())
