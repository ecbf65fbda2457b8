"""A tiny model with random weights and the toy tokenizer of the golden recording."""

from pathlib import Path

import pytest
import torch
from transformers import AutoTokenizer, LlamaConfig, PreTrainedTokenizerBase

from emotion_llama.model import EmotionLlama, EmotionLlamaConfig, EmotionLlamaProcessor
from emotion_llama.records import Features

GOLDEN = Path(__file__).parents[1] / "parity" / "golden"


@pytest.fixture(scope="session")
def golden_folder() -> Path:
    """The toy files in the published layout."""
    return GOLDEN


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(GOLDEN / "llama")


@pytest.fixture(scope="session")
def tiny_config() -> EmotionLlamaConfig:
    text = LlamaConfig(
        vocab_size=640,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=512,
        pad_token_id=None,
    )
    return EmotionLlamaConfig(
        text_config=text,
        patch_dim=6,
        num_patches=8,
        local_dim=5,
        temporal_dim=4,
        audio_dim=3,
        lora_rank=2,
        max_new_tokens=6,
    )


@pytest.fixture
def processor(
    tokenizer: PreTrainedTokenizerBase, tiny_config: EmotionLlamaConfig
) -> EmotionLlamaProcessor:
    return EmotionLlamaProcessor(tokenizer, tiny_config)


@pytest.fixture(scope="session")
def tiny_model(tiny_config: EmotionLlamaConfig) -> EmotionLlama:
    torch.manual_seed(0)
    model = EmotionLlama(tiny_config)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:  # zeros at the start would hide a LoRA that is not applied
            torch.nn.init.normal_(parameter)
    return model.float().eval()


@pytest.fixture
def whole() -> Features:
    """All features of one clip."""
    generator = torch.Generator().manual_seed(1)
    return Features(
        patches=torch.randn(8, 6, generator=generator),
        class_token=torch.randn(6, generator=generator),
        local=torch.randn(5, generator=generator),
        temporal=torch.randn(4, generator=generator),
        audio=torch.randn(3, generator=generator),
    )
