"""
Messages that may or may not have gone out, looked up in the records of whoever was asked to send them.

What is found is settled; what is not stays in doubt, counts towards every limit and is never sent again. It is asked
about again, ever more rarely, until a person has to decide.
"""

import json
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final

from sqlmodel import Session, col, select

from channels.faults import NO_LIST, no_list
from channels.message import Adapter, Finder, Receipt, Sought
from channels.reports import Delivery
from engine.errors import DataError
from store.db import Database
from store.outbox import RECORDED_CALL, ROW, bump_versions, give_up_on, lane_of, lanes, note
from store.sealing import hashed
from store.settings import known_secret
from store.tables import Contact, ContactStatus, Endpoint
from workflows.sending.door import close_all
from workflows.sending.fate import Evidence, Fate, NotYet, learn, lock_contacts
from workflows.sending.text_seal import SEAL_KEY, SEALED, is_sealed

log = logging.getLogger(__name__)

PAUSES: Final = (
    timedelta(minutes=1), timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=2), timedelta(hours=8),
    timedelta(hours=24), timedelta(hours=24),
)  # fmt: skip
"""Before each time that it is asked: what was offered seconds ago may not be listed yet."""
_AGES_MAX: Final = timedelta(days=7)
"""What is older is a person's to settle."""
_SILENT_MAX: Final = 3
"""Lookups in a row that a channel's provider did not answer, before the rest is left to the next run."""
_CLOCKS_APART: Final = timedelta(minutes=2)
"""A provider's record may be so much older than our offer."""
_OFFERED: Final = ("sending", "unknown", "sent", "delivered")
"""What a provider may have a record of."""
_ASKED, _AGAIN_AT = "asked", "again_at"


@dataclass(frozen=True, slots=True)
class Doubt:
    """
    A contact in doubt, and what its history says.

    Attributes:
        sealed: the seal of its text; empty: not known.
        asked: how often it was asked about.
        again_at: when it is asked about next; None: not any more.
    """

    contact: Contact
    to: str
    sealed: str
    asked: int
    again_at: datetime | None

    def is_left(self, now: datetime) -> bool:
        """Whether nobody asks about it any more, so that a person has to settle it."""
        return self.again_at is None or now - self.contact.at >= _AGES_MAX


@dataclass(slots=True)
class Reconciled:
    """How many were found to be sent or failed, how many stay in doubt, and how many of these are a person's now."""

    sent: int = 0
    failed: int = 0
    unknown: int = 0
    left_to_people: int = 0


async def reconcile(
    database: Database,
    adapters: Mapping[str, Adapter],
    evidence: Evidence,
    clock: Callable[[], datetime],
    *,
    limit: int = 200,
    stop: Callable[[], bool] = lambda: False,
) -> Reconciled:
    """
    Ask about the messages in doubt whose time has come, one after the other, so that no record is taken for two.

    Args:
        adapters: lane -> adapter. limit: how many at most.
    Raises:
        StoreError: the database cannot be read or written; what was found until then is kept.
    """
    done = Reconciled()
    # Dispatch does it too, but may be paused or switched off.
    give_up_on(database, now=clock())
    with database.session() as session:
        # Without one nothing was ever sealed, and so nothing is known again.
        key = known_secret(session, SEAL_KEY) or ""
        doubts = _due(session, sorted(adapters), clock())[:limit]
    silent: dict[str, int] = {}
    try:
        for doubt in doubts:
            lane = lane_of(doubt.contact)
            if stop() or silent.get(lane, 0) >= _SILENT_MAX:
                continue
            found = await _ask(database, adapters[lane], doubt, key)
            away = found is not None and found.status in ("unknown", "retry") and found.code != NO_LIST
            silent[lane] = silent.get(lane, 0) + 1 if away else 0
            _write_down(database, doubt, found, evidence, clock(), done)
    finally:
        await close_all(adapters.values())
    return done


def doubts_of(session: Session, contacts: Collection[Contact]) -> list[Doubt]:
    """These contacts with what their history says of them, in their order."""
    ids = [contact.id for contact in contacts]
    details: dict[str, list[Mapping[str, Any]]] = {one: [] for one in ids}
    rows = session.exec(
        select(ContactStatus.contact_id, ContactStatus.status, ContactStatus.at, ContactStatus.detail_json)
        .where(col(ContactStatus.contact_id).in_(ids))
        .order_by(col(ContactStatus.id))
    )
    for contact_id, status, at, detail in rows:
        details[contact_id].append({**json.loads(detail), "status": status, "at": at})
    to = {contact.endpoint_id for contact in contacts}
    values = dict(session.exec(select(Endpoint.id, Endpoint.value).where(col(Endpoint.id).in_(to))).all())
    return [_doubt(contact, values.get(contact.endpoint_id, ""), details[contact.id]) for contact in contacts]


def _doubt(contact: Contact, to: str, history: Sequence[Mapping[str, Any]]) -> Doubt:
    sealed = next((one[SEALED] for one in reversed(history) if one["status"] == "sending" and SEALED in one), "")
    # Only since it is in doubt: an earlier doubt was settled.
    last = next((one for one in reversed(history) if one["status"] == "unknown"), None)
    if last is not None and _ASKED in last:
        again = last[_AGAIN_AT]
        return Doubt(contact, to, sealed, last[_ASKED], datetime.fromisoformat(again) if again else None)
    since = last["at"] if last is not None else contact.at
    return Doubt(contact, to, sealed, 0, since + PAUSES[0])


