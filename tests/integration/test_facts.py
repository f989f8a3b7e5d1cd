"""Facts of small books, counted by hand, on both databases; and of random books, against the definition of arrears."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import count
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlmodel import SQLModel, select

from compliance import Gate, shipped_packs
from engine.catalogue import load_catalogue
from engine.errors import DataError
from engine.gate import Ask
from engine.tree import FactValue
from store.arrears import read_arrears
from store.book import RawBook, packed, read_book
from store.bulk import reading, writing
from store.columns import to_us
from store.db import Database
from store.fact_query import FactStatement, contact_days, days_of, facts_of
from store.fact_small import SmallFacts
from store.outline import OUTLINE_FACTS, read_outline
from store.tables import (
    AccountSnapshot,
    Consent,
    Contact,
    ContactLoan,
    Endpoint,
    Feed,
    Hold,
    Loan,
    Notice,
    Party,
    Promise,
    StageChange,
)
from store.tables import (
    FactValue as FactRow,
)
from tests.factories import add_movement, add_payment, at, make_loan, make_person, reverse

TODAY = date(2026, 3, 20)
SHANGHAI = ZoneInfo("Asia/Shanghai")
NOW = datetime(2026, 3, 20, 9, 30, tzinfo=SHANGHAI)
COUNTERS = """
counters:
  calls_30d_loan: {channel: call, last: 30 days, by: loan, en: Calls about the loan., zh: 本笔贷款电话次数}
  answers_7d: {direction: in, last: 7 days, by: person, en: Messages and calls from them., zh: 来电来信次数}
  failed_7d: {channel: [sms, email], outcome: [failed], last: 7 days, by: person, en: Failed., zh: 失败次数}
