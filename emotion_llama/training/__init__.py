"""How `EmotionLlama` learns: schedule, what decays, checkpoints, the trainer.

Knows: models and steps. Does not know: annotations and files of data (`emotion_llama.data`),
what a run is (`emotion_llama.train`).
"""

from emotion_llama.training.checkpoint import (
    load_adapter,
    newest_checkpoint,
    save_adapter,
    saved_config,
    whole_tensors,
    write_model,
)
from emotion_llama.training.leaving import end_process
from emotion_llama.training.optimizer import is_decayed, prepare_trainable
from emotion_llama.training.schedule import PublishedSchedule
from emotion_llama.training.trainer import EmotionTrainer, Validate

__all__ = [
    "end_process",
    "EmotionTrainer",
    "PublishedSchedule",
    "Validate",
    "is_decayed",
    "load_adapter",
    "newest_checkpoint",
    "prepare_trainable",
    "save_adapter",
    "saved_config",
    "whole_tensors",
    "write_model",
]
