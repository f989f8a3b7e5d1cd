"""Work queues for people: what is waiting, who takes the next one, and what is called off."""

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, and_, case
from sqlmodel import Session, col, func, or_, select

from engine.errors import DataError, Problem
from store.db import Database
from store.outbox import ROW, bump_versions, in_other_hands, is_task, lock_versions, move, note, tasks
from store.tables import Contact, Endpoint, Loan, Visit
from workflows.alerts import alert_unknown, unknowns
from workflows.call_backs import may_take
from workflows.desk.reporting import in_hands, no_task
from workflows.sending.door import NOT_ALLOWED, Door, reach
from workflows.sending.look_log import LookLog, kept_looks
from workflows.sending.looking import Looked, look_again

log = logging.getLogger(__name__)

_CALL_OFF_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class Handed:
    """A task in an agent's hands, with its script filled in."""

    contact: Contact
    text: str


def waiting(session: Session, *, queue: str | None, now: datetime) -> list[Contact]:
    """Tasks that wait in a queue, or in all of them, and may be worked by now; in the order in which they are taken."""
    query = select(Contact).where(_may_be_worked(now))
    if queue is not None:
        query = query.where(_waits_in(queue))
    return list(session.exec(query.order_by(*_first_things_first())))


def _may_be_worked(now: datetime) -> ColumnElement[bool]:
    return and_(
        col(Contact.status) == "sent",
        tasks(),
        col(Contact.not_before_at) <= now,
        col(Contact.expires_at) > now,
    )


def _waits_in(queue: str) -> ColumnElement[bool]:
    """A task waits in the queue its rule names, else in that of its channel."""
    return func.coalesce(Contact.queue, Contact.channel) == queue


def _first_things_first() -> tuple[Any, ...]:
    """Call-backs that were promised, then as the queue ranks, then whoever has waited longest."""
    promised = case((col(Contact.kept_for).is_not(None), 0), else_=1)
    return promised, func.coalesce(Contact.rank, ""), col(Contact.at), col(Contact.id)


def take_next(door: Door, *, queue: str, agent: str, now: datetime, together: Sequence[str] = ()) -> Handed | None:
    """
    Hand an agent the next task of a queue: the one still in their hands, or the first that may be worked now.

    Each is looked at again first, and the gate asked: one that may not be worked any more is called off, one that
    may be worked later goes back. It is the agent's until its outcome is reported: nobody else could know whether
    the person was called.

    Args:
        together: who goes along, on a visit.
    Returns:
        None when nothing is waiting.
    Raises:
        SettingsError: nobody may be reached now.
        DataError: it is a visit, and too few go.
    """
    wanted = _waits_in(queue)
    while (contact_id := _pick(door, wanted, agent, now)) is not None:
        handed = _look_and_hand(door, contact_id, agent, now, together)
        if handed is not None:
            return handed
    return None


def start_task(door: Door, contact_id: str, *, agent: str, now: datetime, together: Sequence[str] = ()) -> Handed:
    """
    The same for one task that the agent names: one of their own, which is looked at again, or one that is free.

    Raises:
        SettingsError: nobody may be reached now.
        DataError: no such task, it is not theirs to take, it may not be worked now, or they have another in hand.
    """
    _refuse_second(door.database, contact_id, agent)
    if _pick(door, col(Contact.id) == contact_id, agent, now) is None:
        raise DataError(_why_not(door.database, contact_id, agent, now))
    handed = _look_and_hand(door, contact_id, agent, now, together)
    if handed is None:
        raise DataError(_why_not(door.database, contact_id, agent, now))
    return handed


def _refuse_second(database: Database, contact_id: str, agent: str) -> None:
    with database.session() as session:
        begun = select(Contact.id).where(
            col(Contact.claimed_by) == f"agent:{agent}",
            col(Contact.status) == "sent",
            col(Contact.attempts) > 0,
            col(Contact.id) != contact_id,
        )
        if (other := session.exec(begun).first()) is not None:
            what = f"{agent} has `{other}` in hand"
            raise DataError(Problem(what, "report what came of it first, or give it back with `--outcome not_tried`"))


def _look_and_hand(door: Door, contact_id: str, agent: str, now: datetime, together: Sequence[str]) -> Handed | None:
    visitors = 1 + len(set(together) - {agent})
    (looked,) = look_again(door, [contact_id], now, visitors=visitors)
    if looked.contact.channel == "visit" and looked.look.answer == "cancel":
        (planned,) = look_again(door, [contact_id], now)
        if planned.look.answer != "cancel":
            # It may be made, but not by so few: no reason to call it off.
            _put_back(door.database, contact_id, agent)
            raise DataError(Problem(f"visit `{contact_id}`: {looked.look.why}", "say who goes along: `--with NAME`"))
    alert_unknown(unknowns([looked.look.verdict]), contact=contact_id)
    return _hand(door, looked, agent, now, together)


def _pick(door: Door, wanted: ColumnElement[bool], agent: str, now: datetime) -> str | None:
    mine, elsewhere = f"agent:{agent}", in_other_hands(agent)
    query = (
        select(Contact)
        .where(
            _may_be_worked(now),
            wanted,
            or_(col(Contact.claimed_by).is_(None), col(Contact.claimed_by) == mine),
            or_(col(Contact.claimed_by) == mine, may_take(agent, now)),
            col(Contact.person_id).not_in(select(Contact.person_id).where(elsewhere)),
        )
        .order_by(col(Contact.claimed_by).is_(None), *_first_things_first())
        .limit(1)
    )
    with door.database.write() as session:
        reach(door, session)
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


