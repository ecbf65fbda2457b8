"""Many rows, several processes: the same work on each, in any order, and nothing stops the rest.

Knows: processes, their deaths, what is on disk already and what is not. Does not know: what the
work is. Ray's form of the same is in ``bulk_ray.py``.
"""

import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, Protocol, TypeVar

Row = TypeVar("Row")
Result = TypeVar("Result")
RowIn = TypeVar("RowIn", contravariant=True)
ResultOut = TypeVar("ResultOut", covariant=True)

IN_HAND = 2
"""Rows given to a process at once: it need not wait for the next one."""
SAVE_EVERY = 64
"""Rows after which a process saves: what a kill can cost."""
ATTEMPTS = 2
"""Times that a row is tried whose process died: the first death may not be its fault."""
STOP_S = 60.0
"""Seconds that a process is given to finish its row and save when all is to end."""


class Worker(Protocol[RowIn, ResultOut]):
    """What does the work inside one process."""

    def run(self, row: RowIn) -> ResultOut:
        """Work on one row; an exception is that row's failure."""
        ...

    def save(self) -> None:
        """Make what was done durable."""
        ...


class StopRunError(RuntimeError):
    """Something that no other row would survive either: the run ends in order."""


@dataclass(frozen=True)
class Done(Generic[Row, Result]):
    """What became of one row."""

    row: Row
    result: Result | None
    error: str | None
    """why there is no result"""


def run_bulk(
    make_worker: Callable[[], Worker[Row, Result]],
    rows: Iterable[Row],
    num_workers: int,
    *,
    row_limit_s: float | None = None,
) -> Iterator[Done[Row, Result]]:
    """Work on rows in processes of their own, and give what became of each, as it is done.

    A process that dies (a decoder that crashes on a file, a kill for memory) is replaced; the row
    it worked on is tried once more and then given up, and what it had not saved is done again.

    Args:
        make_worker: called once in every process; it must be picklable
        rows: what to work on; each must be picklable
        num_workers: processes; 0 works in this one
        row_limit_s: seconds after which a row is given up and its process replaced

    Raises:
        StopRunError: as a worker raised it; the others have saved
    """
    if num_workers < 0:
        msg = f"num_workers is {num_workers}; give 0 for this process, or how many to start"
        raise ValueError(msg)
    if num_workers == 0:
        yield from _run_here(make_worker, rows)
    else:
        yield from _Crew(make_worker, list(rows), num_workers, row_limit_s).run()


