"""What the rows of every table are made of."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, LargeBinary, Text
from sqlalchemy.engine.default import DefaultExecutionContext
from sqlmodel import SQLModel
from sqlmodel.sql.sqltypes import AutoString

from store.columns import HASH_OF, Instant
from store.sealing import sealing_of


class Row(SQLModel):
    """
    A row of any table.

    Every table counts as one of `store.tables`, in whichever of its modules it stands: SQLAlchemy writes the new rows of a
    transaction by module and name of their classes, and in that order they come into the log.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        cls.__module__ = "store.tables"
        super().__init_subclass__(**options)


# SQLite gives rowid autoincrement to INTEGER primary keys only.
_BIG_KEY = BigInteger().with_variant(Integer, "sqlite")


def row_key() -> Column[int]:
    """The number a row gets from the database."""
    return Column(_BIG_KEY, primary_key=True, autoincrement=True)


def reference(target: str, *, nullable: bool = False, index: bool = False, primary_key: bool = False) -> Column[int]:
    """The number of a row of another table; `target` is `table.column`."""
    return Column(BigInteger, ForeignKey(target), nullable=nullable, index=index, primary_key=primary_key)


def instant(*, nullable: bool = False) -> Column[datetime]:
    """An aware instant."""
    return Column(Instant, nullable=nullable)


def amount(*, default: int | None = None, nullable: bool = False) -> Column[int]:
    """An amount in minor units, or any other number that may be large."""
    return Column(BigInteger, nullable=nullable, default=default)


def octets() -> Column[bytes]:
    """Bytes as they are."""
    return Column(LargeBinary, nullable=False)


def long_text() -> Column[str]:
    """Text of any length."""
    return Column(Text, nullable=False)


def keyed_hash(column: str) -> Column[str]:
    """The keyed hash of a sealed column: its row is found by it. Filled in by whoever inserts, on every path."""

    def hashed(context: DefaultExecutionContext) -> str:
        of: str = context.get_current_parameters()[column]  # type: ignore[no-untyped-call]
        return sealing_of(context.dialect).hashed(of)

    return Column(AutoString, nullable=False, index=True, default=hashed, info={HASH_OF: column})
