"""Annotations that others made -> records."""

from emotion_llama.merr.importing.mer_factory import read_mer_factory
from emotion_llama.merr.importing.published import read_published

__all__ = ["read_mer_factory", "read_published"]
