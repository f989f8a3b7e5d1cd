"""The ledger takes each movement once, in any order; schedules are kept as they came, and what does not fit is refused."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from sqlmodel import col, select

from engine.errors import DataError
from store.db import Database
from store.ledger import NewMovement, Recorded, set_schedule
from store.tables import Instalment, Movement
from tests.factories import add_movement, add_payment, make_loan
from tests.movements import DAY, NOON, add, new, position


def refusal(database: Database, *movements: NewMovement) -> str:
    """The whole text; checks that nothing was added."""
    with database.session() as session:
        before = len(session.exec(select(Movement.id)).all())
    with pytest.raises(DataError) as refused:
        add(database, *movements)
    with database.session() as session:
        assert len(session.exec(select(Movement.id)).all()) == before
    return str(refused.value)


# --- the schedule -----------------------------------------------------------------------------------------------------


def test_the_schedule_is_kept_as_it_came(database: Database) -> None:
    """Month-ends, holiday shifts and all: due dates are the lender's, none is computed here (P16)."""
    due = [
        date(2028, 1, 31),
        date(2028, 2, 29),
        date(2028, 3, 31),
        date(2028, 4, 28),
        date(2028, 5, 31),
        date(2028, 5, 31),
    ]
    loan_id = make_loan(database, instalments=[(on, 10 * n) for n, on in enumerate(due)])
    with database.session() as session:
        rows = session.exec(select(Instalment).order_by(col(Instalment.number))).all()
    assert [row.due_on for row in rows] == due
    assert [row.due_total_minor for row in rows] == [0, 10, 30, 60, 100, 150]
    # The first asks for nothing and so is not open.
    assert (position(database, loan_id).first_open_number, position(database, loan_id).due_minor) == (2, 150)


def test_a_new_schedule_replaces_the_old_one_whole(database: Database) -> None:
    """The position follows; the same schedule again changes nothing."""
    loan_id = make_loan(database, instalments=[(DAY, 100), (DAY + timedelta(days=30), 100)])
    add_payment(database, loan_id, 100, DAY)
    later = [(DAY, 60), (DAY + timedelta(days=60), 70), (DAY + timedelta(days=90), 70)]
    with database.write() as session:
        assert set_schedule(session, loan_id, later) is True
    changed = position(database, loan_id)
    assert (changed.due_minor, changed.first_open_number, changed.first_open_on) == (200, 2, DAY + timedelta(days=60))
    with database.write() as session:
        assert set_schedule(session, loan_id, later) is False
    assert position(database, loan_id) == changed


def test_a_schedule_that_runs_backwards_is_refused(database: Database) -> None:
    """All that is wrong with it is said at once, and the old one stays."""
    loan_id = make_loan(database, instalments=[(DAY, 100)])
    with pytest.raises(DataError) as refused, database.write() as session:
        set_schedule(session, loan_id, [(DAY, 1), (date(2026, 3, 1), -5)])
    assert str(refused.value) == (
        f"instalment 2 of loan {loan_id} is due on 2026-03-01, before the one it follows\n"
        "  mend: number instalments in the order of their due dates\n"
        f"instalment 2 of loan {loan_id} has amount -5\n"
        "  mend: write 0 or more"
    )
    assert position(database, loan_id).due_minor == 100


# --- refusals ---------------------------------------------------------------------------------------------------------


def test_another_movement_under_the_same_key_is_refused(database: Database) -> None:
    """Whatever differs: loan, kind, amount, day or what it ends; only when we heard of it may differ."""
    loan_id = make_loan(database, instalments=[(DAY, 100)])
    other = make_loan(database)
    first = new(loan_id, "payment", 10, "7")
    add(database, first)
    changes: list[dict[str, Any]] = [
        {"loan_id": other}, {"kind": "credit"}, {"amount_minor": 11}, {"effective_on": date(2026, 3, 1)}
    ]  # fmt: skip
    for change in changes:
        assert refusal(database, replace(first, **change)) == (
            "movement `core/7` was recorded with other content\n  mend: give it a ref of its own, or reverse the first"
        )
    assert add(database, replace(first, recorded_at=NOON + timedelta(days=1))) == Recorded(0, 1, frozenset())
    assert refusal(database, new(loan_id, "payment", 1, "8"), new(loan_id, "payment", 2, "8")) == (
        "movement `core/8` stands twice with different content\n  mend: give each movement a ref of its own"
    )


