"""Many clients -> one `Predictor`: files are read side by side, clips answered in small batches.

Knows: the queue, who waits for what, when to stop. Does not know: HTTP, pages, how a clip is read
or answered. What is free takes all that waits, up to a batch: alone, a clip never waits for others.
"""

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from emotion_llama.clip_words import WordModels
from emotion_llama.config import ServeConfig
from emotion_llama.encoded_clip import EncodedClip
from emotion_llama.predict import ClipFailure, Labels, Predictor
from emotion_llama.prompt import Turn
from emotion_llama.records import Prediction
from emotion_llama.server.reading.readers import Readers

State = Literal["starting", "ready", "draining", "stopped"]
OnText = Callable[[str], None]

_USUAL_ANSWER_S = 1.0
"""Taken for the seconds of an answer before the first one is given."""
_MEMORY = 0.9
"""Weight of the past in the mean seconds between answers, by which a client is told to wait."""
_MODEL_TURN = threading.Lock()
"""Held while a model works: engines of one process take turns, for torch's number of threads, by
which last digits differ, is set for the whole process."""


class BusyError(RuntimeError):
    """As many requests wait as may.

    Args:
        waiting: requests
        retry_after_s: after which it is worth trying again
    """

    def __init__(self, waiting: int, retry_after_s: int) -> None:
        super().__init__(
            f"{waiting} requests are waiting, which is the most that may; "
            f"try again in {retry_after_s} s"
        )
        self.retry_after_s = retry_after_s


class NotServingError(RuntimeError):
    """The engine has not started yet, or accepts no more because it is being stopped."""


class UnanswerableError(ValueError):
    """A clip gives nothing to answer from."""


@dataclass(frozen=True)
class _Kind:
    """Work that may be done together."""

    stage: Literal["encode", "answer", "reply"]
    labels: tuple[str, ...] | None = None
    with_reason: bool = False


@dataclass(eq=False)
class _Work:
    """One thing that the model is to do for a client."""

    kind: _Kind
    given: Any
    """a `Clip` to encode, an `EncodedClip` to answer for, or one with the turns of a talk"""
    future: "asyncio.Future[Any]"
    on_text: OnText | None = None
    turns: Sequence[Turn] = field(default=())

    @property
    def is_wanted(self) -> bool:
        return not self.future.done()


