"""Encoders: Clip -> Features, the four boxes of the paper's figure."""

from .audio_encoder import MelAudioEncoder
from .global_encoder import EvaGlobalEncoder

__all__ = ["EvaGlobalEncoder", "MelAudioEncoder"]