def _due(session: Session, wanted_lanes: Sequence[str], now: datetime) -> list[Doubt]:
    wanted = select(Contact).where(
        col(Contact.status) == "unknown",
        col(Contact.direction) == "out",
        col(Contact.queue).is_(None),
        lanes().in_(wanted_lanes),
        col(Contact.at) > now - _AGES_MAX,
    )
    contacts = session.exec(wanted.order_by(col(Contact.at), col(Contact.id))).all()
    doubts = doubts_of(session, contacts)
    session.expunge_all()
    return sorted(
        (doubt for doubt in doubts if doubt.again_at is not None and doubt.again_at <= now),
        key=lambda doubt: (doubt.asked, doubt.contact.at, doubt.contact.id),
    )


async def _ask(database: Database, adapter: Adapter, doubt: Doubt, key: str) -> Receipt | None:
    contact = doubt.contact
    if not isinstance(adapter, Finder):
        return no_list(contact.provider or adapter.name)
    if not doubt.sealed:
        return Receipt("unknown", adapter.name, "", NO_LIST, "unclear", "what it said is not known any more")
    with database.session() as session:
        others = _others(session, doubt)
        like = [one.at for one in _like(session, doubt, others)]
    before = [contact.at - (contact.at - at) / 2 for at in like if at < contact.at]
    after = [contact.at + (at - contact.at) / 2 for at in like if at > contact.at]
    sought = Sought(
        contact.channel,
        doubt.to,
        partial(is_sealed, key, doubt.sealed),
        offered_at=contact.at,
        # A record belongs to the offer that it is nearest to.
        since=max([contact.at - _CLOCKS_APART, *before]),
        until=min(after, default=None),
        provider=contact.provider or "",
        contact_id=contact.id,
        taken=frozenset(one.provider_ref for one in others if one.provider_ref),
    )
    return await adapter.find(sought)


def _others(session: Session, doubt: Doubt) -> Sequence[Contact]:
    """What else went to the same number or address, whoever it was for."""
    there = select(Endpoint.id, Endpoint.person_id).where(col(Endpoint.value_hash) == hashed(session, doubt.to))
    rows = session.exec(there).all()
    others = select(Contact).where(
        col(Contact.person_id).in_({person for _, person in rows}),
        col(Contact.endpoint_id).in_({endpoint for endpoint, _ in rows}),
        col(Contact.id) != doubt.contact.id,
    )
    return session.exec(others).all()


def _like(session: Session, doubt: Doubt, others: Sequence[Contact]) -> list[Contact]:
    """Those whose record could be taken for that of the doubt: which one is theirs is not known, and it says the same."""
    lane = lane_of(doubt.contact)
    open_ones = [one for one in others if lane_of(one) == lane and not one.provider_ref and one.status in _OFFERED]
    if lane == RECORDED_CALL:
        return open_ones  # what a call said is in nobody's list
    return [one.contact for one in doubts_of(session, open_ones) if one.sealed == doubt.sealed]


def _write_down(
    database: Database, doubt: Doubt, found: Receipt | None, evidence: Evidence, now: datetime, done: Reconciled
) -> None:
    with database.write() as session:
        if found is not None and found.status in ("sent", "failed"):
            why = f"found in the records of {found.provider}" + (f": {found.detail}" if found.detail else "")
            status: Delivery = "sent" if found.status == "sent" else "failed"
            fate = Fate(status, found.provider, found.provider_ref, found.code, found.meaning, why=why)
            told: set[int] = set()
            held = lock_contacts(session, [doubt.contact.id])
            try:
                came_to = learn(session, doubt.contact.id, fate, evidence, told, now=now)
            except (DataError, NotYet):
                return  # somebody else has settled it meanwhile, and knew better
            bump_versions(session, told)
            del held
            done.sent += came_to == "sent"
            done.failed += came_to == "failed"
            return
        contact = session.get_one(Contact, doubt.contact.id, with_for_update=ROW)
        if contact.status == "unknown":
            _still(session, doubt, contact, found, now, done)


def _still(
    session: Session, doubt: Doubt, contact: Contact, found: Receipt | None, now: datetime, done: Reconciled
) -> None:
    """It stays in doubt: why, and when it is asked about again."""
    asked = doubt.asked + 1
    nobody = found is not None and found.code == NO_LIST
    again = now + PAUSES[asked] if asked < len(PAUSES) and not nobody else None
    said = "the provider lists no such message" if found is None else found.detail
    when = "asked again" if again is not None else "a report or a person has to settle it"
    detail = {_ASKED: asked, _AGAIN_AT: again.isoformat() if again is not None else None}
    note(session, contact, at=now, why=f"still in doubt: {said}; {when}", detail=detail)
    done.unknown += 1
    if again is None:
        done.left_to_people += 1
        extra = {"action": "alert", "contact": contact.id, "status": "unknown", "why": said}
        log.warning("a message needs somebody to look", extra=extra)
