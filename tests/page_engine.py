"""An engine that answers at once, and writes down what it was asked: no model, no files read."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from emotion_llama.clip_words import WordModels
from emotion_llama.config import ServeConfig
from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.labels import LabelSet, label_set
from emotion_llama.prompt import Turn
from emotion_llama.records import MODALITIES, Clip, Features, Prediction
from emotion_llama.server.engine import BusyError

LABELS = ("happy", "sad")


def a_clip(path: Path | None, text: str | None, length_s: float) -> Clip:
    """Make a clip with a tone and a grey key frame."""
    if path is None:
        return Clip("text", "text", transcript=text)
    times = np.arange(int(16000 * length_s)) / 16000
    return Clip(
        path.stem,
        "video",
        duration_s=length_s,
        waveform=(0.3 * np.sin(2 * np.pi * 200 * times)).astype(np.float32),
        key_frame=np.full((40, 60, 3), 120, np.uint8),
        key_frame_s=length_s / 2,
        transcript=text,
    )


class ActingEngine:
    """Stands in for `emotion_llama.server.engine.Engine`."""

    def __init__(self, length_s: float = 2.0, preset: str = "mini", **settings: Any) -> None:
        self.settings = ServeConfig(**settings)
        self.predictor = SimpleNamespace(
            preset=preset,
            notice="For tests only.",
            offered=lambda labels: self._offered(labels),
            model=SimpleNamespace(config=SimpleNamespace(reads_english_only=True)),
        )
        self.readers = SimpleNamespace()
        self.words = WordModels()
        self.length_s = length_s
        self.asked: list[Any] = []
        self.held = 0
        self.fault: Exception | None = None
        self.is_full = False

    @property
    def translates(self) -> bool:
        return self.words.translation is not None

    def _offered(self, labels: Any) -> LabelSet:
        return label_set(labels or LABELS)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        if self.is_full:
            raise BusyError(64, 7)
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1

    async def encode(
        self,
        path: Path | None,
        text: str | None = None,
        *,
        span: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> EncodedClip:
        if self.fault is not None:
            raise self.fault
        self.asked.append(("encode", text, span))
        length_s = self.length_s if span is None else span[1] - span[0]
        clip = a_clip(path, text, length_s)
        return EncodedClip(name or "text", Features(), text, clip, {"read": 0.1})

    async def answer(
        self,
        encoded: EncodedClip,
        *,
        labels: LabelSet,
        with_reason: bool = True,
        on_text: Callable[[str], None] | None = None,
    ) -> Prediction:
        self.asked.append(("answer", with_reason, encoded.transcript))
        if on_text is not None:
            on_text("Because")
        clip = encoded.clip
        assert clip is not None
        there = ["text"] if encoded.transcript else []
        if clip.kind != "text":
            there += [one for one in ("local", "audio") if one not in encoded.features.missing]
        share = 0.5 + 0.1 * len(there)
        first, *others = labels.labels
        return Prediction(
            clip=encoded.name,
            label=first,
            probabilities={first: share, **dict.fromkeys(others, (1 - share) / len(others))},
            reason="Because of the face." if with_reason else None,
            modalities=tuple(one for one in MODALITIES if one in there),
            missing={one: "not there" for one in MODALITIES if one not in there},
            confidence=share,
            unsure=False,
            unsure_rule="a probability below 0.5",
            valence=0.5,
            key_frame_s=clip.key_frame_s,
            evidence=(),
            warnings=("a warning",),
            timings_s={"total": 0.5},
            preset=self.predictor.preset,
        )

    async def reply(
        self, encoded: EncodedClip, turns: Sequence[Turn], on_text: Callable[[str], None] | None
    ) -> str:
        self.asked.append(("reply", [replace(turn) for turn in turns]))
        if on_text is not None:
            on_text("It")
        return f"It is reply {len(turns)}."
