"""Promises to pay, judged from the ledger once their day and its grace are over."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from sqlmodel import Session, col, exists, or_, select

from engine.strategy import PromisePolicy
from store.db import Database
from store.outbox import bump_versions, lock_versions
from store.tables import Event, Loan, Movement, Promise

_CREDITS: Final = ("payment", "credit", "waiver", "forgiveness")


@dataclass(frozen=True, slots=True)
class Terms:
    """
    What a loan's promises are judged by.

    Attributes:
        on: today at the borrower's place.
        is_stale: payments may have come that we have not heard of, so that nothing is called broken.
    """

    policy: PromisePolicy
    on: date
    is_stale: bool = False


def check_promises(database: Database, *, now: datetime, terms: Mapping[int, Terms]) -> dict[str, int]:
    """
    Settle every open promise whose outcome is known: kept as soon as enough has come, broken after the grace.

    Each is settled once, with one event. A payment that bounces afterwards is news of its own (`payment_reversed`).

    Args:
        terms: loan id -> its terms; a loan without any is left for when a strategy applies.
    Returns:
        how many were `kept` and `broken`.
    """
    counts = {"kept": 0, "broken": 0}
    with database.write() as session:
        owners = dict(session.exec(select(Loan.id, Loan.borrower_id).where(col(Loan.id).in_(terms))).all())
        lock_versions(session, owners.values())
        query = select(Promise).where(col(Promise.status) == "open", col(Promise.loan_id).in_(terms))
        promises = session.exec(query.order_by(col(Promise.id)).with_for_update(key_share=True)).all()
        movements = _movements(session, {promise.loan_id for promise in promises}, now)
        settled = []
        for promise in promises:
            _judge(promise, terms[promise.loan_id], movements.get(promise.loan_id, ()))
            session.add(promise)
            if promise.status != "open":
                counts[promise.status] += 1
                settled.append(owners[promise.loan_id])
                session.add(_event(promise, owners[promise.loan_id], now))
        bump_versions(session, settled)
    return counts


def promises_to_judge(session: Session, now: datetime) -> list[int]:
    """Ids of loans with an open promise whose day has come anywhere, or on which credit came after it was made."""
    paid = exists().where(
        col(Movement.loan_id) == Promise.loan_id,
        col(Movement.kind).in_(_CREDITS),
        col(Movement.recorded_at) >= Promise.made_at,
    )
    come = col(Promise.due_on) <= (now + timedelta(days=1)).date()
    return list(session.exec(select(Promise.loan_id).where(col(Promise.status) == "open", or_(come, paid)).distinct()))


def _judge(promise: Promise, terms: Terms, movements: Iterable[Movement]) -> None:
    last = promise.due_on + timedelta(days=terms.policy.grace_days)
    promise.paid_minor = _paid(promise, last, movements)
    if promise.paid_minor >= promise.amount_minor * terms.policy.kept_at:
        promise.status, promise.settled_on = "kept", terms.on
    elif terms.on > last and not terms.is_stale:
        promise.status, promise.settled_on = "broken", terms.on


def _paid(promise: Promise, last: date, movements: Iterable[Movement]) -> int:
    """Cleared credit recorded since the promise was made and effective by `last`, less what bounced, in minor units."""
    paid = 0
    counted: set[int | None] = set()
    for movement in movements:
        if movement.kind in _CREDITS and movement.recorded_at >= promise.made_at and movement.effective_on <= last:
            paid += movement.amount_minor
            counted.add(movement.id)
        elif movement.kind == "reversal" and movement.reverses_id in counted:
            # Whenever the bank took it back: what bounced never kept a promise.
            paid -= movement.amount_minor
    return paid


def _movements(session: Session, loans: Collection[int], now: datetime) -> Mapping[int, Sequence[Movement]]:
    by_loan: defaultdict[int, list[Movement]] = defaultdict(list)
    query = select(Movement).where(col(Movement.loan_id).in_(loans), col(Movement.recorded_at) <= now)
    # What is reversed stands before its reversal, whatever their order of arrival.
    for movement in session.exec(query.order_by(col(Movement.reverses_id).is_not(None), col(Movement.id))):
        by_loan[movement.loan_id].append(movement)
    return by_loan


def _event(promise: Promise, borrower: int, now: datetime) -> Event:
    return Event(
        source="promises",
        key=f"{promise.id}:{promise.status}",
        kind=f"promise_{promise.status}",
        person_id=borrower,
        loan_id=promise.loan_id,
        happened_at=now,
        recorded_at=now,
        detail_json=json.dumps({"promise": promise.id}),
    )
