"""The book of duties as people read it: what has lapsed first, then what presses, then by day."""

from collections.abc import Sequence
from datetime import date
from typing import Final, Literal

from sqlalchemy import and_, or_
from sqlmodel import Session, col, select

from store.tables import Duty, Loan

State = Literal["lapsed", "due soon", "open", "done", "done late", "void"]
_ORDER: Final[tuple[State, ...]] = ("lapsed", "due soon", "open", "done late", "done", "void")


def state_of(duty: Duty, today: date) -> State:
    """How a duty stands on a day, whether or not the job has run since."""
    if duty.status == "done":
        return "done late" if duty.lapsed_at is not None else "done"
    if duty.status == "void":
        return "void"
    if duty.due_on < today:
        return "lapsed"
    return "due soon" if duty.escalate_on <= today else "open"


def list_duties(
    session: Session,
    *,
    today: date,
    owner: str | None = None,
    due_by: date | None = None,
    loan: Loan | None = None,
    closed: bool = False,
) -> Sequence[Duty]:
    """
    Duties in the order in which they are to be looked at.

    Args:
        loan: only this loan's, and those about its borrower as a whole.
        closed: also what is done or void.
    """
    query = select(Duty)
    if owner is not None:
        query = query.where(col(Duty.owner) == owner)
    if due_by is not None:
        query = query.where(col(Duty.due_on) <= due_by)
    if loan is not None:
        of_borrower = and_(col(Duty.loan_id).is_(None), col(Duty.person_id) == loan.borrower_id)
        query = query.where(or_(col(Duty.loan_id) == loan.id, of_borrower))
    if not closed:
        query = query.where(col(Duty.status).not_in(("done", "void")))
    found = session.exec(query).all()
    return sorted(found, key=lambda duty: (_ORDER.index(state_of(duty, today)), duty.due_on, duty.id))
