"""Emotion-LLaMA: a clip of a person goes in; the emotion and the reasons for it come out.

The public names are loaded when they are first used, so that ``import emotion_llama`` is quick.
"""

from typing import TYPE_CHECKING, Any

from emotion_llama.version import __version__

if TYPE_CHECKING:
    from emotion_llama.model import EmotionLlama, EmotionLlamaConfig, EmotionLlamaProcessor
    from emotion_llama.predict import Predictor
    from emotion_llama.records import Prediction

__all__ = [
    "EmotionLlama",
    "EmotionLlamaConfig",
    "EmotionLlamaProcessor",
    "Prediction",
    "Predictor",
    "__version__",
]

_HOMES = {
    "EmotionLlama": "emotion_llama.model",
    "EmotionLlamaConfig": "emotion_llama.model",
    "EmotionLlamaProcessor": "emotion_llama.model",
    "Prediction": "emotion_llama.records",
    "Predictor": "emotion_llama.predict",
}


def __getattr__(name: str) -> Any:
    """Import a public name from its module."""
    if name not in _HOMES:
        msg = f"module 'emotion_llama' has no attribute {name!r}"
        raise AttributeError(msg)
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
