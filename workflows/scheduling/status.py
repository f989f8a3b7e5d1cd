"""How it stands: what waits, what is in doubt, what failed, how the jobs ran, and what of it somebody has to look at."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from engine.errors import Problem
from store import health
from store.budgets import Spent, spent
from store.db import Database
from store.identity import is_production
from store.lock import holder
from store.migrations import HEAD
from store.outbox import is_task
from store.settings import read_setting
from store.tables import Contact
from workflows.alerts import PREFIX
from workflows.scheduling.jobs import Entry
from workflows.scheduling.schedule import LOCK
from workflows.scheduling.timetable import Line, paused, timetable
from workflows.sending.budget import all_used_up
from workflows.sending.reconcile import doubts_of

DAY: Final = timedelta(days=1)
LATE_MAX: Final = timedelta(hours=2)
"""How long what is due may wait: a big morning's messages take their time at the rate a carrier allows."""
_LAPSED_MAX: Final = timedelta(minutes=10)
"""How long a lease may be over: dispatch takes such contacts up again every few minutes."""
_RUNS_MAX: Final = timedelta(hours=6)
_AGES: Final = (("under an hour", timedelta(hours=1)), ("under a day", DAY), ("older", timedelta.max))


@dataclass(frozen=True, slots=True)
class Doubt:
    """
    A contact that may or may not have been made.

    Attributes:
        owner: who has to find out: whoever had the task in hand, or for a message who is named in the settings.
        left: nobody is asked about it any more, and a person has to settle it.
    """

    contact: str
    channel: str
    since: datetime
    owner: str
    left: bool


@dataclass(frozen=True, slots=True)
class Status:
    """
    How it stands at an instant.

    Attributes:
        production: whether the database says that it may reach real people; None: it is a copy of one that does.
        sending: the switch.
        acting: which process keeps the schedule; None: none does.
        failures: of the last 24 hours.
        feeds: kind of file -> of when its newest content is.
        sweep: what the newest sweep counted.
        broken_off: when the newest sweep was begun, where it has not ended and nobody is at it.
        spent: what provider accounts have taken of their day.
        problems: what somebody has to look at; none: all is well.
    """

    at: datetime
    schema: int
    production: bool | None
    sending: bool
    brakes: Mapping[str, str]
    acting: str | None
    jobs: Sequence[Line]
    backlog: Sequence[health.Backlog]
    leaving: health.Leaving
    doubts: Sequence[Doubt]
    failures: Sequence[health.Failures]
    inbox: health.Inbox
    feeds: Mapping[str, datetime]
    log: health.Log
    sweep: Mapping[str, int]
    broken_off: datetime | None = None
    spent: Sequence[Spent] = ()
    problems: Sequence[Problem] = ()

    def doubts_by_age(self) -> Mapping[str, int]:
        """How many are in doubt, by how long."""
        counts = {name: 0 for name, _ in _AGES}
        for doubt in self.doubts:
            counts[next(name for name, below in _AGES if self.at - doubt.since < below)] += 1
        return counts


def status(database: Database, entries: Mapping[str, Entry], *, owner: str, now: datetime) -> Status:
    """
    How it stands now; quick, however big the book.

    Args:
        owner: who settles messages in doubt.
    Raises:
        StoreError: the database cannot be read.
    """
    acting, sweeping = holder(database, LOCK), holder(database, "sweep")
    with database.session() as session:
        found = Status(
            at=now,
            schema=HEAD,
            production=is_production(database, session),
            sending=read_setting(session, "sending") == "on",
            brakes=health.brakes(session),
            acting=acting,
            jobs=timetable(session, entries, now),
            backlog=health.backlog(session, now),
            leaving=health.leaving(session, now),
            doubts=doubts(session, owner=owner, now=now),
            failures=health.failures(session, now - DAY),
            inbox=health.inbox(session),
            feeds=health.feeds(session),
            log=health.log(session),
            sweep=health.last_sweep(session),
            broken_off=None if sweeping else health.sweep_not_ended(session),
            spent=spent(session, now),
        )
    return replace(found, problems=tuple(_problems(found)))


