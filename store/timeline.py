"""One loan's story: what was paid, decided, sent, said and moved, in order."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlmodel import Session, col, select

from engine.errors import DataError, Problem
from store.log_kinds import told_text
from store.tables import AccountSnapshot, Consent, Contact, Hold, Loan, Movement, Notice, Person, Promise, StageChange

Kind = Literal["money", "stage", "contact", "promise", "hold", "consent", "notice", "account"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that happened. `amount_minor` is in the loan's currency; None where it is about no money."""

    at: datetime
    kind: Kind
    what: str
    amount_minor: int | None = None
    why: str = ""


def find_loan(session: Session, ref: str) -> Loan | None:
    """The loan with that reference."""
    return session.exec(select(Loan).where(col(Loan.ref) == ref)).first()


def known_loan(session: Session, ref: str) -> Loan:
    """
    The loan with that reference.

    Raises:
        DataError: there is none.
    """
    found = find_loan(session, ref)
    if found is None:
        raise DataError(Problem(f"no loan `{ref}`", "write the reference it was imported with"))
    return found


def loan_refs(session: Session, loan_ids: Iterable[int]) -> dict[int, str]:
    """Loan id -> the reference that the lender knows the loan by."""
    rows = session.exec(select(Loan.id, Loan.ref).where(col(Loan.id).in_(sorted(set(loan_ids)))))
    return {loan_id: ref for loan_id, ref in rows if loan_id is not None}


def person_refs(session: Session, person_ids: Iterable[int]) -> dict[int, str]:
    """Person id -> the reference that the lender knows the person by."""
    rows = session.exec(select(Person.id, Person.ref).where(col(Person.id).in_(sorted(set(person_ids)))))
    return {person_id: ref for person_id, ref in rows if person_id is not None}


def timeline(session: Session, loan: Loan) -> list[Line]:
    """Everything the book knows of a loan, oldest first; no names, numbers or addresses."""
    lines = [
        *_money(session, loan),
        *_contacts(session, loan),
        *(
            Line(c.at, "stage", _stage(c), why=told_text("stage_change", c.id, c.reason) or c.cause)
            for c in session.exec(select(StageChange).where(col(StageChange.loan_id) == loan.id))
        ),
        *_promises(session, loan),
        *(
            Line(n.recorded_at, "notice", f"{n.kind} by {n.how}, in force from {n.effective_on}")
            for n in session.exec(select(Notice).where(col(Notice.loan_id) == loan.id))
        ),
        *(
            Line(h.starts_at, "hold", f"{h.kind}, to be reviewed on {h.review_on}", why=h.reason)
            for h in session.exec(
                select(Hold).where(
                    (col(Hold.loan_id) == loan.id)
                    | ((col(Hold.person_id) == loan.borrower_id) & col(Hold.loan_id).is_(None))
                )
            )
        ),
        *(
            Line(
                c.received_at,
                "consent",
                f"{c.kind} {c.scope} {c.channels}".strip(),
                why=told_text("consent", c.id, c.how),
            )
            for c in session.exec(select(Consent).where(col(Consent.person_id) == loan.borrower_id))
        ),
    ]
    return sorted(lines, key=lambda line: line.at)


def _money(session: Session, loan: Loan) -> list[Line]:
    movements = session.exec(select(Movement).where(col(Movement.loan_id) == loan.id))
    lines = [
        Line(m.recorded_at, "money", f"{m.kind.replace('_', ' ')}, effective {m.effective_on}", m.amount_minor)
        for m in movements
    ]
    snapshots = select(AccountSnapshot).where(col(AccountSnapshot.loan_id) == loan.id)
    overdue_minor = 0
    for snapshot in session.exec(snapshots.order_by(col(AccountSnapshot.as_of_on), col(AccountSnapshot.id))):
        # A core system says the same every day; news is when the amount changes.
        if snapshot.overdue_minor != overdue_minor:
            overdue_minor = snapshot.overdue_minor
            what = f"{snapshot.dpd} days past due on {snapshot.as_of_on}"
            lines.append(Line(snapshot.recorded_at, "account", what, overdue_minor))
    return lines


def _stage(change: StageChange) -> str:
    return f"starts in {change.target}" if change.source == change.target else f"{change.source} -> {change.target}"


def _contacts(session: Session, loan: Loan) -> list[Line]:
    lines = []
    for contact in session.exec(select(Contact).where(col(Contact.loan_id) == loan.id)):
        arrow = "to" if contact.direction == "out" else "from"
        result = _result(contact)
        what = f"{contact.channel} {arrow} {contact.role} ({contact.rule or contact.purpose}) {result}"
        lines.append(Line(contact.at, "contact", what, why=contact.why))
    return lines


def _result(contact: Contact) -> str:
    if contact.status in ("sent", "delivered"):
        return contact.outcome or contact.status
    return contact.status if contact.outcome in ("", contact.status) else f"{contact.status}: {contact.outcome}"


def _promises(session: Session, loan: Loan) -> list[Line]:
    lines = []
    for promise in session.exec(select(Promise).where(col(Promise.loan_id) == loan.id)):
        settled = f", {promise.status}" + (f" on {promise.settled_on}" if promise.settled_on else "")
        lines.append(Line(promise.made_at, "promise", f"promise for {promise.due_on}{settled}", promise.amount_minor))
    return lines
