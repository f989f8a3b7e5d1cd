"""Whole columns in and out of the database, the same on SQLite and PostgreSQL."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from store.bulk_arrow import BulkTransaction, Reader, arrow_schema
from store.bulk_postgres import PostgresTransaction, reading_postgres
from store.bulk_sqlite import SqliteTransaction, reading_sqlite

if TYPE_CHECKING:
    from store.db import Database

__all__ = ["BulkTransaction", "Reader", "arrow_schema", "reading", "writing"]


@contextmanager
def reading(database: "Database") -> Iterator[Reader]:
    """
    Read columns of several tables, all as of the moment of the first read; nothing is locked.

    Raises:
        StoreError: the database is out of reach or broken.
    """
    with (
        database.translated(),
        reading_sqlite(database.engine, database.sealing)
        if database.dialect == "sqlite"
        else reading_postgres(database.bulk_pool, database.sealing) as reader,
    ):
        yield reader


@contextmanager
def writing(database: "Database") -> Iterator[BulkTransaction]:
    """
    One transaction for whole columns: committed at the end of the block, undone on any error.

    On SQLite it holds the one write lock from its first moment; on PostgreSQL it locks what it changes or reads
    `for update`.

    Raises:
        StoreError: the database stayed locked, is full, read-only or out of reach; nothing was changed.
    """
    with (
        database.translated(),
        SqliteTransaction(database.writer, database.sealing)
        if database.dialect == "sqlite"
        else PostgresTransaction(database.bulk_pool, database.sealing) as bulk,
    ):
        yield bulk
