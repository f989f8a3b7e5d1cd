"""
Columns in and out of PostgreSQL, by ADBC.

ADBC shares no transaction with SQLAlchemy, so a bulk transaction is a connection of its own. It copies rows straight into
their table, which is why they have to be of its columns' own types; only what is updated is staged beside it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import BigInteger, Integer, Select, event
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool, PoolProxiedConnection, QueuePool

from store.bulk_arrow import Param, arrow_type, bound, checked, opened, sealed, table_of
from store.columns import Instant
from store.sealing import Sealing

if TYPE_CHECKING:
    import pyarrow as pa
    from adbc_driver_manager.dbapi import Connection, Cursor

# Dollar placeholders, so that a percent sign in a literal stays single: ADBC hands the text over as it is.
_DIALECT: Final = postgresql.dialect(paramstyle="numeric_dollar")  # type: ignore[no-untyped-call]

LOCK_TIMEOUT_S: Final = 30
"""How long a write waits for another's row lock; the same as `store.db` waits."""


_KEPT: Final = 2
"""Idle connections that are kept; as many more as are asked for at once are made, and closed again."""


def bulk_pool(url: URL) -> Pool:
    """Connections for bulk work. Making one takes as long as deciding about a borrower, so that a few are kept."""
    uri = url.set(drivername="postgresql").render_as_string(hide_password=False)

    def connect() -> "Connection":
        import adbc_driver_postgresql.dbapi as adbc

        connection: Connection = adbc.connect(uri)
        # Compiling a statement takes longer than it saves: each is large, and runs for a tenth of a second.
        with connection.cursor() as cursor:
            cursor.execute("set jit = off")
        connection.commit()
        return connection

    pool = QueuePool(connect, pool_size=_KEPT, max_overflow=-1)  # type: ignore[arg-type] # ADBC's own DB-API classes

    @event.listens_for(pool, "checkout")
    def is_alive(connection: "Connection", _record: Any, _proxy: Any) -> None:
        try:
            with connection.cursor() as cursor:
                cursor.execute("select 1")
            # What is to be said of the transaction must be said before anything is read in it.
            connection.rollback()
        except Exception as error:
            raise DisconnectionError from error

    return pool


@contextmanager
def reading_postgres(pool: Pool, sealing: Sealing) -> Iterator["PostgresReader"]:
    """A reader that sees one moment, however long it reads."""
    reader = PostgresReader(pool, sealing)
    with reader:
        reader._run("set transaction isolation level repeatable read read only")  # noqa: SLF001 - its own factory
        reader._plan_for_bulk()  # noqa: SLF001 - the same
        yield reader


class PostgresReader:
    """Reads columns on one connection, which it gives back at the end of the block; one that failed is closed."""

    def __init__(self, pool: Pool, sealing: Sealing) -> None:
        self._connection: PoolProxiedConnection = pool.connect()
        self._sealing = sealing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._connection.invalidate()
        self._connection.close()

    def hashed(self, value: str) -> str:
        """What a row with this value, sealed, is found by."""
        return self._sealing.hashed(value)

    def read(self, statement: Select[Any]) -> "pa.Table":
        """The rows of a statement as columns."""
        import pyarrow as pa

        compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})
        schema = pa.schema([(c.name, arrow_type(c.type)) for c in statement.selected_columns])
        with self._cursor() as cursor:
            cursor.execute(str(compiled))
            return opened(cursor.fetch_arrow_table().cast(schema), statement, self._sealing)

    def _plan_for_bulk(self) -> None:
        """
        Have the planner expect what a bulk read finds.

        Rows are asked for by ids in order, which a disk reads almost like a scan; left to itself the planner scans
        the whole table for every chunk. Several chunks are read at once, so that none takes further workers.
        """
        for setting in ("random_page_cost = 1.1", "max_parallel_workers_per_gather = 0", "jit = off"):
            self._run(f"set local {setting}")

    def _run(self, sql: str) -> int:
        with self._cursor() as cursor:
            cursor.execute(sql)
            return int(cursor.rowcount)

    def _cursor(self) -> "Cursor":
        cursor: Cursor = self._connection.cursor()  # type: ignore[assignment] # ADBC's, which knows Arrow
        return cursor


class PostgresTransaction(PostgresReader):
    """A bulk transaction; rows it must not lose to others it reads `for update`."""

    def __init__(self, pool: Pool, sealing: Sealing) -> None:
        super().__init__(pool, sealing)
        self._open = True
        self._run(f"set local lock_timeout = '{LOCK_TIMEOUT_S}s'")
        self._plan_for_bulk()

    def append(self, table: str, rows: "pa.Table") -> None:
        """Insert rows."""
        rows = sealed(table, rows, self._sealing)
        with self._cursor() as cursor:
            cursor.adbc_ingest(table, _as_kept(table, checked(table, rows)), mode="append")

    def update(self, table: str, keys: tuple[str, ...], rows: "pa.Table") -> int:
        """Set the columns that are not keys; how many rows that were."""
        rows = sealed(table, rows, self._sealing)
        sets = ", ".join(f'"{name}" = staged."{name}"' for name in rows.column_names if name not in keys)
        where = " and ".join(f'kept."{name}" = staged."{name}"' for name in keys)
        with self._staged(table, rows) as stage:
            return self._run(f'update "{table}" as kept set {sets} from {stage} as staged where {where}')

    def execute(self, sql: str, params: Mapping[str, Param] | None = None) -> int:
        """One statement; how many rows it changed."""
        return self._run(str(bound(sql, params).compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})))

    def commit(self) -> None:
        """Make it so."""
        try:
            self._connection.commit()
        finally:
            self._close()

    def rollback(self) -> None:
        """Undo everything."""
        try:
            self._connection.rollback()
        finally:
            self._close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._open:
            return
        if error is None:
            self.commit()
        else:
            self.rollback()

    def _close(self) -> None:
        self._open = False
        self._connection.close()

    @contextmanager
    def _staged(self, table: str, rows: "pa.Table") -> Iterator[str]:
        stage = f"staged_{table}"
        with self._cursor() as cursor:
            cursor.adbc_ingest(stage, _as_kept(table, checked(table, rows)), mode="create", temporary=True)
        yield f'pg_temp."{stage}"'
        self._run(f'drop table pg_temp."{stage}"')


def _as_kept(table: str, rows: "pa.Table") -> "pa.Table":
    """The rows in the types of the columns themselves: what is copied into a table is not converted on the way."""
    import pyarrow as pa

    columns = table_of(table).columns
    for number, name in enumerate(rows.column_names):
        kind = columns[name].type
        if isinstance(kind, Instant):
            rows = rows.set_column(number, name, rows.column(number).cast(pa.timestamp("us", "UTC")))
        elif isinstance(kind, Integer) and not isinstance(kind, BigInteger):
            rows = rows.set_column(number, name, rows.column(number).cast(pa.int32()))
    return rows
