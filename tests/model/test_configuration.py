"""The configuration of a checkpoint."""

from pathlib import Path

import pytest
from transformers import AutoConfig, Qwen2Config

from emotion_llama.model import EmotionLlamaConfig


def test_defaults_are_the_published_sizes() -> None:
    config = EmotionLlamaConfig()
    assert config.num_image_tokens == 256
    assert config.text_config.hidden_size == 4096
    assert (config.lora_rank, config.lora_alpha) == (64, 16)


def test_round_trip_with_another_language_model(tmp_path: Path) -> None:
    text = Qwen2Config(hidden_size=32, num_hidden_layers=1, tie_word_embeddings=True)
    EmotionLlamaConfig(text_config=text, labels=("sad", "happy")).save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(config, EmotionLlamaConfig)
    assert isinstance(config.text_config, Qwen2Config)
    assert config.labels == ["sad", "happy"]
    assert config.tie_word_embeddings


def test_patches_must_divide_into_tokens() -> None:
    with pytest.raises(Exception, match="num_patches is 10, expected a multiple"):
        EmotionLlamaConfig(num_patches=10)


def test_unknown_rule_for_missing_modalities_is_refused() -> None:
    with pytest.raises(Exception, match="missing_modality"):
        EmotionLlamaConfig(missing_modality="guess")


def test_saved_settings_name_no_folder_of_this_machine(tmp_path: Path) -> None:
    Qwen2Config(hidden_size=32, num_hidden_layers=1).save_pretrained(tmp_path / "text")
    text = AutoConfig.from_pretrained(tmp_path / "text")
    EmotionLlamaConfig(text_config=text).save_pretrained(tmp_path / "whole")
    assert str(tmp_path) not in (tmp_path / "whole" / "config.json").read_text()
