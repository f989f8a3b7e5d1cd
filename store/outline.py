"""
The outline of a book: a few narrow columns of every loan, from which it is known of most that nothing is to be decided.

It looks like any other raw book, so that the one facts statement computes its facts, and holds no more than
`OUTLINE_FACTS` need: nothing of what was said, sent or agreed.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Select, func, select

from store.book import RAW_TABLES, RawBook, first_open
from store.book_queries import feed_query, movement_query, snapshot_query
from store.bulk_arrow import Reader, arrow_schema, table_of

if TYPE_CHECKING:
    import pyarrow as pa

OUTLINE_FACTS: Final = frozenset({
    "stage", "days_in_stage", "days_in_episode", "product", "currency", "autopay",
    "dpd", "days_to_due", "balance", "days_since_payment", "pending_amount",
})  # fmt: skip
"""What an outline tells. `days_to_due` only of loans that are not overdue: of others the next instalment is not read."""

_LOAN: Final = ("id", "borrower_id", "product", "currency", "basis", "autopay", "stage", "stage_on", "episode_on")
_POSITION: Final = (
    "due_minor", "credit_minor", "fee_minor", "pending_minor", "first_open_number", "first_open_on", "last_payment_on",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Outline:
    """
    The outline of some whole borrowers.

    Attributes:
        to: the last borrower's id.
    """

    book: RawBook
    to: int


def read_outline(source: Reader, *, after: int, loans: int, now: datetime) -> Outline | None:
    """
    The outline of the next borrowers in id order, about so many loans; None at the end of the book.

    Args:
        after: the last borrower that is done already.
    """
    loan, person, endpoint = (table_of(name) for name in ("loan", "person", "endpoint"))
    ahead = select(loan.c.borrower_id).where(loan.c.borrower_id > after).order_by(loan.c.borrower_id).limit(loans)
    ahead_of = ahead.subquery()
    to = source.read(select(func.max(ahead_of.c.borrower_id).label("id")))["id"][0].as_py()
    if to is None:
        return None
    both = source.read(_loans_and_positions(after, to))
    own = both.select(list(_LOAN))
    position = both.filter(both["has_position"]).select(["id", *_POSITION]).rename_columns(["loan_id", *_POSITION])
    accounts = own.filter(_equal(own["basis"], "account"))["id"].to_pylist()
    zone_of = (endpoint.c.person_id, endpoint.c.zone, endpoint.c.valid)
    tables = {
        "loan": own,
        "position": position,
        "instalment": first_open(_without_amounts(position)),
        "person": source.read(select(person.c.id, person.c.zones).where(person.c.id > after, person.c.id <= to)),
        "endpoint": source.read(
            select(*zone_of).where(
                endpoint.c.person_id > after, endpoint.c.person_id <= to, endpoint.c.zone.is_not(None), endpoint.c.valid
            )
        ),
        "feed": source.read(feed_query()),
    }
    if accounts:
        tables["account_snapshot"] = source.read(snapshot_query(accounts))
        tables["movement"] = source.read(movement_query((), accounts, now))
    return Outline(RawBook(**{name: _whole(name, tables.get(name)) for name in RAW_TABLES}), to)


def _loans_and_positions(after: int, to: int) -> Select[Any]:
    loan, position = table_of("loan"), table_of("position")
    return (
        select(
            *(loan.c[name] for name in _LOAN),
            *(position.c[name] for name in _POSITION),
            position.c.loan_id.is_not(None).label("has_position"),
        )
        .select_from(loan.outerjoin(position, position.c.loan_id == loan.c.id))
        .where(loan.c.borrower_id > after, loan.c.borrower_id <= to)
    )


def _without_amounts(position: "pa.Table") -> "pa.Table":
    """The positions with oldest open instalments of which the dates are right, and the amounts are not."""
    import pyarrow as pa

    ones = pa.array([1] * position.num_rows, pa.int64())
    return position.append_column("first_open_minor", ones).append_column("first_open_total_minor", ones)


def _equal(column: "pa.ChunkedArray", value: str) -> "pa.ChunkedArray":
    import pyarrow.compute as pc

    return pc.equal(column, value)


def _whole(name: str, rows: "pa.Table | None") -> "pa.Table":
    """The rows with all columns of their table; null in those that were not read."""
    import pyarrow as pa

    schema = arrow_schema(name)
    if name == "movement":
        schema = schema.append(pa.field("ended_kind", pa.string()))
    if rows is None:
        return schema.empty_table()
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type) for field in schema
    ]
    return pa.table(columns, schema=schema)
