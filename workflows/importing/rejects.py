"""Rows that were not taken: which, why, and how to mend them. Never the value: it may be personal data."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Final

from engine.errors import DataError, Problem
from workflows.importing.delivery import Reason

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

SUFFIX: Final = ".rejects.csv"

_ROWS_PER_FETCH: Final = 10_000


def begin(con: "DuckDBPyConnection") -> None:
    """Make the table `reject`."""
    con.execute(
        'create or replace temp table reject ("row" bigint, "column" varchar, reason varchar, mend varchar)'
    )  # fmt: skip


def reject(con: "DuckDBPyConnection", rows: str, column: str, reason: str, mend: str) -> bool:
    """Note the rows that a query names by number, all for one reason; whether there are any."""
    con.execute(f"insert into reject select row, ?, ?, ? from ({rows})", [column, reason, mend])
    [(noted,)] = con.fetchall()
    return bool(noted)


def drop(con: "DuckDBPyConnection", table: str, rows: str, column: str, reason: str, mend: str) -> None:
    """The same, and take them out of a table."""
    if reject(con, rows, column, reason, mend):
        con.execute(f"delete from {table} where row in (select row from reject)")


def reject_copies(con: "DuckDBPyConnection") -> None:
    """Note the copies of rows that were rejected since: `copies` says which row is the first of its like."""
    con.execute(
        'insert into reject select copies.row, "column", reason, mend from reject join copies on copies.first = reject.row'
    )


def count(con: "DuckDBPyConnection") -> int:
    """How many rows were rejected; a row may have several reasons."""
    [(found,)] = con.execute("select count(distinct row) from reject").fetchall()
    return int(found)


def reasons(con: "DuckDBPyConnection") -> tuple[Reason, ...]:
    """The reasons, the most frequent first."""
    query = 'select "column", reason, mend, count(*) from reject group by all order by 4 desc, min(row), 1'
    return tuple(Reason(*found) for found in con.execute(query).fetchall())


def write(con: "DuckDBPyConnection", path: Path) -> Path | None:
    """
    Write them to a file beside the one they come from, in order; None where there are none, and then a file that an
    earlier import left there is deleted.

    Raises:
        DataError: it cannot be written.
    """
    target = path.with_name(f"{path.name}{SUFFIX}")
    try:
        if not count(con):
            target.unlink(missing_ok=True)
            return None
        rows = con.execute('select "row", "column", reason, mend from reject order by "row", "column", reason')
        with target.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("row", "column", "reason", "mend"))
            while batch := rows.fetchmany(_ROWS_PER_FETCH):
                writer.writerows(batch)
    except OSError as e:
        said = (e.strerror or str(e)).lower()
        raise DataError(Problem(f"cannot write `{target}`: {said}", "import from a folder you may write to")) from None
    return target
