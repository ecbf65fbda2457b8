"""What of a written reason was measured, and which continuation keeps to it.

Knows: how statements are read back out of a text, what was measured of a clip. Does not know:
models, how texts are made. Nothing is written or mended here: a clause is taken as the model wrote
it, or not at all.
"""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from emotion_llama.merr.facial import read_facial
from emotion_llama.merr.records import StatedClue
from emotion_llama.merr.voice_clues import read_voice
from emotion_llama.reason_conclusion import PART_OF, Part, conclusion_of, follows
from emotion_llama.records import Evidence, Modality

_CLAUSE_END = re.compile(r"[.;]|,(?= (?:and|while)\b)| and(?= the\b| towards\b)")
_SENTENCE_END = re.compile(r"\.")
_JOINS = re.compile(r"^(?:and|while) ")
"""What a clause may begin with besides what it says."""
_CONCLUDES = re.compile(r"\bthe person\b|\ba person\b", re.IGNORECASE)
"""How a conclusion begins: it is one clause, for its end decides whether its beginning is true."""

_REPEATED = re.compile(r"\b(\w+(?:\W+\w+){0,4}?)(?:[\s,;]+\1\b){1,}", re.IGNORECASE)
"""One to five words, and the same again."""

SPEAKS_OF: Mapping[Part, re.Pattern[str]] = {
    "face": re.compile(
        r"\b(?:faces?|facial|expressions?|smil\w*|grin\w*|frown\w*|(?:eye)?brows?|eyes?|gaze|mouth|"
        r"lips?)\b",
        re.IGNORECASE,
    ),
    "voice": re.compile(
        r"\b(?:voices?|vocal\w*|tones?|intonation|pitch\w*|loud\w*|spoke|shout\w*|whisper\w*|"
        r"speak\w*\b(?! (?:for|against)\b))\b",
        re.IGNORECASE,
    ),
    "words": re.compile(r"\b(?:words?|wording|transcript|utterance)\b", re.IGNORECASE),
}
"""How a reason speaks of each. ``sounds`` is none: words sound happy too; nor is what speaks for or
against a label."""

_DENIES: Mapping[Modality, re.Pattern[str]] = {
    "local": re.compile(r"\bnothing\b[^.,;]*\bface\b", re.IGNORECASE),
    "audio": re.compile(r"\bnothing\b[^.,;]*\bvoice\b", re.IGNORECASE),
}
"""How a reason says that something is not remarkable, by where the evidence would be."""


@dataclass(frozen=True)
class Ground:
    """What a reason may rest on."""

    evidence: Sequence[Evidence]
    """what was measured"""
    absent: Collection[Part] = ()
    """what the clip does not have, so that nothing can be said of it"""
    label: str = ""
    """what is concluded; a reason ends with it"""
    is_unsure: bool = False
    """whether the label is no certainty"""


@dataclass(frozen=True)
class Continuation:
    """What a model wrote behind a beginning."""

    text: str
    is_finished: bool
    """whether it ended there of itself"""


def ends_clause(text: str) -> bool:
    """Tell whether a clause is over and the next one has begun."""
    end = _clause_end(text)
    return end is not None and end < len(text.rstrip())


def _clause_end(text: str) -> int | None:
    """Give where the first clause of a text is over; ``None``: it goes on."""
    end = _CLAUSE_END.search(text)
    if _CONCLUDES.search(text[: end.end()] if end else text):
        end = _SENTENCE_END.search(text)
    return end.end() if end else None


@lru_cache(maxsize=1024)
def statements(reason: str) -> tuple[StatedClue, ...]:
    """Read what a reason states of face and voice."""
    return (*read_facial(reason), *read_voice(reason))


