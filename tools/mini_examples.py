"""Pair faces, voices and words into training examples of the `mini` preset.

Knows: which modalities an example has, how features are blurred, which answer is taught. Does not
know: encoders, the model. Pairing: face, voice and words of one example come from different people
and data sets and share only the label, because no set here has all three; about half of the
examples have one modality, and in some one modality speaks for another label.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from mini_corpus import vary_spelling
from mini_items import Item
from mini_sentences import Evidence, compose_reason

from emotion_llama.labels import MINI
from emotion_llama.prompt import REASON_QUESTIONS
from emotion_llama.records import Features, Sample, Task

KINDS = ("face", "voice", "words")
SUBSETS: Mapping[tuple[str, ...], float] = {
    ("face",): 0.19,
    ("voice",): 0.19,
    ("words",): 0.16,
    ("face", "voice"): 0.14,
    ("face", "words"): 0.10,
    ("voice", "words"): 0.08,
    ("face", "voice", "words"): 0.14,
}
"""How often each set of modalities is drawn."""
ALONE_IN_REASONS = 0.5
"""Share of reasons, besides the above, about one modality: no other may be named."""
LABEL_WEIGHTS = {label: 1.0 for label in MINI.labels} | {"contempt": 0.4}
"""Labels are drawn evenly, contempt less often: fewer than 200 faces carry it, and nothing else."""
CONTRADICTION = 0.1
"""Share of examples with several modalities in which one of them belongs to another label."""
MISREAD = {"face": 0.0, "voice": 0.25, "words": 0.0}
"""Share of examples in which the item of a kind belongs to another label, whatever else is there.

