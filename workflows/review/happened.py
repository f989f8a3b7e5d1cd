"""A contact as it happened, whom it was with, and what they had said by then: what the review counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from engine.gate import Statement

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Served:
    """
    A notice to the borrower about the contact's own loan, by calendar days.

    Attributes:
        effective: the day from which it was in force. voided: when it was found to have reached nobody; None: it was not.
    """

    id: int
    kind: str
    sent: date
    effective: date
    voided: int | None


@dataclass(frozen=True, slots=True)
class Made:
    """
    One contact that was made, may have been made, or that they made.

    Attributes:
        at: when, in microseconds; begun: the same, or before: when somebody set about it.
        recorded: when it came into the book.
        outcome: what became of it, or how far it is known to have come.
        same_as: the number or address, one for all who share it; None: not known.
        place: home, work, elsewhere; None: not known.
        judged: whether it is of the month, ours and done: the others are only counted.
        facts: what is known of the loan, the line and the way it was made.
        basis: how the number or address came to be used, and since when, as it is on file.
        served: notices about its loan. spell_on: when the loan's present spell of arrears began.
    """

    id: str
    at: int
    begun: int
    recorded: int
    channel: str
    direction: str
    purpose: str
    outcome: str
    person: int
    role: str
    debts: frozenset[int]
    endpoint: int | None
    same_as: int | None
    place: str | None
    by: str
    misdirected: bool
    judged: bool
    facts: Mapping[str, bool | int | str | None]
    basis: str = ""
    basis_at: int | None = None
    served: tuple[Served, ...] = ()
    spell_on: date | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A statement of a person, when it came into the book, and its id there."""

    id: int
    recorded: int
    statement: Statement


@dataclass(frozen=True, slots=True)
class Held:
    """A hold on a person, or on one loan."""

    id: int
    kind: str
    starts: int
    ends: int | None
    recorded: int
    blocks: frozenset[str]
    loan: int | None
    form: str


@dataclass(frozen=True, slots=True)
class Whom:
    """Somebody, with where they may be and everything they said."""

    id: int
    zones: tuple[str, ...]
    places: tuple[str, ...]
    said: tuple[Said, ...]
    held: tuple[Held, ...]


@lru_cache(maxsize=256)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def there(at: int, zone: str) -> datetime:
    """The wall clock of a zone at an instant of microseconds."""
    return (_EPOCH + timedelta(microseconds=at)).astimezone(_zone(zone))


@lru_cache(maxsize=200_000)
def date_there(at: int, zone: str) -> date:
    """The date of a zone at an instant of microseconds."""
    return there(at, zone).date()
