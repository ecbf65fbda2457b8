"""The voice in a recording: prosody, what is usual, and how far from it a recording lies.

Knows: mono sound of 16 kHz, norms, wording in acoustic terms. Does not know: files, records,
emotions.
"""

from emotion_llama.voice.measures import MEASURES, Measure
from emotion_llama.voice.norms import (
    LOW_VOICE_BELOW,
    MIN_RECORDINGS,
    NormScope,
    VoiceNorm,
    choose_norm,
    choose_norms,
    norm_of,
    packaged_norm,
    score,
)
from emotion_llama.voice.prosody import (
    Prosody,
    measure_prosody,
    measure_without_limits,
    within_limits,
)
from emotion_llama.voice.wording import (
    GRADES,
    SCOPES,
    USUAL,
    VOICE,
    VoiceStatement,
    grade,
    read,
    word,
    word_usual,
)

__all__ = [
    "GRADES",
    "LOW_VOICE_BELOW",
    "MEASURES",
    "MIN_RECORDINGS",
    "SCOPES",
    "USUAL",
    "VOICE",
    "Measure",
    "NormScope",
    "Prosody",
    "VoiceNorm",
    "VoiceStatement",
    "choose_norm",
    "choose_norms",
    "grade",
    "measure_prosody",
    "measure_without_limits",
    "norm_of",
    "packaged_norm",
    "read",
    "score",
    "within_limits",
    "word",
    "word_usual",
]