def not_measured(reason: str, evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """Give the words of those statements that were not measured so, in the order of the text."""
    measured = {(one.feature, one.reading) for one in evidence}
    return tuple(s.words for s in statements(reason) if (s.feature, s.reading) not in measured)


def is_true(reason: str, ground: Ground) -> bool:
    """Tell whether a reason states only what was measured, something of each part, and once."""
    says_enough = parts_measured(ground) <= parts_stated(reason)
    return says_enough and _keeps_to(reason, ground) and concludes_truly(reason, ground)


def concludes_truly(reason: str, ground: Ground) -> bool:
    """Tell whether what a reason states speaks for and against its label as it says."""
    conclusion = conclusion_of(reason)
    return conclusion is not None and follows(conclusion, statements(reason), ground.label)


def true_part(reason: str, ground: Ground) -> str:
    """Give the longest beginning, up to the end of a clause, that states only what was measured.

    A conclusion does not belong to it: it is drawn once all is said.
    """
    kept = 0
    for match in _CLAUSE_END.finditer(reason):
        beginning = reason[: match.end()]
        if _CONCLUDES.search(beginning) or not _keeps_to(beginning, ground):
            break
        kept = match.end()
    return reason[:kept] if statements(reason[:kept]) else ""


def parts_spoken_of(reason: str) -> set[Part]:
    """Name the parts of which a reason speaks, whatever it says."""
    return {part for part, speaks in SPEAKS_OF.items() if speaks.search(reason)}


def parts_stated(reason: str) -> set[Part]:
    """Name the parts of which a reason states something that can be held against measures."""
    return {PART_OF[clue.kind] for clue in statements(reason)}


def parts_measured(ground: Ground) -> set[Part]:
    """Name the parts of which something was measured that a reason can state."""
    return set(surest_of_parts(ground))


def surest_of_parts(ground: Ground) -> dict[Part, str]:
    """Name what was measured most surely of each part that a reason can state; it comes first."""
    of_modality: Mapping[Modality, Part] = {"local": "face", "audio": "voice"}
    surest: dict[Part, str] = {}
    for one in ground.evidence:
        part = of_modality.get(one.modality)
        if part is not None and part not in ground.absent:
            surest.setdefault(part, one.feature)
    return surest


def next_clause(text: str, options: Sequence[Continuation], ground: Ground) -> Continuation | None:
    """Choose how a reason goes on: by the clause that states most of what was measured.

    Of those that state as much, what was measured most surely of a face and a voice comes first.
    Conclusions that follow from what is stated come before others, and of these, where the label is
    no certainty, those that say so. Of several alike, the one that was written most often is the
    most fluent.

    Args:
        text: the beginning
        options: what the model wrote behind it
        ground: what was measured of the clip, what it does not have, what is concluded

    Returns:
        the beginning with one more clause, and whether the reason ends there; ``None`` where every
        option states something else, or says something again
    """
    good = []
    for option in options:
        end = _clause_end(option.text)
        is_last = option.is_finished and (end is None or end == len(option.text.rstrip()))
        longer = text + (option.text if end is None or is_last else option.text[:end])
        ends_well = not is_last or _ends_well(longer, option.text, ground.label)
        says = is_last or _says_something(text, longer[len(text) :], ground)
        if (end or is_last) and ends_well and says and _keeps_to(longer, ground):
            good.append(Continuation(longer, is_last))
    often = Counter(good)
    return max(often, key=lambda one: (*_merit(one, ground), often[one]), default=None)


def _ends_well(reason: str, last: str, label: str) -> bool:
    """Tell whether a reason ends in a sentence about the person that names the label."""
    return reason.endswith(".") and label in last and _CONCLUDES.search(last) is not None


def _merit(one: Continuation, ground: Ground) -> tuple[int, int, bool, bool]:
    """How good a continuation is: what it states; whether it concludes truly, and as surely."""
    stated = {clue.feature for clue in statements(one.text)}
    surest = set(surest_of_parts(ground).values())
    is_true = one.is_finished and concludes_truly(one.text, ground)
    conclusion = conclusion_of(one.text) if one.is_finished else None
    is_fit = conclusion is not None and conclusion.is_hedged == ground.is_unsure
    return len(stated), len(stated & surest), is_true, is_fit


def _says_something(text: str, clause: str, ground: Ground) -> bool:
    """Tell whether a clause states something new, or speaks of what nothing was measured of.

    What follows "and" is another statement of the same part; anything else there is a slip.
    """
    if len(statements(text + clause)) > len(statements(text)):
        return True
    spoken_of = parts_spoken_of(clause)
    return not text.endswith(" and") and bool(spoken_of) and not spoken_of & parts_measured(ground)


def _keeps_to(text: str, ground: Ground) -> bool:
    parts = [_JOINS.sub("", part.strip().lower()) for part in _CLAUSE_END.split(text)]
    clauses = [part for part in parts if part]
    features = [one.feature for one in statements(text)]
    return (
        not repeats_itself(text)
        and len(clauses) == len(set(clauses))
        and len(features) == len(set(features))
        and not not_measured(text, ground.evidence)
        and not any(SPEAKS_OF[part].search(text) for part in ground.absent)
        and not _denies(text, ground.evidence)
    )


def repeats_itself(text: str) -> bool:
    """Tell whether one to five words stand twice in a row, as in a text that got stuck."""
    return _REPEATED.search(text) is not None


def _denies(text: str, evidence: Sequence[Evidence]) -> bool:
    """Tell whether a text says that nothing stands out where something was measured."""
    return any(
        said.search(text) and any(one.modality == where for one in evidence)
        for where, said in _DENIES.items()
    )
