"""What people answer: a stop, a start, a cry for help, somebody else's number, or words that a person has to read."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Final

from sqlmodel import Session, col, select

from compliance.standing import standing
from engine.errors import DataError, Problem
from engine.gate import Channel, Endpoint, Purpose
from engine.tree import FactValue
from store.columns import to_us
from store.consents import NewStatement, add_statement, ledger
from store.outbox import bump_versions, lock_versions, note
from store.tables import Contact, ContactLoan, MessageText, Person
from workflows.desk.asking import Addressed, Wanted
from workflows.desk.by_hand import Done, send
from workflows.desk.sayings import given_to
from workflows.inbox.reply_words import Meaning, meaning_of
from workflows.sending.aftermath import add_event, concerned, lose_number, void_notices
from workflows.sending.door import Door

_STOPPED_BY: Final = ("reply:", "receipt:", "unsubscribe:")
"""How the references of statements begin that a START takes back: what was stopped by answering, there or here."""
_MISDIRECTED_BACK: Final = timedelta(days=7)
"""Messages to a number that turns out to be somebody else's count for nothing, as far back as laws count."""
_CONFIRM_WITHIN: Final = timedelta(minutes=5)
"""A confirmation of an opt-out is part of it only when it comes at once: 47 CFR 64.1200(a)(12)."""


@dataclass(frozen=True, slots=True)
class Answering:
    """A template that answers: its name, and what it says as far as the gate may ask."""

    name: str
    content: Mapping[str, FactValue]


@dataclass(frozen=True, slots=True)
class Reply:
    """
    A message that came in.

    Attributes:
        endpoint: the number or address it came from, where it is one on file.
        source, key: who brought it, and their name for it: the same again changes nothing.
        heard: what whoever brought it understood, where that is more than we would.
        dated: `at` is what somebody says of it, and not when it reached us.
    """

    channel: Channel
    text: str
    at: datetime
    key: str
    source: str = "hand"
    endpoint: int | None = None
    heard: Meaning | None = None
    dated: bool = False


@dataclass(frozen=True, slots=True)
class Taken:
    """
    What a reply led to.

    Attributes:
        contact: the contact it is kept as.
        again: it was taken already, and nothing was changed.
        waits: a person has to read it.
        statement: what was written into the ledger, if anything.
        answer: what came of our answer to it, where there is one.
    """

    meaning: Meaning
    contact: str
    again: bool = False
    waits: bool = False
    statement: str | None = None
    answer: Done | None = None


def take_reply(
    door: Door,
    found: Addressed,
    reply: Reply,
    *,
    now: datetime,
    answers: Mapping[Purpose, Answering],
) -> Taken:
    """
    Take in a reply: written down as a contact, with everything that follows from it, and answered where we may.

    Args:
        found: the loan it is about, and who answers.
        answers: purpose -> the template for it on this channel; one that is missing is not sent.
    """
    meaning = reply.heard or meaning_of(reply.text)
    contact_id = f"in-{sha256(f'{reply.source} {reply.key}'.encode()).hexdigest()[:24]}"
    with door.database.write() as session:
        if session.get(Contact, contact_id) is not None:
            return Taken(meaning, contact_id, again=True)
        contact = _contact(session, contact_id, found, reply)
        people = concerned(session, contact)
        lock_versions(session, people)
        closed = _closed(session, found, reply)
        statement = _state(session, found, reply, meaning, contact_id, closed, now)
        if meaning == "wrong_person":
            _misdirected(session, contact, now)
        waits = meaning == "free" or (meaning == "help" and "reply" not in answers)
        waits = waits or (meaning == "start" and bool(closed) and statement is None)
        waits = waits or (meaning == "wrong_person" and contact.endpoint_id is None)
        if waits:
            session.add(MessageText(contact_id=contact_id, text=reply.text))
        detail: dict[str, str] = {"channel": reply.channel, "meaning": meaning}
        add_event(session, contact, "reply", now, source="replies", key=contact_id, detail=detail)
        bump_versions(session, people)
    answer = None
    # The stop is committed by now. Whoever had stopped before has been told.
    if meaning == "stop" and not closed:
        answer = _answer(door, found, reply, "opt_out_confirmation", answers, now)
    elif meaning == "help":
        answer = _answer(door, found, reply, "reply", answers, now)
    return Taken(meaning, contact_id, waits=waits, statement=statement, answer=answer)


def waiting_replies(session: Session) -> list[tuple[Contact, str]]:
    """What people wrote and nobody has read, oldest first, with its text."""
    unread = (
        select(Contact, MessageText.text)
        .join(MessageText, col(MessageText.contact_id) == col(Contact.id))
        .where(col(Contact.direction) == "in", col(MessageText.read_at).is_(None))
        .order_by(col(Contact.at), col(Contact.id))
    )
    return list(session.exec(unread))


