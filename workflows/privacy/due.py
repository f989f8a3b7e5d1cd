"""Whose records need not be kept any more: people all of whose loans are closed, and whose every clock is over."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from sqlmodel import Session, col, select

from compliance import PackDates
from engine.errors import DataError
from store.db import Database
from store.lock import Busy
from store.tables import Loan, Party, Person
from workflows.privacy.clocks import Clock, clocks
from workflows.privacy.erase import erase
from workflows.privacy.obstacles import obstacles
from workflows.privacy.subject import subject_of

BY: Final = "duecourse"
_PEOPLE_AT_ONCE: Final = 200

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Over:
    """
    Somebody whose loans are closed.

    Attributes:
        clocks: those that are over. against: why they cannot be erased all the same; empty: they can.
        late_since: the last day on which some of it might be there, where that is past; None: nothing is late.
    """

    ref: str
    clocks: tuple[Clock, ...]
    against: tuple[str, ...]
    late_since: date | None = None


def over(
    database: Database,
    dates: PackDates,
    *,
    now: datetime,
    today: date,
    progress: Progress = lambda _done, _total: None,
    stop: Stop = lambda: False,
) -> Iterator[Over]:
    """
    Everybody some of whose clocks are over on a day, in the order of their ids.

    Whoever no pack sets a clock for is left out: that nothing is known of a law does not end it.
    """
    with database.session() as session:
        people = _closed(session)
    for start in range(0, len(people), _PEOPLE_AT_ONCE):
        if stop():
            return
        # A session a portion: nothing that was read is held on to.
        with database.session() as session:
            found = [_one(session, one, dates, now, today) for one in people[start : start + _PEOPLE_AT_ONCE]]
        yield from (one for one in found if one is not None)
        progress(min(start + _PEOPLE_AT_ONCE, len(people)), len(people))


def by_rule(found: Iterable[Over]) -> Counter[tuple[str, str, str]]:
    """Of how many loans which kind of record need not be kept any more: (records, rule, citation) -> how many."""
    return Counter((clock.records, clock.rule, clock.citation) for one in found for clock in one.clocks)


def erase_over(
    database: Database, dates: PackDates, *, now: datetime, today: date, stop: Stop = lambda: False
) -> dict[str, int]:
    """
    Erase everybody whose every clock is over and against whom nothing stands, one transaction each; `leave_nothing` follows.

    Returns:
        `erased`: how many people.
    """
    done = 0
    for one in over(database, dates, now=now, today=today, stop=stop):
        if stop():
            break
        if one.against:
            continue
        rules = ", ".join(sorted({clock.rule for clock in one.clocks}))
        try:
            erase(database, one.ref, dates, because=f"kept long enough: {rules}", by=BY, now=now, today=today)
        except (DataError, Busy):
            # Something came in between: the next run looks again.
            continue
        done += 1
    return {"erased": done}


def _closed(session: Session) -> list[int]:
    """Ids of people who stand in some role for a closed loan, and in none for an open one."""
    closed = col(Loan.stage) == "closed"
    open_borrowers, borrowers = select(Loan.borrower_id).where(~closed), select(Loan.borrower_id).where(closed)
    open_parties = select(Party.person_id).where(col(Party.loan_id).in_(select(Loan.id).where(~closed)))
    person = col(Person.id)
    wanted = select(Person.id).where(
        col(Person.erased_at).is_(None),
        person.in_(borrowers) | person.in_(select(Party.person_id)),
        person.not_in(open_borrowers),
        person.not_in(open_parties),
    )
    return [one for one in session.exec(wanted.order_by(person)) if one is not None]


def _one(session: Session, person: int, dates: PackDates, now: datetime, today: date) -> Over | None:
    row = session.get_one(Person, person)
    subject = subject_of(session, row)
    found = list(clocks(session, subject, dates, now=now, today=today))
    ended = tuple(clock for clock in found if not clock.runs(today))
    if not ended:
        return None
    against = tuple(problem.what for problem in obstacles(session, subject, dates, now=now, today=today))
    unclocked = {loan.ref for loan, _ in subject.loans} - {clock.loan for clock in found}
    against += tuple(f"loan `{ref}`: no pack says how long its records are kept" for ref in sorted(unclocked))
    late = [clock.at_most for clock in found if clock.at_most is not None and clock.at_most < today]
    return Over(row.ref, ended, against, min(late, default=None))
