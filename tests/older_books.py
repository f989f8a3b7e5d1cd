"""Databases of former schemas, and rows put into them as an older Duecourse had them."""

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Final

import pytest
from alembic import command
from sqlalchemy import Boolean, Connection, Date, Integer, MetaData, Table, insert

from store import migrations
from store.columns import to_us
from store.db import Database
from tests.marked import NOW
from tests.opening import open_database
from tests.postgres import Server

KINDS_OF: Final = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]
"""Parameters of a test that makes an older database of each kind."""


@contextmanager
def older_book(kind: str, schema: int, folder: Path, server: Server) -> Iterator[Database]:
    """A database of that schema, and nobody in it."""
    with server.database() if kind == "postgresql" else nullcontext(f"sqlite:///{folder / 'old.db'}") as url:
        if kind == "sqlite":
            (folder / "old.db").touch()
        with closing(open_database(url)) as database:
            with database.write() as session:
                command.upgrade(migrations.configured(session.connection()), f"{schema:04}")
            yield database


def put(connection: Connection, name: str, /, **values: Any) -> None:
    """One row of an older table, with something in every column that must have something."""
    table = Table(name, MetaData(), autoload_with=connection)
    sqlite = connection.dialect.name == "sqlite"
    for column in table.columns:
        if column.name in values or column.nullable or column.server_default is not None:
            continue
        if column.name == "at" or column.name.endswith("_at"):
            values[column.name] = to_us(NOW) if sqlite else NOW
        elif isinstance(column.type, Date):
            values[column.name] = NOW.date()
        elif isinstance(column.type, Boolean):
            values[column.name] = False
        else:
            values[column.name] = 0 if isinstance(column.type, Integer) else ""
    connection.execute(insert(table).values(values))
