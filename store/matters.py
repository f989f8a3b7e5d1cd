"""Where people are and what they owe, for law that binds by place and kind of loan: read once for many."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from sqlmodel import Session, col, select

from compliance.duties import Record
from compliance.pack_dates import Matter
from store.fact_sql.clock import day_at
from store.people import jurisdictions
from store.tables import Endpoint, Loan, Party, Person

_IDS_MAX: Final = 5_000
"""Ids in one query: SQLite takes 32,766 parameters."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a person is, and since when the book knows them."""

    places: tuple[str, ...]
    zones: tuple[str, ...]
    came_at: datetime

    def day(self, at: datetime) -> date:
        """The earliest date that an instant may have where they are."""
        return day_at(self.zones, at)


@dataclass(slots=True)
class People:
    """People and their loans, read once for whoever is asked about."""

    session: Session
    _places: dict[int, Place] = field(default_factory=dict)
    _products: dict[int, str] = field(default_factory=dict)
    _over: dict[int | None, bool] = field(default_factory=dict)
    _loans: defaultdict[int, set[int]] = field(default_factory=lambda: defaultdict(set))

    def read(self, people: Collection[int], loans: Collection[int]) -> None:
        """Learn of these, as far as they are not known yet."""
        for ids in batches(set(people) - self._places.keys()):
            owns = select(Loan.borrower_id, Loan.id).where(col(Loan.borrower_id).in_(ids))
            stands = select(Party.person_id, Party.loan_id).where(col(Party.person_id).in_(ids))
            for person, loan in (*self.session.exec(owns), *self.session.exec(stands)):
                if loan is not None:
                    self._loans[person].add(loan)
            zones: defaultdict[int, set[str]] = defaultdict(set)
            told = select(Endpoint.person_id, Endpoint.zone).where(
                col(Endpoint.person_id).in_(ids), col(Endpoint.valid)
            )
            for person, zone in self.session.exec(told):
                if zone:
                    zones[person].add(zone)
            for row in self.session.exec(select(Person).where(col(Person.id).in_(ids))):
                known = tuple(sorted({*row.zones.split(), *zones[row.id or 0]}))
                self._places[row.id or 0] = Place(jurisdictions(row.country, row.region), known, row.created_at)
        wanted = {*loans, *(loan for person in people for loan in self._loans[person])}
        for ids in batches(wanted - self._products.keys()):
            query = select(Loan.id, Loan.product, Loan.stage, Loan.custody).where(col(Loan.id).in_(ids))
            for loan, product, stage, custody in self.session.exec(query):
                if loan is not None:
                    self._products[loan] = product
                    self._over[loan] = stage == "closed" or custody == "sold"

    def place(self, person: int) -> Place:
        """Where somebody is."""
        return self._places[person]

    def matter(self, record: Record) -> Matter:
        """Whose law a record is under; of an agency's, that of the person it spoke to first."""
        assert record.person is not None  # noqa: S101 - whoever reads records here says whom they are about
        product = self._products.get(record.loan) if record.loan is not None else None
        return Matter(self.place(record.person).places, product)

    def is_over(self, record: Record) -> bool:
        """Whether the loan, or every loan that the person stands for, is closed or somebody else's by now."""
        if record.what == "agency" or record.person is None:
            return False
        loans = {record.loan} if record.loan is not None else self._loans[record.person]
        return bool(loans) and all(self._over[loan] for loan in loans)


def batches(ids: Iterable[int]) -> Iterator[list[int]]:
    """Ids in their order, as many at once as a query takes."""
    ordered = sorted(ids)
    return (ordered[n : n + _IDS_MAX] for n in range(0, len(ordered), _IDS_MAX))
