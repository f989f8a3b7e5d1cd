"""Which database this is, so that a copy is told from the one that was declared to be production."""

from pathlib import Path

from sqlalchemy import text
from sqlmodel import Session

from store.db import Database
from store.settings import read_setting, write_setting


def declare_environment(database: Database, session: Session, value: str) -> None:
    """Say what this very database is: `development` or `production`. A copy of it has to be told again."""
    write_setting(session, "environment", value)
    write_setting(session, "environment_of", identity(database, session))


def is_production(database: Database, session: Session) -> bool | None:
    """Whether this is production; None for a copy of a production database."""
    if read_setting(session, "environment") != "production":
        return False
    return True if read_setting(session, "environment_of") == identity(database, session) else None


def identity(database: Database, session: Session) -> str:
    """What a copy does not have in common with its original: the file's own number, or the server's and database's."""
    if database.dialect == "sqlite":
        return f"file {Path(database.place).stat().st_ino}"
    sql = "select (select system_identifier from pg_control_system()) || '/' || oid from pg_database"
    found = session.connection().execute(text(f"{sql} where datname = current_database()")).scalar()
    return f"server {found}"
