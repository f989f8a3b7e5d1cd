"""How DuckDB is told whether a statement is about few rows or many, and what it says when it has no room."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import Problem, StoreError

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


_MEMORY: Final = "1GB"
"""What a work file may hold in memory; the rest of it is on disk."""
_NO_ROOM: Final = "Could not write file"


@contextmanager
def room_for(what: str, place: str) -> Iterator[None]:
    """
    Turn what DuckDB raises within the block for want of room into StoreError with a mend.

    Args:
        what: is being made, e.g. "the review"; whoever makes it sees to it that it appears whole or not at all.
        place: the folder of DuckDB's own files.
    """
    import duckdb

    try:
        yield
    except duckdb.Error as error:
        # What a commit has no room for is an error of the transaction, and says so in words only.
        if not isinstance(error, duckdb.IOException | duckdb.OutOfMemoryException) and _NO_ROOM not in str(error):
            raise
        said = str(error).partition("\n")[0]
        problem = Problem(
            f"{what} cannot be worked out in `{place}`, and nothing of it was written: {said}",
            "free disk space there, or set TMPDIR to a folder with room, and run the same again",
        )
        raise StoreError(problem) from None


@contextmanager
def work_file(what: str) -> Iterator["DuckDBPyConnection"]:
    """
    A database for what does not fit into memory, gone at the end of the block.

    Args:
        what: is being made, as `room_for` says.
    Raises:
        StoreError: no room for it.
    """
    import duckdb

    with (
        room_for(what, tempfile.gettempdir()),
        tempfile.TemporaryDirectory(prefix="duecourse-") as scratch,
        duckdb.connect(str(Path(scratch) / "work.duckdb")) as con,
    ):
        con.execute(f"set memory_limit = '{_MEMORY}'")
        con.execute(f"set temp_directory = '{scratch}'")
        yield con
