"""Address of a database -> an engine of SQLAlchemy with the tables of batches in it.

Knows: tables, SQLite and PostgreSQL, the version of the tables. Does not know: what rows mean.
"""

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from emotion_llama.server.batches.records import StoreError

SCHEMA_VERSION = 1
"""Of the tables; a database of another version is refused."""

BUSY_S = 30.0
"""Seconds to wait for another process that writes to the same SQLite file."""

_CREATE_LOCK = 0x656D6F
"""Number of the lock under which PostgreSQL tables are made: two servers may start at once."""

_WRITES = "emotion_llama_writes"
"""Option of a connection that is about to write."""

_tables = sa.MetaData()

schema_table = sa.Table(
    "batch_schema",
    _tables,
    sa.Column("version", sa.Integer, primary_key=True, autoincrement=False),
)

batch_table = sa.Table(
    "batches",
    _tables,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("owner", sa.Text),
    sa.Column("options", sa.Text, nullable=False),
    sa.Column("num_clips", sa.Integer, nullable=False),
    sa.Column("created_s", sa.Double, nullable=False),
    sa.Column("changed_s", sa.Double, nullable=False),
    sa.Column("started_s", sa.Double),
    sa.Column("ended_s", sa.Double),
    sa.Column("is_cancelled", sa.Boolean, nullable=False),
)
"""Times are seconds since 1970; ``changed_s`` is that of the last clip that came."""

clip_table = sa.Table(
    "clips",
    _tables,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("batch_id", sa.ForeignKey("batches.id"), nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("words_sha256", sa.String(64), nullable=False),
    sa.Column("num_bytes", sa.BigInteger, nullable=False),
    sa.Column("state", sa.String(9), nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("holder", sa.Text),
    sa.Column("lease_until_s", sa.Double),
    sa.Column("prediction", sa.Text),
    sa.Column("error", sa.Text),
    sa.UniqueConstraint("batch_id", "number"),
    sa.UniqueConstraint("batch_id", "sha256", "name", "words_sha256"),
    sa.Index("clips_by_state", "state", "batch_id", "number"),
)
"""``attempts``: how often a server took the clip without giving it back."""


def open_database(address: str) -> Engine:
    """Open a database of batches; what is not there yet is made.

    Args:
        address: ``sqlite:///path/of/file.db``, for servers on one machine, or
            ``postgresql+psycopg://user@host/database``, which needs ``psycopg``

    Raises:
        StoreError: the database cannot be used, or was made by another version
    """
    try:
        database = _connected(make_url(address))
        _prepare(database)
    except (ArgumentError, SQLAlchemyError, ModuleNotFoundError) as error:
        msg = f"the database of batches cannot be opened: {getattr(error, 'orig', error)}"
        raise StoreError(msg) from error
    return database


def reading(database: Engine) -> AbstractContextManager[Connection]:
    """Begin a transaction that only reads."""
    return database.connect()


def writing(database: Engine) -> AbstractContextManager[Connection]:
    """Begin a transaction that writes; it is taken back where the block raises."""
    return database.execution_options(**{_WRITES: True}).begin()


def _connected(url: URL) -> Engine:
    """Make what opens connections.

    Raises:
        StoreError: it is no database that this was written for
    """
    kind = url.get_backend_name()
    if kind == "postgresql":
        return sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
    if kind != "sqlite" or not url.database or url.database.startswith((":", "file:")):
        msg = (
            f"found the database {url}, expected sqlite:///path/of/file.db or "
            "postgresql+psycopg://user@host/database"
        )
        raise StoreError(msg)
    path = Path(url.database)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))  # SQLite's other files take its mode
    database = sa.create_engine(url, connect_args={"timeout": BUSY_S}, hide_parameters=True)
    sa.event.listen(database, "connect", _set_up_sqlite)
    sa.event.listen(database, "begin", _begin_sqlite)
    return database


def _set_up_sqlite(connection: Any, _: object) -> None:
    # transactions are begun below: Python's own begin too late to keep others from writing
    connection.isolation_level = None
    for setting in ("journal_mode = WAL", "foreign_keys = ON", "secure_delete = ON"):
        connection.execute(f"PRAGMA {setting}").close()


def _begin_sqlite(connection: Connection) -> None:
    is_write = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_write else "BEGIN")


def _prepare(database: Engine) -> None:
    """Make the tables, or check that they are of this version.

    Raises:
        StoreError: they are not
    """
    with writing(database) as connection:
        if database.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_CREATE_LOCK)))
        found = set(sa.inspect(connection).get_table_names()) & set(_tables.tables)
        if not found:
            _tables.create_all(connection)
            connection.execute(schema_table.insert().values(version=SCHEMA_VERSION))
            return
        query = sa.select(schema_table.c.version)
        versions = connection.scalars(query).all() if schema_table.name in found else []
    if versions != [SCHEMA_VERSION]:
        msg = (
            f"found tables {', '.join(sorted(found))} of version {versions or 'unknown'}, expected "
            f"version {SCHEMA_VERSION}; give another database, and let the program that made this "
            "one finish its batches"
        )
        raise StoreError(msg)