def test_all_that_is_wrong_with_a_batch_is_said_at_once(database: Database) -> None:
    """Kinds, amounts, dates, loans: nothing of the batch is added while anything is wrong."""
    loan_id = make_loan(database)
    ahead = DAY + timedelta(days=2)
    assert refusal(
        database,
        new(loan_id, "payment", 10, "fine"),
        new(loan_id, "paymnt", 10, "1"),
        new(loan_id, "payment", 0, "2"),
        new(loan_id, "payment", 10, "3", effective_on=ahead),
        new(loan_id, "fee", 10, "4", effective_on=ahead),
        new(loan_id, "reversal", 10, "5"),
        new(loan_id, "fee", 10, "6", ends=("core", "fine")),
        new(999, "payment", 10, "7"),
    ) == (
        "unknown kind of movement `paymnt`\n"
        "  mend: write `payment`\n"
        "movement `core/2` has amount 0\n"
        "  mend: write it above 0; the kind gives the sign\n"
        "movement `core/3` takes effect on 2026-03-04, after it was recorded on 2026-03-02\n"
        "  mend: record it as pending_debit until it clears\n"
        "movement `core/4` takes effect on 2026-03-04, after it was recorded on 2026-03-02\n"
        "  mend: record it on the day it takes effect\n"
        "movement `core/5` is a reversal of nothing\n"
        "  mend: name the source and ref of the movement it ends\n"
        "movement `core/6` is a fee and ends movement `core/fine`\n"
        "  mend: only `payment`, `pending_cancelled`, `reversal` end another\n"
        "there is no loan 999\n"
        "  mend: import the loan first"
    )


def test_the_lenders_calendar_may_be_a_day_ahead(database: Database) -> None:
    """A payment of the 3rd in Shanghai is known when it is still the 2nd in UTC; a pending debit may lie far ahead."""
    loan_id = make_loan(database)
    tomorrow, far = DAY + timedelta(days=1), DAY + timedelta(days=30)
    add(
        database,
        new(loan_id, "payment", 10, "1", effective_on=tomorrow),
        new(loan_id, "pending_debit", 10, "2", effective_on=far),
    )


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (
            {"kind": "reversal", "ends": ("core", "none")},
            (
                "movement `core/x` ends movement `core/none`, which is not known\n"
                "  mend: record that one first, or both together"
            ),
        ),
        (
            {"kind": "reversal", "ends": ("test", "debit")},
            (
                "movement `core/x` is a reversal of movement `test/debit`, a pending_debit\n"
                "  mend: a reversal ends only `charge_off`, `credit`, `fee`, `forgiveness`, `payment`, `waiver`"
            ),
        ),
        (
            {"kind": "payment", "ends": ("test", "paid")},
            (
                "movement `core/x` is a payment of movement `test/paid`, a payment\n"
                "  mend: a payment ends only `pending_debit`"
            ),
        ),
        (
            {"kind": "reversal", "ends": ("test", "paid"), "amount_minor": 101},
            (
                "movement `core/x` takes back 101 of movement `test/paid`, which is 100\n"
                "  mend: take back that amount at most"
            ),
        ),
        (
            {"kind": "pending_cancelled", "ends": ("test", "debit"), "amount_minor": 99},
            (
                "movement `core/x` cancels 99 of movement `test/debit`, which is 100\n"
                "  mend: a pending debit is cancelled whole: write its amount"
            ),
        ),
        (
            {"kind": "reversal", "ends": ("test", "paid"), "effective_on": date(2026, 3, 1)},
            (
                "movement `core/x` takes effect on 2026-03-01, before movement `test/paid` on 2026-03-02\n"
                "  mend: write that day or a later one"
            ),
        ),
        (
            {"kind": "reversal", "ends": ("test", "bounced")},
            (
                "movement `core/x` ends movement `test/bounced`, which movement `test/back` has ended\n"
                "  mend: a movement is ended once: leave this one out, or name another"
            ),
        ),
    ],
)
def test_what_ends_another_must_fit_it(database: Database, values: dict[str, Any], what: str) -> None:
    """A reversal takes back a payment once, not more than it was; a cancellation is of a pending debit."""
    loan_id = make_loan(database)
    add_payment(database, loan_id, 100, DAY, ref="paid")
    add_movement(database, loan_id, "pending_debit", 100, DAY, ref="debit")
    add_payment(database, loan_id, 100, DAY, ref="bounced")
    add_movement(database, loan_id, "reversal", 100, DAY, ref="back", ends="bounced")
    given = {"kind": "reversal", "amount_minor": 100, **values}
    assert refusal(database, new(loan_id, ref="x", **given)) == what


def test_two_that_end_the_same_are_refused_together(database: Database) -> None:
    """Also within one batch, and also when they are of another loan."""
    loan_id = make_loan(database)
    other = make_loan(database)
    assert refusal(
        database,
        new(loan_id, "payment", 10, "1"),
        new(loan_id, "reversal", 4, "2", ends=("core", "1")),
        new(other, "reversal", 4, "3", ends=("core", "1")),
    ) == (
        "movement `core/3` and movement `core/1` are of different loans\n"
        "  mend: name a movement of the same loan\n"
        "movement `core/3` ends movement `core/1`, which movement `core/2` has ended\n"
        "  mend: a movement is ended once: leave this one out, or name another"
    )


def test_a_recording_without_a_zone_is_a_mistake_of_ours() -> None:
    """A naive instant is caught where the movement is made."""
    with pytest.raises(ValueError, match=r"^naive datetime 2026-03-02T12:00:00; attach a zone before it gets here$"):
        new(1, "payment", 1, "1", recorded_at=NOON.replace(tzinfo=None))
