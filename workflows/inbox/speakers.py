"""Whose a number is that somebody wrote from, and which of their loans they most likely mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from sqlmodel import Session, col, select

from engine.gate import Role
from store.sealing import hashed
from store.tables import Contact, Endpoint, Loan, Party, Person

_NUMBERS: Final = ("mobile", "landline")
_REACHED: Final = ("sending", "sent", "delivered", "unknown", "failed")


@dataclass(frozen=True, slots=True)
class Speaker:
    """
    Somebody whose number it is.

    Attributes:
        loan, person: their references. endpoint: the number, as this person's.
        written_to_at: when we last wrote to them there; None: never.
    """

    loan: str
    person: str
    role: Role
    endpoint: int
    written_to_at: datetime | None


def speakers(session: Session, number: str) -> list[Speaker]:
    """Everybody with a loan whose number it is, whoever was written to last first: they are likely the one who answers."""
    rows = session.exec(
        select(Endpoint, Person.ref)
        .join(Person, col(Person.id) == col(Endpoint.person_id))
        .where(col(Endpoint.value_hash) == hashed(session, number), col(Endpoint.kind).in_(_NUMBERS))
        .order_by(col(Endpoint.person_id), col(Endpoint.kind).desc())
    )
    found: dict[int, Speaker] = {}
    for endpoint, person in rows:
        speaker = _speaker(session, endpoint, person)
        if speaker is not None and endpoint.person_id not in found:
            found[endpoint.person_id] = speaker
    return sorted(found.values(), key=_latest_first)


def _latest_first(speaker: Speaker) -> tuple[float, str]:
    return -speaker.written_to_at.timestamp() if speaker.written_to_at else 0.0, speaker.person


def _speaker(session: Session, endpoint: Endpoint, person: str) -> Speaker | None:
    assert endpoint.id is not None  # noqa: S101 - it was read
    last = session.exec(
        select(Contact, Loan.ref)
        .join(Loan, col(Loan.id) == col(Contact.loan_id))
        .where(
            # By person first: their contacts are few, and an index leads to them.
            col(Contact.person_id) == endpoint.person_id,
            col(Contact.endpoint_id) == endpoint.id,
            col(Contact.channel) == "sms",
            col(Contact.direction) == "out",
            col(Contact.status).in_(_REACHED),
        )
        .order_by(col(Contact.at).desc(), col(Contact.id).desc())
        .limit(1)
    ).first()
    if last is not None:
        contact, loan = last
        return Speaker(loan, person, cast("Role", contact.role), endpoint.id, contact.at)
    loans = _loans(session, endpoint.person_id)
    return Speaker(loans[0][0], person, loans[0][1], endpoint.id, None) if loans else None


def _loans(session: Session, person: int) -> Sequence[tuple[str, Role]]:
    """Loans of theirs with their role: their own before others', open ones before closed ones."""
    own = session.exec(select(Loan.ref, Loan.stage, Loan.id).where(col(Loan.borrower_id) == person)).all()
    beside = session.exec(
        select(Loan.ref, Loan.stage, Loan.id, Party.role)
        .join(Party, col(Party.loan_id) == col(Loan.id))
        .where(col(Party.person_id) == person)
    ).all()
    found = [(stage == "closed", 0, loan_id or 0, ref, "borrower") for ref, stage, loan_id in own]
    found += [(stage == "closed", 1, loan_id or 0, ref, role) for ref, stage, loan_id, role in beside]
    return [(ref, cast("Role", role)) for _, _, _, ref, role in sorted(found)]
