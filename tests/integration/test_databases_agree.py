"""SQLite and PostgreSQL end with the same book after the same days: decisions, contacts, moves, promises, money."""

import json
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from duecourse.demo.run import run_demo
from duecourse.workspace import open_workspace
from store.book import RAW_TABLES
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from store.snapshots import unpack
from tests.postgres import Server
from workflows.sending.look_log import RUN
from workflows.sending.text_seal import SEALED

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(900)]

DAYS: Final = 10
"""Long enough for promises to be made, kept and broken."""
SEED: Final = 10

OF_THIS_RUN: Final = {
    # Which process did it, and in what order the provider happened to hear of messages under way at once.
    "contact": {"claimed_by", "provider_ref"},
    "contact_status": {"id"},
    "endpoint": {"value_hash"},
    "event": {"id"},
    "feed": {"file"},
    # Which of two lanes looked first; what each saw is in it.
    "snapshot": {"id", "run_id"},
}
"""Columns that say how things went on this machine rather than what was decided."""
NOT_THE_BOOK: Final = {"setting", "log_leaf", "log_node", "log_queue"}
"""What the database knows about itself, its secrets among them; and what is hashed with these."""
LEFT_EMPTY: Final = {
    "arrival", "batch", "batch_item", "deed_note", "erased_ref", "job", "job_act", "log_checkpoint", "log_erased",
    "log_handover", "message_text", "override", "proof", "visit",
}  # fmt: skip
"""
What the simulation does not do: hear from outside by HTTP, keep a schedule, send tasks away in files, plan visits by day,
sign the log, write in people's own words, set a presumption aside, hand out or erase what is on file about somebody.
"""


def live(folder: Path, url: str | None) -> Database:
    """Some simulated days of the shipped book; the book they end with."""
    run_demo(folder, days=DAYS, seed=SEED, database=url, tell=lambda _done, _total: None)
    return open_workspace(folder, {}).open_database()


def rows(database: Database, table: str) -> list[tuple[Any, ...]]:
    """A table, row for row, without what only says how things went."""
    columns = [column for column in table_of(table).columns if column.name not in OF_THIS_RUN.get(table, ())]
    with reading(database) as source:
        found = source.read(select(*columns)).to_pydict()
    if table == "contact_status":
        found["detail_json"] = [_without_what_differs(detail) for detail in found["detail_json"]]
    if table == "snapshot":
        pairs = zip(found["content"], found.pop("digest"), strict=True)
        found["content"] = [_seen(content, digest) for content, digest in pairs]
    return sorted(zip(*found.values(), strict=True), key=repr)


def _seen(content: bytes, digest: str) -> dict[str, list[str]]:
    # Rows lie in the order in which each database finds them.
    seen = unpack(content, digest)
    told = {"beside": [repr((seen.at, seen.asks, seen.looks, seen.seats))]}
    if seen.book is None:
        return told
    return told | {name: sorted(map(repr, getattr(seen.book, name).to_pylist())) for name in RAW_TABLES}


def _without_what_differs(detail: str) -> dict[str, Any]:
    # A text is sealed with a secret of its own database, and which of two lanes looked first is of this run.
    return {name: value for name, value in json.loads(detail).items() if name not in (SEALED, RUN)}


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
