"""Files that crash, hang or grow end one process, and nothing else; all others are read."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, nullcontext
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hostile_files import NO_MEDIA, PLAYLISTS, matroska, mp4_that_states, png, wav
from hostile_readers import (
    ActingReader,
    PlainReader,
    broken_reader,
    dying_reader,
    reader_of_mini,
    reader_while,
)
from PIL import Image

from emotion_llama import Predictor
from emotion_llama.media import MediaError, MediaLimitError
from emotion_llama.predict import ClipFailure
from emotion_llama.records import Clip, FaceTrack, Prediction
from emotion_llama.server.reading.process import answer
from emotion_llama.server.reading.readers import (
    ReadCrashError,
    Readers,
    ReadLimits,
    ReadTimeoutError,
)

LIMITS = ReadLimits(time_s=30, memory_mb=1000, max_duration_s=60, max_side_px=4000, max_streams=8)
EXAMPLE = Path(__file__).parents[3] / "examples" / "smile.mp4"


@pytest.fixture
def still(tmp_path: Path) -> Path:
    path = tmp_path / "secret-place.png"
    Image.new("RGB", (30, 20)).save(path)
    return path


@asynccontextmanager
async def running(
    make: Callable[[], Any] = ActingReader, num_processes: int = 1, **limits: float
) -> AsyncIterator[Readers]:
    readers = Readers(make, replace(LIMITS, **limits), num_processes)
    await readers.start()
    try:
        yield readers
    finally:
        await readers.stop()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a test's work, and check that no process outlives it."""
    before = children()
    result = asyncio.run(work)
    assert children() == before
    return result


def children() -> set[str]:
    """Ids of this process's children, where the system tells."""
    listing = Path(f"/proc/self/task/{os.getpid()}/children")
    return set(listing.read_text().split()) if listing.exists() else set()


async def pid_of(readers: Readers, path: Path) -> str:
    return (await readers.read(path)).warnings[1]


def test_a_file_is_read_in_another_process(still: Path) -> None:
    async def work() -> None:
        async with running() as readers:
            clip = await readers.read(still, "words", (1.0, 2.5), "mine.png")
            assert clip.clip_id == "secret-place"
            assert (clip.transcript, clip.path, clip.frames) == ("words", None, None)
            assert np.array_equal(clip.frame_times_s, [1.0, 2.5])
            assert clip.missing == {"audio": "read mine.png"}
            assert clip.warnings[0] == "read mine.png"
            assert clip.warnings[1] != str(os.getpid())

    run(work())


def test_a_reader_without_spans_is_not_given_one(still: Path) -> None:
    async def work() -> None:
        async with running(PlainReader) as readers:
            assert (await readers.read(still, "words")).transcript == "words"
            with pytest.raises(ReadCrashError, match="TypeError.*span"):
                await readers.read(still, span=(0, 1))

    run(work())


def test_the_length_is_told_without_reading(tmp_path: Path, still: Path) -> None:
    sound = tmp_path / "sound.wav"
    sound.write_bytes(wav(3, 3))

    async def work() -> None:
        async with running(max_duration_s=5) as readers:
            assert await readers.length_s(EXAMPLE) == pytest.approx(3.83, abs=0.2)
            assert await readers.length_s(sound) == pytest.approx(3)
            assert await readers.length_s(still) is None
            with pytest.raises(MediaError, match="mine"):
                await readers.length_s(tmp_path / "absent", "mine")
        async with running(max_duration_s=2) as readers:
            with pytest.raises(MediaLimitError, match="at most 2 s"):
                await readers.length_s(sound, "mine")

    run(work())


ERRORS: dict[str, tuple[type[Exception], str]] = {
    "refuse": (
        MediaError,
        r"^my film\.png: found bad my film\.png; expected a film; send it again$",
    ),
    "value": (ValueError, r"^my film\.png: found a span, expected another$"),
    "bug": (ReadCrashError, r"my film\.png: .*reading fails \(KeyError: .*nobody thought of"),
    "long": (MediaLimitError, r"my film\.png: found a length of 99 s; expected at most 60 s"),
}


