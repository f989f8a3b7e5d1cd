"""
The outbox: contacts on their way out, and every change of their status.

Status moves one way (`DESIGN.md` 8): planned -> claimed -> sending -> sent -> delivered, with failed, unknown,
cancelled and expired as the other ends. A terminal status never moves, whatever order receipts arrive in.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, case, delete, func, or_, text, update
from sqlmodel import Session, col, select

from store.columns import from_us, to_us
from store.db import Database
from store.tables import Contact, ContactStatus, Endpoint, MessageText, Person, Run, Setting

TASK_CHANNELS: Final = ("call", "visit", "letter", "legal")
"""What people do, from a work queue; the other channels leave through an adapter."""

RECORDED_CALL: Final = "recorded_call"
"""The lane of calls that a provider makes and a text speaks in; every other lane is called as its channel."""

NEXT: Final[dict[str, frozenset[str]]] = {
    "planned": frozenset({"claimed", "cancelled", "expired"}),
    "claimed": frozenset({"planned", "sending", "cancelled", "expired"}),
    # Back to planned only where it is certain that nothing was sent.
    "sending": frozenset({"sent", "failed", "unknown", "planned"}),
    "sent": frozenset({"delivered", "failed"}),
    "unknown": frozenset({"sent", "delivered", "failed"}),
    "delivered": frozenset(),
    "failed": frozenset(),
    "cancelled": frozenset(),
    "expired": frozenset(),
}
CONTACT: Final = "contact"
"""In the detail of an entry: the columns of its contact that the log vouches for, as they stood with it."""
MOVING: Final = ("at", "outcome", "misdirected")
"""What of a contact changes with its status, and is counted by."""
FIXED: Final = (
    "run_id", "loan_id", "person_id", "role", "endpoint_id", "channel", "direction", "purpose", "rule", "name", "queue",
    "stage_entry", "slot", "by",
)  # fmt: skip
"""What of a contact never changes, and is counted by; of most contacts the decision says it."""
IMPORTED: Final = "import-"
"""How the ids of contacts begin that were made elsewhere."""
ROW: Final = {"key_share": True}
"""Locks a row against other writers, not against rows that point to it."""
_NEXT_OF_QUEUED: Final = NEXT["sent"] | {"cancelled", "expired", "unknown"}
"""A task that is `sent` has only reached its queue: until somebody works it, it can still be called off."""


_TEXT_ENDS: Final = frozenset({"sent", "failed", "unknown", "cancelled", "expired"})


def is_by_hand(contact: Contact) -> bool:
    """Whether a person asked for it: no rule of a strategy did, and it waits in nobody's queue."""
    return contact.rule is None and contact.queue is None


def is_recorded_call(contact: Contact) -> bool:
    """Whether a provider makes the call: a rule asks for it, and no queue holds it for an agent."""
    return contact.channel == "call" and contact.rule is not None and contact.queue is None


def recorded_calls() -> ColumnElement[bool]:
    """The same, of rows."""
    return (col(Contact.channel) == "call") & col(Contact.rule).is_not(None) & col(Contact.queue).is_(None)


def is_task(contact: Contact) -> bool:
    """Whether people do it."""
    return contact.channel in TASK_CHANNELS and not is_recorded_call(contact)


def tasks() -> ColumnElement[bool]:
    """The same, of rows."""
    return col(Contact.channel).in_(TASK_CHANNELS) & ~recorded_calls()


def lane_of(contact: Contact) -> str:
    """By which lane it leaves: its channel, but for recorded calls."""
    return RECORDED_CALL if is_recorded_call(contact) else contact.channel


def lanes() -> ColumnElement[str]:
    """The same, of rows."""
    return case((recorded_calls(), RECORDED_CALL), else_=col(Contact.channel))


def in_other_hands(agent: str) -> ColumnElement[bool]:
    """
    Contacts that keep this agent from their person: another agent or a dialler has one in hand, or a message is leaving.

    A letter that is being printed keeps nobody, and neither does a visit that stands on a route and has not begun.
    """
    on_route = (col(Contact.channel) == "visit") & (col(Contact.attempts) == 0)
    in_hand = or_(col(Contact.claimed_by).like("agent:%") & ~on_route, col(Contact.claimed_by).like("dialler:%"))
    theirs = in_hand & (col(Contact.claimed_by) != f"agent:{agent}")
    return or_(col(Contact.status).in_(("claimed", "sending")), (col(Contact.status) == "sent") & theirs)


