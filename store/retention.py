"""What is on file about a loan, as far as it says how long its records must be kept."""

from datetime import date, datetime, timedelta
from typing import Final

from sqlmodel import Session, col, func, select

from compliance import Life, Matter
from compliance.dated import Records
from store.people import jurisdictions
from store.tables import Contact, ContactLoan, DecisionRow, Loan, Person, StageChange
from store.timeline import timeline

_AHEAD: Final = timedelta(hours=14)
"""No place is further ahead of UTC: the latest date that an instant may have anywhere, which is the cautious one here."""


def read_life(session: Session, loan: Loan, now: datetime) -> tuple[Life, Matter]:
    """
    The days from which a loan's records are kept, and whose law says for how long.

    The records of its calls are taken to be as old as the calls: recordings themselves are not in the book.
    """
    lines = [line for line in timeline(session, loan) if line.at <= now]
    newest: dict[Records, date] = {}
    kinds: tuple[tuple[Records, str], ...] = (("contacts", "contact"), ("consents", "consent"))
    for records, kind in kinds:
        if days := [_day(line.at) for line in lines if line.kind == kind]:
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
    if decided is not None:
        newest["decisions"] = _day(decided)
    if called is not None:
        newest["recordings"] = _day(called)
    last = max([loan.opened_on, *(_day(line.at) for line in lines)])
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


def _day(at: datetime) -> date:
    return (at + _AHEAD).date()
