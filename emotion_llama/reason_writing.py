"""Reasons that state what was not measured -> such as keep to it, written on clause by clause.

Knows: when a reason is written on, from which views of a clip, and when to give up. Does not know:
how statements are read (`reason_choice`), how a model writes (`model.scoring`). Every word is the
model's own; what is chosen is which of its clauses stand.
"""

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.scoring import Begun, Watch, continue_answers
from emotion_llama.reason_choice import (
    Continuation,
    Ground,
    concludes_truly,
    ends_clause,
    next_clause,
    parts_measured,
    parts_spoken_of,
    parts_stated,
    statements,
    surest_of_parts,
    true_part,
)
from emotion_llama.reason_conclusion import Part
from emotion_llama.records import Features, Sample

MOST_CLAUSES, CLAUSE_TOKENS = 12, 40
"""Of a reason, closed sentences counted, and of one clause: what `mini` learned has at most seven
clauses of 20 tokens, and a conclusion of 40."""

MORE_DRAWS = 5
"""Times that a first clause is asked for again where none was measured, and a conclusion where none
is borne out by what is stated."""

_STANDS = 1
"""Rank of a clause that states what was measured."""

_LOOSE_END = re.compile(r"(?: and|[,;])*$")
"""What may be taken back when a clause is closed."""


@dataclass(frozen=True)
class ClipView:
    """A question about a clip, with all that it has or with a part."""

    sample: Sample
    features: Features
    part: Part | None = None
    """what alone is shown; ``None``: everything"""
    bare: Features | None = None
    """the same without what was measured, from which clauses lean away; ``None``: they do not"""

    @property
    def upright(self) -> "ClipView":
        """The same view, leaning away from nothing."""
        return replace(self, bare=None)


@dataclass(frozen=True)
class Views:
    """What is shown of a clip while a reason is written on."""

    whole: ClipView
    parts: Sequence[ClipView] = ()
    """its face and its voice alone, where there is something else"""
    measures: Sequence[ClipView] = ()
    """what was measured of its face and of its voice alone, of an average person"""


def views_of(sample: Sample, features: Features, learned: Features, measured: Features) -> Views:
    """Show a clip whole, in parts, and as what was measured of them.

    A small model reads what was measured of one part more surely than of several together, and what
    seldom goes with an emotion more surely where nothing else speaks of one.

    Args:
        sample: the question
        features: of the clip
        learned: the same without what was measured
        measured: what was measured alone
    """
    alone = replace(sample, transcript=None)
    parts: list[ClipView] = []
    measures: list[ClipView] = []
    if features.has_face:
        parts.append(ClipView(alone, features.seen, "face", learned.seen))
    if features.audio is not None:
        parts.append(ClipView(alone, features.heard, "voice", learned.heard))
    if measured.has_face:
        measures.append(ClipView(alone, measured.seen, "face", _blank(measured.seen)))
    if measured.audio is not None:
        measures.append(ClipView(alone, measured.heard, "voice", _blank(measured.heard)))
    has_one = len(parts) < 2 and not sample.transcript
    whole = ClipView(sample, features, bare=learned)
    return Views(whole, () if has_one else parts, measures)


def _blank(features: Features) -> Features:
    """Give an average clip of which nothing was measured."""
    roles = features.present
    blank: dict[str, Any] = {role: torch.zeros_like(getattr(features, role)) for role in roles}
    return replace(features, **blank)


def _nobody(_number: int, _text: str) -> bool:
    return True


