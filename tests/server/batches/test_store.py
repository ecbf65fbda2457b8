"""The store of batches: what is kept, who may take a clip, and that nothing is lost or doubled."""

import os
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("sqlalchemy", reason="NOT CHECKED: needs sqlalchemy")

import sqlalchemy as sa
from batch_samples import Clock, new_clip, store_at
from sqlalchemy.dialects import postgresql

from emotion_llama.server.batches import database as tables
from emotion_llama.server.batches import store as storing
from emotion_llama.server.batches.database import open_database, reading, writing
from emotion_llama.server.batches.files import BatchFiles
from emotion_llama.server.batches.records import (
    Batch,
    BatchOptions,
    BatchStateError,
    NoBatchError,
    StoreError,
    TooManyError,
)
from emotion_llama.server.batches.store import ORPHAN_S, BatchStore, next_clips, open_store

OTHER_DATABASE = os.environ.get("EMOTION_LLAMA_TEST_DATABASE")
"""Address of an empty database to run all of this against too; what is in it is removed."""

DATABASES = ["sqlite", *(["other"] if OTHER_DATABASE else [])]


@pytest.fixture
def clock() -> Clock:
    return Clock()


def emptied(address: str) -> sa.Engine:
    database = sa.create_engine(address)
    tables._tables.drop_all(database)
    database.dispose()
    return open_database(address)


@pytest.fixture(params=DATABASES)
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[BatchStore]:
    if request.param == "sqlite":
        store = store_at(tmp_path, clock=clock)
    else:
        assert OTHER_DATABASE
        files = BatchFiles(tmp_path / "clips")
        store = BatchStore(emptied(OTHER_DATABASE), files, clock=clock)
    yield store
    store.close()


def opened(store: BatchStore, owner: str | None = None, **options: Any) -> str:
    return store.create(owner, BatchOptions(**options), 1000).id


def filled(store: BatchStore, folder: Path, *names: str, owner: str | None = None) -> str:
    """Give a started batch with clips of these names."""
    batch = opened(store, owner)
    for name in names:
        store.add(batch, owner, new_clip(folder, name), 1000)
    store.start(batch, owner)
    return batch


def kept_files(store: BatchStore) -> list[Path]:
    return sorted(path for path in store.files.root.rglob("*") if path.is_file())


def states(store: BatchStore, batch: str, owner: str | None = None) -> list[str]:
    return [outcome.state for outcome in store.outcomes(batch, owner)]


def test_a_batch_goes_from_open_to_finished(store: BatchStore, tmp_path: Path) -> None:
    seen: list[Batch] = [store.create("ann", BatchOptions(), 1)]
    batch = seen[0].id
    store.add(batch, "ann", new_clip(tmp_path), 1)
    seen.append(store.start(batch, "ann"))
    [job] = store.claim("me", 5)
    seen.append(store.get(batch, "ann"))
    assert store.settle("me", job, prediction="{}")
    seen.append(store.get(batch, "ann"))
    assert [one.status for one in seen] == ["open", "queued", "running", "finished"]
    assert [sum(one.counts.values()) for one in seen] == [0, 1, 1, 1]
    assert seen[-1].counts == {"waiting": 0, "running": 0, "done": 1, "failed": 0, "cancelled": 0}


def test_options_come_back_as_they_were_given(store: BatchStore) -> None:
    options = BatchOptions(("happy", "sad"), False, True, {"study": 'ä "\0'}, "mini")
    assert store.get(store.create(None, options, 1).id, None).options == options


def test_outcomes_stand_in_the_order_in_which_clips_came(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "c", "a", "b")
    jobs = store.claim("me", 5)
    for job in reversed(jobs):
        failed = "found nothing" if job.name == "a" else None
        store.settle("me", job, prediction=None if failed else f'"{job.name}"', error=failed)
    found = [(one.name, one.prediction, one.error) for one in store.outcomes(batch, None)]
    assert found == [("c", '"c"', None), ("a", None, "found nothing"), ("b", '"b"', None)]
    assert [one.name for one in store.outcomes(batch, None, start=1, limit=1)] == ["a"]
    assert store.get(batch, None).status == "finished"


