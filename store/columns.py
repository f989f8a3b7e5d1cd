"""The one column type for instants. Dates are `Date`, money is `BigInteger` minor units; that is all there is."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, DateTime
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

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
