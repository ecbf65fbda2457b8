"""Clip -> the same with words that the model can read, and what is to be said of them.

Knows: what recognises speech, what translates, in which order they are asked. Does not know: files,
faces, models of emotion.
"""

from dataclasses import dataclass, replace

from emotion_llama.language import not_english
from emotion_llama.media import (
    Speech,
    SpeechRecognizer,
    Translator,
    WhisperRecognizer,
    language_name,
    load_translator,
)
from emotion_llama.records import Clip, Modality

ENGLISH = "en"


@dataclass(frozen=True)
class WordModels:
    """What to load for words, by name."""

    speech: str | None = None
    """Whisper folder or hub id that reads the words of clips without transcript"""
    translation: str | None = None
    """see `emotion_llama.media.load_translator`"""

    def load(self, *, english_only: bool, device: str = "cpu") -> "WordReader":
        """Load both.

        Args:
            english_only: whether the model that reads the words reads nothing else
            device: torch device

        Raises:
            ValueError: there is no such model
        """
        return WordReader(
            None if self.speech is None else WhisperRecognizer(self.speech, device=device),
            None if self.translation is None else load_translator(self.translation, device=device),
            english_only,
        )


@dataclass(frozen=True)
class WordReader:
    """Sees to the words of clips: hears them where none are given, puts them into English."""

    recognizer: SpeechRecognizer | None = None
    """what reads the words where no transcript is given; ``None``: nothing does"""
    translator: Translator | None = None
    """what makes English of other words; ``None``: only a recogniser that can does"""
    english_only: bool = False
    """whether the model reads nothing else"""

    def complete(self, clip: Clip) -> Clip:
        """See to the words of a clip.

        Given words stay as they are where nothing translates them. Recognised ones in another
        language are then left out, for nobody has seen whether they are right.

        Args:
            clip: with its sound, where words are to be heard
        """
        if clip.transcript is not None:
            return self._translated(clip, clip.transcript)
        if self.recognizer is None or clip.waveform is None:
            return clip
        speech = self.recognizer.transcribe(clip.waveform, clip.sample_rate_hz)
        speech = replace(speech, text=speech.text.strip())
        if not speech.text:
            return _without_words(clip, f"{self.recognizer.name} heard no words")
        return self._heard(clip, speech, self.recognizer)

    def _translated(self, clip: Clip, given: str) -> Clip:
        if self.translator is None or not self.english_only or not_english(given) is None:
            return clip
        english = self.translator.to_english(given)
        return _with_words(clip, english, f"the words were {_by(self.translator)}: {english!r}")

    def _heard(self, clip: Clip, speech: Speech, recognizer: SpeechRecognizer) -> Clip:
        version = f"{recognizer.name} ({recognizer.version})"
        language = "its language was not determined"
        if speech.language is not None:
            language = language_name(speech.language)
        note = f"the words were recognised by {version}, {language}: {speech.text!r}"
        foreign = self._foreign(speech)
        if foreign is None:
            return _with_words(clip, speech.text, note)
        if self.translator is not None:
            english, by = self.translator.to_english(speech.text), _by(self.translator)
        elif speech.english is not None:
            english, by = speech.english().strip(), "translated by it"
        else:
            why = f"the words that {recognizer.name} heard are not English ({foreign})"
            return replace(_without_words(clip, why), warnings=(*clip.warnings, note))
        return _with_words(clip, english, f"{note}, {by}: {english!r}")

    def _foreign(self, speech: Speech) -> str | None:
        """Say why the model cannot read what was heard; ``None``: it can."""
        if not self.english_only:
            return None
        if speech.language is None:
            return not_english(speech.text)
        return None if speech.language == ENGLISH else language_name(speech.language)


def _by(translator: Translator) -> str:
    return f"translated by {translator.name} ({translator.version})"


def _with_words(clip: Clip, words: str, note: str) -> Clip:
    if not words:
        return _without_words(clip, "nothing was left of the words in English")
    missing: dict[Modality, str] = {
        which: why for which, why in clip.missing.items() if which != "text"
    }
    return replace(clip, transcript=words, missing=missing, warnings=(*clip.warnings, note))


def _without_words(clip: Clip, why: str) -> Clip:
    absent: dict[Modality, str] = {"text": why}
    return replace(clip, transcript=None, missing={**clip.missing, **absent})