def move(
    session: Session,
    contact: Contact,
    status: str,
    *,
    at: datetime,
    why: str,
    detail: Mapping[str, object] | None = None,
    outcome: str | None = None,
    for_at: datetime | None = None,
) -> bool:
    """
    Move one contact to a status and record the change; False where that status cannot be reached any more.

    Args:
        why: a sentence for people, without personal data.
        detail: anything JSON that explains it (a verdict's reasons, a provider's code).
        outcome, for_at: what came of it, and when it was or will be, where that changes with the status.
    """
    queued = contact.status == "sent" and is_task(contact)
    if status not in (_NEXT_OF_QUEUED if queued else NEXT[contact.status]):
        return False
    contact.status, contact.why = status, why
    if outcome is not None:
        contact.outcome = outcome
    if for_at is not None:
        contact.at = for_at
    session.add(contact)
    if status in _TEXT_ENDS and is_by_hand(contact):
        # Whether it has left or never will: what somebody wrote is kept no longer than it is needed.
        session.execute(delete(MessageText).where(col(MessageText.contact_id) == contact.id))
    note(session, contact, at=at, why=why, detail=detail)
    return True


def note(
    session: Session,
    contact: Contact,
    *,
    at: datetime,
    why: str,
    detail: Mapping[str, object] | None = None,
    made: bool = False,
) -> None:
    """
    Add a line to a contact's history, under the status it has, with what is counted by as it stands now.

    Whoever changes one of `MOVING` does it before this: the log vouches for a contact by its entries alone.

    Args:
        made: it is the first line of a contact that no decision lists; then what never changes is said too.
    """
    said = {**(detail or {}), CONTACT: stands(contact, made=made)}
    line = json.dumps(said, ensure_ascii=False, sort_keys=True)
    session.add(ContactStatus(contact_id=contact.id, status=contact.status, at=at, why=why, detail_json=line))


def stands(contact: Contact, *, made: bool) -> dict[str, object]:
    """What an entry says of a contact's columns, instants in microseconds."""
    said = {name: getattr(contact, name) for name in (*MOVING, *(FIXED if made else ()))}
    return {**said, "at": to_us(contact.at)}


def claim(database: Database, limits: Mapping[str, int], *, now: datetime, worker: str, lease: timedelta) -> list[str]:
    """
    Take what is due, for `lease`, the earliest first: lane -> at most how many of it.

    At most one per person and one per number or address at a time, because what is about to be sent counts for
    what comes after. A claim that has lapsed is taken over. Two workers never get the same contact.
    """
    with database.write() as session:
        due: Select[tuple[Contact, str | None]] = (
            select(Contact, Endpoint.value_hash)  # type: ignore[assignment] # sqlmodel narrows Select to its own
            .outerjoin(Endpoint, col(Endpoint.id) == col(Contact.endpoint_id))
            .where(*_claimable(limits, now))
            .order_by(col(Contact.not_before_at), col(Contact.id))
            # Somebody may have several due at once, and only the first of them is taken.
            .limit(sum(limits.values()) * 4)
            .with_for_update(key_share=True, skip_locked=True, of=Contact)
        )
        leaving = select(Endpoint.value_hash).join(Contact, col(Contact.endpoint_id) == col(Endpoint.id))
        reached = set(session.exec(leaving.where(_leaving(now))))
        people: set[int] = set()
        taken: list[str] = []
        left = dict(limits)
        for contact, there in session.execute(due):
            lane = lane_of(contact)
            if contact.person_id in people or there in reached or not left[lane]:
                continue
            left[lane] -= 1
            people.add(contact.person_id)
            if there is not None:
                reached.add(there)
            contact.status, contact.claimed_by, contact.claimed_until_at = "claimed", worker, now + lease
            session.add(contact)
            taken.append(contact.id)
        return taken


def is_left(database: Database, names: Collection[str], *, now: datetime) -> bool:
    """Whether something is due in these lanes for somebody to whom nothing is leaving: another worker was choosing."""
    with database.session() as session:
        return session.exec(select(Contact.id).where(*_claimable(names, now)).limit(1)).first() is not None


def _claimable(names: Collection[str], now: datetime) -> tuple[ColumnElement[bool], ...]:
    return (
        _due(now),
        col(Contact.not_before_at) <= now,
        col(Contact.expires_at) > now,
        col(Contact.direction) == "out",
        lanes().in_(names),
        col(Contact.person_id).not_in(select(Contact.person_id).where(_leaving(now))),
        _is_let_go(),
    )


def _is_let_go() -> ColumnElement[bool]:
    """
    Not of a sweep that has not ended: whether the brake goes on is known only then.

    What was broken off is gone on with, or given up, by the next sweep; until then its contacts may reach their end.
    """
    # By the run's key for each contact that is due: to look for such sweeps first would read through all runs, which
    # only become more, and a join might be planned so.
    sweep = select(Run.status).where(col(Run.id) == col(Contact.run_id), col(Run.kind) == "sweep").scalar_subquery()
    return func.coalesce(sweep, "done").not_in(("running", "stopped"))


