"""The queries that a book is read with: what is due or can still change a decision, of whole borrowers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    String,
    case,
    func,
    literal,
    literal_column,
    or_,
    select,
    type_coerce,
    union_all,
)

from store.bulk_arrow import table_of
from store.fact_sql.contacts import HAPPENED, TASKS
from store.ids import among
from store.tables.ledger import SETBACKS
from store.tables.people import ORAL

CONTACT_DAYS: Final = 400
"""How far back contacts are read: a year, the longest window a counter or `per: year` has, and some."""

DEBIT_DAYS: Final = 100
"""How far back failed debits and reversals are read: the longest such window of the catalogue is 90 days."""

_LEFT_OUT: Final = {
    "person": ("ref", "name", "created_at", "erased_at"),
    "endpoint": ("value", "value_hash", "source", "lost_at", "area", "recorded_at"),
    "consent": ("evidence", "source", "ref", "recorded_at"),
    "hold": ("owner", "reason", "recorded_at", "ref"),
    "contact": (
        "queue", "planned_at", "not_before_at", "expires_at", "claimed_by", "claimed_until_at", "attempts", "provider",
        "provider_ref", "error", "why", "cost_minor", "rank", "kept_for",
    ),
    "movement": ("source", "ref"),
    "notice": ("how", "ref"),
    "promise": ("ref",),
    "stage_change": ("reason",),
}  # fmt: skip
"""Columns that no decision looks at; among them everything that identifies a person, and what people wrote."""

_FINISHED: Final = ("sent", "delivered", "failed", "cancelled", "expired")
LAST_ZONE: Final = timezone(timedelta(hours=14))
"""Where a day begins first: what has fallen due anywhere on Earth has fallen due there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Whom the rest of a book is about, once its loans and parties are read.

    Attributes:
        people: the borrowers, and everyone who stands in a role for their loans.
        accounts: those of the loans whose arrears are a core system's own.
        long_spells: those whose spell of delinquency began before the contacts that are read anyway.
        behind: those of which an instalment that is not covered has fallen due, or falls due today somewhere.
    """

    people: tuple[int, ...]
    loans: tuple[int, ...]
    accounts: tuple[int, ...]
    long_spells: tuple[int, ...]
    behind: tuple[int, ...]


def loan_query(borrowers: Iterable[int]) -> Select[Any]:
    """All loans of these borrowers."""
    loan = table_of("loan")
    return select(loan).where(among(loan.c.borrower_id, borrowers))


def position_query(loans: Iterable[int]) -> Select[Any]:
    """Where these loans stand, and the oldest instalment that is open of each."""
    return rows_of("position", "loan_id", loans)


def party_query(loans: Iterable[int]) -> Select[Any]:
    """Everyone who stands in a role for these loans."""
    return rows_of("party", "loan_id", loans)


def feed_query() -> Select[Any]:
    """How old our knowledge is, per kind of feed."""
    feed = table_of("feed")
    newest = func.max(feed.c.as_of_at).label("as_of_at")
    return select(feed.c.kind, newest).where(feed.c.status == "done").group_by(feed.c.kind)


def other_queries(wanted: Wanted, now: datetime, contact_days: int) -> Mapping[str, Select[Any]]:
    """Table of a `RawBook` -> the query that reads it, of every table but loan, party and position."""
    people, loans = wanted.people, wanted.loans
    notice, change = table_of("notice"), table_of("stage_change")
    since = now - timedelta(days=contact_days)
    return {
        "person": rows_of("person", "id", people),
        "endpoint": rows_of("endpoint", "person_id", people),
        "instalment": _instalments(wanted.behind, now.astimezone(LAST_ZONE).date()),
        "movement": movement_query(loans, wanted.accounts, now),
        "account_snapshot": snapshot_query(wanted.accounts),
        "fact_value": latest_values(loans, now),
        "consent": _consents(people, now),
        "hold": _holds(people, now),
        "notice": rows_of("notice", "loan_id", loans, notice.c.voided_at.is_(None)),
        "promise": rows_of("promise", "loan_id", loans),
        "stage_change": rows_of("stage_change", "loan_id", loans, change.c.on_on >= _year_before(now)),
        "contact": _contacts("contact", wanted, since, now),
        "contact_loan": _contacts("contact_loan", wanted, since, now),
        "feed": feed_query(),
    }


def movement_query(loans: Iterable[int], accounts: Iterable[int], now: datetime) -> Select[Any]:
    """Recent bounced payments and cancelled debits of these loans; of accounts also what came after their snapshot."""
    movement, snapshot = table_of("movement"), table_of("account_snapshot")
    ended = movement.alias("ended")
    bounced = select(movement.c.id).where(
        among(movement.c.loan_id, loans),
        movement.c.effective_on >= (now - timedelta(days=DEBIT_DAYS)).date(),
        # As the text of their index says it: with parameters SQLite would not see that it is the same.
        movement.c.kind.in_([literal_column(f"'{kind}'") for kind in SETBACKS]),
    )
    seen_on = select(func.max(snapshot.c.as_of_on)).where(snapshot.c.loan_id == movement.c.loan_id).scalar_subquery()
    after_snapshot = select(movement.c.id).where(among(movement.c.loan_id, accounts), movement.c.effective_on > seen_on)
    wanted = bounced.union(after_snapshot) if tuple(accounts) else bounced
    return (
        select(*_kept("movement"), ended.c.kind.label("ended_kind"))
        .select_from(movement.outerjoin(ended, ended.c.id == movement.c.reverses_id))
        .where(movement.c.id.in_(wanted))
    )


def snapshot_query(accounts: Iterable[int]) -> Select[Any]:
    """What a core system said last of these loans."""
    snapshot = table_of("account_snapshot")
    other = snapshot.alias("other")
    newest = (
        select(other.c.id)
        .where(other.c.loan_id == snapshot.c.loan_id)
        .order_by(other.c.as_of_on.desc(), other.c.recorded_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    return select(snapshot).where(among(snapshot.c.loan_id, accounts), snapshot.c.id == newest)


def rows_of(name: str, key: str, ids: Iterable[int], *conditions: ColumnElement[bool]) -> Select[Any]:
    """The rows of a table that belong to these people or loans, as a book holds them."""
    return _columns(name).where(among(table_of(name).c[key], ids), *conditions)


def _consents(people: Iterable[int], now: datetime) -> Select[Any]:
    """What they said. It is on file, so it has been said, however far ahead the clock was of whoever wrote it down."""
    said = table_of("consent").c.received_at
    return _at_the_latest("consent", "received_at", people, said > now, now)


def _holds(people: Iterable[int], now: datetime) -> Select[Any]:
    """What stands against them and has not ended; only a hold that was written down for later begins later."""
    hold = table_of("hold")
    ahead = (hold.c.starts_at > now) & (hold.c.starts_at <= hold.c.recorded_at)
    found = _at_the_latest("hold", "starts_at", people, ahead, now)
    return found.where(or_(hold.c.ends_at.is_(None), hold.c.ends_at > now))


def _at_the_latest(
    name: str, instant: str, people: Iterable[int], ahead: ColumnElement[bool], now: datetime
) -> Select[Any]:
    """Rows about these people, of which an instant that is ahead is taken for now."""
    return select(*_by_now(name, instant, ahead, now)).where(among(table_of(name).c.person_id, people))


def _by_now(name: str, instant: str, ahead: ColumnElement[bool], now: datetime) -> list[ColumnElement[Any]]:
    """
    The columns of a table, of which an instant that is ahead is taken for now.

    What came between the moment that is decided for and the look at the book, or by another clock, counts at once.
    """
    at = table_of(name).c[instant]
    known = case((ahead, literal(now, at.type)), else_=at).label(instant)
    return [known if column.name == instant else column for column in _kept(name)]


def _columns(name: str) -> Select[Any]:
    return select(*_kept(name))


def _kept(name: str) -> list[ColumnElement[Any]]:
    return [_said(column) for column in table_of(name).columns if column.name not in _LEFT_OUT.get(name, ())]


def _said(column: Column[Any]) -> ColumnElement[Any]:
    if str(column) != "consent.how":
        return column
    # How it was said is free text, and sealed; a decision only asks whether it was oral, which words of ours say in the clear.
    kept = type_coerce(column, String)
    return case((kept.in_(ORAL), kept), else_=literal("")).label("how")


def _year_before(now: datetime) -> date:
    return (now - timedelta(days=367)).date()


def _instalments(loans: Iterable[int], latest_on: date) -> Select[Any]:
    """What has fallen due and is open, and the next to come, of loans that are behind."""
    instalment, position = table_of("instalment"), table_of("position")
    later = instalment.alias("later")
    first_later = (
        select(later.c.number)
        .where(later.c.loan_id == position.c.loan_id, later.c.due_on > latest_on, later.c.amount_minor > 0)
        .order_by(later.c.number)  # no due date runs backwards, and the key finds these
        .limit(1)
        .scalar_subquery()
    )
    joined = position.join(instalment, instalment.c.loan_id == position.c.loan_id)
    mine = among(position.c.loan_id, loans)
    fallen_due = (
        select(instalment)
        .select_from(joined)
        .where(
            mine,
            instalment.c.number >= position.c.first_open_number,
            instalment.c.due_on <= latest_on,
        )
    )
    next_due = select(instalment).select_from(joined).where(mine, instalment.c.number == first_later)
    return select(union_all(fallen_due, next_due).subquery())


def latest_values(loans: Iterable[int], now: datetime) -> Select[Any]:
    """The newest of each imported fact of these loans that is not of later than that instant."""
    value = table_of("fact_value")
    later = value.alias("later")
    overtaken = (
        select(literal(1))
        .where(
            later.c.loan_id == value.c.loan_id,
            later.c.name == value.c.name,
            later.c.as_of_at > value.c.as_of_at,
            later.c.as_of_at <= now,
        )
        .exists()
    )
    return select(value).where(among(value.c.loan_id, loans), value.c.as_of_at <= now, ~overtaken)


def _contacts(name: str, wanted: Wanted, since: datetime, now: datetime) -> Select[Any]:
    """
    Rows of `contact`, or of `contact_loan` about the same contacts, without those that name a contact's own loan.

    What was made has been made by now, whatever clock says when; what waits has its time, as a call-back that was promised.
    """
    contact = table_of("contact")
    recent, with_people = contact.c.at >= since, among(contact.c.person_id, wanted.people)
    # Said by what it is not, for which no index is asked: of what is planned there is far more than of one person.
    unfinished = contact.c.status.not_in(_FINISHED)
    # No row is in two of these, so that nothing has to be compared to be counted once.
    # Nor is there an `or` in one: SQLite would read the whole table for its sake.
    parts = [
        (with_people, recent),
        (with_people, ~recent, unfinished),
        (~with_people, recent, among(contact.c.loan_id, wanted.loans)),
    ]
    if wanted.long_spells:
        parts.append((~recent, ~unfinished, among(contact.c.loan_id, wanted.long_spells)))
    waits = (contact.c.status == "sent") & (contact.c.outcome == "") & contact.c.channel.in_(TASKS)
    ahead = (contact.c.at > now) & contact.c.status.in_(HAPPENED) & ~waits
    columns = select(*_by_now("contact", "at", ahead, now))
    if name != "contact":
        about = table_of(name)
        others = (about.c.contact_id == contact.c.id) & (about.c.loan_id != contact.c.loan_id)
        columns = _columns(name).select_from(contact.join(about, others))
    return select(union_all(*(columns.where(*part) for part in parts)).subquery())