def test_a_batch_is_known_to_its_owner_only(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "a", owner="ann")
    for other in ("bob", None, ""):
        for ask in (store.get, store.start, store.cancel, store.remove):
            with pytest.raises(NoBatchError, match=batch):
                ask(batch, other)
        with pytest.raises(NoBatchError):
            store.add(batch, other, new_clip(tmp_path), 10)
        assert store.outcomes(batch, other) == []
        assert store.page(other, 10) == []
    assert [one.id for one in store.page("ann", 10)] == [batch]
    assert states(store, batch, "ann") == ["waiting"]


def test_pages_do_not_shift_when_batches_come_and_go(store: BatchStore) -> None:
    ids = [opened(store) for _ in range(5)]
    first = [one.id for one in store.page(None, 2)]
    opened(store)
    store.remove(first[-1], None)
    second = [one.id for one in store.page(None, 2, before=first[-1])]
    assert first + second == ids[:0:-1]


def test_the_same_clip_stays_one(store: BatchStore, tmp_path: Path) -> None:
    batch = opened(store)
    first = store.add(batch, None, new_clip(tmp_path, "a"), 2)
    again = store.add(batch, None, new_clip(tmp_path, "a"), 2)
    words = store.add(batch, None, new_clip(tmp_path, "a", text="hello"), 2)
    full = store.add(batch, None, new_clip(tmp_path, "a"), 2)
    assert (first.number, first.is_new) == (0, True)
    assert (again.number, again.is_new) == (full.number, full.is_new) == (0, False)
    assert (words.number, words.is_new) == (1, True)
    assert len(kept_files(store)) == 3  # one of them holds the words
    store.start(batch, None)
    assert not store.add(batch, None, new_clip(tmp_path, "a"), 2).is_new


def test_limits_are_kept(store: BatchStore, tmp_path: Path) -> None:
    batch = store.create("ann", BatchOptions(), 1).id
    with pytest.raises(TooManyError, match="found 1 batches of this key, expected fewer than 1"):
        store.create("ann", BatchOptions(), 1)
    store.create("bob", BatchOptions(), 1)
    store.add(batch, "ann", new_clip(tmp_path, "a"), 1)
    with pytest.raises(TooManyError, match="found a batch of 1 clips, expected fewer than 1"):
        store.add(batch, "ann", new_clip(tmp_path, "b"), 1)
    assert len(kept_files(store)) == 1


def test_only_an_open_batch_takes_clips(store: BatchStore, tmp_path: Path) -> None:
    batch = opened(store)
    with pytest.raises(BatchStateError, match="a batch without a clip"):
        store.start(batch, None)
    store.add(batch, None, new_clip(tmp_path, "a"), 9)
    assert store.start(batch, None) == store.start(batch, None)
    with pytest.raises(BatchStateError, match="that was started"):
        store.add(batch, None, new_clip(tmp_path, "b"), 9)
    store.cancel(batch, None)
    with pytest.raises(BatchStateError, match="that was cancelled"):
        store.add(batch, None, new_clip(tmp_path, "b"), 9)
    with pytest.raises(BatchStateError, match="a cancelled batch"):
        store.start(batch, None)
    assert kept_files(store) == []


def test_clips_and_words_are_private_and_go_with_the_answer(
    store: BatchStore, tmp_path: Path
) -> None:
    batch = opened(store)
    old = os.umask(0)
    try:
        for name in ("a", "b"):
            clip = new_clip(tmp_path, name, text="hel\r\nlo ä")
            clip.source.chmod(0o600)
            store.add(batch, None, clip, 9)
            clip.source.unlink()
    finally:
        os.umask(old)
    folders = [store.files.root, *(one for one in store.files.root.iterdir())]
    assert {stat.S_IMODE(one.stat().st_mode) for one in folders} == {0o700}
    assert {stat.S_IMODE(one.stat().st_mode) for one in kept_files(store)} == {0o600}
    assert store.start(batch, None).kept_bytes == 2
    first, second = store.claim("me", 2)
    assert store.files.path(batch, first.clip_id).read_bytes() == b"a"
    assert store.files.words(batch, first.clip_id) == "hel\r\nlo ä"
    store.settle("me", first, prediction="{}")
    assert [one.stem for one in kept_files(store)] == [second.clip_id] * 2
    assert store.get(batch, None).kept_bytes == 1
    store.settle("me", second, error="found nothing")
    assert list(store.files.root.iterdir()) == []


