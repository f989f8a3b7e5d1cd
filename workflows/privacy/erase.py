"""
Taking a person out of the book, or the words of their old records: in one transaction, and the log as it was signed.

Nothing is guessed: while a clock runs or anything is open it is refused, with what stands in the way.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlmodel import Session, col, select

from channels.wording import address_text
from compliance import PackDates
from compliance.dated import Records
from engine.errors import DataError, Problem
from store import log
from store.db import Database
from store.deeds import record_about
from store.erased import remember
from store.lock import sole
from store.outbox import bump_versions, lock_versions
from store.settings import read_setting, write_setting
from store.tables import Batch, BatchItem, Deed, DeedNote, Endpoint, LogErased
from workflows.privacy.clocks import Clock, clocks
from workflows.privacy.obstacles import obstacles, open_matters
from workflows.privacy.records import KINDS, Aged, aged
from workflows.privacy.subject import Subject, find_subject
from workflows.privacy.traces import Traces, traces

STAYS: Final = (
    "the loans with their schedules, ledgers and positions, and their references",
    "what the log holds: decisions, moves, contacts and statements, by ids",
    "other people around the loans, and what was said to them",
)
"""What an erasure leaves, in words."""

STAYS_OF_RECORDS: Final = (
    "the person, their numbers and addresses, and whatever is not over or something still needs",
    "that it was, when, by which channel and with which outcome: what limits and decisions count",
    "the loans with their schedules, ledgers and positions, and what the log holds",
)
"""What erasing a kind of record leaves."""

_UNCLEAN: Final = "privacy.unclean"
"""The setting that says whether the file may still hold what was erased."""


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
        found = traces(session, subject, now=now)
        kept = tuple(clocks(session, subject, dates, now=now, today=today))
        against = obstacles(session, subject, dates, now=now, today=today)
        outside = (*files(found), *_files(session, subject))
    return Planned(subject.id, found.counts, kept, against, outside)


def erase(
    database: Database, ref: str, dates: PackDates, *, because: str, by: str, now: datetime, today: date
) -> Mapping[str, int]:
    """
    Take them out; the file of the database is cleaned afterwards by `leave_nothing`.

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
        _deed(session, subject, found, {}, because=because, by=by, now=now)
        remember(session, subject.person.ref, now=now)
        _take_out(session, found)
        bump_versions(session, [subject.id])
        return found.counts


@dataclass(frozen=True, slots=True)
class PlannedRecords:
    """
    What erasing one kind of somebody's records would do.

    Attributes:
        person: their id. aged: what is over, and what must stay. against: why it cannot be done now; empty: it can.
    """

    person: int
    aged: Aged
    against: tuple[Problem, ...]


def plan_records(
    database: Database, ref: str, kind: Records, dates: PackDates, *, now: datetime, today: date
) -> PlannedRecords:
    """
    What of one kind of somebody's records would go, what must stay, and what stands against it; nothing is changed.

    Raises:
        DataError: nobody is called so, or they were erased.
    """
    with database.session() as session:
        subject = find_subject(session, ref)
        found = aged(session, subject, dates, now=now, today=today).get(kind, Aged())
        against = (*open_matters(session, subject, now=now), *_nothing(kind, found))
    return PlannedRecords(subject.id, found, against)


def erase_records(
    database: Database,
    ref: str,
    kinds: Collection[Records],
    dates: PackDates,
    *,
    because: str,
    by: str,
    now: datetime,
    today: date,
) -> Mapping[str, int]:
    """
    Take out the words of somebody's records of these kinds that were kept long enough; they stay, and all that counts.

    Returns:
        how many rows of which table that was.
    Raises:
        DataError: nobody is called so, they were erased, something of theirs is open, or no such record is over.
    """
    with database.write() as session:
        subject = find_subject(session, ref)
        # Whoever places a hold or imports something about them comes before or after.
        lock_versions(session, {subject.id})
        there = aged(session, subject, dates, now=now, today=today)
        going = [kind for kind in KINDS if kind in kinds and kind in there and there[kind].records]
        nothing = () if going else [problem for kind in kinds for problem in _nothing(kind, there.get(kind, Aged()))]
        if against := (*open_matters(session, subject, now=now), *nothing):
            raise DataError(against)
        _refuse_names(session, subject, because)
        found = Traces()
        for kind in going:
            found.add(there[kind].over)
        _deed(session, subject, found, {"records": going}, because=because, by=by, now=now)
        _take_out(session, found)
        return found.counts


