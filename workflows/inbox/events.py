"""
News for the rules: what happened to people, handled once each, in micro-batches of whole borrowers.

An event only says "look again": what is decided follows from the book, never from the event's payload, so that
their order does not matter.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from engine.errors import DataError, DuecourseError
from store.db import Database
from store.situations import Happened
from store.tables import Event, Loan, Party
from workflows.deciding.decide import HandledMeanwhile
from workflows.uncollected import uncollected

log = logging.getLogger(__name__)

Decide = Callable[[Sequence[int], Happened, Sequence[int]], int]
"""Borrower ids, what happened to them, event ids that this settles -> how many contacts were planned."""

_FRUITLESS_MAX: Final = 5
"""Batches in a row in which another process was faster, before the rest is left to it."""
_NOBODY: Final = "it is about nobody who has a loan"


@dataclass(frozen=True, slots=True)
class Handled:
    """
    What a look at the news led to.

    Attributes:
        borrowers: whose loans were decided, in id order.
        parked: events that could not be handled and wait for a person.
    """

    events: int = 0
    borrowers: tuple[int, ...] = ()
    contacts: int = 0
    parked: int = 0

    def plus(self, other: "Handled") -> "Handled":
        """Both together."""
        borrowers = tuple(sorted({*self.borrowers, *other.borrowers}))
        contacts, parked = self.contacts + other.contacts, self.parked + other.parked
        return Handled(self.events + other.events, borrowers, contacts, parked)


def handle_events(
    database: Database, decide: Decide, *, now: datetime, batch: int = 200, stop: Callable[[], bool] = lambda: False
) -> Handled:
    """
    Handle everything that was recorded by now, oldest first.

    A borrower's events are handled together; a batch commits with the decisions it led to, and what another
    process was faster with is left to it. An event that cannot be handled is parked with its reason, and holds
    nobody else up.

    Raises:
        StoreError: the database cannot be read or written; whatever was not settled is handled next time.
    """
    done, fruitless = Handled(), 0
    while not stop() and fruitless < _FRUITLESS_MAX:
        with database.session() as session:
            events = _next(session, now, batch)
            about = _borrowers(session, events)
        if not events:
            break
        before = done
        strangers = [event for event in events if not about[event.id]]
        if strangers:
            done = done.plus(_park(database, strangers, _NOBODY))
        known = [event for event in events if about[event.id]]
        if known:
            with uncollected():  # a single one would now and then wait for it, eight times as long as for its decision
                done = done.plus(_handle(database, decide, known, about))
        fruitless = fruitless + 1 if done == before else 0
    return done


def _handle(
    database: Database,
    decide: Decide,
    events: Sequence[Event],
    about: Mapping[int | None, Mapping[int, frozenset[int]]],
) -> Handled:
    """One decision for all of them; where that fails, one for each half, down to the event that is at fault."""
    borrowers = sorted({borrower for event in events for borrower in about[event.id]})
    try:
        contacts = decide(borrowers, _happened(events, about), [event.id for event in events if event.id is not None])
    except HandledMeanwhile:
        # Nothing was written; whoever was faster has settled some of them, and the rest is read again.
        return Handled()
    except DuecourseError as error:
        if not isinstance(error, DataError):
            raise
        fault: Exception = error
    except Exception as error:  # noqa: BLE001 - one event's fault must not keep the others from being handled
        fault = error
    else:
        return Handled(len(events), tuple(borrowers), contacts)
    if len(events) > 1:
        half = len(events) // 2
        return _handle(database, decide, events[:half], about).plus(_handle(database, decide, events[half:], about))
    return _park(database, events, f"it could not be handled ({type(fault).__name__})")


def _happened(events: Sequence[Event], about: Mapping[int | None, Mapping[int, frozenset[int]]]) -> Happened:
    by_person: defaultdict[int, set[str]] = defaultdict(set)
    by_loan: defaultdict[int, set[str]] = defaultdict(set)
    for event in events:
        for borrower, loans in about[event.id].items():
            for loan in loans:
                by_loan[loan].add(event.kind)
            if not loans:
                by_person[borrower].add(event.kind)
    return Happened(
        {person: frozenset(kinds) for person, kinds in by_person.items()},
        {loan: frozenset(kinds) for loan, kinds in by_loan.items()},
    )


def _next(session: Session, now: datetime, batch: int) -> list[Event]:
    query = (
        select(Event)
        .where(col(Event.run_id).is_(None), col(Event.parked).is_(None), col(Event.recorded_at) <= now)
        .order_by(col(Event.id))
        .limit(batch)
    )
    events = list(session.exec(query))
    session.expunge_all()
    return events


def _borrowers(session: Session, events: Sequence[Event]) -> Mapping[int | None, dict[int, frozenset[int]]]:
    """Event id -> borrower -> the loans it is about; no loans: about the borrower as a whole."""
    loans = {event.loan_id for event in events if event.loan_id is not None}
    people = {event.person_id for event in events if event.loan_id is None and event.person_id is not None}
    owner = dict(session.exec(select(Loan.id, Loan.borrower_id).where(col(Loan.id).in_(loans))).all())
    borrows = set(session.exec(select(Loan.borrower_id).where(col(Loan.borrower_id).in_(people))))
    # What a guarantor says as a person is about the loans they stand for.
    stands: defaultdict[int, defaultdict[int, set[int]]] = defaultdict(lambda: defaultdict(set))
    beside = select(Party.person_id, Loan.borrower_id, Party.loan_id).join(Loan, col(Loan.id) == col(Party.loan_id))
    for person, borrower, loan in session.exec(beside.where(col(Party.person_id).in_(people))):
        stands[person][borrower].add(loan)
    about: dict[int | None, dict[int, frozenset[int]]] = {}
    for event in events:
        found: dict[int, frozenset[int]] = {}
        if event.loan_id is not None:
            found[owner[event.loan_id]] = frozenset({event.loan_id})
        elif event.person_id is not None:
            found = {borrower: frozenset(ids) for borrower, ids in stands[event.person_id].items()}
            if event.person_id in borrows:
                found[event.person_id] = frozenset()
        about[event.id] = found
    return about


def _park(database: Database, events: Sequence[Event], why: str) -> Handled:
    ids = [event.id for event in events]
    with database.write() as session:
        for event in session.exec(select(Event).where(col(Event.id).in_(ids), col(Event.run_id).is_(None))):
            event.parked = why
            session.add(event)
    for event in events:
        log.error("an event is parked", extra={"action": "alert", "event": event.id, "why": why})
    return Handled(parked=len(events))
