"""
Locks that are held by a living process and are gone with it, however it ends: no lease to wait for, no clock to trust.

PostgreSQL: an advisory lock of a connection. SQLite: a lock on a file beside the database (both are on
one machine then, as SQLite itself demands).
"""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import blake2b
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from engine.errors import Problem, StoreError
from store.db import Database
from store.settings import read_setting, write_setting

_KEEPALIVE: Final = (
    "select set_config('tcp_keepalives_idle', '15', false), set_config('tcp_keepalives_interval', '5', false), "
    "set_config('tcp_keepalives_count', '5', false)"
)
"""Seconds, seconds, times."""


class Busy(StoreError):  # noqa: N818 - no error, an answer
    """Somebody else is doing it at this moment."""


@contextmanager
def sole(database: Database, name: str, *, what: str) -> Iterator[Callable[[], bool]]:
    """
    Be the only process that does this for the length of the block.

    Yields a function that tells whether that is still so: a lock on a server is lost with its connection.

    Args:
        name: of the lock, e.g. `sweep`.
        what: in words, for whoever comes second, e.g. "a sweep".
    Raises:
        Busy: somebody else is at it; says who.
    """
    with _sqlite(database, name) if database.dialect == "sqlite" else _postgres(database, name) as held:
        if held is None:
            raise Busy(
                Problem(f"{what} is running already: {_who(database, name)}", "wait until it has ended, or stop it")
            )
        with database.write() as session:
            write_setting(session, f"{name}_holder", this_process())
        yield held


def holder(database: Database, name: str) -> str | None:
    """Who holds a lock at this moment, in words; None: nobody."""
    held = _held_sqlite(database, name) if database.dialect == "sqlite" else _held_postgres(database, name)
    return _who(database, name) if held else None


def this_process() -> str:
    """What this process is called where others read of it."""
    return f"process {os.getpid()} on {socket.gethostname()}"


def _who(database: Database, name: str) -> str:
    with database.session() as session:
        return read_setting(session, f"{name}_holder") or "another process"


def _key(name: str) -> int:
    return int.from_bytes(blake2b(f"duecourse:{name}".encode(), digest_size=8).digest(), "big", signed=True)


def _held_postgres(database: Database, name: str) -> bool:
    held = text(
        "select 1 from pg_locks where locktype = 'advisory' and granted and objsubid = 1 "
        "and database = (select oid from pg_database where datname = current_database()) "
        "and (classid::bigint << 32) | objid::bigint = :key"
    )
    with database.session() as session:
        return session.execute(held, {"key": _key(name)}).first() is not None


def _held_sqlite(database: Database, name: str) -> bool:
    import fcntl

    try:
        with open(f"{database.place}.{name}.lock", encoding="utf-8") as file:  # noqa: PTH123 - a path built by appending
            # Shared, so that those who only look do not see each other.
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


@contextmanager
def _postgres(database: Database, name: str) -> Iterator[Callable[[], bool] | None]:
    key = _key(name)
    with database.translated(), database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as held:
        # A machine that is gone says no farewell: the server asks after it, and gives its locks up within a minute, not two hours.
        held.execute(text(_KEEPALIVE))
        mine = bool(held.execute(text("select pg_try_advisory_lock(:key)"), {"key": key}).scalar())

        def still() -> bool:
            try:
                held.execute(text("select 1"))
            except DBAPIError:
                return False
            return True

        try:
            yield still if mine else None
        finally:
            if mine and not held.invalidated:
                held.execute(text("select pg_advisory_unlock(:key)"), {"key": key})


@contextmanager
def _sqlite(database: Database, name: str) -> Iterator[Callable[[], bool] | None]:
    import fcntl

    with open(f"{database.place}.{name}.lock", "w", encoding="utf-8") as file:  # noqa: PTH123 - a path built by appending
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        yield lambda: True
