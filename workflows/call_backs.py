"""
A call that somebody asked for: it waits in its queue from the promised time, first in line, for whoever promised it.

No rule asks for it, so nothing but the gate and the borrower's standing judge it. That they asked to be called on that day
is a consent to be called, which some laws on how often people are called ask for.
Source: 12 CFR 1006.14(b)(3)(i).
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, exists, literal
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, or_

from engine.errors import DataError, Problem
from engine.strategy import Strategy
from engine.tree import FactValue
from store.consents import NewStatement, add_statement
from store.fact_sql.clock import day_at
from store.outbox import note
from store.tables import Contact, ContactLoan

OPEN_FOR: Final = timedelta(hours=4)
"""How long after its time a call-back is still worth making."""
DAYS_MAX: Final = 30
_KEPT: Final = timedelta(minutes=5)
"""How long a call-back waits for the agent who promised it, if they are free, before anybody may take it."""
_NUMBERED: Final = re.compile(r"(.*)-b([0-9]+)")


@dataclass(frozen=True, slots=True)
class CallBack:
    """
    When they want to be called.

    Attributes:
        given_to: who we are to them: `lender`, or `collector`. zones: where they may be; say which day it is then.
    """

    at: datetime
    given_to: str = "lender"
    zones: tuple[str, ...] = ()


def refuse_call_back(wanted: CallBack, now: datetime) -> None:
    """
    Refuse a time that is over or too far off.

    Raises:
        DataError: it is.
    """
    if not now < wanted.at <= now + timedelta(days=DAYS_MAX):
        what = f"a call-back at {wanted.at:%Y-%m-%d %H:%M}Z cannot be promised"
        raise DataError(Problem(what, f"agree on a time in the next {DAYS_MAX} days"))


def promise_call_back(
    session: Session, contact: Contact, wanted: CallBack, *, agent: str, now: datetime, live: bool
) -> None:
    """Put the call-back into the queue of the call it came from, and write down that it was asked for; `live`: just now."""
    contact_id = _next_id(contact.id)
    back = Contact(
        id=contact_id, run_id=contact.run_id, loan_id=contact.loan_id, person_id=contact.person_id, role=contact.role,
        endpoint_id=contact.endpoint_id, channel="call", purpose=contact.purpose, name=contact.name,
        queue=contact.queue or "call", stage_entry=contact.stage_entry, slot=f"call-back:{contact.id}",
        period_json=contact.period_json, status="sent", planned_at=now, not_before_at=wanted.at,
        expires_at=wanted.at + OPEN_FOR, at=wanted.at, kept_for=agent,
    )  # fmt: skip
    session.add(back)
    session.flush()
    session.add(ContactLoan(contact_id=contact_id, loan_id=contact.loan_id))
    note(session, back, at=now, why=f"promised by {agent} in contact {contact.id}", made=True)
    said = NewStatement(
        contact.person_id, "consent", now, scope="call_frequency", channels=("call",), debts=(contact.loan_id,),
        only_on=(day_at(wanted.zones, wanted.at),), until_at=wanted.at + OPEN_FOR, given_to=wanted.given_to,
        how=contact.channel, evidence=f"contact:{contact.id}", source=f"agent:{agent}", ref=f"call-back:{contact_id}",
    )  # fmt: skip
    add_statement(session, said, now=now, live=live)


def is_call_back(contact: Contact) -> bool:
    """Whether somebody asked for it, and an agent promised it."""
    return contact.kept_for is not None


def against_call_back(channel: str, stage: str, dpd: FactValue, strategy: Strategy | None, promised: FactValue) -> str:
    """
    What stands against a call-back now; empty for nothing.

    Args:
        stage, dpd: of its loan. promised: whether a promise is open; unknown holds back like an open one.
    """
    if stage == "closed" or type(dpd) is not int or dpd <= 0:
        return "nothing is past due any more"
    if strategy is not None and channel in strategy.promise.blocks and promised is not False:
        return "a promise to pay is open"
    return ""


def may_take(agent: str, now: datetime) -> ColumnElement[bool]:
    """Tasks that are not kept for somebody else: a call-back is, while whoever promised it is free, for some minutes."""
    other = aliased(Contact)
    theirs = literal("agent:").concat(col(Contact.kept_for))
    busy = exists().where(col(other.status) == "sent", col(other.claimed_by) == theirs)
    return or_(
        col(Contact.kept_for).is_(None), col(Contact.kept_for) == agent, col(Contact.not_before_at) <= now - _KEPT, busy
    )


def _next_id(contact_id: str) -> str:
    numbered = _NUMBERED.fullmatch(contact_id)
    return f"{numbered[1]}-b{int(numbered[2]) + 1}" if numbered else f"{contact_id}-b1"
