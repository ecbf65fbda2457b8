"""Whether what the reasons of a preset state is what was measured of the same clips.

Knows: which clip is held against which. Does not know: models, how clips are measured
(`emotion_llama.evaluation.measured`), how statements are read and compared
(`emotion_llama.merr.faithfulness`).
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from emotion_llama.clip_reader import ClipReader
from emotion_llama.evaluation.measured import reason_record
from emotion_llama.merr.faithfulness import Share, corpus_faithfulness, measured, read_clues
from emotion_llama.merr.records import MerrRecord
from emotion_llama.records import Clip

from .rows import Row, mean_row, rounded

NUM_EXAMPLES = 5


@dataclass(frozen=True)
class Told:
    """A reason beside the clip that it is about."""

    clip: Clip
    reason: str
    person: str | None


def record_of(number: int, told: Told, reader: ClipReader) -> MerrRecord:
    """Put a reason and the measures of its clip into a record, in which they can be compared.

    Args:
        number: place of the clip; the next one is the other clip that the reason is held against
        told: the reason and the clip
        reader: as in `emotion_llama.evaluation.measured.face_of`
    """
    return reason_record(f"{number:06d}", told.clip, told.reason, told.person, reader)


def shuffled(told: Sequence[Told]) -> list[Told]:
    """Mix clips with a fixed seed: the next clip must not be of the same person or label."""
    mixed = list(told)
    random.Random(0).shuffle(mixed)
    return mixed


def score(records: Sequence[MerrRecord]) -> Row:
    """Score the reasons of one set.

    Returns:
        share of the stated clues that is true; the same against the next clip, of what can be told
        there; points lost; share of answers with a telling clue of each kind that was measured
    """
    report = corpus_faithfulness(records)
    with_clues = [one for one in records if measured(one).kinds]
    people = [one.source.speaker for one in with_clues]
    told = [one.clip_id not in report.not_telling for one in with_clues]
    states = [bool(read_clues(one.fine_caption.text)) for one in records if one.fine_caption]
    return {
        "n": len(records),
        "stated": report.num_stated,
        "states_any": mean_row(states, [one.source.speaker for one in records]),
        "own": _share(report.own),
        "other": _share(report.other),
        "drop_points": _share(report.drop_points),
        "telling": mean_row(told, people),
        "kinds": {kind: vars(count) for kind, count in report.kinds.items() if count.stated},
        "untrue": _examples(report.untrue),
    }


def _share(share: Share | None) -> Mapping[str, Any] | None:
    if share is None:
        return None
    interval = [rounded(share.low), rounded(share.high)]
    return {"value": rounded(share.value), "interval_95": interval, "over": "items"}


def _examples(untrue: Sequence[tuple[str, Any, str]]) -> list[str]:
    return [f"{clue.words} ({answer})" for _, clue, answer in untrue[:NUM_EXAMPLES]]
