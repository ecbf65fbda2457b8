"""Items -> training examples: faces, voices and words that share a label, or one alone.

Knows: which modalities an example has, how labels are drawn, how features are blurred, what the
reason says. Does not know: encoders, files. Face, voice and words of one example come from
different people and data sets and share only the label, because no set here has all three; about
half of the examples have one modality, and in some one modality speaks for another label.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from mini_corpus import vary_spelling
from mini_reasons import compose_reason

from emotion_llama.labels import MINI
from emotion_llama.merr.records import ClueKind
from emotion_llama.merr.rules import RuleTable
from emotion_llama.records import Features

from .items import Item

KINDS: tuple[ClueKind, ...] = ("facial", "voice", "words")
LABEL_WEIGHTS = {label: 1.0 for label in MINI.labels} | {"contempt": 0.3, "disgust": 0.7}
"""How often each label is drawn where several kinds share it: few items carry the last two."""
FREQUENCY_POWER: Mapping[ClueKind, float] = {"facial": 0.9, "voice": 0.0, "words": 0.9}
"""How the share of a label goes with its frequency in examples of one kind. People's pictures and
lines are mostly neutral or happy, and a guess should be too; the recordings are acted evenly."""
MISREAD: Mapping[ClueKind, float] = {"facial": 0.0, "voice": 0.2, "words": 0.0}
"""Share of examples of one kind whose item belongs to another label.

