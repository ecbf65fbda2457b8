"""Action units of the peak frame -> measures -> statements about the face, and statements back.

Knows: when a unit counts as present, which units are said, how a text is searched for them. Does
not know: pictures, how units were measured, what a unit may mean. What is said is what was
measured, never another unit; a unit that was not measured is not said and not taken for absent.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from emotion_llama.face.peak import BLINKS, PRESENT, SPEECH, PeakFrame
from emotion_llama.face.unit_names import UNIT_NAMES
from emotion_llama.merr.draw import choose
from emotion_llama.merr.lexicon import (
    FACE,
    PRESENT_READING,
    STILL,
    Form,
    Grade,
    load_lexicon,
)
from emotion_llama.merr.records import Clue, FaceMeasures, StatedClue, UnitReading
from emotion_llama.records import ActionUnitTable, AuScale

FULL: Mapping[AuScale, float] = {"0-5": 5.0, "0-1": 1.0, "probability": 1.0}
"""Largest value of each scale."""

PRESENT_FROM: Mapping[AuScale, float] = {"0-5": PRESENT, "0-1": PRESENT / 5.0, "probability": 0.5}
"""Value from which a unit is present, where its producer does not decide that itself.

On 0-5 grade A, the least that the manual scores; on 0-1 the same share of the largest movement;
of a probability, more likely than not. One value for several scales was a fault of a predecessor.
"""

GRADES_FROM: tuple[tuple[float, Grade], ...] = ((3.5, "strong"), (2.0, "clear"), (1.0, "slight"))
"""Grades of the 0-5 scale, the largest first: A is slight, B and C clear, from between C and D
strong."""

MAX_CLUES = 6
"""Most units that are said of one face: more are a list, not a description."""

MIN_MEASURED = 0.5
"""A face is called still only where this share of the units that count was measured."""

DECIMALS = 4
"""Of written numbers: finer than any estimate, and the same bytes from every machine."""

ABSENT = "absent"
"""Reading of a unit whose presence a text denies."""

_NEGATION_WORDS = 6
"""Words before a form in which a denial still belongs to it."""
_LOOK_BACK = 200
"""Characters before a form that are looked at: more than so many words take."""
_DENIAL = re.compile(
    r"\b(?:(?:no|not)(?!\s+(?:only|just|merely|doubt)\b)|without|never|neither|nor|hardly|nothing|"
    r"lack(?:s|ing)?|absence|instead|rather\s+than|cannot|\w+n['’]t)\b",
    re.IGNORECASE,
)
_DENIED_AFTER = re.compile(
    r"\s+(?:(?:is|are|was|were)\s+(?:not|absent|missing)|cannot|can['’]t|(?:is|are|was|were)n['’]t)"
    r"\b(?!\s+only\b)",
    re.IGNORECASE,
)
_CLAUSE_END = re.compile(r"[.,;:!?()—–\n]|\b(?:and|but|while|yet|though|although)\b", re.IGNORECASE)
_QUOTE = re.compile(r'"[^"]*"|“[^”]*”')
"""Somebody's own words: they may speak of a smile that nobody saw."""


def face_measures(
    table: ActionUnitTable,
    peak: PeakFrame | None,
    *,
    num_frames: int | None,
    coverage: float | None,
    score: float | None,
    talking: bool | None,
) -> FaceMeasures:
    """Take the action units of the peak frame out of a person's table.

    Args:
        table: action units of one person
        peak: its peak frame; ``None`` where no frame counts, and then no unit is read
        num_frames: frames of the clip that were looked at
        coverage: share of them that show the face
        score: mean probability that what was followed is a face
        talking: whether somebody may be talking (`emotion_llama.face.is_talking`)

    Returns:
        measures on the scale of the table; numbers have `DECIMALS` decimals
    """
    return FaceMeasures(
        units=() if peak is None else _readings(table, peak.row),
        scale=table.scale,
        scope=table.scope,
        peak_frame=None if peak is None else int(peak.frame),
        peak_s=None if peak is None else _rounded(peak.time_s),
        peak_score=None if peak is None else _rounded(peak.score),
        peak_reading=None if peak is None else peak.reading,
        num_frames=num_frames,
        coverage=None if coverage is None else _rounded(coverage),
        score=None if score is None else _rounded(score),
        talking=talking,
    )


