"""
One file on its way into the book, and what became of it.

It is worked on in DuckDB, column-wise, through these temporary tables, each made from the one before:

    raw        every value as text; `row` is its number in the file
    good       rows that mean something, typed, under the contract's names
    incoming   the same as rows of the table they are for
    known      what the book holds under the same keys
    fresh      incoming rows that are new
    altered    incoming rows that change a known one
    reject     what was not taken: row, column, reason, mend

`delivery` is one row that says what the file is of: now_us, as_of_us, source.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from engine.facts import Catalogue
from store.columns import to_us
from store.db import Dialect
from workflows.importing.contract import Kind
from workflows.importing.read import Source

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

Progress = Callable[[float], None]
"""Told which share of the file is done, 0 to 1."""

CHECKED: Final = 0.4
"""The share that is done once every row is checked; the rest is writing."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """
    One file, and everything that is needed to take it in.

    Attributes:
        system: who says so: part of the natural key of movements and events.
        as_of: the instant whose state the file describes; aware.
        bucket_key: secret hex text that keys the hash which deals strategy arms.
    """

    con: "DuckDBPyConnection"
    kind: Kind
    file: Source
    system: str
    as_of: datetime
    now: datetime
    catalogue: Catalogue
    bucket_key: str
    dialect: Dialect
    progress: Progress

    def register(self) -> None:
        """Make `raw` and `delivery` known to DuckDB."""
        import pyarrow as pa

        self.con.register("raw", self.file.rows)
        moment = {"now_us": [to_us(self.now)], "as_of_us": [to_us(self.as_of)], "source": [self.system]}
        self.con.register("delivery", pa.table(moment))

    def make(self, name: str, query: str) -> None:
        """The result of a query as a temporary table."""
        self.con.execute(f"create or replace temp table {name} as {query}")

    def values(self, query: str) -> list[str]:
        """The first column of a query's rows."""
        return [value for (value,) in self.con.execute(query).fetchall()]

    def ids(self, query: str) -> list[int]:
        """The first column of a query's rows, which are numbers."""
        return [int(value) for (value,) in self.con.execute(query).fetchall()]

    def count(self, name: str) -> int:
        """How many rows a table has."""
        return self.ids(f"select count(*) from {name}")[0]

    def arrow(self, query: str) -> "pa.Table":
        """The rows of a query as columns."""
        rows = self.con.sql(query).to_arrow_table()
        if rows is None:
            raise AssertionError("a query has rows, if only none of them")
        return rows


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason for which rows were rejected; an empty column means the row as a whole."""

    column: str
    reason: str
    mend: str
    rows: int


@dataclass(frozen=True, slots=True)
class Imported:
    """
    What a file brought, or on a dry run would bring.

    Attributes:
        rows: in the file; of these so many are new, change what is known, are known already, or were rejected.
        removed: instalments that a new schedule no longer has.
        reasons: why rows were rejected, the most frequent first; a row may have several.
        rejects_file: where every rejected row is listed; None when there are none.
    """

    kind: str
    file: str
    rows: int
    added: int
    changed: int
    same: int
    rejected: int
    removed: int = 0
    reasons: tuple[Reason, ...] = ()
    rejects_file: str | None = None
    dry_run: bool = False
