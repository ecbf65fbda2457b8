"""Measures -> quality gates: passed, failed, or unknown where nothing was measured.

Knows: what each gate looks at. Does not know: how it was measured, limits (`BuildConfig`).
What is missing is unknown; it is never a value of 0 and never a pass.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from emotion_llama.config import BuildConfig
from emotion_llama.merr.duplicates import Duplicate
from emotion_llama.merr.licences import load_licences
from emotion_llama.merr.records import FaceMeasures, GateResult, Outcome
from emotion_llama.voice import Prosody

GATES: Mapping[str, str] = {
    "face_coverage": "share of the frames that show the main person's face",
    "face_score": "mean probability that what was followed is a face",
    "snr_db": "level of speech over that of the pauses, in dB",
    "speech_share": "share of the clip in which somebody speaks",
    "transcript_agreement": "share of words in which the given and the recognised text agree",
    "contradiction": "share of what the clues say of the label that speaks against it",
    "duplicate": "likeness to an earlier clip of the data set",
    "licence": "whether the terms of the source are known; what they forbid, exports refuse",
}
"""Every gate and what it looks at."""


@dataclass(frozen=True)
class GateInputs:
    """What the gates look at."""

    face: FaceMeasures | None
    prosody: Prosody | None
    missing: Mapping[str, str]
    """kind of clue -> why it is not there"""
    transcript_agreement: float | None
    """of the given and the recognised words; ``None`` where not both exist"""
    contradiction: float | None
    """0 to 1; ``None`` where no clue speaks for or against the label"""
    duplicate: Duplicate | None
    """the earlier clip that shows the same recording"""
    licence: str | None


def quality_gates(given: GateInputs, config: BuildConfig) -> tuple[GateResult, ...]:
    """Put a clip through all gates.

    Args:
        given: what they look at
        config: the limits
    """
    face, prosody = given.face, given.prosody
    no_face = given.missing.get("facial", "no face was measured")
    no_voice = given.missing.get("voice", "no voice was measured")
    no_pause = "there is no pause to hold speech against"
    coverage = None if face is None else face.coverage
    score = None if face is None else face.score
    snr = None if prosody is None else prosody.snr_db
    share = None if prosody is None else prosody.speech_share
    return (
        _at_least("face_coverage", coverage, config.min_face_coverage, no_face, "share"),
        _at_least("face_score", score, config.min_face_score, no_face, "probability"),
        _at_least("snr_db", snr, config.min_snr_db, no_pause if prosody else no_voice, "dB"),
        _at_least("speech_share", share, config.min_speech_share, no_voice, "share"),
        _at_least(
            "transcript_agreement",
            given.transcript_agreement,
            config.min_transcript_agreement,
            "there are not both a given and a recognised text",
            "share",
        ),
        _at_most("contradiction", given.contradiction, config.max_contradiction),
        _not_a_copy(given.duplicate, config),
        _licensed(given.licence),
    )


def _at_least(name: str, value: float | None, limit: float, absence: str, unit: str) -> GateResult:
    if value is None:
        return GateResult(name, None, limit, "unknown", absence)
    shown = round(value, 4)
    if value >= limit:
        return GateResult(name, shown, limit, "passed", f"{shown:g} {unit}, at least {limit:g}")
    return GateResult(name, shown, limit, "failed", f"{shown:g} {unit}, below {limit:g}")


def _at_most(name: str, value: float | None, limit: float) -> GateResult:
    if value is None:
        why = "no clue speaks for or against the label"
        return GateResult(name, None, limit, "unknown", why)
    shown = round(value, 4)
    if value <= limit:
        return GateResult(name, shown, limit, "passed", f"{shown:g} share, at most {limit:g}")
    return GateResult(name, shown, limit, "failed", f"{shown:g} share, above {limit:g}")


def _licensed(licence: str | None) -> GateResult:
    found = load_licences().find(licence)
    if found is None:
        why = "no terms are stated" if licence is None else f"{licence} is in no table of terms"
        return GateResult("licence", None, None, "unknown", why)
    return GateResult("licence", None, None, "passed", f"terms of {found.id}")


def _not_a_copy(duplicate: Duplicate | None, config: BuildConfig) -> GateResult:
    if duplicate is None:
        return GateResult("duplicate", None, None, "passed", "like no earlier clip")
    why = f"{duplicate.how} of {duplicate.of}"
    outcome: Outcome = "failed" if config.drop_duplicates else "passed"
    return GateResult("duplicate", round(duplicate.similarity, 4), None, outcome, why)


def word_agreement(given: str | None, recognised: str | None) -> float | None:
    """Give the share of words in which two texts agree: 1 - word error rate, at least 0.

    Case and punctuation do not count. ``None`` where one of them has no word.
    """
    first, second = _words(given), _words(recognised)
    if not first or not second:
        return None
    return max(0.0, 1.0 - _edits(first, second) / len(first))


def _words(text: str | None) -> list[str]:
    kept = "".join(c.lower() if c.isalnum() else " " for c in text or "")
    return kept.split()


def _edits(first: Sequence[str], second: Sequence[str]) -> int:
    """Count the fewest insertions, deletions and replacements between two lists of words."""
    row = list(range(len(second) + 1))
    for i, one in enumerate(first, start=1):
        before, row[0] = row[0], i
        for j, other in enumerate(second, start=1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (one != other))
    return row[-1]
