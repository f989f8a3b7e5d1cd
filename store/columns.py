"""The column types of our own: instants, and sealed texts. Dates are `Date`, money is `BigInteger` minor units; that is all there is."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, String, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.sql import operators
from sqlalchemy.types import TypeDecorator, TypeEngine

from store.log_kinds import erased_text
from store.sealing import Sealing, sealing_of

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


def but_erased(kind: str, *others: str) -> str:
    """For a withheld field of the log: what an erasure leaves there stays as it is, for the triggers look for it."""
    return "|".join((rf"{erased_text(kind, '')}\S+", *others))


class Sealed(TypeDecorator[str]):
    """
    A text that identifies somebody, or was written by or about them: sealed in the database, as it is everywhere else.

    Args:
        place: `table.column`; what is sealed for one place opens in no other.
        but: a pattern of texts that are nobody's words and stay as they are, where whoever writes the most of them has no
            keys or no time. It may grow, and never shrinks: what was kept by it is read by it.
    """

    impl = String
    cache_ok = True
    comparator_factory = _Unsearchable

    def __init__(self, place: str, but: str = "") -> None:
        super().__init__()
        self.place, self.but = place, but
        self._plain = re.compile(but) if but else None

    def seal_all(self, sealing: Sealing, texts: Sequence[str | None]) -> list[str | None]:
        """Texts as they are kept. Where none of them is sealed, no keys are needed."""
        words = self._words(texts)
        if not any(words):
            return list(texts)
        return [
            text if word is None else word
            for text, word in zip(texts, sealing.seal_all(self.place, words), strict=True)
        ]

    def unseal_all(self, sealing: Sealing, kept: Sequence[str | None]) -> list[str | None]:
        """
        Texts as they were written.

        Raises:
            Unopened: one of them is neither sealed for this place nor one of those that stay as they are.
        """
        words = self._words(kept)
        if not any(words):
            return list(kept)
        return [
            text if word is None else word
            for text, word in zip(kept, sealing.unseal_all(self.place, words), strict=True)
        ]

    def _words(self, texts: Sequence[str | None]) -> list[str | None]:
        if self._plain is None:
            return list(texts)
        # A statement says few things, many times.
        plain = {text for text in set(texts) if text and self._plain.fullmatch(text)}
        return [None if text in plain else text for text in texts]

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """In: sealed with the key that seals now."""
        return self.seal_all(sealing_of(dialect), (value,))[0]

    def process_literal_param(self, value: str | None, dialect: Dialect) -> str:  # noqa: ARG002
        """Never written into the text of a statement."""
        raise TypeError(f"{self.place} is sealed, and has no place in the text of a statement")

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Out: as it was written."""
        return self.unseal_all(sealing_of(dialect), (value,))[0]


class SealedText(Sealed):
    """The same for a column of long texts."""

    impl = Text
    cache_ok = True
