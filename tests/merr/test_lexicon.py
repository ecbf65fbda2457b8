"""The words for action units: whose they are, what they avoid, what a broken table says."""

import re
from pathlib import Path

import pytest

from emotion_llama.face.unit_names import UNIT_NAMES
from emotion_llama.merr.lexicon import PRESENT_READING, load_lexicon

LEXICON = load_lexicon()
TABLE = Path(__file__).resolve().parents[2] / "emotion_llama/merr/tables/facs_lexicon.yaml"

INTERPRETING = re.findall(
    r"\w+",
    """
    frown smil grin sneer pout scowl smirk grimac glare beam laugh cry weep
    happ joy glad amus delight pleas angr anger rage furious annoy irrit hostil
    sad sorrow grief unhapp gloom fear afraid scare fright terror anxi worri worry nervous
    doubt suspici sceptic skeptic contempt scorn disdain disgust revuls surpris astonish shock amaz
    neutral calm bored tense tension stress emotion feel mood express attitude concern confus
    pupil nostril flar
    """,
)
"""Beginnings of words that name an emotion or an attitude, and of the published misnomers."""

ALL = [
    (unit, reading, statement)
    for unit in LEXICON.wordings
    for reading in (*LEXICON.degrees, PRESENT_READING)
    for statement in LEXICON.word(unit, reading)
]


def test_every_unit_that_a_table_can_have_is_worded_in_several_ways() -> None:
    imported = {"AU11", "AU24", "AU43"}  # of py-feat; the others are our own and those of OpenFace
    assert {*UNIT_NAMES, *imported} <= {*LEXICON.wordings}
    assert all(len(texts) >= 2 for texts in LEXICON.wordings.values())


@pytest.mark.parametrize("word", INTERPRETING)
def test_no_wording_interprets(word: str) -> None:
    pattern = re.compile(rf"\b{word}", re.IGNORECASE)
    said = [text for _, _, text in ALL] + list(LEXICON.still)
    # the folds of AU11 begin where the manual says they do
    said = [text.replace("folds from the nostrils", "folds") for text in said]
    assert [text for text in said if pattern.search(text)] == []


def test_no_two_units_share_a_wording() -> None:
    assert len({text for _, _, text in ALL}) == len(ALL)


def test_statements_are_main_clauses_in_lower_case() -> None:
    said = [text for _, _, text in ALL] + list(LEXICON.still)
    wrong = [
        text
        for text in said
        if text != text.lower()
        or re.search(r"[{}.,;]|\s\s|^\s|\s$", text)
        or not re.search(r"\b(?:is|are)\b", text)
    ]
    assert wrong == []


def test_a_grade_is_said_with_its_adverb() -> None:
    assert LEXICON.word("AU12", "slight")[0] == "the lip corners are slightly pulled up"
    assert LEXICON.word("AU12", "strong")[0] == "the lip corners are strongly pulled up"
    assert LEXICON.word("AU12", "present")[0] == "the lip corners are pulled up"
    assert LEXICON.word("AU99", "clear") == ()
    with pytest.raises(ValueError, match="'huge' of AU12, expected one of slight, clear, strong"):
        LEXICON.word("AU12", "huge")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("- the jaw is {degree} lowered", "- the jaw is lowered", "expected {degree} once"),
        (
            "- the jaw is {degree} lowered",
            "- the lips are {degree} parted",
            "AU26: found 'the lips are {degree} parted', which AU25 has",
        ),
        ("slight: slightly, ", "", "degrees: found clear, strong; expected slight, clear, strong"),
        ("feature: AU04|AU15", "feature: frown", "found 'frown'"),
        ("words: blink(?:s|ed|ing)?", "words: blink(?:s", "unterminated"),
    ],
)
def test_a_broken_table_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = TABLE.read_text("utf-8")
    path = tmp_path / "words.yaml"
    path.write_text(text.replace(old, new, 1), "utf-8")
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        load_lexicon(path)
    assert str(path) in str(error.value)