def doubts(session: Session, *, owner: str, now: datetime) -> list[Doubt]:
    """
    Every contact in doubt, the oldest first.

    Args:
        owner: who settles messages.
    """
    found = doubts_of(session, health.in_doubt(session))
    return [_doubt(one.contact, owner, left=one.is_left(now)) for one in found]


def _doubt(contact: Contact, owner: str, *, left: bool) -> Doubt:
    task = is_task(contact)
    hands = (contact.claimed_by or "").partition(":")[2] if task else ""
    return Doubt(contact.id, contact.channel, contact.at, hands or owner, task or left)


def _problems(found: Status) -> Iterator[Problem]:
    yield from _of_jobs(found)
    if found.production and not found.sending:
        yield Problem("sending is off", "run `duecourse db environment --sending on`, if that is over")
    if found.production is None:
        yield Problem("this is a copy of a production database", "say what it is: `duecourse db environment`")
    for what, why in found.brakes.items():
        about = "the brake is on" if what == "all" else f"{what} stands still"
        yield Problem(f"{about}: {why}", "mend that, then run `duecourse dispatch --release`")
    yield from _of_contacts(found)
    if found.inbox.parked:
        what = f"{found.inbox.parked} things from outside are parked"
        yield Problem(what, "`duecourse inbox list` says why")
    if found.broken_off is not None:
        waiting = found.sweep.get("contacts", 0)
        what = f"the sweep of {_minute(found.broken_off)} was broken off, and the {waiting} contacts it planned wait"
        yield Problem(what, "run `duecourse sweep`: it goes on, and then they leave")
    if stale := found.sweep.get("outcome.stale_feed", 0):
        what = f"the newest sweep left {stale} loans alone, because the payment feed was too old"
        yield Problem(what, "import the payments")
    for name, count in sorted(found.sweep.items()):
        if name.startswith(PREFIX):
            kind = name.removeprefix(PREFIX)
            what = f"the newest sweep contacted nobody {count} times, because something is not known: {kind}"
            yield Problem(
                what, f"`duecourse log --verdict gate.unknown.{kind}` lists the loans; import what is missing"
            )
    signed = found.log.signed_at
    if found.log.unsequenced and signed is not None and found.at - signed > DAY:
        what = f"the log was last signed at {_minute(signed)}"
        yield Problem(what, "see why the job `log` does not run: `duecourse schedule list`")


def _of_jobs(found: Status) -> Iterator[Problem]:
    if found.acting is None and found.jobs:
        yield Problem("no scheduler acts", "start `duecourse serve`")
    for line in found.jobs:
        name, job, pause = line.entry.name, line.job, line.pause
        if line.overdue and line.next_at is not None:
            yield Problem(f"job `{name}` is overdue since {_minute(line.next_at)}", "see whether its scheduler lives")
        if pause is not None and found.at - pause.at > DAY:
            yield paused(name, pause)
        if job is None:
            continue
        if job.state in ("refused", "failed"):
            yield Problem(f"job `{name}` did not end well: {job.why}", "mend that; it runs again at its next time")
        if job.state == "running" and job.began_at is not None and found.at - job.began_at > _RUNS_MAX:
            what = f"job `{name}` runs since {_minute(job.began_at)} ({job.by})"
            yield Problem(what, "see what it waits for")


def _of_contacts(found: Status) -> Iterator[Problem]:
    yield from all_used_up(found.spent, {waits.channel: waits.due for waits in found.backlog})
    if found.sending:
        for waits in found.backlog:
            if waits.since is not None and found.at - waits.since > LATE_MAX:
                what = f"{waits.due} {waits.channel} contacts are due, the oldest since {_minute(waits.since)}"
                yield Problem(what, "see what holds the job `dispatch` up: `duecourse schedule list`")
    lapsed = found.leaving
    if lapsed.since is not None and found.at - lapsed.since > _LAPSED_MAX:
        what = f"{lapsed.lapsed} contacts were left half-way by a worker, the oldest at {_minute(lapsed.since)}"
        yield Problem(what, "dispatch takes them up again: see whether it runs")
    owners = Counter(doubt.owner for doubt in found.doubts if doubt.left)
    for owner, count in sorted(owners.items()):
        what = f"{count} contacts in doubt are for {owner} to settle"
        yield Problem(what, "`duecourse reconcile list` shows them")


def _minute(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"
