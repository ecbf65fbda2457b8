"""Words of a clip: given or heard, in English or not, translated or not."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from emotion_llama.clip_words import WordReader
from emotion_llama.media import Speech, text_clip
from emotion_llama.records import Clip

GERMAN = "Ich habe dir schon gestern gesagt, dass wir heute wirklich keine Zeit mehr haben."
RUSSIAN = "Мы выиграли"
SILENT = Clip("c", "audio", waveform=np.zeros(16000, np.float32), missing={"text": "no words"})


@dataclass
class Listener:
    """A recogniser that always hears the same."""

    speech: Speech
    name: str = "listener"
    version: str = "7"

    def transcribe(self, waveform: NDArray[np.float32], sample_rate_hz: int) -> Speech:
        return self.speech


class Dictionary:
    """A translator that knows one sentence."""

    name, version = "dictionary", "1"

    def __init__(self, english: str = "We won.") -> None:
        self.english = english
        self.asked: list[str] = []

    def to_english(self, text: str) -> str:
        self.asked.append(text)
        return self.english


def heard(speech: Speech, translator: Dictionary | None = None, english_only: bool = True) -> Clip:
    return WordReader(Listener(speech), translator, english_only).complete(SILENT)


def test_english_is_taken_as_it_is_heard_and_its_language_is_said() -> None:
    dictionary = Dictionary()
    clip = heard(Speech(" We won! ", "en", english=lambda: "never asked"), dictionary)
    assert clip.transcript == "We won!"
    assert clip.missing == {}
    assert clip.warnings == ("the words were recognised by listener (7), English: 'We won!'",)
    assert dictionary.asked == []


def test_what_hears_other_languages_in_english_does_so() -> None:
    clip = heard(Speech("Wir haben gewonnen!", "de", english=lambda: " We have won! "))
    assert clip.transcript == "We have won!"
    assert clip.missing == {}
    assert clip.warnings == (
        "the words were recognised by listener (7), German: 'Wir haben gewonnen!', translated by "
        "it: 'We have won!'",
    )


def test_a_translator_that_was_asked_for_goes_first() -> None:
    dictionary = Dictionary()
    clip = heard(Speech("Wir haben gewonnen!", "de", english=lambda: "unused"), dictionary)
    assert clip.transcript == "We won."
    assert dictionary.asked == ["Wir haben gewonnen!"]
    assert "translated by dictionary (1): 'We won.'" in clip.warnings[0]


@pytest.mark.parametrize(
    ("speech", "said"),
    [
        (Speech("Wir haben gewonnen!", "de"), "heard are not English (German)"),
        (Speech(RUSSIAN), "heard are not English (most of its letters are Cyrillic)"),
        (Speech("Nur Worte", "de", english=lambda: " "), "nothing was left"),
        (Speech("  ", "de"), "listener heard no words"),
    ],
)
def test_what_nobody_translates_is_left_out_and_said(speech: Speech, said: str) -> None:
    clip = heard(speech)
    assert clip.transcript is None
    assert said in clip.missing["text"]


def test_what_was_heard_and_left_out_can_still_be_read() -> None:
    assert "'Wir haben gewonnen!'" in heard(Speech("Wir haben gewonnen!", "de")).warnings[0]


def test_an_undetermined_language_is_said_to_be_so() -> None:
    clip = heard(Speech("We won!"))
    assert clip.transcript == "We won!"
    assert "its language was not determined" in clip.warnings[0]


def test_a_model_that_reads_more_gets_what_was_heard() -> None:
    speech = Speech("Wir haben gewonnen!", "de", english=lambda: "unused")
    clip = heard(speech, Dictionary(), english_only=False)
    assert clip.transcript == "Wir haben gewonnen!"
    assert "German" in clip.warnings[0]


def test_given_words_are_never_heard_anew() -> None:
    clip = replace(SILENT, transcript="We lost.", missing={})
    assert WordReader(Listener(Speech("We won!", "en")), None, True).complete(clip) == clip


@pytest.mark.parametrize("given", [GERMAN, RUSSIAN])
def test_given_words_are_translated_where_something_does(given: str) -> None:
    dictionary = Dictionary()
    clip = WordReader(None, dictionary, english_only=True).complete(text_clip(given))
    assert clip.transcript == "We won."
    assert clip.warnings == ("the words were translated by dictionary (1): 'We won.'",)
    assert dictionary.asked == [given]


@pytest.mark.parametrize(
    ("words", "reader"),
    [
        (GERMAN, WordReader(None, None, english_only=True)),
        (GERMAN, WordReader(None, Dictionary(), english_only=False)),
        ("We have won!", WordReader(None, Dictionary(), english_only=True)),
    ],
)
def test_given_words_else_stay_as_they_are(words: str, reader: WordReader) -> None:
    clip = text_clip(words)
    assert reader.complete(clip) == clip
