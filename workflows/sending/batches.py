"""
Tasks that leave together, in a file: claimed, looked at again, and committed before the file is there.

A batch that was committed and whose file nobody confirmed may be out or not. Its tasks are then in doubt: they count, and
none of them leaves again until a person has said what became of it.
"""

import json
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from sqlmodel import Session, col, func, select

from engine.errors import DataError, Problem
from store.bulk import writing
from store.db import Database
from store.deeds import record
from store.outbox import ROW, bump_versions, in_other_hands, lock_versions, move, note, tasks
from store.tables import Batch, BatchItem, Contact, Endpoint
from workflows.alerts import alert_unknown, unknowns
from workflows.sending.door import NOT_ALLOWED, Door, reach
from workflows.sending.look_log import LookLog, kept_looks
from workflows.sending.looking import Looked, look_again
from workflows.sending.second_look import Look

log = logging.getLogger(__name__)

Kind = Literal["print", "dialler"]
_CHANNEL: Final[Mapping[Kind, str]] = {"print": "letter", "dialler": "call"}
_NOBODY: Final = ""

Make = Callable[[Session, Contact, Look], BatchItem | None]
"""What a task becomes in its batch, `batch_id` aside; None leaves it where it is. DataError: it cannot be said."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Which tasks are to leave.

    Attributes:
        until: when the batch is in doubt if nobody has said that its file is there. by: who asks for it.
    """

    kind: Kind
    queue: str
    by: str
    now: datetime
    until: datetime
    limit: int


@dataclass(slots=True)
class Taken:
    """
    What was taken: the batch, its items, and how many tasks by what became of them.

    Attributes:
        batch: None where nothing could leave.
        counts: taken, delayed, cancelled, unsayable, and `left`: those that wait for another time.
    """

    batch: Batch | None = None
    items: list[BatchItem] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def holder(kind: str, batch: int | None) -> str:
    """Whose hands the tasks of a batch are in, as `claimed_by` says it."""
    return f"{kind}:{batch}"


def take_batch(door: Door, wanted: Wanted, make: Make, *, hold_until: Callable[[BatchItem], datetime]) -> Taken:
    """
    Take what waits in a queue, at most one task of a person and a number: look again, and commit what may leave.

    Args:
        make: called within the transaction that commits it.
        hold_until: until when a task of it is in the batch's hands.
    Raises:
        SettingsError: nobody may be reached now.
    """
    taken = Taken()
    with door.database.session() as session:
        reach(door, session)
        ids = _free(session, wanted)
    if not ids:
        return taken
    looked = look_again(door, ids, wanted.now)
    with door.database.write() as session, kept_looks(session, door, wanted.now) as kept:
        reached = reach(door, session)
        current = lock_versions(session, {person for one in looked for person in one.seen})
        batch = Batch(
            kind=wanted.kind, queue=wanted.queue, status="writing", made_at=wanted.now, made_by=wanted.by,
            until_at=wanted.until,
        )  # fmt: skip
        session.add(batch)
        session.flush()
        told: set[int] = set()
        for one in looked:
            contact = session.get_one(Contact, one.contact.id, with_for_update=ROW)
            taken.counts.update(unknowns([one.look.verdict]))
            moved = any(current.get(person) != version for person, version in one.seen.items())
            if contact.status != "sent" or contact.claimed_by is not None or moved or _held(session, wanted, contact):
                taken.counts["left"] += 1
                continue
            endpoint = session.get(Endpoint, contact.endpoint_id) if contact.endpoint_id is not None else None
            reachable = reached.covers(endpoint.value if endpoint is not None else None)
            word, item = _judge(session, kept, contact, one, make, reachable=reachable, now=wanted.now)
            taken.counts[word] += 1
            if word != "left":
                told.update(one.seen)
            if item is not None:
                item.batch_id = batch.id or 0
                contact.claimed_by = holder(wanted.kind, batch.id)
                contact.claimed_until_at, contact.attempts, contact.at = hold_until(item), 1, wanted.now
                note(session, contact, at=wanted.now, why=f"in {wanted.kind} batch {batch.id}, by {wanted.by}",
                     detail=kept.detail(one))  # fmt: skip
                session.add_all((contact, item))
                taken.items.append(item)
        bump_versions(session, told)
        if taken.items:
            session.flush()
            taken.batch = batch
            session.refresh(batch)
            session.expunge_all()
        else:
            session.delete(batch)
    alert_unknown(taken.counts)
    return taken


