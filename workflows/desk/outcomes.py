"""What people report of their tasks, and what follows from each: a promise, a dispute, a number that is somebody else's."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final

from sqlmodel import Session, col, select

from compliance import PackDates
from engine.errors import DataError, Problem
from engine.strategy import PromisePolicy
from store.deeds import state
from store.tables import Contact, Hold, Promise
from workflows.desk.outcome_file import Effect, Outcome
from workflows.sending.aftermath import lose_number, serve_notice, void_notices

_DISPUTE_REVIEW: Final = timedelta(days=30)

MESSAGE_OUTCOMES: Final[Mapping[str, Mapping[str, Outcome]]] = {
    channel: {"sent": Outcome("sent"), "received": Outcome("received")} for channel in ("sms", "email")
}
"""What can be said of a message that did not pass through here."""
LATE_NEWS: Final = {("posted", "returned")}
"""What may still be reported of a task that is worked: a letter that was posted comes back."""


@dataclass(frozen=True, slots=True)
class Promised:
    """A promise to pay that a borrower made in a contact; the amount in minor units of the loan's currency."""

    amount_minor: int
    due_on: date


def refuse_promise(promised: Promised, policy: PromisePolicy, on: date) -> None:
    """
    Refuse a promise that the strategy does not take.

    Raises:
        DataError: it is for nothing, for a day that is over, or too far off.
    """
    days = (promised.due_on - on).days
    if not 0 <= days <= policy.max_days:
        last = on + timedelta(days=policy.max_days)
        what = f"a promise for {promised.due_on} cannot be taken: this strategy takes {on} to {last}"
        raise DataError(Problem(what, "agree on a day in that time"))
    if promised.amount_minor <= 0:
        raise DataError(Problem("a promise of nothing", "write the amount promised"))


def add_promise(session: Session, contact: Contact, promised: Promised, *, on: date, now: datetime) -> None:
    """Write a promise down; an earlier one that is still open is withdrawn by it."""
    earlier = select(Promise).where(col(Promise.loan_id) == contact.loan_id, col(Promise.status) == "open")
    for promise in session.exec(earlier.with_for_update(key_share=True)):
        promise.status, promise.settled_on = "withdrawn", on
        session.add(promise)
    session.add(
        Promise(
            loan_id=contact.loan_id,
            amount_minor=promised.amount_minor,
            made_at=now,
            due_on=promised.due_on,
            contact_id=contact.id,
            ref=f"contact:{contact.id}",
        )
    )


def follow(
    session: Session,
    contact: Contact,
    effect: Effect | None,
    *,
    agent: str,
    notice: str | None,
    dates: PackDates,
    on: date,
    now: datetime,
) -> None:
    """
    What follows from an outcome, promises aside.

    Args:
        notice: the duty that the contact's rule gives evidence for, if any.
        dates: say from when it is in force.
    """
    if effect == "served" and notice is not None:
        serve_notice(session, contact, notice, dates, on=on, now=now)
    if effect in ("wrong_person", "bad_endpoint"):
        lose_number(session, contact, now)
        void_notices(session, contact, now)
    if effect == "dispute":
        state(
            session,
            Hold(
                person_id=contact.person_id,
                loan_id=contact.loan_id,
                kind="dispute",
                form="oral",
                owner=agent,
                review_on=on + _DISPUTE_REVIEW,
                starts_at=now,
                recorded_at=now,
                reason=f"said in contact {contact.id}",
                ref=f"contact:{contact.id}",
            ),
            now=now,
        )
