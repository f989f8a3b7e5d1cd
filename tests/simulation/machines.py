"""
A machine that runs Duecourse on the shared database, and can be switched off at any statement it sends there.

What it remembered is gone then, what it had committed stays, and nothing that it still tries has any effect: no
handler, `finally` or thread of a dead machine reaches the database or a provider, as after `kill -9`.
"""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from unittest.mock import patch

from duecourse.wiring import Works
from duecourse.workspace import Workspace
from engine.matching import LiveMatcherSet
from store import db
from store.sqlite import connector
from tests.opening import open_database
from tests.simulation.virtual_time import Time
from workflows.deciding.chunk import ChunkReader
from workflows.sending.door import Outward

_BUSY_SECONDS = 0.2
"""Nobody waits for a lock here: whoever holds one is never interrupted."""
_STATEMENT_SECONDS = 0.0002
"""What a statement takes, so that no two things happen at one instant."""


class Killed(BaseException):
    """The machine is off. No `except Exception` of the product may catch it."""


@dataclass
class Machine:
    """
    One machine: its clock, its works on the shared database, and what strikes it.

    Attributes:
        strike: asked before every statement, before and after every commit, and around every message; it may do
            something else meanwhile, raise what a driver raises, or switch the machine off.
        ahead: how far its clock is ahead of the true time, in microseconds. set_at: when it was set last, by the true time.
        busy: it is in the middle of something.
        job: what it does, or did last.
        errors: how often the database failed it in this job.
        stood: for how long it has stood still between two statements while others worked, in microseconds; still_since: since
            when it does now.
    """

    name: str
    workspace: Workspace
    time: Time
    strike: Callable[["Machine", str], None]
    outward: Callable[["Machine"], Outward]
    ahead: int = 0
    set_at: int = 0
    on: bool = False
    busy: bool = False
    job: str = ""
    errors: int = 0
    stood: int = 0
    still_since: int | None = None
    connections: list["Connection"] = field(default_factory=list)

    def __post_init__(self) -> None:
        with patch.object(db, "connector", self._connector):
            self.database = open_database(self.workspace.database_url, busy_timeout_s=_BUSY_SECONDS)
        # These know the workspace's files and their own SQL, and nothing of the book: the next life's would be the same,
        # and take long to make.
        self._reader = ChunkReader(self.workspace.rulebook, actor=self.workspace.settings.actor)
        self._matcher = LiveMatcherSet(self.workspace.rulebook.strategies)

    def boot(self) -> None:
        """Begin anew, knowing only what the database holds."""
        self.on = True
        self.works = Works(self.workspace, self.database, self.outward(self))
        self.works.reader, self.works.matcher = self._reader, self._matcher

    def down(self) -> None:
        """Let go of everything, undoing what was not committed."""
        self.on = False
        for connection in [*self.connections]:
            connection.close()
        self.database.close()

    def scrap(self) -> None:
        """For good."""
        self.down()
        self._reader.close()

    def now(self) -> datetime:
        """What its clock says."""
        return self.time.at(ahead=self.ahead)

    @property
    def ran(self) -> int:
        """For how long it has worked, in microseconds from an instant of its own: what it stood still does not count."""
        return (self.time.us if self.still_since is None else self.still_since) - self.stood

    @property
    def writes(self) -> bool:
        """Whether it holds the database's write lock."""
        return any(connection.locked for connection in self.connections)

    def cross(self, where: str) -> None:
        """
        Come to a place where something may happen.

        Raises:
            Killed: the machine is off, or goes off here.
        """
        self._alive()
        self.time.pass_by(_STATEMENT_SECONDS)
        self.strike(self, where)
        self._alive()

    def _alive(self) -> None:
        if not self.on:
            raise Killed(self.name)

    def _connector(self, path: str, busy_timeout_s: float) -> Callable[[], sqlite3.Connection]:
        plain = connector(path, busy_timeout_s)
        ours = partial(sqlite3.connect, factory=Connection)

        def connect() -> sqlite3.Connection:
            self._alive()
            with patch("sqlite3.connect", ours):
                connection = plain()
            assert isinstance(connection, Connection)
            connection.machine = self
            connection.create_function("witness_now", 0, lambda: self.time.us + self.ahead)
            self.connections.append(connection)
            return connection

        return connect


class Connection(sqlite3.Connection):
    """A connection to the database that tells its machine of every statement."""

    machine: Machine | None = None
    locked = False

    def cursor(self, *_: Any, **__: Any) -> sqlite3.Cursor:
        """What statements are sent by; also by `execute` of the connection itself."""
        return super().cursor(_Cursor)

    def commit(self) -> None:
        """Make it so, if the machine lives; it may die of it before or after."""
        if self.machine is None or not self.in_transaction:
            super().commit()
            return
        self.machine.cross("commit")
        super().commit()
        self.locked = False
        self.machine.cross("committed")

    def rollback(self) -> None:
        """What happens to whatever a dead machine had begun."""
        super().rollback()
        self.locked = False

    def close(self) -> None:
        """Undo and let go."""
        if self.machine is not None and self in self.machine.connections:
            self.machine.connections.remove(self)
            if self.in_transaction:
                self.rollback()
        super().close()

    def run(self, sql: str, act: Callable[[], sqlite3.Cursor]) -> sqlite3.Cursor:
        """Send one statement."""
        if self.machine is None:
            return act()
        self.machine.cross("statement")
        done = act()
        if sql == "begin immediate":
            self.locked = True
        return done


class _Cursor(sqlite3.Cursor):
    def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
        assert isinstance(self.connection, Connection)
        return self.connection.run(sql, lambda: super(_Cursor, self).execute(sql, *given))

    def executemany(self, sql: str, *given: Any) -> sqlite3.Cursor:
        assert isinstance(self.connection, Connection)
        return self.connection.run(sql, lambda: super(_Cursor, self).executemany(sql, *given))
