"""Work queues for people: what is waiting, who takes the next one, and what came of it."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, or_, select

from compliance import PackDates
from engine.errors import DataError, Problem, unknown_name
from engine.strategy import PromisePolicy
from store.db import Database
from store.outbox import ROW, TASK_CHANNELS, bump_versions, lock_versions, move, note
from store.tables import Contact, Loan
from workflows.aftermath import add_event, concerned
from workflows.door import Door
from workflows.leaving import Looked, look_again, verdict_detail
from workflows.outcomes import LATE_NEWS, OUTCOMES, Outcome, Promised, add_promise, follow, refuse_promise

__all__ = ["Handed", "Promised", "call_off", "record_outcome", "take_next", "waiting"]

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
        handed = _hand(door, looked, agent, now)
        if handed is not None:
            return handed
    return None


def _pick(database: Database, queue: str, agent: str, now: datetime) -> str | None:
    mine = f"agent:{agent}"
    # Not two agents for one person at a time, nor an agent while a message is leaving.
    elsewhere = or_(
        col(Contact.status).in_(("claimed", "sending")),
        (col(Contact.status) == "sent") & col(Contact.claimed_by).like("agent:%") & (col(Contact.claimed_by) != mine),
    )
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


def record_outcome(
    database: Database,
    contact_id: str,
    outcome: str,
    *,
    agent: str,
    now: datetime,
    on: date,
    policy: PromisePolicy,
    dates: PackDates,
    promised: Promised | None = None,
    notice: str | None = None,
) -> None:
    """
    Close a task with what came of it, and do what follows from that; all of it or nothing.

    Args:
        now: when it happened.
        on: that day at the borrower's place.
        policy: what the loan's strategy accepts as a promise.
        dates: say from when a notice is in force.
        notice: the duty that the task's rule gives evidence for, if any.
    Raises:
        DataError: no such task, it is closed already or in somebody else's hands, an unknown outcome, a promise
            that the policy does not allow.
    """
    with database.write() as session:
        contact = session.get(Contact, contact_id)
        if contact is None or contact.channel not in TASK_CHANNELS:
            raise DataError(no_task(contact_id))
        people = concerned(session, contact)
        lock_versions(session, people)
        session.refresh(contact, with_for_update=ROW)
        meaning = _meaning(contact, outcome, agent)
        if (meaning.effect == "promise") != (promised is not None):
            what = "a promise needs its amount and day" if promised is None else f"`{outcome}` takes no amount and day"
            raise DataError(Problem(what, "write `--outcome promise --amount 500 --due 2026-03-09`"))
        if promised is not None:
            refuse_promise(promised, policy, on)
            add_promise(session, contact, promised, on=on, now=now)
        _close(session, contact, outcome, meaning, agent, now)
        if meaning.effect != "give_back":
            follow(session, contact, meaning.effect, agent=agent, notice=notice, dates=dates, on=on, now=now)
            _tell(session, contact, outcome, meaning, now)
        bump_versions(session, people)


def no_task(contact_id: str) -> Problem:
    """What is said of a task that is not there."""
    return Problem(f"no task `{contact_id}`", "`duecourse tasks list` shows what is waiting")


def _meaning(contact: Contact, outcome: str, agent: str) -> Outcome:
    known = OUTCOMES[contact.channel]
    if outcome not in known:
        mend = f"use one of {', '.join(known)}"
        raise DataError(unknown_name(f"{contact.channel} outcome", outcome, known, at=None, otherwise=mend))
    meaning = known[outcome]
    late = (contact.outcome, outcome) in LATE_NEWS
    if contact.status not in ("sent", "unknown") and not late:
        said = f": {contact.outcome}" if contact.outcome else ""
        what = f"task `{contact.id}` is {contact.status} already{said}"
        raise DataError(Problem(what, "an outcome is reported once; look at `duecourse loan` for what was said"))
    if contact.status == "unknown" and meaning.status not in ("delivered", "failed"):
        what = f"task `{contact.id}` was called off while somebody had it in hand"
        raise DataError(Problem(what, "say what came of it, if it was tried"))
    if contact.claimed_by is not None and contact.claimed_by != f"agent:{agent}":
        what = f"task `{contact.id}` is in the hands of {contact.claimed_by.removeprefix('agent:')}"
        raise DataError(Problem(what, "let them report, or give it back with `--outcome not_tried`"))
    return meaning


def _close(session: Session, contact: Contact, outcome: str, meaning: Outcome, agent: str, now: datetime) -> None:
    detail = {"outcome": outcome}
    if meaning.effect == "give_back":
        contact.claimed_by = contact.claimed_until_at = None
        contact.attempts = 0
        session.add(contact)
        note(session, contact, at=now, why=f"given back by {agent}", detail=detail)
        return
    if contact.status == meaning.status or not move(
        session, contact, meaning.status, at=now, why=f"{agent}: {outcome}", detail=detail
    ):
        # Late news of a letter: what is over stays over, and what is known of it grows.
        note(session, contact, at=now, why=f"{agent}: {outcome}", detail=detail)
    else:
        contact.at = now
    contact.outcome = meaning.logged
    contact.claimed_by = contact.claimed_until_at = None
    session.add(contact)


def _tell(session: Session, contact: Contact, outcome: str, meaning: Outcome, now: datetime) -> None:
    kind = {"promise": "promise_made", "dispute": "dispute"}.get(meaning.effect or "", "call_outcome")
    if contact.channel == "letter" and meaning.effect == "bad_endpoint":
        kind = "delivery_failed"
    detail = {"channel": contact.channel, "outcome": outcome}
    add_event(session, contact, kind, now, source="tasks", key=f"{contact.id}:{outcome}", detail=detail)