def _nothing(kind: Records, found: Aged) -> Iterator[Problem]:
    if found.records:
        return
    if found.kept is None:
        yield Problem(f"there are no words in {kind} of theirs that a pack sets a clock for", "leave it")
        return
    until = f" until {found.kept.to}" if found.kept.to is not None else ""
    said = f"{found.kept.rule}, {found.kept.citation}"
    yield Problem(f"no {kind} of theirs are over: they must be kept{until} ({said})", "wait until then")


def _take_out(session: Session, found: Traces) -> None:
    for text in found.written:
        text.erase()
    for row, after in found.blanked:
        for name, value in after.items():
            setattr(row, name, value)
        session.add(row)
    for row in found.deleted:
        session.delete(row)
    write_setting(session, _UNCLEAN, "yes")
    session.flush()


def leave_nothing(database: Database) -> bool:
    """
    Clean SQLite's file of what was erased, also of what somebody erased who was killed before this.

    Returns:
        False where it is not clean: a reader holds on to former pages, or this is PostgreSQL (see `Database.scrub`).
    Raises:
        StoreError: there is no room, or another writer was in the way for too long; nothing is lost.
    """
    with database.session() as session:
        if read_setting(session, _UNCLEAN) != "yes":
            return database.dialect == "sqlite"
    clean = database.scrub()
    if clean:
        with database.write() as session:
            write_setting(session, _UNCLEAN, "no")
    return clean


def _refuse_names(session: Session, subject: Subject, because: str) -> None:
    """The reason is what stays of all that was written about them."""
    values = session.exec(select(Endpoint.value).where(col(Endpoint.person_id) == subject.id))
    theirs = (subject.person.ref, subject.person.name, *(address_text(value) for value in values))
    if any(one and one.casefold() in because.casefold() for one in theirs):
        raise DataError(Problem("the reason names the person, and it is kept", "name the request instead"))


def files(found: Traces) -> Iterator[str]:
    """Files kept elsewhere, for whoever keeps them to destroy."""
    for digest in found.files:
        yield f"the file with the SHA-256 {digest}"


_GIVEN: Final = {"export": "what they were given", "evidence": "evidence that was handed out"}
"""Kind of a deed -> what left the book by it and no erasure reaches."""


def _files(session: Session, subject: Subject) -> Iterator[str]:
    items = select(BatchItem.batch_id).where(col(BatchItem.contact_id).in_(subject.theirs))
    for batch in session.exec(select(Batch).where(col(Batch.id).in_(items)).order_by(col(Batch.id))):
        yield f"{batch.kind} batch {batch.id} of {batch.made_at:%Y-%m-%d}"
    given = select(Deed.kind, Deed.at).join(DeedNote, col(DeedNote.deed_id) == col(Deed.id))
    mine = given.where(col(DeedNote.person_id) == subject.id, col(Deed.kind).in_(tuple(_GIVEN)))
    for kind, at in session.exec(mine.order_by(col(Deed.at))):
        yield f"{_GIVEN[kind]} on {at:%Y-%m-%d}"


def _deed(
    session: Session,
    subject: Subject,
    found: Traces,
    more: Mapping[str, object],
    *,
    because: str,
    by: str,
    now: datetime,
) -> None:
    """The deed, and the commitments that stand for what goes: the database lets nothing of the log go without."""
    key = log.made_seal_key(session)
    gone = [
        {"kind": one.kind, "key": one.key, "field": one.field, "commitment": one.commitment(key)}
        for one in found.written
    ]
    detail: dict[str, object] = {**more, "rows": found.counts, "commitments": log.erased_digest(gone)}
    if found.files:
        # Whoever keeps the files finds by it which to destroy.
        detail["files"] = found.files
    deed = record_about(
        session, "erasure", f"person:{subject.id}", detail, person=subject.id, by=by, because=because, now=now
    )
    session.add_all(LogErased(**row, deed_id=deed) for row in gone)
    session.flush()
