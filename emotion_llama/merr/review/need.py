"""Which records need a person's eye first, by a stated rule.

Knows: what of a record makes it doubtful. Does not know: reviews, pages.
"""

from dataclasses import dataclass

from emotion_llama.merr.records import MerrRecord

SMALL_MARGIN = 0.2
"""Distance of the first two shares of a rule table below which its first is a close call: with two
rules fired, .6 against .4."""
_NO_MARGIN = 1.0


@dataclass(frozen=True)
class Need:
    """Why a record should be looked at, and how early."""

    why: tuple[str, ...]
    order: tuple[float, ...]
    """smaller comes first"""


def need_of(record: MerrRecord) -> Need:
    """Say how much a record needs a review.

    The first of these that sets two records apart decides: (1) the rule table disagrees with the
    label, (2) the labels given to the clip differ, (3) the margin of the rule table is below
    `SMALL_MARGIN`, (4) gates whose measure is unknown, more of them first, (5) clues that speak
    against the label, more of them first, (6) the margin, smaller first.
    """
    verdict, fine = record.verdict, record.fine_caption
    disagrees = verdict is not None and verdict.agreement == "disagrees"
    given = tuple(dict.fromkeys(reading.label for reading in record.labels))
    margin = _NO_MARGIN if verdict is None or verdict.margin is None else verdict.margin
    unknown = tuple(gate.name for gate in record.gates if gate.outcome == "unknown")
    against = fine.contradicts if fine else ()
    why = []
    if disagrees:
        why.append("the rule table disagrees with the label")
    if len(given) > 1:
        why.append(f"the labels given differ: {', '.join(given)}")
    if margin < SMALL_MARGIN:
        why.append(f"small margin of the rule table: {margin:.2f}")
    if unknown:
        why.append(f"gates not measured: {', '.join(unknown)}")
    if against:
        why.append(f"clues against the label: {', '.join(against)}")
    order = (
        -float(disagrees),
        -float(len(given) > 1),
        -float(margin < SMALL_MARGIN),
        -float(len(unknown)),
        -float(len(against)),
        margin,
    )
    return Need(tuple(why), order)
