"""What a lender's systems post, on both databases: in the book with everything that follows, once, or not at all."""

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlmodel import col

from engine.errors import DataError
from store.db import Database
from store.tables import Arrival, Event, Hold, Loan, Movement, Person, Position, Promise
from tests.factories import add_payment
from tests.opening import open_database
from tests.outgoing import AMOUNT, NOW, TODAY, Silent, book, borrower_of, counts, door_of, go, plan, rows
from workflows.inbox.posting import Conflict, Money, Placed, Promised, Released, Taken, Told, post


def ref_of(database: Database, loan: int) -> str:
    return next(row.ref for row in rows(database, Loan, col(Loan.id) == loan))


def payment(database: Database, loan: int, **changes: object) -> Money:
    told = Money("payment", "P-1", ref_of(database, loan), "100.00", TODAY, NOW)
    return replace(told, **changes)  # type: ignore[arg-type]


def tell(database: Database, told: Told, key: str = "k1", *, now: datetime = NOW) -> Taken:
    return post(database, "core", key, told, now=now)


def test_a_payment_is_in_the_ledger_and_stops_what_waits(database: Database) -> None:
    """Movement, position, version and news are there when the answer is; a reminder that waited does not go."""
    (loan,) = book(database)
    plan(database, loan)
    version = rows(database, Person)[0].version
    assert tell(database, payment(database, loan)).state == "new"
    (movement,) = rows(database, Movement)
    assert (movement.source, movement.ref, movement.amount_minor, movement.kind) == ("core", "P-1", AMOUNT, "payment")
    assert rows(database, Position)[0].credit_minor == AMOUNT
    assert rows(database, Person)[0].version > version
    (event,) = rows(database, Event)
    assert (event.source, event.key, event.kind, event.loan_id) == ("core", "movement:P-1", "payment", loan)
    adapter = Silent()
    assert counts(go(door_of(database, {"sms": adapter}))) == {"cancelled": 1}
    assert adapter.seen == []


def test_the_same_again_changes_nothing_and_something_else_is_refused(database: Database) -> None:
    """By its key, by its ref, or both; what a key or a ref was used for does not change."""
    (loan,) = book(database)
    told = payment(database, loan)
    first = tell(database, told)
    assert tell(database, told) == Taken(first.id, "known")
    assert tell(database, told, "k2").state == "known"
    other = replace(told, amount="99.99")
    with pytest.raises(Conflict, match="idempotency key `k1` was used for something else"):
        tell(database, other)
    with pytest.raises(Conflict, match="movement `core/P-1` was recorded with other content"):
        tell(database, other, "k3")
    assert len(rows(database, Movement)) == len(rows(database, Event)) == 1
    assert [(a.key, a.state) for a in rows(database, Arrival)] == [("posted:k1", "done"), ("posted:k2", "done")]


def test_what_does_not_hold_together_leaves_nothing(database: Database) -> None:
    """The ledger's own words, or those of files; neither the book nor the inbox keeps anything of it."""
    (loan,) = book(database)
    told = payment(database, loan)
    wrong: list[tuple[Told, str]] = [
        (replace(told, loan="L-none"), "no loan `L-none`\n  mend: correct it, or import `loans` first"),
        (replace(told, amount="1.005"), "amount `1.005` has more decimals than CNY\n  mend: round it to whole minor units"),
        (replace(told, amount="0.00"), "amount `0.00` is nothing\n  mend: write an amount above 0"),
        (replace(told, amount="999999999999999"), "amount `999999999999999` is too much to be true\n  mend: correct it"),
        (replace(told, kind="reversal"), "movement `core/P-1` is a reversal of nothing\n  mend: name the source and ref of the movement it ends"),
        (replace(told, kind="reversal", ends="P-0"), "movement `core/P-1` ends movement `core/P-0`, which is not known\n  mend: record that one first, or both together"),
        (replace(told, effective_on=TODAY + timedelta(days=3)), "movement `core/P-1` takes effect on 2026-11-27, after it was recorded on 2026-11-24\n  mend: record it as pending_debit until it clears"),
        (replace(told, recorded_at=NOW + timedelta(hours=1)), "`recorded_at` is still to come\n  mend: correct it, or the clock of whoever says so"),
        (Promised("R-1", told.loan, "50.00", NOW, TODAY - timedelta(days=3)), "`due_on` is before `made_at`\n  mend: correct one of them"),
        (Released("H-none", NOW), "no hold `H-none`\n  mend: place it first, or write the ref it was placed with"),
        (Placed("H-1", "P-none", "dispute", "mei", TODAY, NOW), "no person `P-none`\n  mend: correct it, or import `people` first"),
    ]  # fmt: skip
    for event, words in wrong:
        with pytest.raises(DataError) as caught:
            tell(database, event)
        assert str(caught.value) == words
    for table in (Movement, Promise, Hold, Event, Arrival):
        assert rows(database, table) == []


