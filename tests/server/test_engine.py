"""Many clients of one predictor: batches, order, places, cancellation, stopping."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from serving import until

from emotion_llama.config import ServeConfig
from emotion_llama.labels import label_set
from emotion_llama.predict import ClipFailure, EncodedClip
from emotion_llama.prompt import Turn
from emotion_llama.records import Clip, Features
from emotion_llama.server.engine import (
    BusyError,
    Engine,
    NotServingError,
    UnanswerableError,
)


class Slow:
    """A predictor that writes down what it is asked, and waits to be let go."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.model = SimpleNamespace(config=SimpleNamespace(reason_candidates=1))

    def read(self, path: Any, text: str | None) -> Clip:
        return Clip("text", "text", transcript=text)

    def offered(self, labels: Any) -> Any:
        return label_set(labels)

    def encode(self, clips: Sequence[Clip]) -> list[EncodedClip]:
        self.calls.append(("encode", [clip.clip_id for clip in clips]))
        return [EncodedClip(clip.clip_id, Features(), clip.transcript, clip) for clip in clips]

    def answer(
        self, encoded: Sequence[EncodedClip], labels: Any, *, watch: Any, **asked: Any
    ) -> list[Any]:
        names = [one.name for one in encoded]
        self.calls.append(("answer", names))
        self.gate.wait(60)
        if "bad" in names and len(names) == 1:
            msg = "bad cannot be answered"
            raise ValueError(msg)
        if "bad" in names:
            msg = "one of them is bad"
            raise ValueError(msg)
        for row, name in enumerate(names):
            watch(row, f"{name}: because")
        return [
            ClipFailure(name, "it is empty") if name == "empty" else f"{name} {labels}"
            for name in names
        ]

    def reply(self, talks: Sequence[tuple[EncodedClip, Sequence[Turn]]], *, watch: Any) -> Any:
        return [f"{encoded.name}: {turns[-1].question}" for encoded, turns in talks]


class Reading:
    """Reads at once."""

    def __init__(self) -> None:
        self.is_started = False

    async def start(self) -> None:
        self.is_started = True

    async def stop(self) -> None:
        self.is_started = False

    async def read(self, path: Path, text: str | None, **_: Any) -> Clip:
        return Clip(path.stem, "video", path=path)


def run(
    work: Callable[[Engine, Slow], Awaitable[None]], **settings: Any
) -> tuple[Engine, Slow, Reading]:
    predictor, readers = Slow(), Reading()

    async def whole() -> Engine:
        engine = Engine(cast(Any, predictor), cast(Any, readers), ServeConfig(**settings))
        await engine.start()
        try:
            await asyncio.wait_for(work(engine, predictor), 60)
        finally:
            predictor.gate.set()
            await engine.stop()
        return engine

    return asyncio.run(whole()), predictor, readers


def clip(name: str) -> EncodedClip:
    return EncodedClip(name, Features(), "words")


def test_a_file_is_read_encoded_and_answered_under_its_own_name() -> None:
    async def work(engine: Engine, predictor: Slow) -> None:
        encoded = await engine.encode(Path("/tmp/secret/x.mp4"), name="holiday.mp4")
        assert encoded.name == "holiday.mp4"
        assert "read" in encoded.timings_s
        assert await engine.answer(encoded) == "holiday.mp4 None"  # type: ignore[comparison-overlap]
        assert await engine.reply(encoded, [Turn("why?")]) == "holiday.mp4: why?"

    engine, _, readers = run(work)
    assert engine.state == "stopped"
    assert not readers.is_started


def test_what_waits_is_answered_together_and_everybody_gets_their_own() -> None:
    async def work(engine: Engine, predictor: Slow) -> None:
        predictor.gate.clear()
        first = asyncio.create_task(engine.answer(clip("0")))
        await until(lambda: predictor.calls == [("answer", ["0"])])
        rest = [asyncio.create_task(engine.answer(clip(str(n)))) for n in range(1, 12)]
        other = asyncio.create_task(engine.answer(clip("other"), labels=("sad", "happy")))
        await asyncio.sleep(0)  # all have asked
        predictor.gate.set()
        answers: list[Any] = [await first, *[await one for one in rest]]
        assert answers == [f"{n} None" for n in range(12)]
        assert cast(Any, await other) == "other ('sad', 'happy')"
        assert [names for _, names in predictor.calls] == [
            ["0"],
            [str(n) for n in range(1, 9)],
            ["9", "10", "11"],
            ["other"],
        ]
        assert engine.batches == {1: 2, 8: 1, 3: 1}

    run(work, batch_size=8)


