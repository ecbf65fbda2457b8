"""Clues and a label -> the fine caption without a language model: evidence, then what it is worth.

Knows: which clues are told, how sentences are built, grades of certainty. Does not know: how clues
or labels came about. The evidence is made before the label is looked at.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Literal

from emotion_llama.face.unit_names import UNIT_NAMES
from emotion_llama.merr.coarse import joined, of_kind
from emotion_llama.merr.draw import choose
from emotion_llama.merr.facial import read_facial
from emotion_llama.merr.records import CLUE_KINDS, Clue, ClueKind, FineCaption
from emotion_llama.merr.rules import RuleTable
from emotion_llama.merr.weigh import Stance, WeighedClue, weigh
from emotion_llama.merr.words import hide_quotes
from emotion_llama.voice.measures import MEASURES

EVIDENCE_WORDS = 40
"""Words of the evidence up to which further clues are told. The first of each kind is told in any
case; a quote does not count. With four kinds of clues a caption has some 70 words, more than the
published ones (median 44), since it tells what was measured of every modality."""
QUOTE_WORDS = 30
"""A longer transcript is not quoted where another clue of the words can be told."""

MOST: Mapping[ClueKind, int] = {"facial": 3, "voice": 3, "words": 2, "scene": 2}
"""Most clues that are told of each kind, in the order in which further ones are taken; beside a
quote only a word with a sign is told."""

SCENE_ORDER = ("face_size", "motion", "brightness", "cuts", "people")
"""Facts of the scene by how much they differ between clips. Most clips show one person; any other
number, none as well, is told first."""

AFFECT_WORDS = ("positive word", "negative word")
"""Clues of the words that are told after the quote; the others follow."""

Certainty = Literal["borne out", "likely", "open", "not borne out", "no clue"]

KIND_ORDERS: tuple[tuple[ClueKind, ...], ...] = (
    ("scene", "facial", "voice", "words"),
    ("facial", "voice", "words", "scene"),
    ("facial", "scene", "voice", "words"),
    ("scene", "words", "voice", "facial"),
)
"""Orders in which the kinds are told."""

OPENERS = ("In the video, ", "In this clip, ", "In the video clip, ")
JOINERS = ("; ", ", and ", ", while ")

ANNOUNCEMENTS = (
    "The given label, {label}, is {claims}. {verdict}",
    "The given label is {label}: {claims}. {verdict}",
    "Given label: {label}, {claims}. {verdict}",
)
SUPPORT = ("supported by {}", "backed by {}")
CONTRADICTION = ("contradicted by {}", "opposed by {}")
SILENCE = ("left open by {}", "untouched by {}")
VERDICTS: Mapping[Certainty, tuple[str, ...]] = {
    "borne out": ("It is very likely.", "Together, this bears it out."),
    "likely": ("It is likely, though not certain.", "It is probable but not certain."),
    "open": ("It remains uncertain.", "It may or may not be so."),
    "not borne out": (
        "It is not borne out by what was measured.",
        "What was measured does not bear it out.",
    ),
    "no clue": ("Nothing that was measured bears on it.", "It rests on its source alone."),
}
"""Several phrasings for each grade of certainty."""

KIND_NAMES: Mapping[ClueKind, str] = {
    "facial": "the face",
    "scene": "the scene",
    "voice": "the voice",
    "words": "the words",
}

FIRM = 2.0
"""Strength of support from which a label without contradiction is called borne out: that of two
clear clues. A convention of this package."""
FAVOURED = 2.0
"""Support must be this many times the contradiction for a label to be called likely. A convention
of this package."""


def compose(
    clues: Sequence[Clue], label: str, table: RuleTable, clip_id: str, seed: int = 0
) -> FineCaption:
    """Write the fine caption of a clip.

    1. Choose the clues that are told and write the evidence; the label plays no part in it.
    2. Weigh these clues against the label. 3. Write the conclusion, with what speaks for and
    against the label, and how sure that leaves it.

    Args:
        clues: of one clip, at least one
        label: the given label
        table: the emotion rules that action units are held against
        clip_id: draws the phrasings, together with ``seed``
        seed: of the data set

    Raises:
        ValueError: there is no clue
    """
    if not clues:
        msg = f"{clip_id}: found no clue, expected at least one; such a clip gets no fine caption"
        raise ValueError(msg)
    told = told_clues(clues)
    weighed = weigh(shown_clues(told, clues), label, table)
    return FineCaption(
        evidence=write_evidence(told, clip_id, seed),
        conclusion=write_conclusion(weighed, label, clip_id, seed),
        label_conditioned=False,
        supports=features_that("supports", weighed),
        contradicts=features_that("contradicts", weighed),
    )


def told_clues(clues: Sequence[Clue]) -> tuple[Clue, ...]:
    """Choose the clues that are told: the first of each kind, then more while there is room.

    Only what is told is weighed later, so that a reader has all that a conclusion rests on.

    Returns:
        the chosen clues by kind, of each the most telling first
    """
    ranked = {kind: _ranked(of_kind(clues, kind)) for kind in MOST}
    told = [of_one[0] for of_one in ranked.values() if of_one]
    num_words = sum(_num_words(clue) for clue in told if clue.feature != "quote")
    ranked["words"] = [
        clue for clue in ranked["words"] if clue.feature in AFFECT_WORDS or clue in told
    ]
    further = zip_longest(*(of_one[1 : MOST[kind]] for kind, of_one in ranked.items()))
    for clue in (clue for turn in further for clue in turn if clue is not None):
        if num_words + _num_words(clue) <= EVIDENCE_WORDS:
            num_words += _num_words(clue)
            told.append(clue)
    return _in_order(told)


def shown_clues(told: Sequence[Clue], clues: Sequence[Clue]) -> tuple[Clue, ...]:
    """Give what a reader has before the eyes: the told clues, and the words of a told quote."""
    if not any(clue.feature == "quote" for clue in told):
        return tuple(told)
    in_quote = [c for c in clues if c.feature in AFFECT_WORDS and c not in told]
    return (*told, *in_quote)


def write_evidence(told: Sequence[Clue], clip_id: str, seed: int = 0) -> str:
    """Write what was observed: every statement word for word, in two to four sentences."""
    order: tuple[ClueKind, ...] = choose(KIND_ORDERS, clip_id, seed, "order")
    groups = [joined(of_kind(told, kind)) for kind in order if of_kind(told, kind)]
    if len(groups) == 1:
        groups = [clue.statement for clue in told]
    elif len(groups) > 2:
        # the first or the last two kinds share a sentence
        joiner: str = choose(JOINERS, clip_id, seed, "joiner")
        at = choose((0, len(groups) - 2), clip_id, seed, "joined")
        groups[at : at + 2] = [f"{groups[at]}{joiner}{groups[at + 1]}"]
    opener: str = choose(OPENERS, clip_id, seed, "opener")
    first, *rest = groups
    return " ".join([_sentence(f"{opener}{first}"), *(_sentence(one) for one in rest)])


def write_conclusion(
    weighed: Sequence[WeighedClue], label: str, clip_id: str, seed: int = 0
) -> str:
    """Write what the told clues say to the label, and how sure that leaves it."""
    certainty = certainty_of(weighed)
    named = {stance: _names(weighed, stance) for stance in ("supports", "contradicts", "silent")}
    claims = [
        choose(options, clip_id, seed, stance).format(named[stance])
        for options, stance in (
            (SUPPORT, "supports"),
            (CONTRADICTION, "contradicts"),
            (SILENCE, "silent"),
        )
        if named[stance]
    ]
    *first, last = claims
    template: str = choose(ANNOUNCEMENTS, clip_id, seed, "announcement")
    return template.format(
        label=label,
        claims=f"{', '.join(first)} and {last}" if first else last,
        verdict=choose(VERDICTS[certainty], clip_id, seed, "verdict"),
    )


def certainty_of(weighed: Sequence[WeighedClue]) -> Certainty:
    """Grade how sure the clues leave a label, by the strengths for and against it."""
    support = sum(one.strength for one in weighed if one.stance == "supports")
    contradiction = sum(one.strength for one in weighed if one.stance == "contradicts")
    if not support and not contradiction:
        return "no clue"
    if contradiction > support:
        return "not borne out"
    if contradiction == 0:
        return "borne out" if support >= FIRM else "likely"
    return "likely" if support >= FAVOURED * contradiction else "open"


def features_that(stance: Stance, weighed: Sequence[WeighedClue]) -> tuple[str, ...]:
    """Name the features whose clues take a stance."""
    taking = (one.clue.feature for one in weighed if one.stance == stance)
    return tuple(dict.fromkeys(taking))


def _ranked(clues: Sequence[Clue]) -> list[Clue]:
    """Sort the clues of one kind, the most telling first; equals keep their order."""
    return sorted(clues, key=_rank)


def _rank(clue: Clue) -> tuple[float, ...]:
    if clue.kind == "scene":
        if clue.feature == "people" and clue.value != 1:
            return (-1.0,)
        order = SCENE_ORDER.index(clue.feature) if clue.feature in SCENE_ORDER else len(SCENE_ORDER)
        return (float(order),)
    if clue.kind == "words":
        if clue.feature == "quote":
            return (0.0 if _num_words(clue) <= QUOTE_WORDS else 3.0,)
        return (1.0 if clue.feature in AFFECT_WORDS else 2.0,)
    return (0.0,)  # clues of a face and of a voice come with the most telling first


def _in_order(told: Sequence[Clue]) -> tuple[Clue, ...]:
    return tuple(clue for kind in CLUE_KINDS for clue in _ranked(of_kind(told, kind)))


def _num_words(clue: Clue) -> int:
    return len(clue.statement.split())


def _sentence(text: str) -> str:
    """Begin with a capital and end with one full stop, also after a quote that has its own."""
    stop = "" if text.endswith(('."', '!"', '?"')) else "."
    return f"{text[:1].upper()}{text[1:]}{stop}"


def _names(weighed: Sequence[WeighedClue], stance: Stance) -> str:
    """Name the clues of one stance: a whole kind where all of it takes the stance, else each.

    That the scene is silent goes without saying, unless there is nothing else.
    """
    names: list[str] = []
    for kind in CLUE_KINDS:
        of_one = _spoken_for([one for one in weighed if one.clue.kind == kind])
        taking = [one.clue for one in of_one if one.stance == stance]
        if kind == "scene" and len(of_one) < len(weighed):
            continue
        if taking and len(taking) == len(of_one):
            names.append(KIND_NAMES[kind])
        elif taking:
            names += [_name(clue, [one.clue for one in of_one]) for clue in taking]
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _spoken_for(weighed: Sequence[WeighedClue]) -> list[WeighedClue]:
    """Leave out the quote, which is always silent, where another clue of the words was weighed."""
    cues = [one for one in weighed if one.clue.feature != "quote"]
    return cues or list(weighed)


def _name(clue: Clue, neighbours: Sequence[Clue]) -> str:
    """Name one clue: the measure of a voice, else what its statement is about.

    Where two statements are about the same, what they say follows in brackets. A part of the face
    that would be read as another movement ("the opening of the mouth") gives way to the unit.
    """
    if clue.feature in MEASURES:
        return f"the {MEASURES[clue.feature].noun}"
    subject, said = _parts(clue)
    if clue.kind == "facial" and read_facial(subject):
        name = UNIT_NAMES.get(clue.feature)
        return f"the {name}" if name else clue.feature
    is_shared = sum(_parts(other)[0] == subject for other in neighbours) > 1
    return f"{subject} ({said})" if is_shared else subject


def _parts(clue: Clue) -> tuple[str, str]:
    """Take a statement apart at its verb; a verb inside a quote is none."""
    verb = re.search(r" (?:is|are) ", hide_quotes(clue.statement))
    if verb is None:
        return clue.statement, clue.reading
    return clue.statement[: verb.start()], clue.statement[verb.end() :]
