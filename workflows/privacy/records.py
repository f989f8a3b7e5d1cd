"""
Single records that were kept long enough, of people who stay: which they are, and what of them goes.

Rows, instants and amounts stay, and whatever counts for a limit or a decision with them. What something still needs is no
candidate, however old: the words of a contact that is not over, of a hold that stands, of a statement that holds.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlmodel import Session, SQLModel, col, select

from compliance import PackDates
from compliance.dated import RECORDS, Records
from engine.gate import CHANNELS
from store.retention import cautious_day
from store.tables import Consent, Contact, ContactLoan, Notice, Person
from store.tables.people import ORAL
from workflows.privacy.clocks import Clock, Clocks
from workflows.privacy.spent import SPENT, Spent
from workflows.privacy.subject import Subject
from workflows.privacy.traces import Traces, add_words

KINDS: Final[tuple[Records, ...]] = tuple(kind for kind in RECORDS if kind != "file")
"""What may go by itself; with the whole file goes the person."""

_AT_ONCE: Final = 500
_MARGIN: Final = timedelta(days=2)
"""Places are up to a day apart, and a day begins up to a day earlier than it does in UTC."""


@dataclass(slots=True)
class Aged:
    """
    How it stands with one kind of a person's records.

    Attributes:
        over: what goes of those that were kept long enough. records: how many these are.
        by: the clocks that were the last to end, by rule. kept: of those that must stay, the clock that ends next.
        late_since: the earliest last day on which some of it might be there; None: nothing is late. late: what keeps some of
            that all the same, the clock that ends last.
    """

    over: Traces = field(default_factory=Traces)
    records: int = 0
    by: dict[str, Clock] = field(default_factory=dict)
    kept: Clock | None = None
    late_since: date | None = None
    late: Clock | None = None

    def add(self, clocks: list[Clock], words: Traces, today: date) -> None:
        """Count one record in, by the clocks of every loan that it is about."""
        ends = [clock.at_most for clock in clocks if clock.at_most is not None and clock.at_most < today]
        self.late_since = min([*ends, *([self.late_since] if self.late_since else [])], default=None)
        last = max(clocks, key=_end)
        if last.runs(today):
            self.kept = min(self.kept or last, last, key=_end)
            self.late = max(self.late or last, last, key=_end) if ends else self.late
            return
        self.records += 1
        self.by[last.rule] = last
        self.over.add(words)


def _end(clock: Clock) -> date:
    return clock.to or date.max


def aged(session: Session, subject: Subject, dates: PackDates, *, now: datetime, today: date) -> Mapping[Records, Aged]:
    """Of every kind of record that there are words of: what is over, and what must stay."""
    theirs = Clocks(session, subject.person, dates, now=now, today=today)
    found: defaultdict[Records, Aged] = defaultdict(Aged)
    for spent in SPENT:
        if dates.shortest(spent.records) is None:
            # That nothing is known of a law does not end it.
            continue
        rows = list(session.exec(spent.rows(now).where(spent.person == subject.id).order_by(spent.at)))
        loans = _loans(session, subject, spent, rows)
        for row, at, loan in rows:
            words = Traces()
            add_words(words, row, but=_needed(row))
            on = cautious_day(at) if isinstance(at, datetime) else at
            clocks = [theirs.of_record(one, spent.records, on) for one in loans(row, loan)]
            known = [clock for clock in clocks if clock is not None]
            if words.counts and known and len(known) == len(clocks):
                found[spent.records].add(known, words, today)
    return found


def candidates(session: Session, first: int, last: int, dates: PackDates, *, now: datetime) -> list[int]:
    """People with ids between these of whom there are words that some clock may have ended for, in the order of their ids."""
    found: set[int] = set()
    for spent in SPENT:
        shortest = dates.shortest(spent.records)
        if shortest is None:
            continue
        before = now - shortest + _MARGIN
        people = spent.people(now).where(spent.person.between(first, last), spent.before(before))
        found.update(session.exec(people))
    there = select(Person.id).where(col(Person.id).in_(found), col(Person.erased_at).is_(None))
    return sorted(one for one in session.exec(there) if one is not None)


def _loans(session: Session, subject: Subject, spent: Spent, rows: list[Any]) -> Any:
    """Of a row, the loans that it is about: those of its contact, its own, or every one that the person has a part in."""
    about: defaultdict[str, set[int]] = defaultdict(set)
    if spent.of_contact:
        ids = sorted({contact_of(row) for row, _, _ in rows})
        for start in range(0, len(ids), _AT_ONCE):
            some = col(ContactLoan.contact_id).in_(ids[start : start + _AT_ONCE])
            for contact, loan in session.exec(select(ContactLoan.contact_id, ContactLoan.loan_id).where(some)):
                about[contact].add(loan)

    def loans(row: SQLModel, loan: int | None) -> list[int]:
        own = {loan} if loan is not None else set(subject.loan_ids)
        return sorted(own | about[contact_of(row)]) if spent.of_contact else sorted(own)

    return loans


def contact_of(row: Any) -> str:
    """The contact that a row belongs to or is."""
    found: str = row.id if isinstance(row, Contact) else row.contact_id
    return found


def _needed(row: SQLModel) -> Iterator[str]:
    """Words of ours in a row of theirs: how something was said where decisions ask for it, or by which channel it went."""
    if (isinstance(row, Consent) and row.how in ORAL) or (isinstance(row, Notice) and row.how in CHANNELS):
        yield "how"
