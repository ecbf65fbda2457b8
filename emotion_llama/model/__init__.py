"""Features and text in, text out: configuration, processor and model.

Shape letters, used in every docstring of the package: ``b`` batch, ``s`` text tokens, ``n``
feature tokens, ``p`` patches, ``t`` frames, ``w`` waveform samples, ``d`` language-model width,
``e`` encoder width, ``v`` vocabulary, ``a`` candidate answers, ``l`` answer tokens, ``h`` and
``w`` height and width of a picture.
"""

from emotion_llama.model.configuration import EmotionLlamaConfig
from emotion_llama.model.emotion_llama import EmotionLlama, quantization_config
from emotion_llama.model.processor import EmotionLlamaProcessor
from emotion_llama.model.projector import FEATURE_ORDER, TOKEN_KINDS, ModalityProjector

__all__ = [
    "FEATURE_ORDER",
    "TOKEN_KINDS",
    "EmotionLlama",
    "EmotionLlamaConfig",
    "EmotionLlamaProcessor",
    "ModalityProjector",
    "quantization_config",
]
