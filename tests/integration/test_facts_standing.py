"""Promises, holds, statements and notices: what stands today, for which loan, counted by hand, on both databases."""

from datetime import timedelta

from store.db import Database
from tests.factories import make_loan, make_person
from tests.facts_of_books import (
    MONTHLY,
    NOW,
    TODAY,
    add,
    borrower_of,
    days_ago,
    facts_in,
    hold,
    notice,
    of,
    promise,
    said,
)

PROMISES = (
    "promise_open", "days_to_promise", "days_past_promise", "promised_amount", "promise_paid", "broken_promises_episode",
)  # fmt: skip


def test_promises(sqlite_database: Database) -> None:
    """The running one, the latest one, and the broken ones of this spell only."""
    loan = make_loan(sqlite_database, instalments=MONTHLY, episode=2, episode_on=days_ago(49))
    assert of(sqlite_database, loan, *PROMISES) == (False, 9999, 0, 0, None, 0)
    add(
        sqlite_database,
        promise(loan, days_ago(90), days_ago(80), "broken"),
        promise(loan, days_ago(45), days_ago(40), "broken"),
    )
    assert of(sqlite_database, loan, *PROMISES) == (False, 9999, 40, 0, 0, 1)
    add(sqlite_database, promise(loan, days_ago(30), days_ago(28), "kept", paid=250_00))
    assert of(sqlite_database, loan, *PROMISES) == (False, 9999, 0, 0, 100, 1)
    add(sqlite_database, promise(loan, days_ago(3), days_ago(-2), paid=133_33))
    assert of(sqlite_database, loan, *PROMISES) == (True, 2, 0, 200_00, 66, 1)
    later = NOW + timedelta(days=3)
    assert of(sqlite_database, loan, *PROMISES, now=later) == (True, 9999, 1, 200_00, 66, 1)


HOLDS = ("represented", "disputed", "hardship", "bankrupt", "deceased", "vulnerable")


def test_holds_stand_from_their_start_to_their_end_for_a_loan_or_for_all(sqlite_database: Database) -> None:
    """A hold about a loan leaves the other alone; one that has ended, or has not begun, is none."""
    person = make_person(sqlite_database)
    first, second = (make_loan(sqlite_database, borrower_id=person, instalments=MONTHLY) for _ in range(2))
    add(
        sqlite_database,
        hold(person, "dispute", first),
        hold(person, "attorney"),
        hold(person, "mental_capacity", end=-3),
    )
    add(
        sqlite_database,
        hold(person, "hardship", end=1),
        hold(person, "hardship", end=0),
        hold(person, "deceased", start=-1),
    )
    found = facts_in(sqlite_database)
    assert [found[first][name] for name in HOLDS] == [True, True, False, False, False, True]
    assert [found[second][name] for name in HOLDS] == [True, False, False, False, False, True]


def test_the_latest_word_on_a_channel_counts(sqlite_database: Database) -> None:
    """A yes, a no later, a yes again; a word on other hours is none, and one that has lapsed is forgotten."""
    loan = make_loan(sqlite_database, instalments=MONTHLY)
    person = borrower_of(sqlite_database, loan)
    add(sqlite_database, said(person, "consent", 90, scope="call_frequency"))
    assert of(sqlite_database, loan, "sms_consent", "email_consent") == (None, None)
    add(sqlite_database, said(person, "consent", 80, "sms email"))
    assert of(sqlite_database, loan, "sms_consent", "email_consent") == (True, True)
    add(sqlite_database, said(person, "opt_out", 70, "sms", scope="electronic"))
    assert of(sqlite_database, loan, "sms_consent", "email_consent") == (False, True)
    add(sqlite_database, said(person, "opt_in", 60, "sms"), said(person, "no_medium", 50, "email"))
    assert of(sqlite_database, loan, "sms_consent", "email_consent") == (True, False)
    add(sqlite_database, said(person, "no_contact", 40, until=10))
    assert of(sqlite_database, loan, "sms_consent", "email_consent") == (True, False)
    add(sqlite_database, said(person, "no_contact", 30))
    assert of(sqlite_database, loan, "sms_consent", "email_consent") == (False, False)


def test_a_notice_is_in_force_for_the_borrower_and_for_these_arrears(sqlite_database: Database) -> None:
    """Not before it is deemed served, not when voided, not the guarantor's, not that of an earlier spell."""
    loan = make_loan(sqlite_database, instalments=MONTHLY, episode_on=days_ago(45))
    person, other = borrower_of(sqlite_database, loan), make_person(sqlite_database)
    names = ("prelegal_notice_effective_days", "visit_notice_effective_days")
    add(sqlite_database, notice(loan, person, 60, 55), notice(loan, other, 30, 25), notice(loan, person, 3, -2))
    add(sqlite_database, notice(loan, person, 30, 25, voided_at=NOW))
    assert of(sqlite_database, loan, *names) == (None, None)
    add(
        sqlite_database,
        notice(loan, person, 20, 15),
        notice(loan, person, 9, 4),
        notice(loan, person, 2, 0, "visit_notice"),
    )
    assert of(sqlite_database, loan, *names) == (15, 0)


def test_a_notice_served_before_import_counts_by_the_age_of_the_arrears(sqlite_database: Database) -> None:
    """A live book enters today; evidence from within the arrears stands though the episode began with the import."""
    loan = make_loan(sqlite_database, instalments=MONTHLY, episode_on=TODAY)
    add(sqlite_database, notice(loan, borrower_of(sqlite_database, loan), 50, 45))
    assert of(sqlite_database, loan, "prelegal_notice_effective_days") == (45,)
