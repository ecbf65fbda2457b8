"""What a reason concludes from what it states -> whether the tables say so, and how surely.

Knows: how conclusions are worded, what clues speak for. Does not know: models, how texts are made.
Sources: the published rules of action units and the table of voice and affect
(`emotion_llama.merr.weigh`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from emotion_llama.merr.records import Clue, StatedClue
from emotion_llama.merr.rules import RuleTable, load_rules
from emotion_llama.merr.weigh import balance, weigh

Part = Literal["face", "voice", "words"]

PART_OF: Mapping[str, Part] = {"facial": "face", "voice": "voice", "words": "words"}
"""Kind of a clue -> what it is about, in the words of a reason."""
_SPEAKS = re.compile(
    r"\b((?:the (?:face|voice|words)(?:, | and )?)+) speaks? (for|against)\b", re.IGNORECASE
)
_OPEN = re.compile(r"\b(?:decides it|leaves much open)\b", re.IGNORECASE)
_HEDGE = re.compile(r"\b(?:may|might|seems?|probably|perhaps|uncertain)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Conclusion:
    """What the last sentence of a reason claims."""

    supports: frozenset[str]
    """parts that are said to speak for the label"""
    contradicts: frozenset[str]
    """parts that are said to speak against it"""
    is_hedged: bool
    """whether it says that this is no certainty"""


@lru_cache(maxsize=1024)
def conclusion_of(reason: str) -> Conclusion | None:
    """Read the conclusion of a reason; ``None``: it claims nothing that can be looked up."""
    last = re.split(r"(?<=\.) ", reason.strip())[-1]
    claims: dict[str, set[str]] = {"for": set(), "against": set()}
    for names, side in _SPEAKS.findall(last):
        claims[side.lower()] |= set(re.findall(r"face|voice|words", names.lower()))
    if not claims["for"] and not claims["against"] and not _OPEN.search(last):
        return None
    is_hedged = _HEDGE.search(last) is not None
    return Conclusion(frozenset(claims["for"]), frozenset(claims["against"]), is_hedged)


def follows(conclusion: Conclusion, stated: Sequence[StatedClue], label: str) -> bool:
    """Tell whether the tables say of what a reason states what it concludes.

    A part speaks for the label where what speaks for it outweighs what speaks against it.

    Args:
        conclusion: of the reason
        stated: what the reason states, with readings
        label: what it concludes
    """
    clues = [Clue(s.kind, s.feature, s.reading, s.words) for s in stated if s.reading is not None]
    sums = balance(weigh(clues, label, _rules())).items()
    supports = {PART_OF[kind] for kind, value in sums if value > 0}
    contradicts = {PART_OF[kind] for kind, value in sums if value < 0}
    return conclusion.supports == supports and conclusion.contradicts == contradicts


@cache
def _rules() -> RuleTable:
    return load_rules("merr")
