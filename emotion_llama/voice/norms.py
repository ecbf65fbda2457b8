"""Recordings -> what is usual, and how far a recording lies from it.

Knows: medians, spreads, which recordings a voice is held against. Does not know: words, files of
sound. The packaged norms are made by tools/calibrate_voice.py; docs/voice.md says from what.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from emotion_llama.voice.measures import MEASURES
from emotion_llama.voice.prosody import Prosody

NormScope = Literal["speaker", "corpus", "packaged"]
"""Other recordings of the same speaker; others of the data set, of the same language and in low or
high voices alike; neutral recordings of many speakers, which come with the package."""

MIN_RECORDINGS: Mapping[NormScope, int] = {"speaker": 8, "corpus": 50, "packaged": 1}
"""Recordings, without the one that is scored, that a norm needs. The median of 8 has a standard
error of 0.44 spreads (1.25 / sqrt 8); those of many people differ more, and need more."""

LOW_VOICE_BELOW = 29.0
"""Tenth percentile of pitch, in semitones re 27.5 Hz, below which a voice is low: 147 Hz. Of whole
semitones it tells the sex of the training speakers best (docs/voice.md)."""

LEVELLED_DB = 1.0
"""Spread of the peaks below which recordings were brought to one level: how loud each voice was
cannot be known any more."""

ANY_LANGUAGE = "any"

_NORMAL = 1.4826
"""Median absolute deviation -> standard deviation of a normal distribution."""
_SCORE_DECIMALS = 2


@dataclass(frozen=True)
class VoiceNorm:
    """What is usual."""

    scope: NormScope
    num_recordings: int
    """recordings behind it, without the one that is scored"""
    middle: Mapping[str, float]
    """measure -> median; a measure that cannot be judged by this norm has no entry"""
    spread: Mapping[str, float]
    """measure -> 1.4826 times the median absolute deviation, at least `Measure.least_spread`"""


def score(prosody: Prosody, norm: VoiceNorm) -> Mapping[str, float | None]:
    """Give the robust z-score of every measure, (value - middle) / spread.

    Returns:
        ``None`` where the recording has no value or the norm no middle
    """
    scores: dict[str, float | None] = {}
    for name in MEASURES:
        value, middle = prosody.values[name], norm.middle.get(name)
        if value is None or middle is None:
            scores[name] = None
        else:  # adding 0 makes 0 of -0
            scores[name] = round((value - middle) / norm.spread[name], _SCORE_DECIMALS) + 0.0
    return scores


def norm_of(recordings: Sequence[Prosody], scope: NormScope) -> VoiceNorm:
    """Take the norm of recordings; the caller leaves out the one to be scored.

    A measure that fewer than `MIN_RECORDINGS` of them have is left out, and so is loudness where
    all recordings were brought to one level.
    """
    table = _tabulate(recordings)
    middles, spreads = np.full(table.shape[1], np.nan), np.full(table.shape[1], np.nan)
    for column, values in enumerate(table.T):
        known = values[~np.isnan(values)]
        if len(known) >= MIN_RECORDINGS[scope]:
            middles[column] = np.median(known)
            spreads[column] = _NORMAL * np.median(np.abs(known - middles[column]))
    return _norm(scope, int(_usable(table).sum()), middles, spreads)


def choose_norms(
    prosodies: Sequence[Prosody | None],
    speakers: Sequence[str | None],
    languages: Sequence[str | None],
) -> list[VoiceNorm | None]:
    """Choose for each recording the norm that knows its voice best, itself left out.

    1. The speaker's other recordings, if there are `MIN_RECORDINGS`. 2. Those of the data set in
    the same language by low or by high voices alike. 3. The packaged norm. 4. None.

    Outside a speaker's own recordings a high voice is not called low and a low one not high: it may
    as well be a low voice that is raised, or a high one that is lowered.

    Args:
        prosodies: ``None`` where there is no voice
        speakers: who speaks; the same name is the same person
        languages: ISO 639 codes

    Raises:
        ValueError: the sequences differ in length
    """
    if not len(prosodies) == len(speakers) == len(languages):
        msg = (
            f"found {len(prosodies)} recordings, {len(speakers)} speakers and {len(languages)} "
            "languages, expected one of each per recording; give None where one is not known"
        )
        raise ValueError(msg)
    table = _tabulate(prosodies)
    by_speaker = _groups(speakers)
    keys = _corpus_keys(prosodies, by_speaker, languages)
    by_speaker.pop(None, None)
    by_corpus = _groups(keys)
    by_corpus.pop(None, None)
    norms: list[VoiceNorm | None] = [None] * len(prosodies)
    for rows in by_speaker.values():
        _fill(norms, rows, "speaker", table)
    needed = [norm is None for norm in norms]
    for rows in by_corpus.values():
        if any(needed[row] for row in rows):
            _fill(norms, rows, "corpus", table)
    for row, prosody in enumerate(prosodies):
        norm = norms[row]
        if prosody is None or prosody.pitch_base is None:
            norms[row] = None
        elif norm is None:
            norms[row] = packaged_norm(prosody, languages[row])
        elif norm.scope == "corpus":
            norms[row] = _without_unclear_pitch(norm, prosody, is_low=keys[row][1])
    return norms


def choose_norm(
    index: int,
    prosodies: Sequence[Prosody | None],
    speakers: Sequence[str | None],
    languages: Sequence[str | None],
) -> VoiceNorm | None:
    """Choose the norm of one recording among others; of many, `choose_norms` is quicker."""
    return choose_norms(prosodies, speakers, languages)[index]


def packaged_norm(prosody: Prosody, language: str | None) -> VoiceNorm | None:
    """Give what is usual among many speakers, as far as it says something of this recording.

    Left out are measures that depend on the recording (gain, microphone, room) and, where the
    language is not among those measured, tempo; of pitch see `choose_norms`.

    Args:
        prosody: the recording; its lowest pitches decide between low and high voices
        language: ISO 639 code, with or without a region

    Returns:
        ``None`` where there is no voice
    """
    if prosody.pitch_base is None:
        return None
    norms = _packaged()
    code = (language or "").lower().replace("_", "-").split("-")[0]
    entry = norms["languages"].get(code, norms["languages"][ANY_LANGUAGE])
    is_low = _is_low(prosody.pitch_base)
    voices = norms["voices"]["low" if is_low else "high"]
    middle = {**entry["middle"], **voices["middle"]}
    spread = {**entry["spread"], **voices["spread"]}
    norm = VoiceNorm("packaged", entry["num_recordings"], middle, spread)
    return _without_unclear_pitch(norm, prosody, is_low=is_low)


@cache
def _packaged() -> Any:
    text = files("emotion_llama.voice").joinpath("norms.json").read_text(encoding="utf-8")
    return json.loads(text)


def _is_low(pitch_base: float) -> bool:
    return pitch_base < LOW_VOICE_BELOW


def _without_unclear_pitch(norm: VoiceNorm, prosody: Prosody, *, is_low: bool) -> VoiceNorm:
    """Leave pitch out where it lies on the side of the other kind of voices."""
    pitch, middle = prosody.values["pitch"], norm.middle.get("pitch")
    if pitch is None or middle is None or (pitch <= middle if is_low else pitch >= middle):
        return norm
    return replace(
        norm, middle={name: value for name, value in norm.middle.items() if name != "pitch"}
    )


def _tabulate(recordings: Sequence[Prosody | None]) -> NDArray[np.float64]:
    """Write measures and, last, the peak as numbers, NaN where there is none, [r x m+1]."""
    table = np.full((len(recordings), len(MEASURES) + 1), np.nan)
    for row, recording in enumerate(recordings):
        if recording is not None:
            values = [*(recording.values[name] for name in MEASURES), recording.peak_db]
            table[row] = [np.nan if value is None else value for value in values]
    return table


def _usable(table: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which recordings have a measure, [r]."""
    return np.asarray(~np.isnan(table[:, :-1]).all(axis=1))


