"""Parquet as columns of text, where its types can hold what the contract's columns mean."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import DataError, Place, Problem
from workflows.importing.contract import ColumnType, Kind

if TYPE_CHECKING:
    import pyarrow as pa


def parquet_columns(path: Path, at: Place) -> tuple[list[str], Callable[[Kind], "pa.Table"]]:
    """
    The names of the columns, and how to read them once the names are known to be good.

    Raises:
        DataError: not readable, or a type that cannot hold its column exactly; every such column is listed.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        # Not `read_table`: it would take columns from folder names such as `date=2026-03-01`.
        file = parquet.ParquetFile(path)
        schema = file.schema_arrow
    except (pa.ArrowException, OSError) as e:
        raise DataError(_unreadable(e, at)) from None

    def columns(kind: Kind) -> "pa.Table":
        types = {column.name: column.type for column in kind.columns}
        problems = [
            Problem(f"column `{field.name}` {wrong[0]}", wrong[1], at)
            for field in schema
            if (wrong := _wrong(field.type, types[field.name])) is not None
        ]
        if problems:
            raise DataError(problems)
        try:
            table = file.read()
            table.validate(full=True)
            return pa.table({name: _text(table[name]) for name in table.column_names})
        except (pa.ArrowException, OSError) as e:
            raise DataError(_unreadable(e, at)) from None

    return list(schema.names), columns


def _unreadable(error: Exception, at: Place) -> Problem:
    said = str(error).partition("\n")[0].rstrip(".")
    return Problem(f"not readable as Parquet: {said}", "write the file anew", at)


def _wrong(found: "pa.DataType", wanted: ColumnType) -> tuple[str, str] | None:
    from pyarrow import types

    if types.is_dictionary(found):
        found = found.value_type
    if types.is_floating(found):
        return "is floating point, which cannot hold an amount exactly", "write it as decimal, integer or text"
    if types.is_timestamp(found):
        if wanted != "instant":
            return "holds instants", f"write it as {'date32' if wanted == 'date' else 'text'}"
        return ("holds instants without a zone", "write it as timestamp(us, UTC)") if found.tz is None else None
    plain = (
        types.is_string, types.is_large_string, types.is_string_view, types.is_integer, types.is_decimal,
        types.is_boolean, types.is_date, types.is_null,
    )  # fmt: skip
    return None if any(is_it(found) for is_it in plain) else (f"is of type {found}", "write it as text")


def _text(column: "pa.ChunkedArray") -> "pa.ChunkedArray":
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_timestamp(column.type):
        # Finer than microseconds nobody records.
        column = column.cast(pa.timestamp("us", "UTC"), safe=False)
    text = column.cast(pa.string())
    return pc.if_else(pc.equal(text, ""), pa.scalar(None, pa.string()), text)
