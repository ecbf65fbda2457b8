"""Uploaded file -> Clip, read in a process of its own that may crash, hang or grow.

Knows: the processes, who waits for one, when one is ended. Does not know: how files are read
(`emotion_llama.clip_reader`), what happens inside (`emotion_llama.server.reading.process`).
What this keeps apart and what not: see `Readers`.
"""

import asyncio
import json
import logging
import math
import os
import pickle
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict

from emotion_llama.clip_words import WordModels
from emotion_llama.config import MediaConfig
from emotion_llama.media import MediaError, MediaLimitError
from emotion_llama.records import Clip
from emotion_llama.server.reading.clip_message import (
    MAX_HEADER_BYTES,
    MAX_MESSAGE_BYTES,
    from_message,
)
from emotion_llama.server.reading.process import CLIP, ERROR, LENGTH, LENGTH_BYTES, READY

if TYPE_CHECKING:
    from emotion_llama.clip_reader import ClipReader

logger = logging.getLogger(__name__)

MakeReader = Callable[[], "ClipReader"]
"""Makes what reads files, once in each process; picklable, of a module that can be imported."""

START_S = 120.0
"""Seconds for a process to start: torch takes ten where the disk is cold."""

END_S = 5.0
"""Seconds for the end of a killed process to arrive."""

INHERITED = (
    *("HOME", "LANG", "LC_ALL", "LC_CTYPE", "PATH", "SYSTEMROOT", "TMPDIR", "TZ"),
    *("LD_LIBRARY_PATH", "PYTHONHOME", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OMP_WAIT_POLICY"),
    *("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"),
)
"""Variables that a reading process gets, where they are set; all others may be secrets."""

_STOPPED = "found a file to read while the server stops; send it again later"

T = TypeVar("T")

_PROGRAM = "from emotion_llama.server.reading.process import main; main()"


@dataclass(frozen=True)
class ReadLimits:
    """What one file may take."""

    time_s: float
    """seconds from when a process begins with it"""
    memory_mb: int
    """beyond what a process has when it is ready"""
    max_duration_s: float
    max_side_px: int
    max_streams: int


def make_reader(media: MediaConfig, words: WordModels, english_only: bool) -> "ClipReader":
    """Make what reads clips inside a process as `Predictor.read` does outside.

    Args:
        media: settings of the preset
        words: what is loaded for words
        english_only: whether the preset reads no other words
    """
    from emotion_llama.clip_reader import ClipReader
    from emotion_llama.evidence import measured_evidence

    reader = words.load(english_only=english_only)
    return ClipReader(media, words=reader, measure=measured_evidence)


class ReadTimeoutError(ValueError):
    """A file took longer than `ReadLimits.time_s`; the process was ended."""


class ReadCrashError(ValueError):
    """A reading process died, failed in a way that nobody foresaw, or does not start."""


class _ErrorRow(BaseModel):
    """An error as a reading process sends it."""

    model_config = ConfigDict(extra="forbid")

    kind: Literal["media", "limit", "value", "memory", "failed"]
    message: str = ""
    trace: str = ""
    found: str = ""
    expected: str = ""
    next_step: str = ""

    def to_error(self, name: str, limits: ReadLimits) -> ValueError:
        """Give the error that reading would have raised here."""
        match self.kind:
            case "value":
                return ValueError(self.message)
            case "failed":
                return ReadCrashError(
                    f"{name}: found a file on which reading fails ({self.message}), expected one "
                    "that plays; export it again"
                )
            case "memory":
                return MediaLimitError(
                    Path(name),
                    found=f"a file that needs more than {limits.memory_mb} MB to read",
                    expected="at most that",
                    next_step="send a shorter clip or a smaller picture",
                )
        kind = MediaLimitError if self.kind == "limit" else MediaError
        return kind(Path(name), found=self.found, expected=self.expected, next_step=self.next_step)


class _Process:
    """A reading process that is ready, or ended."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        assert process.stdin is not None and process.stdout is not None
        self._inbox, self._outbox = process.stdin, process.stdout
        self._listening = asyncio.Lock()

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    async def ask(self, task: bytes) -> bytes:
        """Send a task and wait for the answer.

        Raises:
            ReadCrashError: the process dies over it, or answers what it should not
        """
        try:
            async with self._listening:
                self._inbox.write(len(task).to_bytes(LENGTH_BYTES) + task)
                await self._inbox.drain()
                length = int.from_bytes(await self._outbox.readexactly(LENGTH_BYTES))
                if length > MAX_HEADER_BYTES + MAX_MESSAGE_BYTES:
                    msg = f"it answered with {length} bytes"
                    raise ReadCrashError(msg)
                return await self._outbox.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise ReadCrashError(await self._death()) from error

    async def _death(self) -> str:
        """Say how the process ended."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), END_S)
        code = self._process.returncode
        if code is not None and code < 0:
            return f"it was ended by {signal.Signals(-code).name}"
        return f"it ended with status {code}" if code is not None else "it closed its pipe"

    def kill(self) -> None:
        """End the process and all that it started."""
        if not self.is_alive:
            return
        with suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self._process.pid, signal.SIGKILL)
            else:
                self._process.kill()

    async def end(self) -> None:
        """Kill the process and wait until nothing of it is left."""
        self.kill()
        self._inbox.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(END_S), self._listening:
                # an answer half sent would keep the pipe open
                while await self._outbox.read(2**16):
                    pass
                await self._process.wait()


