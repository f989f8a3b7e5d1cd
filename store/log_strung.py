"""
Rows to entries by the database itself: the same bytes as `store.log_sql` has DuckDB write, at half the cost.

SQLite gives its rows out one by one, as Python's objects, and of the many rows of a sweep that is most of the work. A row
that is strung together in there is two objects instead of seventeen, is hashed and forgotten, and other threads run while
it is made. PostgreSQL can hash besides, so that of each row only 32 bytes travel.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Date, Integer, LargeBinary, String, literal_column
from sqlalchemy.types import TypeDecorator, TypeEngine

from compliance.log_encoding import VERSION, element
from compliance.merkle import leaf_hash
from store import log
from store.bulk_arrow import Reader, table_of
from store.bulk_sqlite import SqliteReader
from store.columns import Instant, Sealed
from store.log_kinds import Kind

_LETTERS: Final = ((Instant, "t"), (Integer, "i"), (Date, "d"), (String, "s"))


def hashes(reader: Reader, kind: Kind, keys: Sequence[str]) -> list[bytes | None] | None:
    """
    The leaf hashes of these rows' entries, in the order of the keys; None where there is not exactly one such row.

    Returns:
        None instead of them all where only `store.log_sql` can make or refuse them: something is withheld in entries of
        that kind, or a row holds what no entry can say, such as a text for a number, which SQLite lets it.
    """
    columns = table_of(kind.table).columns
    letters = {name: _letter(columns[name].type) for name in sorted(kind.fields)}
    if kind.withheld or "" in letters.values():
        return None
    made: dict[str, bytes | None] = {}
    for key, digest in _hashed(reader, kind, letters, keys):
        if digest is None:
            return None
        made[key] = None if key in made else digest
    return [made.get(key) for key in keys]


def _hashed(
    reader: Reader, kind: Kind, letters: Mapping[str, str], keys: Sequence[str]
) -> Iterator[tuple[str, bytes | None]]:
    """Key and leaf hash of each row that is there; no hash where the row holds what no entry can say."""
    key = literal_column(kind.key_sql(kind.table), String()).label("key")
    if isinstance(reader, SqliteReader):
        entry: ColumnElement[Any] = literal_column(_in_sqlite(kind, letters), String()).label("entry")
        for wanted in log.wanted_rows(kind, keys, (key, entry)):
            yield from ((of, None if text is None else leaf_hash(text.encode())) for of, text in reader.rows(wanted))
        return
    digest: ColumnElement[Any] = literal_column(_in_postgres(kind, letters), LargeBinary()).label("hash")
    for wanted in log.wanted_rows(kind, keys, (key, digest)):
        rows = reader.read(wanted)
        yield from zip(rows["key"].to_pylist(), rows["hash"].to_pylist(), strict=True)


def _in_sqlite(kind: Kind, letters: Mapping[str, str]) -> str:
    """The entry of a row; null where a column holds what its type does not say."""
    layout, values, wrong, texts = _head(kind), [], [], []
    for name, letter in letters.items():
        column = f'"{kind.table}"."{name}"'
        wrong.append(f"typeof({column}) not in ('{'text' if letter in 'sd' else 'integer'}', 'null')")
        length = f"length({column})"
        if letter == "d":
            wrong.append(f"{column} is not date({column})")
        if letter == "s":
            texts.append(column)
            # In bytes, as elements are measured.
            length = f"length(cast({column} as blob))"
        layout += _name(name) + "%s%s"
        values += [f"coalesce('{letter}' || {length} || ':', 'n0:')", column]
    if texts:
        # `printf` ends a text at its first NUL.
        whole = " + ".join(f"coalesce(length(cast({column} as blob)), 0)" for column in texts)
        wrong.append(f"length(cast(printf('{'%s' * len(texts)}', {', '.join(texts)}) as blob)) <> {whole}")
    return f"case when {' or '.join(wrong)} then null else printf('{layout}', {', '.join(values)}) end"


def _in_postgres(kind: Kind, letters: Mapping[str, str]) -> str:
    """The leaf hash of a row; null where a day or an instant is one that no calendar of ours has."""
    parts, wrong = [f"'{_head(kind)}'"], ["false"]
    for name, letter in letters.items():
        column = text = f'"{kind.table}"."{name}"'
        if letter in "td":
            wrong.append(f"{column} not between '0001-01-02' and '9999-12-30'")
            days, instants = (
                f"to_char({column}, 'YYYY-MM-DD')",
                f"cast(extract(epoch from {column}) * 1000000 as bigint)",
            )
            text = days if letter == "d" else f"cast({instants} as text)"
        elif letter == "i":
            text = f"cast({column} as text)"
        bytes_of = f"convert_to({text}, 'UTF8')"
        parts += [f"'{_name(name)}'", f"coalesce('{letter}' || octet_length({bytes_of}) || ':' || {text}, 'n0:')"]
    entry = f"convert_to(concat({', '.join(parts)}), 'UTF8')"
    return f"case when {' or '.join(wrong)} then null else sha256('\\x00'::bytea || {entry}) end"


def _head(kind: Kind) -> str:
    head = (("v", VERSION), ("k", kind.name), ("c", str(len(kind.fields))))
    return "".join(element(letter, data.encode()).decode() for letter, data in head)


def _name(field: str) -> str:
    return element("f", field.encode()).decode()


def _letter(of: TypeEngine[object]) -> str:
    """Empty: a type that no entry strung together here has."""
    if isinstance(of, TypeDecorator) and not isinstance(of, Instant | Sealed):
        of = of.impl_instance
    return next((letter for kind, letter in _LETTERS if isinstance(of, kind)), "")
