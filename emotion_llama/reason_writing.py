"""A reason that states what was not measured -> one that keeps to it, written on clause by clause.

Knows: when a reason is written on, from which views of a clip, and when to give up. Does not know:
how statements are read (`reason_choice`), how a model writes (`model.scoring`). Every word is the
model's own; what is chosen is which of its clauses stand.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from emotion_llama.model import EmotionLlama, EmotionLlamaProcessor
from emotion_llama.model.scoring import continue_answer
from emotion_llama.reason_choice import (
    Continuation,
    Ground,
    ends_clause,
    next_clause,
    statements,
    true_part,
)
from emotion_llama.records import Features, Sample

SEED = 0
"""Of the clauses that are drawn."""
MOST_CLAUSES, CLAUSE_TOKENS = 9, 24
"""Of a reason, and of one clause: what `mini` learned has at most seven clauses of 20 tokens."""

View = tuple[Sample, Features]
"""A question about a clip, with all that it has or with a part."""


def views_of(sample: Sample, features: Features) -> list[View]:
    """Give a clip whole and, where it has several parts, its face and its voice alone.

    A small model reads what was measured of one part more surely than of several together.
    """
    parts: list[Features] = []
    if features.local is not None:
        parts.append(replace(features, audio=None))
    if features.audio is not None:
        heard = replace(features, local=None, temporal=None, patches=None, class_token=None)
        parts.append(heard)
    has_one = len(parts) < 2 and not sample.transcript
    alone = replace(sample, transcript=None)
    return [(sample, features), *((alone, part) for part in parts if not has_one)]


def true_reason(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    views: Sequence[View],
    ground: Ground,
    label: str,
    reason: str,
    ruled_out: Sequence[str],
) -> str:
    """Go on from the true beginning of a reason with what was measured.

    Clauses are drawn with a fixed seed, so that a clip has the same reason every time.

    Args:
        model: in evaluation mode; its configuration says how many clauses are drawn
        processor: prompts and token layout
        views: of `views_of`, the whole clip first
        ground: what was measured of the clip, and what it does not have
        label: the decided label, which the reason ends with
        reason: as the model wrote it
        ruled_out: words that the reason may not hold

    Returns:
        the new reason; the old one where the model writes no clause that keeps to it
    """
    with torch.random.fork_rng():
        torch.manual_seed(SEED)
        text, is_closed = true_part(reason, ground), False
        for _ in range(MOST_CLAUSES):
            written = _written(model, processor, views, text, ruled_out)
            chosen = _chosen(text, written, ground, label, is_closed)
            if chosen is None and text.endswith(" and"):  # nothing more of the face or voice
                text, is_closed = text.removesuffix(" and"), True
            elif chosen is None and is_closed and text:  # nor of anything else: to the conclusion
                text, is_closed = f"{text.rstrip(',;')}.", False
            elif chosen is None:
                return reason
            elif chosen.is_finished:
                return chosen.text.strip()
            else:
                text, is_closed = chosen.text, False
    return reason


def _chosen(
    text: str,
    written: Iterator[list[Continuation]],
    ground: Ground,
    label: str,
    is_closed: bool,
) -> Continuation | None:
    """Take a clause about the whole clip, or of a part where the whole gives nothing measured."""
    best: Continuation | None = None
    for options in written:
        if is_closed:
            options = [one for one in options if not one.text.startswith(" and")]
        found = next_clause(text, options, ground, label)
        if found is not None and (statements(found.text) or not ground.evidence):
            return found
        best = best or found
    return best


def _written(
    model: EmotionLlama,
    processor: EmotionLlamaProcessor,
    views: Sequence[View],
    text: str,
    ruled_out: Sequence[str],
) -> Iterator[list[Continuation]]:
    """Draw clauses behind a beginning from one view after the other, as they are asked for."""
    for sample, features in views:
        found = continue_answer(
            model,
            processor,
            sample,
            features,
            text,
            is_over=ends_clause,
            ruled_out=ruled_out,
            count=model.config.reason_candidates,
            max_new_tokens=CLAUSE_TOKENS,
        )
        yield [Continuation(*one) for one in found]
