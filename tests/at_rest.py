"""What lies in a database's own files, as whoever carries off a disk or a backup reads it."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import text

from store.db import Database
from tests.postgres import Server


def marks_at_rest(database: Database, marks: Iterable[str], server: Server | None = None) -> list[str]:
    """
    Which of the marks stand in the files, in the clear, whatever their case.

    Args:
        server: PostgreSQL's, for a database of its.
    """
    content = b"".join(file.read_bytes() for file in _files(database, server)).lower()
    assert content
    return [mark for mark in marks if mark.lower().encode() in content]


def _files(database: Database, server: Server | None) -> list[Path]:
    if server is None or database.dialect == "sqlite":
        path = Path(database.place)
        # With its write-ahead log and all else that stands beside it under its name.
        return [file for file in path.parent.iterdir() if file.name.startswith(path.name)]
    server.execute("checkpoint")
    with database.session() as session:
        oid = session.execute(text("select oid from pg_database where datname = current_database()")).scalar_one()
    return list((server.data / "base" / str(oid)).iterdir())