The audio encoder has learned the training people by heart: a linear reader of their voices is right
in 85 of 100 cases, and in about 50 for new people. Without this the model would trust voices too
much. Of faces it reads 66 of 100 in training and 63 of new ones, which needs no such care.
"""
SPOKEN = 0.3
"""Share of utterances that are drawn from MELD alone, whose lines are spoken, not written."""
PICTURE_NOISE = 0.4
"""Noise of the features of pictures, relative to that of voices."""
FACE_FREE_KEY_FRAME = 0.15
"""Share of examples without a face that get a photograph without a face as key frame."""
EXTRA_LABELS = ("worried", "doubt")
"""Labels of other sets, offered at times and never right."""


@dataclass(frozen=True)
class Example:
    """One row of a batch."""

    sample: Sample
    features: Features
    answer: str


class ExamplePool:
    """Items by kind and label, from which examples are drawn.

    Args:
        items: by kind, "face", "voice" and "words"
        scenes: key frames without a face
        noise: largest deviation of the noise on voices, in deviations of each feature dimension
    """

    def __init__(
        self, items: Mapping[str, Sequence[Item]], scenes: Sequence[Features], noise: float
    ) -> None:
        self._by_label: dict[str, dict[str, list[Item]]] = {}
        for kind in KINDS:
            self._by_label[kind] = {}
            for item in items[kind]:
                self._by_label[kind].setdefault(item.label, []).append(item)
        self._scenes = scenes
        self._noise = noise
        self._deviations = _deviations([*items["face"][::10], *items["voice"][::10]])

    def draw(self, task: Task, rng: random.Random) -> Example:
        """Draw one example of a task."""
        kinds = rng.choices(list(SUBSETS), list(SUBSETS.values()))[0]
        if task == "reason" and rng.random() < ALONE_IN_REASONS:
            kinds = (rng.choice(KINDS),)
        label = self._draw_label(kinds, rng)
        odd_one = rng.choice(kinds) if len(kinds) > 1 and rng.random() < CONTRADICTION else None
        chosen = {}
        for kind in kinds:
            is_misread = rng.random() < MISREAD[kind] and task == "emotion"
            is_wrong = kind == odd_one or is_misread
            chosen[kind] = self._item(
                kind, self._other(kind, label, rng) if is_wrong else label, rng
            )
        features = self._features(chosen, rng)
        transcript = chosen["words"].transcript if "words" in chosen else None
        sample = Sample(
            task,
            vary_spelling(transcript, rng) if transcript else None,
            question=rng.choice((None, *REASON_QUESTIONS)) if task == "reason" else None,
            labels=_offered(label, rng) if task == "emotion" and rng.random() < 0.4 else None,
        )
        evidence: list[Evidence] = [chosen[kind].evidence for kind in kinds]
        answer = label if task == "emotion" else compose_reason(label, evidence, rng)
        return Example(sample, features, answer)

    def _draw_label(self, kinds: Sequence[str], rng: random.Random) -> str:
        """Draw a label that every kind has; of words alone the frequent ones more often."""
        labels = [
            label for label in MINI.labels if all(label in self._by_label[kind] for kind in kinds)
        ]
        if list(kinds) == ["words"]:
            weights = [len(self._by_label["words"][label]) ** 0.5 for label in labels]
        else:
            weights = [LABEL_WEIGHTS[label] for label in labels]
        return rng.choices(labels, weights)[0]

    def _other(self, kind: str, label: str, rng: random.Random) -> str:
        return rng.choice([other for other in self._by_label[kind] if other != label])

    def _item(self, kind: str, label: str, rng: random.Random) -> Item:
        """Draw an item; three in ten are mixed with another of the same label and source."""
        pool = self._by_label[kind][label]
        if kind == "words" and rng.random() < SPOKEN:
            pool = [item for item in pool if item.source == "meld"]
        item = rng.choice(pool)
        if kind == "words" or rng.random() > 0.3:
            return item
        partner = rng.choice(pool)
        share = rng.uniform(0.6, 1.0)
        mixed: dict[str, Any] = {}
        for field in fields(Features):
            one, two = getattr(item.features, field.name), getattr(partner.features, field.name)
            if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
                mixed[field.name] = torch.lerp(two.float(), one.float(), share)
        return replace(item, features=replace(item.features, **mixed))

    def _features(self, chosen: Mapping[str, Item], rng: random.Random) -> Features:
        """Put the features of the chosen items together, some left out, all blurred."""
        values: dict[str, torch.Tensor | None] = {}
        if "face" in chosen:
            face = chosen["face"].features
            values |= {"local": face.local, "temporal": face.temporal}
            values |= {"patches": face.patches, "class_token": face.class_token}
            shown = rng.random()
            if shown < 0.15:  # a picture in which no face was found
                values["local"] = values["temporal"] = None
            elif shown < 0.55:  # a still picture
                values["temporal"] = None
            if shown >= 0.15 and rng.random() < 0.12:  # a face track without its key frame
                values["patches"] = values["class_token"] = None
        elif self._scenes and rng.random() < FACE_FREE_KEY_FRAME and "voice" in chosen:
            scene = rng.choice(self._scenes)
            values |= {"patches": scene.patches, "class_token": scene.class_token}
        if "voice" in chosen:
            values["audio"] = chosen["voice"].features.audio
        blurred: dict[str, Any] = {
            name: self._blur(name, value, rng)
            for name, value in values.items()
            if value is not None
        }
        return Features(**blurred)

    def _blur(self, name: str, value: torch.Tensor, rng: random.Random) -> torch.Tensor:
        """Add noise and drop dimensions: training people lie further apart than new ones."""
        generator = torch.Generator().manual_seed(rng.getrandbits(40))
        noise = torch.randn(value.shape, generator=generator) * self._deviations[name]
        most = self._noise if name == "audio" else self._noise * PICTURE_NOISE
        blurred = value.float() + noise * rng.uniform(0.0, most)
        kept = torch.rand(value.shape[-1], generator=generator) >= rng.uniform(0.0, 0.2)
        return blurred * kept


def _deviations(items: Sequence[Item]) -> dict[str, torch.Tensor]:
    """Give the deviation of each dimension of each feature, [e]."""
    found = {}
    for name in ("patches", "class_token", "local", "temporal", "audio"):
        values = [getattr(item.features, name) for item in items]
        present = torch.stack([v.float() for v in values if v is not None])
        found[name] = present.flatten(0, -2).std(dim=0)
    return found


def _offered(label: str, rng: random.Random) -> tuple[str, ...]:
    """Draw labels to offer, the right one among them: a part of the set, or another order."""
    others = [other for other in MINI.labels if other != label]
    offered = [label, *rng.sample(others, rng.randint(3, len(others)))]
    if rng.random() < 0.2:
        offered.append(rng.choice(EXTRA_LABELS))
    if rng.random() < 0.5:
        rng.shuffle(offered)
        return tuple(offered)
    return tuple(name for name in (*MINI.labels, *EXTRA_LABELS) if name in offered)
