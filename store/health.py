"""
What stands still, waits or went wrong in the book, as counts: for whoever watches it, every few seconds.

Each question goes by an index to what it is about, and never through a table that only grows.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, or_, text
from sqlmodel import Session, col, select

from store.outbox import IMPORTED, lanes
from store.tables import Arrival, Contact, ContactStatus, Event, Feed, LogCheckpoint, LogQueue, Run, Setting


@dataclass(frozen=True, slots=True)
class Backlog:
    """
    What waits to leave by one lane, which is called as its channel but for recorded calls.

    Attributes:
        due, since: what should have gone by now, and the oldest of it; None: nothing is.
        later: what is planned for later.
    """

    channel: str
    due: int
    since: datetime | None
    later: int


@dataclass(frozen=True, slots=True)
class Leaving:
    """What workers have in hand; `lapsed`: of these, how many longer than they may, and the oldest of them."""

    in_hand: int
    lapsed: int
    since: datetime | None


@dataclass(frozen=True, slots=True)
class Failures:
    """How many contacts failed, by channel, who carried them, and their code; empty: they gave none."""

    channel: str
    provider: str
    code: str
    count: int


@dataclass(frozen=True, slots=True)
class Inbox:
    """What came from outside: how much waits, since when, and how much is parked for a person, news for the rules included."""

    waiting: int
    since: datetime | None
    parked: int


@dataclass(frozen=True, slots=True)
class Log:
    """How many entries have no position yet, and the last signed checkpoint; None: there is none."""

    unsequenced: int
    checkpoint: int | None
    signed_at: datetime | None


def backlog(session: Session, now: datetime) -> list[Backlog]:
    """What is planned, has not left, and is not past its time, by lane."""
    lane = lanes()
    due = col(Contact.not_before_at) <= now
    wanted = (
        select(
            lane,
            func.count().filter(due),
            func.min(Contact.not_before_at).filter(due),
            func.count().filter(col(Contact.not_before_at) > now),
        )
        .where(col(Contact.status) == "planned", col(Contact.expires_at) > now)
        .group_by(lane)
        .order_by(lane)
    )
    return [Backlog(*row) for row in session.exec(wanted)]


def leaving(session: Session, now: datetime) -> Leaving:
    """What is claimed or being sent."""
    lapsed = col(Contact.claimed_until_at) <= now
    wanted = select(func.count(), func.count().filter(lapsed), func.min(Contact.claimed_until_at).filter(lapsed))
    return Leaving(*session.exec(wanted.where(col(Contact.status).in_(("claimed", "sending")))).one())


def in_doubt(session: Session) -> list[Contact]:
    """Contacts that may or may not have been made, the oldest first."""
    wanted = select(Contact).where(col(Contact.status) == "unknown", col(Contact.direction) == "out")
    found = list(session.exec(wanted.order_by(col(Contact.at), col(Contact.id))))
    session.expunge_all()
    return found


def failures(session: Session, since: datetime) -> list[Failures]:
    """What failed after an instant, the most frequent first."""
    count = func.count(func.distinct(Contact.id))
    by = (col(Contact.channel), col(Contact.provider), col(Contact.error))
    wanted = (
        select(*by, count)
        .join(ContactStatus, col(ContactStatus.contact_id) == col(Contact.id))
        # Written out: an index of some rows is not used for a value that may be another one.
        .where(text("contact_status.status = 'failed'"), col(ContactStatus.at) > since)
        # What an import tells of was made elsewhere, and failed long ago.
        .where(col(Contact.id).not_like(f"{IMPORTED}%"))
        .group_by(*by)
        .order_by(count.desc(), *by)
    )
    rows = session.exec(wanted)
    return [Failures(channel, provider or "", code or "", number) for channel, provider, code, number in rows]


def inbox(session: Session) -> Inbox:
    """What came in and is not done with."""
    waits = col(Arrival.state) == "waiting"
    wanted = select(
        func.count().filter(waits), func.min(Arrival.recorded_at).filter(waits), func.count().filter(~waits)
    ).where(col(Arrival.state).in_(("waiting", "parked")))
    waiting, since, parked = session.exec(wanted).one()
    news = select(func.count(), func.count(col(Event.parked))).where(col(Event.run_id).is_(None))
    undecided, held = session.exec(news).one()
    return Inbox(waiting + undecided - held, since, parked + held)


def feeds(session: Session) -> Mapping[str, datetime]:
    """Of when the newest import of each kind of file is."""
    newest = select(Feed.kind, func.max(Feed.as_of_at)).where(col(Feed.status) == "done").group_by(col(Feed.kind))
    return dict(session.exec(newest.order_by(col(Feed.kind))).all())


def log(session: Session) -> Log:
    """How far the log is."""
    unsequenced = session.exec(select(func.count()).select_from(LogQueue)).one()
    last = session.exec(select(LogCheckpoint).order_by(col(LogCheckpoint.number).desc()).limit(1)).first()
    return Log(unsequenced, last.number if last else None, last.at if last else None)


def brakes(session: Session) -> Mapping[str, str]:
    """Why everything, or a channel, stands still: `all` or the channel -> why."""
    wanted = select(Setting.name, Setting.value).where(
        or_(col(Setting.name) == "brake", col(Setting.name).like("brake.%"))
    )
    return {name.partition(".")[2] or "all": why for name, why in session.exec(wanted.order_by(col(Setting.name)))}


def sweep_not_ended(session: Session) -> datetime | None:
    """When the newest sweep was begun, where it has not ended: what it planned waits for that."""
    newest = select(Run.status, Run.started_at).where(col(Run.kind) == "sweep").order_by(col(Run.id).desc()).limit(1)
    status, at = session.exec(newest).first() or ("done", None)
    return at if status in ("running", "stopped") else None


def last_sweep(session: Session) -> Mapping[str, int]:
    """What the newest sweep counted; empty: there was none."""
    newest = select(Run.counts_json).where(col(Run.kind) == "sweep").order_by(col(Run.id).desc()).limit(1)
    counts = session.exec(newest).first()
    found: dict[str, int] = json.loads(counts) if counts else {}
    return found
