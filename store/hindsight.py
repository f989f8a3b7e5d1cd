"""
A book as it was read for a decision, with what is known today about the time before it.

What happened later is left out: a payment of yesterday that was written down today is hindsight, one of today is not.
Nothing is written; the tables of the snapshot are exchanged, row by row, for what they should have held.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, or_, select

from store.arrears import fold_credit
from store.book import RawBook
from store.book_queries import DEBIT_DAYS, LAST_ZONE, latest_values, rows_of
from store.bulk_arrow import Reader, table_of
from store.columns import from_us, to_us
from store.ids import among
from store.tables import Movement
from store.tables.ledger import SETBACKS

if TYPE_CHECKING:
    import pyarrow as pa

Row = dict[str, Any]


def in_hindsight(reader: Reader, book: RawBook, *, at: datetime, on: Mapping[int, date]) -> RawBook:
    """
    The book as it should have been read.

    Args:
        at: the instant of the decision.
        on: the day of the decision for each loan, at its borrower's place.
    """
    loans, people = book.loan["id"].to_pylist(), book.person["id"].to_pylist()
    accounts = {row["id"] for row in book.loan.select(["id", "basis"]).to_pylist() if row["basis"] == "account"}
    hold, consent, notice = table_of("hold"), table_of("consent"), table_of("notice")
    ongoing = and_(hold.c.starts_at <= at, or_(hold.c.ends_at.is_(None), hold.c.ends_at > at))
    book = replace(
        book,
        consent=reader.read(rows_of("consent", "person_id", people, consent.c.received_at <= at)),
        hold=reader.read(rows_of("hold", "person_id", people, ongoing)),
        fact_value=reader.read(latest_values(loans, at)),
        notice=_kept(book.notice, reader, select(notice.c.id).where(among(notice.c.loan_id, loans), notice.c.voided_at.is_(None))),
        account_snapshot=_snapshots(reader, book, accounts, on),
        **_reached(reader, book),
    )  # fmt: skip
    return _ledger(reader, book, accounts, at, on)


def _kept(table: "pa.Table", reader: Reader, still: Any) -> "pa.Table":
    """The rows of which the key still stands."""
    ids = set(reader.read(still)["id"].to_pylist())
    return _made(table, [row for row in table.to_pylist() if row["id"] in ids])


def _snapshots(reader: Reader, book: RawBook, accounts: Iterable[int], on: Mapping[int, date]) -> "pa.Table":
    """Of each account, how the last day before the decision ended, by the newest word on it."""
    known = {row["loan_id"]: row for row in book.account_snapshot.to_pylist()}
    for row in reader.read(rows_of("account_snapshot", "loan_id", accounts)).to_pylist():
        seen = known.get(row["loan_id"])
        same_day = seen is not None and seen["as_of_on"] == row["as_of_on"]
        before = row["loan_id"] in on and row["as_of_on"] < on[row["loan_id"]]
        if (same_day or before) and (seen is None or _age(row) > _age(seen)):
            known[row["loan_id"]] = row
    return _made(book.account_snapshot, known.values())


def _age(row: Row) -> tuple[date, int]:
    return row["as_of_on"], row["recorded_at"]


def _reached(reader: Reader, book: RawBook) -> dict[str, "pa.Table"]:
    """Contacts that were not with whom they were meant for, and the numbers and addresses that led elsewhere."""
    contact = table_of("contact")
    wrong = reader.read(
        select(contact.c.id, contact.c.endpoint_id).where(
            contact.c.misdirected, among(contact.c.person_id, book.person["id"].to_pylist())
        )
    ).to_pylist()
    contacts = {row["id"] for row in wrong}
    places = {row["endpoint_id"] for row in wrong if row["endpoint_id"] is not None}
    past = [{**row, "misdirected": row["misdirected"] or row["id"] in contacts} for row in book.contact.to_pylist()]
    endpoints = [{**row, "valid": row["valid"] and row["id"] not in places} for row in book.endpoint.to_pylist()]
    return {"contact": _made(book.contact, past), "endpoint": _made(book.endpoint, endpoints)}


def _ledger(reader: Reader, book: RawBook, accounts: Iterable[int], at: datetime, on: Mapping[int, date]) -> RawBook:
    """Positions, open instalments and movements of the loans of which money was heard of too late."""
    movement, instalment = table_of("movement"), table_of("instalment")
    at_us, accounts = to_us(at), set(accounts)
    rows = reader.read(select(movement).where(among(movement.c.loan_id, on))).to_pylist()
    counts = [row for row in rows if row["recorded_at"] <= at_us or row["effective_on"] < on[row["loan_id"]]]
    late = {row["loan_id"] for row in counts if row["recorded_at"] > at_us}
    if not late:
        return book
    schedule = reader.read(select(instalment).where(among(instalment.c.loan_id, late))).to_pylist()
    latest_on = at.astimezone(LAST_ZONE).date()
    as_of = {row["loan_id"]: row["as_of_on"] for row in book.account_snapshot.to_pylist()}
    positions = {row["loan_id"]: row for row in book.position.to_pylist()}
    instalments = [row for row in book.instalment.to_pylist() if row["loan_id"] not in late]
    movements = [row for row in book.movement.to_pylist() if row["loan_id"] not in late]
    kinds = {row["id"]: row["kind"] for row in rows}
    for loan in sorted(late):
        mine = [row for row in counts if row["loan_id"] == loan]
        due = sorted((row for row in schedule if row["loan_id"] == loan), key=lambda row: row["number"])
        positions[loan] = _position(positions.get(loan), mine, due)
        instalments += _open(due, positions[loan], latest_on)
        since = at.date() - timedelta(days=DEBIT_DAYS)
        after = as_of.get(loan, date.max) if loan in accounts else date.max
        movements += [
            {**row, "ended_kind": kinds.get(row["reverses_id"])}
            for row in mine
            if (row["kind"] in SETBACKS and row["effective_on"] >= since) or row["effective_on"] > after
        ]
    return replace(
        book,
        position=_made(book.position, positions.values()),
        instalment=_made(book.instalment, instalments),
        movement=_made(book.movement, movements),
    )


def _position(before: Row | None, movements: list[Row], due: list[Row]) -> Row:
    """The ledger folded anew, as `store.projection` folds it."""
    folded = fold_credit([_movement(row) for row in movements])
    ended = {row["reverses_id"]: row for row in movements if row["reverses_id"] is not None}
    kinds = {row["id"]: row["kind"] for row in movements}
    first = next((row for row in due if row["due_total_minor"] > folded.credit_minor), None)
    paid = [
        row["effective_on"]
        for row in movements
        if row["kind"] == "payment" and ended.get(row["id"], {"amount_minor": 0})["amount_minor"] < row["amount_minor"]
    ]
    return {
        **(before or {"version": 0}),
        "loan_id": movements[0]["loan_id"],
        "due_minor": sum(row["amount_minor"] for row in due),
        "credit_minor": folded.credit_minor,
        "fee_minor": folded.fee_minor,
        "pending_minor": folded.pending_minor,
        "first_open_number": first["number"] if first else None,
        "first_open_on": first["due_on"] if first else None,
        "last_payment_on": max(paid, default=None),
        "reversals": sum(row["kind"] == "reversal" and kinds.get(row["reverses_id"]) == "payment" for row in movements),
    }


def _open(due: list[Row], position: Row, latest_on: date) -> list[Row]:
    """The instalments that a book holds: those not covered that have fallen due, and the first to come."""
    first = position["first_open_number"]
    if first is None:
        return []
    opened = [row for row in due if row["number"] >= first]
    fallen = [row for row in opened if row["due_on"] <= latest_on]
    ahead = [row for row in opened if row["due_on"] > latest_on and (row["amount_minor"] > 0 or not fallen)]
    return fallen + ahead[:1]


def _movement(row: Row) -> Movement:
    return Movement(**{**row, "recorded_at": from_us(row["recorded_at"])})


def _made(like: "pa.Table", rows: Iterable[Row]) -> "pa.Table":
    import pyarrow as pa

    names = like.schema.names
    return pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows], schema=like.schema)
