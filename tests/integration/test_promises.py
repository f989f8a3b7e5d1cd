"""Promises to pay, judged from a real ledger."""

import threading
from datetime import date, timedelta
from decimal import Decimal

import pytest

from engine.strategy import PromisePolicy
from store.db import Database
from store.tables import Event, Person, Promise
from tests.factories import add_movement, add_payment, reverse
from tests.opening import open_database
from tests.outgoing import NOW, TODAY, add, book, borrower_of, rows
from workflows.promises import Terms, check_promises, promises_to_judge

POLICY = PromisePolicy(max_days=7, grace_days=1, kept_at=Decimal("0.9"))
DUE_ON = TODAY + timedelta(days=3)


def promised(database: Database, loan: int, amount: int = 100_00, due_on: date = DUE_ON) -> None:
    add(database, Promise(loan_id=loan, amount_minor=amount, made_at=NOW, due_on=due_on, ref=f"p{loan}"))


def check(database: Database, loan: int, days: int, *, is_stale: bool = False) -> tuple[str, int]:
    """The promise after a check so many days after it was made: status and what was paid."""
    on = TODAY + timedelta(days=days)
    check_promises(database, now=NOW + timedelta(days=days), terms={loan: Terms(POLICY, on, is_stale)})
    (promise,) = rows(database, Promise)
    return promise.status, promise.paid_minor


def told(database: Database) -> list[str]:
    return [event.kind for event in rows(database, Event)]


@pytest.mark.parametrize(("paid", "status"), [(89_99, "broken"), (90_00, "kept"), (100_00, "kept"), (250_00, "kept")])
def test_a_promise_is_kept_at_its_share_and_broken_after_its_grace(database: Database, paid: int, status: str) -> None:
    """Nine tenths by the day after keep it; one cent less breaks it, on the second day after and not before."""
    (loan,) = book(database)
    promised(database, loan)
    last = DUE_ON + timedelta(days=1)
    assert check(database, loan, 3) == ("open", 0)
    add_payment(database, loan, paid, last, recorded_at=NOW + timedelta(days=4))
    assert check(database, loan, 4) == ("open" if status == "broken" else "kept", paid)
    assert check(database, loan, 5)[0] == status
    assert told(database) == [f"promise_{status}"]
    (promise,) = rows(database, Promise)
    assert promise.settled_on == (last if status == "kept" else last + timedelta(days=1))


def test_only_credit_since_the_promise_and_in_time_counts(database: Database) -> None:
    """A payment from before, a pending debit, a fee and a payment that bounced keep nothing; a waiver does."""
    (loan,) = book(database)
    add_payment(database, loan, 500_00, TODAY, recorded_at=NOW - timedelta(hours=1))
    promised(database, loan)
    later = NOW + timedelta(days=1)
    add_movement(database, loan, "pending_debit", 500_00, TODAY, recorded_at=later)
    add_movement(database, loan, "fee", 500_00, TODAY, recorded_at=later)
    bounced = add_payment(database, loan, 100_00, TODAY, recorded_at=later)
    reverse(database, loan, bounced, 100_00, DUE_ON, recorded_at=NOW + timedelta(days=2))
    assert check(database, loan, 3) == ("open", 0)
    add_movement(database, loan, "waiver", 95_00, DUE_ON, recorded_at=NOW + timedelta(days=3))
    assert check(database, loan, 3) == ("kept", 95_00)


def test_a_payment_after_the_grace_is_too_late(database: Database) -> None:
    """All of it, a day too late, leaves the promise broken."""
    (loan,) = book(database)
    promised(database, loan)
    add_payment(database, loan, 100_00, DUE_ON + timedelta(days=2), recorded_at=NOW + timedelta(days=5))
    assert check(database, loan, 5) == ("broken", 0)


def test_what_was_not_known_yet_does_not_count(database: Database) -> None:
    """A check at an instant counts what was recorded by then."""
    (loan,) = book(database)
    promised(database, loan)
    add_payment(database, loan, 100_00, TODAY, recorded_at=NOW + timedelta(days=2))
    assert check(database, loan, 1) == ("open", 0)
    assert check(database, loan, 2) == ("kept", 100_00)


def test_nothing_is_called_broken_on_old_news(database: Database) -> None:
    """While the payment feed is stale a promise may be found kept, and is not called broken."""
    (loan,) = book(database)
    promised(database, loan)
    assert check(database, loan, 9, is_stale=True) == ("open", 0)
    assert told(database) == []
    assert check(database, loan, 9) == ("broken", 0)
    (other,) = book(database)
    with database.write() as session:
        session.delete(session.get_one(Promise, rows(database, Promise)[0].id))
    promised(database, other)
    add_payment(database, other, 100_00, TODAY, recorded_at=NOW)
    assert check(database, other, 9, is_stale=True) == ("kept", 100_00)


def test_each_promise_is_told_of_once(database: Database) -> None:
    """However often it is checked, a settled promise has one event, and its borrower one new version."""
    (loan,) = book(database)
    promised(database, loan)
    before = {p.id: p.version for p in rows(database, Person)}
    for day in (4, 5, 6, 7):
        check(database, loan, day)
    assert told(database) == ["promise_broken"]
    assert {p.id: p.version for p in rows(database, Person)} == before | {
        borrower_of(database, loan): before[borrower_of(database, loan)] + 1
    }
    with database.session() as session:
        assert promises_to_judge(session, NOW + timedelta(days=30)) == []


def test_only_promises_that_can_be_settled_are_looked_at(database: Database) -> None:
    """A promise is left alone until its day has come somewhere on Earth, or money has."""
    waits, due, paid = book(database, 3)
    promised(database, waits, due_on=TODAY + timedelta(days=5))
    promised(database, due, due_on=TODAY + timedelta(days=1))
    promised(database, paid, due_on=TODAY + timedelta(days=5))
    add_payment(database, paid, 1_00, TODAY, recorded_at=NOW)
    with database.session() as session:
        assert sorted(promises_to_judge(session, NOW)) == [due, paid]


def test_a_loan_without_a_strategy_is_left_alone(database: Database) -> None:
    """A promise whose loan no strategy applies to stays open."""
    (loan,) = book(database)
    promised(database, loan)
    assert check_promises(database, now=NOW + timedelta(days=30), terms={}) == {"kept": 0, "broken": 0}
    assert rows(database, Promise)[0].status == "open"


def test_two_checks_at_once_settle_a_promise_once(postgres_database: Database) -> None:
    """Two processes that check at the same moment tell of each promise once, and neither fails."""
    loans = book(postgres_database, 12)
    for loan in loans:
        promised(postgres_database, loan)
    terms = {loan: Terms(POLICY, TODAY + timedelta(days=9)) for loan in loans}
    url = postgres_database.url.render_as_string(hide_password=False)
    counted: list[int] = []
    start = threading.Barrier(3)

    def work() -> None:
        own = open_database(url)
        start.wait(30)
        counted.append(check_promises(own, now=NOW + timedelta(days=9), terms=terms)["broken"])
        own.close()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(counted) == [0, 0, 12]
    assert told(postgres_database) == ["promise_broken"] * 12
