"""
From due to `sending`: claim, look again on fresh facts, and commit before anybody outside hears of it.

Whatever forbids a contact and is committed before that commit stops it: every writer bumps the version of the
people concerned, and what was decided on an older version is not written.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache, partial
from typing import Any, Final

from sqlmodel import Session, col, select

from channels.message import Message
from engine.errors import DataError, DuecourseError, StoreError
from store.budgets import spend
from store.outbox import RECORDED_CALL, bump_versions, claim, is_task, lane_of, lock_versions, move, release, reserve
from store.tables import Contact, Endpoint, Loan, Person
from workflows.alerts import unknowns
from workflows.brake import channel_brake
from workflows.deciding.allotment import rank_text
from workflows.sending.budget import day_ends_at, room
from workflows.sending.door import LEASE, LOOK_TO_SEND_MAX, NOT_ALLOWED, TURN_WAIT_MAX, Door, reach
from workflows.sending.look_log import kept_looks
from workflows.sending.looking import Looked, look_again
from workflows.sending.second_look import Look
from workflows.sending.text_seal import SEALED, seal, seal_key

log = logging.getLogger(__name__)

_CHANGED: Final = "something about the borrower changed meanwhile"


@dataclass(frozen=True, slots=True)
class Offer:
    """
    A message committed as `sending`, for its adapter.

    Attributes:
        people: everybody whose limits it counts for.
        looked_at: the instant of its second look.
        worker, attempt: whose it is, and its which try.
        turn_at: when its turn at the provider account is; None: at once.
        day_ends_at: when the day ends whose budget it is on, of every account that it may be sent by; None: on none.
    """

    message: Message
    look: Look
    people: tuple[int, ...]
    looked_at: datetime
    worker: str
    attempt: int
    turn_at: datetime | None = None
    day_ends_at: datetime | None = None

    def is_of(self, contact: Contact) -> bool:
        """Whether the contact still waits for what becomes of this very try."""
        mine = (contact.claimed_by, contact.attempts) == (self.worker, self.attempt)
        return mine and contact.status in ("sending", "unknown")

    @property
    def lane(self) -> str:
        """By which lane it leaves."""
        return RECORDED_CALL if self.message.channel == "call" else self.message.channel


@dataclass(slots=True)
class Taken:
    """What one claim led to: how many were claimed, by what became of them, and the messages to send now."""

    claimed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    offers: list[Offer] = field(default_factory=list)

    def of(self, lanes: Collection[str]) -> list[Offer]:
        """The messages that leave by one of these lanes."""
        return [offer for offer in self.offers if offer.lane in lanes]


def take(door: Door, paces: Mapping[str, float | None], clock: Callable[[], datetime], *, limit: int) -> Taken:
    """
    Claim what is due in these lanes and commit as `sending` what may go; tasks are handed to their queues.

    Args:
        paces: lane -> how many messages a second its provider account takes; None: no bound.
        limit: how many of each lane at most.
    Raises:
        SettingsError: nobody may be reached now. What was claimed is given back.
        StoreError: the database cannot be read or written. What was claimed is given back, or lapses.
    """
    now, began = clock(), time.monotonic()
    limits = _limits(door, paces, now, limit)
    ids = claim(door.database, limits, now=now, worker=door.worker, lease=LEASE)
    taken = Taken(claimed=len(ids))
    if not ids:
        return taken
    try:
        looked = look_again(door, ids, now)
        # By two clocks: the one that says what day it is may have been set back meanwhile.
        late = max(clock() - now, timedelta(seconds=time.monotonic() - began)) > LOOK_TO_SEND_MAX
        _write(door, looked, clock, now, taken, paces, late=late)
    except BaseException:
        with suppress(StoreError):
            release(door.database, ids, worker=door.worker, at=now, why="dispatch stopped before it could go")
        raise
    return taken


def _limits(door: Door, paces: Mapping[str, float | None], now: datetime, limit: int) -> dict[str, int]:
    """How many of each lane; a lane whose budget is used up is left out, so that its contacts stay as they are."""
    with door.database.session() as session:
        rooms = {lane: room(session, door.outward, lane, now) for lane in paces}
    fitting = {lane: _fitting(limit, per_second) for lane, per_second in paces.items()}
    return {
        lane: most if left is None else min(most, left)
        for lane, most in fitting.items()
        if (left := rooms[lane]) is None or left
    }


def _fitting(limit: int, per_second: float | None) -> int:
    return limit if per_second is None else max(1, min(limit, int(TURN_WAIT_MAX.total_seconds() * per_second)))


def _write(
    door: Door,
    looked: Sequence[Looked],
    clock: Callable[[], datetime],
    now: datetime,
    taken: Taken,
    paces: Mapping[str, float | None],
    *,
    late: bool,
) -> None:
    counts: Counter[str] = Counter()
    offers: list[Offer] = []
    with door.database.write() as session, kept_looks(session, door, now) as kept:
        reached = reach(door, session)
        # INVARIANT 4: what forbids a contact bumped a version before this line, or waits for this transaction.
        current = lock_versions(session, {person for one in looked for person in one.seen})
        contacts = locked_contacts(session, [one.contact.id for one in looked])
        # Not opened where everybody may be reached: one that is damaged is then the loss of its own message alone.
        endpoints = {} if reached.everybody else _endpoints(session, contacts.values())
        _held = at_hand(session, contacts.values())
        still = cache(partial(channel_brake, session))
        told: set[int] = set()
        sealing = seal_key(session)
        # What is written of each is sent to the database together, before anybody's version moves.
        with session.no_autoflush:
            for one in looked:
                contact = contacts[one.contact.id]
                if contact.status != "claimed" or contact.claimed_by != door.worker:
                    counts["taken"] += 1
                elif late or _moved(one, current):
                    move(session, contact, "planned", at=now, why=_CHANGED)
                    counts["redo"] += 1
                elif still(lane_of(contact)):
                    move(session, contact, "planned", at=now, why="its channel stands still")
                    counts["waiting"] += 1
                else:
                    reachable = reached.covers(endpoints.get(contact.endpoint_id))
                    word, message = _let_out(session, door, contact, one, kept.detail(one), reachable, now, sealing)
                    counts[word] += 1
                    counts.update(unknowns([one.look.verdict]))
                    if word != "delayed":
                        told.update(one.seen)
                    if message is not None:
                        offers.append(Offer(message, one.look, tuple(one.seen), now, door.worker, contact.attempts))
        bump_versions(session, told)
        offers = [
            afforded
            for lane, per_second in paces.items()
            for afforded in _afforded(
                session, door, lane, _turns(session, lane, offers, per_second, clock(), counts), clock(), counts
            )
        ]
    # Only what is committed counts, and is sent.
    taken.counts, taken.offers = counts, offers


def locked_contacts(session: Session, ids: Sequence[str]) -> Mapping[str, Contact]:
    """These contacts by id, locked in id order until the transaction ends."""
    mine = select(Contact).where(col(Contact.id).in_(ids)).order_by(col(Contact.id))
    return {contact.id: contact for contact in session.exec(mine.with_for_update(key_share=True))}


def at_hand(session: Session, contacts: Collection[Contact]) -> list[Loan | Person | Endpoint]:
    """
    What messages are made of and what follows from them is about: read at once, and to be held, so that it is not read singly.

    What is damaged is found where it is needed, and is the loss of that message alone.
    """
    held: list[Loan | Person | Endpoint] = []
    with suppress(DuecourseError):
        loans = session.exec(select(Loan).where(col(Loan.id).in_({contact.loan_id for contact in contacts}))).all()
        people = {contact.person_id for contact in contacts} | {loan.borrower_id for loan in loans}
        spots = {contact.endpoint_id for contact in contacts}
        held += [
            *loans,
            *session.exec(select(Person).where(col(Person.id).in_(people))),
            *session.exec(select(Endpoint).where(col(Endpoint.id).in_(spots))),
        ]
    return held


def _endpoints(session: Session, contacts: Iterable[Contact]) -> Mapping[int | None, str]:
    """Endpoint id -> its number or address."""
    ids = {contact.endpoint_id for contact in contacts if contact.endpoint_id is not None}
    return dict(session.exec(select(Endpoint.id, Endpoint.value).where(col(Endpoint.id).in_(ids))).all())


def _moved(one: Looked, current: Mapping[int, int]) -> bool:
    return any(current.get(person) != version for person, version in one.seen.items())


def _let_out(
    session: Session,
    door: Door,
    contact: Contact,
    one: Looked,
    detail: Mapping[str, Any] | None,
    reachable: bool,
    now: datetime,
    sealing: str,
) -> tuple[str, Message | None]:
    look = one.look
    if look.answer == "cancel":
        move(session, contact, "cancelled", at=now, why=look.why, detail=detail)
        return "cancelled", None
    if look.answer == "delay" and look.until is not None:
        contact.not_before_at = contact.at = look.until
        move(session, contact, "planned", at=now, why=look.why, detail=detail)
        return "delayed", None
    if not reachable:
        move(session, contact, "cancelled", at=now, why=NOT_ALLOWED, detail=detail)
        return "cancelled", None
    if is_task(contact):
        contact.at, contact.claimed_by, contact.claimed_until_at = now, None, None
        queue = door.queues.get(contact.queue or "")
        contact.rank = rank_text(queue, look.loan.facts) if queue is not None and look.loan is not None else None
        move(session, contact, "sending", at=now, why=look.why, detail=detail)
        move(session, contact, "sent", at=now, why=f"handed to queue {contact.queue or contact.channel}")
        return "handed over", None
    try:
        message = door.compose(session, contact, look, now)
    except DataError as error:
        # What cannot be said truthfully is not said; the others still go.
        move(session, contact, "cancelled", at=now, why=error.problems[0].what, detail=detail)
        return "unsayable", None
    except Exception as error:  # noqa: BLE001 - a fault of one template or person must not stop the others
        _alert(contact, "a message could not be composed", error)
        why = f"its message could not be composed ({_kind(error)})"
        move(session, contact, "cancelled", at=now, why=why, detail=detail)
        return "unsayable", None
    contact.attempts += 1
    contact.at, contact.claimed_until_at = now, now + LEASE
    # What an earlier try was told says nothing of this one.
    contact.provider = contact.provider_ref = contact.error = None
    # Record first, send later: a record without a receipt can be reconciled with the provider's own; a message
    # without a record could never be explained.
    sealed = {SEALED: seal(sealing, message.text)}
    move(session, contact, "sending", at=now, why=look.why, detail={**(detail or {}), **sealed})
    return "offered", message


def _turns(
    session: Session, lane: str, made: Sequence[Offer], per_second: float | None, now: datetime, counts: Counter[str]
) -> list[Offer]:
    """Give each message of a lane its turn at the account; those that find none soon enough go back."""
    offers = [offer for offer in made if offer.lane == lane]
    if per_second is None or not offers:
        return offers
    first, turns = reserve(session, lane, len(offers), per_second=per_second, now=now, within=TURN_WAIT_MAX)
    _put_back(session, offers[turns:], now, counts, "the provider account is busy; once more soon")
    step = timedelta(seconds=1 / per_second)
    return [replace(offer, turn_at=first + turn * step) for turn, offer in enumerate(offers[:turns])]


def _afforded(
    session: Session, door: Door, lane: str, offers: Sequence[Offer], now: datetime, counts: Counter[str]
) -> Sequence[Offer]:
    """Put each message of a lane on the day's budget of the accounts that have room for it; those without any go back."""
    per_day = door.outward.lane(lane).per_day
    if not per_day or not offers:
        return offers
    until_at = day_ends_at(door.outward, now)
    granted = spend(session, lane, per_day, len(offers), now=now, until_at=until_at)
    most = max(granted.values())
    _put_back(session, offers[most:], now, counts, "what the provider account may take today is used up")
    return [
        replace(
            offer,
            message=replace(offer.message, accounts=frozenset(name for name, n in granted.items() if place < n)),
            day_ends_at=until_at,
        )
        for place, offer in enumerate(offers[:most])
    ]


def _put_back(session: Session, offers: Sequence[Offer], now: datetime, counts: Counter[str], why: str) -> None:
    for offer in offers:
        contact = session.get_one(Contact, offer.message.contact_id)
        contact.attempts -= 1
        move(session, contact, "planned", at=now, why=why)
        counts["offered"] -= 1
        counts["waiting"] += 1


def _alert(contact: Contact, text: str, error: Exception) -> None:
    # Never the error's own words: they may quote what is on file about the person.
    log.error(text, extra={"action": "alert", "contact": contact.id, "error": _kind(error)})


def _kind(error: Exception) -> str:
    return type(error).__name__