def _put_back(database: Database, contact_id: str, agent: str) -> None:
    with database.write() as session:
        contact = session.get_one(Contact, contact_id, with_for_update=ROW)
        if contact.claimed_by == f"agent:{agent}" and not contact.attempts and session.get(Visit, contact_id) is None:
            contact.claimed_by = contact.claimed_until_at = None
            session.add(contact)


def _why_not(database: Database, contact_id: str, agent: str, now: datetime) -> Problem:
    with database.session() as session:
        contact = session.get(Contact, contact_id)
        if contact is None or not is_task(contact):
            return no_task(contact_id)
        if contact.status != "sent":
            why = f": {contact.why}" if contact.status in ("cancelled", "unknown") else ""
            return Problem(f"task `{contact_id}` is {contact.status}{why}", "take the next one")
        if contact.claimed_by not in (None, f"agent:{agent}"):
            return in_hands(contact)
        if contact.not_before_at > now:
            what = f"task `{contact_id}` may not be worked before {contact.not_before_at:%Y-%m-%d %H:%M}Z"
            return Problem(what, "take it then, or take the next one")
        return Problem(f"task `{contact_id}` cannot be taken at this moment", "somebody else has that person in hand")


def _hand(door: Door, looked: Looked, agent: str, now: datetime, together: Sequence[str]) -> Handed | None:
    look = looked.look
    with door.database.write() as session, kept_looks(session, door, now) as kept:
        reached = reach(door, session)
        current = lock_versions(session, looked.seen)
        contact = session.get_one(Contact, looked.contact.id, with_for_update=ROW)
        if contact.status != "sent" or contact.claimed_by != f"agent:{agent}":
            return None
        if any(current.get(person) != version for person, version in looked.seen.items()):
            return None
        seen_before = contact.attempts > 0
        endpoint = session.get(Endpoint, contact.endpoint_id) if contact.endpoint_id is not None else None
        if look.answer == "go" and not reached.covers(endpoint.value if endpoint is not None else None):
            _call_off(session, kept, contact, looked, NOT_ALLOWED, now)
            return None
        if look.answer == "go":
            try:
                text = door.brief(session, contact, look)
            except DataError as error:
                _call_off(session, kept, contact, looked, error.problems[0].what, now)
                return None
            if not seen_before:
                contact.attempts = 1
                company = f" with {', '.join(together)}" if together else ""
                note(session, contact, at=now, why=f"taken by {agent}{company}", detail=kept.detail(looked))
            session.add(contact)
            session.flush()
            session.expunge(contact)
            return Handed(contact, text)
        if look.answer == "delay" and look.until is not None and not seen_before:
            contact.not_before_at = contact.at = look.until
            contact.claimed_by = contact.claimed_until_at = None
            session.add(contact)
            note(session, contact, at=now, why=f"back in its queue: {look.why}", detail=kept.detail(looked))
            return None
        _call_off(session, kept, contact, looked, look.why, now)
        return None


def _call_off(session: Session, kept: LookLog, contact: Contact, looked: Looked, why: str, now: datetime) -> None:
    # An agent who has seen it may have made the call: that is in doubt until they say.
    word = "unknown" if contact.attempts else "cancelled"
    outcome = "unknown" if contact.attempts else ""
    move(session, contact, word, at=now, why=why, detail=kept.detail(looked), outcome=outcome)
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
        select(Contact.id).where(col(Contact.status) == "sent", tasks()).where(_unseen(), col(Contact.expires_at) > now)
    )
    if borrowers is not None:
        loans = select(Loan.id).where(col(Loan.borrower_id).in_(borrowers))
        waits = waits.where(col(Contact.loan_id).in_(loans))
    with door.database.session() as session:
        ids = session.exec(waits.order_by(col(Contact.id))).all()
    count = 0
    for start in range(0, len(ids), _CALL_OFF_AT_ONCE):
        looked = [one for one in look_again(door, ids[start : start + _CALL_OFF_AT_ONCE], now) if _is_off(one, now)]
        with door.database.write() as session, kept_looks(session, door, now) as kept:
            current = lock_versions(session, {person for one in looked for person in one.seen})
            for one in looked:
                contact = session.get_one(Contact, one.contact.id, with_for_update=ROW)
                free = contact.status == "sent" and (contact.claimed_by is None or not contact.attempts)
                if free and all(current.get(person) == version for person, version in one.seen.items()):
                    if contact.claimed_by is not None:
                        extra = {"action": "alert", "contact": contact.id, "visit": contact.claimed_by}
                        log.warning("a visit on somebody's route is called off; tell the team", extra=extra)
                    _call_off(session, kept, contact, one, one.look.why, now)
                    count += 1
    return count


def _unseen() -> ColumnElement[bool]:
    """Nobody has it in hand; a visit that stands on somebody's route and has not begun is in nobody's either."""
    planned = and_(col(Contact.channel) == "visit", col(Contact.attempts) == 0)
    return or_(col(Contact.claimed_by).is_(None), planned)


def _is_off(looked: Looked, now: datetime) -> bool:
    if looked.look.answer != "cancel":
        return False
    # Of a task for later the gate has its say then: what forbids it today, a limit for instance, may be over.
    return looked.look.verdict is None or looked.contact.not_before_at <= now
