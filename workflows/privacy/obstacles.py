"""What stands against erasing somebody: whatever still runs, is open, or waits for somebody to look at it."""

import json
from collections.abc import Iterator
from datetime import date, datetime

from sqlmodel import Session, col, or_, select

from compliance import PackDates
from engine.errors import Problem
from store.outbox import is_task
from store.tables import Arrival, Contact, Duty, Endpoint, Event, Hold, MessageText, Promise
from workflows.privacy.clocks import clocks
from workflows.privacy.spent import UNFINISHED
from workflows.privacy.subject import Subject


def obstacles(
    session: Session, subject: Subject, dates: PackDates, *, now: datetime, today: date
) -> tuple[Problem, ...]:
    """Why this person cannot be erased now, with what ends each; empty: nothing stands against it."""
    return (
        *_loans(subject),
        *_clocks(session, subject, dates, now, today),
        *_promises(session, subject),
        *_contacts(session, subject),
        *open_matters(session, subject, now=now),
    )


def open_matters(session: Session, subject: Subject, *, now: datetime) -> tuple[Problem, ...]:
    """
    What stands against erasing a kind of record of somebody who stays: a matter of theirs that is open.

    A promise and a contact that is not over keep their own words, and no others.
    """
    return (*_holds(session, subject, now), *_duties(session, subject), *_waiting(session, subject))


def _loans(subject: Subject) -> Iterator[Problem]:
    for loan, roles in subject.loans:
        if loan.stage != "closed":
            what = f"loan `{loan.ref}` is open ({loan.stage}), and they are its {', '.join(roles)}"
            yield Problem(what, "wait until it is closed")


def _clocks(session: Session, subject: Subject, dates: PackDates, now: datetime, today: date) -> Iterator[Problem]:
    closed = {loan.ref for loan, _ in subject.loans if loan.stage == "closed"}
    for clock in clocks(session, subject, dates, now=now, today=today):
        if clock.loan in closed and clock.runs(today):
            what = f"loan `{clock.loan}`: {clock.records} must be kept"
            until = f" until {clock.to}" if clock.to is not None else ""
            yield Problem(f"{what}{until} ({clock.rule}, {clock.citation})", "wait until then")


def _holds(session: Session, subject: Subject, now: datetime) -> Iterator[Problem]:
    about = or_(col(Hold.person_id) == subject.id, col(Hold.loan_id).in_(subject.loan_ids))
    stands = or_(col(Hold.ends_at).is_(None), col(Hold.ends_at) > now)
    for hold in session.exec(select(Hold).where(about, stands).order_by(col(Hold.id))):
        mend = f"{hold.owner} looks at it on {hold.review_on}"
        yield Problem(f"a hold stands: {hold.kind}, number {hold.id}", mend)


def _duties(session: Session, subject: Subject) -> Iterator[Problem]:
    about = or_(col(Duty.person_id) == subject.id, col(Duty.loan_id).in_(subject.loan_ids))
    found = session.exec(select(Duty).where(about, col(Duty.status).in_(("open", "lapsed"))).order_by(col(Duty.id)))
    for duty in found:
        yield Problem(f"duty {duty.id} is not done: {duty.rule}, due on {duty.due_on}", f"{duty.owner} sees to it")


def _promises(session: Session, subject: Subject) -> Iterator[Problem]:
    promises = select(Promise).where(col(Promise.loan_id).in_(subject.loan_ids), col(Promise.status) == "open")
    for promise in session.exec(promises.order_by(col(Promise.id))):
        what = f"a promise for {promise.due_on} is not settled"
        yield Problem(what, "run `duecourse schedule run promises` when its time is over")


def _contacts(session: Session, subject: Subject) -> Iterator[Problem]:
    for start in range(0, len(subject.about), 500):
        some = subject.about[start : start + 500]
        for contact in session.exec(select(Contact).where(col(Contact.id).in_(some)).order_by(col(Contact.id))):
            waits = contact.status == "sent" and is_task(contact) and contact.outcome == ""
            if contact.status in UNFINISHED or waits:
                what = f"contact `{contact.id}` is not over: {contact.channel}, {contact.status}"
                yield Problem(what, "wait for what becomes of it, or call it off")


def _waiting(session: Session, subject: Subject) -> Iterator[Problem]:
    unread = (
        select(MessageText.contact_id)
        .join(Contact, col(Contact.id) == col(MessageText.contact_id))
        .where(col(Contact.person_id) == subject.id, col(Contact.direction) == "in", col(MessageText.read_at).is_(None))
    )
    for reply in session.exec(unread.order_by(col(MessageText.contact_id))):
        yield Problem(f"a message of theirs was not read: `{reply}`", "read it: `duecourse consents replies`")
    about = or_(col(Event.person_id) == subject.id, col(Event.loan_id).in_(subject.own_loans))
    if session.exec(select(Event.id).where(about, col(Event.run_id).is_(None))).first() is not None:
        yield Problem("news about them was not handled", "run `duecourse events`")
    values = set(session.exec(select(Endpoint.value).where(col(Endpoint.person_id) == subject.id)))
    for arrival in session.exec(select(Arrival).where(col(Arrival.private_json).is_not(None))):
        private = json.loads(arrival.private_json or "{}")
        if values.intersection(str(value) for value in private.values()):
            yield Problem(f"something from them waits in the inbox: `A{arrival.id}`", "see `duecourse inbox list`")
