"""What is said: quoted, its cues worded, and both read back."""

import re

import pytest

from emotion_llama.labels import ALIASES, MERR, MINI
from emotion_llama.merr.records import StatedClue
from emotion_llama.merr.words import (
    MOST_WORDS,
    affect_groups,
    hide_quotes,
    read_words,
    speaks_english,
    word_clues,
    word_table,
    words_agree,
)


def cues(transcript: str, language: str | None = "en") -> list[tuple[str, str]]:
    """Feature and reading of the clues but the quote."""
    return [(c.feature, c.reading) for c in word_clues(transcript, language, "clip")][1:]


def test_the_words_are_quoted_in_one_line() -> None:
    (clue,) = word_clues('Er sagte\n “so”,  und "ging".', "de", "clip")
    assert clue.statement == """the words are: "Er sagte 'so', und 'ging'.\""""
    assert (clue.kind, clue.feature) == ("words", "quote")
    assert clue.reading == "Er sagte 'so', und 'ging'."


@pytest.mark.parametrize("transcript", [None, "", " \n "])
def test_without_words_there_is_no_clue(transcript: str | None) -> None:
    assert word_clues(transcript, "en", "clip") == ()


@pytest.mark.parametrize(
    ("transcript", "expected"),
    [
        ("What a wonderful day!", [("positive word", "wonderful"), ("exclamation", "present")]),
        ("Where is he?", [("question", "present")]),
        ("I am not happy.", [("negation", "not"), ("negative word", "not happy")]),
        (
            "I don't really like it, but you are good.",
            [
                ("negation", "don't"),
                ("negative word", "don't really like it"),
                ("positive word", "good"),
            ],
        ),
        ("It is not bad", [("negation", "not"), ("positive word", "not bad")]),
        ("No, I am glad.", [("negation", "no"), ("positive word", "glad")]),
        ("That is no fun", [("negation", "no"), ("negative word", "no fun")]),
        ("Not only good", [("positive word", "good")]),
        ("Isn't it lovely?", [("positive word", "lovely"), ("question", "present")]),
        ("I can’t wait", [("positive word", "can't wait")]),
        ("It was so good, so I left", [("intensifier", "so"), ("positive word", "good")]),
        ("Maybe, please", [("hedge", "maybe"), ("politeness", "please")]),
        ("It is kind of odd", [("hedge", "kind of"), ("open word", "odd")]),
        ("Leave me alone", [("negative word", "leave me alone")]),
        ("This is MINE", [("capitals", "MINE")]),
        ("THIS IS MINE", []),
        ("Wow. Wow.", [("open word", "wow")]),
        ("The table is in the room.", []),
    ],
)
def test_cues_of_english_words(transcript: str, expected: list[tuple[str, str]]) -> None:
    assert cues(transcript) == expected


def test_a_negation_does_not_reach_into_another_clause() -> None:
    assert ("positive word", "good") in cues("I did not; good.")
    assert ("positive word", "good") in cues("not one of the others here is good")


def test_cues_only_where_the_language_is_english() -> None:
    assert cues("This is not good.", "en-GB") == cues("This is not good.", None) != []
    assert cues("This is not good.", "de") == []
    assert cues("Wonderful!", None) == [], "one word does not show its language"


@pytest.mark.parametrize(
    "transcript",
    [
        "Ich will das eben wegbringen und dann mit Karl was trinken gehen.",
        "No me digas que ha sido él, es que no me lo puedo creer.",
        "Ik weet niet wat er met hem aan de hand is, maar we gaan naar huis.",
        "Nie wiem co on mi powie, to jest bardzo trudne.",
        "我不知道你在说什么",
    ],
)
def test_other_languages_are_not_taken_for_english(transcript: str) -> None:
    assert not speaks_english(transcript, None)


def test_only_the_first_affect_words_are_spoken_of() -> None:
    words = "good bad nice sad great ugly sweet awful perfect"
    assert [reading for _, reading in cues(words)] == words.split()[:MOST_WORDS]
    late = StatedClue("words", "positive word", "perfect", "")
    assert words_agree(late, words, "en") is True, "what is not said is still true"


