"""A person's ledger as people read it: every statement, and what follows from them for each number and address."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from sqlmodel import Session, col, select

from compliance.standing import Standing, standing
from engine.addressing import endpoints
from engine.errors import DataError, Problem
from engine.gate import Channel, Role
from engine.gate import Endpoint as Spot
from engine.situation import Person as Somebody
from store.columns import to_us
from store.consents import LedgerLine, ledger
from store.tables import Endpoint, Party, Person
from store.timeline import known_loan

_CHANNELS: Final[tuple[Channel, ...]] = ("sms", "email", "call", "visit", "letter")


@dataclass(frozen=True, slots=True)
class LedgerView:
    """
    What somebody said by an instant, and how things stand then.

    Attributes:
        lines: oldest first. standings: per channel and number or address; one without, where there is none on file.
    """

    person: str
    as_of: datetime
    lines: tuple[LedgerLine, ...]
    standings: tuple[Standing, ...]

    def line_of(self, said: object) -> LedgerLine:
        """Where a statement of a standing comes from."""
        return next(line for line in self.lines if line.said is said)


def view(session: Session, person: Person, *, as_of: datetime) -> LedgerView:
    """A person's ledger and standing at an instant."""
    key = person.id or 0
    lines = tuple(ledger(session, key, as_of=as_of))
    known = tuple(
        Spot(row.id or 0, row.kind, place=row.place, valid=row.valid, rank=row.rank)  # type: ignore[arg-type] # of the book
        for row in endpoints_of(session, person)
    )
    somebody = Somebody(key, (), (), "", endpoints=known)
    spots = [(channel, spot) for channel in _CHANNELS for spot in endpoints(somebody, channel) or (None,)]
    return LedgerView(person.ref, as_of, lines, standing([line.said for line in lines], spots, to_us(as_of)))


def endpoints_of(session: Session, person: Person) -> list[Endpoint]:
    """A person's numbers and addresses, in the order in which they came."""
    wanted = select(Endpoint).where(col(Endpoint.person_id) == person.id)
    return list(session.exec(wanted.order_by(col(Endpoint.id))))


def find_person(session: Session, loan: str | None, ref: str | None, role: Role | None) -> Person:
    """
    Whom somebody means: by their own reference, or by their part in a loan.

    Raises:
        DataError: nobody, several, or somebody who was erased.
    """
    person = _named(session, loan, ref, role)
    if person.erased_at is not None:
        what = f"this person was erased on {person.erased_at:%Y-%m-%d}"
        raise DataError(Problem(what, "there is nothing to show, and nothing to add"))
    return person


def _named(session: Session, loan: str | None, ref: str | None, role: Role | None) -> Person:
    if ref is not None:
        found = session.exec(select(Person).where(col(Person.ref) == ref)).first()
        if found is None:
            raise DataError(Problem(f"no person `{ref}`", "write the reference they were imported with"))
        return found
    if loan is None:
        raise DataError(Problem("nobody is named", "write a loan's reference, or `--person REF`"))
    row = known_loan(session, loan)
    if role in (None, "borrower"):
        return session.get_one(Person, row.borrower_id)
    wanted = select(Person).join(Party, col(Party.person_id) == col(Person.id))
    people = session.exec(wanted.where(col(Party.loan_id) == row.id, col(Party.role) == cast("str", role))).all()
    if len(people) != 1:
        what = f"loan `{loan}` has {len(people) or 'no'} {'people in the role ' if people else ''}{role}"
        raise DataError(Problem(what, "say which with `--person REF`"))
    return people[0]
