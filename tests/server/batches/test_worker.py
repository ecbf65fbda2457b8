"""The worker of batches: every clip is answered once, others go first, and a kill loses nothing."""

import asyncio
import json
import multiprocessing
import os
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="NOT CHECKED: needs sqlalchemy")

from batch_samples import StubEngine, new_clip, prediction, store_at
from serving import until
from sqlalchemy.exc import OperationalError

from emotion_llama.config import ServeConfig
from emotion_llama.media import MediaError
from emotion_llama.server.batches import worker as working
from emotion_llama.server.batches.records import BatchOptions
from emotion_llama.server.batches.store import BatchStore
from emotion_llama.server.batches.worker import MAX_ATTEMPTS, BatchWorker
from emotion_llama.server.engine import BusyError, UnanswerableError
from emotion_llama.server.engines import Engines
from emotion_llama.server.reading.readers import ReadCrashError

SETTINGS = ServeConfig(batch_size=4, max_waiting=8)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "POLL_S", 0.01)
    monkeypatch.setattr(working, "RETRY_S", (0.01, 0.01))


@pytest.fixture
def store(tmp_path: Path) -> Any:
    store = store_at(tmp_path)
    yield store
    store.close()


def filled(store: BatchStore, folder: Path, *names: str, **options: Any) -> str:
    """Give a started batch with clips of these names."""
    batch = store.create(None, BatchOptions(**options), 1000).id
    for name in names:
        store.add(batch, None, new_clip(folder, name, text=f"words of {name}"), 1000)
    store.start(batch, None)
    return batch


def has_ended(store: BatchStore, *batches: str) -> Callable[[], bool]:
    return lambda: all(store.get(batch, None).ended_s is not None for batch in batches)


def run(
    store: BatchStore, work: Callable[[StubEngine, BatchWorker], Awaitable[None]], **faults: Any
) -> StubEngine:
    """Let a worker run while something is done."""

    async def main() -> StubEngine:
        engine = StubEngine(SETTINGS, faults)
        worker = BatchWorker(store, Engines(engine), SETTINGS)  # type: ignore[arg-type]
        await worker.start()
        await work(engine, worker)
        engine.may_answer.set()
        async with asyncio.timeout(10):
            await worker.stop()
        return engine

    return asyncio.run(main())


def run_to_end(store: BatchStore, *batches: str, **faults: Any) -> StubEngine:
    return run(store, lambda *_: until(has_ended(store, *batches)), **faults)


def test_an_answer_is_that_of_the_engine_to_the_last_digit(
    store: BatchStore, tmp_path: Path
) -> None:
    batch = filled(store, tmp_path, "a.mp4", labels=("calm", "tense"), with_evidence=True)
    run_to_end(store, batch)
    [outcome] = store.outcomes(batch, None)
    expected = prediction("a.mp4", b"a.mp4", "words of a.mp4", ("calm", "tense"))
    assert outcome.prediction == json.dumps(expected.to_dict())
    assert outcome.state == "done" and outcome.error is None


def test_evidence_is_left_out_unless_it_is_asked_for(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "a")
    run_to_end(store, batch)
    [outcome] = store.outcomes(batch, None)
    assert outcome.prediction is not None
    expected = prediction("a", b"a", "words of a", ("happy", "sad")).to_dict()
    assert json.loads(outcome.prediction).keys() == expected.keys() - {"evidence"}


