"""Whatever path wrote a row, what is read is what was written: in value, in type, on both databases."""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Table, delete, insert, select
from sqlmodel import SQLModel

from store.db import Database
from tests.values import rows_of, same, tables

Rows = Sequence[Mapping[str, Any]]

CLASSES = {mapper.local_table.name: mapper.class_ for mapper in SQLModel._sa_registry.mappers}


def by_orm(database: Database, table: Table, rows: Rows) -> None:
    """One object a row."""
    with database.write() as session:
        for row in rows:
            session.add(CLASSES[table.name](**row))
            session.flush()


def by_core(database: Database, table: Table, rows: Rows) -> None:
    """One statement for all rows."""
    with database.write() as session:
        session.connection().execute(insert(table), list(rows))


WRITERS: dict[str, Callable[[Database, Table, Rows], None]] = {"orm": by_orm, "core": by_core}


@pytest.mark.parametrize("path", WRITERS)
def test_every_table_keeps_what_was_written(database: Database, path: str) -> None:
    """Limits, nulls, odd text and odd hours survive in every column of every table."""
    for table in tables():
        rows = rows_of(table)
        if table.name == "log_queue":
            # The tables of the log have queued their own rows by now.
            with database.write() as session:
                session.connection().execute(delete(table))
        if table.name == "setting":
            rows = [{**row, "name": f"own {row['name']}"} for row in rows]
        WRITERS[path](database, table, rows)
        for row, found in zip(rows, read(database, table, rows), strict=True):
            assert same(in_utc(row), found), f"{table.name}: wrote {row}, read {found}"


def read(database: Database, table: Table, rows: Rows) -> list[dict[str, Any]]:
    """The same rows back, in the same order, by primary key."""
    with database.session() as session:
        found = {
            tuple(row[column.name] for column in table.primary_key): dict(row)
            for row in session.connection().execute(select(table)).mappings()
        }
    return [found[tuple(row[column.name] for column in table.primary_key)] for row in rows]


def in_utc(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row as it comes back: the same instants, told in UTC."""
    return {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.items()}


def test_every_table_has_a_class_and_no_column_is_of_another_type() -> None:
    """Instants, dates, texts, sealed or not, flags, whole numbers and hashes are all there is; no floats, no naive timestamps, no JSON type."""
    assert sorted(CLASSES) == sorted(table.name for table in tables())
    kinds = {type(column.type).__name__ for table in tables() for column in table.columns}
    plain = {"AutoString", "BigInteger", "Boolean", "Date", "Instant", "Integer", "LargeBinary", "Text"}
    assert kinds == plain | {"Sealed", "SealedText"}
