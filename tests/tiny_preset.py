"""A preset of random weights in the layout of a real one: loads and answers in no time."""

from pathlib import Path

import torch
from transformers import AutoTokenizer, LlamaConfig

from emotion_llama.encoders import FeatureExtractor
from emotion_llama.encoders.mini_audio_encoder import MelAudioEncoder
from emotion_llama.encoders.mini_global_encoder import SceneGlobalEncoder
from emotion_llama.encoders.mini_local_encoder import FaceLocalEncoder
from emotion_llama.encoders.mini_temporal_encoder import FaceTemporalEncoder
from emotion_llama.model import EmotionLlama, EmotionLlamaConfig, EmotionLlamaProcessor


def write_tiny_preset(folder: Path) -> None:
    """Write it."""
    torch.manual_seed(0)
    extractor = FeatureExtractor(
        audio=MelAudioEncoder((2, 2, 4, 4), 8, 8),
        global_=SceneGlobalEncoder((4, 4, 8), 8),
        local=FaceLocalEncoder((4, 8)),
        temporal=FaceTemporalEncoder((4, 4, 8), 8, 8),
    )
    extractor.save_pretrained(folder)
    config = EmotionLlamaConfig(
        text_config=LlamaConfig(
            vocab_size=640,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=512,
        ),
        patch_dim=8,
        num_patches=16,
        local_dim=8,
        temporal_dim=8,
        audio_dim=8,
        lora_rank=2,
        max_new_tokens=5,
        preset="tiny",
        notice="for tests only",
    )
    model = EmotionLlama(config)
    for parameter in model.projector.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    for name, parameter in model.language_model.named_parameters():
        if name.endswith(("embed_tokens.weight", "lm_head.weight")):
            torch.nn.init.normal_(parameter)  # else a random model answers nearly uniformly
    model.save_pretrained(folder)
    golden = Path(__file__).parent / "parity" / "golden"
    tokenizer = AutoTokenizer.from_pretrained(golden / "llama")
    EmotionLlamaProcessor(tokenizer, config).save_pretrained(folder)
