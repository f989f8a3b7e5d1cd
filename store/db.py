"""
The database: SQLite (WAL) by default, PostgreSQL by URL, the same schema and the same promises on both.

A read session sees one moment from its first statement to its last and cannot write; a write transaction is the only
way to change anything. On SQLite it takes the one write lock at once, so that two writers queue instead of
failing half-way; on PostgreSQL it locks the rows it touches.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import Pool
from sqlmodel import Session

from engine.errors import Problem, StoreError
from store import migrations
from store.failures import translated
from store.sealing import SETTING, Keyring, Sealing, bind
from store.settings import read_setting
from store.sqlite import connector
from store.tables import Setting

Dialect = Literal["sqlite", "postgresql"]

_MODE: Final = "duecourse_mode"
_SEALED_SINCE: Final = {
    10: ("person", "endpoint", "hold", "message_text", "arrival"),
    12: ("override", "consent", "stage_change", "contact_status", "job_act", "contact", "duty", "deed_note", "setting"),
}
"""Schema versions that sealed what is personal, and in which tables."""


def open_database(url: str, *, keys: Keyring | None = None, busy_timeout_s: float = 30) -> "Database":
    """
    The database at `url`; nothing is read or made before it is used.

    Args:
        url: `sqlite:///path`, the path as it stands (a relative one is taken from the working directory), or
            `postgresql://...`.
        keys: what personal data is sealed with; without them none is read or written.
        busy_timeout_s: how long to wait for another writer before giving up.
    Raises:
        StoreError: the URL names no database we can keep a book in.
    """
    if url.startswith("sqlite:"):
        path = url.removeprefix("sqlite:///")
        if path in (url, "", ":memory:"):
            raise StoreError(Problem(f"`{url}` names no file; a database in memory is lost at the end", _URL_MEND))
        parsed = URL.create("sqlite", database=path)
        return Database(parsed, _sqlite_engine(parsed, busy_timeout_s), keys)
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise StoreError(Problem(f"`{url}` is no database URL", _URL_MEND)) from None
    if parsed.drivername in ("postgresql", "postgres", "postgresql+psycopg"):
        parsed = parsed.set(drivername="postgresql+psycopg")
        return Database(parsed, _postgres_engine(parsed, busy_timeout_s), keys)
    raise StoreError(Problem(f"`{parsed.drivername}` is no database Duecourse knows", _URL_MEND))


_URL_MEND = "write `sqlite:///path/to/book.db` or `postgresql://user@host/name`"


class Database:
    """
    One opened database.

    Attributes:
        url: with the driver; its text form hides the password.
        engine: SQLAlchemy's; for bulk connections and inspection. Everyday work goes through `session` and `write`.
        sealing: seals and opens what is personal, on every path.
        writer: the same, but every transaction takes the write lock first; for a library that keeps a table of its own.
    """

    def __init__(self, url: URL, engine: Engine, keys: Keyring | None) -> None:
        self.url = url
        self.engine = engine
        self.sealing = Sealing(keys, self._seal, place=self.place)
        bind(engine.dialect, self.sealing)
        self._reader = engine.execution_options(**{_MODE: "read"})
        self.writer = engine.execution_options(**{_MODE: "write"})
        if self.dialect == "postgresql":
            self._reader = self._reader.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)

    @property
    def dialect(self) -> Dialect:
        """`sqlite` or `postgresql`."""
        return "sqlite" if self.engine.dialect.name == "sqlite" else "postgresql"

    @property
    def place(self) -> str:
        """Where it is, for messages: the file, or the URL without its password."""
        if self.dialect == "sqlite":
            return str(self.url.database)
        return self.url.set(drivername="postgresql").render_as_string(hide_password=True)

    @property
    def address(self) -> str:
        """What another process opens it by, with the password: not for messages."""
        if self.dialect == "sqlite":
            return f"sqlite:///{self.place}"
        return self.url.render_as_string(hide_password=False)

    def translated(self) -> AbstractContextManager[None]:
        """Turn what the drivers raise within the block into StoreError, where it is something a user can mend."""
        return translated(self.place)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """
        A session for reading: everything it reads is of one moment; writing in it is an error.

        Raises:
            StoreError: the database is out of reach, not ours or broken.
        """
        with self.translated(), _ReadSession(self._reader, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """
        A session in one write transaction: committed at the end of the block, undone on any error.

        Raises:
            StoreError: the database stayed locked, is full, read-only or out of reach; nothing was changed.
        """
        with self.translated(), Session(self.writer, expire_on_commit=False) as session, session.begin():
            # The lock before the first look: what is read here is still true when it is written.
            session.connection()
            yield session

    def is_sealed(self) -> bool:
        """Whether what is personal in it is sealed: in every book since schema 10."""
        self.version()
        return self._seal() is not None

    def _seal(self) -> str | None:
        with self.session() as session:
            return read_setting(session, SETTING)

    def create(self, *, bucket_key: str) -> None:
        """
        Make the schema in an empty database, as a development database with sending off; what is personal will be sealed
        with the keys that it was opened with.

        Args:
            bucket_key: secret hex text that keys the hash which deals strategy arms; never changes afterwards.
        Raises:
            StoreError: there is something in it already, or it cannot be written.
        """
        if self.dialect == "sqlite":
            self._create_file()
        with self.write() as session:
            connection = session.connection()
            if tables := inspect(connection).get_table_names():
                raise StoreError(_not_empty(self.place, tables))
            migrations.migrate(connection)
            session.add(Setting(name="environment", value="development"))
            session.add(Setting(name="sending", value="off"))
            session.add(Setting(name="bucket_key", value=bucket_key))

    def _create_file(self) -> None:
        path = Path(self.place)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
        except OSError as error:
            said = (error.strerror or str(error)).lower()
            raise StoreError(Problem(f"`{path}` cannot be made: {said}", "choose another place")) from None

    def version(self) -> int:
        """
        The schema's version, 1 or more.

        Raises:
            StoreError: no Duecourse database is there.
        """
        with self.session() as session:
            version = migrations.version(session.connection())
        if version is None:
            raise StoreError(Problem(f"`{self.place}` is no Duecourse database", "run `duecourse init DIR`"))
        return version

    def check(self) -> None:
        """
        Make sure that the schema is the one this Duecourse was written for, and that the keys are this database's.

        Raises:
            StoreError: the schema is older, newer or not there, or the keys are others.
        """
        self.check_version()
        self.sealing.check()

    def check_version(self) -> None:
        """
        Make sure that the schema is the one this Duecourse was written for.

        Raises:
            StoreError: it is older, newer, or not there.
        """
        version = self.version()
        if version < migrations.HEAD:
            what = f"`{self.place}` has schema {version}, this Duecourse needs {migrations.HEAD}"
            raise StoreError(Problem(what, "run `duecourse db upgrade`"))
        self._refuse_newer(version)

    def upgrade(self) -> tuple[int, int]:
        """
        Bring the schema to this Duecourse's version; all of it or nothing.

        Returns:
            the version before and after.
        Raises:
            StoreError: the schema is newer than this Duecourse, or there is none.
        """
        before = self.version()
        self._refuse_newer(before)
        with self.write() as session:
            migrations.migrate(session.connection())
        if sealed := [table for since, tables in _SEALED_SINCE.items() if before < since for table in tables]:
            self._leave_nothing(sealed)
        return before, migrations.HEAD

    def _leave_nothing(self, tables: Sequence[str]) -> None:
        """Write the files anew: what stood there in the clear is still in pages and rows that are free by now."""
        if self.dialect == "sqlite":
            self.scrub()
            return
        with self.translated(), closing(self.engine.raw_connection()) as connection:
            driver: Any = connection.driver_connection
            driver.autocommit = True
            driver.execute(f"vacuum full {', '.join(tables)}")
            driver.autocommit = False

    def _refuse_newer(self, version: int) -> None:
        if version > migrations.HEAD:
            what = f"`{self.place}` has schema {version}, this Duecourse knows only {migrations.HEAD}"
            raise StoreError(Problem(what, "upgrade Duecourse"))

    def scrub(self) -> bool:
        """
        Leave no byte of what was deleted or overwritten in SQLite's files: they are written anew.

        Returns:
            False where it is not done: a reader holds on to the former pages, or this is PostgreSQL, whose tables
            are written anew by whoever administers it.
        Raises:
            StoreError: there is no room, or another writer was in the way for too long; nothing is lost.
        """
        if self.dialect != "sqlite":
            return False
        with self.translated():
            connection = self.engine.raw_connection()
            try:
                connection.cursor().execute("vacuum")
                cursor = connection.cursor()
                cursor.execute("pragma wal_checkpoint(truncate)")
                busy = cursor.fetchone()
            finally:
                connection.close()
        return busy is not None and not busy[0]

    @cached_property
    def bulk_pool(self) -> Pool:
        """PostgreSQL's connections for whole columns; ADBC's, which share nothing with the engine's."""
        from store.bulk_postgres import bulk_pool

        return bulk_pool(self.url)

    def close(self) -> None:
        """Give back every connection."""
        self.engine.dispose()
        pool = self.__dict__.pop("bulk_pool", None)
        if pool is not None:
            pool.dispose()