def num_usable_cpus() -> int:
    """Count the processors that this process may use, which may be fewer than there are."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def attempt(worker: Worker[Any, Result], row: Row, given: Any) -> Done[Row, Result]:
    """Let a worker do its work for a row; what goes wrong is that row's failure.

    Args:
        worker: who works
        row: what is told of
        given: what the worker is given: the row, or what an earlier stage made of it

    Raises:
        StopRunError: as the worker raised it
    """
    try:
        return Done(row, worker.run(given), None)
    except StopRunError:
        raise
    except Exception as error:
        return Done(row, None, describe(error))


def describe(error: BaseException) -> str:
    """Put an error in one line, with its type where the message is not meant for users."""
    words = " ".join(str(error).split()) or type(error).__name__
    meant_for_users = isinstance(error, ValueError | OSError | StopRunError)
    return words if meant_for_users else f"{type(error).__name__}: {words}"


def _run_here(
    make_worker: Callable[[], Worker[Row, Result]], rows: Iterable[Row]
) -> Iterator[Done[Row, Result]]:
    worker = make_worker()
    try:
        for count, row in enumerate(rows, start=1):
            done = attempt(worker, row, row)
            if count % SAVE_EVERY == 0:
                worker.save()
            yield done
    finally:
        worker.save()


@dataclass
class _Member:
    """One process, as seen from outside."""

    process: Any
    pipe: Connection
    in_hand: deque[int] = field(default_factory=deque)
    """rows that were given to it, in order; it works on the first"""
    unsaved: list[int] = field(default_factory=list)
    """rows that it has done since it last saved"""
    since: float = field(default_factory=time.monotonic)
    """when it was last heard of"""
    is_ready: bool = False


class _Crew(Generic[Row, Result]):
    """The processes of one run."""

    def __init__(
        self,
        make_worker: Callable[[], Worker[Row, Result]],
        rows: list[Row],
        num_workers: int,
        row_limit_s: float | None,
    ) -> None:
        self._make_worker = make_worker
        self._rows = rows
        self._waiting = deque(range(len(rows)))
        self._num_workers = min(num_workers, max(1, len(rows)))
        self._row_limit_s = row_limit_s
        self._deaths: dict[int, int] = {}
        self._told: set[int] = set()
        self._members: list[_Member] = []
        self._context = multiprocessing.get_context("spawn")  # threads do not survive a fork

    def run(self) -> Iterator[Done[Row, Result]]:
        """Give work out until all of it is done."""
        try:
            self._members = [self._start() for _ in range(self._num_workers)]
            while self._members:
                ready = wait([member.pipe for member in self._members], timeout=1.0)
                for member in [member for member in self._members if member.pipe in ready]:
                    yield from self._hear(member)
                for member in self._members:
                    self._give_up_late(member)
        finally:
            self._end()

    def _start(self) -> _Member:
        ours, theirs = self._context.Pipe()
        share = max(1, num_usable_cpus() // self._num_workers)
        process = self._context.Process(
            target=_work, args=(theirs, self._make_worker, share), daemon=True
        )
        with _deaf_to_ctrl_c():
            process.start()
        theirs.close()
        member = _Member(process, ours)
        self._supply(member)
        return member

    def _supply(self, member: _Member) -> None:
        """Keep a process in work; without any left, let it save and leave."""
        with suppress(BrokenPipeError, ConnectionResetError):  # it died: heard of when listening
            while self._waiting and len(member.in_hand) < IN_HAND:
                number = self._waiting.popleft()
                member.in_hand.append(number)
                member.pipe.send((number, self._rows[number]))
            if not member.in_hand:
                member.pipe.send(None)

    def _hear(self, member: _Member) -> Iterator[Done[Row, Result]]:
        try:
            kind, content = member.pipe.recv()
        except (EOFError, OSError):  # a message that was cut off is an OSError
            yield from self._lost(member)
            return
        member.since = time.monotonic()
        if kind == "ready":
            member.is_ready = True
            return
        if kind == "saved":
            member.unsaved.clear()
        elif kind == "stop":
            raise StopRunError(content)
        elif kind == "left":
            self._members.remove(member)
            member.process.join()
        else:
            number, result, error = content
            member.in_hand.popleft()
            member.unsaved.append(number)
            yield from self._tell(Done(self._rows[number], result, error), number)
            self._supply(member)

    def _tell(self, done: Done[Row, Result], number: int) -> Iterator[Done[Row, Result]]:
        """Tell of each row once, also of one that was done again."""
        if number not in self._told:
            self._told.add(number)
            yield done

    def _lost(self, member: _Member) -> Iterator[Done[Row, Result]]:
        """Replace a process that died, and let others do what it leaves behind."""
        self._members.remove(member)
        member.process.join()
        cause = _cause_of_death(member.process.exitcode)
        if not member.is_ready:
            msg = f"a process ended before it could begin ({cause}); see the message above"
            raise StopRunError(msg)
        self._waiting.extendleft(reversed([*member.unsaved, *list(member.in_hand)[1:]]))
        if member.in_hand:
            number = member.in_hand[0]
            self._deaths[number] = self._deaths.get(number, 0) + 1
            if self._deaths[number] < ATTEMPTS:
                self._waiting.append(number)  # last: what is sound goes first
            else:
                error = f"the process that worked on it ended {ATTEMPTS} times ({cause})"
                yield from self._tell(Done(self._rows[number], None, error), number)
        if self._waiting:
            self._members.append(self._start())

    def _give_up_late(self, member: _Member) -> None:
        if self._row_limit_s is None or not member.is_ready or not member.in_hand:
            return  # loading weights takes as long as it takes
        late = time.monotonic() - member.since > self._row_limit_s
        if late and not member.pipe.poll():  # it may have waited to be heard
            member.process.kill()

    def _end(self) -> None:
        """Let the processes finish their rows and save, however the run ended."""
        for member in self._members:
            if not member.is_ready:  # it has done nothing that could be lost
                member.process.kill()
            with suppress(OSError):
                member.pipe.send(None)
        deadline = time.monotonic() + STOP_S
        for member in self._members:
            with suppress(EOFError, OSError):
                while member.pipe.poll(max(0.0, deadline - time.monotonic())):
                    member.pipe.recv()
            member.process.join(max(0.1, deadline - time.monotonic()))
            if member.process.is_alive():
                member.process.kill()
        self._members = []


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Let processes that start inside not hear Ctrl-C, also while they are still importing."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    from multiprocessing import resource_tracker  # not on every system

    resource_tracker.ensure_running()  # its start would let the signal through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _cause_of_death(exit_code: int | None) -> str:
    if exit_code is not None and exit_code < 0:
        return signal.Signals(-exit_code).name
    return f"exit code {exit_code}"


def _work(pipe: Connection, make_worker: Callable[[], Worker[Any, Any]], num_threads: int) -> None:
    """Work on what comes through the pipe until ``None`` or its end; runs in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one ends it
    _use_threads(num_threads)
    try:
        worker = make_worker()
    except Exception as fault:
        pipe.send(("stop", describe(fault)))
        return
    pipe.send(("ready", None))
    count = 0
    try:
        while (order := _next_order(pipe)) is not None:
            number, row = order
            done = attempt(worker, row, row)
            pipe.send(("done", (number, done.result, done.error)))
            count += 1
            if count % SAVE_EVERY == 0:
                worker.save()
                pipe.send(("saved", None))
        worker.save()
        with suppress(OSError):
            pipe.send(("left", None))
    except StopRunError as stop:
        with suppress(StopRunError):  # what stops one row need not stop what is done
            worker.save()
        with suppress(OSError):
            pipe.send(("stop", str(stop)))
    except (BrokenPipeError, ConnectionResetError):  # the run was killed: keep what is done
        worker.save()


def _next_order(pipe: Connection) -> tuple[int, Any] | None:
    """Wait for the next row; ``None`` when there is none, also after the run was killed."""
    try:
        order: tuple[int, Any] | None = pipe.recv()
    except EOFError:
        return None
    return order


def _use_threads(count: int) -> None:
    """Share the processor out: every process with threads for all cores would only wait."""
    import cv2
    import torch

    torch.set_num_threads(count)
    cv2.setNumThreads(count)
