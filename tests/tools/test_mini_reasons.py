"""Reasons of the mini preset: only what was measured, read back as it was, one conclusion."""

import re

import pytest

from emotion_llama.labels import MINI, LabelSet, parse_label
from emotion_llama.merr.facial import read_facial
from emotion_llama.merr.lexicon import load_lexicon
from emotion_llama.merr.records import Clue
from emotion_llama.merr.rules import load_rules
from emotion_llama.merr.voice_clues import read_voice
from emotion_llama.voice import word

reasons = pytest.importorskip("mini_reasons")
RULES = load_rules("merr")


def facial(unit: str, reading: str) -> Clue:
    return Clue("facial", unit, reading, load_lexicon().word(unit, reading)[0])


def voice(measure: str, reading: str) -> Clue:
    return Clue("voice", measure, reading, word(measure, reading, "packaged"))


CLUES = (
    facial("AU12", "strong"),
    facial("AU06", "clear"),
    facial("AU01", "slight"),
    voice("pitch", "very high"),
    voice("rate", "slightly low"),
    Clue("words", "positive word", "great", 'the word "great" is positive'),
)


@pytest.mark.parametrize("label", MINI.labels)
@pytest.mark.parametrize("kinds", [("facial",), ("voice",), ("words",), reasons.KINDS])
def test_a_reason_states_what_was_measured_and_one_label(
    label: str, kinds: tuple[str, ...]
) -> None:
    text = reasons.compose_reason(CLUES, kinds, label, RULES)
    assert parse_label(re.sub(r'"[^"]*"', "", text), LabelSet("all", MINI.labels)) == label
    faces = [("AU06", "clear"), ("AU12", "strong")] if "facial" in kinds else []
    assert [(c.feature, c.reading) for c in read_facial(text)] == faces
    voices = [("pitch", "very high"), ("rate", "slightly low")] if "voice" in kinds else []
    assert sorted((c.feature, c.reading) for c in read_voice(text)) == voices
    assert ("words are taken" in text) == ("words" in kinds)
    assert "great" not in text
    assert text[0].isupper() and text.endswith(".")


def test_a_kind_without_a_clue_is_said_to_give_none() -> None:
    text = reasons.compose_reason((), reasons.KINDS, "sad", RULES)
    assert all(nothing.lower() in text.lower() for nothing in reasons.NOTHING.values())
    assert not read_facial(text) and not read_voice(text)


def test_what_speaks_against_a_label_is_said() -> None:
    against = reasons.compose_reason(CLUES[:2], ("facial",), "angry", RULES)
    supports = reasons.compose_reason(CLUES[:2], ("facial",), "happy", RULES)
    assert "the face speaks against it" in against
    assert "the face speaks for" in supports


def test_the_frame_varies_with_clues_and_label() -> None:
    texts = {
        reasons.compose_reason(CLUES[:count], ("facial", "voice"), label, RULES)
        for count in range(1, 6)
        for label in MINI.labels
    }
    endings = {re.sub("|".join(MINI.labels), "-", text.rsplit(". ", 2)[-1]) for text in texts}
    assert len(endings) >= 8


def test_encoders_can_hand_on_every_clue_that_can_be_told() -> None:
    vocabulary = reasons.clue_vocabulary()
    assert {"AU12 strong", "face still"} <= set(vocabulary["local"])
    assert {"pitch very high", "rate slightly low", "voice usual"} <= set(vocabulary["audio"])
    assert not any(name.startswith("AU45") for name in vocabulary["local"])
