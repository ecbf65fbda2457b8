"""Gates pass, fail, or say that nothing was measured; what is missing is never a number."""

from dataclasses import replace
from typing import Any

import pytest

from emotion_llama.config import BuildConfig
from emotion_llama.merr.duplicates import Duplicate
from emotion_llama.merr.gates import GATES, GateInputs, quality_gates, word_agreement
from emotion_llama.merr.records import FaceMeasures, GateResult
from emotion_llama.voice import Prosody

FACE = FaceMeasures((), "0-5", "clip", None, None, None, None, 40, 0.9, 0.95, True)
VOICE = Prosody(
    values={},
    missing={},
    voiced_s=1.0,
    speech_share=0.6,
    snr_db=20.0,
    duration_s=2.0,
    speech_start_s=0.2,
    speech_end_s=1.8,
    pitch_base=20.0,
    peak_db=-3.0,
)


GOOD = GateInputs(
    face=FACE,
    prosody=VOICE,
    missing={},
    transcript_agreement=0.8,
    contradiction=0.25,
    duplicate=None,
    licence="CC-BY-4.0",
)


def gate(name: str, config: BuildConfig | None = None, **changes: Any) -> GateResult:
    results = quality_gates(replace(GOOD, **changes), config or BuildConfig())
    return {result.name: result for result in results}[name]


def test_every_gate_is_listed_and_a_good_clip_passes_all() -> None:
    results = quality_gates(GOOD, BuildConfig())
    assert [result.name for result in results] == list(GATES)
    assert {result.outcome for result in results} == {"passed"}


@pytest.mark.parametrize(
    ("name", "changes", "why"),
    [
        ("face_coverage", {"face": None, "missing": {"facial": "no face"}}, "no face"),
        ("face_score", {"face": None}, "no face was measured"),
        ("snr_db", {"prosody": None, "missing": {"voice": "no sound"}}, "no sound"),
        ("speech_share", {"prosody": None}, "no voice was measured"),
        ("transcript_agreement", {"transcript_agreement": None}, "not both"),
        ("contradiction", {"contradiction": None}, "no clue speaks for or against"),
        ("licence", {"licence": None}, "no terms are stated"),
        ("licence", {"licence": "my-terms"}, "my-terms is in no table of terms"),
    ],
)
def test_what_was_not_measured_is_unknown_and_has_no_value(
    name: str, changes: dict[str, object], why: str
) -> None:
    result = gate(name, **changes)
    assert (result.outcome, result.value) == ("unknown", None)
    assert why in result.why


def test_speech_without_any_pause_has_no_level_of_pauses() -> None:
    result = gate("snr_db", prosody=replace(VOICE, snr_db=None))
    assert (result.outcome, result.value) == ("unknown", None)
    assert "no pause" in result.why


@pytest.mark.parametrize(("limit", "outcome"), [(0.8, "passed"), (0.81, "failed")])
def test_a_limit_belongs_to_what_passes(limit: float, outcome: str) -> None:
    result = gate("transcript_agreement", config=BuildConfig(min_transcript_agreement=limit))
    assert result.outcome == outcome
    assert f"{limit:g}" in result.why


@pytest.mark.parametrize(("most", "outcome"), [(0.25, "passed"), (0.2, "failed")])
def test_what_speaks_against_the_label_has_a_limit(most: float, outcome: str) -> None:
    assert gate("contradiction", BuildConfig(max_contradiction=most)).outcome == outcome


def test_a_copy_fails_unless_copies_may_stay() -> None:
    copy = Duplicate("a.mp4", "sound", 0.97, across_sources=False, same_transcript=None)
    assert gate("duplicate", duplicate=copy).outcome == "failed"
    kept = gate("duplicate", duplicate=copy, config=BuildConfig(drop_duplicates=False))
    assert (kept.outcome, kept.why) == ("passed", "sound of a.mp4")


@pytest.mark.parametrize(
    ("given", "recognised", "expected"),
    [
        ("Don't go!", "don t go", 1.0),
        ("one two three four", "one two four", 0.75),
        ("one two", "three four five six", 0.0),
        ("", "one", None),
        ("one", None, None),
        ("!?", "one", None),
    ],
)
def test_words_agree_as_far_as_they_need_no_edit(
    given: str, recognised: str | None, expected: float | None
) -> None:
    assert word_agreement(given, recognised) == expected