def test_a_file_on_another_disk_is_copied_and_stays_private(
    store: BatchStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    store.add(opened(store), None, new_clip(tmp_path, content=b"film"), 9)
    [file] = kept_files(store)
    assert file.read_bytes() == b"film"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "a/b", "..", "", "é\n"])
def test_a_name_is_never_a_path(store: BatchStore, tmp_path: Path, name: str) -> None:
    batch = filled(store, tmp_path, name)
    [file] = kept_files(store)
    assert file.parent == store.files.root / batch
    assert file.name.isalnum()
    assert [one.name for one in store.outcomes(batch, None)] == [name]


@pytest.mark.parametrize("batch_id", ["..", "../..", "", "/"])
def test_an_id_that_was_not_drawn_here_reaches_no_file(
    store: BatchStore, tmp_path: Path, batch_id: str
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("stays")
    for ask in (store.cancel, store.remove):
        with pytest.raises(NoBatchError):
            ask(batch_id, None)
    with pytest.raises(NoBatchError):
        store.add(batch_id, None, new_clip(tmp_path), 9)
    assert outside.exists() and kept_files(store) == []


def test_a_clip_that_cannot_be_kept_leaves_nothing(
    store: BatchStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = opened(store)

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storing, "_same_clip", fail)
    with pytest.raises(OSError, match="No space"):
        store.add(batch, None, new_clip(tmp_path, text="hello"), 9)
    assert kept_files(store) == []
    assert store.outcomes(batch, None) == []


def test_a_clip_is_taken_once(store: BatchStore, tmp_path: Path) -> None:
    filled(store, tmp_path, *"abcde")
    mine, yours = store.claim("me", 3), store.claim("you", 9)
    assert [job.name for job in mine + yours] == list("abcde")
    assert store.claim("me", 9) == []


def test_nothing_is_taken_of_a_batch_that_is_not_started_or_has_ended(
    store: BatchStore, tmp_path: Path
) -> None:
    store.add(opened(store), None, new_clip(tmp_path), 9)
    store.cancel(filled(store, tmp_path, "a"), None)
    assert store.claim("me", 9) == []


def test_the_batch_that_was_started_first_goes_first(
    store: BatchStore, tmp_path: Path, clock: Clock
) -> None:
    late = opened(store)
    store.add(late, None, new_clip(tmp_path, "late"), 9)
    filled(store, tmp_path, "a", "b")
    clock.now_s += 1
    store.start(late, None)
    assert [job.name for job in store.claim("me", 9)] == ["a", "b", "late"]


def test_a_killed_server_s_clips_are_taken_over_when_its_lease_has_run_out(
    store: BatchStore, tmp_path: Path, clock: Clock
) -> None:
    batch = filled(store, tmp_path, "a", "b")
    [old, _] = store.claim("killed", 9)
    clock.now_s += store.lease_s - 1
    assert store.claim("me", 9) == []
    assert store.renew("killed", [old.clip_id]) == {old.clip_id}
    clock.now_s += 2
    [unrenewed] = store.claim("me", 9)
    assert (unrenewed.name, unrenewed.attempts) == ("b", 2)
    clock.now_s += store.lease_s
    [job] = store.claim("me", 9)
    assert (job.name, job.attempts, job.clip_id) == ("a", 2, old.clip_id)
    assert store.renew("killed", [old.clip_id]) == set()
    assert not store.settle("killed", old, prediction='"late"')
    assert store.settle("me", job, prediction='"mine"')
    assert not store.settle("me", job, prediction='"twice"')
    assert store.outcomes(batch, None)[0].prediction == '"mine"'


def test_a_clip_that_is_given_back_counts_no_attempt(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "a")
    [job] = store.claim("me", 1)
    store.release("you", job)
    assert states(store, batch) == ["running"]
    store.release("me", job)
    assert store.get(batch, None).status == "queued"
    assert store.claim("you", 1) == [job]


def test_cancel_ends_a_batch_and_keeps_its_answers(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "a", "b", "c")
    done, running = store.claim("me", 2)
    store.settle("me", done, prediction='"kept"')
    assert store.cancel(batch, None).status == "cancelled"
    assert kept_files(store) == []
    assert store.renew("me", [running.clip_id]) == set()
    assert not store.settle("me", running, prediction='"late"')
    store.release("me", running)
    assert states(store, batch) == ["done", "cancelled", "cancelled"]
    outcomes = store.outcomes(batch, None)
    assert outcomes[0].prediction == '"kept"'
    assert outcomes[1].error == "the batch was cancelled before this clip was answered"
    assert store.cancel(batch, None) == store.get(batch, None)


def test_cancel_changes_nothing_of_what_is_finished(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "a")
    store.settle("me", store.claim("me", 1)[0], prediction="{}")
    assert store.cancel(batch, None).status == "finished"
    assert states(store, batch) == ["done"]


def test_what_is_removed_is_gone(store: BatchStore, tmp_path: Path) -> None:
    batch, kept = filled(store, tmp_path, "a", "b"), filled(store, tmp_path, "c")
    [running] = store.claim("me", 1)
    store.remove(batch, None)
    for ask in (store.get, store.remove):
        with pytest.raises(NoBatchError):
            ask(batch, None)
    assert store.renew("me", [running.clip_id]) == set()
    assert not store.settle("me", running, prediction="{}")
    assert [one.id for one in store.page(None, 9)] == [kept]
    assert [file.parent.name for file in kept_files(store)] == [kept]
    assert [job.name for job in store.claim("me", 9)] == ["c"]


def test_batches_expire_after_their_end_or_when_they_are_left_open(
    store: BatchStore, tmp_path: Path, clock: Clock
) -> None:
    finished, left, waiting = (filled(store, tmp_path, name) for name in ("a", "b", "c"))
    store.cancel(left, None)
    store.settle("me", store.claim("me", 1)[0], prediction="{}")
    opened_at = clock.now_s
    idle = opened(store)
    store.add(idle, None, new_clip(tmp_path), 9)
    clock.now_s += 60
    busy = opened(store)
    assert store.get(finished, None).expires_s(100) == opened_at + 100
    assert store.get(busy, None).expires_s(100) == clock.now_s + 100
    assert store.get(waiting, None).expires_s(100) is None
    assert store.expire(60) == 0
    clock.now_s += 1
    assert store.expire(60) == 3
    assert {one.id for one in store.page(None, 9)} == {waiting, busy}
    assert [file.parent.name for file in kept_files(store)] == [waiting]
    assert store.expire(60) == 0


def test_files_that_a_killed_server_left_are_swept(store: BatchStore, tmp_path: Path) -> None:
    batch = filled(store, tmp_path, "a", "b")
    answered, waiting = store.claim("me", 2)
    content = new_clip(tmp_path, "left").source
    store.settle("me", answered, prediction="{}")
    for clip_id in (answered.clip_id, "0" * 32, "1" * 32):
        store.files.place(batch, clip_id, content, "words")
    for path in kept_files(store):
        if path.stem == "0" * 32:
            long_ago = path.stat().st_mtime - ORPHAN_S - 1
            path.unlink()  # the files share their bytes and times
            path.write_text("old")
            os.utime(path, (long_ago, long_ago))
    store.files.place("2" * 32, "2" * 32, content, None)
    assert store.sweep() == 3
    assert {path.stem for path in kept_files(store)} == {waiting.clip_id, "1" * 32}


def test_threads_never_take_a_clip_twice_nor_miss_the_end(
    store: BatchStore, tmp_path: Path
) -> None:
    names = [f"{number}" for number in range(40)]
    batch = filled(store, tmp_path, *names)
    taken: list[str] = []

    def work(holder: str) -> None:
        while jobs := store.claim(holder, 3):
            for job in jobs:
                taken.append(job.name)
                assert store.settle(holder, job, prediction="{}")

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken, key=int) == names
    assert store.get(batch, None).status == "finished"


