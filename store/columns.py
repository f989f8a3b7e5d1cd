"""The column types of our own: instants, and sealed texts. Dates are `Date`, money is `BigInteger` minor units; that is all there is."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator, TypeEngine

from store.sealing import sealing_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_us(instant: datetime) -> int:
    """Microseconds since 1970 UTC. Raises ValueError for a naive datetime: it would mean a different moment elsewhere."""
    if instant.tzinfo is None:
        raise ValueError(f"naive datetime {instant.isoformat()}; attach a zone before it gets here")
    return (instant - _EPOCH) // _MICROSECOND


def from_us(us: int) -> datetime:
    """The aware UTC datetime of that many microseconds since 1970."""
    return _EPOCH + us * _MICROSECOND


class Instant(TypeDecorator[datetime]):
    """
    An aware instant: `timestamptz` on PostgreSQL, microseconds since 1970 UTC as integer on SQLite.

    Naive datetimes are refused on the way in; aware UTC datetimes come out on both.
    """

    impl = BigInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column as each database has it."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(DateTime(timezone=True))
        return dialect.type_descriptor(BigInteger())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | int | None:
        """In: aware only."""
        if value is None:
            return None
        us = to_us(value)
        return value if dialect.name == "postgresql" else us

    def process_result_value(self, value: datetime | int | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Out: aware UTC."""
        if value is None:
            return None
        return from_us(value) if isinstance(value, int) else value.astimezone(UTC)


HASH_OF: Final = "hash_of"
"""What the `info` of a column of hashes names the sealed column of its row by."""

_TELLS_NULL: Final = (operators.is_, operators.is_not)


class _Unsearchable(TypeDecorator.Comparator[str]):
    """The same text is never sealed alike twice: to compare sealed texts would find nothing, and say so as if it were true."""

    def operate(self, op: Any, *other: Any, **kwargs: Any) -> Any:
        if op in _TELLS_NULL:
            return super().operate(op, *other, **kwargs)
        raise TypeError(f"{self.expr} is sealed, and is found and compared by its hash or not at all")

    reverse_operate = operate


class Sealed(TypeDecorator[str]):
    """
    A text that identifies somebody, or was written by them: sealed in the database, as it is everywhere else.

    Args:
        place: `table.column`; what is sealed for one place opens in no other.
    """

    impl = String
    cache_ok = True
    comparator_factory = _Unsearchable

    def __init__(self, place: str) -> None:
        super().__init__()
        self.place = place

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """In: sealed with the key that seals now."""
        return None if value is None else sealing_of(dialect).seal(self.place, value)

    def process_literal_param(self, value: str | None, dialect: Dialect) -> str:  # noqa: ARG002
        """Never written into the text of a statement."""
        raise TypeError(f"{self.place} is sealed, and has no place in the text of a statement")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Out: as it was written."""
        return None if value is None else sealing_of(dialect).unseal(self.place, value)


class SealedText(Sealed):
    """The same for a column of long texts."""

    impl = Text
    cache_ok = True