"""
CATALOGUE = load_catalogue((COUNTERS, "facts.yaml"))
_numbers = count(1)
Found = dict[int, dict[str, FactValue]]


def days_ago(days: int) -> date:
    return TODAY - timedelta(days=days)


SMALL = SmallFacts(CATALOGUE)


def everybody(database: Database) -> list[int]:
    with database.session() as session:
        return sorted(set(session.exec(select(Loan.borrower_id))))


def facts_in(database: Database, borrowers: Sequence[int] = (), *, now: datetime = NOW) -> Found:
    book = read_book(database, borrowers or everybody(database), now=now, contact_days=contact_days(CATALOGUE))
    return facts_in_book(book, now)


def facts_in_book(book: RawBook, now: datetime = NOW) -> Found:
    import duckdb

    with duckdb.connect() as con:
        FactStatement(con, CATALOGUE).compute(book, now=now)
        found = facts_of(con, book.loan["id"].to_pylist())
    # One definition: SQLite says the same, to the type.
    assert _typed(SMALL.compute(book, now=now)) == _typed(found)
    return found


def _typed(found: Mapping[int, Mapping[str, FactValue]]) -> dict[int, dict[str, tuple[str, FactValue]]]:
    return {
        loan: {name: (type(value).__name__, value) for name, value in facts.items()} for loan, facts in found.items()
    }


def of(database: Database, loan: int, *names: str, now: datetime = NOW) -> tuple[FactValue, ...]:
    """The named facts of one loan; None is unknown."""
    found = facts_in(database, now=now)[loan]
    return tuple(found.get(name) for name in names)


def add(database: Database, *rows: SQLModel) -> None:
    with database.write() as session:
        for row in rows:
            session.add(row)
            session.flush()


def contact(loan: int, person: int, when: datetime, channel: str = "call", **values: Any) -> Contact:
    number = next(_numbers)
    given = {"status": "delivered", "outcome": "no_answer" if channel == "call" else ""}
    return Contact(
        **{"id": f"c-{number}", "slot": f"s-{number}", **given, **values},
        loan_id=loan,
        person_id=person,
        channel=channel,
        planned_at=when,
        not_before_at=when,
        expires_at=when,
        at=when,
    )


def log(database: Database, *contacts: Contact, about: Sequence[int] = ()) -> None:
    add(database, *contacts)
    add(database, *(ContactLoan(contact_id=c.id, loan_id=loan) for c in contacts for loan in {c.loan_id, *about}))


def borrower_of(database: Database, loan: int) -> int:
    with database.session() as session:
        return session.get_one(Loan, loan).borrower_id


MONTHLY = ((days_ago(50), 1_000_00), (days_ago(20), 1_000_00), (days_ago(-10), 1_000_00), (days_ago(-40), 1_000_00))
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


def snapshot(loan: int, on: date, dpd: int, overdue: int, **values: Any) -> AccountSnapshot:
    given = {"balance_minor": 9_000_00, "min_payment_minor": overdue + 300_00, "next_due_on": on + timedelta(days=12)}
    return AccountSnapshot(
        **{**given, **values}, loan_id=loan, as_of_on=on, dpd=dpd, overdue_minor=overdue, recorded_at=at(on, 23)
    )


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


def test_several_loans_of_one_person_are_never_added_up(sqlite_database: Database) -> None:
    """Each loan has its own arrears in its own currency; what is said to the person is shared."""
    person = make_person(sqlite_database)
    yuan = make_loan(sqlite_database, borrower_id=person, instalments=[(days_ago(5), 100_00)])
    dollars = make_loan(sqlite_database, borrower_id=person, currency="USD", instalments=[(days_ago(9), 7_00)])
    log(sqlite_database, contact(yuan, person, NOW - timedelta(days=2)))
    found = facts_in(sqlite_database)
    names = ("currency", "dpd", "overdue_amount", "calls_7d", "days_since_call", "calls_30d_loan")
    assert [found[yuan][name] for name in names] == ["CNY", 5, 100_00, 1, 2, 1]
    assert [found[dollars][name] for name in names] == ["USD", 9, 7_00, 1, 2, 0]


def test_a_contact_about_several_loans_counts_for_each(database: Database) -> None:
    """Counting by loan follows what a contact was about, whoever was addressed."""
    person, guarantor = make_person(database), make_person(database)
    first, second = (make_loan(database, borrower_id=person, instalments=MONTHLY) for _ in range(2))
    add(database, Party(loan_id=first, person_id=guarantor, role="guarantor"))
    log(database, contact(first, person, NOW - timedelta(days=3)), about=[second])
    log(database, contact(first, guarantor, NOW - timedelta(days=3), role="guarantor"))
    found = facts_in(database)
    assert [(found[n]["calls_7d"], found[n]["calls_30d_loan"]) for n in (first, second)] == [(1, 2), (1, 1)]
    assert [found[n]["has_guarantor"] for n in (first, second)] == [True, False]


def test_days_end_at_midnight_at_the_borrowers_place(sqlite_database: Database) -> None:
    """The last minute of yesterday was one day ago, the first of today none; the seventh day counts, the eighth not."""
    loan = make_loan(sqlite_database, instalments=MONTHLY)
    person = borrower_of(sqlite_database, loan)
    midnight = datetime(2026, 3, 20, tzinfo=SHANGHAI)
    minute = timedelta(minutes=1)
    log(sqlite_database, contact(loan, person, midnight - timedelta(days=6) - minute))
    assert of(sqlite_database, loan, "days_since_call", "calls_7d", "unanswered_7d") == (7, 0, 0)
    log(sqlite_database, contact(loan, person, midnight - timedelta(days=6)))
    assert of(sqlite_database, loan, "days_since_call", "calls_7d", "unanswered_7d") == (6, 1, 1)
    log(sqlite_database, contact(loan, person, midnight - minute))
    assert of(sqlite_database, loan, "days_since_call", "calls_7d", "unanswered_7d") == (1, 2, 2)
    log(sqlite_database, contact(loan, person, midnight))
    assert of(sqlite_database, loan, "days_since_call", "calls_7d", "unanswered_7d") == (0, 3, 3)


def test_days_are_counted_across_a_change_of_clocks(sqlite_database: Database) -> None:
    """In New York, 8 March 2026 had 23 hours: yesterday's last hour is still one day ago."""
    person = make_person(sqlite_database, zones="America/New_York")
    loan = make_loan(sqlite_database, borrower_id=person, instalments=MONTHLY)
    new_york = ZoneInfo("America/New_York")
    log(sqlite_database, contact(loan, person, datetime(2026, 3, 7, 23, 30, tzinfo=new_york)))
    for hour, expected in ((0, 1), (23, 1)):
        now = datetime(2026, 3, 8, hour, 30, tzinfo=new_york)
        assert of(sqlite_database, loan, "days_since_call", now=now) == (expected,)