def test_errors_are_those_of_the_reader_and_do_not_show_where_the_file_lies(still: Path) -> None:
    async def work() -> None:
        async with running() as readers:
            before = await pid_of(readers, still)
            for act, (error, words) in ERRORS.items():
                with pytest.raises(error, match=words) as caught:
                    await readers.read(still, act, name="my film.png")
                assert type(caught.value) is error
                assert "secret-place" not in str(caught.value)
            assert await pid_of(readers, still) == before

    run(work())


def test_where_an_unforeseen_error_came_from_is_in_the_log(
    still: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        async with running() as readers:
            with pytest.raises(ReadCrashError):
                await readers.read(still, "bug", name="mine")

    run(work())
    assert "reading 'mine' failed" in caplog.text
    assert 'hostile_readers.py", line' in caplog.text


DEATHS: dict[str, tuple[type[Exception], str]] = {
    "abort": (ReadCrashError, r"my film\.png: .*ended by SIGABRT.*export it again"),
    "segfault": (ReadCrashError, "SIGSEGV"),
    "exit": (ReadCrashError, "ended with status 3"),
    "forge": (ReadCrashError, "its answer cannot be read"),
    "boast": (ReadCrashError, "it answered with 1099511627776 bytes"),
    "eat": (MediaLimitError, r"my film\.png: found .* more than 300 MB .*; send a shorter"),
    "eat_slowly": (MediaLimitError, "more than 300 MB"),
}


def test_a_process_that_dies_or_has_no_memory_is_replaced(still: Path) -> None:
    async def work() -> None:
        async with running(memory_mb=300) as readers:
            seen = {await pid_of(readers, still)}
            for act, (error, words) in DEATHS.items():
                with pytest.raises(error, match=words):
                    await readers.read(still, act, name="my film.png")
                seen.add(await pid_of(readers, still))
            assert len(seen) == 1 + len(DEATHS)

    run(work())


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), "memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "memory"),
        (RuntimeError("can't start new thread"), "memory"),
        (BlockingIOError(11, "Resource temporarily unavailable"), "memory"),
        (RuntimeError("shapes do not fit"), "failed"),
        (ValueError("cannot allocate memory"), "value"),
    ],
    ids=str,
)
def test_memory_that_runs_out_has_many_names(still: Path, error: Exception, kind: str) -> None:
    class Raiser(ActingReader):
        def read(self, *_arguments: Any) -> Clip:
            raise error

    task = {"path": str(still), "name": "mine", "text": None, "span": None}
    answered = answer(Raiser(), task, LIMITS)  # type: ignore[arg-type]
    assert json.loads(answered[1:])["kind"] == kind


def test_a_read_that_takes_too_long_is_ended_and_the_next_one_works(still: Path) -> None:
    async def work() -> None:
        async with running(time_s=0.5) as readers:
            for act in ("sleep", "spin"):
                start = time.perf_counter()
                with pytest.raises(ReadTimeoutError, match=r"mine: .* more than 0\.5 s to read"):
                    await readers.read(still, act, name="mine")
                assert time.perf_counter() - start < 20
                assert (await readers.read(still, "words")).transcript == "words"

    run(work())


def test_who_goes_away_ends_the_read_or_leaves_the_queue(still: Path) -> None:
    async def work() -> None:
        async with running() as readers:
            before = await pid_of(readers, still)
            reading = asyncio.create_task(readers.read(still, "sleep"))
            await asyncio.sleep(0.1)
            dropped = asyncio.create_task(readers.read(still, "sleep"))
            last = asyncio.create_task(readers.read(still, "words"))
            await asyncio.sleep(0.1)
            assert readers.waiting == 2
            dropped.cancel()
            await asyncio.sleep(0)
            assert readers.waiting == 1
            reading.cancel()
            start = time.perf_counter()
            assert await asyncio.gather(reading, dropped, return_exceptions=True)
            assert reading.cancelled()
            assert dropped.cancelled()
            assert time.perf_counter() - start < 20
            assert (await last).warnings[1] != before
            assert readers.waiting == 0

    run(work())


def test_files_are_read_in_the_order_in_which_they_came(still: Path) -> None:
    async def work() -> None:
        order: list[str] = []

        async def read(readers: Readers, text: str) -> None:
            await readers.read(still, text)
            order.append(text)

        async with running() as readers:
            await asyncio.gather(*(read(readers, str(number)) for number in range(8)))
        assert order == [str(number) for number in range(8)]

    run(work())


