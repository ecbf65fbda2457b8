"""Clues of the voice: which are said, and that they are read back as they were said."""

import itertools

import pytest

from emotion_llama.merr.records import NormScope, VoiceMeasures
from emotion_llama.merr.voice_clues import (
    MAX_CLUES,
    read_voice,
    unusual_clues,
    voice_clues,
    voice_measures,
)
from emotion_llama.voice import MEASURES, SCOPES, Prosody, VoiceNorm

SCORES = {"slightly": 0.7, "clearly": 1.4, "very": 3.1}


def measures(scope: NormScope | None = "speaker", **scores: float) -> VoiceMeasures:
    return VoiceMeasures(
        values={name: 1.5 for name in MEASURES},
        scores={name: scores.get(name) for name in MEASURES},
        scope=scope,
        num_recordings=9,
        voiced_s=2.0,
        speech_share=0.8,
        snr_db=30.0,
        start_s=0.1,
        end_s=2.9,
    )


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", MEASURES)
def test_every_statement_is_read_back_exactly(name: str, scope: NormScope) -> None:
    for (word, size), (direction, sign) in itertools.product(
        SCORES.items(), (("high", 1), ("low", -1))
    ):
        (clue,) = voice_clues(measures(scope, **{name: sign * size}))
        assert (clue.kind, clue.feature, clue.reading) == ("voice", name, f"{word} {direction}")
        assert clue.statement.endswith(SCOPES[scope])
        text = f"As for the sound, {clue.statement[0].upper()}{clue.statement[1:]}; he sits."
        (stated,) = read_voice(text)
        assert (stated.kind, stated.feature, stated.reading) == (
            "voice",
            clue.feature,
            clue.reading,
        )
        assert stated.words.lower() == clue.statement


@pytest.mark.parametrize("joint", [", and ", "; ", ". "])
@pytest.mark.parametrize("scope", SCOPES)
def test_joined_statements_are_read_back_in_their_order(joint: str, scope: NormScope) -> None:
    for names in itertools.combinations(MEASURES, MAX_CLUES):
        sizes = itertools.cycle((3.1, -1.4, 0.7, -2.5))
        clues = voice_clues(measures(scope, **dict(zip(names, sizes, strict=False))))
        text = joint.join(clue.statement for clue in clues)
        said = [(stated.feature, stated.reading) for stated in read_voice(text)]
        assert said == [(clue.feature, clue.reading) for clue in clues]


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("num", range(1, len(MEASURES) + 1))
def test_a_usual_voice_names_what_was_scored_and_is_read_back(num: int, scope: NormScope) -> None:
    names = list(MEASURES)[-num:]
    (clue,) = voice_clues(measures(scope, **dict.fromkeys(names, 0.3)))
    assert (clue.feature, clue.reading, clue.value) == ("voice", "usual", None)
    listed = clue.statement.rsplit(" in ", 1)[1].replace(" and ", ", ").split(", ")
    assert listed == [MEASURES[name].noun for name in names]
    (stated,) = read_voice(f"{clue.statement}, and the picture is dark")
    assert (stated.feature, stated.reading) == ("voice", "usual")
    assert stated.words == clue.statement


def test_the_most_unusual_come_first_and_no_more_than_four() -> None:
    scores = {"pitch": 0.6, "rate": -2.2, "hnr": 1.1, "tension": 0.1, "loudness": 3, "pauses": -1.2}
    voice = measures(**scores)
    clues = voice_clues(voice)
    assert [clue.feature for clue in clues] == ["loudness", "rate", "pauses", "hnr"]
    assert [clue.feature for clue in unusual_clues(voice)][-1] == "pitch"
    assert {(clue.value, clue.start_s, clue.end_s) for clue in clues} == {(1.5, 0.1, 2.9)}


def test_nothing_is_said_without_a_norm_or_without_scores() -> None:
    assert voice_clues(measures(None)) == ()
    assert voice_clues(measures("corpus")) == ()


def test_measures_carry_the_norm() -> None:
    values = dict.fromkeys(MEASURES) | {"pitch": 36.0}
    prosody = Prosody(values, {"rate": "why"}, 2.0, 0.8, None, 3.0, 0.1, 2.9, 33.0, -6.0)
    norm = VoiceNorm("corpus", 77, {"pitch": 34.0, "rate": 4.0}, {"pitch": 2.0, "rate": 1.0})
    voice = voice_measures(prosody, norm)
    assert (voice.scores["pitch"], voice.scores["rate"]) == (1.0, None)
    assert (voice.scope, voice.num_recordings, voice.snr_db) == ("corpus", 77, None)
    without = voice_measures(prosody, None)
    assert set(without.scores.values()) == {None}
    assert (without.scope, without.num_recordings) == (None, 0)
    assert without.values["pitch"] == 36.0