@pytest.mark.parametrize(
    ("zones", "phone_zone", "valid", "dpd"),
    [
        ("Asia/Shanghai", None, True, 50),
        ("America/New_York", None, True, 49),
        ("Asia/Shanghai America/New_York", None, True, 49),
        ("Asia/Shanghai", "America/New_York", True, 49),
        ("Asia/Shanghai", "America/New_York", False, 50),
        ("", "Asia/Shanghai", True, 50),
        ("", None, True, 49),
        ("Asia/Atlantis", None, True, 49),
    ],
)
def test_today_is_the_earliest_day_where_the_borrower_may_be(
    sqlite_database: Database, zones: str, phone_zone: str | None, valid: bool, dpd: int
) -> None:
    """Of several zones the one that is behind counts, also a phone's; of none, or one nobody knows, the last on Earth."""
    person = make_person(sqlite_database, zones=zones)
    loan = make_loan(sqlite_database, borrower_id=person, instalments=MONTHLY)
    phone = Endpoint(person_id=person, kind="mobile", value="+1", zone=phone_zone, valid=valid, recorded_at=NOW)
    add(sqlite_database, phone)
    assert of(sqlite_database, loan, "dpd") == (dpd,)


def test_what_counts_as_a_contact(sqlite_database: Database) -> None:
    """Planned, queued, cancelled, expired and misdirected contacts are none; a failed message is none, a failed call is one."""
    loan = make_loan(sqlite_database, instalments=MONTHLY)
    person = borrower_of(sqlite_database, loan)
    hour = NOW - timedelta(hours=30)
    for status in ("planned", "claimed", "cancelled", "expired"):
        log(
            sqlite_database,
            contact(loan, person, hour, status=status),
            contact(loan, person, hour, "sms", status=status),
        )
    waits = contact(loan, person, hour, status="sent", outcome="")
    log(sqlite_database, contact(loan, person, hour, misdirected=True), waits)
    log(sqlite_database, contact(loan, person, hour, "sms", status="failed", outcome="failed"))
    names = ("calls_7d", "messages_7d", "unanswered_7d", "failed_7d", "days_since_call", "days_since_message")
    assert of(sqlite_database, loan, *names) == (0, 0, 0, 1, 9999, 9999)
    # A recorded call that the provider took, and of which it has not said yet what came of it.
    log(sqlite_database, contact(loan, person, hour, status="sent", outcome="sent"))
    assert of(sqlite_database, loan, "calls_7d", "days_since_call") == (1, 1)
    log(sqlite_database, contact(loan, person, hour, status="failed", outcome="not_in_service"))
    for n, status in enumerate(("sending", "sent", "delivered", "unknown")):
        log(sqlite_database, contact(loan, person, hour - n * timedelta(hours=1), "sms", status=status))
    assert of(sqlite_database, loan, *names) == (2, 4, 0, 1, 1, 1)


def test_conversations_are_with_the_right_person_in_either_direction(sqlite_database: Database) -> None:
    """A conversation, a promise or a visit that met them; no recorded call or voicemail; the borrower's own call included."""
    loan = make_loan(sqlite_database, instalments=MONTHLY)
    person = borrower_of(sqlite_database, loan)
    names = ("days_since_conversation", "conversations_7d", "days_since_call", "answers_7d")
    log(sqlite_database, contact(loan, person, NOW - timedelta(days=1), outcome="voicemail"))
    assert of(sqlite_database, loan, *names) == (9999, 0, 1, 0)
    log(sqlite_database, contact(loan, person, NOW - timedelta(days=1), outcome="heard"))
    assert of(sqlite_database, loan, *names) == (9999, 0, 1, 0)
    log(sqlite_database, contact(loan, person, NOW - timedelta(days=6), "visit", outcome="met"))
    assert of(sqlite_database, loan, *names) == (6, 0, 1, 0)
    log(sqlite_database, contact(loan, person, NOW - timedelta(days=5), outcome="refused"))
    assert of(sqlite_database, loan, *names) == (5, 1, 1, 0)
    log(sqlite_database, contact(loan, person, NOW - timedelta(days=4), direction="in", outcome="conversation"))
    assert of(sqlite_database, loan, *names) == (4, 1, 1, 1)


