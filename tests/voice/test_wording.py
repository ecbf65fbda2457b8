"""Scores in words, and words of others understood."""

import pytest

from emotion_llama.voice import MEASURES, grade, read


@pytest.mark.parametrize(
    ("score", "reading"),
    [
        (0.49, None),
        (-0.49, None),
        (0.5, "slightly high"),
        (-0.99, "slightly low"),
        (1.0, "clearly high"),
        (-1.99, "clearly low"),
        (2.0, "very high"),
        (-7.5, "very low"),
    ],
)
def test_grades_begin_at_their_limits(score: float, reading: str | None) -> None:
    assert grade(score) == reading


def test_statements_say_nothing_of_feelings() -> None:
    for measure in MEASURES.values():
        for template in (measure.high, measure.low):
            assert template[0].islower()
            assert not template.endswith(".")
            assert "{degree}" in template
            assert template.endswith("{scope}")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("A loud, fast voice is heard.", [("loudness", "high"), ("rate", "high")]),
        ("She speaks quickly", [("rate", "high")]),
        ("he speaks slowly and quietly", [("rate", "low"), ("loudness", "low")]),
        ("a high-pitched voice", [("pitch", "high")]),
        ("The pitch is high", [("pitch", "high")]),
        ("The pitch of her voice is high", [("pitch", "high")]),
        ("soft-spoken and fast-paced", [("loudness", "low"), ("rate", "high")]),
        ("with a raised pitch", [("pitch", "high")]),
        ("the pitch becomes somewhat lower", [("pitch", "low")]),
        ("in a deep voice", [("pitch", "low")]),
        ("a monotone delivery", [("pitch_range", "low")]),
        ("the intonation is flat", [("pitch_range", "low")]),
        ("a rising intonation", [("pitch_slope", "high")]),
        ("the volume is low", [("loudness", "low")]),
        ("She whispers", [("loudness", "low")]),
        ("a breathy, soft tone", [("hnr", "low"), ("loudness", "low")]),
        ("many pauses", [("pauses", "high")]),
        ("speaks without pauses", [("pauses", "low")]),
        ("a sharp voice", [("tension", "high")]),
        ("in a normal voice", [("voice", "usual")]),
        ("The pitch is much higher than usual", [("pitch", "very high")]),
        ("The pitch is higher than before", [("pitch", "high")]),
    ],
)
def test_descriptions_by_others_give_a_direction(text: str, found: list[tuple[str, str]]) -> None:
    assert [(one.feature, one.reading) for one in read(text)] == found


@pytest.mark.parametrize(
    "text",
    [
        'She says "speak louder, in a loud voice"',
        "He says \u201ca slow voice\u201d",
        "the voice is not loud",
        "she doesn't speak quickly",
        "never a loud voice",
        "fast motion in the picture",
        "the brows are lowered and the pitch is steady",
        "the light is soft; the voice is heard",
        "a low voice",
        "the lips are raised slightly",
        "the voice rises above the rest of a loud room",
    ],
)
def test_what_is_quoted_denied_ambiguous_or_of_something_else_is_not_read(text: str) -> None:
    assert read(text) == []


def test_words_are_those_of_the_text() -> None:
    text = "In the video, a woman speaks very quickly, and the pitch is clearly higher than usual."
    for one in read(text):
        assert one.words in text
