"""Files to import, what came of them, and everything a database holds, for tests of the import."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

from engine.catalogue import load_catalogue
from engine.facts import Catalogue
from store.db import Database
from workflows.importing import KINDS, Imported, import_file

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
AS_OF = datetime(2026, 3, 1, 23, tzinfo=UTC)
LATER = {"as_of": NOW + timedelta(days=1), "now": NOW + timedelta(days=1, hours=1)}

only_sqlite = pytest.mark.parametrize("book", ["sqlite"], indirect=True)

PEOPLE = """\
ref,name,language,country,region,zones,preferred_channel
P1,Ann Example,en,CN,CN-SH,Asia/Shanghai,sms
P2,Bob Example,zh,CN,CN-SH,Asia/Shanghai,
P3,Cas Example,en,US,US-NY,America/New_York,
"""
ENDPOINTS = """\
person,kind,value,zone,rank
P1,mobile,+12125550101,Asia/Shanghai,1
P1,email,p1@example.com,,2
P3,postal,"1 Example Street
New York",,3
"""
LOANS = """\
ref,borrower,product,currency,principal,opened_on,basis,custody
L1,P1,personal,CNY,3000,2025-12-01,schedule,in_house
L2,P1,personal,JPY,300000,2025-12-01,,
A1,P3,card,USD,5000,2024-12-01,account,
"""
INSTALMENTS = """\
loan,number,due_on,amount
L1,1,2026-01-10,1000.00
L1,2,2026-02-10,1000.00
L1,3,2026-03-10,1000.00
L2,1,2026-01-31,300000
"""
MOVEMENTS = """\
ref,loan,kind,amount,effective_on,recorded_at,ends
M1,L1,payment,600.00,2026-01-10,2026-01-10T09:00:00+08:00,
M2,L1,payment,400.00,2026-01-20,2026-01-20T09:00:00+08:00,
M3,L1,reversal,400.00,2026-01-25,2026-01-25T09:00:00+08:00,M2
"""


@dataclass
class Importer:
    """Imports texts as files of a folder, one kind at a time."""

    database: Database
    folder: Path
    catalogue: Catalogue = field(default_factory=load_catalogue)

    def take(self, kind: str, text: str | bytes, *, name: str | None = None, **values: Any) -> Imported:
        """Write the text as a file of that kind and import it."""
        path = self.folder / (name or f"{kind}.csv")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return self.take_file(kind, path, **values)

    def take_file(self, kind: str, path: Path, **values: Any) -> Imported:
        """Import a file there is."""
        given: dict[str, Any] = {"as_of": AS_OF, "now": NOW, "catalogue": self.catalogue}
        return import_file(self.database, KINDS[kind], path, **{**given, **values})

    def set_up(self) -> "Importer":
        """A small book: two schedule loans of P1, one account of P3, P2 without a loan."""
        texts = {"people": PEOPLE, "endpoints": ENDPOINTS, "loans": LOANS, "instalments": INSTALMENTS}
        for kind, text in {**texts, "movements": MOVEMENTS}.items():
            result = self.take(kind, text)
            assert result.rejected == 0, rejects(result)
        return self


def counts(result: Imported) -> tuple[int, int, int, int, int]:
    """added, changed, removed, same, rejected."""
    assert result.rows == result.added + result.changed + result.same + result.rejected
    return result.added, result.changed, result.removed, result.same, result.rejected


def rejects(result: Imported) -> list[tuple[int, str, str, str]]:
    """The rows of the rejects file: row, column, reason, mend."""
    if result.rejects_file is None:
        return []
    with Path(result.rejects_file).open(encoding="utf-8", newline="") as file:
        return [(int(row["row"]), row["column"], row["reason"], row["mend"]) for row in csv.DictReader(file)]


def dump(database: Database, *, leave_out: tuple[str, ...] = ("setting",)) -> Mapping[str, list[tuple[Any, ...]]]:
    """Every row of every table, in order."""
    tables = {table.name: table for table in SQLModel.metadata.sorted_tables if table.name not in leave_out}
    with database.session() as session:
        return {
            name: sorted((tuple(row) for row in session.connection().execute(select(table))), key=repr)
            for name, table in tables.items()
        }


def rows(database: Database, table: str, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of a table, in order of their values."""
    columns = SQLModel.metadata.tables[table].c
    with database.session() as session:
        query = select(*(columns[name] for name in names))
        return sorted((tuple(row) for row in session.connection().execute(query)), key=repr)


def versions(database: Database) -> dict[str, int]:
    """Person's ref -> version."""
    return dict(rows(database, "person", "ref", "version"))  # type: ignore[arg-type] # rows of two
