"""The queries that a book is read with: what is due or can still change a decision, of whole borrowers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from sqlalchemy import ColumnElement, Select, and_, bindparam, case, func, or_, select, union, union_all
from sqlalchemy.sql.selectable import SelectBase

from store.bulk_arrow import table_of

CONTACT_DAYS: Final = 400
"""How far back contacts are read: a year, the longest window a counter or `per: year` has, and some."""

DEBIT_DAYS: Final = 100
"""How far back failed debits and reversals are read: the longest such window of the catalogue is 90 days."""

_LEFT_OUT: Final = {
    "person": ("ref", "name", "created_at"),
    "endpoint": ("value", "source", "recorded_at"),
    "consent": ("evidence", "source", "ref"),
    "hold": ("owner", "reason", "recorded_at", "ref"),
    "contact": (
        "queue", "planned_at", "not_before_at", "expires_at", "claimed_by", "claimed_until_at", "attempts", "provider",
        "provider_ref", "error", "why", "cost_minor",
    ),
}  # fmt: skip
"""Columns that no decision looks at; among them everything that identifies a person."""

_UNFINISHED: Final = ("planned", "claimed", "sending", "unknown")
_LAST_ZONE: Final = timezone(timedelta(hours=14))


@dataclass(frozen=True, slots=True)
class BorrowerSpan:
    """Whole borrowers by id: more than `after`, up to and including `to`."""

    after: int
    to: int


Borrowers = BorrowerSpan | Sequence[int]


def book_queries(borrowers: Borrowers, now: datetime, contact_days: int) -> dict[str, Select[Any]]:
    """Table of a `RawBook` -> the query that reads it, for some borrowers."""
    loan, party, person = table_of("loan"), table_of("party"), table_of("person")
    mine = _within(loan.c.borrower_id, borrowers)
    loans = select(loan.c.id).where(mine)
    if isinstance(borrowers, BorrowerSpan):
        own: SelectBase = select(loan.c.borrower_id).where(mine)
    else:
        own = select(person.c.id).where(_within(person.c.id, borrowers))
    people: SelectBase = union(own, select(party.c.person_id).where(party.c.loan_id.in_(loans)))

    def of(name: str, key: str, ids: SelectBase, *conditions: ColumnElement[bool]) -> Select[Any]:
        return _wanted(name).where(table_of(name).c[key].in_(ids), *conditions)

    hold, notice, change = (table_of(n) for n in ("hold", "notice", "stage_change"))
    feed = table_of("feed")
    since = now - timedelta(days=contact_days)
    return {
        "loan": select(loan).where(mine),
        "person": of("person", "id", people),
        "endpoint": of("endpoint", "person_id", people),
        "party": of("party", "loan_id", loans),
        "position": of("position", "loan_id", loans),
        "instalment": _instalments(loans, now.astimezone(_LAST_ZONE).date()),
        "movement": _movements(loans, mine, now),
        "account_snapshot": _latest_snapshots(mine),
        "fact_value": _latest_values(loans, now),
        "consent": of("consent", "person_id", people),
        "hold": of("hold", "person_id", people, or_(hold.c.ends_at.is_(None), hold.c.ends_at > now)),
        "notice": of("notice", "loan_id", loans, notice.c.voided_at.is_(None)),
        "promise": of("promise", "loan_id", loans),
        "stage_change": of("stage_change", "loan_id", loans, change.c.on_on >= _year_before(now)),
        "contact": _contacts("contact", loans, people, since),
        "contact_loan": _contacts("contact_loan", loans, people, since),
        "feed": select(feed.c.kind, func.max(feed.c.as_of_at).label("as_of_at"))
        .where(feed.c.status == "done")
        .group_by(feed.c.kind),
    }


def _wanted(name: str) -> Select[Any]:
    return select(*(column for column in table_of(name).columns if column.name not in _LEFT_OUT.get(name, ())))


def _within(column: ColumnElement[Any], borrowers: Borrowers) -> ColumnElement[bool]:
    if isinstance(borrowers, BorrowerSpan):
        return and_(column > borrowers.after, column <= borrowers.to)
    # Written out when run: there may be more of them than a statement may have parameters.
    return column.in_(bindparam("borrowers", list(borrowers), expanding=True, literal_execute=True))


def _year_before(now: datetime) -> date:
    return (now - timedelta(days=367)).date()


def _instalments(loans: SelectBase, latest_on: date) -> Select[Any]:
    instalment, position = table_of("instalment"), table_of("position")
    later = instalment.alias("later")
    first_later = (
        select(later.c.number)
        .where(later.c.loan_id == position.c.loan_id, later.c.due_on > latest_on, later.c.amount_minor > 0)
        .order_by(later.c.due_on)
        .limit(1)
        .scalar_subquery()
    )
    joined = position.join(instalment, instalment.c.loan_id == position.c.loan_id)
    mine = position.c.loan_id.in_(loans)
    fallen_due = (
        select(instalment)
        .select_from(joined)
        .where(mine, instalment.c.number >= position.c.first_open_number, instalment.c.due_on <= latest_on)
    )
    next_due = (
        select(instalment)
        .select_from(joined)
        .where(
            mine,
            instalment.c.number
            == case((position.c.first_open_on > latest_on, position.c.first_open_number), else_=first_later),
            position.c.first_open_number.is_not(None),
        )
    )
    both = union_all(fallen_due, next_due).subquery()
    return select(both)


def _movements(loans: SelectBase, mine: ColumnElement[bool], now: datetime) -> Select[Any]:
    movement, loan, snapshot = table_of("movement"), table_of("loan"), table_of("account_snapshot")
    ended = movement.alias("ended")
    bounced = select(movement.c.id).where(
        movement.c.loan_id.in_(loans),
        movement.c.effective_on >= (now - timedelta(days=DEBIT_DAYS)).date(),
        movement.c.kind.in_(("reversal", "pending_cancelled")),
    )
    seen_on = select(func.max(snapshot.c.as_of_on)).where(snapshot.c.loan_id == loan.c.id).scalar_subquery()
    after_snapshot = (
        select(movement.c.id)
        .select_from(loan.join(movement, movement.c.loan_id == loan.c.id))
        .where(mine, loan.c.basis == "account", movement.c.effective_on > seen_on)
    )
    return (
        select(movement, ended.c.kind.label("ended_kind"))
        .select_from(movement.outerjoin(ended, ended.c.id == movement.c.reverses_id))
        .where(movement.c.id.in_(union(bounced, after_snapshot)))
    )


def _latest_snapshots(mine: ColumnElement[bool]) -> Select[Any]:
    snapshot, loan = table_of("account_snapshot"), table_of("loan")
    other = snapshot.alias("other")
    newest = (
        select(other.c.id)
        .where(other.c.loan_id == loan.c.id)
        .order_by(other.c.as_of_on.desc(), other.c.recorded_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    return (
        select(snapshot)
        .select_from(loan.join(snapshot, snapshot.c.id == newest))
        .where(mine, loan.c.basis == "account")
    )


def _latest_values(loans: SelectBase, now: datetime) -> Select[Any]:
    value = table_of("fact_value")
    newest = (
        select(value.c.loan_id, value.c.name, func.max(value.c.as_of_at).label("as_of_at"))
        .where(value.c.loan_id.in_(loans), value.c.as_of_at <= now)
        .group_by(value.c.loan_id, value.c.name)
        .subquery()
    )
    same = and_(
        value.c.loan_id == newest.c.loan_id, value.c.name == newest.c.name, value.c.as_of_at == newest.c.as_of_at
    )
    return select(value).select_from(value.join(newest, same))


def _contacts(name: str, loans: SelectBase, people: SelectBase, since: datetime) -> Select[Any]:
    """Rows of `contact`, or of `contact_loan` about the same contacts."""
    contact, loan = table_of("contact"), table_of("loan")
    recent, with_people = contact.c.at >= since, contact.c.person_id.in_(people)
    unfinished = contact.c.status.in_(_UNFINISHED)
    long_spells = select(loan.c.id).where(loan.c.id.in_(loans), loan.c.episode_on < since.date())
    # No row is in two of these, so that nothing has to be compared to be counted once.
    parts = (
        (with_people, recent),
        (with_people, ~recent, unfinished),
        (~with_people, recent, contact.c.loan_id.in_(loans)),
        (~recent, ~unfinished, contact.c.loan_id.in_(long_spells)),
    )
    wanted = _wanted(name)
    if name != "contact":
        about = table_of(name)
        wanted = wanted.select_from(contact.join(about, about.c.contact_id == contact.c.id))
    return select(union_all(*(wanted.where(*part) for part in parts)).subquery())
