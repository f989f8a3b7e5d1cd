"""Work queues for people: what is waiting, who takes the next one, and what is called off."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, or_, select

from engine.errors import DataError
from store.db import Database
from store.outbox import ROW, TASK_CHANNELS, bump_versions, in_other_hands, lock_versions, move, note
from store.tables import Contact, Loan
from workflows.alerts import alert_unknown, unknowns
from workflows.door import Door
from workflows.leaving import Looked, look_again, verdict_detail

_CALL_OFF_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Handed:
    """A task in an agent's hands, with its script filled in."""

    contact: Contact
    text: str


def waiting(session: Session, *, queue: str | None, now: datetime) -> list[Contact]:
    """Tasks that wait in a queue, or in all of them, and may be worked by now; oldest hand-over first."""
    query = select(Contact).where(
        col(Contact.status) == "sent",
        col(Contact.channel).in_(TASK_CHANNELS),
        col(Contact.not_before_at) <= now,
        col(Contact.expires_at) > now,
    )
    if queue is not None:
        query = query.where(_waits_in(queue))
    return list(session.exec(query.order_by(col(Contact.at), col(Contact.id))))


def _waits_in(queue: str) -> ColumnElement[bool]:
    """A task waits in the queue its rule names, else in that of its channel."""
    return func.coalesce(Contact.queue, Contact.channel) == queue


def take_next(door: Door, *, queue: str, agent: str, now: datetime) -> Handed | None:
    """
    Hand an agent the next task of a queue: the one still in their hands, or the oldest that may be worked now.

    Each is looked at again first, and the gate asked: one that may not be worked any more is called off, one that
    may be worked later goes back. It is the agent's until its outcome is reported: nobody else could know whether
    the person was called.

    Returns:
        None when nothing is waiting.
    """
    while (contact_id := _pick(door.database, queue, agent, now)) is not None:
        (looked,) = look_again(door, [contact_id], now)
        alert_unknown(unknowns([looked.look.verdict]), contact=contact_id)
        handed = _hand(door, looked, agent, now)
        if handed is not None:
            return handed
    return None


def _pick(database: Database, queue: str, agent: str, now: datetime) -> str | None:
    mine, elsewhere = f"agent:{agent}", in_other_hands(agent)
    query = (
        select(Contact)
        .where(
            col(Contact.status) == "sent",
            col(Contact.channel).in_(TASK_CHANNELS),
            _waits_in(queue),
            col(Contact.not_before_at) <= now,
            col(Contact.expires_at) > now,
            or_(col(Contact.claimed_by).is_(None), col(Contact.claimed_by) == mine),
            col(Contact.person_id).not_in(select(Contact.person_id).where(elsewhere)),
        )
        .order_by(col(Contact.claimed_by).is_(None), col(Contact.at), col(Contact.id))
        .limit(1)
    )
    with database.write() as session:
        while (contact := session.exec(query).first()) is not None:
            lock_versions(session, [contact.person_id])
            session.refresh(contact, with_for_update=ROW)
            held = select(Contact.id).where(col(Contact.person_id) == contact.person_id, elsewhere)
            if contact.status != "sent" or contact.claimed_by not in (None, mine) or session.exec(held).first():
                continue  # somebody was faster; the query does not find it again
            contact.claimed_by, contact.claimed_until_at = mine, contact.expires_at
            session.add(contact)
            return contact.id
    return None


def _hand(door: Door, looked: Looked, agent: str, now: datetime) -> Handed | None:
    look = looked.look
    with door.database.write() as session:
        current = lock_versions(session, looked.seen)
        contact = session.get_one(Contact, looked.contact.id, with_for_update=ROW)
        if contact.status != "sent" or contact.claimed_by != f"agent:{agent}":
            return None
        if any(current.get(person) != version for person, version in looked.seen.items()):
            return None
        seen_before = contact.attempts > 0
        detail = verdict_detail(look.verdict)
        if look.answer == "go":
            try:
                text = door.brief(session, contact, look)
            except DataError as error:
                _call_off(session, contact, looked, error.problems[0].what, now)
                return None
            if not seen_before:
                contact.attempts = 1
                note(session, contact, at=now, why=f"taken by {agent}", detail=detail)
            session.add(contact)
            session.flush()
            session.expunge(contact)
            return Handed(contact, text)
        if look.answer == "delay" and look.until is not None and not seen_before:
            contact.not_before_at = contact.at = look.until
            contact.claimed_by = contact.claimed_until_at = None
            session.add(contact)
            note(session, contact, at=now, why=f"back in its queue: {look.why}", detail=detail)
            return None
        _call_off(session, contact, looked, look.why, now)
        return None


def _call_off(session: Session, contact: Contact, looked: Looked, why: str, now: datetime) -> None:
    # An agent who has seen it may have made the call: that is in doubt until they say.
    word = "unknown" if contact.attempts else "cancelled"
    move(session, contact, word, at=now, why=why, detail=verdict_detail(looked.look.verdict))
    contact.outcome = "unknown" if contact.attempts else ""
    bump_versions(session, looked.seen.keys())


def call_off(door: Door, *, now: datetime, borrowers: Collection[int] | None = None) -> int:
    """
    Look again at the tasks that wait in queues, and call off those that nothing asks for any more.

    Args:
        borrowers: only tasks about their loans; None: all.
    Returns:
        how many were called off.
    """
    waits = (
        select(Contact.id)
        .where(col(Contact.status) == "sent", col(Contact.channel).in_(TASK_CHANNELS))
        .where(col(Contact.claimed_by).is_(None), col(Contact.expires_at) > now)
    )
    if borrowers is not None:
        loans = select(Loan.id).where(col(Loan.borrower_id).in_(borrowers))
        waits = waits.where(col(Contact.loan_id).in_(loans))
    with door.database.session() as session:
        ids = session.exec(waits.order_by(col(Contact.id))).all()
    count = 0
    for start in range(0, len(ids), _CALL_OFF_AT_ONCE):
        looked = [
            one for one in look_again(door, ids[start : start + _CALL_OFF_AT_ONCE], now) if one.look.answer == "cancel"
        ]
        with door.database.write() as session:
            current = lock_versions(session, {person for one in looked for person in one.seen})
            for one in looked:
                contact = session.get_one(Contact, one.contact.id, with_for_update=ROW)
                free = contact.status == "sent" and contact.claimed_by is None
                if free and all(current.get(person) == version for person, version in one.seen.items()):
                    _call_off(session, contact, one, one.look.why, now)
                    count += 1
    return count
