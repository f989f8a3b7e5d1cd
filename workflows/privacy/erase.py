"""
Taking a person out of the book: all in one transaction, and the log as it was signed.

Nothing is guessed: while a clock runs or anything is open it is refused, with what stands in the way.
"""

import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlmodel import Session, col, select

from channels.wording import address_text
from compliance import PackDates
from engine.errors import DataError, Problem, StoreError
from store import log
from store.db import Database
from store.deeds import record_about
from store.erased import remember
from store.lock import sole
from store.outbox import bump_versions, lock_versions
from store.tables import Batch, BatchItem, Deed, DeedNote, Endpoint, LogErased
from workflows.privacy.clocks import Clock, clocks
from workflows.privacy.obstacles import obstacles
from workflows.privacy.subject import Subject, find_subject
from workflows.privacy.traces import Traces, traces

STAYS: Final = (
    "the loans with their schedules, ledgers and positions, and their references",
    "what the log holds: decisions, moves, contacts and statements, by ids",
    "other people around the loans, and what was said to them",
)
"""What an erasure leaves, in words."""


@dataclass(frozen=True, slots=True)
class Planned:
    """
    What an erasure would do.

    Attributes:
        person: their id. goes: rows by table. clocks: how long their records were or are kept.
        against: why it cannot be done now; empty: it can.
        outside: files that were made with their data, which nobody here can erase.
    """

    person: int
    goes: Mapping[str, int]
    clocks: tuple[Clock, ...]
    against: tuple[Problem, ...]
    outside: tuple[str, ...]


def plan_erasure(database: Database, ref: str, dates: PackDates, *, now: datetime, today: date) -> Planned:
    """
    What would go, what stands against it, and by which clocks; nothing is changed.

    Raises:
        DataError: nobody is called so, or they were erased already.
    """
    with database.session() as session:
        subject = find_subject(session, ref)
        found = traces(session, subject, now=now).counts
        kept = tuple(clocks(session, subject, dates, now=now, today=today))
        against = obstacles(session, subject, dates, now=now, today=today)
        outside = tuple(_files(session, subject))
    return Planned(subject.id, found, kept, against, outside)


def erase(
    database: Database, ref: str, dates: PackDates, *, because: str, by: str, now: datetime, today: date
) -> Mapping[str, int]:
    """
    Take them out; the file of the database is cleaned afterwards by `Database.scrub`.

    Returns:
        how many rows of which table that was.
    Raises:
        DataError: nobody is called so, they were erased already, or something stands against it.
        StoreError: an import is running, which may have read them already; nothing was changed.
    """
    with sole(database, "import", what="an import"), database.write() as session:
        subject = find_subject(session, ref)
        lock_versions(session, {subject.id, *(loan.borrower_id for loan, _ in subject.loans)})
        if against := obstacles(session, subject, dates, now=now, today=today):
            raise DataError(against)
        _refuse_names(session, subject, because)
        found = traces(session, subject, now=now)
        _deed(session, subject, found, because=because, by=by, now=now)
        remember(session, subject.person.ref, now=now)
        for text in found.written:
            text.erase()
        for row, after in found.blanked:
            for name, value in after.items():
                setattr(row, name, value)
            session.add(row)
        for row in found.deleted:
            session.delete(row)
        session.flush()
        bump_versions(session, [subject.id])
        return found.counts


def _refuse_names(session: Session, subject: Subject, because: str) -> None:
    """The reason is what stays of all that was written about them."""
    values = session.exec(select(Endpoint.value).where(col(Endpoint.person_id) == subject.id))
    theirs = (subject.person.ref, subject.person.name, *(address_text(value) for value in values))
    if any(one and one.casefold() in because.casefold() for one in theirs):
        raise DataError(Problem("the reason names the person, and it is kept", "name the request instead"))


def _files(session: Session, subject: Subject) -> Iterator[str]:
    items = select(BatchItem.batch_id).where(col(BatchItem.contact_id).in_(subject.theirs))
    for batch in session.exec(select(Batch).where(col(Batch.id).in_(items)).order_by(col(Batch.id))):
        yield f"{batch.kind} batch {batch.id} of {batch.made_at:%Y-%m-%d}"
    given = select(Deed.at).join(DeedNote, col(DeedNote.deed_id) == col(Deed.id))
    mine = given.where(col(DeedNote.person_id) == subject.id, col(Deed.kind) == "export")
    for at in session.exec(mine.order_by(col(Deed.at))):
        yield f"what they were given on {at:%Y-%m-%d}"


def _deed(session: Session, subject: Subject, found: Traces, *, because: str, by: str, now: datetime) -> None:
    """The deed, and the commitments that stand for what goes: the database lets nothing of the log go without."""
    key = log.seal_key(session, lambda: secrets.token_hex(log.SEAL_BYTES))
    if key is None:
        raise StoreError(Problem("the setting `log.seal_key` is no key", "restore it from a backup"))
    gone = [
        {"kind": one.kind, "key": one.key, "field": one.field, "commitment": one.commitment(key)}
        for one in found.written
    ]
    detail = {"rows": found.counts, "commitments": log.erased_digest(gone)}
    deed = record_about(
        session, "erasure", f"person:{subject.id}", detail, person=subject.id, by=by, because=because, now=now
    )
    session.add_all(LogErased(**row, deed_id=deed) for row in gone)
    session.flush()
