"""
Handle what waits in the inbox: each thing once, in the order in which it came, what people say before what machines report.

One process at a time. What cannot be handled is parked with its reason and holds nobody else up; what is early is
looked at again; a database that is away parks nothing.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast

from sqlalchemy.exc import InterfaceError, InternalError, OperationalError
from sqlmodel import Session, col, select

from channels.message import Meaning
from channels.reports import Delivery
from engine.errors import DataError, DuecourseError
from store.db import Database
from store.inbox import detail_of, put_off, settle, settle_all, waiting
from store.lock import Busy, sole
from store.outbox import bump_versions
from store.tables import Arrival, Contact
from workflows.inbox.arriving import KEY, REPORT, TEXT
from workflows.sending.fate import Evidence, Fate, NotYet, learn, lock_contacts

log = logging.getLogger(__name__)

EARLY_MAX: Final = timedelta(hours=1)
"""How long a report may wait for its message: far above the lease of a worker that stopped half-way."""
_AGAIN: Final = timedelta(seconds=20)
_EARLY: Final = "its message is not known to have left yet"
_BATCH: Final = 50
_REPORTS: Final = 200
"""So many are learnt in one transaction: a tenth of a second, in which nobody else writes on SQLite."""
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
    except Busy:
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
        reports = [] if said else waiting(session, (REPORT,), now=now, limit=_REPORTS)
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
    """Many in one transaction; where one of them breaks it, each in one of its own."""
    here = TakenIn()
    try:
        with database.write() as session:
            _learn_in(session, arrivals, evidence, now, here)
    except Exception as error:  # noqa: BLE001 - one report's fault must not keep the others from being heard
        why = _why(error)
        if len(arrivals) > 1:
            for arrival in arrivals:
                _learn_all(database, [arrival], evidence, now, taken)
            return
        with database.write() as session:
            _park(session, arrivals[0], why, now, taken)
        return
    # Only what is committed counts.
    taken.done, taken.parked, taken.early = taken.done + here.done, taken.parked + here.parked, taken.early + here.early


def _learn_in(session: Session, arrivals: Sequence[Arrival], evidence: Evidence, now: datetime, taken: TakenIn) -> None:
    reports = [_read(arrival) for arrival in arrivals]
    known = _by_ref(session, reports)
    about = [report.contact or known.get((report.fate.provider, report.fate.ref), "") for report in reports]
    # Held, so that none of them is read again.
    held = lock_contacts(session, [contact for contact in about if contact])
    told: set[int] = set()
    done: dict[int, str] = {}
    for report, contact in zip(reports, about, strict=True):
        _learn(session, report, contact, evidence, told, done, now, taken)
    taken.done += settle_all(session, done, now=now)
    bump_versions(session, told)
    del held


def _learn(
    session: Session,
    report: _Report,
    contact: str,
    evidence: Evidence,
    told: set[int],
    done: dict[int, str],
    now: datetime,
    taken: TakenIn,
) -> None:
    arrival = report.arrival
    try:
        came_to = _came_to(session, report, contact, evidence, told, now)
    except NotYet:
        if now - arrival.recorded_at < EARLY_MAX:
            put_off(session, arrival.id, until=now + _AGAIN, why=_EARLY)
            taken.early += 1
        else:
            _park(session, arrival, "no message of ours that left has this id", now, taken)
    except DataError as error:
        _park(session, arrival, error.problems[0].what, now, taken)
    else:
        if arrival.id is None:
            raise AssertionError("what waits has been written down")
        done[arrival.id] = came_to


def _came_to(session: Session, report: _Report, contact: str, evidence: Evidence, told: set[int], now: datetime) -> str:
    if not contact:
        raise NotYet
    return learn(session, contact, report.fate, evidence, told, now=now)


def _by_ref(session: Session, reports: Sequence[_Report]) -> Mapping[tuple[str | None, str | None], str]:
    """The contacts that providers know by their own ids only."""
    refs = {report.fate.ref for report in reports if not report.contact}
    if not refs:
        return {}
    there = select(Contact.provider, Contact.provider_ref, Contact.id).where(col(Contact.provider_ref).in_(refs))
    return {(provider, ref): contact for provider, ref, contact in session.exec(there)}


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
