"""The one door out: what dispatch and the work queues need, and who may be reached through it at all."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import func
from sqlmodel import Session, col, select

from channels.message import Adapter, Message
from channels.wording import address_text
from compliance import PackDates
from engine.errors import Problem, SettingsError
from engine.gate import Gate
from engine.matching import Matcher
from engine.rulebook import Rulebook
from engine.tree import FactValue
from store.db import Database
from store.identity import is_production
from store.outbox import RECORDED_CALL, lanes
from store.settings import read_setting
from store.tables import Contact
from workflows.brake import check_brake
from workflows.deciding.allotment import Queue
from workflows.deciding.chunk import Fresh
from workflows.sending.second_look import Look

log = logging.getLogger(__name__)

_SETTINGS: Final = {"sms": "sms", "email": "mail", RECORDED_CALL: "sms.calls_from"}
"""Lane -> what its provider is called in the settings."""
LEASE: Final = timedelta(minutes=10)
"""How long a claim lasts. Far above `LOOK_TO_SEND_MAX` and the time that a send may take."""
LOOK_TO_SEND_MAX: Final = timedelta(seconds=30)
"""What was not handed over so long after it was looked at goes back, and is looked at again."""

NOT_ALLOWED: Final = "not production, and the address is not on the allow list"
_CLOSE_SECONDS_MAX: Final = 5.0
"""How long a connection may take to be closed; one that takes longer is dropped."""
TURN_WAIT_MAX: Final = LOOK_TO_SEND_MAX / 2
"""How long a message may wait for its turn at the provider account."""

Compose = Callable[[Session, Contact, Look, datetime], Message]
"""Renders a message: the only moment at which a name, a number and an amount meet."""
Brief = Callable[[Session, Contact, Look], str]
"""Fills in a task's script for whoever works it: the same moment, for people."""
Said = Callable[[Session, Contact], Mapping[str, FactValue]]
"""What the text of a contact that no rule asked for says, as far as the gate may ask about it."""
Situations = Callable[[Sequence[int], datetime], Mapping[int, Fresh]]
"""Borrower ids and now -> borrower id -> the borrower on fresh facts."""


