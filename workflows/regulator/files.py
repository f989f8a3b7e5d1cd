"""Tables as files, written batch by batch: CSV that a spreadsheet cannot be tricked by, or Parquet."""

import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from store.columns import from_us
from workflows.regulator.columns import Column
from workflows.spreadsheet import cell, line

if TYPE_CHECKING:
    import pyarrow as pa

Format = Literal["csv", "parquet"]


class File:
    """
    One table on its way to disk.

    Attributes:
        rows: how many were written.
    """

    def __init__(self, folder: Path, name: str, columns: Sequence[Column], form: Format, *, proved: bool) -> None:
        self.name, self.columns, self.proved, self.rows = name, tuple(columns), proved, 0
        self.path = folder / f"{name}.{form}"
        self._parquet: Any = None
        if form == "csv":
            self._file = self.path.open("w", encoding="utf-8", newline="")
            self._file.write(line(column.name for column in self.columns))
        else:
            import pyarrow.parquet as pq

            self._schema = _schema(self.columns)
            self._parquet = pq.ParquetWriter(self.path, self._schema)

    def write(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows: whole numbers, texts, ISO dates, flags, instants in microseconds, or None."""
        self.rows += len(rows)
        if self._parquet is None:
            types = [column.type for column in self.columns]
            self._file.writelines(line(map(written, row, types)) for row in rows)
        elif rows:
            import pyarrow as pa

            columns = (
                [date.fromisoformat(value) if value is not None else None for value in values]
                if column.type == "date"
                else list(values)
                for values, column in zip(zip(*rows, strict=True), self.columns, strict=True)
            )
            arrays = [pa.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
            self._parquet.write_table(pa.table(arrays, schema=self._schema))

    def release(self) -> None:
        """Let go of it; what is not closed by then is not finished."""
        (self._parquet or self._file).close()

    def close(self) -> dict[str, Any]:
        """Finish it; what the manifest says of it."""
        self.release()
        with self.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        columns = [column.manifest() for column in self.columns]
        return {
            "name": self.path.name, "table": self.name, "entries": self.proved, "rows": self.rows, "bytes": self.path.stat().st_size,
            "sha256": digest, "columns": columns,
        }  # fmt: skip


def written(value: Any, of: str) -> str:
    """A value as a cell of CSV: nothing for null, one spelling for everything else."""
    if value is None or of == "text":
        return cell(value)
    if of == "instant":
        return f"{from_us(value):%Y-%m-%dT%H:%M:%S.%fZ}"
    if of == "flag":
        return "true" if value else "false"
    return str(value)


def _schema(columns: Sequence[Column]) -> "pa.Schema":
    import pyarrow as pa

    types = {"integer": pa.int64(), "instant": pa.timestamp("us", "UTC"), "date": pa.date32(), "flag": pa.bool_()}
    return pa.schema([(column.name, types.get(column.type, pa.string())) for column in columns])