@pytest.mark.parametrize("clip_id", ["a", "b", "c", "d", "e"])
@pytest.mark.parametrize(
    "transcript",
    [
        "Oh my god! I don't love it, maybe; it's REALLY very sad. Please, isn't it?",
        'He said "the word is positive" and "a question is asked".',
        'It isn\'t 3 "good" things!',
        "Was? Nein!",
    ],
)
def test_own_statements_are_read_back(transcript: str, clip_id: str) -> None:
    clues = word_clues(transcript, None, clip_id)
    told = [(clue.feature, clue.reading) for clue in clues]
    for joint in (", and ", "; ", ". "):
        statements = [clue.statement[0].upper() + clue.statement[1:] for clue in clues]
        stated = read_words(f"The lips part. {joint.join(statements)}. The voice is low.")
        assert [(one.feature, one.reading) for one in stated] == told
        assert all(words_agree(one, transcript) in (True, None) for one in stated)


def test_the_wording_depends_on_the_clip_alone() -> None:
    once = [word_clues("How good!", "en", str(clip)) for clip in range(20)]
    assert once == [word_clues("How good!", "en", str(clip)) for clip in range(20)]
    assert len({clue.statement for clues in once for clue in clues}) > 2


def test_outside_quotes_no_emotion_is_named() -> None:
    names = {*MERR, *MINI, *ALIASES}
    for templates in word_table().statements.values():
        for template in templates:
            assert not names & set(re.findall(r"\w+", template))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("She says, “Where are you?”", [("quote", "Where are you?")]),
        ('Her word "Wonderful" is clearly positive.', [("positive word", "wonderful")]),
        ('The negative phrase "not good" stands out.', [("negative word", "not good")]),
        ("He asks a question.", [("question", "present")]),
        ('He says "a question is asked"', [("quote", "a question is asked")]),
        ("Nothing is quoted and the voice is low.", []),
        ('An odd " mark', []),
    ],
)
def test_the_like_of_others_is_read(text: str, expected: list[tuple[str, str]]) -> None:
    assert [(one.feature, one.reading) for one in read_words(text)] == expected


def test_statements_are_held_against_the_transcript() -> None:
    def agrees(
        feature: str,
        reading: str | None,
        transcript: str | None = "I am not happy, Tom.",
        language: str | None = "en",
    ) -> bool | None:
        return words_agree(StatedClue("words", feature, reading, ""), transcript, language)

    assert agrees("quote", "not happy, tom") is True
    assert agrees("quote", "happy not") is False
    assert agrees("quote", "appy") is False
    assert agrees("quote", "...") is None
    assert agrees("negative word", "Not happy") is True
    assert agrees("positive word", "happy") is False
    assert agrees("question", "present") is False
    assert agrees("question", "present", "Ja?", "de") is None
    assert agrees("quote", "happy", None) is None
    assert words_agree(StatedClue("scene", "quote", "happy", ""), "happy") is None


def test_words_speak_for_labels() -> None:
    def groups(transcript: str) -> dict[str, float]:
        return dict(affect_groups(word_clues(transcript, "en", "clip")))

    assert groups("I hate you, you idiot") == {"angry": 1.5, "contempt": 0.5}
    assert groups("I am not happy") == {"happy": -1.0}
    assert groups("Wow, I am so glad") == {"surprise": 1.0, "happy": 1.0}
    assert groups("Perhaps") == {"doubt": 0.5}
    assert groups("The table is red") == {}


def test_the_table_is_sound() -> None:
    table = word_table()
    words = [word for group in table.groups.values() for word in group.words]
    assert len(words) == len(set(words)), "each word has one group"
    labels = {*MERR, *MINI}
    assert {label for group in table.groups.values() for label in group.speaks_for} <= labels
    lists = (table.intensifiers, table.hedges, table.polite, table.not_negating, words)
    for entry in (word for entries in lists for word in entries):
        assert isinstance(entry, str)
        assert entry == entry.lower()
        assert re.fullmatch(r"[a-z' ]+", entry), f"{entry!r} would never be found"
    assert set(table.paraphrases) <= set(table.statements)


def test_quotes_are_hidden_in_their_place() -> None:
    text = 'He said “dark room”, then "two people".'
    assert len(hide_quotes(text)) == len(text)
    assert hide_quotes(text).split() == ["He", "said", ",", "then", "."]
