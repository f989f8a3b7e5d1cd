"""A book in hindsight is the book that would have been read, had the money been written down in time."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.book import RawBook, read_book
from store.bulk import reading
from store.db import Database
from store.hindsight import in_hindsight
from store.ledger import NewMovement, record
from tests.factories import make_loan, make_person
from tests.histories import History, histories

if TYPE_CHECKING:
    import pyarrow as pa

MONEY = ("position", "instalment", "movement")


@given(history=histories(), data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_money_that_was_heard_of_late_counts_as_if_it_had_been_known(
    database: Database, history: History, data: st.DataObject
) -> None:
    """Whatever part of a history came late: positions, open instalments and setbacks are as if none had."""
    on = data.draw(st.sampled_from(history.days()))
    at = datetime.combine(on, time(12), UTC)
    borrower = make_person(database)
    loan = make_loan(database, borrower_id=borrower, instalments=history.schedule)
    before: list[NewMovement] = []
    for one in history.of_loan(loan):
        # What ends another stands behind it, and is of no use without it.
        if one.effective_on < on and (one.ends is None or one.ends in {other.key for other in before}):
            before.append(one)
    known = data.draw(st.integers(0, len(before)))
    with database.write() as session:
        record(session, [replace(one, recorded_at=at - timedelta(hours=1)) for one in before[:known]])
    seen = read_book(database, [borrower], now=at)
    with database.write() as session:
        record(session, [replace(one, recorded_at=at + timedelta(days=1)) for one in before[known:]])
    with reading(database) as source:
        found = in_hindsight(source, seen, at=at, on={loan: on})
    assert money(found) == money(read_book(database, [borrower], now=at))


def money(book: RawBook) -> dict[str, list[dict[str, Any]]]:
    """What a book says of money, in order; when it was written down is what differs."""
    return {name: plain(getattr(book, name)) for name in MONEY}


def plain(table: "pa.Table") -> list[dict[str, Any]]:
    """The rows, without what counts how often something was written."""
    left_out = {"version", "recorded_at"}
    rows = [{name: value for name, value in row.items() if name not in left_out} for row in table.to_pylist()]
    return sorted(rows, key=str)
