"""
The two-way match: what providers said, the contacts, the log's entries of them, the decisions they follow from.

Each of these is written by another hand at another moment, so that what one of them has and another has not shows a
fault, or somebody at work past the door. What is found stands in the book of duties, with an owner and a day; what
matches again is taken off it, and what a person settled stays settled.
"""

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, and_, exists, func, literal, or_
from sqlmodel import Session, col, select

from store.db import Database
from store.lock import sole
from store.outbox import tasks
from store.tables import Arrival, Contact, ContactStatus, DecisionRow, Duty, StageChange
from workflows.duties import CLOSED, MATCH, OPEN, OURSELVES, Values, closed, write_duties
from workflows.inbox.arriving import REPORT

log = logging.getLogger(__name__)

OWNER: Final = "compliance"
"""Whose the findings are until they are given to somebody else."""
SILENT_MAX: Final = timedelta(hours=24)
"""How long a message may be on its way without a word from its provider."""
UNREPORTED_MAX: Final = timedelta(days=3)
"""How long after a message has gone its report may come: carriers keep one for a telephone that is off for up to 72 hours."""
_UNREPORTED_FOR: Final = timedelta(days=30)
"""Of what is longer ago nothing new is found: a book from before reports came would be found whole."""
_LOOK_IN: Final = timedelta(days=1)
_SETTLE_IN: Final = timedelta(days=3)
_TOLD: Final = ("sent", "delivered", "failed", "unknown")


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that one side has and another has not; `kind` is the last word of its rule."""

    kind: str
    subject: str
    what: str
    at: datetime
    loan: int | None = None
    person: int | None = None


def match(database: Database, *, now: datetime, zone: str, reporting: Collection[str] = ()) -> Counter[str]:
    """
    Match everything with everything, and bring the findings in the book of duties up to date.

    Args:
        zone: the lender's: says what today is.
        reporting: the providers that report what became of each message, as contacts name them.
    Returns:
        how many are `new`, `gone` since they match now, `reopened`, and `open` in all.
    Raises:
        StoreError: somebody else is at it, or the database cannot be read or written.
    """
    where = ZoneInfo(zone)
    today = now.astimezone(where).date()
    with sole(database, "match", what="the match of receipts, contacts and the log"):
        with database.session() as session:
            found = {(f"{MATCH}{one.kind}", one.subject): one for one in findings(session, now, reporting)}
            known = {(duty.rule, duty.subject): duty for duty in session.exec(_known())}
            session.expunge_all()
        new = [_duty(one, now, today, where) for key, one in found.items() if key not in known]
        changes = [(duty, values) for key, duty in known.items() if (values := _change(duty, key in found, now, today))]
        counts = write_duties(database, new, changes)
        with database.session() as session:
            still = session.exec(select(func.count()).select_from(Duty).where(is_finding(), _is_open())).one()
    for one in new:
        extra = {"action": "alert", "rule": one["rule"], "subject": one["subject"]}
        log.error("what providers, contacts and the log say does not match", extra=extra)
    return Counter(new=counts["new"], gone=counts["void"], reopened=counts["reopened"], open=still)


def is_finding() -> ColumnElement[bool]:
    """Of a duty, whether it is a finding of the match."""
    return col(Duty.rule).startswith(MATCH, autoescape=True)


def findings(session: Session, now: datetime, reporting: Collection[str] = ()) -> Iterator[Finding]:
    """Whatever does not match at this moment; `reporting` as in `match`."""
    yield from _receipts_without_entry(session)
    yield from _entries_without_receipt(session, now)
    yield from _messages_without_report(session, now, reporting)
    yield from _contacts_without_entry(session)
    yield from _contacts_without_decision(session)
    yield from _decisions_without_contact(session)
    yield from _moves_without_decision(session)


def _receipts_without_entry(session: Session) -> Iterator[Finding]:
    parked = select(Arrival).where(col(Arrival.kind) == REPORT, col(Arrival.state) == "parked")
    for arrival in session.exec(parked.order_by(col(Arrival.id))):
        what = f"{arrival.source} reported on a message that the log does not know so: {arrival.why}"
        yield Finding("receipt_without_entry", f"arrival:{arrival.id}", what, arrival.recorded_at)
    entry = exists().where(col(ContactStatus.contact_id) == col(Contact.id), col(ContactStatus.status).in_(_TOLD))
    taken = select(Contact).where(col(Contact.run_id).is_not(None), col(Contact.provider_ref).is_not(None), ~entry)
    for contact in session.exec(taken.order_by(col(Contact.id))):
        what = f"{contact.provider} took contact {contact.id}, and no entry says so"
        yield _about(contact, "receipt_without_entry", what)


def _entries_without_receipt(session: Session, now: datetime) -> Iterator[Finding]:
    silent = select(Contact).where(
        col(Contact.direction) == "out",
        col(Contact.status).in_(("sending", "unknown")),
        col(Contact.at) < now - SILENT_MAX,
    )
    for contact in session.exec(silent.order_by(col(Contact.id))):
        what = f"contact {contact.id} was about to leave, and no receipt says what became of it"
        yield _about(contact, "entry_without_receipt", what)


def _messages_without_report(session: Session, now: datetime, reporting: Collection[str]) -> Iterator[Finding]:
    # What was found once stays until it is reported on, or somebody settles it.
    known = exists().where(
        col(Duty.rule) == f"{MATCH}message_without_report", col(Duty.subject) == literal("contact:") + col(Contact.id)
    )
    silent = select(Contact).where(
        col(Contact.direction) == "out",
        col(Contact.status) == "sent",
        ~tasks(),
        col(Contact.provider).in_(reporting),
        col(Contact.at) < now - UNREPORTED_MAX,
        or_(col(Contact.at) > now - _UNREPORTED_FOR, known),
    )
    for contact in session.exec(silent.order_by(col(Contact.id))):
        what = f"{contact.provider} took contact {contact.id}, and never reported whether it arrived"
        yield _about(contact, "message_without_report", what)


def _contacts_without_entry(session: Session) -> Iterator[Finding]:
    newest = (
        select(col(ContactStatus.contact_id).label("contact_id"), func.max(ContactStatus.id).label("id"))
        .group_by(col(ContactStatus.contact_id))
        .subquery()
    )
    said = (
        select(Contact, col(ContactStatus.status))
        .outerjoin(newest, newest.c.contact_id == col(Contact.id))
        .outerjoin(ContactStatus, col(ContactStatus.id) == newest.c.id)
        .where(
            col(Contact.run_id).is_not(None),
            or_(col(ContactStatus.status).is_(None), col(ContactStatus.status) != col(Contact.status)),
        )
    )
    for contact, status in session.exec(said.order_by(col(Contact.id))):
        # A claim is a lease: nothing is logged of it.
        if contact.status == "claimed" and status == "planned":
            continue
        of_log = f"the newest entry says {status}" if status is not None else "the log has no entry of it"
        yield _about(contact, "contact_without_entry", f"contact {contact.id} is {contact.status}, and {of_log}")


def _contacts_without_decision(session: Session) -> Iterator[Finding]:
    decided = exists().where(
        col(DecisionRow.run_id) == col(Contact.run_id), col(DecisionRow.loan_id) == col(Contact.loan_id)
    )
    # What an import brings was made elsewhere, and is over.
    pending = and_(col(Contact.run_id).is_(None), col(Contact.status).in_(("planned", "claimed", "sending")))
    lone = select(Contact).where(or_(and_(col(Contact.run_id).is_not(None), ~decided), pending))
    for contact in session.exec(lone.order_by(col(Contact.id))):
        yield _about(contact, "contact_without_decision", f"no decision in the log asks for contact {contact.id}")


def _decisions_without_contact(session: Session) -> Iterator[Finding]:
    made = exists().where(
        col(Contact.run_id) == col(DecisionRow.run_id), col(Contact.loan_id) == col(DecisionRow.loan_id)
    )
    wanting = select(DecisionRow).where(col(DecisionRow.outcome).in_(("contact", "recorded")), ~made)
    for row in session.exec(wanting.order_by(col(DecisionRow.run_id), col(DecisionRow.loan_id))):
        what = f"decision {row.run_id}-{row.loan_id} asks for a contact, and there is none"
        subject = f"decision:{row.run_id}-{row.loan_id}"
        yield Finding("decision_without_contact", subject, what, row.now_at, row.loan_id, row.borrower_id)


def _moves_without_decision(session: Session) -> Iterator[Finding]:
    decided = exists().where(
        col(DecisionRow.run_id) == col(StageChange.run_id),
        col(DecisionRow.loan_id) == col(StageChange.loan_id),
        col(DecisionRow.stage_after) == col(StageChange.target),
    )
    moved = select(StageChange).where(col(StageChange.cause).startswith("move:", autoescape=True), ~decided)
    for change in session.exec(moved.order_by(col(StageChange.id))):
        what = f"no decision in the log asks for the move to {change.target} of {change.on_on}"
        yield Finding("move_without_decision", f"stage_change:{change.id}", what, change.at, change.loan_id)


def _about(contact: Contact, kind: str, what: str) -> Finding:
    return Finding(kind, f"contact:{contact.id}", what, contact.at, contact.loan_id, contact.person_id)


def _known() -> Any:
    return select(Duty).where(is_finding()).order_by(col(Duty.id))


def _is_open() -> ColumnElement[bool]:
    return col(Duty.status).not_in(CLOSED)


def _duty(one: Finding, now: datetime, today: date, where: ZoneInfo) -> Values:
    return {
        "rule": f"{MATCH}{one.kind}",
        "subject": one.subject,
        "start_on": one.at.astimezone(where).date(),
        "what": one.what,
        "person_id": one.person,
        "loan_id": one.loan,
        "due_on": today + _SETTLE_IN,
        "escalate_on": today + _LOOK_IN,
        "owner": OWNER,
        "recorded_at": now,
        **OPEN,
    }


def _change(duty: Duty, is_there: bool, now: datetime, today: date) -> Values:
    if duty.closed_by not in ("", OURSELVES):
        return {}
    if not is_there:
        return {} if duty.status in CLOSED else closed("void", "it matches now", now)
    if duty.status not in CLOSED:
        return {}
    return {**OPEN, "due_on": today + _SETTLE_IN, "escalate_on": today + _LOOK_IN, "escalated_at": None}
