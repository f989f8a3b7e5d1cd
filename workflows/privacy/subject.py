"""Whom a request is about: their row, the loans they stand in a role for, and the contacts that were with them or about these."""

from dataclasses import dataclass

from sqlmodel import Session, col, or_, select

from engine.errors import DataError, Problem
from store.erased import erased_on
from store.tables import Contact, ContactLoan, Loan, Party, Person


@dataclass(frozen=True, slots=True)
class Subject:
    """
    A person and what of the book is about them.

    Attributes:
        loans: with their roles, in the order of the ids; the borrower's own among them.
        theirs: ids of the contacts with them. about: ids of these, and of every contact about one of their loans.
    """

    person: Person
    loans: tuple[tuple[Loan, tuple[str, ...]], ...]
    theirs: tuple[str, ...]
    about: tuple[str, ...]

    @property
    def id(self) -> int:
        """The person's id."""
        return self.person.id or 0

    @property
    def loan_ids(self) -> tuple[int, ...]:
        """Of every loan they stand in a role for."""
        return tuple(loan.id or 0 for loan, _ in self.loans)

    @property
    def own_loans(self) -> tuple[int, ...]:
        """Of the loans that they owe or owed."""
        return tuple(loan.id or 0 for loan, _ in self.loans if loan.borrower_id == self.id)


def find_subject(session: Session, ref: str) -> Subject:
    """
    Whom a reference means.

    Raises:
        DataError: nobody, or somebody who was erased.
    """
    person = session.exec(select(Person).where(col(Person.ref) == ref)).first()
    if person is None and (on := erased_on(session, ref)) is not None:
        raise DataError(Problem(f"`{ref}` was erased on {on:%Y-%m-%d}", "nothing about them can be shown"))
    if person is None or person.erased_at is not None:
        raise DataError(Problem(f"no person `{ref}`", "write the reference they were imported with"))
    return subject_of(session, person)


def subject_of(session: Session, person: Person) -> Subject:
    """What of the book is about a person."""
    roles: dict[int, list[str]] = {}
    for loan in session.exec(select(Loan.id).where(col(Loan.borrower_id) == person.id)):
        roles.setdefault(loan or 0, []).append("borrower")
    for party in session.exec(select(Party).where(col(Party.person_id) == person.id).order_by(col(Party.role))):
        roles.setdefault(party.loan_id, []).append(party.role)
    loans = tuple((session.get_one(Loan, loan), tuple(named)) for loan, named in sorted(roles.items()))
    theirs = session.exec(select(Contact.id).where(col(Contact.person_id) == person.id).order_by(col(Contact.id)))
    touched = select(ContactLoan.contact_id).where(col(ContactLoan.loan_id).in_(roles))
    about = select(Contact.id).where(
        or_(col(Contact.person_id) == person.id, col(Contact.loan_id).in_(roles), col(Contact.id).in_(touched))
    )
    return Subject(person, loans, tuple(theirs), tuple(session.exec(about.order_by(col(Contact.id)))))
