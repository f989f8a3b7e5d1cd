"""
Columns in and out of SQLite, in batches, through the process's one `sqlite3`.

Never by ADBC: two SQLite libraries in one process drop each other's file locks and corrupt the file.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from sqlite3 import Connection as Driver
from sqlite3 import Cursor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from sqlalchemy import Connection, Engine, Select

from store.bulk_arrow import Param, arrow_type, bound, checked, opened, sealed
from store.sealing import Sealing

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS: Final = 50_000
"""Rows turned to columns at a time: bounds the Python objects alive at once."""


@contextmanager
def reading_sqlite(engine: Engine, sealing: Sealing) -> Iterator["SqliteReader"]:
    """A reader that sees one moment, however long it reads."""
    with engine.connect() as connection:
        yield SqliteReader(connection, sealing)


class SqliteReader:
    """Reads columns on one connection."""

    def __init__(self, connection: Connection, sealing: Sealing) -> None:
        self._connection = connection
        self._sealing = sealing

    def hashed(self, value: str) -> str:
        """What a row with this value, sealed, is found by."""
        return self._sealing.hashed(value)

    def read(self, statement: Select[Any]) -> "pa.Table":
        """The rows of a statement as columns."""
        import pyarrow as pa

        schema = pa.schema([(c.name, arrow_type(c.type)) for c in statement.selected_columns])
        # SQLAlchemy keeps what it compiled, which for a few borrowers takes longer than reading them.
        with self._connection.execute(statement) as result:
            rows = pa.Table.from_batches(_batches(_cursor(result.cursor), schema), schema)
        return opened(rows, statement, self._sealing)

    def rows(self, statement: Select[Any]) -> Iterator[tuple[Any, ...]]:
        """The rows of a statement one by one, as they are kept."""
        with self._connection.execute(statement) as result:
            yield from _cursor(result.cursor)


class SqliteTransaction(SqliteReader):
    """
    A bulk transaction that holds the database's one write lock from its first moment.

    Args:
        engine: one whose transactions begin with the lock, as `Database.writer` does.
    """

    def __init__(self, engine: Engine, sealing: Sealing) -> None:
        super().__init__(engine.connect(), sealing)
        try:
            self._transaction = self._connection.begin()
            self._driver = _driver(self._connection.connection.driver_connection)
        except BaseException:
            self._connection.close()
            raise

    def append(self, table: str, rows: "pa.Table") -> None:
        """Insert rows."""
        rows = sealed(table, rows, self._sealing)
        names = rows.column_names
        columns = ", ".join(f'"{name}"' for name in names)
        places = ", ".join("?" * len(names))
        self._driver.executemany(f'insert into "{table}" ({columns}) values ({places})', _rows(checked(table, rows)))

    def update(self, table: str, keys: tuple[str, ...], rows: "pa.Table") -> int:
        """Set the columns that are not keys; how many rows that were."""
        rows = sealed(table, rows, self._sealing)
        values = [name for name in rows.column_names if name not in keys]
        ordered = checked(table, rows.select([*values, *keys]))
        sets = ", ".join(f'"{name}" = ?' for name in values)
        where = " and ".join(f'"{name}" = ?' for name in keys)
        return self._driver.executemany(f'update "{table}" set {sets} where {where}', _rows(ordered)).rowcount

    def execute(self, sql: str, params: Mapping[str, Param] | None = None) -> int:
        """One statement; how many rows it changed."""
        return self._connection.execute(bound(sql, params)).rowcount

    def execute_each(self, sql: str, params: Sequence[tuple[Any, ...]]) -> int:
        """One statement once with each of these in place of its question marks; how many rows it changed."""
        return self._driver.executemany(sql, params).rowcount

    def commit(self) -> None:
        """Make it so."""
        try:
            self._transaction.commit()
        finally:
            # Also where it fails: whatever is still begun holds the write lock until somebody undoes it.
            self._connection.close()

    def rollback(self) -> None:
        """Undo everything."""
        try:
            self._transaction.rollback()
        finally:
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection.closed:
            return
        if error is None:
            self.commit()
        else:
            self.rollback()


def _driver(connection: object) -> Driver:
    if not isinstance(connection, Driver):
        raise TypeError(f"expected the process's own sqlite3, got {connection!r}")
    return connection


def _cursor(cursor: object) -> Cursor:
    if not isinstance(cursor, Cursor):
        raise TypeError(f"expected a cursor of the process's own sqlite3, got {cursor!r}")
    return cursor


def _batches(cursor: Cursor, schema: "pa.Schema") -> Iterator["pa.RecordBatch"]:
    import pyarrow as pa

    while rows := cursor.fetchmany(BATCH_ROWS):
        columns = zip(*rows, strict=True)
        arrays = [_column(values, field.type) for values, field in zip(columns, schema, strict=True)]
        yield pa.record_batch(arrays, schema=schema)


def _column(values: tuple[Any, ...], wire: "pa.DataType") -> "pa.Array":
    import pyarrow as pa

    # SQLite keeps dates as ISO texts and flags as 0 and 1; Arrow parses whole columns of them.
    if wire == pa.date32():
        return pa.array(values, pa.string()).cast(wire)
    if wire == pa.bool_():
        return pa.array(values, pa.int64()).cast(wire)
    return pa.array(values, wire)


def _rows(rows: "pa.Table") -> Iterator[tuple[Any, ...]]:
    import pyarrow as pa

    for batch in rows.to_batches(max_chunksize=BATCH_ROWS):
        columns = []
        for values in batch.columns:
            if values.type == pa.date32():
                columns.append(values.cast(pa.string()).to_pylist())
            elif values.type == pa.bool_():
                columns.append(values.cast(pa.int8()).to_pylist())
            else:
                columns.append(values.to_pylist())
        yield from zip(*columns, strict=True)