def _free(session: Session, wanted: Wanted) -> list[str]:
    """What waits, in the queue's own order; call-backs are left to whoever promised them."""
    query = (
        select(Contact.id, Contact.person_id, Endpoint.value)
        .outerjoin(Endpoint, col(Endpoint.id) == col(Contact.endpoint_id))
        .where(
            col(Contact.status) == "sent",
            tasks(),
            col(Contact.channel) == _CHANNEL[wanted.kind],
            func.coalesce(Contact.queue, Contact.channel) == wanted.queue,
            col(Contact.not_before_at) <= wanted.now,
            col(Contact.expires_at) > wanted.now,
            col(Contact.claimed_by).is_(None),
            col(Contact.kept_for).is_(None),
        )
        .order_by(func.coalesce(Contact.rank, ""), col(Contact.at), col(Contact.id))
    )
    if wanted.kind == "dialler":
        query = query.where(col(Contact.person_id).not_in(select(Contact.person_id).where(in_other_hands(_NOBODY))))
    ids: list[str] = []
    people: set[int] = set()
    values: set[str] = set()
    for contact_id, person, value in session.exec(query):
        if person not in people and value not in values and len(ids) < wanted.limit:
            ids.append(contact_id)
            people.add(person)
            if value is not None:
                values.add(value)
    return ids


def _held(session: Session, wanted: Wanted, contact: Contact) -> bool:
    """Whether somebody else has the person in hand; asked behind the person's lock, as everybody asks it."""
    if wanted.kind == "print":
        return False
    theirs = select(Contact.id).where(col(Contact.person_id) == contact.person_id, in_other_hands(_NOBODY))
    return session.exec(theirs).first() is not None


def _judge(
    session: Session, kept: LookLog, contact: Contact, one: Looked, make: Make, *, reachable: bool, now: datetime
) -> tuple[str, BatchItem | None]:
    look = one.look
    if look.answer == "delay" and look.until is not None:
        contact.not_before_at = contact.at = look.until
        session.add(contact)
        note(session, contact, at=now, why=f"back in its queue: {look.why}", detail=kept.detail(one))
        return "delayed", None
    if look.answer == "cancel" or not reachable:
        why = NOT_ALLOWED if look.answer == "go" else look.why
        move(session, contact, "cancelled", at=now, why=why, detail=kept.detail(one))
        return "cancelled", None
    try:
        item = make(session, contact, look)
    except DataError as error:
        move(session, contact, "cancelled", at=now, why=error.problems[0].what, detail=kept.detail(one))
        return "unsayable", None
    return ("taken", item) if item is not None else ("left", None)


def say_leaving(database: Database, batch: Batch, digest: str, contacts: int, *, now: datetime) -> None:
    """A deed about a file with people in it, before it is in its place: whatever leaves is in the log."""
    detail = {"batch": batch.id, "contacts": contacts, "what": batch.kind}
    with writing(database) as transaction:
        record(transaction, "export", digest, detail, now=now)


def file_is_there(database: Database, batch: Batch, items: Sequence[BatchItem], digest: str) -> None:
    """The batch's file is complete and in its place: keep its hash, and what each item of it became."""
    with database.write() as session:
        row = session.get_one(Batch, batch.id, with_for_update=ROW)
        row.status, row.digest = "out", digest
        session.add(row)
        for item in items:
            session.merge(item)