@dataclass(frozen=True, slots=True)
class Lane:
    """
    How fast the provider accounts of a lane may be used, and how much.

    Attributes:
        at_once: sends under way at the same time, of one process.
        per_second: of all processes together; None: as fast as it goes.
        per_day: account -> how many messages it may take a calendar day, of all processes together; None: as many as
            there are. No account: nobody counts.
    """

    at_once: int = 4
    per_second: float | None = None
    per_day: Mapping[str, int | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outward:
    """
    Where messages leave, and who may be reached at all.

    Attributes:
        adapters: lane -> adapter; a lane is called as its channel, and `recorded_call` is that of recorded calls.
        stand_in: the adapters lead to stand-ins on this machine, not to people. Said by whoever made them; an
            address on this machine proves nothing, since a relay may listen there.
        allow_list: numbers and addresses that may be reached outside production.
        lanes: name -> how fast; one that is missing is the usual.
        send_seconds_max: a send that takes longer is broken off, and in doubt if it was handed over.
        zone: the lender's, whose calendar days the accounts' budgets are for.
    """

    adapters: Mapping[str, Adapter]
    stand_in: bool = False
    allow_list: frozenset[str] = frozenset()
    lanes: Mapping[str, Lane] = field(default_factory=dict)
    send_seconds_max: float = 60
    zone: str = "UTC"

    def lane(self, name: str) -> Lane:
        """How fast a lane may be used."""
        return self.lanes.get(name, Lane())


@dataclass(frozen=True, slots=True)
class Door:
    """Everything that is needed to let a contact out, wired once."""

    database: Database
    rulebook: Rulebook
    gate: Gate
    matcher: Matcher
    situations: Situations
    compose: Compose
    brief: Brief
    dates: PackDates
    outward: Outward
    worker: str
    said: Said = lambda _session, _contact: {}
    queues: Mapping[str, Queue] = field(default_factory=dict)


@dataclass(slots=True)
class Dispatched:
    """
    What came of a dispatch.

    Attributes:
        counts: contacts by what became of them: claimed, sent, handed over, failed, retry, unknown, delayed,
            cancelled, unsayable, expired, redo, waiting; and `unknown.zone` and the like, by what was not known.
        problems: why a whole channel stood still.
    """

    counts: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Reach:
    """Whom this database may reach: everybody, or the few of an allow list."""

    everybody: bool
    allowed: frozenset[str] = frozenset()

    def covers(self, value: str | None) -> bool:
        """Whether this number or address may be reached; a contact without one may not."""
        return self.everybody or (value is not None and _plain(value) in self.allowed)


def reach(door: Door, session: Session) -> Reach:
    """
    Whom we may reach now. Asked again in every transaction that lets something out: a switch stops at once.

    Raises:
        SettingsError: the brake is on, sending is off, or this database is not the one declared to be production
            and no allow list is given.
    """
    check_brake(session)
    if door.outward.stand_in:
        return Reach(everybody=True)
    if read_setting(session, "sending") != "on":
        raise SettingsError(Problem("sending is off", "run `duecourse db environment --sending on`"))
    production = is_production(door.database, session)
    if production is None:
        what = "this database says it is production, and it is a copy of the one that was told so"
        mend = "run `duecourse db environment development`; or `... production` if it has taken the other's place"
        raise SettingsError(Problem(what, mend))
    if production:
        return Reach(everybody=True)
    allowed = frozenset(_plain(value) for value in door.outward.allow_list)
    if not allowed:
        what = f"this database says it is `{read_setting(session, 'environment')}`, so real people are not reached"
        mend = "run `duecourse db environment production`, or name test addresses in `allow_list`"
        raise SettingsError(Problem(what, mend))
    return Reach(everybody=False, allowed=allowed)


def without_provider(door: Door, session: Session, wanted: Sequence[str], now: datetime) -> list[Problem]:
    """What is due in lanes that nothing is set up for."""
    problems = []
    for lane in (lane for lane in wanted if lane not in door.outward.adapters):
        if count := due_in(session, lane, now):
            what = f"{count} {_plainly(lane)} contacts are due, and no {_plainly(lane)} provider is set up"
            problems.append(Problem(what, f"write `{_SETTINGS[lane]}:` in duecourse.yaml"))
    return problems


def due_in(session: Session, lane: str, now: datetime) -> int:
    """How many contacts are due in a lane."""
    due = select(func.count()).where(
        col(Contact.status) == "planned",
        lanes() == lane,
        col(Contact.not_before_at) <= now,
        col(Contact.expires_at) > now,
    )
    return session.exec(due).one()


async def close_all(adapters: Collection[Adapter]) -> None:
    """Let go of every connection, all at once; a provider that does not let go keeps nobody waiting for long."""

    async def close(adapter: Adapter) -> None:
        try:
            async with asyncio.timeout(_CLOSE_SECONDS_MAX):
                await adapter.close()
        except Exception as error:  # noqa: BLE001 - everything is written down by then, and the next run opens new ones
            extra = {"action": "close_failed", "provider": adapter.name, "error": type(error).__name__}
            log.warning("a provider's connections could not be closed in order", extra=extra)

    await asyncio.gather(*(close(adapter) for adapter in adapters))


def out_of_reach(lane: str, count: int) -> Problem:
    """What is said when messages could not be handed over because nobody answered at the provider's address."""
    what = f"{count} {_plainly(lane)} contacts wait: the {_plainly(lane)} provider cannot be reached"
    return Problem(what, f"check the network and `{_SETTINGS[lane]}:` in duecourse.yaml; they are tried again")


def _plainly(lane: str) -> str:
    return lane.replace("_", " ")


def _plain(value: str) -> str:
    return "".join(address_text(value).split()).casefold()
