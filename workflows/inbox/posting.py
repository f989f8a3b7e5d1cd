"""
What a lender's own systems tell us at once, one thing at a time: money that moved, promises, holds.

The same rules as for files: the ledger's own door, the same words. All of it is committed, with its place in the inbox
and the news for the rules, before anybody hears yes.
"""

import json
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from hashlib import sha256
from typing import Final, Literal, assert_never

from sqlmodel import Session, col, select

from engine.errors import DataError, Problem
from store.columns import to_us
from store.db import Database
from store.deeds import state
from store.inbox import NewArrival, detail_of, put, settle
from store.ledger import record
from store.ledger_checks import NewMovement
from store.outbox import bump_versions, lock_versions
from store.projection import CREDITS
from store.tables import Arrival, Event, Hold, Loan, Movement, Person, Promise
from workflows.importing.lists import currency_factors
from workflows.importing.shapes import AMOUNT_MAX_MINOR

LATE_MAX: Final = timedelta(days=2)
"""How long after it happened something may be told and still be news, as in files (`workflows/importing/news.py`)."""
_KIND: Final = "posted"
_CLOCKS_APART: Final = timedelta(minutes=2)


class Conflict(DataError):  # noqa: N818 - HTTP's word for it
    """The same key, or the same ref, with other content than before."""


@dataclass(frozen=True, slots=True)
class Money:
    """A movement: kinds as in `store.ledger_checks`; the amount in major units, as it was written."""

    kind: str
    ref: str
    loan: str
    amount: str
    effective_on: date
    recorded_at: datetime | None = None
    ends: str | None = None


@dataclass(frozen=True, slots=True)
class Promised:
    """A promise to pay that somebody made elsewhere."""

    ref: str
    loan: str
    amount: str
    made_at: datetime
    due_on: date


@dataclass(frozen=True, slots=True)
class Placed:
    """A state that forbids something until it ends; a dispute is one. `loan` None: all of the person's."""

    ref: str
    person: str
    kind: str
    owner: str
    review_on: date
    starts_at: datetime
    loan: str | None = None
    blocks: tuple[str, ...] = ()
    form: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """A hold has ended."""

    ref: str
    ended_at: datetime


