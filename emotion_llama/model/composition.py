"""A plain language model and the widths of encoders -> a model that has learned nothing yet.

Knows: how weights of a language model get under LoRA. Does not know: encoders, training.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from emotion_llama.model.configuration import EmotionLlamaConfig
from emotion_llama.model.emotion_llama import EmotionLlama


def compose(
    language_model: str | Path,
    widths: Mapping[str, int],
    *,
    dtype: torch.dtype = torch.float32,
    seed: int = 0,
    **settings: Any,
) -> EmotionLlama:
    """Put a causal language model of ``transformers`` into a fresh `EmotionLlama`.

    Projections begin as torch's linear layer does, LoRA so that it changes nothing. The language
    model is in memory twice while the new one is made.

    Args:
        language_model: folder or hub id
        widths: of the encoders, ``patch_dim``, ``num_patches``, ``local_dim``, ``temporal_dim`` and
            ``audio_dim``; those left out have the published sizes
        dtype: of the weights
        seed: of what begins at random
        **settings: others of `EmotionLlamaConfig`

    Raises:
        OSError: there is no such language model
        ValueError: it is no causal language model, or has weights that find no place
    """
    text_config = AutoConfig.from_pretrained(language_model)
    source = AutoModelForCausalLM.from_pretrained(language_model, dtype=dtype)
    torch.manual_seed(seed)
    model = EmotionLlama(EmotionLlamaConfig(text_config=text_config, **widths, **settings))
    model.to(dtype)
    put_language_model(model, source)
    return model


def put_language_model(model: EmotionLlama, source: torch.nn.Module) -> None:
    """Copy the weights of a language model into the one of a model, under its LoRA.

    Args:
        model: with the same language model
        source: the language model

    Raises:
        ValueError: a weight finds no place, or not every place gets one
    """
    own = dict(model.language_model.named_parameters())
    filled = {name for name in own if ".lora_" in name}
    with torch.no_grad():
        for name, weight in source.named_parameters():
            stem, _, part = name.rpartition(".")
            under = f"{stem}.base_layer.{part}"
            place = under if under in own else name
            if place not in own:
                msg = f"the language model has {name}, which the composed model lacks"
                raise ValueError(msg)
            own[place].copy_(weight)
            filled.add(place)
    empty = sorted(own.keys() - filled)
    if empty:
        msg = f"the language model lacks {', '.join(empty[:3])}, which the composed model has"
        raise ValueError(msg)
