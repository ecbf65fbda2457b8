"""A stand-in for the engine, and clips to put into batches, for the tests of batches."""

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from emotion_llama.config import ServeConfig
from emotion_llama.labels import LabelSet, label_set
from emotion_llama.predict import EncodedClip
from emotion_llama.records import Evidence, Features, Prediction
from emotion_llama.server.batches.database import open_database
from emotion_llama.server.batches.files import BatchFiles
from emotion_llama.server.batches.records import NewClip
from emotion_llama.server.batches.store import BatchStore
from emotion_llama.server.engine import BusyError, NotServingError

EVIDENCE = Evidence("local", "the corners of the mouth are raised", 2.5, 0.5, 1.5, "stub")


def prediction(name: str, content: bytes, text: str | None, labels: Sequence[str]) -> Prediction:
    """Give an answer that tells what it was made from, with a value that no rounding survives."""
    return Prediction(
        clip=name,
        label=labels[0],
        probabilities=dict.fromkeys(labels, 0.1 + 0.2),
        reason=f"{hashlib.sha256(content).hexdigest()} {text}",
        modalities=("text",),
        missing={},
        confidence=0.1 + 0.2,
        unsure=False,
        unsure_rule="never",
        valence=None,
        key_frame_s=None,
        evidence=(EVIDENCE,),
        warnings=(),
        timings_s={},
        preset="stub",
    )


class StubPredictor:
    """Checks labels as the real one does."""

    def __init__(self, preset: str) -> None:
        self.preset = preset

    def offered(self, labels: Any) -> LabelSet:
        return label_set("happy,sad" if labels is None else labels)


class StubEngine:
    """Answers at once, or when it is told to, and notes what it was asked."""

    def __init__(
        self,
        settings: ServeConfig,
        faults: dict[str, Exception] | None = None,
        preset: str = "stub",
    ) -> None:
        self.settings = settings
        self.predictor = StubPredictor(preset)
        self.state = "ready"
        self.num_admitted = 0
        self.most_admitted = 0
        self.faults = faults or {}
        """name of a clip -> what its answer raises"""
        self.asked: list[str] = []
        self.answered: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        self.on_answer: Callable[[str], None] = lambda name: None

    @contextmanager
    def admitted(self) -> Iterator[None]:
        if self.state != "ready":
            msg = f"the service is {self.state}"
            raise NotServingError(msg)
        if self.num_admitted >= self.settings.max_waiting:
            raise BusyError(self.num_admitted, 1)
        self.num_admitted += 1
        self.most_admitted = max(self.most_admitted, self.num_admitted)
        try:
            yield
        finally:
            self.num_admitted -= 1

    async def encode(
        self, path: Path, text: str | None = None, *, name: str | None = None
    ) -> EncodedClip:
        assert name is not None
        self.asked.append(name)
        self._content = {**getattr(self, "_content", {}), name: path.read_bytes()}
        await self.may_answer.wait()
        if name in self.faults:
            raise self.faults[name]
        return EncodedClip(name, Features(), text)

    async def answer(
        self, encoded: EncodedClip, *, labels: Any = None, with_reason: bool = True
    ) -> Prediction:
        self.on_answer(encoded.name)
        self.answered.append(encoded.name)
        offered = self.predictor.offered(labels).labels
        return prediction(encoded.name, self._content[encoded.name], encoded.transcript, offered)


class Clock:
    """A time that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


def store_at(folder: Path, **settings: Any) -> BatchStore:
    """Open what a server that shares this folder would open."""
    database = open_database(f"sqlite:///{folder / 'batches.db'}")
    return BatchStore(database, BatchFiles(folder / "clips"), **settings)


def new_clip(folder: Path, name: str = "a.mp4", content: bytes = b"", **changes: Any) -> NewClip:
    """Write a clip as an upload lies there."""
    content = content or name.encode()
    source = folder / f"upload-{hashlib.sha256(name.encode() + content).hexdigest()[:16]}"
    source.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    return NewClip(source, name, sha256, len(content), **changes)
