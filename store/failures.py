"""What a database driver raises, said so that it can be mended."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from engine.errors import DuecourseError, Problem, StoreError


@contextmanager
def translated(place: str) -> Iterator[None]:
    """
    Turn what SQLite, psycopg and ADBC raise within the block into StoreError with a mend.

    Only what a user can mend is translated; a constraint that fails or a wrong statement is a bug and stays itself.

    Args:
        place: the database, as the message shall name it.
    """
    try:
        yield
    except Exception as error:
        # SQLAlchemy wraps the driver's error, and ours out of a column's type, in its own.
        inner = getattr(error, "orig", None) or error
        if isinstance(inner, DuecourseError) and inner is not error:
            raise inner from None
        problem = _problem(inner, place)
        if problem is None:
            raise
        raise StoreError(problem) from error


def _problem(error: BaseException, place: str) -> Problem | None:
    if isinstance(error, sqlite3.Error):
        code = getattr(error, "sqlite_errorcode", None)
        # The low byte is the primary code; the rest says where it happened.
        found = _SQLITE.get(code & 0xFF) if code is not None else None
    else:
        found = _postgres(error)
    return Problem(found[0].format(place=place), found[1]) if found else None


_LOCKED: Final = ("`{place}` is locked by another writer", "let it finish, or stop it, and run the same again")
_FULL: Final = ("no room left for `{place}`; nothing was changed", "free disk space and run the same again")
_READ_ONLY: Final = ("`{place}` is read-only", "run as a user who may write it, or make it writable")
_BROKEN: Final = ("`{place}` is damaged", "restore it from the last backup")

_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_CANTOPEN: ("there is no database at `{place}`", "run `duecourse init DIR`, or mend `database:`"),
    sqlite3.SQLITE_NOTADB: ("`{place}` is not a database", "mend `database:`, or restore it from the last backup"),
    sqlite3.SQLITE_CORRUPT: _BROKEN,
    sqlite3.SQLITE_IOERR: ("`{place}` cannot be read or written", "check the disk and run the same again"),
    sqlite3.SQLITE_PERM: ("`{place}` may not be opened", "run as a user who may read and write it"),
}

_AWAY: Final = ("`{place}` is out of reach", "start the database server, or mend `database:`")

_POSTGRES: Final = {
    "55P03": _LOCKED,
    "40P01": _LOCKED,
    "40001": _LOCKED,
    "53100": _FULL,
    "53300": ("`{place}` takes no more connections", "stop other programs that use it, or raise `max_connections`"),
    "25006": _READ_ONLY,
    "42501": ("`{place}` refuses this user", "grant it the right to create and change tables"),
    "28P01": ("`{place}` refuses the user or password", "mend `database:`"),
    "28000": ("`{place}` refuses the user or password", "mend `database:`"),
    "3D000": ("`{place}` does not exist", "create it with `createdb`, or mend `database:`"),
    "57P01": _AWAY,
    "57P02": _AWAY,
    "57P03": _AWAY,
    "XX001": _BROKEN,
    "XX002": _BROKEN,
}


def _postgres(error: BaseException) -> tuple[str, str] | None:
    state = getattr(error, "sqlstate", None)
    if state is not None:
        # Class 08 is every kind of lost connection.
        return _AWAY if state.startswith("08") else _POSTGRES.get(state)
    # Without a state the server was never reached: libpq says so as OperationalError.
    module = type(error).__module__.partition(".")[0]
    if type(error).__name__ != "OperationalError" or module not in ("psycopg", "adbc_driver_manager"):
        return None
    said = str(error)
    return next((_POSTGRES[state] for phrase, state in _REFUSALS.items() if phrase in said), _AWAY)


# A refusal at connect carries no state (psycopg 3); the server's words are all there is.
_REFUSALS: Final = {
    'role "': "28000",
    "does not exist": "3D000",
    "authentication failed": "28P01",
    "no password supplied": "28P01",
    "too many clients": "53300",
}