Told = Money | Promised | Placed | Released


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of it: `new`, or `known` already, by its key or by its ref."""

    id: int
    state: Literal["new", "known"]


def post(database: Database, source: str, key: str, told: Told, *, now: datetime) -> Taken:
    """
    Take in one thing that a system tells; all of it or nothing.

    Args:
        source: the system, part of the natural key of movements.
        key: names this telling: the same again, with the same content, changes nothing.
    Raises:
        Conflict: the key or the ref was used for something else.
        DataError: it does not hold together with the book; says what and the mend.
    """
    digest = sha256(json.dumps(asdict(told), default=str, sort_keys=True).encode()).hexdigest()
    with database.write() as session:
        arrival = NewArrival(source, f"{_KIND}:{key}", _KIND, {"ref": told.ref, "digest": digest})
        new = put(session, [arrival], now=now)
        there = select(Arrival).where(col(Arrival.source) == source, col(Arrival.key) == arrival.key)
        row = session.exec(there).one()
        assert row.id is not None  # noqa: S101 - it was read
        if not new:
            if detail_of(row)["digest"] != digest:
                what = f"idempotency key `{key}` was used for something else"
                raise Conflict(Problem(what, "use a key of its own for each event"))
            return Taken(row.id, "known")
        added = _take(session, source, told, now)
        settle(session, row.id, "done", "taken" if added else "known by its ref", now=now)
        return Taken(row.id, "new" if added else "known")


def _take(session: Session, source: str, told: Told, now: datetime) -> bool:
    match told:
        case Money():
            return _money(session, source, told, now)
        case Promised():
            return _promise(session, source, told, now)
        case Placed():
            return _hold(session, source, told, now)
        case Released():
            return _release(session, source, told, now)
    assert_never(told)


def _money(session: Session, source: str, told: Money, now: datetime) -> bool:
    loan = _loan(session, told.loan)
    recorded_at = min(told.recorded_at or now, now)
    _not_ahead("recorded_at", told.recorded_at or now, now)
    movement = NewMovement(
        loan_id=loan.id or 0,
        kind=told.kind,
        amount_minor=_minor(told.amount, loan.currency),
        effective_on=told.effective_on,
        recorded_at=recorded_at,
        source=source,
        ref=told.ref,
        ends=(source, told.ends) if told.ends is not None else None,
    )
    try:
        recorded = record(session, [movement])
    except DataError as error:
        if "was recorded with other content" in error.problems[0].what:
            raise Conflict(error.problems) from None
        raise
    kind = _news_of(session, source, told)
    if recorded.added and kind is not None:
        _tell(session, source, f"movement:{told.ref}", kind, loan.borrower_id, loan.id, recorded_at, now)
    return bool(recorded.added)


def _news_of(session: Session, source: str, told: Money) -> str | None:
    """What the rules hear of a movement; whatever lowers the claim may cure it, not only a payment."""
    if told.kind in CREDITS:
        return "payment"
    if told.kind in ("pending_debit", "pending_cancelled"):
        return "pending_debit" if told.kind == "pending_debit" else "payment_reversed"
    if told.kind != "reversal":
        return None
    ended = select(Movement.kind).where(col(Movement.source) == source, col(Movement.ref) == told.ends)
    return "payment_reversed" if session.exec(ended).one() == "payment" else None


def _promise(session: Session, source: str, told: Promised, now: datetime) -> bool:
    loan = _loan(session, told.loan)
    _not_ahead("made_at", told.made_at, now)
    # The lender's date may be a day behind UTC.
    if told.due_on < told.made_at.astimezone(now.tzinfo).date() - timedelta(days=1):
        raise DataError(Problem("`due_on` is before `made_at`", "correct one of them"))
    lock_versions(session, [loan.borrower_id])
    amount = _minor(told.amount, loan.currency)
    known = session.exec(select(Promise).where(col(Promise.ref) == told.ref)).first()
    content = (loan.id, amount, told.made_at, told.due_on)
    if known is not None:
        if (known.loan_id, known.amount_minor, known.made_at, known.due_on) != content:
            raise Conflict(_other("promise", told.ref))
        return False
    session.add(
        Promise(loan_id=loan.id or 0, amount_minor=amount, made_at=told.made_at, due_on=told.due_on, ref=told.ref)
    )
    _tell(session, source, f"promise:{told.ref}", "promise_made", loan.borrower_id, loan.id, told.made_at, now)
    bump_versions(session, [loan.borrower_id])
    return True


def _hold(session: Session, source: str, told: Placed, now: datetime) -> bool:
    person = session.exec(select(Person).where(col(Person.ref) == told.person)).first()
    if person is None or person.id is None or person.erased_at is not None:
        raise DataError(Problem(f"no person `{told.person}`", "correct it, or import `people` first"))
    loan = _loan(session, told.loan) if told.loan is not None else None
    lock_versions(session, [person.id, *([loan.borrower_id] if loan is not None else [])])
    known = session.exec(select(Hold).where(col(Hold.ref) == told.ref)).first()
    loan_id, blocks = loan.id if loan is not None else None, " ".join(told.blocks)
    if known is not None:
        there = (known.person_id, known.loan_id, known.kind, known.blocks, known.starts_at)
        if there != (person.id, loan_id, told.kind, blocks, told.starts_at):
            raise Conflict(_other("hold", told.ref))
        return False
    state(
        session,
        Hold(
            person_id=person.id, loan_id=loan_id, kind=told.kind, blocks=blocks, form=told.form, owner=told.owner,
            review_on=told.review_on, starts_at=told.starts_at, recorded_at=now, reason=told.reason, ref=told.ref,
        ),
        now=now,
    )  # fmt: skip
    kind = "dispute" if told.kind == "dispute" else "hold_placed"
    _tell(session, source, f"hold:{told.ref}", kind, person.id, loan_id, now, now)
    bump_versions(session, [person.id, *([loan.borrower_id] if loan is not None else [])])
    return True


def _release(session: Session, source: str, told: Released, now: datetime) -> bool:
    hold = session.exec(select(Hold).where(col(Hold.ref) == told.ref)).first()
    if hold is None:
        raise DataError(Problem(f"no hold `{told.ref}`", "place it first, or write the ref it was placed with"))
    _not_ahead("ended_at", told.ended_at, now)
    if told.ended_at < hold.starts_at:
        raise DataError(Problem("`ended_at` is before the hold starts", "correct it"))
    lock_versions(session, [hold.person_id])
    session.refresh(hold)
    if hold.ends_at is not None and hold.ends_at <= now:
        if hold.ends_at != told.ended_at:
            raise Conflict(Problem(f"hold `{told.ref}` has ended at {hold.ends_at.isoformat()}", "leave this out"))
        return False
    hold.ends_at = told.ended_at
    state(session, hold, now=now)
    key = f"hold:{told.ref}:released:{to_us(told.ended_at)}"
    _tell(session, source, key, "hold_released", hold.person_id, hold.loan_id, now, now)
    bump_versions(session, [hold.person_id])
    return True


def _tell(
    session: Session, source: str, key: str, kind: str, person: int, loan: int | None, at: datetime, now: datetime
) -> None:
    """Tell the rules, unless it is history that comes late, or a file has told them."""
    there = select(Event.id).where(col(Event.source) == source, col(Event.key) == key)
    if at <= now - LATE_MAX or session.exec(there).first() is not None:
        return
    session.add(
        Event(source=source, key=key, kind=kind, person_id=person, loan_id=loan, happened_at=at, recorded_at=now)
    )


def _loan(session: Session, ref: str) -> Loan:
    loan = session.exec(select(Loan).where(col(Loan.ref) == ref)).first()
    if loan is None:
        raise DataError(Problem(f"no loan `{ref}`", "correct it, or import `loans` first"))
    return loan


def _minor(amount: str, currency: str) -> int:
    """An amount in major units as minor ones, by the rules of files."""
    whole, _, decimals = amount.partition(".")
    factor: int = currency_factors()[currency]
    scale: int = 10 ** len(decimals)
    minor, rest = divmod(int(whole + decimals) * factor, scale)
    if rest:
        what = f"amount `{amount}` has more decimals than {currency}"
        raise DataError(Problem(what, "round it to whole minor units"))
    if not 0 < minor <= AMOUNT_MAX_MINOR:
        what = f"amount `{amount}` is {'nothing' if minor <= 0 else 'too much to be true'}"
        raise DataError(Problem(what, "write an amount above 0" if minor <= 0 else "correct it"))
    return minor


def _not_ahead(name: str, at: datetime, now: datetime) -> None:
    if at > now + _CLOCKS_APART:
        raise DataError(Problem(f"`{name}` is still to come", "correct it, or the clock of whoever says so"))


def _other(what: str, ref: str) -> Problem:
    return Problem(f"{what} `{ref}` was recorded with other content", "give it a ref of its own")