def test_one_that_fails_does_not_take_its_neighbours_along() -> None:
    async def work(engine: Engine, predictor: Slow) -> None:
        predictor.gate.clear()
        first = asyncio.create_task(engine.answer(clip("0")))
        await until(lambda: predictor.calls == [("answer", ["0"])])
        names = ("good", "bad", "empty", "fine")
        tasks = [asyncio.create_task(engine.answer(clip(name))) for name in names]
        await asyncio.sleep(0)  # all have asked
        predictor.gate.set()
        results = await asyncio.gather(first, *tasks, return_exceptions=True)
        assert results[1] == "good None"
        assert str(results[2]) == "bad cannot be answered"
        assert isinstance(results[3], UnanswerableError)
        assert str(results[3]) == "it is empty"
        assert results[4] == "fine None"

    run(work)


def test_who_goes_away_is_taken_out_of_the_queue() -> None:
    async def work(engine: Engine, predictor: Slow) -> None:
        predictor.gate.clear()
        first = asyncio.create_task(engine.answer(clip("0")))
        await until(lambda: predictor.calls == [("answer", ["0"])])
        gone = asyncio.create_task(engine.answer(clip("gone")))
        await asyncio.sleep(0)  # it asks
        gone.cancel()
        await asyncio.wait([gone])
        predictor.gate.set()
        await first
        await engine.answer(clip("1"))
        assert predictor.calls == [("answer", ["0"]), ("answer", ["1"])]

    run(work)


def test_who_goes_away_while_it_is_written_is_told_to_the_predictor() -> None:
    waits: list[bool] = []

    async def work(engine: Engine, predictor: Slow) -> None:
        def answer(encoded: Any, labels: Any, *, watch: Any, **_: Any) -> list[str]:
            deadline = time.monotonic() + 60
            while not waits or (waits[-1] and time.monotonic() < deadline):
                waits.append(watch(0, "a"))
                time.sleep(0.01)
            return ["late"]

        predictor.answer = answer  # type: ignore[method-assign]
        task = asyncio.create_task(engine.answer(clip("0")))
        await until(lambda: bool(waits))
        task.cancel()

    run(work)
    assert waits[0]
    assert not waits[-1]


def test_the_reason_so_far_is_told_in_the_loop() -> None:
    heard: list[tuple[str, bool]] = []

    async def work(engine: Engine, predictor: Slow) -> None:
        loop_thread = threading.get_ident()

        def listen(text: str) -> None:
            heard.append((text, threading.get_ident() == loop_thread))

        await engine.answer(clip("0"), on_text=listen)

    run(work)
    assert heard == [("0: because", True)]


def test_more_than_may_wait_are_told_to_come_back() -> None:
    async def work(engine: Engine, predictor: Slow) -> None:
        with engine.admitted(), engine.admitted():
            with pytest.raises(BusyError, match="2 requests are waiting") as busy:
                engine.admitted().__enter__()
            assert busy.value.retry_after_s >= 1
        assert engine.num_admitted == 0
        with engine.admitted():
            assert engine.num_admitted == 1

    run(work, max_waiting=2)


def test_what_was_accepted_is_finished_before_the_end_and_nothing_more_taken() -> None:
    done: list[str] = []

    async def work(engine: Engine, predictor: Slow) -> None:
        predictor.gate.clear()

        async def request(name: str) -> None:
            with engine.admitted():
                done.append(str(await engine.answer(clip(name))))

        tasks = [asyncio.create_task(request(str(n))) for n in range(5)]
        await asyncio.sleep(0)  # all are accepted
        stopping = asyncio.create_task(engine.stop())
        await asyncio.sleep(0)
        assert engine.state == "draining"
        with pytest.raises(NotServingError, match="draining"), engine.admitted():
            pass
        predictor.gate.set()
        await asyncio.gather(*tasks, stopping)

    run(work)
    assert sorted(done) == [f"{n} None" for n in range(5)]
