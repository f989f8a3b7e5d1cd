"""
The ledger: movements are only ever added, under the key their source gave them, and the position follows at once.

The same movement again changes nothing; another movement under the same key is refused. Order does not matter.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, TypeVar

from sqlalchemy import delete, tuple_
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from engine.errors import DataError, Problem
from store.ledger_checks import Key, NewMovement, Standing, check_alone, check_ending, named
from store.projection import project
from store.tables import Instalment, Loan, Movement, Person

__all__ = ["Key", "NewMovement", "Recorded", "record", "set_schedule"]

# What is ended goes in before what ends it: pending debit, its payment, that payment's reversal.
_ORDER: Final = {"payment": 1, "pending_cancelled": 1, "reversal": 2}

_KEYS_PER_QUERY: Final = 500

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Recorded:
    """
    What became of a batch of movements.

    Attributes:
        added: how many were new.
        known: how many the ledger held already.
        loan_ids: the loans whose position changed.
    """

    added: int
    known: int
    loan_ids: frozenset[int]


def record(session: Session, movements: Sequence[NewMovement], *, feed_id: int | None = None) -> Recorded:
    """
    Add movements to the ledger and fold their loans' positions, all in the caller's write transaction.

    Raises:
        DataError: something does not hold together; every problem of the batch is listed, and nothing was added.
    """
    batch, problems = _distinct(movements)
    problems += [problem for new in batch.values() for problem in check_alone(new)]
    problems += _lock_borrowers(session, {new.loan_id for new in batch.values()})
    if problems:
        raise DataError(problems)

    stored = _stored(session, {*batch, *(new.ends for new in batch.values() if new.ends)})
    fresh = [new for key, new in batch.items() if key not in stored]
    problems = [
        Problem(f"{named(key)} was recorded with other content", "give it a ref of its own, or reverse the first")
        for key, new in batch.items()
        if key in stored and stored[key].content != _content(new)
    ]
    problems += _check_endings(fresh, {key: found.standing for key, found in stored.items()})
    if problems:
        raise DataError(problems)

    ids = {key: found.id for key, found in stored.items()}
    for rank in range(3):
        rows = {new.key: _row(new, ids, feed_id) for new in fresh if _ORDER.get(new.kind, 0) == rank}
        session.add_all(rows.values())
        session.flush()
        ids |= {key: row.id for key, row in rows.items()}
    loan_ids = frozenset(new.loan_id for new in fresh)
    project(session, loan_ids)
    return Recorded(len(fresh), len(movements) - len(fresh), loan_ids)


def set_schedule(session: Session, loan_id: int, instalments: Sequence[tuple[date, int]]) -> bool:
    """
    Make this the loan's schedule, whole: it is the lender's own and is never computed here. Folds the position.

    Args:
        instalments: (due on, amount in minor units) in order of due dates.
    Returns:
        whether it differs from the schedule there was.
    Raises:
        DataError: the loan is unknown, dates run backwards, or an amount is below 0.
    """
    problems = _lock_borrowers(session, {loan_id})
    last: date | None = None
    rows, total = [], 0
    for number, (due_on, amount_minor) in enumerate(instalments, start=1):
        if last is not None and due_on < last:
            what = f"instalment {number} of loan {loan_id} is due on {due_on}, before the one it follows"
            problems.append(Problem(what, "number instalments in the order of their due dates"))
        if amount_minor < 0:
            what = f"instalment {number} of loan {loan_id} has amount {amount_minor}"
            problems.append(Problem(what, "write 0 or more"))
        last, total = due_on, total + amount_minor
        rows.append((number, due_on, amount_minor, total))
    if problems:
        raise DataError(problems)

    there = session.exec(select(Instalment).where(Instalment.loan_id == loan_id).order_by(col(Instalment.number)))
    if [(row.number, row.due_on, row.amount_minor, row.due_total_minor) for row in there] == rows:
        return False
    session.exec(delete(Instalment).where(col(Instalment.loan_id) == loan_id))
    session.add_all(
        Instalment(loan_id=loan_id, number=number, due_on=due_on, amount_minor=amount, due_total_minor=total)
        for number, due_on, amount, total in rows
    )
    session.flush()
    project(session, {loan_id})
    return True


@dataclass(frozen=True, slots=True)
class _Stored:
    id: int | None
    standing: Standing
    content: tuple[object, ...]


def _distinct(movements: Iterable[NewMovement]) -> tuple[dict[Key, NewMovement], list[Problem]]:
    batch: dict[Key, NewMovement] = {}
    problems = []
    for new in movements:
        if _content(batch.setdefault(new.key, new)) != _content(new):
            what = f"{named(new.key)} stands twice with different content"
            problems.append(Problem(what, "give each movement a ref of its own"))
    return batch, problems


def _content(new: NewMovement) -> tuple[object, ...]:
    # When we came to know it is not what it is: the same file read again tomorrow says nothing new.
    return new.loan_id, new.kind, new.amount_minor, new.effective_on, new.ends


def _lock_borrowers(session: Session, loan_ids: Collection[int]) -> list[Problem]:
    """Queue up behind whoever writes the same borrowers, in the order of their ids so that nobody waits in a ring."""
    found: dict[int | None, int] = {}
    for chunk in _chunks(sorted(loan_ids)):
        found |= dict(session.exec(select(Loan.id, Loan.borrower_id).where(col(Loan.id).in_(chunk))).all())
    for chunk in _chunks(sorted(set(found.values()))):
        of = col(Person.id)
        session.exec(select(Person.id).where(of.in_(chunk)).order_by(of).with_for_update()).all()
    missing = sorted(set(loan_ids).difference(found))
    return [Problem(f"there is no loan {loan_id}", "import the loan first") for loan_id in missing]


def _stored(session: Session, keys: Collection[Key]) -> dict[Key, _Stored]:
    ended, ending = aliased(Movement), aliased(Movement)
    found = {}
    for chunk in _chunks(sorted(keys)):
        rows = session.exec(
            select(Movement, ended, ending)
            .outerjoin(ended, col(ended.id) == col(Movement.reverses_id))
            .outerjoin(ending, col(ending.reverses_id) == col(Movement.id))
            .where(tuple_(col(Movement.source), col(Movement.ref)).in_(chunk))
        )
        for row, what_it_ends, what_ends_it in rows:
            ends = (what_it_ends.source, what_it_ends.ref) if what_it_ends else None
            ended_by = (what_ends_it.source, what_ends_it.ref) if what_ends_it else None
            found[row.source, row.ref] = _Stored(
                row.id,
                Standing(row.loan_id, row.kind, row.amount_minor, row.effective_on, ended_by),
                (row.loan_id, row.kind, row.amount_minor, row.effective_on, ends),
            )
    return found


def _check_endings(fresh: Sequence[NewMovement], stored: dict[Key, Standing]) -> list[Problem]:
    standing = {
        new.key: Standing(new.loan_id, new.kind, new.amount_minor, new.effective_on, None) for new in fresh
    } | stored
    problems: list[Problem] = []
    for new in fresh:
        if new.ends is None:
            continue
        ended = standing.get(new.ends)
        problems += check_ending(new, ended)
        if ended is not None and ended.ended_by is None:
            standing[new.ends] = replace(ended, ended_by=new.key)
    return problems


def _row(new: NewMovement, ids: dict[Key, int | None], feed_id: int | None) -> Movement:
    return Movement(
        loan_id=new.loan_id,
        kind=new.kind,
        amount_minor=new.amount_minor,
        effective_on=new.effective_on,
        recorded_at=new.recorded_at,
        source=new.source,
        ref=new.ref,
        reverses_id=ids[new.ends] if new.ends else None,
        feed_id=feed_id,
    )


def _chunks(values: Sequence[_T]) -> Iterable[Sequence[_T]]:
    return (values[start : start + _KEYS_PER_QUERY] for start in range(0, len(values), _KEYS_PER_QUERY))
