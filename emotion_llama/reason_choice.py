"""What of a written reason was measured, and which continuation keeps to it.

Knows: how statements are read back out of a text, what was measured of a clip. Does not know:
models, how texts are made. Nothing is written or mended here: a clause is taken as the model wrote
it, or not at all.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from emotion_llama.merr.facial import read_facial
from emotion_llama.merr.records import StatedClue
from emotion_llama.merr.voice_clues import read_voice
from emotion_llama.records import Evidence

_CLAUSE_END = re.compile(r"[.;]|,(?= (?:and|while)\b)| and(?= the\b| towards\b)")


@dataclass(frozen=True)
class Continuation:
    """What a model wrote behind a beginning."""

    text: str
    is_finished: bool
    """whether it ended there of itself"""


def ends_clause(text: str) -> bool:
    """Tell whether a clause is over and the next one has begun."""
    end = _CLAUSE_END.search(text)
    return end is not None and end.end() < len(text.rstrip())


def statements(reason: str) -> tuple[StatedClue, ...]:
    """Read what a reason states of face and voice."""
    return (*read_facial(reason), *read_voice(reason))


def not_measured(reason: str, evidence: Sequence[Evidence]) -> tuple[str, ...]:
    """Give the words of those statements that were not measured so, in the order of the text."""
    measured = {(one.feature, one.reading) for one in evidence}
    return tuple(s.words for s in statements(reason) if (s.feature, s.reading) not in measured)


def is_true(reason: str, evidence: Sequence[Evidence]) -> bool:
    """Tell whether a reason states only what was measured, something if anything was, and once."""
    says_enough = bool(statements(reason)) or not any(
        one.modality in ("local", "audio") for one in evidence
    )
    return says_enough and _keeps_to(reason, evidence)


def true_part(reason: str, evidence: Sequence[Evidence]) -> str:
    """Give the longest beginning, up to the end of a clause, that states only what was measured."""
    ends = [match.end() for match in _CLAUSE_END.finditer(reason)]
    good = [end for end in ends if _keeps_to(reason[:end], evidence)]
    first_bad = next((end for end in ends if end not in good), len(reason) + 1)
    kept = max((end for end in good if end < first_bad), default=0)
    return reason[:kept] if statements(reason[:kept]) else ""


def next_clause(
    text: str, options: Sequence[Continuation], evidence: Sequence[Evidence], label: str
) -> Continuation | None:
    """Choose how a reason goes on: by the clause that states most of what was measured.

    Args:
        text: the beginning
        options: what the model wrote behind it
        evidence: what was measured of the clip
        label: the decided label; without it a reason is not finished

    Returns:
        the beginning with one more clause, and whether the reason ends there; ``None`` where every
        option states something else, or says something again
    """
    good = []
    for option in options:
        end = _CLAUSE_END.search(option.text)
        is_last = option.is_finished and (end is None or end.end() == len(option.text.rstrip()))
        longer = text + (option.text if end is None or is_last else option.text[: end.end()])
        ends_well = not is_last or (longer.endswith(".") and label in longer)
        if (end or is_last) and ends_well and _keeps_to(longer, evidence):
            good.append(Continuation(longer, is_last))
    return max(good, key=lambda one: len(statements(one.text)), default=None)


def _keeps_to(text: str, evidence: Sequence[Evidence]) -> bool:
    clauses = [part.strip().lower() for part in _CLAUSE_END.split(text) if part.strip()]
    return len(clauses) == len(set(clauses)) and not not_measured(text, evidence)
