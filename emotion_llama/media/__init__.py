"""File -> Clip: frames, waveform and transcript, with every absent modality named."""

from emotion_llama.media.audio import read_waveform
from emotion_llama.media.clip import read_clip, text_clip
from emotion_llama.media.error import MediaError, MediaLimitError
from emotion_llama.media.film_writer import FilmWriter
from emotion_llama.media.probe import MediaFacts, check_limits, probe
from emotion_llama.media.segments import file_duration_s
from emotion_llama.media.span import Span
from emotion_llama.media.speech import (
    Speech,
    SpeechRecognizer,
    WhisperRecognizer,
    language_name,
)
from emotion_llama.media.stream import expected_frames, is_still, stream_frames
from emotion_llama.media.transcript import Cue, read_sentences, read_transcript, timed_words
from emotion_llama.media.translation import MarianTranslator, Translator, load_translator
from emotion_llama.media.video import choose_frames, read_frames

__all__ = [
    "Cue",
    "FilmWriter",
    "MarianTranslator",
    "MediaError",
    "MediaFacts",
    "MediaLimitError",
    "Span",
    "Speech",
    "SpeechRecognizer",
    "Translator",
    "WhisperRecognizer",
    "check_limits",
    "choose_frames",
    "expected_frames",
    "file_duration_s",
    "is_still",
    "language_name",
    "load_translator",
    "probe",
    "read_clip",
    "read_frames",
    "read_sentences",
    "read_transcript",
    "read_waveform",
    "stream_frames",
    "text_clip",
    "timed_words",
]
