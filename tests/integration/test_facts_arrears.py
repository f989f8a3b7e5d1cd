"""What is owed and since when: instalments, fees, bounces and accounts of small books, counted by hand, on both databases."""

from datetime import timedelta

import pytest

from engine.tree import FactValue
from store.db import Database
from tests.factories import add_movement, add_payment, make_loan, reverse
from tests.facts_of_books import MONTHLY, NOW, TODAY, add, days_ago, of, snapshot

ARREARS = (
    "dpd", "days_to_due", "instalments_overdue", "cycles_past_due", "first_payment_default", "overdue_amount",
    "balance", "min_payment_due",
)  # fmt: skip


@pytest.mark.parametrize(
    ("paid", "expected"),
    [
        (0, (50, 10, 2, 2, True, 2_000_00, 4_000_00, 3_000_00)),
        (1, (50, 10, 2, 2, True, 1_999_99, 3_999_99, 2_999_99)),
        (999_99, (50, 10, 2, 2, True, 1_000_01, 3_000_01, 2_000_01)),
        (1_000_00, (20, 10, 1, 1, False, 1_000_00, 3_000_00, 2_000_00)),
        (1_000_01, (20, 10, 1, 1, False, 999_99, 2_999_99, 1_999_99)),
        (2_000_00, (0, 10, 0, 0, False, 0, 2_000_00, 1_000_00)),
        (3_000_00, (0, 40, 0, 0, False, 0, 1_000_00, 1_000_00)),
        (4_000_00, (0, 9999, 0, 0, False, 0, 0, None)),
        (5_000_00, (0, 9999, 0, 0, False, 0, 0, None)),
    ],
)
def test_part_payments_and_over_payments(sqlite_database: Database, paid: int, expected: tuple[FactValue, ...]) -> None:
    """One minor unit below and above each instalment makes exactly the difference it should."""
    loan = make_loan(sqlite_database, instalments=MONTHLY)
    if paid:
        add_payment(sqlite_database, loan, paid, days_ago(5))
    assert of(sqlite_database, loan, *ARREARS) == expected


def test_due_today_is_not_overdue(sqlite_database: Database) -> None:
    """On the due date itself nothing is late; the day after it is one day past due."""
    loan = make_loan(sqlite_database, instalments=[(TODAY, 500_00)])
    assert of(sqlite_database, loan, "dpd", "days_to_due", "overdue_amount") == (0, 0, 0)
    assert of(sqlite_database, loan, "dpd", "days_to_due", "overdue_amount", now=NOW + timedelta(days=1)) == (
        1,
        9999,
        500_00,
    )


def test_the_next_due_date_is_found_however_far_away(database: Database) -> None:
    """A loan due once a year is not a loan with nothing to pay."""
    loan = make_loan(database, instalments=[(days_ago(300), 100), (days_ago(-65), 100), (days_ago(-430), 100)])
    add_payment(database, loan, 100, days_ago(299))
    assert of(database, loan, "dpd", "days_to_due", "min_payment_due") == (0, 65, 100)


def test_fees_cause_no_days_past_due(sqlite_database: Database) -> None:
    """Fees are owed and apart: covered after the last instalment, never late."""
    loan = make_loan(sqlite_database, instalments=[(days_ago(30), 100_00)])
    add_movement(sqlite_database, loan, "fee", 15_00, days_ago(10))
    add_payment(sqlite_database, loan, 100_00, days_ago(9))
    assert of(sqlite_database, loan, "dpd", "overdue_amount", "fees_due", "balance") == (0, 0, 15_00, 15_00)
    add_payment(sqlite_database, loan, 10_00, days_ago(8))
    assert of(sqlite_database, loan, "dpd", "overdue_amount", "fees_due", "balance") == (0, 0, 5_00, 5_00)