def _due(now: datetime) -> ColumnElement[bool]:
    lapsed = (col(Contact.status) == "claimed") & (col(Contact.claimed_until_at) <= now)
    return or_(col(Contact.status) == "planned", lapsed)


def _leaving(now: datetime) -> ColumnElement[bool]:
    held = (col(Contact.status) == "claimed") & (col(Contact.claimed_until_at) > now)
    return or_(col(Contact.status) == "sending", held)


def release(database: Database, contact_ids: Collection[str], *, worker: str, at: datetime, why: str) -> None:
    """Give back what this worker claimed and did not get to, also where it was committed as `sending` and never offered."""
    with database.write() as session:
        mine = select(Contact).where(
            col(Contact.id).in_(contact_ids),
            col(Contact.status).in_(("claimed", "sending")),
            col(Contact.claimed_by) == worker,
        )
        for contact in session.exec(mine.with_for_update(key_share=True)):
            contact.attempts -= contact.status == "sending"
            move(session, contact, "planned", at=at, why=why)


def expire(database: Database, *, now: datetime) -> int:
    """
    Close what is past its time: contacts that never left, and tasks that nobody took; returns how many.

    A task that somebody saw and never reported on is in doubt: it becomes `unknown`.
    """
    with database.write() as session:
        queued = (col(Contact.status) == "sent") & tasks()
        # Whoever has a task in hand has it as long as they were told.
        until = func.coalesce(Contact.claimed_until_at, Contact.expires_at)
        ends = case((queued & col(Contact.claimed_by).is_not(None), until), else_=col(Contact.expires_at))
        late = select(Contact).where(or_(_due(now), queued), ends <= now)
        contacts = session.exec(late.order_by(col(Contact.id)).with_for_update(key_share=True, skip_locked=True)).all()
        for contact in contacts:
            if contact.status == "sent" and contact.claimed_by is not None and contact.attempts:
                move(session, contact, "unknown", at=now, why="somebody took it and never said what came of it")
            else:
                move(session, contact, "expired", at=now, why="its time had passed before it could go")
        return len(contacts)


def give_up_on(database: Database, *, now: datetime) -> list[str]:
    """
    Mark as `unknown` what a worker began to send and never reported on before its lease ran out; returns which.

    It may have gone out: it counts towards every limit and is never sent again blindly.
    """
    with database.write() as session:
        lost = select(Contact).where(col(Contact.status) == "sending", col(Contact.claimed_until_at) <= now)
        contacts = session.exec(lost.order_by(col(Contact.id)).with_for_update(key_share=True, skip_locked=True)).all()
        for contact in contacts:
            why = "the worker stopped before it heard from the provider"
            move(session, contact, "unknown", at=now, why=why, outcome="unknown")
        return [contact.id for contact in contacts]


def bump_versions(session: Session, person_ids: Collection[int]) -> None:
    """Tell every decision being made about these people that something changed."""
    if person_ids:
        moved = update(Person).where(col(Person.id).in_(person_ids)).values(version=Person.version + 1)
        # No session here holds people whose version anybody would read again.
        session.execute(moved, execution_options={"synchronize_session": False})


def lock_versions(session: Session, person_ids: Iterable[int]) -> dict[int, int]:
    """
    The versions of these people, who stay locked until the transaction ends.

    Everybody a transaction will touch at once, in id order: two transactions never wait for each other in a circle.
    SQLite needs no row locks (and ignores them): a write transaction there is alone.
    """
    wanted = select(Person.id, Person.version).where(col(Person.id).in_(sorted(set(person_ids))))
    locked = session.exec(wanted.order_by(col(Person.id)).with_for_update(key_share=True))
    return {person_id: version for person_id, version in locked if person_id is not None}


def reserve(
    session: Session, account: str, wanted: int, *, per_second: float, now: datetime, within: timedelta
) -> tuple[datetime, int]:
    """
    Take turns at a provider account that all workers share.

    Returns:
        the instant of the first turn, and how many of those wanted fit before `now + within`; the turns
        are `1 / per_second` seconds apart.
    """
    name = f"pace.{account}"
    session.execute(text("insert into setting (name, value) values (:n, '0') on conflict do nothing"), {"n": name})
    row = session.get_one(Setting, name, with_for_update=ROW)
    first = max(now, from_us(int(row.value)))
    if first > now + within:
        # Nobody reserves that far ahead: the clock was set back.
        first = now
    turns = min(wanted, int((now + within - first).total_seconds() * per_second))
    row.value = str(to_us(first + timedelta(seconds=turns / per_second)))
    session.add(row)
    return first, turns
