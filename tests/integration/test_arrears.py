"""Arrears for any day and any state of knowledge: the history, the SQL and the projection agree with a slow recount."""

from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import DataError
from store.arrears import Arrears, arrears, arrears_from_position, arrears_from_snapshot, read_arrears
from store.columns import to_us
from store.db import Database
from store.tables import AccountSnapshot, Loan, Movement, Position
from tests.arrears_sql import ARREARS_SQL
from tests.factories import add_movement, add_payment, at, make_loan, reverse
from tests.histories import LAST_ON, History, histories, recount

if TYPE_CHECKING:
    import pyarrow as pa

EVER = datetime(2100, 1, 1, tzinfo=UTC)


def counted(found: Arrears) -> dict[str, Any]:
    """Without the day it is of."""
    values = asdict(found)
    del values["on"]
    return values


@given(histories())
@settings(max_examples=80)
def test_the_history_agrees_with_a_recount(history: History) -> None:
    """For every day and everything that was known at any time, whatever was paid, bounced, waived or backdated."""
    instalments, rows = history.instalments(), history.rows()
    for known_at in history.instants():
        for on in history.days():
            found = arrears(reversed(instalments), rows[::-1], on=on, known_at=known_at)
            assert found.on == on
            assert counted(found) == asdict(recount(history.schedule, history.movements, on, known_at))


@given(st.lists(histories(), min_size=1, max_size=4))
@settings(max_examples=25)
def test_the_statement_agrees_with_the_history(book: list[History]) -> None:
    """One statement over many loans, days and states of knowledge at once gives what the function gives for each."""
    instalments, movements, questions, want = [], [], [], {}
    for loan_id, history in enumerate(book, start=1):
        rows = history.rows()
        instalments += history.instalments(loan_id)
        for on in history.days()[::2]:
            for known_at in history.instants():
                questions.append({"loan_id": loan_id, "on_on": on, "known_at": to_us(known_at)})
                found = arrears(history.instalments(), rows, on=on, known_at=known_at)
                want[loan_id, on, to_us(known_at)] = counted(found)
        for row in rows:
            row.id = 100 * loan_id + (row.id or 0)
            row.loan_id = loan_id
            row.reverses_id = row.reverses_id and 100 * loan_id + row.reverses_id
        movements += rows
    found = by_statement([one.model_dump() for one in instalments], movements, [*questions, *questions])
    assert found == want


def by_statement(
    instalments: list[dict[str, Any]], movements: list[Movement], questions: list[dict[str, Any]]
) -> dict[tuple[int, date, int], dict[str, Any]]:
    """The statement's answers by question, over Arrow tables as the bulk reader makes them."""
    import duckdb
    import pyarrow as pa

    wire = {"int": pa.int64(), "date": pa.date32(), "str": pa.string()}

    def table(rows: list[dict[str, Any]], **columns: str) -> "pa.Table":
        return pa.Table.from_pylist(rows, pa.schema([(name, wire[kind]) for name, kind in columns.items()]))

    moved = [{**one.model_dump(), "recorded_at": to_us(one.recorded_at)} for one in movements]
    with duckdb.connect() as connection:
        connection.register(
            "instalment",
            table(instalments, loan_id="int", number="int", due_on="date", amount_minor="int", due_total_minor="int"),
        )
        connection.register(
            "movement",
            table(moved, id="int", loan_id="int", kind="str", amount_minor="int", effective_on="date",
                  recorded_at="int", reverses_id="int"),
        )  # fmt: skip
        connection.register("asked", table(questions, loan_id="int", on_on="date", known_at="int"))
        answers = connection.sql(ARREARS_SQL).to_arrow_table().to_pylist()
    keys = ("loan_id", "on_on", "known_at")
    found = {tuple(row[key] for key in keys): {k: v for k, v in row.items() if k not in keys} for row in answers}
    assert len(found) == len(answers)
    return found