class _ReadSession(Session):
    """The database refuses the write anyway; this says which line of ours is wrong."""

    def flush(self, objects: Sequence[Any] | None = None) -> None:
        if self.new or self.deleted or any(self.is_modified(row) for row in self.dirty):
            raise TypeError("this session only reads; write in `database.write()`")
        super().flush(objects)


def _not_empty(place: str, tables: list[str]) -> Problem:
    if migrations.TABLE in tables:
        return Problem(f"`{place}` holds a Duecourse database already", "run `duecourse db upgrade`, or name another")
    return Problem(f"`{place}` holds other tables: `{min(tables)}`", "name an empty database")


def _sqlite_engine(url: URL, busy_timeout_s: float) -> Engine:
    # What is bound to a statement may be personal, and stands in no message.
    engine = create_engine(url, creator=connector(str(url.database), busy_timeout_s), hide_parameters=True)

    @event.listens_for(engine, "checkout")
    def may_write(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.execute("pragma query_only = off")

    @event.listens_for(engine, "reset")
    def nothing_begun(connection: Any, _record: Any, _state: Any) -> None:
        # A commit that failed has ended nothing, and SQLAlchemy takes it for ended: given back like that, it would hold
        # the write lock for as long as the connection waits to be used again.
        if connection.in_transaction:
            connection.rollback()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        mode = connection.get_execution_options().get(_MODE)
        if mode == "read":
            connection.exec_driver_sql("pragma query_only = on")
        connection.exec_driver_sql("begin immediate" if mode == "write" else "begin")

    return engine


def _postgres_engine(url: URL, busy_timeout_s: float) -> Engine:
    engine = create_engine(url, connect_args={"connect_timeout": 10}, pool_pre_ping=True, hide_parameters=True)

    @event.listens_for(engine, "connect")
    def wait_for_locks(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        connection.execute(text(f"set lock_timeout = {int(busy_timeout_s * 1000)}").text)
        connection.autocommit = False

    return engine
