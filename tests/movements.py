"""Movements of a day, put into a ledger, and where the loan then stands."""

from datetime import UTC, date, datetime
from typing import Any

from store.db import Database
from store.ledger import NewMovement, Recorded, record
from store.tables import Position

DAY = date(2026, 3, 2)
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def new(loan_id: int, kind: str, amount_minor: int, ref: str, **values: Any) -> NewMovement:
    """A movement of source `core`, on March 2."""
    given = {"effective_on": DAY, "recorded_at": NOON, "source": "core", **values}
    return NewMovement(loan_id=loan_id, kind=kind, amount_minor=amount_minor, ref=ref, **given)


def add(database: Database, *movements: NewMovement) -> Recorded:
    """All in one transaction."""
    with database.write() as session:
        return record(session, movements)


def position(database: Database, loan_id: int) -> Position:
    """The stored position."""
    with database.session() as session:
        return session.get_one(Position, loan_id)
