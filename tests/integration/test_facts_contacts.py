"""What counts as a contact, with whom, and on which day of theirs, counted by hand, on both databases."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from store.db import Database
from store.tables import Endpoint, Party
from tests.factories import make_loan, make_person
from tests.facts_of_books import MONTHLY, NOW, SHANGHAI, add, borrower_of, contact, days_ago, facts_in, log, of


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


def test_what_a_clock_ahead_wrote_has_happened(database: Database) -> None:
    """A call stamped later than now, past midnight even, was made today; a call-back that was promised was not made yet."""
    person = make_person(database)
    loan = make_loan(database, borrower_id=person, instalments=MONTHLY)
    ahead = contact(loan, person, NOW + timedelta(minutes=5), outcome="conversation")
    tomorrow = contact(loan, person, NOW + timedelta(days=1), "sms", status="sent")
    log(database, ahead, tomorrow, contact(loan, person, NOW + timedelta(hours=2), status="sent", outcome=""))
    names = ("days_since_call", "days_since_conversation", "calls_7d", "calls_30d_loan", "days_since_message")
    assert of(database, loan, *names) == (0, 0, 1, 1, 0)
    assert of(database, loan, *names, now=NOW + timedelta(days=3)) == (3, 3, 1, 1, 2)


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
