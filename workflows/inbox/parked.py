"""What came from outside, or is news for the rules, and waits for a person because it could not be handled."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlmodel import Session, col, select

from engine.errors import DataError, Problem
from store import inbox
from store.tables import Event


@dataclass(frozen=True, slots=True)
class Parked:
    """
    One thing that waits.

    Attributes:
        id: `A12` for something in the inbox, `E12` for news for the rules.
        private: what identifies somebody, or what they wrote; shown to whoever looks at this one.
    """

    id: str
    at: datetime
    source: str
    kind: str
    why: str
    detail: str
    private: dict[str, str] = field(default_factory=dict)


def parked(session: Session) -> list[Parked]:
    """Everything that waits, oldest first."""
    found = [
        Parked(f"A{one.id}", one.recorded_at, one.source, one.kind, one.why, one.detail_json, inbox.private_of(one))
        for one in inbox.parked(session)
    ]
    news = session.exec(select(Event).where(col(Event.parked).is_not(None), col(Event.run_id).is_(None)))
    found += [
        Parked(f"E{one.id}", one.recorded_at, one.source, one.kind, one.parked or "", one.detail_json) for one in news
    ]
    return sorted(found, key=lambda one: (one.at, one.id))


def retry(session: Session, ids: Sequence[str], *, now: datetime) -> int:
    """
    Let these be handled once more; returns how many.

    Raises:
        DataError: one of them does not wait for a person.
    """
    waits = {one.id for one in parked(session)}
    for one in ids:
        if one not in waits:
            raise DataError(_not_parked(one))
    again = inbox.try_again(session, [int(one[1:]) for one in ids if one[0] == "A"], now=now)
    events = [int(one[1:]) for one in ids if one[0] == "E"]
    for event in session.exec(select(Event).where(col(Event.id).in_(events))):
        event.parked = None
        session.add(event)
    return again + len(events)


def close(session: Session, one: str, *, by: str, now: datetime) -> None:
    """
    Somebody has looked, and has done what follows; what it said about a person is erased.

    Raises:
        DataError: it does not wait for a person in the inbox.
    """
    number = one[1:]
    known = one[:1] == "A" and number.isdecimal()
    if not known or not inbox.settle(session, int(number), "closed", f"looked at by {by}", now=now):
        raise DataError(_not_parked(one))


def _not_parked(one: str) -> Problem:
    return Problem(f"nothing parked is called `{one}`", "`duecourse inbox list` shows what is")
