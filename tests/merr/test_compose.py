"""The composed fine caption: evidence that sees no label, a conclusion with the balance."""

import re
import statistics

import pytest

from emotion_llama.labels import ALIASES, LABEL_SETS, VALENCE, LabelSet, parse_label
from emotion_llama.merr.caption_rules import Draft, broken_rules
from emotion_llama.merr.compose import (
    ANNOUNCEMENTS,
    CONTRADICTION,
    EVIDENCE_WORDS,
    JOINERS,
    OPENERS,
    SILENCE,
    SUPPORT,
    VERDICTS,
    certainty_of,
    compose,
    told_clues,
)
from emotion_llama.merr.facial import read_facial
from emotion_llama.merr.faithfulness import measured_from_clues
from emotion_llama.merr.lexicon import load_lexicon
from emotion_llama.merr.records import CLUE_KINDS, Clue
from emotion_llama.merr.rules import load_rules
from emotion_llama.merr.weigh import weigh

TABLE = load_rules("merr")
LIPS = Clue("facial", "AU12", "clear", "the lip corners are clearly pulled up", 2.5)
BROWS = Clue("facial", "AU04", "strong", "the brows are strongly lowered and drawn together", 4.1)
CHEEKS = Clue("facial", "AU06", "slight", "the cheeks are slightly raised towards the eyes", 1.2)
PITCH = Clue("voice", "pitch", "very high", "the pitch is very high", 2.6)
RATE = Clue("voice", "rate", "slightly low", "the speech is slightly slower than usual", -0.7)
PEOPLE = Clue("scene", "people", "one", "one person is in the picture", 1)
LIGHT = Clue("scene", "brightness", "dim", "the picture is dim", 0.1)
QUOTE = Clue("words", "quote", "No way!", 'the words are: "No way!"')
ALL = (PEOPLE, LIGHT, CHEEKS, LIPS, PITCH, RATE, QUOTE)


def test_the_evidence_is_the_same_for_every_label() -> None:
    for number in range(20):
        made = {label: compose(ALL, label, TABLE, f"clip{number}") for label in (*VALENCE, "odd")}
        assert len({caption.evidence for caption in made.values()}) == 1
        assert len({caption.conclusion for caption in made.values()}) == len(made)
        assert not any(caption.label_conditioned for caption in made.values())


def test_the_evidence_holds_statements_word_for_word_of_every_kind() -> None:
    for number in range(30):
        evidence = compose(ALL, "happy", TABLE, f"clip{number}").evidence
        for clue in told_clues(ALL):
            assert clue.statement.lower() in evidence.lower()
        assert {clue.kind for clue in told_clues(ALL)} == set(CLUE_KINDS)
        sentences = re.findall(r'[.!?]"?(?=\s+[A-Z]|$)', evidence)
        assert 2 <= len(sentences) <= 4, evidence
        assert all(part[0].isupper() for part in re.split(r"(?<=[.])\s+", evidence) if part)


def test_no_label_stands_in_the_evidence_nor_in_any_phrasing() -> None:
    phrasings = [
        *OPENERS,
        *JOINERS,
        *ANNOUNCEMENTS,
        *SUPPORT,
        *CONTRADICTION,
        *SILENCE,
    ]
    phrasings += [text for texts in VERDICTS.values() for text in texts]
    words = set(re.findall(r"\w+", " ".join(phrasings).lower()))
    assert not words & {*VALENCE, *ALIASES}
    assert all(len(set(texts)) > 1 for texts in (OPENERS, ANNOUNCEMENTS, *VERDICTS.values()))


def test_the_conclusion_names_the_given_label_and_no_other() -> None:
    for labels in LABEL_SETS.values():
        for label in labels:
            conclusion = compose(ALL, label, TABLE, "clip").conclusion
            assert parse_label(conclusion, LabelSet("all", tuple(VALENCE))) == label
            assert "given label" in conclusion.lower()


def test_faces_and_voices_are_told_in_the_order_of_their_clues() -> None:
    assert [clue.feature for clue in told_clues((BROWS, LIPS, CHEEKS))] == ["AU04", "AU12", "AU06"]
    assert [clue.feature for clue in told_clues((RATE, PITCH))] == ["rate", "pitch"]


def test_every_kind_is_told_but_no_more_than_there_is_room() -> None:
    many = tuple(
        Clue("facial", f"AU{n:02}", "clear", f"part {n} of the face is clearly pulled up here", 2)
        for n in range(1, 7)
    )
    told = told_clues((*many, PEOPLE, PITCH, RATE, QUOTE))
    assert {clue.kind for clue in told} == set(CLUE_KINDS)
    unquoted = sum(len(clue.statement.split()) for clue in told if clue.feature != "quote")
    assert unquoted <= EVIDENCE_WORDS


def test_a_long_transcript_gives_way_to_a_short_clue_of_the_words() -> None:
    long = Clue("words", "quote", "a " * 60, f'the words are: "{"a " * 60}"')
    question = Clue("words", "question", "present", "a question is asked")
    assert told_clues((long, question, LIPS))[-1] is question
    assert told_clues((long, LIPS))[-1] is long, "a kind is told in any case"


