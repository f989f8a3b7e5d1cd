"""What goes wrong around a sweep: the disk is full, the server is away, the connection of its lock is lost. It goes on later."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlmodel import col, select

from engine.errors import StoreError
from engine.gate import Ask, Verdict
from store.db import Database
from store.tables import Contact, DecisionRow, Run
from tests.opening import open_database
from tests.postgres import Server
from tests.sweep_books import NOW, DayGate, PersonSpec, everything, fill, rulebook
from workflows.deciding.sweep import SweepResult, sweep

BOOK = [PersonSpec(bucket=n * 100) for n in range(24)]


@pytest.fixture
def undisturbed(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """Another database, for a sweep that nothing happens to."""
    path = tmp_path / "undisturbed.db"
    shutil.copyfile(sqlite_template, path)
    database = open_database(f"sqlite:///{path}")
    yield database
    database.close()


class OnceGate(DayGate):
    """Something happens while it is asked for the nth time."""

    def __init__(self, nth: int, happens: Callable[[], None]) -> None:
        super().__init__()
        self._nth, self._happens = nth, happens

    def check(self, ask: Ask, now: datetime) -> Verdict:
        self._nth -= 1
        if self._nth == 0:
            self._happens()
        return super().check(ask, now)


def run(database: Database, gate: DayGate, minutes: int = 0) -> SweepResult:
    return sweep(database, rulebook(), gate, now=NOW + timedelta(minutes=minutes), loans_per_chunk=4)


def goes_on(database: Database, undisturbed: Database) -> None:
    """The next sweep of the day ends with what one that nothing disturbed ends with, in the same run, and nothing twice."""
    fill(undisturbed, BOOK)
    run(undisturbed, DayGate())
    assert run(database, DayGate(), minutes=5).finished
    assert everything(database) == everything(undisturbed)
    with database.session() as session:
        assert session.exec(select(Run.status).where(col(Run.kind) == "sweep")).all() == ["done"]
        slots = session.exec(select(Contact.slot)).all()
    assert len(slots) == len(set(slots)) > 0


def decided(database: Database) -> int:
    with database.session() as session:
        return len(session.exec(select(DecisionRow.loan_id)).all())


@contextmanager
def full_disk(database: Database) -> Iterator[None]:
    """A disk on which the book has no room to grow by more than a page."""

    def limit(connection: Any, _record: Any) -> None:
        pages = connection.execute("pragma page_count").fetchone()[0]
        connection.execute(f"pragma max_page_count = {pages + 1}")

    database.close()
    event.listen(database.engine, "connect", limit)
    try:
        yield
    finally:
        event.remove(database.engine, "connect", limit)
        database.close()


def test_a_full_disk_stops_the_sweep_with_a_mend(sqlite_database: Database, undisturbed: Database) -> None:
    """Nothing is half written; once there is room it goes on."""
    fill(sqlite_database, BOOK)
    with (
        full_disk(sqlite_database),
        pytest.raises(StoreError, match=r"(?s)no room left for .*free disk space and run the same"),
    ):
        run(sqlite_database, DayGate())
    assert decided(sqlite_database) < len(BOOK)
    goes_on(sqlite_database, undisturbed)


@pytest.mark.postgres
def test_a_server_that_goes_away_stops_the_sweep(
    postgres_database: Database, undisturbed: Database, postgres_server: Server
) -> None:
    """Every connection is ended and none is made: the message says what to start; afterwards it goes on."""
    name = str(postgres_database.url.database)

    def goes() -> None:
        postgres_server.execute(f'alter database "{name}" allow_connections false')
        end_connections(postgres_server, name)

    fill(postgres_database, BOOK)
    try:
        with pytest.raises(StoreError, match="is out of reach"):
            run(postgres_database, OnceGate(9, goes))
    finally:
        postgres_server.execute(f'alter database "{name}" allow_connections true')
    assert 0 < decided(postgres_database) < len(BOOK)
    goes_on(postgres_database, undisturbed)


@pytest.mark.postgres
def test_who_lost_the_lock_stops(postgres_database: Database, undisturbed: Database, postgres_server: Server) -> None:
    """Connections that are ended are made again, but the lock was one's own connection: another sweep may have begun."""
    fill(postgres_database, BOOK)
    name = str(postgres_database.url.database)
    stopped = run(postgres_database, OnceGate(9, lambda: end_connections(postgres_server, name)))
    assert not stopped.finished
    assert 0 < decided(postgres_database) < len(BOOK)
    goes_on(postgres_database, undisturbed)


def end_connections(server: Server, name: str) -> None:
    server.execute(f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
