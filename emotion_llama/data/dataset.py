"""Examples -> what training sees at each draw, and draws -> batches.

Knows: the order of the draws, questions, modality dropout. Does not know: files, tokens (the
processor does), processes. Draw i is decided by the seed and i alone, so any number of processes
and any resumed run see the same.
"""

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from emotion_llama.data.examples import Example
from emotion_llama.data.features import FeatureSource
from emotion_llama.merr.draw import choose, draw_number
from emotion_llama.model.late_fusion import ask_apart
from emotion_llama.prompt import REASON_QUESTIONS, Instruction
from emotion_llama.records import Features, Modality, Sample

LEFT_OUT = "left out by modality dropout"

_RANGE = 2**64
"""`draw_number` is below this."""


@dataclass(frozen=True)
class DrawSource:
    """One source to draw from."""

    examples: Sequence[Example]
    features: FeatureSource
    weight: float = 1.0
    """share of the draws, relative to those of the others"""


@dataclass(frozen=True)
class Draw:
    """What training sees at one draw."""

    sample: Sample | Instruction
    features: Features
    answer: str


class ExampleDraws(Dataset[Draw]):
    """Draws in their order: to be read one after the other, never shuffled.

    1. The source is drawn by weight. 2. Within it every example comes once, in an order of its own
    for each pass, before any comes again. 3. The question of ``reason`` is drawn from the published
    pool. 4. Of ``emotion`` each modality is left out with a probability; one always stays. 5. Where
    an example has votes, the label is that of one vote, drawn anew each time: the expected loss is
    the cross-entropy against their distribution. 6. With late fusion one view of a clip that has
    both is drawn: what is asked apart is learned apart.

    A plain instruction has no features, nothing of which could be left out.

    Args:
        sources: what is drawn from
        num_draws: steps x examples of a step over all processes
        seed: changes everything that is drawn
        modality_dropout: probability that a modality of an ``emotion`` example, its transcript
            included, is left out
        late_fusion: whether the emotion is asked of what is seen and heard apart, see
            `emotion_llama.model.late_fusion`

    Raises:
        ValueError: there is no source, one without example or of no weight, or no probability
    """

    def __init__(
        self,
        sources: Sequence[DrawSource],
        num_draws: int,
        *,
        seed: int = 0,
        modality_dropout: float = 0.0,
        late_fusion: bool = False,
    ) -> None:
        _require_sources(sources)
        if not 0 <= modality_dropout < 1:
            msg = f"modality_dropout is {modality_dropout}, expected at least 0 and below 1"
            raise ValueError(msg)
        self.sources = tuple(sources)
        self.seed = seed
        self.modality_dropout = modality_dropout
        self.late_fusion = late_fusion
        self._source_of = _draw_sources([s.weight for s in sources], num_draws, seed)
        self._turn_of = _count_turns(self._source_of, len(sources))
        self._orders: dict[int, tuple[int, list[int]]] = {}

    def __len__(self) -> int:
        return len(self._source_of)

    def __getitem__(self, index: int) -> Draw:
        """Give one draw.

        Raises:
            NoFeaturesError: the clip has no features
            ValueError: it has neither a feature nor words, or its features cannot be used
        """
        if not 0 <= index < len(self):
            msg = f"draw {index} is not among the {len(self)} of this run"
            raise IndexError(msg)
        source = self.sources[self._source_of[index]]
        example = self.example(index)
        if example.task == "instruction":
            return Draw(as_instruction(example), Features(), example.answer)
        features, transcript = self._drop(index, example, source.features.features(example.clip_id))
        question = None
        if example.task == "reason":
            question = choose(REASON_QUESTIONS, "question", self.seed, index)
        sample = Sample(
            example.task,
            transcript=transcript,
            question=question,
            labels=example.offered,
            name=example.clip_id,
        )
        apart = ask_apart([sample], [features], late_fusion=self.late_fusion)
        view = choose(range(len(apart.samples)), "view", self.seed, index)
        return Draw(apart.samples[view], apart.features[view], self._answer(index, example))

    def example(self, index: int) -> Example:
        """Give the example of a draw, without its features."""
        number = int(self._source_of[index])
        examples = self.sources[number].examples
        lap, place = divmod(int(self._turn_of[index]), len(examples))
        return examples[self._order(number, lap)[place]]

    def _answer(self, index: int, example: Example) -> str:
        if example.votes is None:
            return example.answer
        labels, shares = zip(*example.votes.items(), strict=True)
        ends = list(accumulate(shares))
        place = draw_number("vote", self.seed, index) / _RANGE * ends[-1]
        label: str = labels[min(bisect_right(ends, place), len(labels) - 1)]
        return label

    @property
    def num_draws(self) -> tuple[int, ...]:
        """How often each source is drawn from."""
        counts = Counter(self._source_of.tolist())
        return tuple(counts[number] for number in range(len(self.sources)))

    def _order(self, number: int, lap: int) -> list[int]:
        """Give the order of a source's examples in one pass; the latest one is kept."""
        known = self._orders.get(number)
        if known is not None and known[0] == lap:
            return known[1]
        count = len(self.sources[number].examples)
        order = sorted(range(count), key=lambda e: draw_number("order", self.seed, number, lap, e))
        self._orders[number] = lap, order
        return order

    def _drop(
        self, index: int, example: Example, features: Features
    ) -> tuple[Features, str | None]:
        """Leave out what the draw says, but never everything."""
        present: list[Modality] = [*features.present]
        if example.transcript:
            present.append("text")
        if not present:
            why = "; ".join(f"{m}: {reason}" for m, reason in features.missing.items())
            msg = (
                f"clip {example.clip_id!r} of {example.source} has neither a feature nor words "
                f"({why}); leave it out of the annotations"
            )
            raise ValueError(msg)
        # a caption speaks of all that was there: to leave some out would teach inventing it
        limit = 0.0 if example.task == "reason" else self.modality_dropout * _RANGE
        dropped = [m for m in present if draw_number("dropout", self.seed, index, m) < limit]
        if dropped == present:
            dropped.remove(choose(present, "stays", self.seed, index))
        transcript = None if "text" in dropped else example.transcript
        return _without(features, [m for m in dropped if m != "text"]), transcript