def test_failures_stand_in_their_place_in_the_words_of_the_service(
    store: BatchStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    faults = {
        "broken": MediaError(Path("broken"), found="no film", expected="one", next_step="send one"),
        "crash": ReadCrashError("crash: found a file on which reading fails"),
        "empty": UnanswerableError("empty gives nothing \0 \ud800"),
        "secret": RuntimeError("a secret of the server"),
    }
    batch = filled(store, tmp_path, "a", *faults, "b")
    run_to_end(store, batch, **faults)
    outcomes = store.outcomes(batch, None)
    assert [one.state for one in outcomes] == ["done", *["failed"] * 4, "done"]
    assert [one.error for one in outcomes[:4]] == [
        None,
        str(faults["broken"]),
        str(faults["crash"]),
        "empty gives nothing ? ?",
    ]
    assert outcomes[4].error == f"something failed here; it was logged under batch {batch}, clip 4"
    assert "a secret of the server" in caplog.text
    assert list(store.files.root.iterdir()) == []


def test_a_clip_whose_file_is_gone_says_so(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "a")
    store.files.remove_batch(batch)
    engine = run_to_end(store, batch)
    [outcome] = store.outcomes(batch, None)
    assert outcome.error is not None and outcome.error.startswith("a: found no file any more")
    assert engine.asked == []


def test_no_more_than_a_batch_of_the_model_is_in_work(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, *map(str, range(10)))

    async def work(engine: StubEngine, _: BatchWorker) -> None:
        engine.may_answer.clear()
        await until(lambda: len(engine.asked) == 4)
        await asyncio.sleep(0.1)
        assert len(engine.asked) == engine.num_admitted == 4
        engine.may_answer.set()
        await until(has_ended(store, batch))

    engine = run(store, work)
    assert engine.most_admitted == 4
    assert sorted(engine.answered, key=int) == list(map(str, range(10)))


def test_clips_that_somebody_waits_for_go_first(store: BatchStore, tmp_path: Path) -> None:
    async def work(engine: StubEngine, _: BatchWorker) -> None:
        engine.num_admitted = 4
        batch = filled(store, tmp_path, "a", "b", "c")
        await asyncio.sleep(0.1)
        assert engine.asked == []
        engine.num_admitted = 3
        engine.may_answer.clear()
        await until(lambda: engine.asked == ["a"])
        await asyncio.sleep(0.1)
        assert engine.asked == ["a"]
        engine.may_answer.set()
        await until(has_ended(store, batch))
        engine.num_admitted = 0

    run(store, work)


@pytest.mark.parametrize(("max_waiting", "expected"), [(1, 1), (2, 1), (3, 2), (64, 4)])
def test_a_place_is_left_for_others(store: BatchStore, max_waiting: int, expected: int) -> None:
    async def room() -> int:
        settings = ServeConfig(batch_size=4, max_waiting=max_waiting)
        return BatchWorker(store, Engines(StubEngine(settings)), settings)._room  # type: ignore[arg-type]

    assert asyncio.run(room()) == expected


def test_a_batch_is_answered_by_its_preset_and_by_no_other(
    store: BatchStore, tmp_path: Path
) -> None:
    batches = {
        model: filled(store, tmp_path, f"of {model}", model=model)
        for model in (None, "small", "large", "gone")
    }

    async def main() -> tuple[StubEngine, StubEngine]:
        small, large = (StubEngine(SETTINGS, preset=name) for name in ("small", "large"))
        worker = BatchWorker(store, Engines(small, large), SETTINGS)  # type: ignore[arg-type]
        await worker.start()
        await until(has_ended(store, *batches.values()))
        await worker.stop()
        return small, large

    small, large = asyncio.run(main())
    # both are answered at a time, in any order
    assert sorted(small.answered) == ["of None", "of small"]
    assert large.answered == ["of large"]
    [gone] = store.outcomes(batches["gone"], None)
    assert gone.state == "failed"
    assert gone.error is not None
    assert "'gone', which is not served; expected one of 'small', 'large'" in gone.error


def test_room_is_what_all_presets_leave(store: BatchStore) -> None:
    async def room() -> int:
        small, large = (StubEngine(SETTINGS, preset=name) for name in ("small", "large"))
        large.num_admitted = 3
        return BatchWorker(store, Engines(small, large), SETTINGS)._room  # type: ignore[arg-type]

    assert asyncio.run(room()) == 1


def test_a_busy_engine_gets_the_clip_again_later(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "a")

    async def work(engine: StubEngine, _: BatchWorker) -> None:
        engine.faults["a"] = BusyError(8, 1)
        await until(lambda: len(engine.asked) > 2 * MAX_ATTEMPTS)
        engine.faults.clear()
        await until(has_ended(store, batch))

    run(store, work)
    [outcome] = store.outcomes(batch, None)
    assert outcome.state == "done"


def test_an_engine_that_is_not_ready_is_asked_nothing(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "a")

    async def work(engine: StubEngine, _: BatchWorker) -> None:
        engine.state = "starting"
        await asyncio.sleep(0.1)
        assert store.get(batch, None).status == "queued"
        engine.state = "ready"
        await until(has_ended(store, batch))

    async def main() -> None:
        engine = StubEngine(SETTINGS)
        engine.state = "starting"
        worker = BatchWorker(store, Engines(engine), SETTINGS)  # type: ignore[arg-type]
        await worker.start()
        await work(engine, worker)
        await worker.stop()

    asyncio.run(main())


def test_a_stop_finishes_what_is_in_work_and_leaves_the_rest(
    store: BatchStore, tmp_path: Path
) -> None:
    batch = filled(store, tmp_path, *map(str, range(10)))

    async def main() -> None:
        engine = StubEngine(SETTINGS)
        engine.may_answer.clear()
        worker = BatchWorker(store, Engines(engine), SETTINGS)  # type: ignore[arg-type]
        await worker.start()
        await until(lambda: len(engine.asked) == 4)
        stopping = asyncio.create_task(worker.stop())
        await asyncio.sleep(0.05)
        assert not stopping.done()
        engine.may_answer.set()
        await stopping
        assert len(engine.answered) == 4

    asyncio.run(main())
    assert store.get(batch, None).counts["done"] == 4
    assert store.get(batch, None).counts["waiting"] == 6
    engine = run_to_end(store, batch)
    assert sorted(engine.answered) == list("456789")


def test_a_worker_that_never_started_stops(store: BatchStore) -> None:
    async def main() -> None:
        await BatchWorker(store, Engines(StubEngine(SETTINGS)), SETTINGS).stop()  # type: ignore[arg-type]

    asyncio.run(main())


def test_a_cancelled_batch_frees_the_engine(tmp_path: Path) -> None:
    store = store_at(tmp_path, lease_s=0.1)
    batch, other = filled(store, tmp_path, *"abcd"), filled(store, tmp_path, "e")

    async def work(engine: StubEngine, _: BatchWorker) -> None:
        engine.may_answer.clear()
        await until(lambda: len(engine.asked) == 4)
        store.cancel(batch, None)
        await until(lambda: engine.asked[4:] == ["e"])
        assert engine.num_admitted == 1
        engine.may_answer.set()
        await until(has_ended(store, other))

    engine = run(store, work)
    assert engine.answered == ["e"]
    assert [one.state for one in store.outcomes(batch, None)] == ["cancelled"] * 4
    store.close()


def test_a_lease_is_renewed_while_an_answer_takes_long(tmp_path: Path) -> None:
    # long enough that a busy machine is not late with renewing
    store = store_at(tmp_path, lease_s=2.0)
    batch = filled(store, tmp_path, "slow")

    async def work(engine: StubEngine, _: BatchWorker) -> None:
        engine.may_answer.clear()
        await until(lambda: engine.asked == ["slow"])
        begun = time.monotonic()
        while time.monotonic() < begun + 1.5 * store.lease_s:
            assert store.claim("other", 1) == []
            await asyncio.sleep(0.05)
        engine.may_answer.set()
        await until(has_ended(store, batch))

    assert run(store, work).answered == ["slow"]
    store.close()


def test_a_database_that_is_away_for_a_moment_loses_no_answer(
    store: BatchStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = filled(store, tmp_path, "a", "b")
    failures = {"claim": 2, "settle": 2, "renew": 1, "sweep": 1}

    def failing(name: str) -> Callable[..., Any]:
        real = getattr(store, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            if failures[name]:
                failures[name] -= 1
                statement = "UPDATE"
                raise OperationalError(statement, {}, Exception("the connection is lost"))
            return real(*args, **kwargs)

        return call

    for name in failures:
        monkeypatch.setattr(store, name, failing(name))
    engine = run_to_end(store, batch)
    assert sorted(engine.answered) == ["a", "b"]
    assert failures["claim"] == failures["settle"] == 0


def test_a_clip_over_which_servers_end_again_and_again_is_given_up(
    tmp_path: Path,
) -> None:
    store = store_at(tmp_path, lease_s=-1.0)  # every lease has run out
    batch = filled(store, tmp_path, "deadly")
    for number in range(MAX_ATTEMPTS):
        assert [job.attempts for job in store.claim(f"killed {number}", 1)] == [number + 1]
    store.lease_s = 60.0
    engine = run_to_end(store, batch)
    [outcome] = store.outcomes(batch, None)
    assert outcome.error is not None and "the server ended 3 times over this clip" in outcome.error
    assert engine.asked == []
    store.close()


def test_expired_batches_and_left_files_are_removed(
    store: BatchStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "TIDY_S", 0.01)
    batch = filled(store, tmp_path, "a")
    settings = ServeConfig(keep_batches_s=0.2)

    async def main() -> None:
        worker = BatchWorker(store, Engines(StubEngine(settings)), settings)  # type: ignore[arg-type]
        await worker.start()
        await until(lambda: store.page(None, 9) == [])
        await worker.stop()

    asyncio.run(main())
    assert not store.files.path(batch, "").exists()


def test_two_workers_on_one_database_answer_every_clip_once(tmp_path: Path) -> None:
    stores = [store_at(tmp_path), store_at(tmp_path)]
    names = [str(number) for number in range(60)]
    batch = filled(stores[0], tmp_path, *names)

    async def main() -> list[str]:
        engines = [StubEngine(SETTINGS) for _ in stores]
        workers = [
            BatchWorker(store, Engines(engine), SETTINGS)  # type: ignore[arg-type]
            for store, engine in zip(stores, engines, strict=True)
        ]
        # nothing is answered before both have taken clips: a quick one could take them all
        for engine in engines:
            engine.may_answer.clear()
        for worker in workers:
            await worker.start()
        await until(lambda: all(engine.asked for engine in engines))
        for engine in engines:
            engine.may_answer.set()
        await until(has_ended(stores[0], batch))
        for worker in workers:
            await worker.stop()
        assert all(engine.answered for engine in engines)
        return [name for engine in engines for name in engine.answered]

    assert sorted(asyncio.run(main()), key=int) == names
    for store in stores:
        store.close()


def serve_until_killed(folder: Path, log: Path) -> None:
    """Answer what lies there, and note in a file what was begun; of a process that is killed."""
    store = store_at(folder, lease_s=0.3)

    def note(name: str) -> None:
        with log.open("a") as out:
            out.write(f"{name}\n")
        time.sleep(0.004)

    async def main() -> None:
        engine = StubEngine(SETTINGS)
        engine.on_answer = note
        await BatchWorker(store, Engines(engine), SETTINGS).start()  # type: ignore[arg-type]
        await asyncio.Event().wait()

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="NOT CHECKED: processes cannot fork here")
def test_a_kill_at_any_time_loses_and_doubles_nothing(tmp_path: Path) -> None:
    store = store_at(tmp_path, lease_s=0.3)
    names = [str(number) for number in range(120)]
    batch = filled(store, tmp_path, *names)
    store.close()  # a connection must not pass into another process
    log = tmp_path / "log"
    log.touch()
    num_kills = 0
    for wait_s in (0.11, 0.17, 0.23, 0.31):
        server = multiprocessing.get_context("fork").Process(
            target=serve_until_killed, args=(tmp_path, log)
        )
        server.start()
        noted = log.stat().st_size
        deadline = time.monotonic() + 10
        while log.stat().st_size == noted and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(wait_s)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        server.join()
        num_kills += not has_ended(store, batch)()
        done = {one.name: one for one in store.outcomes(batch, None, limit=200) if one.prediction}
        store.close()
    assert num_kills >= 2, "the batch ended before it was killed"
    engine = run_to_end(store, batch)
    assert not done.keys() & set(engine.answered), "an answered clip was answered again"
    outcomes = store.outcomes(batch, None, limit=200)
    assert [one.name for one in outcomes] == names
    assert {one.state for one in outcomes} == {"done"}
    assert {name: one.prediction for name, one in done.items()} == {
        one.name: one.prediction for one in outcomes if one.name in done
    }
    begun = Counter(log.read_text().split()) + Counter(engine.answered)
    assert sum(begun.values()) - len(names) <= 4 * SETTINGS.batch_size, "work was done in vain"
    assert list(store.files.root.iterdir()) == []
    store.close()
