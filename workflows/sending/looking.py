"""The second look at contacts that are about to go or to be worked, in batches, on facts read now. Nothing is written."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sqlmodel import Session, col, select

from engine.errors import DuecourseError
from engine.gate import Override
from store.shared_endpoints import Shared, shared_endpoints
from store.tables import Contact, Loan, OverrideRow
from workflows.deciding.chunk import Chunk, Fresh
from workflows.sending.door import Door
from workflows.sending.second_look import NOTHING_BROUGHT, Brought, Look, Seeing, planned, second_look, unjudged
from workflows.uncollected import uncollected

log = logging.getLogger(__name__)

_NOBODY: Final = Shared()


@dataclass(frozen=True, slots=True)
class Looked:
    """
    A contact, its second look, and the versions of everybody concerned that the look was made on.

    Attributes:
        seeing: what it was made on beside the book.
        chunk: what the borrower was read with; None where they could not be read.
    """

    contact: Contact
    look: Look
    seen: Mapping[int, int]
    seeing: Seeing
    borrower: int
    chunk: Chunk | None


def look_again(door: Door, ids: Sequence[str], now: datetime, *, visitors: int | None = None) -> list[Looked]:
    """
    The second look at these contacts, on facts read now.

    One that cannot be judged is to be cancelled: a fault about one person must not stop the others.

    Args:
        visitors: how many people would go, of visits; None: as many as their rules say.
    """
    with uncollected():
        return _look_again(door, ids, now, visitors)


def _look_again(door: Door, ids: Sequence[str], now: datetime, visitors: int | None) -> list[Looked]:
    with door.database.session() as session:
        contacts = session.exec(select(Contact).where(col(Contact.id).in_(ids)).order_by(col(Contact.id))).all()
        loans = {contact.loan_id for contact in contacts}
        borrower_of = dict(session.exec(select(Loan.id, Loan.borrower_id).where(col(Loan.id).in_(loans))).all())
        endpoints = {contact.endpoint_id for contact in contacts if contact.endpoint_id is not None}
        # Their versions are read before the facts: whoever changes in between is noticed.
        shared = shared_endpoints(session, endpoints, now=now)
        brought = {contact.id: _brought(session, door, contact, visitors) for contact in contacts}
        session.expunge_all()
    fresh = _fresh(door, sorted(set(borrower_of.values())), now)
    looked = []
    for contact in contacts:
        borrower = borrower_of[contact.loan_id]
        others = shared.get(contact.endpoint_id or 0, _NOBODY)
        seeing = Seeing(planned(contact), others.past, brought[contact.id], others.same)
        found = fresh.get(borrower)
        if found is None:
            look = Look("cancel", "what is on file about the borrower cannot be read")
            looked.append(Looked(contact, look, others.versions, seeing, borrower, None))
            continue
        look = _look(door, seeing, found, now)
        # Everybody around the loan: some laws count what any of them heard.
        seen = {**others.versions, **found.versions}
        looked.append(Looked(contact, look, seen, seeing, borrower, found.chunk))
    return looked


def _brought(session: Session, door: Door, contact: Contact, visitors: int | None) -> Brought:
    if contact.rule is not None:
        return NOTHING_BROUGHT if visitors is None else Brought(visitors=visitors)
    aside = session.get(OverrideRow, contact.id)
    override = Override(aside.rule, aside.ground) if aside is not None else None
    return Brought(door.said(session, contact), override, visitors)


def _fresh(door: Door, borrowers: Sequence[int], now: datetime) -> Mapping[int, Fresh]:
    try:
        return door.situations(borrowers, now)
    except DuecourseError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever one borrower's data does, the others go on
        if len(borrowers) == 1:
            log.error(  # noqa: TRY400 - the traceback could hold a person's data
                "a borrower cannot be looked at",
                extra={"action": "alert", "borrower": borrowers[0], "error": type(error).__name__},
            )
            return {}
        half = len(borrowers) // 2
        return {**_fresh(door, borrowers[:half], now), **_fresh(door, borrowers[half:], now)}


def _look(door: Door, seeing: Seeing, fresh: Fresh, now: datetime) -> Look:
    try:
        return second_look(seeing, fresh.situation, door.rulebook, door.gate, door.matcher, now=now)
    except Exception as error:  # noqa: BLE001 - a broken invariant holds this contact, not the round
        # Never the error's own words: they may quote what is on file about the person.
        extra = {"action": "alert", "contact": seeing.contact.id, "error": type(error).__name__}
        log.error("a contact could not be judged", extra=extra)  # noqa: TRY400 - in words
        return unjudged(error)
