"""
Everything needed to decide a set of borrowers, read as columns at one moment.

What is read is what is due or can still change a decision, not the whole history: open instalments up to the next due
date, standing notices, holds that have not ended, the latest snapshot, contacts of the last 400 days (of a longer
spell of delinquency all of them, because `repeat: {per: episode}` looks back that far).
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, or_, select

from store.book_queries import CONTACT_DAYS, Borrowers, BorrowerSpan, book_queries
from store.bulk import reading
from store.bulk_arrow import Reader, table_of

if TYPE_CHECKING:
    import pyarrow as pa

    from store.db import Database

__all__ = ["CONTACT_DAYS", "RAW_TABLES", "BorrowerSpan", "Borrowers", "RawBook", "borrower_chunks", "read_book"]


@dataclass(frozen=True, slots=True)
class RawBook:
    """
    The rows of some borrowers, as the tables have them (`store.bulk_arrow` says how values look).

    `person`, `endpoint`, `consent` and `hold` are of the borrowers and of everyone who stands in a role for their
    loans. `instalment` holds those not covered by cleared credit, up to the first due after today anywhere on Earth.
    `movement` holds recent bounced payments and cancelled debits, and of accounts what came after their snapshot; its
    `ended_kind` is the kind of the movement it ends. `feed` is the newest age per kind of feed. What identifies a
    person (names, numbers, addresses) is never read.
    """

    loan: "pa.Table"
    person: "pa.Table"
    endpoint: "pa.Table"
    party: "pa.Table"
    position: "pa.Table"
    instalment: "pa.Table"
    movement: "pa.Table"
    account_snapshot: "pa.Table"
    fact_value: "pa.Table"
    consent: "pa.Table"
    hold: "pa.Table"
    notice: "pa.Table"
    promise: "pa.Table"
    stage_change: "pa.Table"
    contact: "pa.Table"
    contact_loan: "pa.Table"
    feed: "pa.Table"
    contact_days: int = CONTACT_DAYS


RAW_TABLES: Final = tuple(field.name for field in fields(RawBook) if field.name != "contact_days")


def read_book(
    source: "Database | Reader", borrowers: Borrowers, *, now: datetime, contact_days: int = CONTACT_DAYS
) -> RawBook:
    """
    Read the book of some borrowers, as of one moment.

    Args:
        source: a database, or a reader or bulk transaction that is already open (micro-batches of events read inside
            the transaction that holds the lock).
        now: what "recent", "ended" and "due" are measured against; aware.
        contact_days: how far back contacts are read, where a counter looks further than the usual 400 days.
    """
    if hasattr(source, "read"):
        queries = book_queries(borrowers, now, contact_days)
        return RawBook(**{name: source.read(queries[name]) for name in RAW_TABLES}, contact_days=contact_days)
    with reading(source) as reader:
        return read_book(reader, borrowers, now=now, contact_days=contact_days)


def borrower_chunks(source: "Database | Reader", loans_per_chunk: int, *, after: int = 0) -> Iterator[BorrowerSpan]:
    """
    Cut the book into spans of whole borrowers, in id order.

    A chunk has at least one borrower and otherwise at most `loans_per_chunk` loans. Borrowers all of whose loans are
    closed and paid are in no chunk of their own (a span may still cover them).

    Args:
        after: the last borrower id that is already done; 0 starts anew.
    """
    if not hasattr(source, "read"):
        with reading(source) as reader:
            spans = list(borrower_chunks(reader, loans_per_chunk, after=after))
        yield from spans
        return
    loan, position = table_of("loan"), table_of("position")
    counted = (
        select(loan.c.borrower_id, func.count().label("loans"))
        .select_from(loan.outerjoin(position, position.c.loan_id == loan.c.id))
        .where(loan.c.borrower_id > after, or_(loan.c.stage != "closed", position.c.first_open_on.is_not(None)))
        .group_by(loan.c.borrower_id)
        .order_by(loan.c.borrower_id)
    )
    counts = source.read(counted)
    last, loans = after, 0
    previous = after
    for borrower, count in zip(counts["borrower_id"].to_pylist(), counts["loans"].to_pylist(), strict=True):
        if loans and loans + count > loans_per_chunk:
            yield BorrowerSpan(last, previous)
            last, loans = previous, 0
        loans += count
        previous = borrower
    if loans:
        yield BorrowerSpan(last, previous)
