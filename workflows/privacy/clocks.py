"""How long the records about a person are kept: for every loan they stand in a role for, by every pack that binds."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session

from compliance import Kept, Matter, PackDates
from store.people import jurisdictions
from store.retention import read_life
from store.tables import Person
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
    records: str
    to: date | None
    rule: str
    citation: str
    says: str
    at_most: date | None = None

    def runs(self, on: date) -> bool:
        """Whether the records must still be there on that day."""
        return self.to is None or on <= self.to


def clocks(session: Session, subject: Subject, dates: PackDates, *, now: datetime, today: date) -> Iterator[Clock]:
    """
    Every clock, loan by loan.

    The law where the borrower is and the law where the person is are both asked, and the longer time counts.
    """
    for loan, _ in subject.loans:
        life, matter = read_life(session, loan, now)
        places = {matter.places, _places(subject.person)}
        longest: dict[str, Kept] = {}
        shortest: dict[str, date] = {}
        for where in sorted(places):
            for kept in dates.kept(life, Matter(where, loan.product), today):
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


def _places(person: Person) -> tuple[str, ...]:
    return jurisdictions(person.country, person.region)


def _end(kept: Kept) -> date:
    return kept.to or date.max
