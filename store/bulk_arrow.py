"""
The one way columns look between the databases and the code that works on whole columns.

An Arrow table carries the database's own column names. Every integer, money and instant is `int64` (instants are
microseconds since 1970 UTC, whatever the database keeps), dates are `date32`, flags `bool`, texts `string`,
hashes `binary`. A sealed text travels as it is read, and is sealed and opened at the database.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import Boolean, Date, Integer, LargeBinary, Select, String, Table, TextClause, bindparam, text
from sqlalchemy.types import TypeDecorator, TypeEngine
from sqlmodel import SQLModel

from store.columns import HASH_OF, Instant, Sealed
from store.sealing import Sealing

if TYPE_CHECKING:
    import pyarrow as pa

Param = int | str | bool | datetime | None


class Reader(Protocol):
    """Reads columns, all of them as of one moment."""

    def read(self, statement: Select[Any]) -> "pa.Table":
        """The rows of a statement as columns, named and typed as it says."""
        ...

    def hashed(self, value: str) -> str:
        """What a row with this value, sealed, is found and compared by."""
        ...


class BulkTransaction(Reader, Protocol):
    """
    Reads and writes columns, all or nothing.

    What it read for update, or on SQLite anything at all, stays as it is until the end.
    """

    def append(self, table: str, rows: "pa.Table") -> None:
        """Insert rows; a column that is left out takes the database's own value (a key) or null."""
        ...

    def update(self, table: str, keys: tuple[str, ...], rows: "pa.Table") -> int:
        """Set the columns that are not keys on the rows that the keys name; how many rows that were."""
        ...

    def execute(self, sql: str, params: Mapping[str, Param] | None = None) -> int:
        """One statement with `:name` parameters, instants as aware datetimes; how many rows it changed."""
        ...

    def commit(self) -> None:
        """Make it so. Nothing can be done in this transaction afterwards."""
        ...

    def rollback(self) -> None:
        """Undo everything. Nothing can be done in this transaction afterwards."""
        ...


def table_of(name: str) -> Table:
    """The table of that name; importing `store.tables` has declared them all."""
    import store.tables  # noqa: F401 - declares the tables

    return SQLModel.metadata.tables[name]


def arrow_type(column: TypeEngine[Any]) -> "pa.DataType":
    """
    The Arrow type in which a column of this type travels.

    Raises:
        TypeError: a type that no column of ours has.
    """
    import pyarrow as pa

    if isinstance(column, Instant):
        return pa.int64()
    if isinstance(column, TypeDecorator):
        return arrow_type(column.impl_instance)
    for kinds, arrow in (
        (Boolean, pa.bool_()),
        (Date, pa.date32()),
        (Integer, pa.int64()),
        (String, pa.string()),
        (LargeBinary, pa.binary()),
    ):
        if isinstance(column, kinds):
            return arrow
    raise TypeError(f"{column!r} has no place in a bulk read or write")


def arrow_schema(table: str, columns: tuple[str, ...] | None = None) -> "pa.Schema":
    """The wire schema of a table, whole or for some of its columns."""
    import pyarrow as pa

    known = table_of(table).columns
    return pa.schema([(name, arrow_type(known[name].type)) for name in columns or known.keys()])


def checked(table: str, rows: "pa.Table") -> "pa.Table":
    """
    The rows with the wire types of that table's columns.

    Raises:
        KeyError: a column that the table does not have.
        pyarrow.ArrowInvalid: a value that the wire type cannot hold.
    """
    return rows.cast(arrow_schema(table, tuple(rows.column_names)))


def sealed(table: str, rows: "pa.Table", sealing: Sealing) -> "pa.Table":
    """The same rows as they are kept: sealed where the table is, each with the hash it will be found by."""
    import pyarrow as pa

    columns = table_of(table).columns
    for column in columns:
        of = column.info.get(HASH_OF)
        if of in rows.column_names and column.name not in rows.column_names:
            hashes = [sealing.hashed(value) for value in rows[of].to_pylist()]
            rows = rows.append_column(column.name, pa.array(hashes, pa.string()))
    for number, name in enumerate(rows.column_names):
        kind = columns[name].type
        if isinstance(kind, Sealed):
            texts = kind.seal_all(sealing, rows[name].to_pylist())
            rows = rows.set_column(number, name, pa.array(texts, pa.string()))
    return rows


def opened(rows: "pa.Table", statement: Select[Any], sealing: Sealing) -> "pa.Table":
    """The rows of a statement as they were written."""
    import pyarrow as pa

    for number, column in enumerate(statement.selected_columns):
        if isinstance(column.type, Sealed):
            texts = column.type.unseal_all(sealing, rows.column(number).to_pylist())
            rows = rows.set_column(number, rows.column_names[number], pa.array(texts, pa.string()))
    return rows


def bound(sql: str, params: Mapping[str, Param] | None) -> TextClause:
    """The statement with its parameters; an aware datetime is bound as the instant that it is."""
    binds = [
        bindparam(name, value, type_=Instant()) if isinstance(value, datetime) else bindparam(name, value)
        for name, value in (params or {}).items()
    ]
    return text(sql).bindparams(*binds)
