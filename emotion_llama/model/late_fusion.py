"""One question about a clip -> what is seen and what is heard, asked apart; their answers -> one.

Knows: what is judged apart, the product rule. Does not know: prompts, labels, how a model scores.
Source: Kittler, Hatef, Duin & Matas 1998, "On combining classifiers", section 2.1: of views that
depend on each other through the class alone, and with equal priors, the probabilities multiply.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from transformers import LogitsProcessor

from emotion_llama.model.processor import Prompted
from emotion_llama.records import Features, Sample, View

T = TypeVar("T")


@dataclass(frozen=True)
class Apart:
    """Questions of which some are asked as two."""

    samples: Sequence[Prompted]
    """r of them"""
    features: Sequence[Features]
    """r of them"""
    question: Sequence[int]
    """number of the question behind each, in order, r of them"""
    view: Sequence[View | None]
    """what each is asked about; ``None``: the whole clip"""

    def summed(self, scores: torch.Tensor) -> torch.Tensor:
        """Add the logarithms of what belongs to one question, [r x a] -> [b x a].

        Logits do as well: what they lack to logarithms is the same for all of a row.
        """
        owner = torch.tensor(self.question, device=scores.device)
        total = scores.new_zeros(self.question[-1] + 1, *scores.shape[1:])
        return total.index_add(0, owner, scores)

    def spread(self, values: Sequence[T]) -> list[T]:
        """Give each row what belongs to its question."""
        return [values[number] for number in self.question]

    @property
    def first_rows(self) -> list[int]:
        """Row where each question begins, b of them."""
        return [row for row, one in enumerate(self.question) if one not in self.question[:row]]

    @property
    def is_any_apart(self) -> bool:
        """Whether any question is asked as two."""
        return len(self.first_rows) < len(self.question)


def ask_apart(
    samples: Sequence[Prompted], features: Sequence[Features], *, late_fusion: bool
) -> Apart:
    """Ask what emotion it is once of what is seen and once of what is heard, with the words.

    Args:
        samples: questions, b of them
        features: encoder outputs, one of each sample
        late_fusion: whether anything is asked apart

    Returns:
        the questions; those of another task, and those about a clip that lacks a face or a voice,
        as they were
    """
    asked: list[tuple[Prompted, Features, int, View | None]] = []
    for number, (sample, whole) in enumerate(zip(samples, features, strict=True)):
        has_both = whole.has_face and whole.audio is not None
        if late_fusion and has_both and isinstance(sample, Sample) and sample.task == "emotion":
            asked.append((replace(sample, transcript=None), whole.seen, number, "seen"))
            asked.append((sample, whole.heard, number, "heard"))
        else:
            asked.append((sample, whole, number, None))
    return Apart(*zip(*asked, strict=True)) if asked else Apart((), (), (), ())


class OneAnswer(LogitsProcessor):
    """Lets what belongs to one question go on with the same token, which all find likely together.

    Holds for greedy answers only: rows that draw would part.

    Args:
        apart: which rows belong together
    """

    def __init__(self, apart: Apart) -> None:
        self._apart = apart

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> Any:
        """Give all rows of a question the same scores of next tokens, [r x v]."""
        return self._apart.summed(scores)[list(self._apart.question)]
