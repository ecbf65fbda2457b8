"""Encoders: Clip -> Features, the four boxes of the paper's figure.

The published classes are imported when they are first used: the library around them takes seconds
to load, and the small encoders need none of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .clue_code import clue_names
from .encoder import AudioEncoder, Encoder, FaceEncoder, GlobalEncoder, weights_hash
from .encoder_files import TYPES, global_picture_px, load_encoder, reads_clues, save_encoder
from .feature_extractor import FeatureExtractor

if TYPE_CHECKING:
    from .audio_encoder import HubertAudioEncoder
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
    "clue_names",
    "global_picture_px",
    "load_encoder",
    "reads_clues",
    "save_encoder",
    "weights_hash",
]

_HOMES = {kind.class_name: kind.module for kind in TYPES.values()}


def __getattr__(name: str) -> Any:
    """Import an encoder's class from its module."""
    if name not in _HOMES:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
