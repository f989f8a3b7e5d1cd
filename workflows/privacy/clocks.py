"""How long the records about a person are kept: for every loan they stand in a role for, by every pack that binds."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime

from sqlmodel import Session

from compliance import Kept, Life, Matter, PackDates
from compliance.dated import Records
from store.people import jurisdictions
from store.retention import read_life
from store.tables import Loan, Person
from workflows.privacy.subject import Subject


@dataclass(frozen=True, slots=True)
class Clock:
    """
    How long one kind of record about a loan is kept, as far as a pack says so.

    Attributes:
        to: the last day; None: open, as long as the loan is not settled. rule, citation, says: what asks for it.
        at_most: the last day on which it may be there, where a pack says that too.
    """

    loan: str
    records: Records
    to: date | None
    rule: str
    citation: str
    says: str
    at_most: date | None = None

    def runs(self, on: date) -> bool:
        """Whether the records must still be there on that day."""
        return self.to is None or on <= self.to


class Clocks:
    """
    The clocks of what there is about one person, read in one session: each loan's past once.

    The law where the borrower is and the law where the person is are both asked, and the longer time counts.
    """

    def __init__(self, session: Session, person: Person, dates: PackDates, *, now: datetime, today: date) -> None:
        self._session, self._dates, self._now, self._today = session, dates, now, today
        self._place = _places(person)
        self._lives: dict[int, tuple[Loan, Life, Matter]] = {}
        self._of_records: dict[tuple[int, Records, date], Clock | None] = {}

    def of_loan(self, loan: int) -> Iterator[Clock]:
        """Of each kind of record that a loan has, counted from the newest of it."""
        ref, life, matter = self._read(loan)
        return self._clocks(ref, life, matter)

    def of_record(self, loan: int, records: Records, on: date) -> Clock | None:
        """Of one record about a loan, counted from its own day where a pack counts so; None: no pack says anything of it."""
        asked = loan, records, on
        if asked not in self._of_records:
            ref, life, matter = self._read(loan)
            found = self._clocks(ref, replace(life, newest={records: on}), matter)
            self._of_records[asked] = next((clock for clock in found if clock.records == records), None)
        return self._of_records[asked]

    def _read(self, loan: int) -> tuple[Loan, Life, Matter]:
        if loan not in self._lives:
            row = self._session.get_one(Loan, loan)
            self._lives[loan] = (row, *read_life(self._session, row, self._now))
        return self._lives[loan]

    def _clocks(self, loan: Loan, life: Life, matter: Matter) -> Iterator[Clock]:
        longest: dict[str, Kept] = {}
        shortest: dict[str, date] = {}
        for where in sorted({matter.places, self._place}):
            for kept in self._dates.kept(life, Matter(where, loan.product), self._today):
                if kept.at_most is not None:
                    shortest[kept.records] = min(kept.at_most, shortest.get(kept.records, date.max))
                known = longest.get(kept.records)
                if known is None or _end(kept) > _end(known):
                    longest[kept.records] = kept
        for kept in longest.values():
            rule = kept.rules[0]
            yield Clock(
                loan.ref, kept.records, kept.to, rule.id, rule.citation, rule.says_en, shortest.get(kept.records)
            )


def clocks(session: Session, subject: Subject, dates: PackDates, *, now: datetime, today: date) -> Iterator[Clock]:
    """Every clock of a person, loan by loan."""
    theirs = Clocks(session, subject.person, dates, now=now, today=today)
    for loan in subject.loan_ids:
        yield from theirs.of_loan(loan)


def _places(person: Person) -> tuple[str, ...]:
    return jurisdictions(person.country, person.region)


def _end(kept: Kept) -> date:
    return kept.to or date.max