@given(histories())
@settings(max_examples=60)
def test_the_projection_agrees_with_the_history(history: History) -> None:
    """The fast way, with all that is known, equals the history; what is dated ahead of `on` counts already."""
    everything = recount(history.schedule, history.movements, LAST_ON, EVER)
    instalments, rows = history.instalments(), history.rows()
    position = folded(history)
    still_open = [one for one in instalments if one.number >= (position.first_open_number or 99)]
    for on in history.days():
        here = [replace(new, effective_on=min(new.effective_on, on)) for new in history.movements]
        found = arrears_from_position(position, still_open, on=on)
        assert found == arrears(instalments, History(history.schedule, tuple(here)).rows(), on=on, known_at=EVER)
        if on >= max((row.effective_on for row in rows), default=on):
            assert found == arrears(instalments, rows, on=on, known_at=EVER)
    assert counted(arrears_from_position(position, still_open, on=LAST_ON)) == asdict(everything)


def folded(history: History) -> Position:
    """A position with the recount's numbers."""
    count = recount(history.schedule, history.movements, LAST_ON, EVER)
    due = sum(amount for _, amount in history.schedule)
    net = {new.key: new.amount_minor for new in history.movements}
    for new in history.movements:
        if new.kind == "reversal" and new.ends:
            net[new.ends] -= new.amount_minor
    fee = sum(net[new.key] for new in history.movements if new.kind == "fee")
    opened = [one for one in history.instalments() if one.due_on == count.first_unpaid_on and one.amount_minor]
    return Position(
        loan_id=1,
        due_minor=due,
        credit_minor=due + fee - count.balance_minor,
        fee_minor=fee,
        pending_minor=count.pending_minor,
        first_open_number=opened[0].number if opened else None,
        first_open_on=count.first_unpaid_on,
    )


# --- by hand, on both databases ---------------------------------------------------------------------------------------


def stand(database: Database, loan_id: int, on: date, known_at: datetime = EVER) -> Arrears:
    """A stored loan's arrears."""
    with database.session() as session:
        return read_arrears(session, session.get_one(Loan, loan_id), on=on, known_at=known_at)


@pytest.mark.parametrize(
    ("paid", "dpd", "overdue", "count"),
    [(1, 31, 199_99, 2), (99_99, 31, 100_01, 2), (100_00, 3, 100_00, 1), (100_01, 3, 99_99, 1), (199_99, 3, 1, 1),
     (200_00, 0, 0, 0), (200_01, 0, 0, 0)],
)  # fmt: skip
def test_a_cent_more_or_less(database: Database, paid: int, dpd: int, overdue: int, count: int) -> None:
    """What is left of each instalment decides, never a status (P06)."""
    loan_id = make_loan(
        database, instalments=[(date(2026, 1, 31), 100_00), (date(2026, 2, 28), 100_00), (date(2026, 3, 31), 100_00)]
    )
    add_payment(database, loan_id, paid, date(2026, 2, 10))
    found = stand(database, loan_id, date(2026, 3, 3))
    assert (found.dpd, found.overdue_minor, found.instalments_overdue) == (dpd, overdue, count)
    assert found.due_next_minor == (99_99 if paid == 200_01 else 100_00)
    assert found.balance_minor == 300_00 - paid


def test_due_today_is_not_overdue(database: Database) -> None:
    """The due date itself belongs to the borrower; the day after is the first day past due."""
    loan_id = make_loan(database, instalments=[(date(2026, 1, 31), 100)])
    assert stand(database, loan_id, date(2026, 1, 31)).dpd == 0
    assert stand(database, loan_id, date(2026, 2, 1)).dpd == 1


def test_a_backdated_payment_changes_the_past_but_not_what_we_knew(database: Database) -> None:
    """As of the 5th the loan is current, and on the 5th we could not know it (P17)."""
    loan_id = make_loan(database, instalments=[(date(2026, 1, 1), 100)])
    add_payment(database, loan_id, 100, date(2026, 1, 3), recorded_at=at(date(2026, 1, 9)))
    assert stand(database, loan_id, date(2026, 1, 5)).dpd == 0
    assert stand(database, loan_id, date(2026, 1, 5), at(date(2026, 1, 8))).dpd == 4
    assert stand(database, loan_id, date(2026, 1, 2)).dpd == 1


