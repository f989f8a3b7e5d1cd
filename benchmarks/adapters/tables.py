"""The contract's files, written from rows in memory."""

import csv
from collections.abc import Mapping
from pathlib import Path

Tables = dict[str, list[Mapping[str, object]]]
"""Kind of record -> its rows, all with the same columns."""


def write_tables(tables: Tables, folder: Path) -> None:
    """One CSV file per kind of record that has any, UTF-8, header first."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, rows in tables.items():
        if rows:
            with (folder / f"{kind}.csv").open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