def _readings(table: ActionUnitTable, row: int) -> tuple[UnitReading, ...]:
    """Read the units that were measured anywhere in the clip, at one row."""
    return tuple(
        _reading(table, unit, row)
        for unit in table.units
        if any(
            unit in values and not np.isnan(values[unit]).all()
            for values in (table.intensity, table.presence)
        )
    )


def _reading(table: ActionUnitTable, unit: str, row: int) -> UnitReading:
    intensity = _value(table.intensity, unit, row)
    flag = _value(table.presence, unit, row)
    confidence = _value(table.confidence, unit, row) or 0.0
    decided = None if intensity is None else intensity >= PRESENT_FROM[table.scale]
    # the producer's own decision comes first: some units have no intensity, only a flag
    present = decided if flag is None else flag >= 0.5
    return UnitReading(
        unit=unit,
        intensity=intensity,
        # a value without any confidence, such as one bridged from other frames, decides nothing
        is_present=present if confidence > 0 else None,
        confidence=confidence,
    )


def _value(
    values: Mapping[str, NDArray[np.float32]],
    unit: str,
    row: int,
) -> float | None:
    value = float(values[unit][row]) if unit in values else math.nan
    return None if math.isnan(value) else _rounded(value)


def _rounded(value: float) -> float:
    return round(float(value), DECIMALS)


def countable_units(*, talking: bool | None) -> frozenset[str]:
    """Name the units by which a face is called still.

    Blinks never count, lips and jaw only where it is known that nobody talks.
    """
    left_out = BLINKS if talking is False else BLINKS + SPEECH
    return frozenset(UNIT_NAMES) - frozenset(left_out)


def stillness(face: FaceMeasures, min_measured: float = MIN_MEASURED) -> float | None:
    """Tell how surely nothing moves in a face.

    Returns:
        0 where a unit is present; else the share of the countable units that was measured, or
        ``None`` where that is less than ``min_measured``: nothing can be said
    """
    if any(is_counted(reading.unit, face) and reading.is_present for reading in face.units):
        return 0.0
    countable = countable_units(talking=face.talking)
    measured = {reading.unit for reading in face.units if reading.is_present is not None}
    share = len(measured & countable) / len(countable)
    return share if share >= min_measured else None


def is_counted(unit: str, face: FaceMeasures) -> bool:
    """Tell whether a unit says something of the face: no blink, and no part of talking."""
    return unit not in BLINKS and (unit not in SPEECH or face.talking is False)


def strength(reading: UnitReading, scale: AuScale | None) -> float:
    """Give how strong a present unit is as a share of the largest movement, 0 to 1.

    A unit of which only the presence is known, or whose value lies below the threshold of
    presence, is taken as just present: the least that its producer's decision means.
    """
    if scale is None:
        return PRESENT / FULL["0-5"]
    least = PRESENT_FROM[scale]
    value = least if reading.intensity is None else max(reading.intensity, least)
    return min(value / FULL[scale], 1.0)


def grade(reading: UnitReading, scale: AuScale | None) -> str:
    """Give what is said of a present unit: a grade of the 0-5 scale, else ``present``."""
    if scale == "0-5" and reading.intensity is not None:
        for least, name in GRADES_FROM:
            if reading.intensity >= least:
                return name
    return PRESENT_READING


def facial_clues(face: FaceMeasures, clip_id: str) -> tuple[Clue, ...]:
    """Say which units are present in the peak frame, first those that are strong and sure.

    The order is that of strength x confidence: what is strong by a doubtful measure comes late.

    Blinks are never said. Parted lips and jaw are said only where it is known that nobody talks:
    else they are part of speech.

    Args:
        face: measures of the peak frame
        clip_id: draws the wordings

    Returns:
        at most `MAX_CLUES`; one that the face is at rest where that is known; else none
    """
    lexicon = load_lexicon()
    said = [
        reading
        for reading in face.units
        if reading.is_present
        and is_counted(reading.unit, face)
        and reading.unit in lexicon.wordings
    ]
    if not said:
        return _still_clue(face, clip_id)
    said.sort(key=lambda one: (-strength(one, face.scale) * one.confidence, one.unit))
    return tuple(_unit_clue(reading, face, clip_id) for reading in said[:MAX_CLUES])


