"""Facts of small books, asked of both definitions, which must say the same; and what such books are made of."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import SQLModel, select

from engine.catalogue import load_catalogue
from engine.tree import FactValue
from store.book import RawBook, read_book
from store.db import Database
from store.fact_query import FactStatement, contact_days, facts_of
from store.fact_small import SmallFacts
from store.tables import AccountSnapshot, Consent, Contact, ContactLoan, Feed, Hold, Loan, Notice, Promise
from store.tables import FactValue as FactRow
from tests.factories import at

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
NUMBERS = count(1)
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
    number = next(NUMBERS)
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


def snapshot(loan: int, on: date, dpd: int, overdue: int, **values: Any) -> AccountSnapshot:
    given = {"balance_minor": 9_000_00, "min_payment_minor": overdue + 300_00, "next_due_on": on + timedelta(days=12)}
    return AccountSnapshot(
        **{**given, **values}, loan_id=loan, as_of_on=on, dpd=dpd, overdue_minor=overdue, recorded_at=at(on, 23)
    )


def promise(loan: int, made: date, due: date, status: str = "open", paid: int = 0, amount: int = 200_00) -> Promise:
    ref = f"promise-{next(NUMBERS)}"
    return Promise(
        loan_id=loan, amount_minor=amount, made_at=at(made), due_on=due, status=status, paid_minor=paid, ref=ref
    )


def hold(person: int, kind: str, loan: int | None = None, start: int = 5, end: int | None = None) -> Hold:
    ends = None if end is None else NOW - timedelta(days=end)
    return Hold(
        person_id=person, loan_id=loan, kind=kind, owner="x", review_on=TODAY, starts_at=NOW - timedelta(days=start),
        ends_at=ends, recorded_at=NOW, ref=f"hold-{next(NUMBERS)}",
    )  # fmt: skip


def said(person: int, kind: str, days: int, channels: str = "", scope: str = "", until: int | None = None) -> Consent:
    until_at = None if until is None else NOW - timedelta(days=until)
    return Consent(
        person_id=person, kind=kind, channels=channels, scope=scope, received_at=NOW - timedelta(days=days), recorded_at=NOW - timedelta(days=days),
        until_at=until_at, ref=f"said-{next(NUMBERS)}",
    )  # fmt: skip


def notice(loan: int, person: int, sent: int, effective: int, kind: str = "prelegal_notice", **values: Any) -> Notice:
    return Notice(
        **values, loan_id=loan, person_id=person, kind=kind, sent_on=days_ago(sent), effective_on=days_ago(effective),
        how="letter", recorded_at=NOW, ref=f"notice-{next(NUMBERS)}",
    )  # fmt: skip


def value(loan: int, name: str, days: int, number: int | None = None, text: str | None = None) -> FactRow:
    return FactRow(
        loan_id=loan, name=name, number=number, text=text, as_of_at=NOW - timedelta(days=days), recorded_at=NOW
    )


def feed(kind: str, age: timedelta, status: str = "done") -> Feed:
    number = next(NUMBERS)
    return Feed(kind=kind, file="f", digest=f"d-{number}", as_of_at=NOW - age, imported_at=NOW, status=status)