def test_threads_fill_a_batch_without_gaps(store: BatchStore, tmp_path: Path) -> None:
    batch = opened(store)
    clips = [new_clip(tmp_path, f"{number % 12}") for number in range(24)]
    numbers: list[int] = []

    def add(mine: list[Any]) -> None:
        numbers.extend(store.add(batch, None, clip, 12).number for clip in mine)

    threads = [threading.Thread(target=add, args=(clips[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers) == sorted([*range(12)] * 2)
    assert len(store.outcomes(batch, None)) == 12


def test_a_database_survives_its_server(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    batch = filled(store, tmp_path, "a", "b")
    store.settle("me", store.claim("me", 1)[0], prediction="{}")
    store.close()
    again = open_store(f"sqlite:///{tmp_path / 'batches.db'}", tmp_path / "clips")
    assert states(again, batch) == ["done", "waiting"]
    assert [job.name for job in again.claim("next", 9)] == ["b"]
    again.close()


def test_a_sqlite_database_is_private_and_in_wal_mode(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = store_at(tmp_path / "new")
        opened(store)
        modes = {stat.S_IMODE(one.stat().st_mode) for one in (tmp_path / "new").glob("batches.db*")}
    finally:
        os.umask(old)
    assert modes == {0o600}
    with reading(store._database) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
    store.close()


def test_a_reader_does_not_wait_for_a_writer(tmp_path: Path) -> None:
    store = store_at(tmp_path)
    batch = opened(store)
    with writing(store._database):
        assert store.get(batch, None).status == "open"
    store.close()


def test_a_database_of_another_version_is_refused(tmp_path: Path) -> None:
    store_at(tmp_path).close()
    with sqlite3.connect(tmp_path / "batches.db") as connection:
        connection.execute("UPDATE batch_schema SET version = 7")
    with pytest.raises(StoreError, match=r"of version \[7\], expected version 1; give another"):
        store_at(tmp_path)


def test_tables_of_another_program_are_left_alone(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "batches.db") as connection:
        connection.execute("CREATE TABLE batches (id TEXT)")
    with pytest.raises(StoreError, match="found tables batches of version unknown"):
        store_at(tmp_path)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("sqlite://", "expected sqlite:///path"),
        ("sqlite:///:memory:", "expected sqlite:///path"),
        ("mysql://ann:secret@host/clips", r"mysql://ann:\*\*\*@host/clips"),
        ("no address", "cannot be opened"),
    ],
)
def test_an_address_that_cannot_be_used_is_named(address: str, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        open_database(address)


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "batches.db").write_text("no database at all " * 100)
    with pytest.raises(StoreError, match="not a database"):
        store_at(tmp_path)


def test_postgresql_locks_clips_one_by_one() -> None:
    query = str(next_clips(1.0, 2).compile(dialect=postgresql.dialect()))
    assert query.endswith("FOR UPDATE OF clips SKIP LOCKED")
    lock = storing._batch_lock("a").where(storing._owned_by(None))
    text = str(lock.compile(dialect=postgresql.dialect()))
    assert "IS NOT DISTINCT FROM" in text and text.endswith("FOR UPDATE")


def test_all_tables_and_statements_are_understood_by_postgresql() -> None:
    dialect = postgresql.dialect()
    for table in tables._tables.sorted_tables:
        assert str(sa.schema.CreateTable(table).compile(dialect=dialect)).strip()
    assert "NOT (EXISTS" in str(storing._end_if_answered("a", 1.0).compile(dialect=dialect))
