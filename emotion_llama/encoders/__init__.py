"""Encoders: Clip -> Features, the four boxes of the paper's figure."""

from .audio_encoder import MelAudioEncoder
from .feature_extractor import AudioEncoder, FaceEncoder, FeatureExtractor, GlobalEncoder
from .global_encoder import EvaGlobalEncoder, SceneGlobalEncoder
from .local_encoder import FaceLocalEncoder
from .temporal_encoder import FaceTemporalEncoder

__all__ = [
    "AudioEncoder",
    "EvaGlobalEncoder",
    "FaceEncoder",
    "FaceLocalEncoder",
    "FaceTemporalEncoder",
    "FeatureExtractor",
    "GlobalEncoder",
    "MelAudioEncoder",
    "SceneGlobalEncoder",
]
