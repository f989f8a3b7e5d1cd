"""
Arrears: how late a loan is and what is owed, as of any day, with what was known at any instant.

Only instalments make days past due. Cleared credit covers them in order, the oldest first, and fees after the last. A pending
debit is no credit until it clears; a charge-off changes no claim. Nothing here is stored: a payment that
arrives late with an earlier value date, or bounces, changes what these functions say of that day, as it should.

The schedule itself has no history: after a new one was imported, past days are judged by it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from sqlmodel import Session, col, select

from engine.errors import DataError, Problem
from store.projection import CREDITS
from store.tables import AccountSnapshot, Instalment, Loan, Movement, Position


@dataclass(frozen=True, slots=True)
class Arrears:
    """
    Where a loan stands on a day.

    Attributes:
        dpd: days past due: from the due date of the oldest uncovered instalment before `on`; 0 if there is none.
        overdue_minor: what is uncovered of instalments due before `on`.
        instalments_overdue: how many of those are not wholly covered; None where there is no schedule.
        due_next_on, due_next_minor: the first instalment due on or after `on` that is not wholly covered, and
            what is left of it; None and 0 if there is none.
        fees_due_minor: fees that credit left over from all instalments does not cover; None where there is no schedule.
        pending_minor: debits under way that have neither cleared nor been called off.
        balance_minor: the whole claim, fees included, less credit; below 0 if the borrower has paid too much.
        first_unpaid_on: the due date of the oldest uncovered instalment, past or to come.
    """

    on: date
    dpd: int
    overdue_minor: int
    instalments_overdue: int | None
    due_next_on: date | None
    due_next_minor: int
    fees_due_minor: int | None
    pending_minor: int
    balance_minor: int
    first_unpaid_on: date | None


def arrears(
    instalments: Iterable[Instalment], movements: Sequence[Movement], *, on: date, known_at: datetime
) -> Arrears:
    """
    From the history. This is the definition; the other ways are tested against it.

    Args:
        instalments, movements: all of one loan, in any order.
        on: movements that take effect later are left out.
        known_at: movements recorded later are left out.
    """
    schedule = list(instalments)
    due_minor = sum(one.amount_minor for one in schedule)
    return _stand(schedule, due_minor, _fold(movements, on, known_at), on)


def arrears_from_position(position: Position, instalments: Iterable[Instalment], *, on: date) -> Arrears:
    """
    From the projection, with everything that is known: the fast way.

    A movement whose value date lies after `on` (the lender's day is ahead of the borrower's) counts already:
    nobody is dunned for what has been paid.

    Args:
        instalments: of the loan, at least those from the first open one on.
    """
    folded = Folded(position.credit_minor, position.fee_minor, position.pending_minor)
    return _stand(instalments, position.due_minor, folded, on)


def arrears_from_snapshot(
    snapshot: AccountSnapshot, movements: Sequence[Movement], *, on: date, known_at: datetime
) -> Arrears:
    """
    From what a core system said of an account without a schedule, carried forward to `on`.

    Days past due grow by one a day while anything is overdue. Credit that takes effect after the snapshot's day
    lowers what is overdue; at nothing overdue they are 0. What falls due meanwhile only the next snapshot tells.

    Args:
        movements: all of the loan's.
    """
    later = [one for one in movements if one.effective_on > snapshot.as_of_on]
    folded = _fold(later, on, known_at)
    pending_minor = _fold(movements, on, known_at).pending_minor
    overdue_minor = max(0, snapshot.overdue_minor - folded.credit_minor)
    dpd = snapshot.dpd + (on - snapshot.as_of_on).days if overdue_minor else 0
    ahead = snapshot.next_due_on is not None and snapshot.next_due_on >= on
    return Arrears(
        on=on,
        dpd=dpd,
        overdue_minor=overdue_minor,
        instalments_overdue=None,
        due_next_on=snapshot.next_due_on if ahead else None,
        due_next_minor=snapshot.min_payment_minor if ahead else 0,
        fees_due_minor=None,
        pending_minor=pending_minor,
        balance_minor=snapshot.balance_minor + folded.fee_minor - folded.credit_minor,
        first_unpaid_on=on - timedelta(days=dpd) if overdue_minor else None,
    )


def read_arrears(session: Session, loan: Loan, *, on: date, known_at: datetime) -> Arrears:
    """
    The arrears of a stored loan, from its history.

    Raises:
        DataError: nothing was known of the loan by then that arrears could come from; that is not "no arrears".
    """
    movements = session.exec(select(Movement).where(Movement.loan_id == loan.id)).all()
    if loan.basis == "account":
        snapshot = session.exec(
            select(AccountSnapshot)
            .where(
                AccountSnapshot.loan_id == loan.id,
                AccountSnapshot.as_of_on <= on,
                AccountSnapshot.recorded_at <= known_at,
            )
            .order_by(col(AccountSnapshot.as_of_on).desc(), col(AccountSnapshot.recorded_at).desc())
            .limit(1)
        ).first()
        if snapshot is not None:
            return arrears_from_snapshot(snapshot, movements, on=on, known_at=known_at)
        what = f"nothing was known of account `{loan.ref}` on {on}"
        raise DataError(Problem(what, "import its account feed, or ask for a later day"))
    instalments = session.exec(select(Instalment).where(Instalment.loan_id == loan.id)).all()
    if not instalments:
        raise DataError(Problem(f"loan `{loan.ref}` has no schedule", "import its instalments"))
    return arrears(instalments, movements, on=on, known_at=known_at)


@dataclass(frozen=True, slots=True)
class Folded:
    """What all movements of a loan add up to: credit, fees, and debits under way."""

    credit_minor: int
    fee_minor: int
    pending_minor: int


def fold_credit(movements: Sequence[Movement]) -> Folded:
    """All of these movements of one loan, whatever their day."""
    return _fold(movements, date.max, datetime.max.replace(tzinfo=UTC))


def _fold(movements: Sequence[Movement], on: date, known_at: datetime) -> Folded:
    by_id = {one.id: one for one in movements}

    def counts(one: Movement | None) -> bool:
        return one is not None and one.effective_on <= on and one.recorded_at <= known_at

    ended = {one.reverses_id for one in movements if one.reverses_id is not None and counts(one)}
    credit = fee = pending = 0
    for one in movements:
        if one.kind == "pending_debit":
            # Under way from the moment we know of it, whatever day it is to be collected.
            if one.recorded_at <= known_at and one.id not in ended:
                pending += one.amount_minor
            continue
        if not counts(one):
            continue
        kind, sign = one.kind, 1
        if kind == "reversal":
            taken_back = by_id.get(one.reverses_id)
            if taken_back is None or not counts(taken_back):
                continue
            kind, sign = taken_back.kind, -1
        if kind in CREDITS:
            credit += sign * one.amount_minor
        elif kind == "fee":
            fee += sign * one.amount_minor
    return Folded(credit, fee, pending)


def _stand(instalments: Iterable[Instalment], due_minor: int, folded: Folded, on: date) -> Arrears:
    credit_minor = folded.credit_minor
    uncovered = sorted(
        (one for one in instalments if one.due_total_minor > credit_minor and one.amount_minor > 0),
        key=lambda one: one.number,
    )
    overdue = [one for one in uncovered if one.due_on < on]
    following = next((one for one in uncovered if one.due_on >= on), None)
    return Arrears(
        on=on,
        dpd=(on - overdue[0].due_on).days if overdue else 0,
        overdue_minor=overdue[-1].due_total_minor - credit_minor if overdue else 0,
        instalments_overdue=len(overdue),
        due_next_on=following.due_on if following else None,
        due_next_minor=min(following.amount_minor, following.due_total_minor - credit_minor) if following else 0,
        fees_due_minor=max(0, folded.fee_minor - max(0, credit_minor - due_minor)),
        pending_minor=folded.pending_minor,
        balance_minor=due_minor + folded.fee_minor - credit_minor,
        first_unpaid_on=uncovered[0].due_on if uncovered else None,
    )