def test_agreeing_and_contradicting_clues_are_named() -> None:
    caption = compose((LIPS, PITCH, LIGHT, RATE), "sad", TABLE, "clip")
    assert caption.supports == ("rate",)
    assert caption.contradicts == ("AU12", "pitch")
    assert "the tempo" in caption.conclusion
    assert "the face and the pitch" in caption.conclusion
    assert re.search(r"not borne out|not bear the label out", caption.conclusion)


@pytest.mark.parametrize(
    ("clues", "label", "expected"),
    [
        ((LIPS, CHEEKS, PITCH), "happy", "borne out"),
        ((LIPS,), "happy", "likely"),
        ((LIPS, CHEEKS, PITCH, RATE), "happy", "likely"),
        ((LIPS, BROWS), "happy", "not borne out"),
        ((LIPS, RATE, RATE), "happy", "open"),
        ((LIPS, PITCH), "sad", "not borne out"),
        ((PEOPLE, LIGHT), "sad", "no clue"),
        ((LIPS, PITCH), "boredom", "no clue"),
    ],
)
def test_certainty_follows_the_balance(clues: tuple[Clue, ...], label: str, expected: str) -> None:
    assert certainty_of(weigh(clues, label, TABLE)) == expected


def test_two_clues_about_the_same_part_are_told_apart() -> None:
    down = Clue("facial", "AU15", "slight", "the lip corners are slightly pulled down", 1.1)
    conclusion = compose((LIPS, down), "sad", TABLE, "clip").conclusion
    assert "the lip corners (clearly pulled up)" in conclusion
    assert "the lip corners (slightly pulled down)" in conclusion


def test_a_verb_inside_a_quote_does_not_cut_a_name() -> None:
    good = Clue("words", "positive word", "it is good", 'the words "it is good" are positive')
    bad = Clue("words", "negative word", "bad", 'the word "bad" is negative')
    conclusion = compose((good, bad), "sad", TABLE, "clip").conclusion
    assert 'by the words "it is good"' in conclusion
    assert 'by the word "bad"' in conclusion


def test_a_name_that_would_be_read_as_another_movement_gives_way_to_the_unit() -> None:
    statement = "the opening of the mouth is clearly narrowed from the sides"
    assert read_facial("the opening of the mouth")[0].feature != "AU18"
    mouth = Clue("facial", "AU18", "clear", statement, 2.5)
    conclusion = compose((LIPS, mouth), "happy", TABLE, "clip").conclusion
    assert {clue.feature for clue in read_facial(conclusion)} == {"AU18"}


def test_no_name_in_a_conclusion_is_read_as_a_movement_that_was_not_told() -> None:
    for unit in load_lexicon().wordings:
        for statement in load_lexicon().word(unit, "clear"):
            clue = Clue("facial", unit, "clear", statement, 2.5)
            for label in ("happy", "angry"):
                conclusion = compose((LIPS, clue), label, TABLE, "clip").conclusion
                read = {part for one in read_facial(conclusion) for part in one.feature.split("|")}
                assert read <= {"AU12", unit}, conclusion


def test_the_quote_lets_the_other_clue_speak_for_the_words() -> None:
    good = Clue("words", "positive word", "good", 'the word "good" is positive')
    caption = compose((QUOTE, good, LIPS), "happy", TABLE, "clip")
    assert "by the face and the words" in caption.conclusion
    assert QUOTE.statement[1:] in caption.evidence


def test_phrasings_are_drawn_by_clip_and_stay() -> None:
    texts = [compose(ALL, "happy", TABLE, f"clip{n}").text for n in range(40)]
    assert len(set(texts)) > 30
    assert texts == [compose(ALL, "happy", TABLE, f"clip{n}").text for n in range(40)]
    assert compose(ALL, "happy", TABLE, "x", 1).text != compose(ALL, "happy", TABLE, "x", 2).text


def test_lengths_are_near_those_of_the_published_set() -> None:
    """Published: median 44 words, 95 % at most 60, the longest 79."""
    more, fewer = [], []
    for number in range(100):
        extra = ((CHEEKS,), (), (RATE,))[number % 3]
        label = ("happy", "sad", "angry")[number % 3]
        for lengths, clues in ((more, (LIPS, PITCH, QUOTE, PEOPLE)), (fewer, (LIPS, PITCH))):
            text = compose((*clues, *extra), label, TABLE, f"clip{number}").text
            lengths.append(len(text.split()))
    assert 30 <= statistics.median(fewer) <= statistics.median(more) <= 58
    assert max(more) <= 75


def test_that_the_scene_is_silent_is_said_only_where_there_is_nothing_else() -> None:
    assert "the scene" not in compose((LIPS, LIGHT), "happy", TABLE, "clip").conclusion
    assert "the scene" in compose((LIGHT,), "happy", TABLE, "clip").conclusion


def test_a_composed_caption_breaks_no_rule_that_models_are_held_to() -> None:
    measured = measured_from_clues((LIPS, CHEEKS, LIGHT, QUOTE), "No way!")
    labels = LabelSet("all", tuple(VALENCE))
    for number, label in enumerate(VALENCE):
        caption = compose((LIPS, CHEEKS, LIGHT, QUOTE), label, TABLE, f"clip{number}")
        draft = Draft(caption.evidence, caption.conclusion, label, labels, measured)
        assert broken_rules(draft) == (), caption.text


def test_without_a_clue_there_is_no_caption() -> None:
    with pytest.raises(ValueError, match=r"clip: found no clue, expected at least one"):
        compose((), "happy", TABLE, "clip")