class Engine:
    """Answers for many clients with one predictor.

    Args:
        predictor: answers; nobody else uses it meanwhile
        readers: turn files into clips
        settings: how much at once
        words: what the readers hear and translate words with
    """

    def __init__(
        self,
        predictor: Predictor,
        readers: Readers,
        settings: ServeConfig,
        *,
        words: WordModels | None = None,
    ) -> None:
        self.predictor = predictor
        self.readers = readers
        self.settings = settings
        self.words = words or WordModels()
        self.state: State = "starting"
        self.num_admitted = 0
        """requests accepted and not yet answered"""
        self.batches: dict[int, int] = {}
        """size -> how many batches of clips were answered"""
        self._waiting: deque[_Work] = deque()
        self._filled = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._thread = ThreadPoolExecutor(1, "model")
        self._loop_task: asyncio.Task[None] | None = None
        self._answer_s = _USUAL_ANSWER_S

    @property
    def translates(self) -> bool:
        """Whether words in other languages are put into English."""
        return self.words.translation is not None

    async def start(self) -> None:
        """Start the readers, and take work."""
        await self.readers.start()
        self._loop_task = asyncio.create_task(self._work())
        self.state = "ready"

    async def stop(self) -> None:
        """Accept nothing more, finish what was accepted, and end the processes."""
        if self.state == "stopped":
            return
        self.state = "draining"
        await self._empty.wait()
        if self._loop_task is not None:
            self._loop_task.cancel()
            with suppress(asyncio.CancelledError):
                await self._loop_task
        await self.readers.stop()
        self._thread.shutdown()
        self.state = "stopped"

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Hold a place among the requests that are being answered.

        Raises:
            BusyError: there is none
            NotServingError: not started yet, or being stopped
        """
        if self.state != "ready":
            msg = f"the service is {self.state}; try again later"
            raise NotServingError(msg)
        if self.num_admitted >= self.settings.max_waiting:
            raise BusyError(self.num_admitted, self.retry_after_s)
        start = time.monotonic()
        self.num_admitted += 1
        self._empty.clear()
        try:
            yield
        finally:
            before = self.num_admitted
            self.num_admitted -= 1
            took_s = (time.monotonic() - start) / before
            self._answer_s = _MEMORY * self._answer_s + (1 - _MEMORY) * took_s
            if self.num_admitted == 0:
                self._empty.set()

    @property
    def only_appends(self) -> bool:
        """Whether a reason so far is always the beginning of the whole one.

        Not where a preset writes a reason anew that does not keep to what was measured.
        """
        return int(self.predictor.model.config.reason_candidates) < 2

    @property
    def retry_after_s(self) -> int:
        """Seconds in which about half of those that wait will have been answered, at least 1."""
        return max(1, round(self.num_admitted * self._answer_s / 2))

    async def encode(
        self,
        path: Path | None,
        text: str | None = None,
        *,
        span: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> EncodedClip:
        """Read and encode a file, or text alone.

        Args:
            path: of the file; ``None`` for text alone
            text: what is said in it
            span: seconds of it from and to; ``None``: all
            name: what it is called in the answer and in errors

        Raises:
            ValueError: the file gives nothing or is refused; see `Readers.read`
        """
        start = time.perf_counter()
        if path is None and not self.translates:
            clip = self.predictor.read(None, text)  # takes no time
        else:
            clip = await self.readers.read(path, text, span=span, name=name)
        read_s = time.perf_counter() - start
        encoded: EncodedClip = await self._ask(_Kind("encode"), clip)
        timings = {"read": read_s, **encoded.timings_s}
        return replace(encoded, name=name or clip.clip_id, timings_s=timings)

    async def answer(
        self,
        encoded: EncodedClip,
        *,
        labels: Labels = None,
        with_reason: bool = True,
        on_text: OnText | None = None,
    ) -> Prediction:
        """Answer for an encoded clip, together with others of the same question that wait.

        Args:
            encoded: of `encode`
            labels: labels to offer, in this order; default is the preset's list
            with_reason: also write the reason
            on_text: told the reason so far, in the event loop, each time that it has grown

        Raises:
            UnanswerableError: there is nothing to answer from
            ValueError: the labels are unusable
        """
        offered = None if labels is None else tuple(self.predictor.offered(labels).labels)
        kind = _Kind("answer", offered, with_reason)
        prediction: Prediction = await self._ask(kind, encoded, on_text)
        return prediction

    async def reply(
        self, encoded: EncodedClip, turns: Sequence[Turn], on_text: OnText | None = None
    ) -> str:
        """Reply to the last question of a talk about a clip.

        Args:
            encoded: of `encode`
            turns: earlier questions with their answers, then the question to answer
            on_text: told the reply so far, in the event loop, each time that it has grown

        Raises:
            UnanswerableError: there is nothing to reply to, or the talk is too long
        """
        text: str = await self._ask(_Kind("reply"), encoded, on_text, turns)
        return text

    async def _ask(
        self, kind: _Kind, given: Any, on_text: OnText | None = None, turns: Sequence[Turn] = ()
    ) -> Any:
        """Put work into the queue and wait for it; who goes away takes it out again."""
        work = _Work(kind, given, asyncio.get_running_loop().create_future(), on_text, turns)
        self._waiting.append(work)
        self._filled.set()
        try:
            return await work.future
        finally:
            with suppress(ValueError):
                self._waiting.remove(work)

    async def _work(self) -> None:
        """Do what waits, as much together as may be."""
        loop = asyncio.get_running_loop()
        while True:
            await self._filled.wait()
            group = self._next_group()
            if not group:
                self._filled.clear()
                continue
            results = await loop.run_in_executor(self._thread, self._attempt, loop, group)
            for work, result in zip(group, results, strict=True):
                _settle(work.future, result)

    def _next_group(self) -> list[_Work]:
        """Take the oldest kind of work, and all of its kind up to a batch; short work goes first.

        A clip to encode takes a small part of the time of an answer, and what is encoded can be
        answered with the next batch.
        """
        if not self._waiting:
            return []
        first = next((w for w in self._waiting if w.kind.stage == "encode"), self._waiting[0])
        group = [work for work in self._waiting if work.kind == first.kind]
        group = group[: self.settings.batch_size]
        for work in group:
            self._waiting.remove(work)
        return group

    def _attempt(self, loop: asyncio.AbstractEventLoop, group: Sequence[_Work]) -> Sequence[Any]:
        """Do work together; where that fails, one by one, so that nobody fails for another."""
        try:
            with _MODEL_TURN:
                return self._run(loop, group)
        except Exception as error:
            if len(group) == 1:
                return [error]
        return [self._attempt(loop, [work])[0] for work in group]

    def _run(self, loop: asyncio.AbstractEventLoop, group: Sequence[_Work]) -> Sequence[Any]:
        """Let the predictor do work of one kind; in the thread of the model."""
        kind = group[0].kind
        if kind.stage == "encode":
            return self.predictor.encode([work.given for work in group])

        def watch(row: int, text: str) -> bool:
            work = group[row]
            if work.on_text is not None and work.is_wanted:
                loop.call_soon_threadsafe(work.on_text, text)
            return work.is_wanted

        self.batches[len(group)] = self.batches.get(len(group), 0) + 1
        if kind.stage == "reply":
            talks = [(work.given, work.turns) for work in group]
            return self.predictor.reply(talks, watch=watch)
        return self.predictor.answer(
            [work.given for work in group],
            kind.labels,
            with_reason=kind.with_reason,
            watch=watch,
        )


def _settle(future: "asyncio.Future[Any]", result: Any) -> None:
    """Give a result to who waits, if anybody still does."""
    if future.done():
        return
    if isinstance(result, ClipFailure):
        result = UnanswerableError(result.error)
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
