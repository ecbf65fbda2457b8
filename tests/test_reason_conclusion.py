"""What a reason concludes, and whether the tables say so of what it states."""

import pytest

from emotion_llama.reason_choice import statements
from emotion_llama.reason_conclusion import Conclusion, conclusion_of, follows

SMILE = "The lip corners are strongly pulled up."


def claim(supports: str, contradicts: str, is_hedged: bool) -> Conclusion:
    return Conclusion(frozenset(supports.split()), frozenset(contradicts.split()), is_hedged)


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("So the person feels happy: the face speaks for it.", claim("face", "", False)),
        (
            "The person seems to feel sad, and the face and the voice speak for it.",
            claim("face voice", "", True),
        ),
        (
            "Taken together, the face, the voice and the words speak for a person who feels sad.",
            claim("face voice words", "", False),
        ),
        (
            "So the person probably feels sad, although the face speaks against it and only "
            "the voice speaks for it.",
            claim("voice", "face", True),
        ),
        (
            "The person may feel sad, but the face speaks against it, so this is uncertain.",
            claim("", "face", True),
        ),
        (
            "As a whole the person seems to feel sad, though no single clue decides it.",
            claim("", "", True),
        ),
        ("The person feels sad.", None),
        ("", None),
    ],
)
def test_claims_are_read(sentence: str, expected: Conclusion | None) -> None:
    assert conclusion_of(f"{SMILE} {sentence}".strip()) == expected


@pytest.mark.parametrize(
    ("stated", "sentence", "label", "is_so"),
    [
        (SMILE, "So the person feels happy: the face speaks for it.", "happy", True),
        (SMILE, "So the person feels sad: the face speaks for it.", "sad", False),
        (SMILE, "The person may feel sad, but the face speaks against it.", "sad", True),
        (SMILE, "The person may feel happy, but the face speaks against it.", "happy", False),
        (SMILE, "The person seems to feel happy, but nothing decides it.", "happy", False),
        ("", "The person seems to feel happy, but nothing decides it.", "happy", True),
        (SMILE, "So the person feels happy: the face and the voice speak for it.", "happy", False),
    ],
)
def test_a_conclusion_follows_where_the_tables_say_the_same(
    stated: str, sentence: str, label: str, is_so: bool
) -> None:
    reason = f"{stated} {sentence}".strip()
    conclusion = conclusion_of(reason)
    assert conclusion is not None
    assert follows(conclusion, statements(reason), label) == is_so
