"""A position is the fold of its ledger at every moment, whatever came in whatever order."""

import threading
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlmodel import col, select

from store import migrations
from store.arrears import arrears_from_position, read_arrears
from store.db import Database
from store.ledger import Recorded, record, set_schedule
from store.projection import position_statements, project
from store.tables import Instalment, Loan, Movement, Person, Position
from tests.factories import add_payment, make_loan, make_person
from tests.histories import History, histories, recount
from tests.movements import DAY, add, new, position
from tests.older_books import KINDS_OF, older_book, put
from tests.postgres import Server

EVER = datetime(2100, 1, 1, tzinfo=UTC)


def fold(found: Position) -> dict[str, Any]:
    """The position without its version and whose it is."""
    return found.model_dump(exclude={"loan_id", "version"})


@given(history=histories(), data=st.data())
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_position_is_the_fold_of_the_ledger(database: Database, history: History, data: st.DataObject) -> None:
    """Whatever came, in whatever order, one by one, at once, twice, or in bulk: the same position, and the right one."""
    one_by_one = make_loan(database, instalments=history.schedule)
    waiting = data.draw(st.permutations(history.of_loan(one_by_one)))
    while waiting:
        # What ends another has to wait for it.
        refs = {movement.key for movement in waiting}
        ready = [movement for movement in waiting if movement.ends not in refs]
        waiting = [movement for movement in waiting if movement.ends in refs]
        for movement in ready:
            assert add(database, movement) == Recorded(1, 0, frozenset({one_by_one}))

    at_once = make_loan(database)
    batch = data.draw(st.permutations(history.of_loan(at_once)))
    add(database, *batch, *batch)
    with database.write() as session:
        set_schedule(session, at_once, history.schedule)
    settled = position(database, at_once)
    assert add(database, *batch) == Recorded(0, len(batch), frozenset())
    assert position(database, at_once) == settled

    in_bulk = make_loan(database)
    with database.write() as session:
        insert_raw(session, History(history.schedule, tuple(history.of_loan(in_bulk))), in_bulk)
    with database.write() as session:
        project(session, [in_bulk])

    assert (
        fold(position(database, one_by_one)) == fold(settled) == fold(position(database, in_bulk)) == expected(history)
    )
    with database.session() as session:
        loan = session.get_one(Loan, at_once)
        instalments = session.exec(select(Instalment).where(Instalment.loan_id == at_once)).all()
        on = date(2028, 6, 1)
        slow = read_arrears(session, loan, on=on, known_at=EVER) if instalments else None
    if slow is not None:
        assert arrears_from_position(settled, instalments, on=on) == slow


def insert_raw(session: Any, history: History, loan_id: int) -> None:
    """As a bulk writer does: rows only, no position."""
    base = 1 + (session.exec(select(Movement.id).order_by(col(Movement.id).desc())).first() or 0) + 1000
    session.add_all(history.instalments(loan_id))
    for row in sorted(history.rows(), key=lambda row: row.reverses_id or 0):
        row.id = base + (row.id or 0)
        row.reverses_id = row.reverses_id and base + row.reverses_id
        session.add(row)
        session.flush()


def expected(history: History) -> dict[str, Any]:
    """The position as the slow recount has it."""
    count = recount(history.schedule, history.movements, date(2028, 6, 1), EVER)
    taken = {one.ends: one.amount_minor for one in history.movements if one.kind == "reversal"}
    by_key = {one.key: one for one in history.movements}
    fee = sum(one.amount_minor - taken.get(one.key, 0) for one in history.movements if one.kind == "fee")
    standing = [
        one.effective_on
        for one in history.movements
        if one.kind == "payment" and one.amount_minor > taken.get(one.key, 0)
    ]
    due = sum(amount for _, amount in history.schedule)
    opened = [one for one in history.instalments() if one.due_on == count.first_unpaid_on]
    return {
        "due_minor": due,
        "credit_minor": due + fee - count.balance_minor,
        "fee_minor": fee,
        "pending_minor": count.pending_minor,
        "first_open_number": opened[0].number if opened else None,
        "first_open_on": count.first_unpaid_on,
        "first_open_minor": opened[0].amount_minor if opened else None,
        "first_open_total_minor": opened[0].due_total_minor if opened else None,
        "last_payment_on": max(standing, default=None),
        "reversals": sum(one.kind == "reversal" and by_key[one.ends].kind == "payment" for one in history.movements if one.ends),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["payment", "credit", "waiver", "forgiveness", "fee", "charge_off"])
