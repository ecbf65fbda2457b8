"""Clues and a label -> what each clue says to the label: supports, contradicts or is silent.

Knows: rule tables, the table of voice and affect, the sign of words. Does not know: how a label
came about; it is never changed here. Sources: the rule table in use; tables/voice_affect.yaml.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from emotion_llama.labels import ALIASES, VALENCE
from emotion_llama.merr.lexicon import FACE
from emotion_llama.merr.records import Clue, ClueKind
from emotion_llama.merr.rules import OPTIONAL_WEIGHT, RuleTable
from emotion_llama.merr.words import affect_groups
from emotion_llama.voice.wording import VOICE

Stance = Literal["supports", "contradicts", "silent"]
Direction = Literal["high", "low"]
SIGNS: Mapping[Stance, float] = {"supports": 1.0, "contradicts": -1.0, "silent": 0.0}
"""How a stance counts in `balance`."""

DIRECTIONS: Mapping[str, Direction] = {"high": "high", "low": "low"}
"""Last word of a reading of the voice -> the direction; ``usual`` has none."""

EXPRESSIVE = ("happy", "angry", "surprise", "fear", "disgust")
"""Labels that a still face speaks against. The others (sadness, worry, contempt, doubt) can go with
little movement, so that a still face leaves them open. A convention of this package."""

STRENGTH: Mapping[str, float] = {"slight": 0.5, "slightly": 0.5, "strong": 1.5, "very": 1.5}
"""How much a clue counts by its grade; any other counts 1. A convention of this package."""

NOTICEABLE = 1.0
"""Strength from which a movement of the face speaks against ``neutral``."""
FAR_OUT = 1.5
"""Strength from which a measure of the voice speaks against ``neutral``: one in twenty of usual
recordings lies as far out, so less would speak against most of them."""

NEUTRAL = "neutral"

WORD_SIGNS: Mapping[str, float] = {"positive word": 1.0, "negative word": -1.0}
"""Feature of a word -> its sign, as in `emotion_llama.labels.VALENCE`."""


@dataclass(frozen=True)
class WeighedClue:
    """What a clue says to a label."""

    clue: Clue
    stance: Stance
    why: str
    """in words, with the table it was looked up in"""

    @property
    def strength(self) -> float:
        """How much it counts, by its grade."""
        return strength(self.clue)


class CueRow(BaseModel):
    """One row of the table of voice and affect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    measure: str
    direction: Direction
    fits: tuple[str, ...]
    against: tuple[str, ...]
    sources: tuple[str, ...]


