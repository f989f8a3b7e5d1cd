"""What came to be known after a decision or a fee, and was true before it."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, exists, or_, select
from sqlmodel import Session, col

from engine.errors import DataError
from store.arrears import read_arrears
from store.bulk_arrow import Reader, table_of
from store.columns import from_us
from store.tables import Loan, Movement

OTHER_RULES: Final = "other strategies or packs decide by now"

News = dict[int, dict[int, tuple[str, ...]]]
"""Run -> borrower -> what was not known of them when they were decided: each record by its kind and id."""


@dataclass(frozen=True, slots=True)
class Fee:
    """A fee of a day on which the loan, as is known by now, was not late."""

    movement: int
    loan: int
    at: datetime
    what: str
    because: tuple[str, ...]


def late_news(reader: Reader, since: datetime, now: datetime, *, everybody: bool = False) -> News:
    """
    What was learnt too late for decisions that led to a contact or a move.

    Args:
        since: of the decisions.
        now: what was recorded by then.
        everybody: also those of whom nothing new is known.
    """
    news: defaultdict[int, defaultdict[int, dict[str, None]]] = defaultdict(lambda: defaultdict(dict))
    for kind, query in _queries(since, now):
        for row in reader.read(query).to_pylist():
            day = f" of {row['day']}" if "day" in row else ""
            known = f", known since {_minute(from_us(row['known_at']))}" if "known_at" in row else ""
            news[row["run_id"]][row["borrower_id"]][f"{kind} {row.get('name', '')} {row['id']}{day}{known}"] = None
    if everybody:
        for row in reader.read(_decided(since)).to_pylist():
            news[row["run_id"]][row["borrower_id"]].setdefault(OTHER_RULES)
    return {run: {one: tuple(" ".join(said.split()) for said in told) for one, told in of.items()} for run, of in news.items()}  # fmt: skip


def late_fees(session: Session, since: datetime, now: datetime) -> Iterator[Fee]:
    """Fees that were charged since an instant, stand, and would not have been with what is known by now."""
    fee, later, ending = table_of("movement"), table_of("movement").alias("later"), table_of("movement").alias("ending")
    learnt = exists().where(
        later.c.loan_id == fee.c.loan_id, later.c.recorded_at > fee.c.recorded_at, later.c.recorded_at <= now,
        later.c.effective_on < fee.c.effective_on,
    )  # fmt: skip
    # What was taken back in part stands for the rest.
    reversed_ = exists().where(
        ending.c.reverses_id == fee.c.id, ending.c.amount_minor >= fee.c.amount_minor, ending.c.recorded_at <= now
    )
    charged = select(Movement).where(
        col(Movement.kind) == "fee", col(Movement.recorded_at) >= since, col(Movement.recorded_at) <= now, learnt, ~reversed_
    )  # fmt: skip
    for one in session.scalars(charged.order_by(col(Movement.id))):
        loan = session.get_one(Loan, one.loan_id)
        try:
            then = read_arrears(session, loan, on=one.effective_on, known_at=one.recorded_at)
            by_now = read_arrears(session, loan, on=one.effective_on, known_at=now)
        except DataError:
            # Nothing was known of the loan by then: nobody can say what the fee was for.
            continue
        if then.dpd > 0 and by_now.dpd == 0:
            what = f"fee of {one.amount_minor} minor units of {loan.currency}, on {one.effective_on}"
            because = (f"{then.dpd} days past due were seen, and it was not late",)
            yield Fee(one.id or 0, one.loan_id, one.recorded_at, what, because)


def _with_consequences(since: datetime) -> ColumnElement[bool]:
    decision = table_of("decision")
    moved = decision.c.stage_after != decision.c.stage_before
    return and_(decision.c.now_at >= since, or_(decision.c.outcome.in_(("contact", "recorded")), moved))


def _decided(since: datetime) -> Select[Any]:
    decision = table_of("decision")
    return select(decision.c.run_id, decision.c.borrower_id).where(_with_consequences(since)).distinct()


def _queries(since: datetime, now: datetime) -> Iterator[tuple[str, Select[Any]]]:
    """What kind of record, and those that came too late."""
    decision, contact = table_of("decision"), table_of("contact")
    told = _with_consequences(since)

    def late(name: str, known_at: str, before: ColumnElement[bool], *more: ColumnElement[Any]) -> Select[Any]:
        table = table_of(name)
        known = table.c[known_at]
        columns = (decision.c.run_id, decision.c.borrower_id, table.c.id, known.label("known_at"), *more)
        return select(*columns).where(told, known > decision.c.now_at, known <= now, before)

    of_loan = (
        ("movement", "recorded_at", "effective_on", ("kind",)),
        ("account_snapshot", "recorded_at", "as_of_on", ()),
        ("notice", "voided_at", "sent_on", ("kind",)),
    )
    for name, known_at, day, named in of_loan:
        table = table_of(name)
        more = (table.c[day].label("day"), *(table.c[one].label("name") for one in named))
        query = late(name, known_at, table.c[day] < decision.c.on_on, *more)
        kind = "voided notice" if name == "notice" else name.replace("_", " ")
        yield kind, query.join(table, table.c.loan_id == decision.c.loan_id)
    value = table_of("fact_value")
    query = late("fact_value", "recorded_at", value.c.as_of_at <= decision.c.now_at, value.c.name.label("name"))
    yield "fact", query.join(value, value.c.loan_id == decision.c.loan_id)
    of_decision = and_(contact.c.run_id == decision.c.run_id, contact.c.loan_id == decision.c.loan_id)
    for name, said in (("consent", "received_at"), ("hold", "starts_at")):
        table = table_of(name)
        whose = or_(table.c.person_id == decision.c.borrower_id, table.c.person_id == contact.c.person_id)
        source = decision.outerjoin(contact, of_decision).join(table, whose)
        query = late(name, "recorded_at", table.c[said] <= decision.c.now_at, table.c.kind.label("name"))
        yield "statement" if name == "consent" else name, query.select_from(source).distinct()
    wrong = contact.alias("wrong")
    same = and_(
        wrong.c.endpoint_id == contact.c.endpoint_id, wrong.c.person_id == contact.c.person_id, wrong.c.misdirected
    )
    columns = (decision.c.run_id, decision.c.borrower_id, wrong.c.endpoint_id.label("id"))
    source = decision.join(contact, of_decision).join(wrong, same)
    yield "wrong number or address, endpoint", select(*columns).select_from(source).where(told).distinct()


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