def test_a_bounce_restores_the_age_from_the_due_date(database: Database) -> None:
    """Not from the day of the bounce (P17)."""
    loan_id = make_loan(database, instalments=[(date(2026, 1, 1), 100)])
    ref = add_payment(database, loan_id, 100, date(2026, 1, 11))
    reverse(database, loan_id, ref, 100, date(2026, 1, 21))
    assert [stand(database, loan_id, date(2026, 1, day)).dpd for day in (10, 11, 20, 21, 31)] == [9, 0, 0, 20, 30]


def test_a_charge_off_is_no_cure(database: Database) -> None:
    """It is the lender's accounting; the claim and its age stay."""
    loan_id = make_loan(database, instalments=[(date(2026, 1, 1), 100)])
    add_movement(database, loan_id, "charge_off", 100, date(2026, 6, 30))
    found = stand(database, loan_id, date(2026, 7, 1))
    assert (found.dpd, found.overdue_minor, found.balance_minor) == (181, 100, 100)


def test_a_debit_under_way_is_no_credit(database: Database) -> None:
    """It shows as pending from when we know of it until it clears or fails; only clearing lowers the arrears."""
    loan_id = make_loan(database, instalments=[(date(2026, 1, 1), 100)])
    ref = add_movement(database, loan_id, "pending_debit", 100, date(2026, 1, 8), recorded_at=at(date(2026, 1, 5)))
    assert stand(database, loan_id, date(2026, 1, 6)).pending_minor == 100
    assert stand(database, loan_id, date(2026, 1, 6)).overdue_minor == 100
    assert stand(database, loan_id, date(2026, 1, 6), at(date(2026, 1, 4))).pending_minor == 0
    add_payment(database, loan_id, 60, date(2026, 1, 8), ends=ref)
    assert stand(database, loan_id, date(2026, 1, 9)).pending_minor == 0
    assert stand(database, loan_id, date(2026, 1, 9)).overdue_minor == 40
    assert stand(database, loan_id, date(2026, 1, 7)).pending_minor == 100


def test_fees_make_no_days_past_due(database: Database) -> None:
    """Credit covers the instalments first and fees last; too much shows as a balance below zero."""
    loan_id = make_loan(database, instalments=[(date(2026, 1, 1), 100)])
    add_movement(database, loan_id, "fee", 15, date(2026, 1, 10))
    add_payment(database, loan_id, 110, date(2026, 1, 11))
    found = stand(database, loan_id, date(2026, 1, 12))
    assert (found.dpd, found.overdue_minor, found.fees_due_minor, found.balance_minor) == (0, 0, 5, 5)
    add_movement(database, loan_id, "waiver", 9, date(2026, 1, 11))
    found = stand(database, loan_id, date(2026, 1, 12))
    assert (found.fees_due_minor, found.balance_minor) == (0, -4)


def test_nothing_known_is_not_no_arrears(database: Database) -> None:
    """A loan without a schedule, or an account before its first snapshot, is refused rather than called current."""
    loan_id = make_loan(database, ref="L-1")
    with pytest.raises(DataError) as refused:
        stand(database, loan_id, date(2026, 1, 2))
    assert str(refused.value) == "loan `L-1` has no schedule\n  mend: import its instalments"
    loan_id = make_loan(database, ref="A-1", basis="account")
    with pytest.raises(DataError) as refused:
        stand(database, loan_id, date(2026, 1, 2))
    assert str(refused.value) == (
        "nothing was known of account `A-1` on 2026-01-02\n  mend: import its account feed, or ask for a later day"
    )


# --- accounts without a schedule --------------------------------------------------------------------------------------


def snapshot(**values: Any) -> AccountSnapshot:
    """An account 20 days late with 100 overdue of 900, on January 10."""
    given = {"dpd": 20, "overdue_minor": 100, "balance_minor": 900, "min_payment_minor": 50}
    return AccountSnapshot(
        **{"loan_id": 1, "as_of_on": date(2026, 1, 10), "next_due_on": date(2026, 1, 20), **given, **values},
        recorded_at=at(date(2026, 1, 11)),
    )


