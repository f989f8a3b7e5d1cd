"""Small true rows for tests: people, loans, payments. Each call is one committed transaction and returns the new id."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from itertools import count
from typing import Any

from store.db import Database
from store.ledger import NewMovement, record, set_schedule
from store.tables import Endpoint, Loan, Person, Position

_numbers = count(1)


def at(day: date, hour: int = 0, minute: int = 0) -> datetime:
    """An instant of that day, UTC."""
    return datetime.combine(day, time(hour, minute), UTC)


def make_person(
    database: Database,
    *,
    mobile: str | None = None,
    email: str | None = None,
    created_at: datetime = datetime(2026, 1, 1, tzinfo=UTC),
    **values: Any,
) -> int:
    """A borrower in Shanghai unless said otherwise, with a phone and a mail address where given."""
    given = {"name": "Test Person", "language": "en", "country": "CN", "zones": "Asia/Shanghai", "bucket": 5000}
    with database.write() as session:
        person = Person(**{"ref": f"P-{next(_numbers)}", **given, **values}, created_at=created_at)
        session.add(person)
        session.flush()
        assert person.id is not None
        for rank, (kind, value) in enumerate((("mobile", mobile), ("email", email))):
            if value is not None:
                session.add(Endpoint(person_id=person.id, kind=kind, value=value, rank=rank, recorded_at=created_at))
        return person.id


def make_loan(
    database: Database,
    *,
    instalments: Sequence[tuple[date, int]] = (),
    borrower_id: int | None = None,
    opened_on: date = date(2026, 1, 1),
    **values: Any,
) -> int:
    """A personal loan in CNY with that schedule; its borrower is made where none is given."""
    borrower_id = borrower_id or make_person(database)
    given = {"product": "personal", "currency": "CNY", "principal_minor": sum(amount for _, amount in instalments)}
    with database.write() as session:
        loan = Loan(
            **{"ref": f"L-{next(_numbers)}", **given, "stage_on": opened_on, **values},
            borrower_id=borrower_id,
            opened_on=opened_on,
        )
        session.add(loan)
        session.flush()
        assert loan.id is not None
        if instalments:
            set_schedule(session, loan.id, instalments)
        else:
            session.add(Position(loan_id=loan.id))
        return loan.id


def add_movement(
    database: Database,
    loan_id: int,
    kind: str,
    amount_minor: int,
    effective_on: date,
    *,
    recorded_at: datetime | None = None,
    ref: str | None = None,
    ends: str | None = None,
) -> str:
    """
    One movement from source `test`, recorded at the end of its day unless said otherwise.

    Args:
        ends: the ref of the movement it reverses, settles or cancels.
    Returns:
        its ref.
    """
    ref = ref or f"M-{next(_numbers)}"
    movement = NewMovement(
        loan_id=loan_id,
        kind=kind,
        amount_minor=amount_minor,
        effective_on=effective_on,
        recorded_at=recorded_at or at(effective_on, 23, 59),
        source="test",
        ref=ref,
        ends=("test", ends) if ends else None,
    )
    with database.write() as session:
        record(session, [movement])
    return ref


def add_payment(database: Database, loan_id: int, amount_minor: int, effective_on: date, **values: Any) -> str:
    """A cleared payment; its ref."""
    return add_movement(database, loan_id, "payment", amount_minor, effective_on, **values)


def reverse(database: Database, loan_id: int, ref: str, amount_minor: int, effective_on: date, **values: Any) -> str:
    """A payment that bounced, or a credit taken back; the reversal's ref."""
    return add_movement(database, loan_id, "reversal", amount_minor, effective_on, ends=ref, **values)
