"""
Everything needed to decide a set of borrowers, read as columns at one moment.

What is read is what is due or can still change a decision, not the whole history: open instalments up to the next due
date, standing notices, holds that have not ended, the latest snapshot, contacts of the last 400 days (of a longer
spell of delinquency all of them, because `repeat: {per: episode}` looks back that far).
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from store.book_queries import (
    CONTACT_DAYS,
    LAST_ZONE,
    Wanted,
    loan_query,
    other_queries,
    party_query,
    position_query,
)
from store.bulk import reading
from store.bulk_arrow import Reader

if TYPE_CHECKING:
    import pyarrow as pa

    from store.db import Database

__all__ = ["CONTACT_DAYS", "RAW_TABLES", "RawBook", "packed", "read_book"]


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


_FIRST_OPEN: Final = {
    "loan_id": "loan_id",
    "number": "first_open_number",
    "due_on": "first_open_on",
    "amount_minor": "first_open_minor",
    "due_total_minor": "first_open_total_minor",
}
"""Column of an instalment -> where a position keeps it of the oldest that is open."""

RAW_TABLES: Final = tuple(field.name for field in fields(RawBook) if field.name != "contact_days")


def read_book(
    source: "Database | Reader", borrowers: Sequence[int], *, now: datetime, contact_days: int = CONTACT_DAYS
) -> RawBook:
    """
    Read the book of some borrowers, as of one moment.

    Args:
        source: a database, or a reader or bulk transaction that is already open (micro-batches of events read inside
            the transaction that holds the lock).
        borrowers: their ids, each once.
        now: what "recent", "ended" and "due" are measured against; aware.
        contact_days: how far back contacts are read, where a counter looks further than the usual 400 days.
    """
    if not hasattr(source, "read"):
        with reading(source) as reader:
            return read_book(reader, borrowers, now=now, contact_days=contact_days)
    loan = source.read(loan_query(borrowers))
    loans = loan["id"].to_pylist()
    party = source.read(party_query(loans))
    position = source.read(position_query(loans))
    behind, ahead = _by_whether_behind(position, now)
    wanted = _wanted(borrowers, loan, party, behind, now, contact_days)
    rest = {name: source.read(query) for name, query in other_queries(wanted, now, contact_days).items()}
    rest["contact_loan"] = _about(rest["contact"], rest["contact_loan"])
    # Of who is not behind the position knows the next instalment: in a book far larger than memory, their schedules are left alone.
    rest["instalment"] = _joined(rest["instalment"], first_open(ahead))
    position = position.drop_columns(["first_open_minor", "first_open_total_minor"])
    return RawBook(loan=loan, party=party, position=position, **rest, contact_days=contact_days)


def first_open(position: "pa.Table") -> "pa.Table":
    """The oldest open instalment of each position that has one, as a row of the schedule."""
    import pyarrow as pa

    opened = position.filter(position["first_open_number"].is_valid())
    return pa.table({name: opened[of] for name, of in _FIRST_OPEN.items()})


def _by_whether_behind(position: "pa.Table", now: datetime) -> "tuple[pa.Table, pa.Table]":
    """The positions of which the oldest open instalment has fallen due, or does so today somewhere; and those where it has not."""
    import pyarrow.compute as pc

    due = pc.less_equal(position["first_open_on"], now.astimezone(LAST_ZONE).date())
    return position.filter(due), position.filter(pc.invert(due))


def _about(contact: "pa.Table", others: "pa.Table") -> "pa.Table":
    """Which loans each contact was about: the one that it names itself, and any others."""
    import pyarrow as pa

    own = pa.table({"contact_id": contact["id"], "loan_id": contact["loan_id"]})
    return _joined(own, others)


def _joined(*tables: "pa.Table") -> "pa.Table":
    import pyarrow as pa

    return pa.concat_tables(tables)


def _wanted(
    borrowers: Sequence[int], loan: "pa.Table", party: "pa.Table", behind: "pa.Table", now: datetime, contact_days: int
) -> Wanted:
    since = (now - timedelta(days=contact_days)).date()
    accounts, long_spells = [], []
    loans = loan["id"].to_pylist()
    for loan_id, basis, began in zip(loans, loan["basis"].to_pylist(), loan["episode_on"].to_pylist(), strict=True):
        if basis == "account":
            accounts.append(loan_id)
        if began is not None and began < since:
            long_spells.append(loan_id)
    people = {*borrowers, *party["person_id"].to_pylist()}
    return Wanted(
        tuple(sorted(people)),
        tuple(sorted(loans)),
        tuple(accounts),
        tuple(long_spells),
        tuple(behind["loan_id"].to_pylist()),
    )


def packed(borrowers: Iterable[int], loans: Iterable[int], loans_per_chunk: int) -> Iterator[list[int]]:
    """
    Put borrowers into chunks, in the order given: at least one in each, and otherwise at most so many loans.

    Args:
        loans: how many each of the borrowers has.
    """
    chunk: list[int] = []
    filled = 0
    for borrower, count in zip(borrowers, loans, strict=True):
        if chunk and filled + count > loans_per_chunk:
            yield chunk
            chunk, filled = [], 0
        chunk.append(borrower)
        filled += count
    if chunk:
        yield chunk
