"""A service on a free port of this machine, with a model that answers at once, for tests of it."""

import asyncio
import hashlib
import io
import threading
import time
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import uvicorn

from emotion_llama.config import ServeConfig
from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.labels import LabelSet, label_set
from emotion_llama.media import MediaError, MediaLimitError, text_clip
from emotion_llama.prompt import Turn
from emotion_llama.records import Clip, Evidence, Features, Prediction
from emotion_llama.server.engine import Engine
from emotion_llama.server.reading.readers import ReadCrashError, ReadTimeoutError

HANG_S = 20.0
"""Longer than any test waits."""


class StubReaders:
    """Reads a file as what it says: ``limit``, ``timeout``, ``crash``, ``broken``, ``hang``."""

    def __init__(self) -> None:
        self.num_reading = 0
        self.num_cancelled = 0

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def read(
        self,
        path: Path,
        text: str | None = None,
        span: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> Clip:
        content = path.read_bytes()
        told = dict(found="this", expected="that", next_step="send another")
        shown = Path(name or path.name)
        match content.partition(b" ")[0]:
            case b"limit":
                raise MediaLimitError(shown, **told)
            case b"timeout":
                msg = f"{shown}: found a file that takes too long"
                raise ReadTimeoutError(msg)
            case b"crash":
                msg = f"{shown}: found a file on which reading fails"
                raise ReadCrashError(msg)
            case b"broken" | b"":
                raise MediaError(shown, **told)
            case b"bug":
                msg = f"secret {path}"
                raise TypeError(msg)
            case b"hang":
                await self._hang()
        await asyncio.sleep(0)
        digest = hashlib.sha256(content).hexdigest()
        evidence = (Evidence("audio", digest, 1 / 3, 0.0, None, "stub"),)
        return Clip(shown.stem, "audio", transcript=text, evidence=evidence, key_frame_s=1 / 7)

    async def _hang(self) -> None:
        self.num_reading += 1
        try:
            await asyncio.sleep(HANG_S)
        except asyncio.CancelledError:
            self.num_cancelled += 1
            raise
        finally:
            self.num_reading -= 1


class StubPredictor:
    """Answers with the hash of the file in the reason; words decide how it behaves.

    A transcript of ``slow`` is answered as long as anybody waits for it, one of ``nothing`` with
    nothing, of ``fault`` with an unforeseen error, of ``rewritten`` with a reason that changes.
    """

    notice: str | None = None

    def __init__(self, preset: str = "stub") -> None:
        self.preset = preset
        self.model = SimpleNamespace(
            config=SimpleNamespace(reason_candidates=1, reads_english_only=True)
        )
        self.num_given_up = 0
        self.talks: list[Sequence[Turn]] = []

    def offered(self, labels: Any = None) -> LabelSet:
        return label_set("mini" if labels is None else labels)

    def read(self, path: None, text: str | None) -> Clip:
        return text_clip(text or "")

    def encode(self, clips: Sequence[Clip]) -> list[EncodedClip]:
        return [
            EncodedClip(clip.clip_id, _features(clip), clip.transcript, clip, {"encode": 0.1})
            for clip in clips
        ]

    def answer(
        self,
        encoded: Sequence[EncodedClip],
        labels: Any = None,
        *,
        question: str | None = None,
        with_reason: bool = True,
        watch: Any = None,
    ) -> list[Prediction]:
        return [
            self._answer(row, one, self.offered(labels), with_reason, watch)
            for row, one in enumerate(encoded)
        ]

    def reply(
        self, talks: Sequence[tuple[EncodedClip, Sequence[Turn]]], *, watch: Any = None
    ) -> list[str]:
        self.talks += [turns for _, turns in talks]
        return [
            self._written(row, one, f"you asked: {turns[-1].question}", watch)
            for row, (one, turns) in enumerate(talks)
        ]

    def _answer(
        self, row: int, encoded: EncodedClip, offered: LabelSet, with_reason: bool, watch: Any
    ) -> Prediction:
        assert encoded.clip is not None
        if encoded.transcript == "nothing":
            from emotion_llama.server.engine import UnanswerableError

            msg = f"{encoded.name} gives nothing"
            raise UnanswerableError(msg)
        if encoded.transcript == "fault":
            msg = "secret fault"
            raise TypeError(msg)
        evidence = encoded.clip.evidence or ()
        reason = f"heard: {evidence[0].statement if evidence else encoded.transcript}"
        share = 1 / len(offered)
        return Prediction(
            clip=encoded.name,
            label=offered.labels[0],
            probabilities=dict.fromkeys(offered.labels, share),
            reason=self._written(row, encoded, reason, watch) if with_reason else None,
            modalities=("audio",),
            missing={"text": "no transcript was given"},
            confidence=share,
            unsure=True,
            unsure_rule="a rule",
            valence=-1 / 3,
            key_frame_s=encoded.clip.key_frame_s,
            evidence=evidence if with_reason else (),
            warnings=(),
            timings_s=dict(encoded.timings_s),
            preset=self.preset,
        )

    def _written(self, row: int, encoded: EncodedClip, text: str, watch: Any) -> str:
        """Write a text word by word."""
        ends = time.monotonic() + HANG_S
        while encoded.transcript == "slow" and time.monotonic() < ends:
            if not watch(row, "well"):
                self.num_given_up += 1
                return "nobody reads this"
            time.sleep(0.01)
        if encoded.transcript == "rewritten":
            watch(row, "another beginning")
        words = text.split(" ")
        for end in range(len(words)):
            watch(row, " ".join(words[:end]) + " ")
        return text


def _features(clip: Clip) -> Features:
    import torch

    return Features(audio=None if clip.kind == "text" else torch.zeros(1))


def stub_engine(settings: ServeConfig | None = None, preset: str = "stub") -> Engine:
    """An engine as it is, around a model and readers that are not."""
    readers: Any = StubReaders()
    predictor: Any = StubPredictor(preset)
    return Engine(predictor, readers, settings or ServeConfig())


@contextmanager
def running(app: Any, **settings: Any) -> Iterator[str]:
    """Serve an application on a free port, with settings of uvicorn; gives its address."""
    config = uvicorn.Config(
        app,
        host="127.0.0.1",
        port=0,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=1,
        **settings,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started or not thread.is_alive())
    assert server.started, "the server did not start"
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive(), "the server did not stop"


async def until(is_so: Callable[[], bool]) -> None:
    """Wait in an event loop until something holds, but not for ever."""
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0.005)


def wait_for(condition: Any, seconds: float = 20.0) -> None:
    """Wait until something holds, and fail where it does not."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "waited in vain"
        time.sleep(0.01)


def wav(seconds: float = 0.5, hertz: float = 440.0) -> bytes:
    """A small sound file."""
    samples = np.sin(2 * np.pi * hertz * np.arange(round(seconds * 16000)) / 16000)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes((samples * 16000).astype("<i2").tobytes())
    return out.getvalue()
