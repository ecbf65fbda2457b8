"""Clips of started batches -> answers in the store, as far as those who wait leave room.

Knows: how many clips to hold, leases, what to do when a clip, the engine or the database fails.
Does not know: SQL, HTTP, how a clip is answered.
"""

import asyncio
import json
import logging
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import ParamSpec, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from emotion_llama.config import ServeConfig
from emotion_llama.server.api.api_error import to_api_error
from emotion_llama.server.api.schemas import prediction_record
from emotion_llama.server.batches.records import Job
from emotion_llama.server.batches.store import BatchStore
from emotion_llama.server.engine import Engine
from emotion_llama.server.engines import Engines

MAX_ATTEMPTS = 3
"""Times that servers may end while they answer for a clip, before it is taken for the cause."""

POLL_S = 0.5
"""Seconds between looks for work or room; both may come from elsewhere."""

TIDY_S = 60.0
"""Seconds between removals of what has expired."""

RETRY_S = (0.2, 1.0, 5.0)
"""Seconds to wait before each further try to store an answer; after the last, the lease runs out
and the clip is answered again."""

P = ParamSpec("P")
T = TypeVar("T")

_logger = logging.getLogger(__name__)


class BatchWorker:
    """Answers clips of batches with engines that others use too.

    Args:
        store: keeps batches; other servers may take clips from it too
        engines: answer; started before this and stopped after it
        settings: how much at once
    """

    def __init__(self, store: BatchStore, engines: Engines, settings: ServeConfig) -> None:
        self._store = store
        self._engines = engines
        self._settings = settings
        self._holder = secrets.token_hex(8)
        self._running: dict[str, asyncio.Task[None]] = {}
        """id of a clip -> what answers it"""
        self._num_admitted = 0
        """of these, how many hold a place in an engine"""
        self._stopping = asyncio.Event()
        self._changed = asyncio.Event()
        """set where a clip has ended, or all is to stop"""
        self._loops: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Take clips from now on, also those that a killed server left."""
        self._loops = [
            asyncio.create_task(work) for work in (self._take(), self._renew(), self._tidy())
        ]

    async def stop(self) -> None:
        """Take no more, and finish what was taken; the rest stays for the next start."""
        self._stopping.set()
        self._changed.set()
        if self._loops:
            await self._loops[0]
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    @property
    def _room(self) -> int:
        """Clips that may be taken: a batch's worth, less what all engines do for others.

        A place is always left to others, unless there is only one.
        """
        if self._engines.state != "ready":
            return 0
        most = max(1, min(self._settings.batch_size, self._settings.max_waiting - 1))
        num_others = self._engines.num_admitted - self._num_admitted
        return most - num_others - len(self._running)

    # the three loops go on whatever happens: nobody would see that one had ended

    async def _take(self) -> None:
        """Take clips whenever there is room."""
        while not self._stopping.is_set():
            self._changed.clear()
            if not await self._take_some():
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._changed.wait()

    async def _take_some(self) -> bool:
        room = self._room
        if room <= 0:
            return False
        try:
            jobs = await asyncio.to_thread(self._store.claim, self._holder, room)
        except Exception:
            _logger.exception("no clips of batches can be taken; trying again")
            return False
        for job in jobs:
            # a clip whose lease ran out meanwhile may still be in work here
            if job.clip_id not in self._running:
                task = asyncio.create_task(self._work(job))
                self._running[job.clip_id] = task
                task.add_done_callback(partial(self._end, job))
        return bool(jobs)

    def _end(self, job: Job, task: "asyncio.Task[None]") -> None:
        del self._running[job.clip_id]
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("%s has to be answered again", _place(job), exc_info=error)

    async def _work(self, job: Job) -> None:
        """Answer for a clip and store what came of it, or give it back."""
        prediction = words = None
        try:
            prediction = await self._answer(job)
        except Exception as error:
            words = self._words(job, error)
            if words is None:
                await _tried(self._store.release, self._holder, job)
                return
        await _tried(self._store.settle, self._holder, job, prediction=prediction, error=words)

    async def _answer(self, job: Job) -> str:
        """Give the JSON of an answer.

        Raises:
            ValueError: there is none
        """
        if job.attempts > MAX_ATTEMPTS:
            msg = (
                f"{job.name}: found that the server ended {MAX_ATTEMPTS} times over this clip or "
                "one that was answered beside it; send it again alone"
            )
            raise ValueError(msg)
        files, options = self._store.files, job.options
        engine = self._engines.named(options.model)
        path = files.path(job.batch_id, job.clip_id)
        if not path.exists():
            msg = f"{job.name}: found no file any more, expected it until the answer; send it again"
            raise ValueError(msg)
        with self._admitted(engine):
            text = await asyncio.to_thread(files.words, job.batch_id, job.clip_id)
            encoded = await engine.encode(path, text, name=job.name)
            prediction = await engine.answer(
                encoded, labels=options.labels, with_reason=options.with_reason
            )
        record = prediction_record(prediction, with_evidence=options.with_evidence)
        return json.dumps(record, allow_nan=False)

    @contextmanager
    def _admitted(self, engine: Engine) -> Iterator[None]:
        """Hold a place in an engine that is known to be held for a batch."""
        with engine.admitted():
            self._num_admitted += 1
            try:
                yield
            finally:
                self._num_admitted -= 1

    def _words(self, job: Job, error: Exception) -> str | None:
        """Say why there is no answer; ``None``: there may be one later."""
        answer = to_api_error(error, is_serving=self._engines.state == "ready")
        if answer.status in (429, 503):
            return None
        if answer.status < 500:
            return _storable(answer.message)
        _logger.error("unforeseen error over %s", _place(job), exc_info=error)
        return f"something failed here; it was logged under {_place(job)}"

    async def _renew(self) -> None:
        """Hold what is in work; let go what was cancelled or taken over."""
        while True:
            await asyncio.sleep(self._store.lease_s / 3)
            running = dict(self._running)
            if not running:
                continue
            try:
                held = await asyncio.to_thread(self._store.renew, self._holder, running)
            except Exception:
                _logger.exception("leases of clips cannot be renewed; trying again")
                continue
            for clip_id in running.keys() - held:
                running[clip_id].cancel()

    async def _tidy(self) -> None:
        """Remove what a killed server left, and again and again what has expired."""
        is_swept = False
        while True:
            try:
                if not is_swept:
                    await asyncio.to_thread(self._store.sweep)
                    is_swept = True
                await asyncio.to_thread(self._store.expire, self._settings.keep_batches_s)
            except Exception:
                _logger.exception("old batches cannot be removed; trying again")
            await asyncio.sleep(TIDY_S)


def _place(job: Job) -> str:
    return f"batch {job.batch_id}, clip {job.number}"


def _storable(words: str) -> str:
    """Replace what no database takes: halves of characters, and the character zero."""
    return words.encode("utf-8", "replace").decode().replace("\0", "?")


async def _tried(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Store something, in a thread, also where the database is away for a moment."""
    for wait_s in RETRY_S:
        try:
            return await asyncio.to_thread(function, *args, **kwargs)
        except SQLAlchemyError:
            _logger.exception("an answer cannot be stored; trying again")
            await asyncio.sleep(wait_s)
    return await asyncio.to_thread(function, *args, **kwargs)
