"""Composed reasons: only the given evidence, one conclusion, short."""

import random

import pytest

from emotion_llama.labels import MINI

sentences = pytest.importorskip("mini_sentences")

MENTIONS = {"face": ("face", "expression"), "voice": ("voice", "tone"), "words": ("word",)}


def evidence(label: str) -> dict[str, object]:
    return {
        "face": sentences.FaceEvidence(label, 0.95),
        "voice": sentences.VoiceEvidence(("loud", "high")),
        "words": sentences.WordsEvidence(label, "hate"),
    }


@pytest.mark.parametrize("label", MINI.labels)
@pytest.mark.parametrize("kinds", [("face",), ("voice",), ("words",), ("face", "voice", "words")])
def test_a_reason_mentions_the_given_kinds_only_and_concludes(
    label: str, kinds: tuple[str, ...]
) -> None:
    for seed in range(20):
        given = [evidence(label)[kind] for kind in kinds]
        text = sentences.compose_reason(label, given, random.Random(seed))
        for kind, words in MENTIONS.items():
            assert any(word in text for word in words) == (kind in kinds), text
        found = sentences.CONCLUSION.search(text)
        assert found is not None, text
        assert found[1] == label
        assert text == text.lower()
        assert len(text.split()) <= 35


def test_evidence_for_another_label_is_conceded() -> None:
    given = [sentences.FaceEvidence("happy"), sentences.WordsEvidence("angry")]
    text = sentences.compose_reason("angry", given, random.Random(0))
    assert text.startswith("although")
    assert sentences.CONCLUSION.search(text)[1] == "angry"


def test_a_cue_is_a_whole_word_of_the_transcript_and_of_the_label() -> None:
    assert sentences.find_cue("I HATE this.", "angry") == "hate"
    assert sentences.find_cue("I hate this.", "happy") is None
    assert sentences.find_cue("chateau", "angry") is None


def test_the_same_seed_gives_the_same_sentence() -> None:
    one = [sentences.random_sentence(random.Random(3)) for _ in range(2)]
    assert one[0] == one[1]