@dataclass
class Draft:
    """A reason on its way."""

    views: Views
    """of `views_of`"""
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

    Clauses are drawn with a seed that each reason gives itself, so that a clip has the same reason
    every time, whatever it is written together with.

    Args:
        model: in evaluation mode; its configuration says how many clauses are drawn
        processor: prompts and token layout
        drafts: what is known of each clip
        watch: told a draft's number and its text when it has grown

    Returns:
        the new reasons; the old one where the model writes no clause that keeps to what was
        measured, and the text so far where nobody waits any more
    """
    writers = [_Writer(draft) for draft in drafts]
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
    was measured, or concludes before something is said of each part that was measured. A part alone
    knows nothing of the others: where they have been spoken of, it gives a sentence of its own.

    All of them lean to what was measured at first, and where that gives no word of what was
    measured most surely, the measures alone are asked; then the first clause that stands is taken.
    Where there is none, the same are asked upright. A conclusion is asked of them as they are.
    """

    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.text = true_part(draft.reason, draft.ground)
        self.result: str | None = None
        # of its own: with one seed for all, luck would be all clips' alike
        self._generator = torch.Generator().manual_seed(zlib.crc32(draft.reason.encode()))
        self._is_closed = False
        self._num_clauses = 0
        self._asked_alone: set[Part] = set()
        self._given_up: set[Part] = set()
        self._begin_clause()

    def _begin_clause(self) -> None:
        self._best: Continuation | None = None
        shown = self.draft.views
        ends = self.text.endswith(".")  # a conclusion is read off the text, whatever is shown
        views = [shown.whole, *(one for one in shown.parts if ends or self._knows_enough(one))]
        leaning: list[ClipView] = []
        if not ends:
            wanted = [one for one in shown.measures if self._knows_enough(one)]
            wanted = [one for one in wanted if one.part in self._without_surest(self.text)]
            leaning = [*views, *(way for one in wanted for way in (one.upright, one))]
        self._num_leaning = len(leaning)
        self._views = [*leaning, *(view.upright for view in views)]
        if ends or not self.text:
            self._views += [shown.whole.upright] * MORE_DRAWS

    def _knows_enough(self, view: ClipView) -> bool:
        return view.part in self._unsaid or parts_spoken_of(self.text) <= {view.part}

    def _without_surest(self, text: str) -> set[Part]:
        """Name the parts of which a text does not state what is surest, and still may."""
        stated = {clue.feature for clue in statements(text)}
        surest = surest_of_parts(self.draft.ground)
        return {part for part, one in surest.items() if one not in stated} - self._given_up

    def _awaited(self, text: str) -> set[Part]:
        """Name those of them of which it states something else."""
        return self._without_surest(text) & parts_stated(text)

    @property
    def _unsaid(self) -> set[Part]:
        """What was measured, is not stated yet, and may still be."""
        ground = self.draft.ground
        return parts_measured(ground) - parts_stated(self.text) - self._asked_alone

    def _needs_sentence(self, view: ClipView) -> bool:
        return view.part in self._unsaid and not parts_spoken_of(self.text) <= {view.part}

    @property
    def begun(self) -> Begun:
        """What is to be written on next."""
        view = self._views[0]
        return Begun(
            view.sample,
            view.features,
            "" if self._needs_sentence(view) else self.text,
            self.draft.ruled_out,
            self._generator,
            view.bare,
        )

    def take(self, options: Sequence[Continuation]) -> None:
        """Choose among clauses of the present view, or go on to the next view."""
        view, *self._views = self._views
        self._num_leaning -= 1
        text = self.text
        if view.part is not None and self._needs_sentence(view):
            text = f"{_closed(text)} "
            options = [replace(one, text=one.text.lstrip()) for one in options]
            if self._num_leaning < 0:
                self._asked_alone.add(view.part)
        elif self._is_closed:
            options = [one for one in options if not one.text.startswith(" and")]
        found = next_clause(text, options, self.draft.ground)
        if found is not None and self._is_good(found):
            self._go_on(found)
            return
        if found is not None and (self._best is None or self._rank(found) > self._rank(self._best)):
            self._best = found
        stands = self._best is not None and self._rank(self._best) == _STANDS
        if not self._views or (self._num_leaning == 0 and stands):
            self._go_on(self._best)

    def _is_good(self, found: Continuation) -> bool:
        if found.is_finished:
            return self._is_true_end(found) and not self._unsaid
        if self._num_leaning > 0 and self._awaited(found.text):
            return False
        return bool(statements(found.text)) or not self.draft.ground.evidence

    def _rank(self, found: Continuation) -> int:
        """Say how good a continuation is that is not good enough to be taken at once."""
        if found.is_finished:
            return 2 if self._is_true_end(found) else 0
        return _STANDS if statements(found.text) else 0

    def _is_true_end(self, found: Continuation) -> bool:
        return found.is_finished and concludes_truly(found.text, self.draft.ground)

    def _go_on(self, chosen: Continuation | None) -> None:
        """Add a clause, close a part of which there is nothing more to say, or end."""
        self._num_clauses += 1
        if chosen is not None:
            self._given_up |= self._awaited(chosen.text)
            self.text, self._is_closed = chosen.text, False
            if chosen.is_finished:
                self.result = chosen.text.strip()
        elif self.text.endswith(" and"):  # nothing more of the face or voice
            self.text, self._is_closed = self.text.removesuffix(" and"), True
        elif self.text and not self.text.endswith("."):  # nor of anything else: to the conclusion
            self.text, self._is_closed = _closed(self.text), False
        else:
            self.result = self.draft.reason
        if self._num_clauses == MOST_CLAUSES and self.result is None:
            self.result = self.draft.reason
        self._begin_clause()


def _closed(text: str) -> str:
    """End a sentence where it may be over."""
    return f"{_LOOSE_END.sub('', text).removesuffix('.')}."
