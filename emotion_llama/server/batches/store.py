"""Batches of clips -> rows of a database that outlive the server: who answers which clip, and what.

Knows: SQL, states, leases, ownership. Does not know: HTTP, how a clip is answered, asyncio (every
call blocks for a short transaction; call it in a thread). The database holds names, hashes, options
and results; clips and words lie in files (`emotion_llama.server.batches.files`).
"""

import json
import secrets
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine, Row

from emotion_llama.server.batches.database import (
    batch_table,
    clip_table,
    open_database,
    reading,
    writing,
)
from emotion_llama.server.batches.files import BatchFiles
from emotion_llama.server.batches.records import (
    UNANSWERED,
    Batch,
    BatchOptions,
    BatchStateError,
    ClipState,
    Job,
    KeptClip,
    NewClip,
    NoBatchError,
    Outcome,
    TooManyError,
)

LEASE_S = 60.0
"""Seconds for which a clip is taken; renewed three times in that. The clocks of servers that share
a database have to agree better than this: where they do not, clips are answered in vain."""

ORPHAN_S = 3600.0
"""Age from which a file of no known clip is removed; to become one takes a file some seconds."""

_CANCELLED = "the batch was cancelled before this clip was answered"


class BatchStore:
    """Batches in a database, their clips in a folder.

    Several servers may share a database. A clip is taken by one of them for the time of a lease,
    which is renewed while it is answered; what a killed server held is taken over when its lease
    has run out. An answer is stored only by who holds the clip, so that there is never a second
    one.

    Args:
        database: of `open_database`
        files: the folder
        lease_s: seconds for which a clip is taken
        clock: seconds since 1970
    """

    def __init__(
        self,
        database: Engine,
        files: BatchFiles,
        *,
        lease_s: float = LEASE_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.files = files
        self.lease_s = lease_s
        self._database = database
        self._clock = clock

    def close(self) -> None:
        """Close all connections."""
        self._database.dispose()

    def create(self, owner: str | None, options: BatchOptions, max_batches: int) -> Batch:
        """Open a batch.

        Args:
            owner: name of the key it belongs to; ``None``: no key is required
            options: what will be asked
            max_batches: of this owner, ended ones that are still kept included

        Raises:
            TooManyError: there are as many
        """
        now = self._clock()
        # ids in the order of time make pages that do not shift when batches come and go
        batch_id = f"{time.time_ns():016x}{secrets.token_hex(8)}"
        with writing(self._database) as connection:
            num = connection.scalar(sa.select(sa.func.count()).where(_owned_by(owner)))
            if num is not None and num >= max_batches:
                msg = (
                    f"found {num} batches of this key, expected fewer than {max_batches} before "
                    "another; delete one that has ended"
                )
                raise TooManyError(msg)
            connection.execute(
                batch_table.insert().values(
                    id=batch_id,
                    owner=owner,
                    options=_to_json(options),
                    num_clips=0,
                    created_s=now,
                    changed_s=now,
                    is_cancelled=False,
                )
            )
        return self.get(batch_id, owner)

    def get(self, batch_id: str, owner: str | None) -> Batch:
        """Look at a batch.

        Raises:
            NoBatchError: the owner has none of this id
        """
        is_it = batch_table.c.id == batch_id
        with reading(self._database) as connection:
            found = _batches(connection, _owned_by(owner) & is_it, 1)
        if not found:
            raise NoBatchError(_no_batch(batch_id))
        return found[0]

    def page(self, owner: str | None, limit: int, before: str | None = None) -> list[Batch]:
        """List an owner's batches, the newest first.

        Args:
            owner: of all of them
            limit: most batches
            before: id of the last batch of the page before
        """
        older = sa.true() if before is None else batch_table.c.id < before
        with reading(self._database) as connection:
            return _batches(connection, _owned_by(owner) & older, limit)

    def add(self, batch_id: str, owner: str | None, clip: NewClip, max_clips: int) -> KeptClip:
        """Put a clip at the end of an open batch; the same clip again stays one.

        Args:
            batch_id: of `create`
            owner: of the batch
            clip: the same if file, name and words are the same
            max_clips: of a batch

        Raises:
            NoBatchError: the owner has none of this id
            BatchStateError: the batch takes no more clips
            TooManyError: it has as many as it may
            OSError: the disk is full
        """
        self.get(batch_id, owner)  # only an id that was drawn here becomes part of a path
        clip_id = secrets.token_hex(16)
        kept = None
        try:
            self.files.place(batch_id, clip_id, clip.source, clip.text)
            kept = self._insert(batch_id, owner, clip_id, clip, max_clips)
        except FileNotFoundError as error:
            msg = "found a batch that was cancelled or deleted while a clip came into it"
            raise BatchStateError(msg) from error
        finally:
            if kept is None or not kept.is_new:
                self.files.remove(batch_id, clip_id)
        return kept

    def start(self, batch_id: str, owner: str | None) -> Batch:
        """Let servers answer a batch, which takes no more clips then; once more changes nothing.

        Raises:
            NoBatchError: the owner has none of this id
            BatchStateError: it is cancelled, or without a clip
        """
        with writing(self._database) as connection:
            batch = _locked(connection, batch_id, owner)
            if batch.is_cancelled or batch.num_clips == 0:
                found = "a cancelled batch" if batch.is_cancelled else "a batch without a clip"
                msg = f"found {found}, expected an open one with clips to start"
                raise BatchStateError(msg)
            if batch.started_s is None:
                _change(connection, batch_id, started_s=self._clock())
        return self.get(batch_id, owner)

    def cancel(self, batch_id: str, owner: str | None) -> Batch:
        """Answer no more of a batch and remove its files; what is answered stays.

        Raises:
            NoBatchError: the owner has none of this id
        """
        with writing(self._database) as connection:
            if _locked(connection, batch_id, owner).ended_s is None:
                _change(connection, batch_id, ended_s=self._clock(), is_cancelled=True)
                connection.execute(
                    sa.update(clip_table)
                    .where(clip_table.c.batch_id == batch_id, _is_unanswered())
                    .values(state="cancelled", error=_CANCELLED, holder=None)
                )
        self.files.remove_batch(batch_id)
        return self.get(batch_id, owner)

    def remove(self, batch_id: str, owner: str | None) -> None:
        """Remove all that is known of a batch, and its files.

        Raises:
            NoBatchError: the owner has none of this id
        """
        with writing(self._database) as connection:
            _locked(connection, batch_id, owner)
            _delete(connection, [batch_id])
        self.files.remove_batch(batch_id)

    def outcomes(
        self, batch_id: str, owner: str | None, *, start: int = 0, limit: int = 100
    ) -> list[Outcome]:
        """Say what came of the clips of a batch, in the order in which they came.

        Args:
            batch_id: of `create`
            owner: of the batch
            start: number of the first clip
            limit: most clips
        """
        table = clip_table.c
        query = (
            sa.select(
                *(table.number, table.name, table.sha256),
                *(table.state, table.prediction, table.error),
            )
            .join(batch_table)
            .where(table.batch_id == batch_id, _owned_by(owner), table.number >= start)
            .order_by(table.number)
            .limit(limit)
        )
        with reading(self._database) as connection:
            return [Outcome(*row) for row in connection.execute(query)]

    def claim(self, holder: str, limit: int) -> list[Job]:
        """Take clips to answer for, those of the batch that was started first before others.

        Args:
            holder: id of who takes them, of one run of one server
            limit: most clips
        """
        now = self._clock()
        with writing(self._database) as connection:
            rows = connection.execute(next_clips(now, limit)).all()
            connection.execute(
                sa.update(clip_table)
                .where(clip_table.c.id.in_([row.id for row in rows]))
                .values(
                    state="running",
                    holder=holder,
                    lease_until_s=now + self.lease_s,
                    attempts=clip_table.c.attempts + 1,
                )
            )
        return [_job(row) for row in rows]

    def renew(self, holder: str, clip_ids: Collection[str]) -> set[str]:
        """Hold clips for another lease.

        Returns:
            ids of those that are still held; the others were cancelled or taken over
        """
        # what is locked is being cancelled; to wait for it could be a deadlock
        held = (
            sa.select(clip_table.c.id)
            .where(_is_held(holder), clip_table.c.id.in_(clip_ids))
            .with_for_update(skip_locked=True)
        )
        with writing(self._database) as connection:
            ids = set(connection.scalars(held))
            connection.execute(
                sa.update(clip_table)
                .where(clip_table.c.id.in_(ids))
                .values(lease_until_s=self._clock() + self.lease_s)
            )
        return ids

    def release(self, holder: str, job: Job) -> None:
        """Give a clip back without an answer."""
        with writing(self._database) as connection:
            connection.execute(
                sa.update(clip_table)
                .where(_is_held(holder), clip_table.c.id == job.clip_id)
                .values(state="waiting", holder=None, attempts=job.attempts - 1)
            )

    def settle(
        self, holder: str, job: Job, *, prediction: str | None = None, error: str | None = None
    ) -> bool:
        """Store what came of a clip, and remove its file.

        Args:
            holder: who took it
            job: of `claim`
            prediction: JSON of the answer
            error: why there is none

        Returns:
            whether it was stored; not where the clip is held no more
        """
        state: ClipState = "done" if error is None else "failed"
        with writing(self._database) as connection:
            # two servers that store the last two answers at once would each miss the other's
            connection.execute(_batch_lock(job.batch_id))
            changed = connection.execute(
                sa.update(clip_table)
                .where(_is_held(holder), clip_table.c.id == job.clip_id)
                .values(state=state, prediction=prediction, error=error, holder=None)
            )
            is_stored = changed.rowcount == 1
            if is_stored:
                connection.execute(_end_if_answered(job.batch_id, self._clock()))
        if is_stored:
            self.files.remove(job.batch_id, job.clip_id)
        return is_stored

    def expire(self, keep_s: float) -> int:
        """Remove batches that ended, or were left open, some time ago.

        Args:
            keep_s: seconds

        Returns:
            how many
        """
        limit = self._clock() - keep_s
        table = batch_table.c
        is_old = (table.ended_s < limit) | (table.started_s.is_(None) & (table.changed_s < limit))
        with writing(self._database) as connection:
            query = sa.select(table.id).where(is_old).with_for_update(skip_locked=True)
            ids = connection.scalars(query).all()
            _delete(connection, ids)
        for batch_id in ids:
            self.files.remove_batch(batch_id)
        return len(ids)

    def sweep(self) -> int:
        """Remove files that a killed server left: of answered clips, gone batches, and no clip.

        Returns:
            how many
        """
        found = list(self.files.found())
        with reading(self._database) as connection:
            clips = connection.execute(sa.select(clip_table.c.id, clip_table.c.state))
            states = {clip.id: clip.state for clip in clips}
            batch_ids = set(connection.scalars(sa.select(batch_table.c.id)))
        left = {
            (file.batch_id, file.clip_id)
            for file in found
            if states.get(file.clip_id) not in UNANSWERED
            and (
                file.clip_id in states
                or file.batch_id not in batch_ids
                or file.age_s > ORPHAN_S  # a younger one may be on its way into a row
            )
        }
        for batch_id, clip_id in left:
            self.files.remove(batch_id, clip_id)
        return len(left)

    def _insert(
        self, batch_id: str, owner: str | None, clip_id: str, clip: NewClip, max_clips: int
    ) -> KeptClip:
        with writing(self._database) as connection:
            batch = _locked(connection, batch_id, owner)
            known = connection.execute(_same_clip(batch_id, clip)).one_or_none()
            if known is not None:
                return KeptClip(**known._asdict(), is_new=False)
            _check_takes_clips(batch, max_clips)
            connection.execute(
                clip_table.insert().values(
                    id=clip_id,
                    batch_id=batch_id,
                    number=batch.num_clips,
                    name=clip.name,
                    sha256=clip.sha256,
                    words_sha256=clip.words_sha256,
                    num_bytes=clip.num_bytes,
                    state="waiting",
                    attempts=0,
                )
            )
            _change(connection, batch_id, num_clips=batch.num_clips + 1, changed_s=self._clock())
        return KeptClip(batch.num_clips, clip.name, clip.sha256, clip.num_bytes, is_new=True)


def open_store(database_url: str, folder: Path) -> BatchStore:
    """Open a database of batches and the folder of their clips; what is not there yet is made.

    Args:
        database_url: see `open_database`
        folder: private; servers that share the database share it

    Raises:
        StoreError: the database cannot be used, or was made by another version
        OSError: the folder cannot be made
    """
    return BatchStore(open_database(database_url), BatchFiles(folder))


def next_clips(now: float, limit: int) -> sa.Select[Any]:
    """Select and lock clips to answer for: those that wait, and those of a server that is gone.

    SQLite has no locks of rows and needs none: one process writes at a time.
    """
    table = clip_table.c
    is_left = (table.state == "running") & (table.lease_until_s < now)
    return (
        sa.select(
            *(table.id, table.batch_id, table.number, table.name, table.attempts),
            batch_table.c.options,
        )
        .join(batch_table)
        .where(batch_table.c.started_s.is_not(None), batch_table.c.ended_s.is_(None))
        .where((table.state == "waiting") | is_left)
        .order_by(batch_table.c.started_s, table.batch_id, table.number)
        .limit(limit)
        .with_for_update(of=clip_table, skip_locked=True)
    )


def _job(row: Row[Any]) -> Job:
    options = _from_json(row.options)
    return Job(row.id, row.batch_id, row.number, row.name, row.attempts + 1, options)


def _batches(connection: Connection, which: sa.ColumnElement[bool], limit: int) -> list[Batch]:
    """Read batches and count their clips."""
    query = batch_table.select().where(which).order_by(batch_table.c.id.desc()).limit(limit)
    rows = connection.execute(query).all()
    table = clip_table.c
    counts = connection.execute(
        sa.select(
            table.batch_id,
            table.state,
            sa.func.count().label("num"),
            sa.func.sum(table.num_bytes).label("num_bytes"),
            sa.func.sum(table.attempts).label("attempts"),
        )
        .where(table.batch_id.in_([row.id for row in rows]))
        .group_by(table.batch_id, table.state)
    ).all()
    return [_batch(row, [one for one in counts if one.batch_id == row.id]) for row in rows]


def _batch(row: Row[Any], counts: Sequence[Row[Any]]) -> Batch:
    nums: dict[ClipState, int] = dict.fromkeys(get_args(ClipState), 0)
    return Batch(
        id=row.id,
        options=_from_json(row.options),
        counts=nums | {one.state: one.num for one in counts},
        kept_bytes=sum(int(one.num_bytes) for one in counts if one.state in UNANSWERED),
        is_begun=any(one.attempts for one in counts),
        created_s=row.created_s,
        changed_s=row.changed_s,
        started_s=row.started_s,
        ended_s=row.ended_s,
        is_cancelled=row.is_cancelled,
    )


def _same_clip(batch_id: str, clip: NewClip) -> sa.Select[Any]:
    table = clip_table.c
    return sa.select(table.number, table.name, table.sha256, table.num_bytes).where(
        table.batch_id == batch_id,
        table.sha256 == clip.sha256,
        table.name == clip.name,
        table.words_sha256 == clip.words_sha256,
    )


def _check_takes_clips(batch: Row[Any], max_clips: int) -> None:
    """Refuse a clip where a batch was started, cancelled or filled."""
    if batch.started_s is not None or batch.is_cancelled:
        found = "cancelled" if batch.is_cancelled else "started"
        msg = f"found a batch that was {found}, expected an open one; put the clip into a new batch"
        raise BatchStateError(msg)
    if batch.num_clips >= max_clips:
        msg = (
            f"found a batch of {batch.num_clips} clips, expected fewer than {max_clips} before "
            "another; start it and put the clip into a new batch"
        )
        raise TooManyError(msg)


def _owned_by(owner: str | None) -> sa.ColumnElement[bool]:
    return batch_table.c.owner.is_not_distinct_from(owner)


def _is_unanswered() -> sa.ColumnElement[bool]:
    return clip_table.c.state.in_(UNANSWERED)


def _is_held(holder: str) -> sa.ColumnElement[bool]:
    return (clip_table.c.state == "running") & (clip_table.c.holder == holder)


def _batch_lock(batch_id: str) -> sa.Select[Any]:
    return batch_table.select().where(batch_table.c.id == batch_id).with_for_update()


def _locked(connection: Connection, batch_id: str, owner: str | None) -> Row[Any]:
    """Read a batch that nobody else changes until the end of the transaction.

    Raises:
        NoBatchError: the owner has none of this id
    """
    row = connection.execute(_batch_lock(batch_id).where(_owned_by(owner))).one_or_none()
    if row is None:
        raise NoBatchError(_no_batch(batch_id))
    return row


def _no_batch(batch_id: str) -> str:
    return f"found no batch {batch_id}; it was never made, was deleted, or has expired"


def _change(connection: Connection, batch_id: str, **values: Any) -> None:
    connection.execute(sa.update(batch_table).where(batch_table.c.id == batch_id).values(**values))


def _end_if_answered(batch_id: str, now: float) -> sa.Update:
    is_left = sa.exists().where(clip_table.c.batch_id == batch_id, _is_unanswered())
    table = batch_table.c
    return (
        sa.update(batch_table)
        .where(table.id == batch_id, table.ended_s.is_(None), ~is_left)
        .values(ended_s=now)
    )


def _delete(connection: Connection, batch_ids: Sequence[str]) -> None:
    connection.execute(sa.delete(clip_table).where(clip_table.c.batch_id.in_(batch_ids)))
    connection.execute(sa.delete(batch_table).where(batch_table.c.id.in_(batch_ids)))


def _to_json(options: BatchOptions) -> str:
    return json.dumps(asdict(options))


def _from_json(text: str) -> BatchOptions:
    row = json.loads(text)
    labels = None if row["labels"] is None else tuple(row["labels"])
    return BatchOptions(**{**row, "labels": labels})
