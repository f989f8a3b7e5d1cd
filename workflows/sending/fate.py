"""
What became of a message that has left: told by a provider's callback, a mail server's report, or its own records.

Whoever tells, and in whatever order: `delivered` and `failed` are final and the first of them stands, what follows from
a fate follows once, and what says nothing new changes nothing.
"""

import json
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from channels.message import Meaning, Receipt
from channels.reports import DELIVERIES, Delivery
from compliance import PackDates
from engine.errors import DataError, Problem
from store.fact_sql.clock import day_at
from store.outbox import lane_of, lock_versions, move
from store.tables import Contact, ContactStatus, Loan, Notice, Person
from workflows.brake import brake_channel
from workflows.sending.aftermath import concerned, record_failure, serve_notice, void_notices

log = logging.getLogger(__name__)

_NEVER_LEFT: Final = ("planned", "claimed", "cancelled", "expired")
NOTHING_NEW: Final = "nothing new"


class NotYet(Exception):  # noqa: N818 - it is no error: the news is early
    """Dispatch has not written down yet that it handed the message over; the news comes again."""


@dataclass(frozen=True, slots=True)
class Fate:
    """
    What somebody says became of a message or call.

    Attributes:
        provider, ref: who carries it, and their id of it; empty: not said.
        code, meaning: of a failure, as in `channels.message.Receipt`.
        outcome: how the contact log calls it, where that is more than the status.
        why: a sentence for the contact's history, without personal data.
        by_hand: a person says so, of a message that nobody else could be asked about.
    """

    status: Delivery
    provider: str
    ref: str = ""
    code: str = ""
    meaning: Meaning = "ok"
    outcome: str = ""
    why: str = ""
    by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What a message that went out may be evidence of.

    Attributes:
        notice_of: the duty that a contact's rule gives evidence for, if any.
        dates: say from when a notice is in force.
    """

    notice_of: Callable[[Contact], str | None]
    dates: PackDates


def learn(session: Session, contact_id: str, fate: Fate, evidence: Evidence, told: set[int], *, now: datetime) -> str:
    """
    Write down what became of a contact, with everything that follows, in the caller's transaction.

    The caller has locked everybody concerned and the contact before it was read, and bumps the versions of those told.
    Whatever is raised here is raised before anything is changed.

    Args:
        told: gets everybody whom this concerns, where it changed anything.
    Returns:
        what it came to, in a few words.
    Raises:
        NotYet: the contact is just being handed over.
        DataError: there is no such contact, or it never left, or not by this provider, or a person has settled that it was
            not sent: somebody has to look.
    """
    contact = session.get(Contact, contact_id)
    if contact is None:
        what = f"it is about contact `{contact_id}`, and there is none"
        raise DataError(Problem(what, "see whether another system uses the same provider account"))
    if contact.status == "sending":
        raise NotYet
    if _is_of_earlier_try(session, contact, fate):
        return "about an earlier try, which was sure not to have left"
    _refuse_strange(contact, fate)
    _refuse_contradiction(session, contact, fate)
    if fate.ref and contact.provider_ref is None:
        contact.provider, contact.provider_ref = fate.provider, fate.ref
        session.add(contact)
    came = _move(session, contact, fate, evidence, now)
    if came in DELIVERIES:
        told |= concerned(session, contact)
    return came


def lock_contacts(session: Session, ids: Collection[str]) -> list[Contact | Loan]:
    """
    Contacts with everybody they concern, locked in the order in which everybody locks, and their loans; keep them until it
    is over, so that none of them is read again one by one.

    What is read here is still true when it is written.
    """
    wanted = select(Contact.person_id, Loan.borrower_id).join(Loan, col(Loan.id) == col(Contact.loan_id))
    people = session.exec(wanted.where(col(Contact.id).in_(ids)))
    lock_versions(session, {person for row in people for person in row})
    rows = select(Contact).where(col(Contact.id).in_(ids)).order_by(col(Contact.id))
    contacts = session.exec(rows.with_for_update(key_share=True)).all()
    loans = session.exec(select(Loan).where(col(Loan.id).in_({contact.loan_id for contact in contacts}))).all()
    return [*contacts, *loans]


def _refuse_strange(contact: Contact, fate: Fate) -> None:
    mend = "compare the provider's own log with `duecourse loan`"
    if contact.direction != "out" or contact.status in _NEVER_LEFT:
        what = f"it says that contact `{contact.id}` is {fate.status}, and that never left: it is {contact.status}"
        raise DataError(Problem(what, mend))
    if contact.queue is not None or contact.provider not in (None, fate.provider):
        whose = f"with {contact.provider}" if contact.queue is None else "a task for people"
        raise DataError(Problem(f"{fate.provider} speaks of contact `{contact.id}`, which is {whose}", mend))
    if fate.ref and contact.provider_ref not in (None, fate.ref):
        raise DataError(Problem(f"it names another message than the one of contact `{contact.id}`", mend))


def _refuse_contradiction(session: Session, contact: Contact, fate: Fate) -> None:
    """What a person settled is final; who says otherwise is heard by a person."""
    if contact.status == "failed" and fate.status != "failed" and _by_hand(session, contact):
        what = (
            f"{fate.provider} says that contact `{contact.id}` was {fate.status}, and somebody settled it as not sent"
        )
        raise DataError(Problem(what, "it counts towards no limit: see who was contacted, and tell whoever settled it"))


def _by_hand(session: Session, contact: Contact) -> bool:
    """Whether the status that it has is a person's word."""
    said = session.exec(
        select(ContactStatus.detail_json).where(
            col(ContactStatus.contact_id) == contact.id, col(ContactStatus.status) == contact.status
        )
    )
    return any(json.loads(detail).get("by_hand") for detail in said)


