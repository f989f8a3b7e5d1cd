"""What is on file about a loan, as far as it says how long its records must be kept."""

from datetime import date, datetime, timedelta
from typing import Final

from sqlmodel import Session, col, func, or_, select

from compliance import Life, Matter
from compliance.dated import Records
from store.columns import Instant
from store.people import jurisdictions
from store.tables import Contact, ContactLoan, DecisionRow, Hold, Loan, Person, StageChange
from store.timeline import timeline

_AHEAD: Final = timedelta(hours=14)
"""No place is further ahead of UTC: the latest date that an instant may have anywhere, which is the cautious one here."""


def read_life(session: Session, loan: Loan, now: datetime) -> tuple[Life, Matter]:
    """
    The days from which a loan's records are kept, and whose law says for how long.

    The records of its calls are taken to be as old as the calls: recordings themselves are not in the book. What was told
    in a complaint, a dispute or another hold is as old as its end.
    """
    lines = [line for line in timeline(session, loan) if line.at <= now]
    newest: dict[Records, date] = {}
    kinds: tuple[tuple[Records, str], ...] = (("contacts", "contact"), ("consents", "consent"))
    for records, kind in kinds:
        if days := [cautious_day(line.at) for line in lines if line.kind == kind]:
            newest[records] = max(days)
    decided = session.exec(
        select(func.max(DecisionRow.now_at)).where(col(DecisionRow.loan_id) == loan.id, col(DecisionRow.now_at) <= now)
    ).one()
    called = session.exec(
        select(func.max(Contact.at))
        .join(ContactLoan, col(ContactLoan.contact_id) == col(Contact.id))
        .where(
            col(ContactLoan.loan_id) == loan.id,
            col(Contact.channel) == "call",
            col(Contact.status).not_in(("planned", "claimed", "cancelled", "expired")),
            col(Contact.at) <= now,
        )
    ).one()
    told = session.exec(
        select(func.max(func.coalesce(Hold.ends_at, Hold.starts_at, type_=Instant()))).where(
            or_(col(Hold.loan_id) == loan.id, (col(Hold.person_id) == loan.borrower_id) & col(Hold.loan_id).is_(None)),
            col(Hold.starts_at) <= now,
        )
    ).one()
    if decided is not None:
        newest["decisions"] = cautious_day(decided)
    if called is not None:
        newest["recordings"] = cautious_day(called)
    if told is not None:
        newest["complaints"] = cautious_day(told)
    last = max([loan.opened_on, *(cautious_day(line.at) for line in lines)])
    person = session.get_one(Person, loan.borrower_id)
    matter = Matter(jurisdictions(person.country, person.region), loan.product)
    return Life(last, _settled_on(session, loan), newest), matter


def _settled_on(session: Session, loan: Loan) -> date | None:
    if loan.stage != "closed":
        return None
    closing = select(func.max(StageChange.on_on)).where(
        col(StageChange.loan_id) == loan.id, col(StageChange.target) == "closed"
    )
    return session.exec(closing).one()


def cautious_day(at: datetime) -> date:
    """The day from which time is counted that must not end too early: the latest that an instant may be on anywhere."""
    return (at + _AHEAD).date()
