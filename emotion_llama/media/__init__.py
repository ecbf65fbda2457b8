"""File -> Clip: frames, waveform and transcript, with every absent modality named."""

from emotion_llama.media.audio import read_waveform
from emotion_llama.media.clip import read_clip, text_clip
from emotion_llama.media.error import MediaError
from emotion_llama.media.film_writer import FilmWriter
from emotion_llama.media.speech import SpeechRecognizer, WhisperRecognizer
from emotion_llama.media.stream import expected_frames, is_still, stream_frames
from emotion_llama.media.transcript import read_sentences, read_transcript
from emotion_llama.media.video import choose_frames, read_frames

__all__ = [
    "FilmWriter",
    "MediaError",
    "SpeechRecognizer",
    "WhisperRecognizer",
    "choose_frames",
    "expected_frames",
    "is_still",
    "read_clip",
    "read_frames",
    "read_sentences",
    "read_transcript",
    "read_waveform",
    "stream_frames",
    "text_clip",
]