def test_processes_work_side_by_side_and_the_loop_goes_on(still: Path) -> None:
    async def work() -> None:
        async with running(num_processes=2) as readers:
            ticks = 0
            reads = asyncio.gather(*(readers.read(still, "slow") for _ in range(2)))
            while not reads.done():
                await asyncio.sleep(0.01)
                ticks += 1
            assert len({clip.warnings[1] for clip in await reads}) == 2
            assert ticks > 3

    run(work())


def test_many_reads_grow_neither_processes_nor_open_files(still: Path) -> None:
    async def work() -> None:
        def state() -> tuple[int, int]:
            return len(children()), len(list(Path("/proc/self/fd").iterdir()))

        async with running() as readers:
            files = json.loads((await readers.read(still, "state")).transcript or "")["open_files"]
            before = state()
            pid = await pid_of(readers, still)
            for number in range(50):
                with pytest.raises(MediaError) if number % 2 else nullcontext():
                    await readers.read(still, "refuse" if number % 2 else "large")
            assert await pid_of(readers, still) == pid
            assert state() == before
            after = json.loads((await readers.read(still, "state")).transcript or "")
            assert after["open_files"] == files
            for _ in range(3):
                with pytest.raises(ReadCrashError):
                    await readers.read(still, "exit")
            await readers.read(still)
            assert state() == before

    run(work())


def test_a_process_has_no_secrets_and_few_rights(
    still: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "abc")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    async def work() -> None:
        async with running() as readers:
            state = json.loads((await readers.read(still, "state")).transcript or "")
            assert "SECRET_TOKEN" not in state["environment"]
            assert "abc" not in state["environment"].values()
            assert state["environment"]["OMP_NUM_THREADS"] == "1"
            assert state["is_leader"], "Ctrl-C in the terminal does not reach it"
            assert state["no_new_privileges"] == "1"
            assert (await readers.read(still, "write")).transcript == "OSError0"
            assert int((await readers.read(still, "open_many")).transcript or "") < 64
            assert (await readers.read(still, "print")).transcript == ""

    run(work())


def test_a_process_dies_with_its_parent(still: Path, tmp_path: Path) -> None:
    program = f"""
import asyncio
from pathlib import Path
from hostile_readers import ActingReader
from emotion_llama.server.reading.readers import ReadLimits, Readers
async def work():
    readers = Readers(ActingReader, ReadLimits(60, 1000, 60, 4000, 8), 2)
    await readers.start()
    still = Path({str(still)!r})
    print(*[(await readers.read(still)).warnings[1] for _ in range(2)], flush=True)
    await readers.read(still, "spin")
asyncio.run(work())
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, env=environment
    ) as parent:
        assert parent.stdout is not None
        pids = parent.stdout.readline().split()
        time.sleep(0.1)
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
        parent.kill()
    assert len(set(pids)) == 2
    end = time.monotonic() + 5
    while any(is_running(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(is_running(pid) for pid in pids)


def is_running(pid: str) -> bool:
    """Tell whether a process runs; a dead one that nobody took note of does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_stopping_refuses_what_is_read_and_what_waits(still: Path) -> None:
    async def work() -> None:
        async with running() as readers:
            reads = [asyncio.create_task(readers.read(still, "sleep")) for _ in range(3)]
            await asyncio.sleep(0.1)
            await readers.stop()
            for read in reads:
                with pytest.raises(ReadCrashError, match="the server stops; send it again later"):
                    await read
            with pytest.raises(ReadCrashError, match="the server stops"):
                await readers.read(still)
            assert readers.waiting == 0

    run(work())


def test_stopping_amid_a_replacement_leaves_nothing(still: Path) -> None:
    async def work() -> None:
        async with running() as readers:
            with pytest.raises(ReadCrashError):
                await readers.read(still, "exit")
            waiting = asyncio.create_task(readers.read(still))
            await asyncio.sleep(0.05)
            await readers.stop()
            with pytest.raises(ReadCrashError, match="the server stops"):
                await waiting

    run(work())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (broken_reader, "does not start .*OSError: no weights"),
        (dying_reader, "ended with status 7"),
    ],
)
def test_a_reader_that_cannot_be_made_is_reported_at_the_start(make: Any, words: str) -> None:
    async def work() -> None:
        readers = Readers(make, LIMITS, 2)
        with pytest.raises(ReadCrashError, match=words):
            await readers.start()

    run(work())