def moved(n: int, kind: str, amount_minor: int, day: int, ends: int | None = None) -> Movement:
    """A movement of that day in January."""
    on = date(2026, 1, day)
    return Movement(
        id=n, loan_id=1, kind=kind, amount_minor=amount_minor, effective_on=on, recorded_at=at(on, 12), source="core",
        ref=str(n), reverses_id=ends,
    )  # fmt: skip


def account(day: int, *movements: Movement, known_at: datetime = EVER, **values: Any) -> tuple[int, int, int, int]:
    """dpd, overdue, balance, pending on that day in January."""
    found = arrears_from_snapshot(snapshot(**values), movements, on=date(2026, 1, day), known_at=known_at)
    return found.dpd, found.overdue_minor, found.balance_minor, found.pending_minor


def test_an_account_ages_a_day_a_day() -> None:
    """While anything is overdue."""
    assert [account(day) for day in (10, 11, 17)] == [(20, 100, 900, 0), (21, 100, 900, 0), (27, 100, 900, 0)]


def test_an_account_that_is_current_stays_so() -> None:
    """What falls due meanwhile only the next snapshot tells."""
    assert account(30, dpd=0, overdue_minor=0) == (0, 0, 900, 0)


def test_credit_after_the_snapshot_lowers_what_is_overdue() -> None:
    """Part of it keeps the age; all of it ends it; what the snapshot's own day brought is in the snapshot."""
    part, rest, before = moved(1, "payment", 60, 12), moved(2, "waiver", 40, 14), moved(3, "payment", 70, 10)
    assert account(13, part, rest, before) == (23, 40, 840, 0)
    assert account(14, part, rest, before) == (0, 0, 800, 0)
    assert account(14, part, rest, before, known_at=at(date(2026, 1, 14))) == (24, 40, 840, 0)


def test_a_bounce_after_the_snapshot_restores_the_age() -> None:
    """Of a payment made since; a bounce of an older one shows in the next snapshot."""
    paid, back, older = moved(1, "payment", 100, 12), moved(2, "reversal", 100, 15, ends=1), moved(3, "payment", 80, 5)
    assert account(14, paid, back) == (0, 0, 800, 0)
    assert account(15, paid, back) == (25, 100, 900, 0)
    assert account(15, older, moved(4, "reversal", 80, 13, ends=3)) == (25, 100, 900, 0)


def test_a_pending_debit_of_an_account_shows() -> None:
    """Also one from before the snapshot."""
    assert account(13, moved(1, "pending_debit", 30, 9)) == (23, 100, 900, 30)
    assert account(13, moved(1, "pending_debit", 30, 9), moved(2, "payment", 30, 12, ends=1)) == (23, 70, 870, 0)


def test_an_account_is_read_from_its_latest_known_snapshot(database: Database) -> None:
    """Of those of that day or before, known by then: the latest day, and of that the latest told."""
    loan_id = make_loan(database, basis="account")
    with database.write() as session:
        for as_of, told, dpd in ((10, 11, 20), (10, 13, 19), (15, 16, 24), (20, 21, 29)):
            row = snapshot(loan_id=loan_id, as_of_on=date(2026, 1, as_of), dpd=dpd)
            row.recorded_at = at(date(2026, 1, told))
            session.add(row)
    assert stand(database, loan_id, date(2026, 1, 18)).dpd == 27
    assert stand(database, loan_id, date(2026, 1, 18), at(date(2026, 1, 15))).dpd == 27
    assert stand(database, loan_id, date(2026, 1, 12), at(date(2026, 1, 12))).dpd == 22
    assert stand(database, loan_id, date(2026, 1, 12)).dpd == 21
    assert stand(database, loan_id, date(2026, 1, 12)).first_unpaid_on == date(2026, 1, 12) - timedelta(days=21)