def _unit_clue(reading: UnitReading, face: FaceMeasures, clip_id: str) -> Clue:
    degree = grade(reading, face.scale)
    return Clue(
        kind="facial",
        feature=reading.unit,
        reading=degree,
        statement=choose(
            load_lexicon().word(reading.unit, degree), clip_id, reading.unit, "facial"
        ),
        value=reading.intensity,
        start_s=face.peak_s,
        end_s=face.peak_s,
    )


def _still_clue(face: FaceMeasures, clip_id: str) -> tuple[Clue, ...]:
    if not stillness(face):
        return ()
    return (
        Clue(
            kind="facial",
            feature=FACE,
            reading=STILL,
            statement=choose(load_lexicon().still, clip_id, FACE, "facial"),
            start_s=face.peak_s,
            end_s=face.peak_s,
        ),
    )


def unit_is_named(statement: str) -> str | None:
    """Name the unit that a statement of the lexicon is made from; ``None`` for other texts."""
    for form in load_lexicon().own_forms:
        if form.feature != FACE and form.pattern.fullmatch(statement):
            return form.feature
    return None


def read_facial(text: str) -> tuple[StatedClue, ...]:
    """Read back what a text says of the face, in the order of the text.

    The wordings of the lexicon come back as they were said. Other descriptions are understood as
    far as the lexicon lists them: with a reading where a degree is said, else with ``None``; a
    feature like ``AU01|AU02`` means at least one of its units. What a text denies has the reading
    ``absent``. Words in double quotes are somebody's speech and are passed over.
    """
    lexicon = load_lexicon()
    open_text = _QUOTE.sub(lambda quote: "\n" * len(quote[0]), text)
    own = _matches(open_text, lexicon.own_forms)
    # what is read once is hidden: a form of others must not begin inside a wording
    rest = open_text
    for match, _ in own:
        rest = rest[: match.start()] + "\n" * len(match[0]) + rest[match.end() :]
    found = sorted([*own, *_matches(rest, lexicon.free_forms)], key=lambda item: item[0].start())
    return tuple(
        StatedClue("facial", form.feature, _stated(open_text, match, form), match[0])
        for match, form in found
    )


def _matches(text: str, forms: Sequence[Form]) -> list[tuple[re.Match[str], Form]]:
    """Find forms from left to right, of those that begin together the longest."""
    every = [(match, form) for form in forms for match in form.pattern.finditer(text)]
    every.sort(key=lambda item: (item[0].start(), -item[0].end()))
    return list(_apart(every))


def _apart(
    matches: Sequence[tuple[re.Match[str], Form]],
) -> Iterator[tuple[re.Match[str], Form]]:
    end = 0
    for match, form in matches:
        if match.start() >= end:
            end = match.end()
            yield match, form


def _stated(text: str, match: re.Match[str], form: Form) -> str | None:
    """Give what a text says of a form's unit: denied, a degree, or what the form says itself."""
    link = match.groupdict().get("link") or ""
    clause = text[max(match.start() - _LOOK_BACK, 0) : match.start()]
    clause = clause[max((end.end() for end in _CLAUSE_END.finditer(clause)), default=0) :]
    before = " ".join(clause.split()[-_NEGATION_WORDS:])
    denied = _DENIAL.search(before) or _DENIAL.search(link)
    if denied or _DENIED_AFTER.match(text, match.end()):
        return ABSENT
    if form.feature == FACE:
        return form.reading
    lexicon = load_lexicon()
    any_degree = rf"(?:{lexicon.any_degree})"
    ahead = re.search(rf"(?:\b(?:an?|the|her|his|their|of|{any_degree})\s+){{1,6}}$", clause, re.I)
    behind = re.match(rf"\s+{any_degree}\b", text[match.end() :], re.I)
    for words in (link, ahead[0] if ahead else "", behind[0] if behind else ""):
        degree = lexicon.grade_of(words)
        if degree is not None:
            return degree
    return form.reading
