"""File -> Clip: frames, waveform and transcript, with every absent modality named."""

from emotion_llama.media.audio import read_waveform
from emotion_llama.media.clip import read_clip, text_clip
from emotion_llama.media.error import MediaError
from emotion_llama.media.speech import SpeechRecognizer, WhisperRecognizer
from emotion_llama.media.transcript import read_transcript
from emotion_llama.media.video import choose_frames, read_frames

__all__ = [
    "MediaError",
    "SpeechRecognizer",
    "WhisperRecognizer",
    "choose_frames",
    "read_clip",
    "read_frames",
    "read_transcript",
    "read_waveform",
    "text_clip",
]