def test_what_is_no_payment_and_what_is_no_credit(sqlite_database: Database) -> None:
    """A waiver covers instalments without being a payment; a debit in flight and a charge-off cover nothing."""
    loan = make_loan(sqlite_database, instalments=[(days_ago(30), 100_00), (days_ago(1), 100_00)])
    add_movement(sqlite_database, loan, "waiver", 40_00, days_ago(3))
    add_movement(sqlite_database, loan, "charge_off", 200_00, days_ago(3))
    add_movement(sqlite_database, loan, "pending_debit", 60_00, days_ago(1))
    found = of(sqlite_database, loan, "dpd", "overdue_amount", "pending_amount", "days_since_payment")
    assert found == (30, 160_00, 60_00, 9999)


def test_a_bounced_payment_gives_back_the_age(sqlite_database: Database) -> None:
    """After the reversal the loan is as late as if nothing had been paid, and the failed debit shows until the next payment."""
    loan = make_loan(sqlite_database, instalments=[(days_ago(40), 100_00), (days_ago(10), 100_00)])
    paid = add_payment(sqlite_database, loan, 100_00, days_ago(6))
    assert of(sqlite_database, loan, "dpd", "days_since_payment", "reversals_90d", "debit_failed") == (10, 6, 0, False)
    reverse(sqlite_database, loan, paid, 100_00, days_ago(4))
    assert of(sqlite_database, loan, "dpd", "days_since_payment", "reversals_90d", "debit_failed") == (
        40,
        9999,
        1,
        True,
    )
    add_payment(sqlite_database, loan, 100_00, days_ago(2))
    assert of(sqlite_database, loan, "dpd", "days_since_payment", "reversals_90d", "debit_failed") == (10, 2, 1, False)


def test_only_payments_count_as_reversed(database: Database) -> None:
    """A fee taken back is no bounced payment; a cancelled debit is a failed one; ninety days are ninety days."""
    loan = make_loan(database, instalments=[(days_ago(200), 100_00)])
    fee = add_movement(database, loan, "fee", 5_00, days_ago(20))
    reverse(database, loan, fee, 5_00, days_ago(19))
    old, older = (add_payment(database, loan, 10_00, days_ago(days)) for days in (95, 96))
    reverse(database, loan, old, 10_00, days_ago(89))
    reverse(database, loan, older, 10_00, days_ago(90))
    assert of(database, loan, "reversals_90d", "debit_failed", "fees_due") == (1, True, 0)
    add_payment(database, loan, 10_00, days_ago(50))
    assert of(database, loan, "debit_failed") == (False,)
    debit = add_movement(database, loan, "pending_debit", 10_00, days_ago(8))
    add_movement(database, loan, "pending_cancelled", 10_00, days_ago(7), ends=debit)
    assert of(database, loan, "debit_failed", "pending_amount", "reversals_90d") == (True, 0, 1)


def test_an_account_is_carried_forward_from_its_latest_snapshot(database: Database) -> None:
    """Days past due grow with the days; payments since lower what is overdue, and at nothing overdue they are 0."""
    loan = make_loan(database, basis="account")
    assert of(database, loan, "dpd", "overdue_amount", "balance", "days_to_due", "days_since_payment") == (None,) * 5
    add(database, snapshot(loan, days_ago(40), 1, 100_00), snapshot(loan, days_ago(2), 33, 600_00))
    names = ("dpd", "overdue_amount", "balance", "min_payment_due", "days_to_due", "cycles_past_due")
    assert of(database, loan, *names) == (35, 600_00, 9_000_00, 900_00, 10, 2)
    assert of(database, loan, "instalments_overdue", "fees_due", "first_payment_default") == (None,) * 3
    paid = add_payment(database, loan, 250_00, days_ago(1))
    add_payment(database, loan, 111_00, days_ago(3))
    assert of(database, loan, *names) == (35, 350_00, 8_750_00, 650_00, 10, 2)
    add_payment(database, loan, 350_00, days_ago(0))
    assert of(database, loan, *names) == (0, 0, 8_400_00, 300_00, 10, 0)
    reverse(database, loan, paid, 250_00, TODAY)
    assert of(database, loan, *names) == (35, 250_00, 8_650_00, 550_00, 10, 2)