def promise(loan: int, made: date, due: date, status: str = "open", paid: int = 0, amount: int = 200_00) -> Promise:
    ref = f"promise-{next(_numbers)}"
    return Promise(
        loan_id=loan, amount_minor=amount, made_at=at(made), due_on=due, status=status, paid_minor=paid, ref=ref
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


def hold(person: int, kind: str, loan: int | None = None, start: int = 5, end: int | None = None) -> Hold:
    ends = None if end is None else NOW - timedelta(days=end)
    return Hold(
        person_id=person, loan_id=loan, kind=kind, owner="x", review_on=TODAY, starts_at=NOW - timedelta(days=start),
        ends_at=ends, recorded_at=NOW, ref=f"hold-{next(_numbers)}",
    )  # fmt: skip


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


def said(person: int, kind: str, days: int, channels: str = "", scope: str = "", until: int | None = None) -> Consent:
    until_at = None if until is None else NOW - timedelta(days=until)
    return Consent(
        person_id=person, kind=kind, channels=channels, scope=scope, received_at=NOW - timedelta(days=days), recorded_at=NOW - timedelta(days=days),
        until_at=until_at, ref=f"said-{next(_numbers)}",
    )  # fmt: skip


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


def notice(loan: int, person: int, sent: int, effective: int, kind: str = "prelegal_notice", **values: Any) -> Notice:
    return Notice(
        **values, loan_id=loan, person_id=person, kind=kind, sent_on=days_ago(sent), effective_on=days_ago(effective),
        how="letter", recorded_at=NOW, ref=f"notice-{next(_numbers)}",
    )  # fmt: skip


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


def value(loan: int, name: str, days: int, number: int | None = None, text: str | None = None) -> FactRow:
    return FactRow(
        loan_id=loan, name=name, number=number, text=text, as_of_at=NOW - timedelta(days=days), recorded_at=NOW
    )


def test_imported_facts_are_the_latest_within_their_range(database: Database) -> None:
    """The newest value counts, not the largest; what is out of range, of no declared text or of tomorrow is unknown."""
    loan = make_loan(database, instalments=MONTHLY)
    add(database, value(loan, "risk_band", 9, text="e"), value(loan, "risk_band", 1, text="b"))
    add(database, value(loan, "monthly_income", 5, 9_000_00), value(loan, "monthly_income", 2, 0))
    add(
        database,
        value(loan, "plan_active", 1, 1),
        value(loan, "case_open", 1, 0),
        value(loan, "legal_step", 1, text="war"),
    )
    add(database, value(loan, "self_cure_probability", 1, 101), value(loan, "utilisation", -1, 50))
    names = (
        "risk_band",
        "monthly_income",
        "plan_active",
        "case_open",
        "legal_step",
        "self_cure_probability",
        "utilisation",
    )
    assert of(database, loan, *names) == ("b", 0, True, False, None, None, None)


def test_the_agreement_and_the_person(sqlite_database: Database) -> None:
    """What the rows say is what the facts say; a channel nobody declared and an empty region are unknown."""
    person = make_person(
        sqlite_database,
        language="zh",
        country="US",
        region="US-CA",
        preferred_channel="email",
        mobile="+1",
        email="a@b.c",
    )
    loan = make_loan(
        sqlite_database, borrower_id=person, instalments=MONTHLY, product="card", custody="agency", autopay=True,
        accelerated=True, charged_off_on=days_ago(1), limitation_on=days_ago(3), stage="phone", stage_on=days_ago(8),
        episode_on=days_ago(30),
    )  # fmt: skip
    found = facts_in(sqlite_database)[loan]
    expected = {
        "language": "zh", "country": "US", "region": "US-CA", "preferred_channel": "email", "has_mobile": True,
        "mobile_valid": True, "has_email": True, "email_valid": True, "product": "card", "custody": "agency",
        "autopay": True, "accelerated": True, "charged_off": True, "limitation_days_left": -3, "time_barred": True,
        "stage": "phone", "days_in_stage": 8, "days_in_episode": 30,
    }  # fmt: skip
    assert {name: found.get(name) for name in expected} == expected
    plain = make_person(sqlite_database, region="", preferred_channel="pigeon")
    other = make_loan(sqlite_database, borrower_id=plain, instalments=MONTHLY, charged_off_on=days_ago(-1))
    add(sqlite_database, Endpoint(person_id=plain, kind="mobile", value="+9", valid=False, recorded_at=NOW))
    names = ("region", "preferred_channel", "has_mobile", "mobile_valid", "has_email", "charged_off")
    assert of(sqlite_database, other, *names) == (None, None, True, False, False, False)


@pytest.mark.parametrize(("ends", "barred"), [(1, True), (0, False), (-1, False), (None, None)])
def test_a_claim_is_barred_from_the_day_after_its_last(
    database: Database, ends: int | None, barred: bool | None
) -> None:
    """And then no pack lets it be filed; where the last day is not known the fact is not either."""
    last = None if ends is None else days_ago(ends)
    loan = make_loan(database, instalments=MONTHLY, limitation_on=last)
    facts = facts_in(database)[loan]
    assert facts.get("time_barred") is barred
    for place, actor in (("CN", "first_party"), ("US", "agency")):
        filing = Ask(
            "filing", "legal", "collect", "borrower", 1, (loan,), (place,), ("Asia/Shanghai",), actor, facts=facts
        )
        reasons = {reason.rule for reason in Gate(shipped_packs()).check(filing, NOW).reasons}
        assert ("house.default.time_barred" in reasons) is (barred is True)
        assert ("us.regf.time_barred.suit" in reasons) is (barred is True and actor == "agency")


def test_spells_of_delinquency_of_a_year(sqlite_database: Database) -> None:
    """Leaving `current` begins a spell; moves within it, cures and closing do not; 365 days are within twelve months."""
    loan = make_loan(sqlite_database, instalments=MONTHLY)
    moves = [(366, "current", "reminded"), (365, "current", "reminded"), (300, "reminded", "phone")]
    moves += [(290, "phone", "current"), (40, "current", "phone"), (30, "phone", "current"), (20, "current", "closed")]
    for entry, (days, source, target) in enumerate(moves, 1):
        on = days_ago(days)
        change = StageChange(loan_id=loan, entry=entry, source=source, target=target, on_on=on, at=at(on), cause="rule")
        add(sqlite_database, change)
    assert of(sqlite_database, loan, "episodes_12m") == (2,)


def feed(kind: str, age: timedelta, status: str = "done") -> Feed:
    number = next(_numbers)
    return Feed(kind=kind, file="f", digest=f"d-{number}", as_of_at=NOW - age, imported_at=NOW, status=status)


def test_the_age_of_a_feed_is_that_of_the_newest_finished_one_that_tells_of_payments(database: Database) -> None:
    """Whole hours since its content; other kinds of file and one still loading say nothing of payments."""
    loan = make_loan(database, instalments=MONTHLY)
    account = make_loan(database, basis="account")
    add(database, feed("people", timedelta()), feed("movements", timedelta(hours=1), "loading"))
    assert of(database, loan, "feed_age") == (None,)
    add(database, feed("movements", timedelta(days=9)), feed("movements", timedelta(hours=27, minutes=59)))
    assert of(database, loan, "feed_age") == (27,)
    assert of(database, account, "feed_age") == (None,)
    add(database, feed("accounts", timedelta(minutes=59)))
    assert (of(database, account, "feed_age"), of(database, loan, "feed_age")) == ((0,), (27,))


def random_book(database: Database, seed: int, people: int) -> None:
    """Borrowers with one to three loans, payments, fees, bounces and contacts, the same for the same seed."""
    rnd = Random(seed)
    zones = ["Asia/Shanghai", "America/New_York", "America/New_York Asia/Tokyo", "", "Pacific/Kiritimati"]
    for _ in range(people):
        person = make_person(database, zones=rnd.choice(zones), mobile=f"+{next(_numbers)}")
        for _ in range(rnd.randint(1, 3)):
            first, step = rnd.randint(-20, 200), rnd.randint(7, 95)
            amounts = [rnd.choice([0, 1, 99, 100_00, 250_00]) for _ in range(rnd.randint(1, 6))]
            schedule = [(days_ago(first - i * step), amount) for i, amount in enumerate(amounts)]
            loan = make_loan(
                database, borrower_id=person, instalments=schedule, episode_on=rnd.choice([None, days_ago(9)])
            )
            for _ in range(rnd.randint(0, 5)):
                kind = rnd.choice(["payment", "payment", "credit", "waiver", "forgiveness", "fee", "charge_off"])
                on, amount = days_ago(rnd.randint(1, 150)), rnd.choice([1, 50_00, 100_00, 350_00])
                ref = add_movement(database, loan, kind, amount, on)
                if rnd.random() < 0.3:
                    reverse(database, loan, ref, amount, min(TODAY, on + timedelta(days=rnd.randint(0, 20))))
            when = [NOW - timedelta(hours=rnd.randint(1, 400)) for _ in range(rnd.randint(0, 5))]
            log(database, *(contact(loan, person, moment, rnd.choice(["call", "sms", "visit"])) for moment in when))
            add(database, *(row for row in around(loan, person, rnd) if rnd.random() < 0.3))


def around(loan: int, person: int, rnd: Random) -> list[SQLModel]:
    """One row of everything else that facts are read from."""
    days = rnd.randint(1, 30)
    return [
        promise(loan, days_ago(days), days_ago(days - 5), rnd.choice(["open", "kept", "broken", "withdrawn"]), 10_00),
        hold(
            person,
            rnd.choice(["dispute", "attorney", "hardship"]),
            rnd.choice([None, loan]),
            days,
            rnd.choice([None, 1]),
        ),
        said(person, rnd.choice(["consent", "opt_out"]), days, rnd.choice(["", "sms", "sms email"])),
        notice(loan, person, days, days - 5),
        value(loan, "risk_band", days, text=rnd.choice(["a", "e"])),
        value(loan, "monthly_income", days, rnd.randint(0, 9)),
        feed("movements", timedelta(hours=days)),
        Party(loan_id=loan, person_id=person, role="guarantor"),
        StageChange(
            loan_id=loan, entry=1, source="current", target="phone", on_on=days_ago(days), at=NOW, cause="rule"
        ),
    ]


def test_arrears_are_those_of_the_definition(sqlite_database: Database) -> None:
    """For random ledgers, every number about arrears equals what `store.arrears` derives from the whole history."""
    import duckdb

    random_book(sqlite_database, seed=7, people=40)
    later = NOW + timedelta(days=1)  # everything has taken effect wherever the borrower is
    with duckdb.connect() as con:
        FactStatement(con, CATALOGUE).compute(
            read_book(sqlite_database, everybody(sqlite_database), now=later), now=later
        )
        found, today = facts_of(con, range(1000)), days_of(con)
    compared = 0
    with sqlite_database.session() as session:
        for loan in session.exec(select(Loan)):
            assert loan.id is not None
            facts = found[loan.id]
            try:
                want = read_arrears(session, loan, on=today[loan.borrower_id], known_at=later)
            except DataError:
                assert "dpd" not in facts
                continue
            if "dpd" not in facts:
                assert want.balance_minor <= 0 or want.first_unpaid_on is None
                continue
            compared += 1
            days_to_due = (want.due_next_on - want.on).days if want.due_next_on else 9999
            assert (
                facts["dpd"], facts["overdue_amount"], facts["instalments_overdue"], facts["days_to_due"],
                facts["fees_due"], facts["pending_amount"], facts["balance"],
            ) == (
                want.dpd, want.overdue_minor, want.instalments_overdue, days_to_due,
                want.fees_due_minor, want.pending_minor, max(0, want.balance_minor),
            ), loan.id  # fmt: skip
    assert compared > 60


def test_a_loan_alone_has_the_facts_it_has_in_the_whole_book(database: Database) -> None:
    """The filter is in what is read: borrower by borrower, in chunks or all at once, every fact is the same."""
    random_book(database, seed=11, people=6)
    whole = facts_in(database)
    alone: Found = {}
    for borrower in {borrower_of(database, loan) for loan in whole}:
        alone |= facts_in(database, [borrower])
    chunked: Found = {}
    people = everybody(database)
    for chunk in packed(people, [1] * len(people), 2):
        chunked |= facts_in(database, chunk)
    assert whole == alone == chunked
    assert len(whole) > 6


def test_the_outline_tells_the_facts_it_is_said_to_tell(database: Database) -> None:
    """Of random loans, by schedule and by account, each fact of the outline is the one of the whole book."""
    random_book(database, seed=5, people=25)
    for dpd in (0, 7):
        account = make_loan(database, basis="account")
        early, late = (snapshot(account, days_ago(days), dpd, dpd * 100_00) for days in (40, 5))
        add(database, early, late)
        add_payment(database, account, 10_00, days_ago(2))
    import duckdb

    whole = facts_in(database)
    outlined: Found = {}
    after = 0
    with reading(database) as source, duckdb.connect() as con:
        statement = FactStatement(con, CATALOGUE, only=OUTLINE_FACTS)
        while (outline := read_outline(source, after=after, loans=10, now=NOW)) is not None:
            statement.compute(outline.book, now=NOW)
            outlined |= facts_of(con, outline.book.loan["id"].to_pylist())
            assert outline.to > after
            after = outline.to
    assert outlined.keys() == whole.keys()
    compared = 0
    for loan, facts in whole.items():
        # Of a loan that is overdue the next instalment is not read, and nobody needs it: it is looked at anyway.
        told = OUTLINE_FACTS - ({"days_to_due"} if facts.get("dpd", 0) else set())
        assert {n: outlined[loan].get(n) for n in told} == {n: facts.get(n) for n in told}, loan
        compared += "days_to_due" in told
    assert 10 < compared < len(whole), "all overdue, or none"


def test_both_databases_give_the_same_facts(sqlite_database: Database, postgres_database: Database) -> None:
    """The same book, written the same way, is the same book."""
    for database in (sqlite_database, postgres_database):
        random_book(database, seed=3, people=12)
    assert facts_in(sqlite_database) == facts_in(postgres_database)


def test_facts_can_be_read_inside_the_transaction_that_holds_the_lock(database: Database) -> None:
    """A micro-batch of events sees its own uncommitted writes."""
    loan = make_loan(database, instalments=MONTHLY)
    with writing(database) as bulk:
        bulk.execute("update loan set custody = 'agency' where id = :id", {"id": loan})
        book = read_book(bulk, [borrower_of(database, loan)], now=NOW, contact_days=contact_days(CATALOGUE))
        bulk.rollback()
    assert facts_in_book(book)[loan]["custody"] == "agency"
    assert of(database, loan, "custody") == ("in_house",)


def test_a_book_holds_nothing_that_identifies_a_person(sqlite_database: Database) -> None:
    """Names, numbers and addresses are not even read."""
    loan = make_loan(
        sqlite_database, borrower_id=make_person(sqlite_database, name="Wang Xiaoming", mobile="+8613800000000")
    )
    book = read_book(sqlite_database, [borrower_of(sqlite_database, loan)], now=NOW)
    assert "Wang" not in str(book.person.to_pylist())
    assert "13800000000" not in str(book.endpoint.to_pylist())


def test_chunks_are_whole_borrowers() -> None:
    """As many as fit; a borrower with more loans than fit is a chunk alone."""
    assert list(packed([1, 2, 3, 4, 5, 6], [1, 2, 5, 1, 1, 1], 3)) == [[1, 2], [3], [4, 5, 6]]
    assert list(packed([4, 5, 6], [1, 1, 1], 100)) == [[4, 5, 6]]
    assert list(packed([], [], 100)) == []


def test_contacts_of_a_long_spell_are_read_however_old(database: Database) -> None:
    """`repeat: {per: episode}` must see what was done two years ago in the same spell, and nothing else that old."""
    old = NOW - timedelta(days=700)
    long, short = (make_loan(database, instalments=MONTHLY, episode_on=days_ago(days)) for days in (800, 100))
    for loan in (long, short):
        log(database, contact(loan, borrower_of(database, loan), old), contact(loan, borrower_of(database, loan), NOW))
    log(database, contact(short, borrower_of(database, short), old, status="unknown"))
    book = read_book(database, everybody(database), now=NOW)
    read = sorted((row["loan_id"], row["at"] == to_us(old), row["status"]) for row in book.contact.to_pylist())
    assert read == [
        (long, False, "delivered"),
        (long, True, "delivered"),
        (short, False, "delivered"),
        (short, True, "unknown"),
    ]
    assert sorted(book.contact_loan["contact_id"].to_pylist()) == sorted(book.contact["id"].to_pylist())


def test_only_open_instalments_up_to_the_next_due_are_read(database: Database) -> None:
    """Cost grows with what is due: neither the paid past nor the far future of a schedule is read."""
    schedule = [(days_ago(100 - 30 * i), 100) for i in range(12)]
    loan = make_loan(database, instalments=schedule)
    add_payment(database, loan, 250, days_ago(20))
    book = read_book(database, [borrower_of(database, loan)], now=NOW)
    assert sorted(book.instalment["number"].to_pylist()) == [3, 4, 5]
