"""
The facts of a few people, by the statement of `store.fact_query` said in SQLite's words.

DuckDB is made for many rows: of one loan it spends fifty milliseconds on planning and on setting its operators up.
SQLite, in memory, has answered by then. The definition is the same text, translated by `sqlglot`; the tests of facts ask
both, and `audit replay` computes with DuckDB what was decided with these.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Final

from engine.facts import Catalogue
from engine.tree import FactValue
from store.book import RawBook
from store.fact_query import KEYS, Arms, contact_days, fact_sql, raw_tables

if TYPE_CHECKING:
    import pyarrow as pa

LOANS_MAX: Final = 300
"""Beyond that many DuckDB is as fast."""


class SmallFacts:
    """The statement of one catalogue on one in-memory database. For one thread at a time."""

    def __init__(self, catalogue: Catalogue, arms: Sequence[Arms] = ()) -> None:
        """
        Args:
            arms: how each strategy deals its people; the first that applies to a loan gives the fact `arm`.
        """
        self._contact_days = contact_days(catalogue)
        self._flags = frozenset(fact.name for fact in catalogue.facts.values() if fact.type == "bool")
        self._sql = _in_sqlite(fact_sql(catalogue, arms))
        self._con = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        # Before 3.44 SQLite has none.
        self._con.create_function("concat", -1, _concat, deterministic=True)
        self._laid_out = False

    def compute(self, book: RawBook, *, now: datetime) -> dict[int, dict[str, FactValue]]:
        """
        Every fact of the catalogue for every loan of the book; unknown ones are left out.

        Args:
            now: the moment; aware.
        Raises:
            ValueError: the book was read less far back than a counter of the catalogue looks.
        """
        raw = raw_tables(book, now, contact_days=self._contact_days)
        if not self._laid_out:
            self._lay_out(raw)
        self._con.execute("begin")
        try:
            self._fill(raw)
            rows = self._con.execute(self._sql)
            names = [column[0] for column in rows.description]
            loan, kept = names.index("loan_id"), [(i, name) for i, name in enumerate(names) if name not in KEYS]
            return {
                row[loan]: {
                    name: bool(row[i]) if name in self._flags else row[i] for i, name in kept if row[i] is not None
                }
                for row in rows.fetchall()
            }
        finally:
            # What was read of people stays nowhere.
            self._con.execute("rollback")

    def close(self) -> None:
        """Give the memory back."""
        self._con.close()

    def _lay_out(self, raw: Mapping[str, "pa.Table"]) -> None:
        for name, table in raw.items():
            columns = ", ".join(f'"{column}"' for column in table.column_names)
            self._con.execute(f'create table "{name}" ({columns})')
        self._laid_out = True

    def _fill(self, raw: Mapping[str, "pa.Table"]) -> None:
        for name, table in raw.items():
            if table.num_rows:
                places = ",".join("?" * table.num_columns)
                self._con.executemany(
                    f'insert into "{name}" values ({places})',
                    zip(*(_values(column) for column in table.columns), strict=True),
                )


@cache
def _in_sqlite(sql: str) -> str:
    """The same statement in SQLite's words. Reading it takes longer than running it, and a process asks for few."""
    import sqlglot

    (translated,) = sqlglot.transpile(sql, read="duckdb", write="sqlite")
    return translated


def _values(column: "pa.ChunkedArray") -> list[object]:
    import pyarrow as pa

    # Days as SQLite writes them: `2026-03-02`.
    values: list[object] = (column.cast(pa.string()) if pa.types.is_date(column.type) else column).to_pylist()
    return values


def _concat(*parts: object) -> str:
    return "".join(str(part) for part in parts if part is not None)
