"""Reasons that state what was not measured -> such as keep to it, written on clause by clause.

Knows: when a reason is written on, from which views of a clip, and when to give up. Does not know:
how statements are read (`reason_choice`), how a model writes (`model.scoring`). Every word is the
model's own; what is chosen is which of its clauses stand.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.scoring import Begun, Watch, continue_answers
from emotion_llama.reason_choice import (
    Continuation,
    Ground,
    concludes_truly,
    ends_clause,
    next_clause,
    statements,
    true_part,
)
from emotion_llama.records import Features, Sample

SEED = 0
"""Of the clauses that are drawn."""
MOST_CLAUSES, CLAUSE_TOKENS = 9, 40
"""Of a reason, and of one clause: what `mini` learned has at most seven clauses of 20 tokens, and a
conclusion of 40."""

_LOOSE_END = re.compile(r"(?: and|[,;])*$")
"""What may be taken back when a clause is closed."""

View = tuple[Sample, Features]
"""A question about a clip, with all that it has or with a part."""


def views_of(sample: Sample, features: Features) -> list[View]:
    """Give a clip whole and, where it has several parts, its face and its voice alone.

    A small model reads what was measured of one part more surely than of several together.
    """
    parts: list[Features] = []
    if features.has_face:
        parts.append(features.seen)
    if features.audio is not None:
        parts.append(features.heard)
    has_one = len(parts) < 2 and not sample.transcript
    alone = replace(sample, transcript=None)
    return [(sample, features), *((alone, part) for part in parts if not has_one)]


def _nobody(_number: int, _text: str) -> bool:
    return True


@dataclass
class Draft:
    """A reason on its way."""

    views: Sequence[View]
    """of `views_of`, the whole clip first"""
    ground: Ground
    """what was measured of the clip, what it does not have, what is concluded"""
    reason: str
    """as the model wrote it; in the end, as it is given"""
    ruled_out: Sequence[str]
    """words that the reason may not hold"""


def true_reasons(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    drafts: Sequence[Draft],
    watch: Watch = _nobody,
) -> list[str]:
    """Go on from the true beginnings of reasons with what was measured, all of them together.

    Clauses are drawn with a fixed seed of each reason, so that a clip has the same reason every
    time, whatever it is written together with.

    Args:
        model: in evaluation mode; its configuration says how many clauses are drawn
        processor: prompts and token layout
        drafts: what is known of each clip
        watch: told a draft's number and its text when it has grown

    Returns:
        the new reasons; the old one where the model writes no clause that keeps to what was
        measured, and the text so far where nobody waits any more
    """
    writers = [_Writer(draft, torch.Generator().manual_seed(SEED)) for draft in drafts]
    while waiting := [writer for writer in writers if writer.result is None]:
        options = continue_answers(
            model,
            processor,
            [writer.begun for writer in waiting],
            is_over=ends_clause,
            count=model.config.reason_candidates,
            max_new_tokens=CLAUSE_TOKENS,
        )
        for writer, found in zip(waiting, options, strict=True):
            writer.take([Continuation(*one) for one in found])
            shown = _LOOSE_END.sub("", writer.text)
            if not watch(writers.index(writer), shown) and writer.result is None:
                writer.result = shown
    return [str(writer.result) for writer in writers]


class _Writer:
    """Writes one draft on, a clause at a time.

    A clause is asked of the whole clip first, and of its parts where the whole gives nothing that
    was measured.
    """

    def __init__(self, draft: Draft, generator: torch.Generator) -> None:
        self.draft = draft
        self.text = true_part(draft.reason, draft.ground)
        self.result: str | None = None
        self._generator = generator
        self._view = 0
        self._best: Continuation | None = None
        self._is_closed = False
        self._num_clauses = 0

    @property
    def begun(self) -> Begun:
        """What is to be written on next."""
        sample, features = self.draft.views[self._view]
        return Begun(sample, features, self.text, self.draft.ruled_out, self._generator)

    def take(self, options: Sequence[Continuation]) -> None:
        """Choose among clauses of the present view, or go on to the next view."""
        if self._is_closed:
            options = [one for one in options if not one.text.startswith(" and")]
        ground = self.draft.ground
        found = next_clause(self.text, options, ground)
        is_good = found is not None and (
            concludes_truly(found.text, ground)
            if found.is_finished
            else bool(statements(found.text)) or not ground.evidence
        )
        if is_good:
            self._go_on(found)
            return
        self._best = self._best or found
        self._view += 1
        if self._view == len(self.draft.views):
            self._go_on(self._best)

    def _go_on(self, chosen: Continuation | None) -> None:
        """Add a clause, close a part of which there is nothing more to say, or end."""
        self._view, self._best = 0, None
        self._num_clauses += 1
        if chosen is not None:
            self.text, self._is_closed = chosen.text, False
            if chosen.is_finished:
                self.result = chosen.text.strip()
        elif self.text.endswith(" and"):  # nothing more of the face or voice
            self.text, self._is_closed = self.text.removesuffix(" and"), True
        elif self._is_closed and self.text:  # nor of anything else: to the conclusion
            self.text, self._is_closed = f"{self.text.rstrip(',;')}.", False
        else:
            self.result = self.draft.reason
        if self._num_clauses == MOST_CLAUSES and self.result is None:
            self.result = self.draft.reason
