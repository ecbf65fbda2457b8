"""Emotion-LLaMA: a clip of a person goes in; the emotion and the reasons for it come out."""

from emotion_llama.version import __version__

__all__ = ["__version__"]
