"""What a provider said of a message, written down: the contact's status, and everything that follows from it."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from channels.message import Receipt
from compliance import PackDates
from store.budgets import unspend
from store.db import Database
from store.outbox import bump_versions, lane_of, lock_versions, move
from store.tables import Contact
from workflows.brake import brake_channel
from workflows.sending.aftermath import record_failure, record_sent
from workflows.sending.leaving import Offer, at_hand, locked_contacts

log = logging.getLogger(__name__)

TRIES_MAX: Final = 4
_BACK_OFF: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class Answered:
    """A message and what became of it; no receipt: it was not offered to anybody after all."""

    offer: Offer
    receipt: Receipt | None
    at: datetime


def record_receipts(database: Database, answered: Sequence[Answered], dates: PackDates) -> Counter[str]:
    """
    Write down what came back, in one transaction.

    Args:
        dates: say from when a notice that went out is in force.
    Returns:
        contacts by what became of them: sent, failed, unknown, retry, waiting.
    """
    counts: Counter[str] = Counter()
    with database.write() as session:
        people = {person for one in answered for person in one.offer.people}
        lock_versions(session, people)
        news: list[Answered] = []
        contacts = locked_contacts(session, [one.offer.message.contact_id for one in answered])
        _held = at_hand(session, contacts.values())
        for one in answered:
            contact = contacts[one.offer.message.contact_id]
            if one.offer.is_of(contact):
                counts[_record(session, contact, one, dates)] += 1
                news.append(one)
            else:
                # It is written down already, by a commit whose answer was lost, or was settled meanwhile. By now it may
                # be in other hands, and what they did is not ours to tell.
                counts["waiting" if one.receipt is None else one.receipt.status] += 1
        bump_versions(session, people)
        for lane in sorted({one.offer.lane for one in news}):
            unspend(session, lane, Counter(unit for one in news if one.offer.lane == lane for unit in _not_taken(one)))
    return counts


def _not_taken(one: Answered) -> list[tuple[str, datetime]]:
    """The budgets that a message was on and surely is no burden to: of accounts that were passed over, or took nothing."""
    offer, receipt = one.offer, one.receipt
    if offer.day_ends_at is None:
        return []
    accounts = offer.message.accounts
    if receipt is not None and receipt.status != "retry":
        # Where nobody can say which account was asked, it stays on the bill of each.
        accounts = accounts - {receipt.provider} if receipt.provider in accounts else frozenset()
    return [(account, offer.day_ends_at) for account in accounts]


def retry_at(contact: Contact, now: datetime) -> datetime | None:
    """When a message that surely was not sent is tried again; None: not any more."""
    if contact.attempts >= TRIES_MAX:
        return None
    again = now + _BACK_OFF * 2 ** (contact.attempts - 1)
    return again if again < contact.expires_at else None


def _record(session: Session, contact: Contact, one: Answered, dates: PackDates) -> str:
    now, receipt = one.at, one.receipt
    if receipt is None and contact.status == "unknown":
        # Given up on while this worker slept. It may not go by itself any more, but nobody has to find out.
        why = "its turn came too late; nobody was asked to send it"
        move(session, contact, "failed", at=now, why=why, outcome="failed")
        return "failed"
    if receipt is None:
        contact.attempts -= 1
        move(session, contact, "planned", at=now, why="its turn did not come in time; nobody was asked to send it")
        return "waiting"
    contact.provider, contact.error = receipt.provider or None, receipt.code or None
    contact.provider_ref = receipt.provider_ref or None
    detail = {"code": receipt.code, "meaning": receipt.meaning, "detail": receipt.detail, "ref": receipt.provider_ref}
    word: str = receipt.status
    if word == "retry":
        if receipt.meaning == "misconfigured":
            why = f"{receipt.provider} refused our settings ({receipt.code or 'no code'}): {receipt.detail}"
            brake_channel(session, lane_of(contact), why)
        again = retry_at(contact, now) if contact.status == "sending" else None
        if again is not None:
            why = "the provider was sure it sent nothing; once more"
            contact.not_before_at = again
            move(session, contact, "planned", at=now, why=why, detail=detail, for_at=again)
            return "retry"
        word = "failed"
    why = receipt.detail or "the provider took it"
    if not move(session, contact, word, at=now, why=why, detail=detail, outcome=word):
        return contact.status
    if word == "sent":
        record_sent(session, contact, one.offer.look, dates, now)
    elif word == "failed":
        record_failure(session, contact, receipt, now)
    if word == "unknown" or receipt.meaning in ("blocked", "misconfigured", "unclear"):
        extra = {"action": "alert", "contact": contact.id, "status": word, "code": receipt.code}
        log.warning("a message needs somebody to look", extra=extra)
    return word
