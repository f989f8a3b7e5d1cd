"""SQLite and PostgreSQL end with the same book after the same days: decisions, contacts, moves, promises, money."""

from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from duecourse.demo.run import run_demo
from duecourse.workspace import open_workspace
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from tests.postgres import Server

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(900)]

DAYS: Final = 10
"""Long enough for promises to be made, kept and broken."""
SEED: Final = 11

OF_THIS_RUN: Final = {
    # Which process did it, and in what order the provider happened to hear of messages under way at once.
    "contact": {"claimed_by", "provider_ref"},
    "contact_status": {"id"},
    "event": {"id"},
    "feed": {"file"},
}
"""Columns that say how things went on this machine rather than what was decided."""
NOT_THE_BOOK: Final = {"setting"}
LEFT_EMPTY: Final = {"message_text", "override"}
"""What the simulation's people do not do: write in their own words, or set a presumption aside."""


def live(folder: Path, url: str | None) -> Database:
    """Some simulated days of the shipped book; the book they end with."""
    run_demo(folder, days=DAYS, seed=SEED, database=url, tell=lambda _done, _total: None)
    return open_workspace(folder, {}).open_database()


def rows(database: Database, table: str) -> list[tuple[Any, ...]]:
    """A table, row for row, without what only says how things went."""
    columns = [column for column in table_of(table).columns if column.name not in OF_THIS_RUN.get(table, ())]
    with reading(database) as source:
        found = source.read(select(*columns)).to_pydict()
    return sorted(zip(*found.values(), strict=True), key=repr)


def test_sqlite_and_postgresql_end_with_the_same_book(postgres_server: Server, tmp_path: Path) -> None:
    """Import, entry, sweeps, dispatch, tasks, events and promises leave the same rows in every table."""
    with postgres_server.database() as url:
        one, other = live(tmp_path / "sqlite", None), live(tmp_path / "postgresql", url)
        different, empty = {}, set()
        for table in sorted(SQLModel.metadata.tables.keys() - NOT_THE_BOOK):
            here, there = rows(one, table), rows(other, table)
            if here != there:
                first = next((pair for pair in zip(here, there, strict=False) if pair[0] != pair[1]), None)
                different[table] = (len(here), len(there), first)
            if not here:
                empty.add(table)
        one.close()
        other.close()
    assert different == {}
    assert empty == LEFT_EMPTY, "of other tables something must be compared"