def test_every_kind_and_its_reversal(database: Database, kind: str) -> None:
    """Whatever clears a claim clears it, not payments alone, and taking it back brings the claim back (P05)."""
    loan_id = make_loan(database, instalments=[(DAY, 100)])
    add(database, new(loan_id, kind, 100, "1"))
    after = position(database, loan_id)
    cleared = kind in ("payment", "credit", "waiver", "forgiveness")
    assert (after.credit_minor, after.fee_minor) == (100 * cleared, 100 * (kind == "fee"))
    assert after.first_open_on == (None if cleared else DAY)
    add(database, new(loan_id, "reversal", 100, "2", ends=("core", "1")))
    back = position(database, loan_id)
    assert (back.credit_minor, back.fee_minor, back.first_open_on, back.last_payment_on) == (0, 0, DAY, None)
    assert back.reversals == (kind == "payment")


def test_a_pending_debit_ends_in_a_payment_or_in_nothing(database: Database) -> None:
    """It is neither credit nor lost from sight until it clears, fails or is called off."""
    loan_id = make_loan(database, instalments=[(DAY, 100)])
    soon = DAY + timedelta(days=5)
    add(database, new(loan_id, "pending_debit", 60, "a", effective_on=soon), new(loan_id, "pending_debit", 40, "b"))
    assert (position(database, loan_id).pending_minor, position(database, loan_id).credit_minor) == (100, 0)
    add(database, new(loan_id, "payment", 55, "c", ends=("core", "a")))
    assert (position(database, loan_id).pending_minor, position(database, loan_id).credit_minor) == (40, 55)
    add(database, new(loan_id, "pending_cancelled", 40, "d", ends=("core", "b")))
    assert (position(database, loan_id).pending_minor, position(database, loan_id).credit_minor) == (0, 55)


def test_every_order_of_a_debits_life_ends_alike(database: Database) -> None:
    """Created, settled, bounced, and a second payment: any order in a batch, and any split in time, same end (P03)."""
    ends = []
    for order in permutations(range(4)):
        loan_id = make_loan(database, instalments=[(DAY, 100), (DAY, 50)])
        key = f"{loan_id}-"
        life = [
            new(loan_id, "pending_debit", 100, key + "created"),
            new(loan_id, "payment", 100, key + "settled", ends=("core", key + "created")),
            new(loan_id, "reversal", 100, key + "bounced", ends=("core", key + "settled")),
            new(loan_id, "payment", 100, key + "again"),
        ]
        add(database, *(life[n] for n in order))
        ends.append(fold(position(database, loan_id)))
    assert ends == ends[:1] * 24
    assert (ends[0]["credit_minor"], ends[0]["first_open_number"], ends[0]["reversals"]) == (100, 2, 1)


def test_loans_of_one_person_stand_each_for_itself(database: Database) -> None:
    """Two currencies, one borrower: nothing is added up, and only the loans touched are folded anew (P07)."""
    borrower = make_person(database)
    loans = [
        make_loan(database, borrower_id=borrower, currency=currency, instalments=[(DAY, 100)])
        for currency in ("CNY", "USD", "CNY")
    ]
    done = add(database, new(loans[2], "payment", 30, "1"), new(loans[0], "payment", 100, "2"))
    assert done == Recorded(2, 0, frozenset({loans[0], loans[2]}))
    assert [position(database, loan_id).credit_minor for loan_id in loans] == [100, 0, 30]
    assert [position(database, loan_id).version for loan_id in loans] == [2, 1, 2]


def test_what_changes_a_claim_bumps_the_borrowers_version(database: Database) -> None:
    """Once a transaction, so that dispatch looks again; a repeat changes nothing and so bumps nothing."""
    borrower = make_person(database)
    loan_id = make_loan(database, borrower_id=borrower, instalments=[(DAY, 100)])

    def version() -> int:
        with database.session() as session:
            return session.get_one(Person, borrower).version

    assert version() == 1
    payments = [new(loan_id, "payment", 10, "1"), new(loan_id, "payment", 20, "2")]
    add(database, *payments)
    assert version() == 2
    add(database, *payments)
    assert version() == 2


