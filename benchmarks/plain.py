"""Rows put aside in tables that hold nothing else, to be read plainly: the floor under a sweep's own reading."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, Select, Table, Text
from sqlalchemy.types import TypeEngine
from sqlmodel import SQLModel

from store.bulk import reading, writing
from store.bulk_arrow import arrow_type
from store.columns import Instant
from store.db import Database

if TYPE_CHECKING:
    import pyarrow as pa

_READS_MAX: Final = 100
"""More reads than any group has."""
_KINDS: Final[Mapping[str, type[TypeEngine[Any]]]] = {
    "instant": Instant, "flag": Boolean, "date": Date, "number": BigInteger, "text": Text,
}  # fmt: skip


class KeptReads:
    """
    A reader that puts whatever is read through it aside, into tables that hold nothing else.

    Attributes:
        tables: name -> its columns, each with its kind (`_KINDS`).
        groups: group of reads -> for each of them its table, and the number its rows stand under there.
        rows: how many rows were read in all.
    """

    def __init__(self, database: Database) -> None:
        self.tables: dict[str, list[tuple[str, str]]] = {}
        self.groups: dict[str, list[tuple[str, int]]] = {}
        self.rows = 0
        self._database = database
        self._reads: list[tuple[str, pa.Table]] = []

    def read(self, statement: Select[Any]) -> "pa.Table":
        """The rows of a statement as columns."""
        with reading(self._database) as source:
            rows = source.read(statement)
        columns = [(column.name, _kind(column.type)) for column in statement.selected_columns]
        name = f"plain_{blake2b(repr(columns).encode(), digest_size=8).hexdigest()}"
        if name not in self.tables:
            self.tables[name] = columns
            plain_table(name, columns).create(self._database.engine)
        self._reads.append((name, rows))
        self.rows += rows.num_rows
        return rows

    def hashed(self, value: str) -> str:
        """What a row with this value, sealed, is found by."""
        with reading(self._database) as source:
            return source.hashed(value)

    def put(self, group: str) -> None:
        """Put aside what was read since the last call, under the name of a group."""
        import pyarrow as pa

        first = len(self.groups) * _READS_MAX
        with writing(self._database) as transaction:
            for number, (name, rows) in enumerate(self._reads, first):
                numbers = pa.array([number] * rows.num_rows, pa.int64())
                transaction.append(name, rows.append_column("read_number", numbers))
        self.groups[group] = [(name, number) for number, (name, _) in enumerate(self._reads, first)]
        self._reads.clear()


def plain_table(name: str, columns: Iterable[tuple[str, str]]) -> Table:
    """The table that holds rows of these columns, with the number of the read that they came from."""
    number = Column("read_number", Integer, index=True)
    return Table(name, SQLModel.metadata, number, *(Column(column, _KINDS[kind]()) for column, kind in columns))


def _kind(column: TypeEngine[Any]) -> str:
    wire = {
        pa_type: kind
        for kind, pa_type in (("flag", "bool"), ("date", "date32[day]"), ("number", "int64"), ("text", "string"))
    }
    return "instant" if isinstance(column, Instant) else wire[str(arrow_type(column))]