def as_instruction(example: Example) -> Instruction:
    """Give what is asked of the language model in an example of ``instruction``."""
    return Instruction(example.instruction or "", name=example.clip_id)


class Processor(Protocol):
    """What `Collator` needs of `emotion_llama.model.EmotionLlamaProcessor`."""

    def __call__(
        self,
        samples: Sequence[Sample | Instruction],
        features: Sequence[Features],
        answers: Sequence[str],
    ) -> Any:
        """Build a batch, as a mapping of tensors."""
        ...

    def training_target(self, prompted: Sample | Instruction, answer: str, /) -> str:
        """Give an answer in the form in which the checkpoint learns it."""
        ...


class Collator:
    """Draws -> the tensors of a batch; answers in the form in which they are learned.

    Args:
        processor: of the checkpoint that is trained
    """

    def __init__(self, processor: Processor) -> None:
        self.processor = processor

    def __call__(self, draws: Sequence[Draw]) -> dict[str, torch.Tensor]:
        """Build a batch.

        Returns:
            what `EmotionLlamaProcessor` returns with answers, as a plain dictionary

        Raises:
            ValueError: a feature has a wrong shape or a prompt is too long; names the clip
        """
        try:
            return self._batch(draws)
        except ValueError:
            for draw in draws:
                self._require_usable(draw)
            raise

    def _batch(self, draws: Sequence[Draw]) -> dict[str, torch.Tensor]:
        batch = self.processor(
            [draw.sample for draw in draws],
            [draw.features for draw in draws],
            [self.processor.training_target(draw.sample, draw.answer) for draw in draws],
        )
        return dict(batch)

    def _require_usable(self, draw: Draw) -> None:
        try:
            self._batch([draw])
        except ValueError as error:
            msg = f"clip {draw.sample.name!r}: {error}"
            raise ValueError(msg) from error


def _require_sources(sources: Sequence[DrawSource]) -> None:
    if not sources:
        msg = "found no source to draw from, expected at least one"
        raise ValueError(msg)
    for number, source in enumerate(sources):
        if not source.examples or not 0 < source.weight < float("inf"):
            msg = (
                f"source {number} has {len(source.examples)} examples and the weight "
                f"{source.weight}; expected at least one example and a weight above 0"
            )
            raise ValueError(msg)


def _draw_sources(weights: Sequence[float], num_draws: int, seed: int) -> NDArray[np.int32]:
    """Draw the source of each draw by weight, [num_draws]."""
    if len(weights) == 1:
        return np.zeros(num_draws, np.int32)
    ends = list(accumulate(weights))
    places = (draw_number("source", seed, i) / _RANGE * ends[-1] for i in range(num_draws))
    last = len(weights) - 1  # rounding may put a place on the very end
    return np.array([min(bisect_right(ends, place), last) for place in places], np.int32)


def _count_turns(source_of: NDArray[np.int32], num_sources: int) -> NDArray[np.int64]:
    """Number the draws of each source from 0, [num_draws]."""
    turns = np.zeros(len(source_of), np.int64)
    for number in range(num_sources):
        own = source_of == number
        turns[own] = np.arange(np.count_nonzero(own))
    return turns


def _without(features: Features, dropped: Sequence[Modality]) -> Features:
    """Give features without some modalities, which are named as missing."""
    if not dropped:
        return features
    values: dict[str, None] = {}
    for modality in dropped:
        names = ("patches", "class_token") if modality == "global" else (modality,)
        values |= dict.fromkeys(names)
    missing: dict[Modality, str] = {**features.missing, **dict.fromkeys(dropped, LEFT_OUT)}
    approximate = tuple(m for m in features.approximate if m not in dropped)
    changes: dict[str, Any] = {**values, "missing": missing, "approximate": approximate}
    return replace(features, **changes)
