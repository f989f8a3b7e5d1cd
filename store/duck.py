"""How DuckDB is told whether a statement is about few rows or many."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

FEW_ROWS: Final = 2_000
_CHEAP: Final = {"build_side_probe_side"}
"""Optimizers that pay even for one row: a hash table over a wide row costs more than asking which side is narrow."""


class Effort:
    """
    Sets one in-memory database to what suits the next statements.

    For a few rows, planning a statement well and sharing its work out takes longer than just doing it.
    """

    def __init__(self, con: "DuckDBPyConnection") -> None:
        self._con = con
        optimizers = {name for (name,) in con.execute("from duckdb_optimizers()").fetchall()}
        self._dear = ",".join(sorted(optimizers - _CHEAP))
        self._threads = con.execute("select current_setting('threads')").fetchall()[0][0]
        self._few = False

    def suit(self, rows: int) -> None:
        """Say how many rows the next statements are about."""
        few = rows <= FEW_ROWS
        if few != self._few:
            self._con.execute(f"set disabled_optimizers = '{self._dear if few else ''}'")
            self._con.execute(f"set threads = {1 if few else self._threads}")
            self._few = few
