"""How every SQLite connection of this process is made: one library, one way, one set of pragmas."""

import sqlite3
from collections.abc import Callable
from urllib.parse import quote


def connector(path: str, busy_timeout_s: float) -> Callable[[], sqlite3.Connection]:
    """
    A function that connects to an existing file, in explicit-transaction mode.

    The file must be there: SQLite would make an empty one of a mistyped name.
    """
    uri = f"file:{quote(path)}?mode=rw"

    def connect() -> sqlite3.Connection:
        # `isolation_level=None`: nothing begins a transaction behind our back.
        connection = sqlite3.connect(
            uri, uri=True, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            # Readers never wait for the writer, nor it for them.
            connection.execute("pragma journal_mode = wal")
            # FULL, not NORMAL: in WAL mode NORMAL may lose the last commits when power fails. A contact is committed
            # as `sending` before the provider hears of it; losing that commit would send it twice.
            connection.execute("pragma synchronous = full")
            connection.execute("pragma foreign_keys = on")
            # `insert or replace` deletes what it replaces: with this, past no trigger that forbids it.
            connection.execute("pragma recursive_triggers = on")
        except BaseException:
            connection.close()
            raise
        return connection

    return connect