def _groups(keys: Sequence[Any]) -> dict[Any, list[int]]:
    groups: dict[Any, list[int]] = defaultdict(list)
    for row, key in enumerate(keys):
        groups[key].append(row)
    return groups


def _corpus_keys(
    prosodies: Sequence[Prosody | None],
    by_speaker: Mapping[str | None, Sequence[int]],
    languages: Sequence[str | None],
) -> list[Any]:
    """Give language and low or high of each recording; a known speaker's are all of one kind."""
    bases = [None if one is None else one.pitch_base for one in prosodies]
    for speaker, rows in by_speaker.items():
        known = [base for row in rows if (base := bases[row]) is not None]
        if speaker is not None and known:
            middle = float(np.median(known))
            for row in rows:
                bases[row] = middle
    return [
        None if base is None else (language, _is_low(base))
        for base, language in zip(bases, languages, strict=True)
    ]


def _fill(
    norms: list[VoiceNorm | None],
    rows: Sequence[int],
    scope: NormScope,
    table: NDArray[np.float64],
) -> None:
    """Set the norm of those recordings of a group that have none and others enough."""
    part = table[rows]
    usable = _usable(part)
    others = usable.sum() - usable  # [r]
    if others.max(initial=0) < MIN_RECORDINGS[scope]:
        return
    middles, spreads = np.full_like(part, np.nan), np.full_like(part, np.nan)
    for column, values in enumerate(part.T):
        known = np.flatnonzero(~np.isnan(values))
        if len(known) > MIN_RECORDINGS[scope]:
            middles[known, column], spreads[known, column] = leave_one_out(values[known])
    for place, row in enumerate(rows):
        if norms[row] is None and others[place] >= MIN_RECORDINGS[scope]:
            norms[row] = _norm(scope, int(others[place]), middles[place], spreads[place])


def _norm(
    scope: NormScope,
    num_recordings: int,
    middles: NDArray[np.float64],
    spreads: NDArray[np.float64],
) -> VoiceNorm:
    known = {name: column for column, name in enumerate(MEASURES) if not np.isnan(middles[column])}
    if spreads[-1] < LEVELLED_DB:
        known.pop("loudness", None)
    return VoiceNorm(
        scope=scope,
        num_recordings=num_recordings,
        middle={name: float(middles[column]) for name, column in known.items()},
        spread={
            name: max(float(spreads[column]), MEASURES[name].least_spread)
            for name, column in known.items()
        },
    )


def leave_one_out(
    values: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give median and spread of all other values, for each value; r log r steps.

    Without one value the median is one of at most three numbers, so that the deviations have to be
    sorted three times only.

    Args:
        values: at least 2 numbers, [r]

    Returns:
        medians [r]; 1.4826 times the median absolute deviations from them [r]
    """
    middles = _median_of_others(values)
    spreads = np.empty_like(middles)
    for middle in np.unique(middles):
        rows = middles == middle
        spreads[rows] = _median_of_others(np.abs(values - middle))[rows]
    return middles, _NORMAL * spreads


def _median_of_others(values: NDArray[np.float64]) -> NDArray[np.float64]:
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    place = np.empty(len(values), dtype=np.intp)
    place[order] = np.arange(len(values))
    num = len(values) - 1
    lower, upper = (num - 1) // 2, num // 2  # among the others
    return np.asarray((ordered[lower + (lower >= place)] + ordered[upper + (upper >= place)]) / 2)
