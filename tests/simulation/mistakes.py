"""
Mistakes in the product, made on purpose: each takes away one thing that keeps people from harm.

Each names the invariant that breaks, and a word of what the checker has to say.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final
from unittest.mock import patch

from sqlalchemy import false
from sqlmodel import Session, col, select

from channels.message import Receipt
from engine.gate import Ask, Gate
from store.db import Database
from store.outbox import note
from store.tables import Contact
from tests.simulation.weather import Weather
from workflows.sending import leaving, receipts
from workflows.sending.door import Door, Reach
from workflows.sending.receipts import Answered


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: how it is made, the weather that shows it, which invariant it breaks, and what is said of it."""

    invariant: str
    says: str
    weather: Weather
    made: Callable[[], AbstractContextManager[object]]


def _send_lost_ones_again(database: Database, *, now: datetime) -> list[str]:
    """What a dead worker had in hand is taken for unsent."""
    with database.write() as session:
        lost = select(Contact).where(col(Contact.status) == "sending", col(Contact.claimed_until_at) <= now)
        for contact in session.exec(lost):
            contact.status = "planned"
            session.add(contact)
            note(session, contact, at=now, why="once more")
    return []


def _believe_in_silence(database: Database, answered: Sequence[Answered], dates: Any) -> Any:
    """A lost answer is taken for a no."""

    def heard(receipt: Receipt | None) -> Receipt | None:
        unknown = receipt is not None and receipt.status == "unknown"
        return replace(receipt, status="retry", meaning="try_later") if unknown and receipt is not None else receipt

    return _record_receipts(database, [replace(one, receipt=heard(one.receipt)) for one in answered], dates)


def _never_moved(_one: object, _current: object) -> bool:
    """Whatever came since the second look is not looked at."""
    return False


def _forget_the_lease(now: datetime) -> Any:
    """What another worker has claimed is taken from it."""
    del now
    return col(Contact.status).in_(("planned", "claimed", "sending"))


def _nobody(_now: datetime) -> Any:
    """Nobody has anything leaving."""
    return false()


def _hold_to_the_end(_gate: Gate, _ask: Ask, _now: datetime, end: datetime) -> datetime:
    """A provider is told that it may hold a text for as long as the contact is good for."""
    return end


def _everybody(_door: Door, _session: Session) -> Reach:
    """Whether sending is on is not asked in the transaction that lets something out."""
    return Reach(everybody=True)


def _no_brake(*_given: object, **_named: object) -> None:
    """However much a sweep has planned, nobody has to look."""


_record_receipts = receipts.record_receipts
CALM: Final = Weather(kill=0, error=0, clock=0, intruder=0, providers=0)
BUSY: Final = replace(CALM, intruder=1 / 80)

MISTAKES: Final[Mapping[str, Mistake]] = {
    "a message in a dead worker's hands is sent again": Mistake(
        "3",
        "times",
        replace(CALM, kill=1 / 800),
        lambda: patch("workflows.sending.dispatch.give_up_on", _send_lost_ones_again),
    ),
    "a lost answer is taken for a no": Mistake(
        "3",
        "times",
        replace(CALM, providers=1),
        lambda: patch("workflows.sending.dispatch.record_receipts", _believe_in_silence),
    ),
    "what came after the second look does not count": Mistake(
        "4", "although", replace(CALM, intruder=1 / 80), lambda: patch.object(leaving, "_moved", _never_moved)
    ),
    "what another worker has in hand is taken": Mistake(
        "3",
        "times",
        replace(CALM, intruder=1 / 80),
        lambda: patch.multiple("store.outbox", _due=_forget_the_lease, _leaving=_nobody),
    ),
    "a provider may hold a text beyond its hours": Mistake(
        "1", "arrives", replace(CALM, late=1), lambda: patch("duecourse.compose.held_until", _hold_to_the_end)
    ),
    "a look is good for the moment after hours have ended": Mistake(
        "1", "21:00", replace(CALM, late=1), lambda: patch("workflows.sending.second_look.LEAVES_WITHIN", timedelta(0))
    ),
    "whether sending is on is not asked in the end": Mistake(
        "4", "while sending was off", BUSY, lambda: patch.object(leaving, "reach", _everybody)
    ),
    "a sweep that planned too much does not brake": Mistake(
        "4",
        "nobody had to look",
        replace(CALM, share_max=0.2),
        lambda: patch("workflows.deciding.sweep.apply_brake", _no_brake),
    ),
    "the brake is not heeded": Mistake(
        "4",
        "while the brake was on",
        replace(CALM, share_max=0.2),
        lambda: patch("workflows.sending.door.check_brake", _no_brake),
    ),
    "a START opens nothing": Mistake(
        "4",
        "although no refusal stood",
        replace(CALM, intruder=1 / 200),
        lambda: patch("compliance.consents.taken_back", lambda *_: False),
    ),
    "the gate is not told that a recording calls": Mistake(
        "2", "without consent to such calls", CALM, lambda: patch("engine.strategy_rule.RECORDED", {})
    ),
}
