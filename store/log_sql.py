"""
Rows to entries, whole columns at a time: the same bytes as `compliance.log_encoding` writes, made by DuckDB.

The statement only strings texts together. Hashing is OpenSSL's business, which does it ten times faster.
"""

from collections.abc import Collection, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from sqlalchemy import Boolean, Date, String
from sqlalchemy.types import TypeDecorator, TypeEngine

from compliance.log_encoding import VERSION, element
from store.bulk_arrow import table_of
from store.columns import Instant
from store.log_kinds import Kind

if TYPE_CHECKING:
    import pyarrow as pa

_NONE: Final[Mapping[tuple[str, str], str]] = {}
_BLOCK: Final = 64
"""Bytes of a block of SHA-256: what HMAC (RFC 2104) pads its key to."""


class Encoder:
    """
    Turns rows into entries. For one thread at a time.

    Args:
        seal_key: what the salts of withheld fields come from.
    """

    def __init__(self, seal_key: bytes) -> None:
        import duckdb

        self._con = duckdb.connect()
        self.seal_key = seal_key

    def encode(
        self, kind: Kind, keys: Sequence[str], rows: "pa.Table", erased: Mapping[tuple[str, str], str] = _NONE
    ) -> list[bytes | None]:
        """
        The entries of these rows, in the order of the keys; None where there is not exactly one such row.

        Args:
            rows: with every field of the kind, as bulk reads give them; in any order, also more than were asked for.
            erased: key and field -> the commitment to a text that was erased.
        """
        import pyarrow as pa

        wanted = pa.table({"at": pa.array(range(len(keys)), pa.int64()), "wanted": pa.array(keys, pa.string())})
        self._con.register("wanted", wanted)
        self._con.register("found", rows)
        for name in {field for _, field in erased}:
            ours = {key: made for (key, field), made in erased.items() if field == name}
            gone = {"entry_key": pa.array(ours, pa.string()), "commitment": pa.array(ours.values(), pa.string())}
            self._con.register(f"erased_{name}", pa.table(gone))
        statement = (
            f"with kept as (select *, {kind.key_sql('found')} as entry_key from found) "
            f"select wanted.at, {self._entry(kind, {field for _, field in erased})} as entry "
            "from wanted join kept on kept.entry_key = wanted.wanted"
        )
        table = self._con.sql(statement).to_arrow_table()
        made: list[bytes | None] = [None] * len(keys)
        twice: set[int] = set()
        # Put in order here: sorting would move the entries themselves about.
        for at, entry in zip(table["at"].to_pylist(), table["entry"].cast(pa.binary()).to_pylist(), strict=True):
            if made[at] is not None:
                twice.add(at)
            made[at] = entry
        for at in twice:
            # The same key twice, which the database would have to be broken for.
            made[at] = None
        return made

    def close(self) -> None:
        """Let go of the database in memory."""
        self._con.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _entry(self, kind: Kind, erased: Collection[str]) -> str:
        head = [("v", VERSION), ("k", kind.name), ("c", str(len(kind.fields)))]
        parts = [_text("".join(element(letter, data.encode()).decode() for letter, data in head))]
        columns = table_of(kind.table).columns
        for name in sorted(kind.fields):
            said = _value(f'kept."{name}"', columns[name].type)
            if name in kind.withheld:
                said = f"('h64:' || sha256({self._salt(kind, name)} || {said}))"
                if name in erased:
                    # Where anything else stands than what an erasure leaves, it is what was never committed to.
                    gone = f"kept.\"{name}\" = 'erased:{kind.name}:' || kept.entry_key"
                    known = f"(select commitment from erased_{name} e where e.entry_key = kept.entry_key and {gone})"
                    said = f"coalesce('h64:' || {known}, {said})"
            parts += (_text(element("f", name.encode()).decode()), said)
        # In one step: `||` would copy what was put together so far once for every part.
        return f"concat({', '.join(parts)})"

    def _salt(self, kind: Kind, field: str) -> str:
        # HMAC-SHA256 by hand: DuckDB has the hash only.
        key = self.seal_key.ljust(_BLOCK, b"\0")
        inner, outer = (bytes(byte ^ pad for byte in key).hex() for pad in (0x36, 0x5C))
        head, tail = element("k", kind.name.encode()).decode(), element("f", field.encode()).decode()
        entry_key = "'s' || strlen(kept.entry_key) || ':' || kept.entry_key"
        about = f"encode({_text(head)} || {entry_key} || {_text(tail)})"
        return f"sha256(unhex('{outer}') || unhex(sha256(unhex('{inner}') || {about})))"


def _value(column: str, of: TypeEngine[object]) -> str:
    """A column's element; a null makes the whole of it null, and stands as one."""
    if isinstance(of, Instant):
        return _measured("t", f"{column}::varchar")
    if isinstance(of, TypeDecorator):
        of = of.impl_instance
    if isinstance(of, Boolean):
        return f"coalesce('b1:' || {column}::int, 'n0:')"
    if isinstance(of, Date):
        return _measured("d", f"{column}::varchar")
    return _measured("s" if isinstance(of, String) else "i", column if isinstance(of, String) else f"{column}::varchar")


def _measured(letter: str, text: str) -> str:
    return f"coalesce('{letter}' || strlen({text}) || ':' || {text}, 'n0:')"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
