"""The inbox: each event is handled once, whatever fails beside it and whoever else is at it."""

import itertools
import threading
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlmodel import col, select

from engine.errors import DataError, Problem, StoreError
from store.db import Database
from store.situations import Happened
from store.tables import Contact, DecisionRow, Event, Party, Run
from tests.factories import add_payment, make_person
from tests.opening import open_database
from tests.outgoing import (
    AMOUNT,
    NOW,
    TODAY,
    SmallGate,
    add,
    book,
    borrower_of,
    door_of,
    rows,
    small_rulebook,
)
from workflows.deciding.decide import HandledMeanwhile, decide_borrowers
from workflows.inbox.events import Handled, handle_events

KIND = "delivery_failed"


def happened(
    database: Database, loan: int | None, kind: str = KIND, *, person: int | None = None, key: str = ""
) -> int:
    person = person if person is not None or loan is None else borrower_of(database, loan)
    event = Event(
        source="test", key=key or f"{loan}:{person}:{kind}", kind=kind, person_id=person, loan_id=loan,
        happened_at=NOW, recorded_at=NOW,
    )  # fmt: skip
    with database.write() as session:
        session.add(event)
        session.flush()
        assert event.id is not None
        return event.id


class Decider:
    """Decides for real, and remembers what it was asked."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.door = door_of(database, {})
        self.asked: list[tuple[list[int], Happened, list[int]]] = []

    def __call__(self, borrowers: Sequence[int], what: Happened, events: Sequence[int]) -> int:
        self.asked.append((list(borrowers), what, list(events)))
        decided = decide_borrowers(
            self.database, self.door.rulebook, self.door.gate, borrower_ids=borrowers, now=NOW, matcher=self.door.matcher,
            happened=what, event_ids=events,
        )  # fmt: skip
        return sum(len(loan.contacts) for decision, _ in decided for loan in decision.loans)


def test_events_are_handled_once_in_batches(database: Database) -> None:
    """Seven events of five borrowers in batches of three: each settles with one run, and a second look finds nothing."""
    loans = book(database, 5)
    events = [happened(database, loan) for loan in loans]
    events += [happened(database, loan, "reply") for loan in loans[:2]]
    decide = Decider(database)
    done = handle_events(database, decide, now=NOW, batch=3)
    assert (done.events, done.contacts, done.parked) == (7, 5, 0)
    assert done.borrowers == tuple(sorted(borrower_of(database, loan) for loan in loans))
    assert [len(ids) for _, _, ids in decide.asked] == [3, 3, 1]
    settled = rows(database, Event)
    assert [event.id for event in settled] == events
    assert all(event.run_id is not None for event in settled)
    assert {run.kind for run in rows(database, Run)} == {"events"}
    assert handle_events(database, decide, now=NOW) == Handled()
    assert len(rows(database, Contact)) == 5


def test_what_has_not_been_recorded_yet_waits(database: Database) -> None:
    """An event recorded after now is handled when its time has come."""
    (loan,) = book(database)
    happened(database, loan)
    decide = Decider(database)
    assert handle_events(database, decide, now=NOW - timedelta(seconds=1)).events == 0
    assert handle_events(database, decide, now=NOW).events == 1


def test_the_book_decides_not_the_event(sqlite_database: Database) -> None:
    """A failed delivery of a loan that has been paid since leads to nothing, whatever order the events are in."""
    for order in itertools.permutations(("payment", KIND, "payment_reversed")):
        (loan,) = book(sqlite_database)
        add_payment(sqlite_database, loan, AMOUNT, TODAY, recorded_at=NOW)
        for n, kind in enumerate(order):
            happened(sqlite_database, loan, kind, key=f"{loan}:{n}")
        assert handle_events(sqlite_database, Decider(sqlite_database), now=NOW, batch=2).contacts == 0
    assert rows(sqlite_database, Contact) == []


def test_one_events_fault_parks_that_one(database: Database, caplog: pytest.LogCaptureFixture) -> None:
    """Of nine events one cannot be handled: it is parked with a reason that quotes nobody, the eight are handled."""
    loans = book(database, 9)
    ids = [happened(database, loan) for loan in loans]
    decide = Decider(database)

    def some(borrowers: Sequence[int], what: Happened, events: Sequence[int]) -> int:
        if ids[4] in events:
            raise ValueError("Somebody Number5 <person-5@example.com>")
        return decide(borrowers, what, events)

    done = handle_events(database, some, now=NOW)
    assert (done.events, done.contacts, done.parked) == (8, 8, 1)
    parked = [event for event in rows(database, Event) if event.run_id is None]
    assert [(event.id, event.parked) for event in parked] == [(ids[4], "it could not be handled (ValueError)")]
    assert [record.event for record in caplog.records if hasattr(record, "event")] == [ids[4]]
    assert "Somebody" not in caplog.text
    assert handle_events(database, some, now=NOW) == Handled()


def test_data_that_cannot_be_decided_parks_and_a_broken_database_does_not(database: Database) -> None:
    """A DataError is about the event; a database that is away is not, so nothing is parked and all comes again."""
    (loan,) = book(database)
    happened(database, loan)

    def away(*_: object) -> int:
        raise StoreError(Problem("`book.db` is locked by another writer", "run the same again"))

    with pytest.raises(StoreError):
        handle_events(database, away, now=NOW)
    assert rows(database, Event)[0].parked is None

    def bad(*_: object) -> int:
        raise DataError(Problem("odd", "mend it"))

    assert handle_events(database, bad, now=NOW).parked == 1


def test_an_event_about_nobody_is_parked(database: Database) -> None:
    """Somebody without a loan, or nobody at all: there is nothing to decide, and a person sees why."""
    stranger = make_person(database)
    happened(database, None, person=stranger)
    happened(database, None)
    assert handle_events(database, Decider(database), now=NOW).parked == 2
    assert {event.parked for event in rows(database, Event)} == {"it is about nobody who has a loan"}


def test_what_a_guarantor_says_is_about_the_loans_they_stand_for(database: Database) -> None:
    """A guarantor's own event is handled as an event of those loans, and of none of the borrower's others."""
    first, second = book(database, 2)
    guarantor = make_person(database)
    add(database, Party(loan_id=first, person_id=guarantor, role="guarantor"))
    happened(database, None, person=guarantor)
    decide = Decider(database)
    assert handle_events(database, decide, now=NOW).events == 1
    ((borrowers, what, _),) = decide.asked
    assert borrowers == [borrower_of(database, first)]
    assert (what.by_loan, what.by_person) == ({first: frozenset({KIND})}, {})
    assert {row.loan_id for row in rows(database, DecisionRow)} == {first}
    assert second != first


def test_what_somebody_else_was_faster_with_is_left_to_them(database: Database) -> None:
    """An event that another process settles in between is not handled again, and the others are."""
    loans = book(database, 3)
    ids = [happened(database, loan) for loan in loans]
    decide = Decider(database)
    raced = []

    def race(borrowers: Sequence[int], what: Happened, events: Sequence[int]) -> int:
        if not raced:
            raced.append(1)
            Decider(database)(
                [borrower_of(database, loans[1])], Happened(by_loan={loans[1]: frozenset({KIND})}), [ids[1]]
            )
        return decide(borrowers, what, events)

    done = handle_events(database, race, now=NOW)
    assert (done.events, done.contacts) == (2, 2)
    assert len(rows(database, Contact)) == 3
    assert len({event.run_id for event in rows(database, Event)}) == 2


def test_a_process_that_is_always_slower_gives_up(database: Database) -> None:
    """When every batch was somebody else's, the rest is left to them instead of asked for ever."""
    happened(database, book(database)[0])
    asked = []

    def slow(*_: object) -> int:
        asked.append(1)
        raise HandledMeanwhile("event 1")

    assert handle_events(database, slow, now=NOW) == Handled()
    assert len(asked) == 5


def test_two_processes_handle_an_inbox_once(postgres_database: Database) -> None:
    """Two at once: every event has one run, every loan one contact."""
    loans = book(postgres_database, 12)
    for loan in loans:
        happened(postgres_database, loan)
    url = postgres_database.url.render_as_string(hide_password=False)
    done: list[Handled] = []
    start = threading.Barrier(2)

    def work() -> None:
        own = open_database(url)
        decide = Decider(own)
        start.wait(60)
        done.append(handle_events(own, decide, now=NOW, batch=4))
        own.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert len(done) == 2
    with postgres_database.session() as session:
        left = session.exec(select(Event.id).where(col(Event.run_id).is_(None))).all()
    assert left == []
    assert sum(each.events for each in done) == 12
    by_loan = [contact.loan_id for contact in rows(postgres_database, Contact)]
    assert sorted(by_loan) == sorted(loans)


def test_the_rulebook_of_these_tests_listens() -> None:
    """The rule that the events here are for listens to them, so that contacts mean something."""
    rule = small_rulebook().strategies["test-cny"].rule("after-failure")
    assert rule is not None
    assert rule.on == {KIND}
    assert SmallGate().digest
