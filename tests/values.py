"""Rows of every table with the values that writing paths get wrong: limits, nulls, odd text, odd hours. For round-trip tests."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import BigInteger, Boolean, Column, Date, Integer, LargeBinary, String, Table
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

import store.tables  # noqa: F401 - fills the metadata
from store.columns import Instant, Sealed

ROWS: Final = 6
"""How many rows each table gets: row 1 is what the foreign keys of all rows point at; the last has every null there can be."""

_INSTANTS: Final = (
    datetime(2026, 3, 8, 7, 30, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(2026, 11, 1, 1, 30, 0, 1, tzinfo=ZoneInfo("America/New_York"), fold=1),
    datetime(2026, 7, 1, 0, 0, 0, 123_456, tzinfo=timezone(timedelta(hours=5, minutes=45))),
    datetime(2199, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1901, 1, 1, tzinfo=UTC),
)
_DATES: Final = (
    date(2026, 11, 23),
    date(1900, 1, 1),
    date(1969, 12, 31),
    date(2024, 2, 29),
    date(2199, 12, 31),
    date(2026, 1, 31),
)
_TEXTS: Final = (
    "plain",
    'O\'Neil "x", 100 % \\ $1 :name ?',
    "李雷，你好。",
    "",
    "two\nlines\ttab",
    "🙂 e\u0301 \u200b {}",
)
_BYTES: Final = (b"\x00" * 32, b"\xff" * 32, b"", b"'\\x00\"", bytes(range(256)), b"plain")
_BIG: Final = (1, 2**63 - 1, -(2**63), 0, 2**53 + 1, -1)
_SMALL: Final = (1, 2**31 - 1, -(2**31), 0, -1, 7)


def tables() -> list[Table]:
    """Every table, parents before children."""
    return list(SQLModel.metadata.sorted_tables)


def rows_of(table: Table) -> list[dict[str, Any]]:
    """The rows of one table; insert the tables in the order of `tables()`."""
    return [{column.name: _value(table, column, n) for column in table.columns} for n in range(ROWS)]


def same(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Equal in value and in type: 1 is not true, and an instant comes back aware."""
    return row.keys() == other.keys() and all(
        value == other[name] and type(value) is type(other[name]) for name, value in row.items()
    )


def _value(table: Table, column: Column[Any], n: int) -> Any:
    if table.name == "movement" and column.name == "reverses_id":
        # A movement is ended once.
        return 1 if n == 1 else None
    if column.nullable and n == ROWS - 1:
        return None
    if column.foreign_keys:
        return _parent(table, column, n)
    if column.primary_key or column.unique:
        return _distinct(column, n)
    return _kinds(column)[n]


def _parent(table: Table, column: Column[Any], n: int) -> Any:
    parent = next(iter(column.foreign_keys)).column
    # A key that is nothing but foreign keys must differ somewhere: there the nth parent.
    only_parents = column.primary_key and all(part.foreign_keys for part in table.primary_key)
    return _distinct(parent, n if only_parents or column.unique else 0)


def _distinct(column: Column[Any], n: int) -> Any:
    if isinstance(column.type, BigInteger | Integer):
        return n + 1
    if isinstance(column.type, String | AutoString | Sealed):
        return f"{n}:{_TEXTS[n]}"
    return _kinds(column)[n]


def _kinds(column: Column[Any]) -> tuple[Any, ...]:
    if isinstance(column.type, Instant):
        return _INSTANTS
    if isinstance(column.type, Date):
        return _DATES
    if isinstance(column.type, Boolean):
        return (True, False, True, False, False, True)
    if isinstance(column.type, BigInteger):
        return _BIG
    if isinstance(column.type, Integer):
        return _SMALL
    if isinstance(column.type, String | AutoString | Sealed):
        return _TEXTS
    if isinstance(column.type, LargeBinary):
        return _BYTES
    raise TypeError(f"{column}: no values for {column.type}; add them here")