def _is_of_earlier_try(session: Session, contact: Contact, fate: Fate) -> bool:
    """A try that was surely not sent, and came again, leaves the provider's id of it in the contact's history."""
    left = contact.status not in _NEVER_LEFT
    if not fate.ref or fate.status == "delivered" or (left and fate.ref == contact.provider_ref):
        return False
    said = session.exec(select(ContactStatus.detail_json).where(col(ContactStatus.contact_id) == contact.id))
    return any(json.loads(detail).get("ref") == fate.ref for detail in said)


def _move(session: Session, contact: Contact, fate: Fate, evidence: Evidence, now: datetime) -> str:
    before = contact.status
    if before == "delivered" and fate.status == "failed":
        return "it is delivered already, and that is final"
    if before == "failed" and fate.status == "delivered":
        return "it has failed already, and that is final"
    if before == "sent" and fate.status == "failed" and _by_hand(session, contact):
        extra = {"action": "alert", "contact": contact.id, "status": "failed", "code": fate.code}
        log.warning("a message that somebody settled as sent has failed", extra=extra)
    detail: dict[str, object] = {"provider": fate.provider, "code": fate.code, "meaning": fate.meaning}
    if fate.by_hand:
        detail["by_hand"] = True
    why = fate.why or f"{fate.provider} says {fate.status}"
    if not move(session, contact, fate.status, at=now, why=why, detail=detail, outcome=fate.outcome or fate.status):
        return NOTHING_NEW
    if fate.status == "failed":
        contact.error = fate.code or None
        void_notices(session, contact, now)
        _fail(session, contact, fate, now)
    else:
        _serve(session, contact, evidence, now)
    session.add(contact)
    return fate.status


def _serve(session: Session, contact: Contact, evidence: Evidence, now: datetime) -> None:
    """What went out after all, and gives notice, gives it from the day on which it left."""
    kind = evidence.notice_of(contact)
    if kind is None or session.exec(select(Notice.id).where(col(Notice.contact_id) == contact.id)).first() is not None:
        return
    borrower = session.get_one(Person, session.get_one(Loan, contact.loan_id).borrower_id)
    serve_notice(session, contact, kind, evidence.dates, on=day_at(borrower.zones.split(), contact.at), now=now)


def _fail(session: Session, contact: Contact, fate: Fate, now: datetime) -> None:
    receipt = Receipt("failed", fate.provider, fate.ref, fate.code, fate.meaning, fate.why)
    record_failure(session, contact, receipt, now)
    if fate.meaning == "misconfigured":
        brake_channel(session, lane_of(contact), f"{fate.provider} refused our settings ({fate.code or 'no code'})")
    if fate.meaning in ("blocked", "misconfigured") or (fate.meaning == "unclear" and not fate.by_hand):
        extra = {"action": "alert", "contact": contact.id, "status": "failed", "code": fate.code}
        log.warning("a message needs somebody to look", extra=extra)
