"""What follows from a contact: notices in force, addresses that failed, opt-outs, and events for the rules."""

import json
from datetime import date, datetime

from sqlmodel import Session, col, select

from channels.message import Receipt
from compliance import Matter, PackDates
from store.consents import NewStatement, add_statement
from store.deeds import state
from store.people import jurisdictions
from store.shared_endpoints import listings
from store.tables import Contact, Endpoint, Event, Loan, Notice, Person
from workflows.sending.second_look import Look


def record_sent(session: Session, contact: Contact, look: Look, dates: PackDates, now: datetime) -> None:
    """A message that has gone out and gives notice starts to count as evidence for a move's duty."""
    if look.rule is not None and look.rule.notice is not None and look.on is not None:
        serve_notice(session, contact, look.rule.notice, dates, on=look.on, now=now)


def serve_notice(session: Session, contact: Contact, kind: str, dates: PackDates, *, on: date, now: datetime) -> None:
    """A notice has gone out: from the day on which the packs deem it served it is in force."""
    person, loan = session.get_one(Person, contact.person_id), session.get_one(Loan, contact.loan_id)
    matter = Matter(jurisdictions(person.country, person.region), loan.product)
    state(
        session,
        Notice(
            loan_id=contact.loan_id,
            person_id=contact.person_id,
            kind=kind,
            sent_on=on,
            effective_on=dates.in_force_on(kind, contact.channel, on, matter),
            how=contact.channel,
            contact_id=contact.id,
            recorded_at=now,
            ref=f"contact:{contact.id}",
        ),
        now=now,
    )


def void_notices(session: Session, contact: Contact, now: datetime) -> None:
    """A notice whose delivery failed is evidence of nothing."""
    for notice in session.exec(select(Notice).where(col(Notice.contact_id) == contact.id)):
        if notice.voided_at is None:
            notice.voided_at = now
            state(session, notice, now=now)


def record_failure(session: Session, contact: Contact, receipt: Receipt, now: datetime) -> None:
    """What a provider's sure refusal means for the person, the number and the ladder."""
    if receipt.meaning == "opted_out":
        said = NewStatement(
            contact.person_id,
            "opt_out",
            now,
            endpoint=contact.endpoint_id,
            channels=(contact.channel,),
            how=f"refused by {receipt.provider} with {receipt.code}",
            source=receipt.provider,
            ref=f"receipt:{contact.id}:{contact.attempts}",
        )
        add_statement(session, said, now=now, live=True)
    elif receipt.meaning == "bad_address" and contact.endpoint_id is not None:
        # As what it was used for: a number that takes no texts may well be a landline that can be called.
        _lose(session, session.get_one(Endpoint, contact.endpoint_id), now)
    detail = {"channel": contact.channel, "code": receipt.code, "meaning": receipt.meaning}
    add_event(
        session,
        contact,
        "delivery_failed",
        now,
        source="dispatch",
        key=f"{contact.id}:{contact.attempts}",
        detail=detail,
    )


def lose_number(session: Session, contact: Contact, now: datetime) -> list[int | None]:
    """
    This number or address does not lead to this person any more, whatever it is listed as.

    For whoever else has it on file nothing is known by that.

    Returns:
        the endpoints that it is listed as.
    """
    endpoint = session.get(Endpoint, contact.endpoint_id) if contact.endpoint_id is not None else None
    found = listings(session, endpoint) if endpoint is not None else []
    for one in found:
        _lose(session, one, now)
    return [one.id for one in found]


def _lose(session: Session, endpoint: Endpoint, now: datetime) -> None:
    endpoint.valid, endpoint.lost_at = False, now
    session.add(endpoint)


def add_event(
    session: Session, contact: Contact, kind: str, now: datetime, *, source: str, key: str, detail: dict[str, str]
) -> None:
    """Tell the rules that something happened in a contact."""
    session.add(
        Event(
            source=source,
            key=key,
            kind=kind,
            person_id=contact.person_id,
            loan_id=contact.loan_id,
            happened_at=now,
            recorded_at=now,
            detail_json=json.dumps(detail, sort_keys=True),
        )
    )


def concerned(session: Session, contact: Contact) -> set[int]:
    """Whom a change of this contact concerns: the addressee, and the borrower whose loan it is about."""
    return {contact.person_id, session.get_one(Loan, contact.loan_id).borrower_id}
