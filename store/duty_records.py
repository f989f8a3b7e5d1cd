"""What on file starts dated duties, and what fulfils them, read as `compliance.duties` knows it."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, func, or_
from sqlmodel import Session, col, select

from compliance.dated import Mark
from compliance.duties import Record
from store.matters import People, batches
from store.tables import Consent, Contact, ContactLoan, Duty, Hold, Loan, Notice, Person

_MADE: Final = ("sent", "delivered", "unknown", "failed")
"""Statuses of a contact that was made or may have been; whether it counts its outcome says."""
_OURSELVES: Final = "lender"


def starting(session: Session, mark: Mark, rule: str, people: People, *, until_on: date, now: datetime) -> list[Record]:
    """
    Every record that may start a duty of a rule; no statement whose duty is done.

    Args:
        until_on: limitation that ends later is left for later.
    """
    match mark.what:
        case "hold" | "review":
            return _holds(session, mark, people, now)
        case "statement":
            return _statements(session, mark, people, unseen_by=rule)
        case "contact":
            return _first_contacts(session, mark, people)
        case "notice":
            return _notices(session, col(Notice.kind).in_(mark.kinds), people)
        case "limitation":
            return _limitation(session, people, until_on)
        case "agency":
            return _agencies(session, rule, people)
        case _:
            return []


def fulfilling(
    session: Session, mark: Mark | None, starts: Sequence[Record], people: People
) -> Mapping[int, list[Record]]:
    """What may have fulfilled duties that these records started, by loan; of statements by person."""
    found: defaultdict[int, list[Record]] = defaultdict(list)
    if mark is None or mark.what in {"end", "entry"}:
        return found
    if mark.what == "statement":
        for ids in batches({start.person for start in starts if start.person is not None}):
            for record in _said(
                session, and_(col(Consent.person_id).in_(ids), col(Consent.kind).in_(mark.kinds)), people
            ):
                found[record.person or 0].append(record)
        return found
    for ids in batches({start.loan for start in starts if start.loan is not None}):
        if mark.what == "notice":
            records = _notices(session, and_(col(Notice.loan_id).in_(ids), col(Notice.kind).in_(mark.kinds)), people)
        else:
            records = list(
                _contacts(session, and_(_counts(mark, or_in_doubt=False), col(Contact.loan_id).in_(ids)), people)
            )
        for record in records:
            found[record.loan or 0].append(record)
    return found


def _holds(session: Session, mark: Mark, people: People, now: datetime) -> list[Record]:
    query = select(Hold).order_by(col(Hold.id))
    if mark.kinds:
        query = query.where(col(Hold.kind).in_(mark.kinds))
    holds = session.exec(query).all()
    people.read({hold.person_id for hold in holds}, {hold.loan_id for hold in holds if hold.loan_id is not None})

    def record(hold: Hold) -> Record:
        there = people.place(hold.person_id)
        on = hold.review_on if mark.what == "review" else there.day(hold.starts_at)
        return Record(
            mark.what, hold.kind, on, f"hold:{hold.id}", form=hold.form, owner=hold.owner, person=hold.person_id,
            done_on=there.day(hold.ends_at) if hold.ends_at is not None and hold.ends_at <= now else None, loan=hold.loan_id,
        )  # fmt: skip

    return [record(hold) for hold in holds]


def _statements(session: Session, mark: Mark, people: People, *, unseen_by: str) -> list[Record]:
    # What was said is never changed: what is done stays done.
    done = select(Duty.subject).where(col(Duty.rule) == unseen_by, col(Duty.status) == "done")
    return list(_said(session, col(Consent.kind).in_(mark.kinds), people, but=frozenset(session.exec(done))))


def _said(
    session: Session, wanted: ColumnElement[bool], people: People, *, but: frozenset[str] = frozenset()
) -> Iterator[Record]:
    rows = session.exec(select(Consent).where(wanted).order_by(col(Consent.id)))
    said = [row for row in rows if f"consent:{row.id}" not in but]
    people.read({row.person_id for row in said}, ())
    for row in said:
        there = people.place(row.person_id)
        said_on, written_on = there.day(row.received_at), there.day(row.recorded_at)
        yield Record("statement", row.kind, said_on, f"consent:{row.id}", done_on=written_on, person=row.person_id)


def _counts(mark: Mark, *, or_in_doubt: bool) -> ColumnElement[bool]:
    outcome = col(Contact.outcome).in_(mark.outcomes)
    return and_(
        col(Contact.direction) == "out",
        col(Contact.channel).in_(mark.kinds),
        col(Contact.status).in_(_MADE),
        or_(outcome, col(Contact.status) == "unknown") if or_in_doubt else outcome,
        ~col(Contact.misdirected),
    )


def _contacts(session: Session, wanted: ColumnElement[bool], people: People) -> list[Record]:
    contacts = session.exec(select(Contact).where(wanted).order_by(col(Contact.at), col(Contact.id))).all()
    people.read({contact.person_id for contact in contacts}, {contact.loan_id for contact in contacts})

    def record(contact: Contact) -> Record:
        day = people.place(contact.person_id).day(contact.at)
        return Record(
            "contact", contact.channel, day, f"contact:{contact.id}", contact.outcome, done_on=day,
            person=contact.person_id, loan=contact.loan_id,
        )  # fmt: skip

    return [record(contact) for contact in contacts]


def _first_contacts(session: Session, mark: Mark, people: People) -> list[Record]:
    """The first that the borrower heard about each loan; where it is in doubt whether they did, they did."""
    query = (
        select(ContactLoan.loan_id, Contact.person_id, func.min(Contact.at))
        .join(Contact, col(Contact.id) == col(ContactLoan.contact_id))
        .join(Loan, col(Loan.id) == col(ContactLoan.loan_id))
        .where(col(Loan.borrower_id) == col(Contact.person_id), _counts(mark, or_in_doubt=True))
        .group_by(col(ContactLoan.loan_id), col(Contact.person_id))
    )
    rows = session.exec(query).all()
    people.read({person for _, person, _ in rows}, {loan for loan, _, _ in rows})
    # One of the channels and outcomes that count; which one makes no difference.
    kind, outcome = min(mark.kinds), min(mark.outcomes)
    return [
        Record("contact", kind, people.place(person).day(at), f"loan:{loan}", outcome, person=person, loan=loan)
        for loan, person, at in rows
    ]


def _notices(session: Session, wanted: ColumnElement[bool], people: People) -> list[Record]:
    query = select(Notice).where(wanted, col(Notice.voided_at).is_(None)).order_by(col(Notice.id))
    notices = session.exec(query).all()
    people.read({notice.person_id for notice in notices}, {notice.loan_id for notice in notices})
    return [
        Record(
            "notice", notice.kind, notice.effective_on, f"notice:{notice.id}", done_on=notice.sent_on,
            person=notice.person_id, loan=notice.loan_id,
        )
        for notice in notices
    ]  # fmt: skip


def _limitation(session: Session, people: People, until_on: date) -> list[Record]:
    query = select(col(Loan.id), col(Loan.borrower_id), col(Loan.limitation_on)).where(
        col(Loan.limitation_on) <= until_on
    )
    rows = [(loan, person, last) for loan, person, last in session.exec(query) if loan is not None and last is not None]
    people.read({person for _, person, _ in rows}, {loan for loan, _, _ in rows})
    return [Record("limitation", "", last, f"loan:{loan}", person=person, loan=loan) for loan, person, last in rows]


def _agencies(session: Session, rule: str, people: People) -> list[Record]:
    """Each agency per country in which it works: since its first contact for us, or since it was last looked at."""
    done: dict[str, datetime] = {}
    reviewed = select(Duty.subject, Duty.closed_at).where(col(Duty.rule) == rule, col(Duty.status) == "done")
    for subject, closed_at in session.exec(reviewed):
        if closed_at is not None:
            done[subject] = max(closed_at, done.get(subject, closed_at))
    query = (
        select(Contact.by, func.min(Contact.person_id), func.min(Contact.at), func.max(Contact.at))
        .join(Person, col(Person.id) == col(Contact.person_id))
        .where(col(Contact.by) != _OURSELVES, col(Contact.status).in_(_MADE))
        .group_by(col(Contact.by), col(Person.country))
    )
    rows = session.exec(query).all()
    people.read({person for _, person, _, _ in rows}, ())
    found = []
    for agency, person, first, last in rows:
        subject = f"agency:{agency}"
        since = done.get(subject)
        # Who has not worked for us since the last time needs no look.
        if since is None or last > since:
            day = people.place(person).day(since or first)
            found.append(Record("agency", "", day, subject, person=person))
    return found
