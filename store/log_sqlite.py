"""
Rows to entries by SQLite itself: the same bytes as `store.log_sql` has DuckDB write, at half the cost.

SQLite gives its rows out one by one, as Python's objects, and of the many rows of a sweep that is most of the work. A row
that is strung together in there is two objects instead of seventeen, is hashed and forgotten, and other threads run while
it is made.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, Final

from sqlalchemy import ColumnElement, Date, Integer, String, literal_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from compliance.log_encoding import VERSION, element
from compliance.merkle import leaf_hash
from store import log
from store.bulk_arrow import table_of
from store.bulk_sqlite import SqliteReader
from store.columns import Instant, Sealed
from store.log_kinds import Kind

_LETTERS: Final = ((Instant, "t"), (Integer, "i"), (Date, "d"), (String, "s"))


def hashes(reader: SqliteReader, kind: Kind, keys: Sequence[str]) -> list[bytes | None] | None:
    """
    The leaf hashes of these rows' entries, in the order of the keys; None where there is not exactly one such row.

    Returns:
        None instead of them all where only `store.log_sql` can make or refuse them: something is withheld in entries of
        that kind, or a row holds what its column does not say, which SQLite lets it.
    """
    strung = _strung(kind)
    if strung is None:
        return None
    columns: list[ColumnElement[Any]] = [literal_column(kind.key_sql(kind.table)), literal_column(strung)]
    made: dict[str, bytes | None] = {}
    for wanted in log.wanted_rows(kind, keys, columns):
        for key, entry in reader.rows(wanted):
            if entry is None:
                return None
            made[key] = None if key in made else leaf_hash(entry.encode())
    return [made.get(key) for key in keys]


@cache
def _strung(kind: Kind) -> str | None:
    """The entry of a row, null where a column holds what it should not; None: not of this kind."""
    columns = table_of(kind.table).columns
    letters = {name: _letter(columns[name].type) for name in sorted(kind.fields)}
    if kind.withheld or "" in letters.values():
        return None
    head = (("v", VERSION), ("k", kind.name), ("c", str(len(kind.fields))))
    layout = "".join(element(letter, data.encode()).decode() for letter, data in head)
    values: list[str] = []
    wrong: list[str] = []
    texts: list[str] = []
    for name, letter in letters.items():
        column = f'"{kind.table}"."{name}"'
        stored = "text" if letter in "sd" else "integer"
        wrong.append(f"typeof({column}) not in ('{stored}', 'null')")
        if letter == "d":
            wrong.append(f"{column} is not date({column})")
        # In bytes, as elements are measured.
        length = f"length(cast({column} as blob))" if letter == "s" else f"length({column})"
        if letter == "s":
            texts.append(column)
        layout += element("f", name.encode()).decode() + "%s%s"
        values += (f"coalesce('{letter}' || {length} || ':', 'n0:')", column)
    if texts:
        # `printf` ends a text at its first NUL.
        whole = " + ".join(f"coalesce(length(cast({column} as blob)), 0)" for column in texts)
        wrong.append(f"length(cast(printf('{'%s' * len(texts)}', {', '.join(texts)}) as blob)) <> {whole}")
    made = f"printf('{layout}', {', '.join(values)})"
    return f"case when {' or '.join(wrong)} then null else {made} end"


def _letter(of: TypeEngine[object]) -> str:
    """Empty: a type that no entry strung together here has."""
    if isinstance(of, TypeDecorator) and not isinstance(of, Instant | Sealed):
        of = of.impl_instance
    return next((letter for kind, letter in _LETTERS if isinstance(of, kind)), "")