class VoiceAffectTable(BaseModel):
    """Which direction of which measure of the voice was found with which emotion."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    sources: Mapping[str, str]
    cues: tuple[CueRow, ...]

    def row(self, measure: str, direction: Direction) -> CueRow | None:
        """Find the row of a measure in one direction."""
        wanted = (measure, direction)
        return next((row for row in self.cues if (row.measure, row.direction) == wanted), None)


@cache
def voice_affect() -> VoiceAffectTable:
    """Read the packaged table."""
    text = files("emotion_llama.merr").joinpath("tables/voice_affect.yaml").read_text("utf-8")
    return VoiceAffectTable.model_validate(yaml.safe_load(text))


def weigh(clues: Sequence[Clue], label: str, table: RuleTable) -> tuple[WeighedClue, ...]:
    """Ask every clue what it says to a label.

    Args:
        clues: of one clip
        label: a label or one of its other forms; one that no table knows leaves all clues silent
        table: the emotion rules that action units are held against

    Returns:
        one entry a clue, in order
    """
    name = ALIASES.get(label.lower(), label.lower())
    weighed = []
    for clue in clues:
        if clue.kind == "facial":
            stance, why = weigh_facial(clue, name, table)
        elif clue.kind == "voice":
            stance, why = weigh_voice(clue, name)
        elif clue.kind == "words":
            stance, why = weigh_words(clue, name)
        else:
            stance, why = "silent", "the scene says nothing about how a person feels"
        weighed.append(WeighedClue(clue, stance, why))
    return tuple(weighed)


def balance(weighed: Sequence[WeighedClue]) -> Mapping[ClueKind, float]:
    """Sum up what the clues of each kind say: above 0 for the label, below 0 against it.

    Each clue counts by its strength; kinds without a clue are not there.
    """
    sums: dict[ClueKind, float] = {}
    for one in weighed:
        sums[one.clue.kind] = sums.get(one.clue.kind, 0.0) + SIGNS[one.stance] * one.strength
    return sums


def unit_owners(unit: str, table: RuleTable) -> Mapping[str, float]:
    """Give the labels in whose rule a unit is, with the share of the rule that it fills.

    That share is 1 of a rule that needs one hit and 1/4 of one that needs four; half of it for an
    optional unit. Rules that are never decided are left out.
    """
    owners: dict[str, float] = {}
    for rule in table.rules:
        for variant in () if rule.needs else rule.variants:
            share = 1 / variant.min_hits
            if unit not in variant.units:
                share *= OPTIONAL_WEIGHT if unit in variant.optional else 0.0
            if share > owners.get(rule.label, 0.0):
                owners[rule.label] = share
    return owners


def voice_direction(clue: Clue) -> Direction | None:
    """Tell whether a measure of the voice lies above or below the norm, by its reading."""
    word = clue.reading.split()[-1]
    return DIRECTIONS.get(word)


def contradiction(weighed: Sequence[WeighedClue]) -> float | None:
    """Give the share of what clues say of a label, by strength, that speaks against it.

    Returns:
        0 to 1; ``None`` where no clue speaks for or against it
    """
    against = sum(one.strength for one in weighed if one.stance == "contradicts")
    said = against + sum(one.strength for one in weighed if one.stance == "supports")
    return against / said if said else None


def strength(clue: Clue) -> float:
    """Tell how much a clue counts, by the grade in the reading of a face or a voice."""
    if clue.kind not in ("facial", "voice"):
        return 1.0
    return next((STRENGTH[word] for word in clue.reading.split() if word in STRENGTH), 1.0)


def weigh_facial(clue: Clue, label: str, table: RuleTable) -> tuple[Stance, str]:
    """Hold an action unit, or a still face, against the rules.

    A unit of the label's own rule supports it. Else, if all the rules that the unit fills most are
    of emotions of the opposite sign (`emotion_llama.labels.VALENCE`), it contradicts it: a unit
    that makes one rule fire alone says more of that one than of a rule that needs four. Any other
    unit is silent.
    """
    where = f"rule table {table.name}"
    if clue.feature == FACE:
        return _weigh_still_face(label)
    owners = unit_owners(clue.feature, table)
    if label == NEUTRAL:
        return _weigh_against_neutral(clue, tuple(owners), where)
    if label in owners:
        return "supports", f"{clue.feature} is in the rule of {label} ({where})"
    most = max(owners.values(), default=0.0)
    chief = tuple(owner for owner, share in owners.items() if share == most)
    if chief and all(_are_opposite(label, owner) for owner in chief):
        return (
            "contradicts",
            f"{clue.feature} is in the rule of {', '.join(chief)}, of the opposite sign ({where})",
        )
    return "silent", f"{clue.feature} is in no rule that decides about {label} ({where})"


def weigh_voice(clue: Clue, label: str) -> tuple[Stance, str]:
    """Look a measure of the voice and its direction up in the table of voice and affect."""
    table = voice_affect()
    where = f"voice_affect {table.version}"
    if clue.feature == VOICE:
        if label == NEUTRAL:
            return "supports", "a voice as usual goes with neutral"
        return "silent", f"a voice as usual leaves {label} open"
    if label == NEUTRAL:
        if strength(clue) >= FAR_OUT:
            return "contradicts", f"{clue.feature} is far from usual"
        return "silent", f"{clue.feature} is not far from usual"
    direction = voice_direction(clue)
    row = table.row(clue.feature, direction) if direction else None
    said = f"{direction} {clue.feature}"
    if row and label in row.fits:
        return "supports", f"{said} was found with {label} ({where}: {', '.join(row.sources)})"
    if row and label in row.against:
        return "contradicts", f"{said} speaks against {label} ({where}: {', '.join(row.sources)})"
    return "silent", f"{said} leaves {label} open ({where})"


def weigh_words(clue: Clue, label: str) -> tuple[Stance, str]:
    """Ask what a word speaks for, and hold its sign against the sign of the label."""
    said = f"{clue.feature} {clue.reading!r}"
    weight = affect_groups([clue]).get(label, 0.0)
    if weight:
        return ("supports" if weight > 0 else "contradicts"), f"{said}, by its group of words"
    sign = WORD_SIGNS.get(clue.feature)
    expected = VALENCE.get(label)
    if sign is None or not expected:
        return "silent", f"{clue.feature} leaves {label} open"
    if sign == expected:
        return "supports", f"{said} has the sign of {label}"
    return "contradicts", f"{said} has the sign opposite to {label}"


def _weigh_still_face(label: str) -> tuple[Stance, str]:
    if label == NEUTRAL:
        return "supports", "a still face goes with neutral"
    if label in EXPRESSIVE:
        return "contradicts", f"{label} is expected to move the face, which is still"
    return "silent", f"a still face leaves {label} open"


def _weigh_against_neutral(clue: Clue, owners: Sequence[str], where: str) -> tuple[Stance, str]:
    if owners and strength(clue) >= NOTICEABLE:
        return (
            "contradicts",
            f"{clue.feature} moves noticeably and is in the rule of {', '.join(owners)} ({where})",
        )
    return "silent", f"{clue.feature} is slight or in no rule ({where})"


def _are_opposite(label: str, other: str) -> bool:
    return VALENCE.get(label, 0.0) * VALENCE.get(other, 0.0) < 0