def mark_read(session: Session, contact_id: str, *, agent: str, now: datetime) -> None:
    """
    Somebody has read a reply, and written down what follows from it.

    Raises:
        DataError: there is no such reply, or it was read already.
    """
    row = session.get(MessageText, contact_id)
    contact = session.get(Contact, contact_id)
    if row is None or contact is None or contact.direction != "in" or row.read_at is not None:
        raise DataError(Problem(f"no reply `{contact_id}` waits to be read", "`duecourse consents replies` lists them"))
    row.read_by, row.read_at = agent, now
    session.add(row)
    note(session, contact, at=now, why=f"read by {agent}")


def _contact(session: Session, contact_id: str, found: Addressed, reply: Reply) -> Contact:
    contact = Contact(
        id=contact_id,
        loan_id=found.loan.id,
        person_id=found.person.id,
        role=found.role,
        endpoint_id=reply.endpoint,
        channel=reply.channel,
        direction="in",
        purpose="reply",
        slot=f"reply:{reply.source}:{reply.key}",
        status="delivered",
        outcome="received",
        planned_at=reply.at,
        not_before_at=reply.at,
        expires_at=reply.at,
        at=reply.at,
    )
    session.add(contact)
    session.flush()
    session.add(ContactLoan(contact_id=contact_id, loan_id=found.loan.id))
    note(session, contact, at=reply.at, why=f"came in by {reply.source}", made=True)
    return contact


def _closed(session: Session, found: Addressed, reply: Reply) -> list[str]:
    """The references of the refusals that close this channel to the person at this moment."""
    lines = ledger(session, found.person.id, as_of=reply.at if reply.dated else None)
    # What has reached us has been said, however far ahead the clock was of whoever wrote it down.
    at = max((reply.at, *(line.at for line in lines)))
    endpoint = next((one for one in found.person.endpoints if one.id == reply.endpoint), None)
    (stands,) = standing([line.said for line in lines], [(reply.channel, endpoint)], to_us(at))
    return [line.ref for line in lines if any(line.said is refusal for refusal in stands.closed_by)]


def _state(
    session: Session,
    found: Addressed,
    reply: Reply,
    meaning: Meaning,
    contact_id: str,
    closed: list[str],
    now: datetime,
) -> str | None:
    """Write what was said into the ledger; None where it says nothing there."""
    kind = {"stop": "opt_out", "start": "opt_in"}.get(meaning)
    if kind == "opt_in" and not (closed and all(ref.startswith(_STOPPED_BY) for ref in closed)):
        # What was closed by a word to an agent, or by a letter, a text message does not open.
        return None
    if kind is None:
        return None
    said = NewStatement(
        found.person.id,
        kind,
        reply.at,
        # A stop closes the whole channel; a start opens only the number it came from, where that is known.
        endpoint=reply.endpoint if kind == "opt_in" else None,
        channels=(reply.channel,),
        given_to=given_to(found.situation.actor),
        how="reply",
        evidence=f"contact:{contact_id}",
        source=reply.source,
        ref=f"reply:{reply.source}:{reply.key}",
    )
    add_statement(session, said, now=now, live=not reply.dated)
    return kind


def _misdirected(session: Session, contact: Contact, now: datetime) -> None:
    """The number is somebody else's: not used again, and what went there reached nobody."""
    if contact.endpoint_id is None:
        return
    there = select(Contact).where(
        col(Contact.endpoint_id).in_(lose_number(session, contact, now)),
        col(Contact.direction) == "out",
        col(Contact.at) >= contact.at - _MISDIRECTED_BACK,
        col(Contact.at) <= contact.at,
    )
    went = session.exec(there.order_by(col(Contact.id)).with_for_update(key_share=True)).all()
    for one in (contact, *went):
        one.misdirected = True
        session.add(one)
        note(session, one, at=now, why=f"the number is somebody else's, says {contact.id}")
        void_notices(session, one, now)


def _answer(
    door: Door, found: Addressed, reply: Reply, purpose: Purpose, answers: Mapping[Purpose, Answering], now: datetime
) -> Done | None:
    answering = answers.get(purpose)
    if answering is None:
        return None
    with door.database.session() as session:
        ref = session.get_one(Person, found.person.id).ref
    wanted = Wanted(
        found.loan.ref, reply.channel, found.role, ref, reply.endpoint, purpose, answering.name, answering.content
    )
    within = _CONFIRM_WITHIN if purpose == "opt_out_confirmation" else None
    return send(door, wanted, None, agent="reply", now=now, within=within)


def endpoint_of(endpoints: tuple[Endpoint, ...], channel: Channel) -> int | None:
    """The number or address a reply on a channel came from, where the person has only one for it."""
    kinds = {"sms": ("mobile",), "email": ("email",), "call": ("mobile", "landline")}.get(channel, ())
    fitting = [endpoint.id for endpoint in endpoints if endpoint.kind in kinds]
    return fitting[0] if len(fitting) == 1 else None