def test_rows_at_hand_say_what_is_true_now(database: Database) -> None:
    """A position read earlier in the same transaction is up to date after a movement."""
    loan_id = make_loan(database, instalments=[(DAY, 100)])
    with database.write() as session:
        held = session.get_one(Position, loan_id)
        record(session, [new(loan_id, "payment", 100, "1")])
        assert (held.credit_minor, held.first_open_on, held.version) == (100, None, 2)


def test_writers_of_one_loan_lose_nothing(database: Database) -> None:
    """Payments that arrive at once, several borrowers at a time, all count."""
    loans = [make_loan(database, instalments=[(DAY, 1000)]) for _ in range(3)]

    def pay(who: int) -> None:
        for n in range(8):
            order = loans if (who + n) % 2 else loans[::-1]
            add(database, *(new(loan_id, "payment", 1, f"{who}-{n}-{loan_id}") for loan_id in order))

    threads = [threading.Thread(target=pay, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [position(database, loan_id).credit_minor for loan_id in loans] == [32, 32, 32]
    assert [position(database, loan_id).version for loan_id in loans] == [33, 33, 33]


def test_the_statements_fold_whatever_a_query_names(database: Database) -> None:
    """A bulk writer brings up to date the loans of its feed by a query, and may do so twice."""
    loan_id = make_loan(database, instalments=[(DAY, 100), (DAY + timedelta(days=30), 100)])
    other = make_loan(database, instalments=[(DAY, 100)])
    add_payment(database, loan_id, 100, DAY, ref="p")
    add_payment(database, other, 100, DAY)
    before = fold(position(database, loan_id))
    with database.write() as session:
        connection = session.connection()
        connection.exec_driver_sql(
            "update position set credit_minor = 5, first_open_number = 1, first_open_minor = 9, last_payment_on = null"
        )
        for statement in 2 * position_statements("select loan_id from movement where source = 'test' and ref = 'p'"):
            connection.exec_driver_sql(statement)
    assert fold(position(database, loan_id)) == before
    assert position(database, other).credit_minor == 5


@pytest.mark.parametrize("kind", KINDS_OF)
def test_an_upgrade_folds_an_older_book_as_it_is_folded_now(kind: str, tmp_path: Path, postgres_server: Server) -> None:
    """What a position says since of the oldest open instalment is filled in, and nothing else of it changes."""
    with older_book(kind, 13, tmp_path, postgres_server) as database:
        with database.write() as session:
            connection = session.connection()
            put(connection, "person", id=1, ref="P1")
            for loan_id in (1, 2, 3):
                put(connection, "loan", id=loan_id, ref=f"L{loan_id}", borrower_id=1)
            for loan_id, number, amount_minor in ((1, 1, 70), (1, 2, 80), (1, 3, 90), (2, 1, 50)):
                due = {"due_on": DAY + number * timedelta(days=30), "due_total_minor": (70, 150, 240)[number - 1]}
                put(connection, "instalment", loan_id=loan_id, number=number, amount_minor=amount_minor, **due)
            connection.exec_driver_sql("update instalment set due_total_minor = 50 where loan_id = 2")
            opened = {"first_open_number": 2, "first_open_on": DAY + timedelta(days=60)}
            paid = {"amount_minor": 70, "effective_on": DAY, "source": "test", "kind": "payment"}
            put(connection, "movement", id=1, loan_id=1, ref="1", **paid)
            put(connection, "movement", id=2, loan_id=2, ref="2", **{**paid, "amount_minor": 50})
            put(connection, "position", loan_id=1, due_minor=240, credit_minor=70, last_payment_on=DAY, **opened)
            put(connection, "position", loan_id=2, due_minor=50, credit_minor=50, last_payment_on=DAY)
            put(connection, "position", loan_id=3)
        assert database.upgrade() == (13, migrations.HEAD)
        upgraded = [fold(position(database, loan_id)) for loan_id in (1, 2, 3)]
        with database.write() as session:
            project(session, (1, 2, 3))
        assert upgraded == [fold(position(database, loan_id)) for loan_id in (1, 2, 3)]
        assert (upgraded[0]["first_open_minor"], upgraded[0]["first_open_total_minor"]) == (80, 150)