The audio encoder has learned the training people by heart; without this the model would trust
voices too much. Faces alone carry the spread of their annotators' votes instead.
"""
MISREAD_TOGETHER: Mapping[ClueKind, float] = {"facial": 0.25, "voice": 0.25, "words": 0.1}
"""The same share in examples of several kinds, for each of them. On people never seen each encoder
errs more than on those it was trained on: neither may overrule the other by being clear."""
WITHOUT_CLUES = 0.3
"""Share of examples whose clues are hidden and that have no reason: clues of a still, held against
many people, say more of its label than those of a talking face, and a label must not rest on them
alone."""
SPOKEN = 0.5
"""Share of utterances that are drawn from MELD, whose lines are spoken, not written."""
PICTURE_NOISE = 0.4
"""Noise of the features of pictures, relative to that of voices."""
FACE_FREE_KEY_FRAME = 0.15
"""Share of examples without a face that get a photograph without a face as key frame."""


@dataclass(frozen=True)
class Recipe:
    """How examples of one stage are drawn."""

    subsets: Mapping[tuple[ClueKind, ...], float]
    """how often each set of modalities is drawn"""
    noise: float
    """largest deviation of the noise on voices, in deviations of each dimension"""


RECOGNITION = Recipe(
    {
        ("facial",): 0.22,
        ("voice",): 0.22,
        ("words",): 0.18,
        ("facial", "voice"): 0.18,
        ("facial", "words"): 0.06,
        ("voice", "words"): 0.05,
        ("facial", "voice", "words"): 0.09,
    },
    noise=1.5,
)
"""Stage 1: labels, and reasons beside them."""

EXPLANATION = Recipe(
    {
        ("facial",): 0.18,
        ("voice",): 0.18,
        ("words",): 0.12,
        ("facial", "voice"): 0.22,
        ("facial", "words"): 0.10,
        ("voice", "words"): 0.08,
        ("facial", "voice", "words"): 0.12,
    },
    noise=1.5,
)
"""Stage 2: mostly reasons, more of them about several modalities."""


@dataclass(frozen=True)
class Example:
    """One made-up clip: features, words, label and reason."""

    features: Features
    text: str | None
    label: str
    caption: str | None
    sources: tuple[str, ...]
    person: str | None


class ExamplePool:
    """Items by kind and label, from which examples are drawn.

    Args:
        items: of each kind
        scenes: key frames without a face
        num_clues: places at the end of a role's feature that hold clues
        rules: what reasons are weighed by
        frequencies: how often each label of a kind occurs, where items are a choice that does not
            show it; ``None``: as often as among the items
    """

    def __init__(
        self,
        items: Mapping[ClueKind, Sequence[Item]],
        scenes: Sequence[Features],
        num_clues: Mapping[str, int],
        rules: RuleTable,
        frequencies: Mapping[ClueKind, Mapping[str, int]] | None = None,
    ) -> None:
        self._by_label: dict[ClueKind, dict[str, list[Item]]] = {}
        self._weights: dict[ClueKind, dict[str, list[float]]] = {}
        for kind in KINDS:
            self._by_label[kind], self._weights[kind] = {}, {}
            for item, weight in zip(items[kind], _weights(kind, items[kind]), strict=True):
                self._by_label[kind].setdefault(item.label, []).append(item)
                self._weights[kind].setdefault(item.label, []).append(weight)
        self._scenes = scenes
        self._num_clues = num_clues
        self._rules = rules
        self._sizes = {
            kind: {label: sum(weights) for label, weights in by_label.items()}
            for kind, by_label in self._weights.items()
        } | dict(frequencies or {})
        self._deviations = _deviations([*items["facial"][::10], *items["voice"][::10]])

    def draw(self, recipe: Recipe, rng: random.Random) -> Example:
        """Draw one example."""
        kinds = rng.choices(list(recipe.subsets), list(recipe.subsets.values()))[0]
        label = self._draw_label(kinds, rng)
        misread = MISREAD_TOGETHER if len(kinds) > 1 else MISREAD
        chosen = {}
        for kind in kinds:
            is_wrong = rng.random() < misread[kind]
            chosen[kind] = self._item(
                kind, self._other(kind, label, rng) if is_wrong else label, rng
            )
        if kinds == ("facial",):  # the annotators' votes, as often as they were cast
            label = rng.choices(MINI.labels, chosen["facial"].votes)[0]
        text = chosen["words"].text if "words" in chosen else None
        if text:
            text = vary_spelling(text, rng)
        with_clues = rng.random() >= WITHOUT_CLUES
        told = [clue for item in chosen.values() for clue in item.clues]
        return Example(
            features=self._features(chosen, recipe.noise, with_clues, rng),
            text=text,
            label=label,
            caption=compose_reason(told, kinds, label, self._rules) if with_clues else None,
            sources=tuple(chosen[kind].source for kind in kinds),
            person=chosen["voice"].person if "voice" in chosen else None,
        )

    def _draw_label(self, kinds: Sequence[ClueKind], rng: random.Random) -> str:
        """Draw a label that every kind has: evenly, or of one kind by its frequency."""
        labels = [
            label for label in MINI.labels if all(label in self._by_label[kind] for kind in kinds)
        ]
        weights = [LABEL_WEIGHTS[label] for label in labels]
        if len(kinds) == 1:
            sizes = self._sizes[kinds[0]]
            weights = [sizes[label] ** FREQUENCY_POWER[kinds[0]] for label in labels]
        return rng.choices(labels, weights)[0]

    def _other(self, kind: ClueKind, label: str, rng: random.Random) -> str:
        return rng.choice([other for other in self._by_label[kind] if other != label])

    def _item(self, kind: ClueKind, label: str, rng: random.Random) -> Item:
        return rng.choices(self._by_label[kind][label], self._weights[kind][label])[0]

    def _features(
        self, chosen: Mapping[ClueKind, Item], noise: float, with_clues: bool, rng: random.Random
    ) -> Features:
        """Put the features of the chosen items together, some left out, all blurred."""
        values: dict[str, torch.Tensor | None] = {}
        if "facial" in chosen:
            face = chosen["facial"].features
            values |= {"local": face.local, "temporal": face.temporal}
            values |= {"patches": face.patches, "class_token": face.class_token}
            if rng.random() < 0.12:  # a face track without its key frame
                values["patches"] = values["class_token"] = None
        elif self._scenes and rng.random() < FACE_FREE_KEY_FRAME and "voice" in chosen:
            scene = rng.choice(self._scenes)
            values |= {"patches": scene.patches, "class_token": scene.class_token}
        if "voice" in chosen:
            values["audio"] = chosen["voice"].features.audio
        blurred: dict[str, Any] = {
            name: self._blur(name, value, noise, with_clues, rng)
            for name, value in values.items()
            if value is not None
        }
        return Features(**blurred)

    def _blur(
        self, name: str, value: torch.Tensor, most: float, with_clues: bool, rng: random.Random
    ) -> torch.Tensor:
        """Add noise and drop dimensions, but for clues: training people lie further apart.

        Clues are kept as they are, or all hidden.
        """
        generator = torch.Generator().manual_seed(rng.getrandbits(40))
        noise = torch.randn(value.shape, generator=generator) * self._deviations[name]
        strength = most if name == "audio" else most * PICTURE_NOISE
        blurred = value.float() + noise * rng.uniform(0.0, strength)
        kept = torch.rand(value.shape[-1], generator=generator) >= rng.uniform(0.0, 0.2)
        blurred = blurred * kept
        count = self._num_clues.get(name, 0)
        if count:
            blurred[..., -count:] = value[..., -count:].float() * with_clues
        return blurred.half()


def _weights(kind: ClueKind, items: Sequence[Item]) -> list[float]:
    """Give how often each item is drawn beside the others of its kind."""
    if kind == "facial":
        return [1.0] * len(items)
    if kind == "words":
        sizes = Counter(item.source for item in items)
        shares = {"meld": SPOKEN}
        return [shares.get(item.source, 1 - SPOKEN) / sizes[item.source] for item in items]
    # of voices each set as often as the others, whatever its size
    counts = Counter((item.source, item.label) for item in items)
    return [1.0 / counts[item.source, item.label] for item in items]


def _deviations(items: Sequence[Item]) -> dict[str, torch.Tensor]:
    """Give the deviation of each dimension of each feature, [e]."""
    found = {}
    for name in (field.name for field in fields(Features)):
        values = [getattr(item.features, name) for item in items]
        present = [v.float() for v in values if isinstance(v, torch.Tensor)]
        if present:
            found[name] = torch.stack(present).flatten(0, -2).std(dim=0)
    return found