def test_a_reversal_is_told_as_what_it_is(database: Database) -> None:
    """A payment that bounced is news, a fee is not; a debit on its way is, and so is its end."""
    (loan,) = book(database)
    told = payment(database, loan)
    tell(database, told)
    tell(database, replace(told, kind="reversal", ref="P-2", ends="P-1"), "k2")
    tell(database, replace(told, kind="fee", ref="P-3"), "k3")
    tell(database, replace(told, kind="pending_debit", ref="P-4"), "k4")
    tell(database, replace(told, kind="pending_cancelled", ref="P-5", ends="P-4"), "k5")
    tell(database, replace(told, kind="reversal", ref="P-6", ends="P-3"), "k6")
    assert [(event.key, event.kind) for event in rows(database, Event)] == [
        ("movement:P-1", "payment"), ("movement:P-2", "payment_reversed"), ("movement:P-4", "pending_debit"),
        ("movement:P-5", "payment_reversed"),
    ]  # fmt: skip
    assert rows(database, Position)[0].credit_minor == 0


def test_what_comes_late_is_no_news_and_a_file_may_have_been_faster(database: Database) -> None:
    """A payment of last week is booked and told nobody; one that a file brought is known."""
    (loan,) = book(database)
    week = NOW - timedelta(days=7)
    assert tell(database, payment(database, loan, recorded_at=week, effective_on=week.date())).state == "new"
    assert rows(database, Event) == []
    add_payment(database, loan, 5_00, TODAY, ref="P-9", recorded_at=NOW)
    told = payment(database, loan, ref="P-9", amount="5")
    assert post(database, "test", "k9", told, now=NOW).state == "known"
    assert len(rows(database, Movement)) == 2


def test_a_clock_that_is_a_little_ahead_does_not_hide_a_payment(database: Database) -> None:
    """Recorded a minute from now elsewhere is recorded now here: what is not known yet would count for nothing."""
    (loan,) = book(database)
    tell(database, payment(database, loan, recorded_at=NOW + timedelta(minutes=1)))
    assert rows(database, Movement)[0].recorded_at == NOW


def test_promises_and_holds(database: Database) -> None:
    """Each with its row, its news and its end; again they are known, and otherwise refused."""
    (loan,) = book(database)
    ref, person = ref_of(database, loan), borrower_of(database, loan)
    owner = next(row.ref for row in rows(database, Person, col(Person.id) == person))
    promise = Promised("R-1", ref, "50.00", NOW, TODAY + timedelta(days=3))
    hold = Placed("H-1", owner, "dispute", "mei", date(2026, 12, 1), NOW, ref, ("sms", "call"), "written")
    house = Placed("H-2", owner, "hardship", "mei", date(2026, 12, 1), NOW)
    for number, told in enumerate((promise, hold, house)):
        assert tell(database, told, f"a{number}").state == "new"
        assert tell(database, told, f"b{number}").state == "known"
    ended = Released("H-1", NOW + timedelta(minutes=1))
    assert tell(database, ended, "c1", now=NOW + timedelta(minutes=2)).state == "new"
    assert tell(database, ended, "c2", now=NOW + timedelta(minutes=3)).state == "known"
    with pytest.raises(Conflict):
        tell(database, replace(ended, ended_at=NOW), "c3", now=NOW + timedelta(minutes=3))
    with pytest.raises(Conflict):
        tell(database, replace(promise, amount="60.00"), "c4")
    with pytest.raises(Conflict):
        tell(database, replace(hold, kind="fraud"), "c5")
    assert [(p.amount_minor, p.due_on, p.status) for p in rows(database, Promise)] == [(50_00, promise.due_on, "open")]
    assert {h.ref: (h.kind, h.blocks, h.loan_id, h.ends_at) for h in rows(database, Hold)} == {
        "H-1": ("dispute", "sms call", loan, ended.ended_at), "H-2": ("hardship", "", None, None),
    }  # fmt: skip
    assert [(e.kind, e.person_id, e.loan_id) for e in rows(database, Event)] == [
        ("promise_made", person, loan), ("dispute", person, loan), ("hold_placed", person, None),
        ("hold_released", person, loan),
    ]  # fmt: skip
    assert rows(database, Person)[0].version >= 4


def test_ten_at_once_with_one_key_are_one(postgres_database: Database) -> None:
    """A caller that lost patience and came again, ten times: one movement, one yes, nine that know it already."""
    (loan,) = book(postgres_database)
    told = payment(postgres_database, loan)
    url = postgres_database.url.render_as_string(hide_password=False)
    start, states = threading.Barrier(10), list[str]()

    def work() -> None:
        own = open_database(url)
        start.wait(60)
        states.append(tell(own, told).state)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    assert sorted(states) == ["known"] * 9 + ["new"]
    assert len(rows(postgres_database, Movement)) == 1


def test_instants_of_other_zones_are_the_same_instants(sqlite_database: Database) -> None:
    """A promise told again in another zone's words is the same promise."""
    from zoneinfo import ZoneInfo

    (loan,) = book(sqlite_database)
    told = Promised("R-1", ref_of(sqlite_database, loan), "50.00", NOW, TODAY)
    tell(sqlite_database, told)
    shanghai = replace(told, made_at=NOW.astimezone(ZoneInfo("Asia/Shanghai")))
    assert tell(sqlite_database, shanghai, "k2").state == "known"
    assert rows(sqlite_database, Promise)[0].made_at.tzinfo == UTC
