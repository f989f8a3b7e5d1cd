"""
Handle what waits in the inbox: each thing once, in the order in which it came, what people say before what machines report.

One process at a time. What cannot be handled is parked with its reason and holds nobody else up; what is early is
looked at again; a database that is away parks nothing.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlmodel import Session, col, select

from channels.message import Meaning
from channels.reports import Delivery
from engine.errors import DataError, DuecourseError
from store.db import Database
from store.inbox import detail_of, put_off, settle, waiting
from store.lock import Held, sole
from store.outbox import lock_versions
from store.tables import Arrival, Contact, Loan
from workflows.arriving import KEY, REPORT, TEXT
from workflows.fate import Evidence, Fate, NotYet, learn

log = logging.getLogger(__name__)

EARLY_MAX: Final = timedelta(hours=1)
"""How long a report may wait for its message: far above the lease of a worker that stopped half-way."""
_AGAIN: Final = timedelta(seconds=20)
_EARLY: Final = "its message is not known to have left yet"
_BATCH: Final = 50
_PEOPLE: Final = (TEXT, KEY)


@dataclass(frozen=True, slots=True)
class Ears:
    """
    Who understands what people say; each writes down what follows, and says what it came to.

    Attributes:
        text: a message; key: a key pressed in a call. Handled again after a crash, they change nothing.
        evidence: what a message that went out is evidence of.
    """

    text: Callable[[Arrival], str]
    key: Callable[[Arrival], str]
    evidence: Evidence


@dataclass(slots=True)
class TakenIn:
    """How much was done with, parked, and put off."""

    done: int = 0
    parked: int = 0
    early: int = 0


def take_in(
    database: Database, ears: Ears, clock: Callable[[], datetime], *, stop: Callable[[], bool] = lambda: False
) -> TakenIn:
    """
    Handle everything that waits, until nothing more is due. Where another process is at it, it is left to that one.

    Raises:
        StoreError: the database cannot be read or written; what was not handled waits.
    """
    taken = TakenIn()
    if not is_waiting(database, clock()):
        return taken
    try:
        with sole(database, "inbox", what="the inbox") as still_mine:
            while not stop() and still_mine() and _round(database, ears, clock(), taken):
                pass
    except Held:
        pass
    return taken


def is_waiting(database: Database, now: datetime) -> bool:
    """Whether anything is due."""
    with database.session() as session:
        return bool(waiting(session, (*_PEOPLE, REPORT), now=now, limit=1))


def _round(database: Database, ears: Ears, now: datetime, taken: TakenIn) -> bool:
    """One look; False when nothing was there."""
    with database.session() as session:
        said = waiting(session, _PEOPLE, now=now, limit=_BATCH)
        reports = [] if said else waiting(session, (REPORT,), now=now, limit=_BATCH)
    for arrival in said:
        _hear(database, arrival, ears, now, taken)
    if reports:
        _learn_all(database, reports, ears.evidence, now, taken)
    return bool(said or reports)


def _hear(database: Database, arrival: Arrival, ears: Ears, now: datetime, taken: TakenIn) -> None:
    try:
        came_to = (ears.text if arrival.kind == TEXT else ears.key)(arrival)
    except Exception as error:  # noqa: BLE001 - one message's fault must not keep the others from being heard
        with database.write() as session:
            _park(session, arrival, _why(error), now, taken)
        return
    with database.write() as session:
        taken.done += settle(session, arrival.id, "done", came_to, now=now)


@dataclass(frozen=True, slots=True)
class _Report:
    """A report as it was written down; `contact` is empty where its sender knows only its own id."""

    arrival: Arrival
    contact: str
    fate: Fate


def _read(arrival: Arrival) -> _Report:
    detail = detail_of(arrival)
    fate = Fate(
        cast("Delivery", detail["status"]), arrival.source, detail["ref"], detail["code"],
        cast("Meaning", detail["meaning"]), detail["outcome"],
    )  # fmt: skip
    return _Report(arrival, detail["contact"], fate)


def _learn_all(
    database: Database, arrivals: Sequence[Arrival], evidence: Evidence, now: datetime, taken: TakenIn
) -> None:
    """Many in one transaction, each in a savepoint of its own, behind the locks of everybody concerned."""
    here = TakenIn()
    with database.write() as session:
        reports = []
        for arrival in arrivals:
            try:
                reports.append(_read(arrival))
            except (ValueError, KeyError, TypeError) as error:
                _park(session, arrival, _why(error), now, here)
        lock_versions(session, _concerned(session, reports))
        for report in reports:
            _learn(session, report, evidence, now, here)
    # Only what is committed counts.
    taken.done, taken.parked, taken.early = taken.done + here.done, taken.parked + here.parked, taken.early + here.early


def _learn(session: Session, report: _Report, evidence: Evidence, now: datetime, taken: TakenIn) -> None:
    arrival = report.arrival
    try:
        with session.begin_nested():
            contact = report.contact or _by_ref(session, report.fate)
            came_to = learn(session, contact, report.fate, evidence, now=now)
            session.flush()
    except NotYet:
        if now - arrival.recorded_at < EARLY_MAX:
            put_off(session, arrival.id, until=now + _AGAIN, why=_EARLY)
            taken.early += 1
        else:
            _park(session, arrival, "no message of ours that left has this id", now, taken)
    except Exception as error:  # noqa: BLE001 - one report's fault must not keep the others from being heard
        _park(session, arrival, _why(error), now, taken)
    else:
        taken.done += settle(session, arrival.id, "done", came_to, now=now)


def _by_ref(session: Session, fate: Fate) -> str:
    """The contact that a provider knows by its own id only."""
    there = select(Contact.id).where(col(Contact.provider_ref) == fate.ref, col(Contact.provider) == fate.provider)
    found = session.exec(there).first()
    if found is None:
        raise NotYet
    return found


def _concerned(session: Session, reports: Sequence[_Report]) -> set[int]:
    ids = {report.contact for report in reports if report.contact}
    refs = {report.fate.ref for report in reports if not report.contact}
    there = col(Contact.id).in_(ids) | col(Contact.provider_ref).in_(refs)
    rows = session.exec(
        select(Contact.person_id, Loan.borrower_id).join(Loan, col(Loan.id) == col(Contact.loan_id)).where(there)
    )
    return {person for row in rows for person in row}


def _park(session: Session, arrival: Arrival, why: str, now: datetime, taken: TakenIn) -> None:
    if settle(session, arrival.id, "parked", why, now=now):
        taken.parked += 1
        extra = {"action": "alert", "arrival": arrival.id, "why": why}
        log.error("something from outside is parked", extra=extra)


def _why(error: Exception) -> str:
    """
    Why it is parked, in our own words: another's may quote what is on file about a person.

    Raises:
        Exception: the same, where it is about the database and not about what came: nothing is parked for it.
    """
    if isinstance(error, DataError):
        return error.problems[0].what
    if isinstance(error, DuecourseError | OperationalError | InterfaceError | InternalError):
        raise error
    return f"it could not be handled ({type(error).__name__})"