def give_back(database: Database, batch_id: int, *, by: str, why: str, now: datetime) -> int:
    """
    Nothing of a batch was used: its open tasks wait in their queue again, as if it had never been. Returns how many.

    Raises:
        DataError: there is no such batch.
    """
    with database.write() as session:
        batch = known_batch(session, batch_id)
        wanted = select(Contact).where(
            col(Contact.claimed_by) == holder(batch.kind, batch.id), col(Contact.status).in_(("sent", "unknown"))
        )
        contacts = session.exec(wanted.order_by(col(Contact.id))).all()
        lock_versions(session, {contact.person_id for contact in contacts})
        for contact in contacts:
            session.refresh(contact, with_for_update=ROW)
            if contact.status == "unknown":
                move(session, contact, "sent", at=now, why=f"{by}: {why}", outcome="")
            else:
                contact.outcome = ""
                note(session, contact, at=now, why=f"given back by {by}: {why}")
            contact.claimed_by = contact.claimed_until_at = None
            contact.attempts = 0
            session.add(contact)
        bump_versions(session, {contact.person_id for contact in contacts})
        batch.status = "void"
        session.add(batch)
        return len(contacts)


def doubt(database: Database, *, now: datetime) -> list[str]:
    """
    Mark as `unknown` the tasks of batches whose making was broken off: the file may be there or not. Returns which.
    """
    with database.write() as session:
        lost = select(Batch).where(col(Batch.status) == "writing", col(Batch.until_at) <= now).order_by(col(Batch.id))
        found = []
        for batch in session.exec(lost.with_for_update(key_share=True, skip_locked=True)).all():
            mine = select(Contact).where(
                col(Contact.claimed_by) == holder(batch.kind, batch.id), col(Contact.status) == "sent"
            )
            for contact in session.exec(mine.order_by(col(Contact.id)).with_for_update(key_share=True)).all():
                why = f"{batch.kind} batch {batch.id} was broken off"
                move(session, contact, "unknown", at=now, why=why, outcome="unknown")
                found.append(contact.id)
            batch.status = "doubt"
            session.add(batch)
            extra = {"action": "alert", "batch": batch.id, "kind": batch.kind}
            log.warning("a batch was broken off, and somebody has to look whether its file is there", extra=extra)
        return found


def known_batch(session: Session, batch_id: int, kind: str | None = None) -> Batch:
    """
    The batch of that number.

    Raises:
        DataError: there is none, or it is of another kind.
    """
    batch = session.get(Batch, batch_id, with_for_update=ROW)
    if batch is None or kind not in (None, batch.kind):
        command = "letters" if kind == "print" else "dialler"
        raise DataError(
            Problem(f"no {kind or ''} batch {batch_id}".replace("  ", " "), f"`duecourse {command} list` shows them")
        )
    return batch


@dataclass(frozen=True, slots=True)
class Standing:
    """A batch, and how its tasks stand: what was reported of them; open, given back, or the status, where nothing was."""

    batch: int
    queue: str
    status: str
    made_at: datetime
    made_by: str
    digest: str
    counts: Mapping[str, int]


def batches(session: Session, kind: Kind, limit: int = 50) -> list[Standing]:
    """The latest batches of a kind, the newest first."""
    found = session.exec(select(Batch).where(col(Batch.kind) == kind).order_by(col(Batch.id).desc()).limit(limit)).all()
    ids = [batch.id for batch in found]
    rows = session.exec(
        select(BatchItem, Contact.status, Contact.claimed_by)
        .join(Contact, col(Contact.id) == col(BatchItem.contact_id))
        .where(col(BatchItem.batch_id).in_(ids))
    )
    counts: dict[int, Counter[str]] = {}
    for item, status, claimed in rows:
        told = json.loads(item.result_json).get("outcome")
        held = claimed == holder(kind, item.batch_id)
        word = told or ("given back" if status == "sent" and not held else "open" if status == "sent" else status)
        counts.setdefault(item.batch_id, Counter())[word] += 1
    return [
        Standing(b.id or 0, b.queue, b.status, b.made_at, b.made_by, b.digest, counts.get(b.id or 0, Counter()))
        for b in found
    ]
