"""What clues say to a label: by rule table, by the table of voice and affect, by signs of words."""

import pytest

from emotion_llama.labels import VALENCE
from emotion_llama.merr.records import Clue
from emotion_llama.merr.rules import load_rules
from emotion_llama.merr.weigh import Stance, strength, unit_owners, voice_affect, weigh
from emotion_llama.voice.measures import MEASURES

MERR, FACS = load_rules("merr"), load_rules("facs")


def unit(feature: str, reading: str = "clear") -> Clue:
    return Clue("facial", feature, reading, "the lips move", value=2.5)


def voice(measure: str, reading: str) -> Clue:
    # the value is that of the measure, not its score: it says nothing of the direction
    return Clue("voice", measure, reading, f"the {measure} is {reading}", value=-20.0)


def stance(clue: Clue, label: str, table=MERR) -> Stance:  # noqa: ANN001
    return weigh([clue], label, table)[0].stance


@pytest.mark.parametrize(
    ("name", "label", "expected"),
    [
        ("AU12", "happy", "supports"),
        ("AU12", "happiness", "supports"),
        ("AU12", "sad", "contradicts"),  # of its rules, contempt needs four units, happy one
        ("AU12", "contempt", "supports"),
        ("AU04", "happy", "contradicts"),
        ("AU04", "surprise", "silent"),  # surprise has no sign that could be opposite
        ("AU14", "angry", "silent"),  # in the rules of happy and of sad alike
        ("AU25", "happy", "silent"),
        ("AU18", "happy", "silent"),  # in no rule
        ("AU12", "boredom", "silent"),
    ],
)
def test_action_units_by_the_published_table(name: str, label: str, expected: str) -> None:
    assert stance(unit(name), label) == expected


def test_why_names_unit_rule_and_table() -> None:
    assert weigh([unit("AU12")], "happy", MERR)[0].why == (
        "AU12 is in the rule of happy (rule table merr)"
    )
    assert (
        "happy, of the opposite sign (rule table merr)" in weigh([unit("AU12")], "sad", MERR)[0].why
    )


def test_rules_that_are_never_decided_own_no_unit() -> None:
    assert "contempt" not in unit_owners("AU14", FACS)
    assert stance(unit("AU12"), "angry", FACS) == "contradicts"
    assert stance(unit("AU25"), "surprise", FACS) == "supports", "optional units speak for it too"


def test_a_still_face() -> None:
    still = Clue("facial", "face", "still", "the face is still")
    stances = {label: stance(still, label) for label in VALENCE}
    assert stances["neutral"] == "supports"
    assert stances["surprise"] == stances["happy"] == "contradicts"
    assert stances["sad"] == stances["doubt"] == "silent"


def test_neutral_is_contradicted_by_noticeable_movement_and_by_voices_far_out() -> None:
    assert stance(unit("AU04", "slight"), "neutral") == "silent"
    assert stance(unit("AU04", "clear"), "neutral") == "contradicts"
    assert stance(voice("pitch", "clearly high"), "neutral") == "silent"
    assert stance(voice("pitch", "very high"), "neutral") == "contradicts"
    assert stance(Clue("voice", "voice", "usual", "the voice is as usual"), "neutral") == "supports"


@pytest.mark.parametrize(
    ("measure", "reading", "label", "expected"),
    [
        ("pitch", "very high", "fear", "supports"),
        ("pitch", "very high", "sad", "contradicts"),
        ("pitch", "very low", "sad", "supports"),
        ("pitch", "very low", "happy", "contradicts"),
        ("rate", "clearly high", "worried", "supports"),
        ("rate", "clearly low", "sadness", "supports"),
        ("loudness", "clearly high", "fear", "silent"),
        ("pitch", "very high", "contempt", "silent"),
        ("hnr", "very high", "angry", "silent"),
    ],
)
def test_measures_of_the_voice(measure: str, reading: str, label: str, expected: str) -> None:
    assert stance(voice(measure, reading), label) == expected


def test_the_voice_table_is_in_order() -> None:
    table = voice_affect()
    assert {row.measure for row in table.cues} <= set(MEASURES)
    seen = [(row.measure, row.direction) for row in table.cues]
    assert len(seen) == len(set(seen))
    for row in table.cues:
        assert row.sources and set(row.sources) <= set(table.sources)
        assert not set(row.fits) & set(row.against)
        assert {*row.fits, *row.against} <= set(VALENCE), "labels as they are written elsewhere"


def test_words_by_their_sign() -> None:
    bad = Clue("words", "negative word", "awful", 'the word "awful" is negative')
    assert stance(bad, "happy") == "contradicts"
    assert stance(bad, "sad") == "supports"
    assert stance(bad, "surprise") == "silent"
    assert stance(bad, "boredom") == "silent"
    assert stance(Clue("words", "quote", "awful", 'the words are: "awful"'), "sad") == "silent"


def test_negated_words_speak_against_what_they_deny() -> None:
    clue = Clue("words", "negative word", "not happy", 'the words "not happy" are negative')
    assert stance(clue, "happy") == "contradicts"


def test_the_scene_is_always_silent() -> None:
    dim = Clue("scene", "brightness", "dim", "the picture is dim")
    assert {stance(dim, label) for label in VALENCE} == {"silent"}


def test_strength_follows_the_grade() -> None:
    grades = ["slight", "present", "clear", "strong"]
    assert [strength(unit("AU12", one)) for one in grades] == [0.5, 1.0, 1.0, 1.5]
    assert strength(voice("pitch", "slightly low")) == 0.5
    assert strength(voice("pitch", "very low")) == 1.5
    assert strength(Clue("words", "positive word", "very good", "it is")) == 1.0, "no grade of ours"