class Readers:
    """A few processes that read files, and the files that wait for one.

    What this keeps apart: a crash, a hang or a hunger for memory ends one process, and the server
    goes on. A process gets no secrets through its environment, writes no files, has a bound on
    memory and open files, cannot gain rights, and sends back data only, never code.

    What it does not: this is no sandbox. A file that takes over a decoder runs code as the server's
    own user: it may read and delete what that user may, reach the network, and change the answers
    of later files until its process is replaced. Where that matters, run the whole server in a
    container without network and secrets. The bound on memory holds on Linux, that on files on
    Linux and macOS.

    Args:
        make_reader: makes what reads files; called in each process
        limits: what one file may take
        num_processes: files that are read at a time
    """

    def __init__(self, make_reader: MakeReader, limits: ReadLimits, num_processes: int) -> None:
        self._setup = pickle.dumps((make_reader, limits))
        self._limits = limits
        self._num_processes = num_processes
        # an empty place is filled by the read that gets it
        self._free: asyncio.Queue[_Process | None] = asyncio.Queue()
        self._processes: set[_Process] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._waiting = 0
        self._is_stopped = False

    @property
    def waiting(self) -> int:
        """Number of files that wait for a process."""
        return self._waiting

    async def start(self) -> None:
        """Start all processes and wait until they are ready.

        Raises:
            ReadCrashError: one does not start; none is left behind
        """
        starts = [self._begin(self._start_one()) for _ in range(self._num_processes)]
        try:
            for process in await asyncio.gather(*starts):
                self._free.put_nowait(process)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """End all processes; files that are read or wait are refused."""
        self._is_stopped = True
        for process in self._processes:
            process.kill()
        for task in self._tasks:
            task.cancel()
        for _ in range(self._waiting):
            self._free.put_nowait(None)
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*map(self._end, list(self._processes)))

    async def read(
        self,
        path: Path | None,
        text: str | None = None,
        span: tuple[float, float] | None = None,
        name: str | None = None,
    ) -> Clip:
        """Read a file as `ClipReader.read` does, without the frames and without the path.

        Args:
            path: the file, whose name without the ending becomes the clip id; ``None`` for text
                alone
            text: what is said in the clip
            span: only this part of it, start and end in seconds
            name: what messages call the file; default is its own name

        Raises:
            MediaError: the file gives nothing
            MediaLimitError: it is more than the limits allow
            ValueError: the reader refuses text or span
            ReadTimeoutError: it takes too long
            ReadCrashError: reading it fails, or the server stops
        """
        own_name = "text" if path is None else path.name
        outcome = await self._asked(path, name or own_name, text=text, span=span)
        if not isinstance(outcome, Clip):
            raise TypeError(outcome)
        return outcome

    async def length_s(self, path: Path, name: str | None = None) -> float | None:
        """Give the length of a film or sound by its header or, without one, by its packets.

        Returns:
            seconds; ``None`` for a still picture, and where nothing states times

        Raises:
            ValueError: as `read`
        """
        outcome = await self._asked(path, name or path.name, only_length=True)
        if isinstance(outcome, Clip):
            raise TypeError(outcome)
        return outcome

    async def _asked(self, path: Path | None, name: str, **task: Any) -> Clip | float | None:
        """Let a free process do something with a file."""
        request = {"path": None if path is None else str(path.absolute()), "name": name, **task}
        process = await self._next_free()
        is_fit = False
        try:
            if process is None or not process.is_alive:
                await self._end(process)
                process = None
                process = await self._begin(self._start_one())
            outcome = await self._outcome(process, json.dumps(request).encode(), name)
            is_fit = not isinstance(outcome, _ErrorRow) or outcome.kind != "memory"
        finally:
            self._give_back(process, is_fit)
        if not isinstance(outcome, _ErrorRow):
            return outcome
        if outcome.trace:
            logger.error("reading %r failed:\n%s", name, outcome.trace)
        raise outcome.to_error(name, self._limits)

    async def _next_free(self) -> _Process | None:
        """Wait for a place, first come first served."""
        if self._is_stopped:
            raise ReadCrashError(_STOPPED)
        self._waiting += 1
        try:
            process = await self._free.get()
        finally:
            self._waiting -= 1
        if self._is_stopped:
            raise ReadCrashError(_STOPPED)
        return process

    def _give_back(self, process: _Process | None, is_fit: bool) -> None:
        """Let the next file have the place; a process that is not fit for it is replaced."""
        if process is None or is_fit:
            self._free.put_nowait(process)
            return
        process.kill()
        if not self._is_stopped:
            self._begin(self._replace(process))

    async def _replace(self, process: _Process) -> None:
        fresh = None
        try:
            await self._end(process)
            # where it fails, the next file tries again and hears of it
            with suppress(ReadCrashError):
                fresh = await self._start_one()
        finally:
            self._free.put_nowait(fresh)

    async def _outcome(
        self, process: _Process, request: bytes, name: str
    ) -> Clip | float | _ErrorRow | None:
        """Let a process read a file.

        Raises:
            ReadTimeoutError: it takes too long
            ReadCrashError: the process dies, or its answer cannot be read
        """
        try:
            async with asyncio.timeout(self._limits.time_s):
                answer = await process.ask(request)
            if answer[:1] == CLIP:
                return from_message(answer[1:])
            return _length_of(answer) if answer[:1] == LENGTH else _error_of(answer)
        except TimeoutError as error:
            msg = (
                f"{name}: found a file that takes more than {self._limits.time_s:g} s to read, "
                "expected at most that; send a shorter clip or a smaller picture"
            )
            raise ReadTimeoutError(msg) from error
        except ValueError as error:
            why = error if isinstance(error, ReadCrashError) else "its answer cannot be read"
            msg = (
                f"{name}: found a file on which the reading process fails ({why}), expected one "
                "that plays; export it again"
            )
            raise ReadCrashError(_STOPPED if self._is_stopped else msg) from error

    async def _start_one(self) -> _Process:
        """Start a process and wait until it is ready.

        Raises:
            ReadCrashError: it does not start, or all are stopped
        """
        process = None
        try:
            process = await _spawn()
            self._processes.add(process)
            async with asyncio.timeout(START_S):
                answer = await process.ask(self._setup)
            if answer != READY:
                raise ReadCrashError(_error_of(answer).message)
        except BaseException as error:
            await self._end(process)
            if self._is_stopped:
                raise ReadCrashError(_STOPPED) from error
            if not isinstance(error, ValueError | OSError):
                raise
            msg = f"a reading process does not start ({error or 'it takes too long'})"
            raise ReadCrashError(msg) from error
        return process

    async def _end(self, process: _Process | None) -> None:
        if process is not None:
            await process.end()
            self._processes.discard(process)

    def _begin(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run work that `stop` cancels and waits for."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _spawn() -> _Process:
    """Start a process that waits for what makes its reader."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    # what can be imported here can be imported there
    environment["PYTHONPATH"] = os.pathsep.join(path or str(Path.cwd()) for path in sys.path)
    # every pool of memory reserves 64 MB of addresses, and decoders have many threads
    environment["MALLOC_ARENA_MAX"] = "2"
    return _Process(
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-c", _PROGRAM),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
            start_new_session=True,
        )
    )


def _length_of(answer: bytes) -> float | None:
    """Read a length.

    Raises:
        ValueError: it is none
    """
    length_s = json.loads(answer[1:])
    if length_s is None or (isinstance(length_s, float) and 0 <= length_s < math.inf):
        return length_s
    msg = "found no length"
    raise ValueError(msg)


def _error_of(answer: bytes) -> _ErrorRow:
    """Read an answer that is no clip.

    Raises:
        ValueError: it is no error either
    """
    if answer[:1] != ERROR:
        msg = f"it answered {answer[:1]!r}, expected a clip or an error"
        raise ValueError(msg)
    return _ErrorRow.model_validate_json(answer[1:])
