"""Invariant 9: names, numbers and addresses of the book stand nowhere in the clear: in no table, and in no file beside."""

import re
from collections.abc import Iterator
from pathlib import Path

from tests.simulation.records import Records, Violation

_DATABASE_FILES = (".db", ".db-wal", ".db-shm")


def tables(records: Records) -> Iterator[Violation]:
    """Every text of every table."""
    secrets, pattern = _secrets(records)
    names = [row[0] for row in records.connection.execute("select name from sqlite_master where type = 'table'")]
    for table in names:
        for column in _texts(records, table):
            query = f'select "{column}" from "{table}" where "{column}" is not null'
            for (text,) in records.connection.execute(query):
                for found in pattern.finditer(text):
                    if found[0] in secrets:
                        yield Violation("9", f"table {table}, column {column}", f"holds {secrets[found[0]]}")


def files(records: Records, workspace: Path) -> Iterator[Violation]:
    """Every file of the workspace that is not the database: logs, feeds, rejects, settings."""
    secrets, pattern = _secrets(records)
    for path in sorted(workspace.rglob("*")):
        if not path.is_file() or path.name.endswith(_DATABASE_FILES):
            continue
        for found in pattern.finditer(path.read_text(encoding="utf-8", errors="replace")):
            if found[0] in secrets:
                yield Violation("9", f"file {path.relative_to(workspace)}", f"holds {secrets[found[0]]}")


def messages(records: Records) -> Iterator[Violation]:
    """No message carries the name, number or address of anybody but its addressee and the loan's own borrower."""
    secrets, pattern = _secrets(records)
    for handed in records.handed or ():
        contact = records.contacts.get(handed.contact)
        if contact is None:
            continue
        own = {contact["person_id"], records.loans[contact["loan_id"]]["borrower_id"]}
        allowed = {records.people[person]["name"] for person in own}
        allowed |= {row["value"].removeprefix("+") for row in records["endpoint"] if row["person_id"] in own}
        for found in pattern.finditer(handed.text):
            if found[0] in secrets and found[0].removeprefix("+") not in allowed:
                yield Violation("9", f"contact {handed.contact}", f"its message holds {secrets[found[0]]}")


def _texts(records: Records, table: str) -> list[str]:
    info = records.connection.execute(f'pragma table_info("{table}")')
    return [row["name"] for row in info if row["type"].upper().startswith(("TEXT", "VARCHAR"))]


def _secrets(records: Records) -> tuple[dict[str, str], re.Pattern[str]]:
    """Each secret with whose it is, and one pattern that finds everything that looks like one."""
    secrets = {row["name"]: f"the name of person {row['id']}" for row in records["person"]}
    for row in records["endpoint"]:
        secrets[row["value"]] = f"the {row['kind']} of person {row['person_id']}"
        if row["value"].startswith("+"):
            secrets[row["value"][1:]] = secrets[row["value"]]
    # Thousands of secrets have a handful of shapes: digits stand for any digits.
    shapes = {re.sub(r"\d+", r"\\d+", re.escape(secret)) for secret in secrets}
    longest_first = sorted(shapes, key=lambda shape: (-len(shape), shape))
    return secrets, re.compile("|".join(longest_first))