def test_a_place_whose_process_does_not_start_again_is_tried_again(still: Path) -> None:
    marker = still.with_suffix(".marker")
    marker.touch()

    async def work() -> None:
        async with running(partial(reader_while, marker)) as readers:
            marker.unlink()
            with pytest.raises(ReadCrashError, match="status 3"):
                await readers.read(still, "exit")
            with pytest.raises(ReadCrashError, match="does not start"):
                await readers.read(still)
            marker.touch()
            assert (await readers.read(still, "words")).transcript == "words"

    run(work())


def test_an_idle_process_that_died_is_not_the_files_fault(still: Path) -> None:
    async def work() -> None:
        async with running() as readers:
            os.kill(int(await pid_of(readers, still)), 9)
            await asyncio.sleep(0.2)
            assert (await readers.read(still, "words")).transcript == "words"

    run(work())


HOSTILE = {
    "huge.png": png(65535, 65535),
    "large.png": png(13_000, 13_000),
    "torn.png": png(3000, 3000),
    "bomb.png": png(3900, 3900, bytes(3900 * 11701)),
    "hours.wav": wav(36_000, 3600),
    "short.wav": wav(36_000, 1),
    "long.mkv": matroska(duration_s=100_000),
    "long.mp4": mp4_that_states(EXAMPLE.read_bytes(), 100_000),
    "tracks.mkv": matroska(num_tracks=10_000),
    "broken.mkv": matroska(),
    "half.mp4": EXAMPLE.read_bytes()[:30_000],
    **PLAYLISTS,
    **NO_MEDIA,
}
"""What is sent to the reader of the packaged preset."""

READ = {"bomb.png", "short.wav", "half.mp4"}
"""Those of which something can be read within the limits."""


def test_hostile_files_end_in_an_answer_and_leave_the_process_alive(tmp_path: Path) -> None:
    async def outcome(readers: Readers, name: str) -> str:
        path = tmp_path / name
        path.write_bytes(HOSTILE[name])
        try:
            clip = await readers.read(path, name="mine")
        except MediaError as error:
            assert str(error).startswith("mine: found")
            assert str(tmp_path) not in str(error)
            return type(error).__name__
        assert not any(str(tmp_path) in words for words in clip.warnings)
        return "read"

    async def work() -> None:
        async with running(reader_of_mini) as readers:
            outcomes = {name: await outcome(readers, name) for name in HOSTILE}
            assert {name for name, came in outcomes.items() if came == "read"} == READ
            limited = {name for name, came in outcomes.items() if came == "MediaLimitError"}
            over = {"huge.png", "large.png", "hours.wav", "long.mkv", "long.mp4", "tracks.mkv"}
            assert limited == over

    run(work())


def test_an_answer_is_the_same_as_without_the_process() -> None:
    predictor = Predictor.from_pretrained("mini", device="cpu")
    text = EXAMPLE.with_suffix(".txt").read_text()

    async def work() -> tuple[Clip, Clip]:
        async with running(reader_of_mini) as readers:
            return await readers.read(EXAMPLE, text), await readers.read(EXAMPLE, text)

    here = predictor.read(EXAMPLE, text)
    there, again = run(work())
    assert there.faces is not None
    for clip in (there, again):
        assert_same(clip, replace(here, path=None, frames=None))
    one, other = (predictor.encode([clip])[0] for clip in (here, there))
    for name in ("patches", "class_token", "local", "temporal", "audio"):
        assert torch.equal(getattr(one.features, name), getattr(other.features, name)), name
    assert one.features.missing == other.features.missing
    first, second = (predictor.answer([encoded])[0] for encoded in (one, other))
    assert without_times(first) == without_times(second)


def without_times(answer: Prediction | ClipFailure) -> Any:
    assert isinstance(answer, Prediction)
    return replace(answer, timings_s={}).to_dict()


def assert_same(one: Clip | FaceTrack, other: Clip | FaceTrack) -> None:
    for field in fields(one):
        first, second = getattr(one, field.name), getattr(other, field.name)
        if isinstance(first, np.ndarray):
            assert first.dtype == second.dtype, field.name
            assert np.array_equal(first, second), field.name
        elif isinstance(first, FaceTrack):
            assert_same(first, second)
        else:
            assert first == second, field.name
