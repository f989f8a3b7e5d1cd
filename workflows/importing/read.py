"""A file as columns of text: CSV or Parquet, with the number under which a person finds each row in it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import DataError, Place, Problem, unknown_name
from workflows.importing.contract import Kind
from workflows.importing.read_csv import csv_columns
from workflows.importing.read_parquet import parquet_columns

if TYPE_CHECKING:
    import pyarrow as pa

ROW = "row"
"""The column of row numbers: the header is row 1, and a value over several lines is still one row."""


@dataclass(frozen=True, slots=True)
class Ragged:
    """A row with too few or too many values."""

    row: int
    found: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Source:
    """
    One file, read.

    Attributes:
        rows: every column of the kind as text, null where empty or left out, and `row`.
        header: the columns that the file has.
        ragged: rows that could not be told apart into columns; not among `rows`.
        digest: of the file's bytes, in hex.
    """

    path: Path
    rows: "pa.Table"
    header: frozenset[str]
    ragged: tuple[Ragged, ...]
    digest: str

    @property
    def count(self) -> int:
        """How many rows the file has, the header left out."""
        return len(self.rows) + len(self.ragged)


def read_source(path: Path, kind: Kind) -> Source:
    """
    Read a file whole, and refuse it whole when it is not what it says it is.

    Raises:
        DataError: no such file, not CSV or Parquet, not UTF-8, cut off within quotes, an unknown or repeated column, a
            required one missing, a type that cannot hold what its column means.
    """
    try:
        content = path.read_bytes()
    except OSError as e:
        said = (e.strerror or str(e)).lower()
        raise DataError(Problem(f"cannot read `{path}`: {said}", "name a CSV or Parquet file")) from None
    at = Place(str(path))
    if content[:4] == b"PAR1":
        names, columns = parquet_columns(path, at)
        bad: list[tuple[int, int, int]] = []
    else:
        names, columns, bad = csv_columns(content, at)
    _check_header(names, kind, at)
    ragged = tuple(Ragged(*row) for row in bad)
    if ragged and kind.whole:
        first = ragged[0]
        what = f"row {first.row} has {first.found} values where the header has {first.wanted}"
        mend = f"mend the row: the {kind.whole} whose {kind.name} would be incomplete without it cannot be told"
        raise DataError(Problem(what, mend, at))
    rows = _complete(_numbered(columns(kind), [row.row for row in ragged]), kind)
    return Source(path, rows, frozenset(names), ragged, hashlib.sha256(content).hexdigest())


def _check_header(names: list[str], kind: Kind, at: Place) -> None:
    known = [column.name for column in kind.columns]
    if len(names) == 1 and names[0] not in known:
        for sign, word in ((";", "semicolons"), ("\t", "tabs"), ("|", "bars")):
            if sign in names[0]:
                raise DataError(Problem(f"its columns are separated by {word}", "separate them by commas", at))
    at = Place(at.file, 1)
    otherwise = f"a file of {kind.name} has: {', '.join(known)}"
    problems = [unknown_name("column", name, known, at=at, otherwise=otherwise) for name in names if name not in known]
    problems += [
        Problem(f"column `{name}` stands there twice", "keep one of them", at)
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    problems += [
        Problem(f"column `{column.name}` is missing", f"add it: {column.meaning}", at)
        for column in kind.columns
        if column.required and column.name not in names
    ]
    if problems:
        raise DataError(problems)


def _numbered(table: "pa.Table", elsewhere: list[int]) -> "pa.Table":
    """The rows with their numbers; those that stand `elsewhere` have taken theirs, and empty lines are left out."""
    import pyarrow as pa
    import pyarrow.compute as pc

    taken = set(elsewhere)
    numbers = [row for row in range(2, table.num_rows + len(taken) + 2) if row not in taken]
    empty = None
    for column in table.columns:
        nothing = pc.is_null(column)
        empty = nothing if empty is None else pc.and_(empty, nothing)
    table = table.append_column(ROW, pa.array(numbers, pa.int64()))
    return table if empty is None else table.filter(pc.invert(empty))


def _complete(table: "pa.Table", kind: Kind) -> "pa.Table":
    import pyarrow as pa

    for column in kind.columns:
        if column.name not in table.column_names:
            table = table.append_column(column.name, pa.nulls(table.num_rows, pa.string()))
    return table
