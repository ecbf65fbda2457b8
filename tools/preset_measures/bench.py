"""A loaded preset and one split of the data: each item set is read and answered once.

Knows: how `Predictor` is asked. Does not know: what is made of the answers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from emotion_llama import Prediction, Predictor
from emotion_llama.predict import ClipFailure
from emotion_llama.records import Features

from .items import (
    ItemSet,
    common_ferplus,
    read_clips,
    read_ferplus,
    read_meld,
    read_speech,
    thinned,
)

BATCH_SIZE = 16
Answer = Prediction | ClipFailure


@dataclass(frozen=True)
class Answered:
    """The answers to an item set."""

    chosen: ItemSet
    probabilities: NDArray[np.float64]
    """of each offered label; all the same where a clip failed, [n x a]"""
    is_answered: NDArray[np.bool_]
    """False where a clip failed, [n]"""

    @property
    def labels(self) -> list[str | None]:
        """The most probable label of each item; ``None`` where the clip failed."""
        best = self.probabilities.argmax(axis=1)
        return [
            self.chosen.labels[column] if answered else None
            for column, answered in zip(best, self.is_answered, strict=True)
        ]

    @property
    def failures(self) -> int:
        """Clips that gave no answer."""
        return int(np.sum(~self.is_answered))


def answered(chosen: ItemSet, results: Sequence[Answer | None]) -> Answered:
    """Put the answers to an item set into a table."""
    table = np.full((len(chosen), len(chosen.labels)), 1 / len(chosen.labels))
    for row, result in enumerate(results):
        if isinstance(result, Prediction):
            table[row] = [result.probabilities[label] for label in chosen.labels]
    is_answered = np.array([isinstance(result, Prediction) for result in results], dtype=bool)
    return Answered(chosen, table, is_answered)


class Bench:
    """Answers of one preset on one split.

    Args:
        predictor: the loaded preset
        preset: what it was loaded from
        data_dir: folder of docs/data.md
        split: dev or test
        scratch: folder for pictures, sounds and films that are made
        limit: most items of each set, for a trial; ``None``: all
    """

    def __init__(
        self,
        predictor: Predictor,
        preset: str,
        data_dir: Path,
        split: str,
        scratch: Path,
        limit: int | None = None,
    ) -> None:
        self.predictor = predictor
        self.preset = preset
        self.data_dir = data_dir
        self.split = split
        self.scratch = scratch
        self.limit = limit
        self._answered: dict[str, Answered] = {}

    @cached_property
    def speech(self) -> list[ItemSet]:
        """The recordings, data set by data set."""
        return [thinned(one, self.limit) for one in read_speech(self.data_dir, self.split)]

    @cached_property
    def faces(self) -> ItemSet:
        """The pictures of faces."""
        return read_ferplus(self.data_dir, self.split, self.scratch, self.limit)

    @cached_property
    def common_faces(self) -> ItemSet:
        """The pictures of the six common labels."""
        return common_ferplus(self.faces)

    @cached_property
    def lines(self) -> ItemSet:
        """The lines of text."""
        return thinned(read_meld(self.data_dir, self.split), self.limit)

    @cached_property
    def clips(self) -> ItemSet:
        """The clips with face and voice; none in the split ``test``."""
        return thinned(read_clips(self.data_dir, self.split), self.limit)

    @cached_property
    def clip_features(self) -> list[Features]:
        """Encoder outputs of each clip with face and voice."""
        return [self.predictor.embeddings(i.path) for i in self.clips.items if i.path is not None]

    def of(self, chosen: ItemSet, *, greedy: bool = False) -> Predictor:
        """Give the preset, set up to read the items of a set as they are.

        Args:
            chosen: what is to be read
            greedy: read the label out of what the model writes freely
        """
        media = {"face_source": "whole-frame"} if chosen.fills_frame else {}
        return self.predictor.changed(decision="greedy" if greedy else "scored", **media)

    def answer(self, chosen: ItemSet) -> Answered:
        """Give the probabilities over the closed labels of a set; each set is asked once."""
        if chosen.name not in self._answered:
            results = ask(self.of(chosen), chosen, chosen.labels, with_reason=False)
            self._answered[chosen.name] = answered(chosen, results)
        return self._answered[chosen.name]


def ask(
    predictor: Predictor, chosen: ItemSet, labels: Sequence[str] | None, *, with_reason: bool
) -> list[Answer]:
    """Answer for each item of a set.

    Args:
        predictor: as `Bench.of` gives it
        chosen: clips, pictures or lines
        labels: what is offered; ``None``: the preset's own list
        with_reason: also write the reasons
    """
    paths = [item.path for item in chosen.items if item.path is not None]
    if len(paths) < len(chosen):  # lines have no file, and `batch` takes files
        return [
            predictor(item.path, item.text, labels, with_reason=with_reason)
            for item in chosen.items
        ]
    return list(
        predictor.batch(paths, labels=labels, batch_size=BATCH_SIZE, with_reason=with_reason)
    )
