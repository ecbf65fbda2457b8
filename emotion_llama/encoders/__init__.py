"""Encoders: Clip -> Features, the four boxes of the paper's figure."""

from .audio_encoder import HubertAudioEncoder
from .encoder import AudioEncoder, Encoder, FaceEncoder, GlobalEncoder, weights_hash
from .feature_extractor import FeatureExtractor, global_picture_px
from .global_encoder import EvaGlobalEncoder
from .local_encoder import MaeLocalEncoder
from .mini_audio_encoder import MelAudioEncoder
from .mini_global_encoder import SceneGlobalEncoder
from .mini_local_encoder import FaceLocalEncoder
from .mini_temporal_encoder import FaceTemporalEncoder
from .temporal_encoder import VideoMaeTemporalEncoder

__all__ = [
    "AudioEncoder",
    "Encoder",
    "EvaGlobalEncoder",
    "FaceEncoder",
    "FaceLocalEncoder",
    "FaceTemporalEncoder",
    "FeatureExtractor",
    "GlobalEncoder",
    "HubertAudioEncoder",
    "MaeLocalEncoder",
    "MelAudioEncoder",
    "SceneGlobalEncoder",
    "VideoMaeTemporalEncoder",
    "global_picture_px",
    "weights_hash",
]
