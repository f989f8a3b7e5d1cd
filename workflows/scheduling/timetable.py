"""When each job runs, how it last ran and who holds it back: what people and monitors are told of the schedule."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlmodel import Session

from engine.errors import DataError, Problem, unknown_name
from store import jobs
from store.db import Database
from store.tables import Job
from workflows.scheduling.jobs import Entry, due_at

LATE: Final = timedelta(minutes=10)
"""How long after its time a job must have begun: longer than any pause between two looks of a scheduler."""


@dataclass(frozen=True, slots=True)
class Line:
    """
    One job of the schedule.

    Attributes:
        next_at: its next time; in the past where it was missed. None: no scheduler has seen it yet, or it runs.
        job: how it last ran; None: nobody has seen it yet.
        overdue: it should have begun, and nobody holds it back.
    """

    entry: Entry
    next_at: datetime | None
    job: Job | None
    pause: jobs.Pause | None
    overdue: bool

    @property
    def seconds(self) -> float | None:
        """How long its last run took; None: it never ran, or has not ended."""
        if self.job is None or self.job.began_at is None or self.job.ended_at is None:
            return None
        return (self.job.ended_at - self.job.began_at).total_seconds()


def timetable(session: Session, entries: Mapping[str, Entry], now: datetime) -> list[Line]:
    """Every job of the schedule, in its order."""
    known, paused = jobs.jobs(session), jobs.pauses(session, now)
    return [_line(entry, known.get(name), paused.get(name), now) for name, entry in entries.items()]


def _line(entry: Entry, job: Job | None, pause: jobs.Pause | None, now: datetime) -> Line:
    if job is None:
        return Line(entry, None, None, pause, overdue=False)
    if job.state == "running":
        return Line(entry, None, job, pause, overdue=False)
    due = due_at(entry, job, now)
    # One that was stopped half-way is due at once; since when, its end says.
    late_since = job.ended_at if job.state == "stopped" and job.ended_at is not None else due
    return Line(entry, due, job, pause, overdue=pause is None and now - late_since > LATE)


def pause_job(
    database: Database,
    entries: Mapping[str, Entry],
    name: str,
    *,
    by: str,
    because: str,
    until: datetime | None,
    now: datetime,
) -> None:
    """
    Hold a job back. What of it runs ends at its next safe point.

    Raises:
        DataError: there is no such job, it is held back already, no reason is given, or the end lies in the past.
    """
    refuse_unknown(entries, name)
    _refuse_empty("by", by)
    _refuse_empty("because", because)
    if until is not None and until <= now:
        raise DataError(Problem(f"{until:%Y-%m-%d %H:%M}Z is over", "name an instant to come, or leave `--until` out"))
    with database.write() as session:
        if found := jobs.pauses(session, now).get(name):
            raise DataError(paused(name, found))
        jobs.pause(session, name, by=by, because=because, until=until, now=now)


def resume_job(
    database: Database, entries: Mapping[str, Entry], name: str, *, by: str, because: str, now: datetime
) -> Line:
    """
    Let a job go on; times that it missed come to one run, now.

    Raises:
        DataError: there is no such job, or nobody holds it back.
    """
    refuse_unknown(entries, name)
    _refuse_empty("by", by)
    with database.write() as session:
        if name not in jobs.pauses(session, now):
            raise DataError(Problem(f"job `{name}` is not paused", "`duecourse schedule list` shows what is"))
        jobs.resume(session, name, by=by, because=because, now=now)
    with database.session() as session:
        return next(line for line in timetable(session, entries, now) if line.entry.name == name)


def refuse_paused(database: Database, name: str, now: datetime) -> None:
    """Raises DataError, which says who holds the job back, where somebody does."""
    with database.session() as session:
        found = jobs.pauses(session, now).get(name)
    if found is not None:
        raise DataError(paused(name, found))


def refuse_unknown(entries: Mapping[str, Entry], name: str) -> None:
    """Raises DataError where the schedule has no such job."""
    if name not in entries:
        mend = f"the schedule has {', '.join(entries)}" if entries else "write it into config/schedule.yaml"
        raise DataError(unknown_name("job", name, entries, at=None, otherwise=mend))


def paused(name: str, pause: jobs.Pause) -> Problem:
    """Who holds it back, since when and why."""
    until = f" until {pause.until:%Y-%m-%d %H:%M}Z" if pause.until is not None else ""
    what = f"job `{name}` is paused by {pause.by} since {pause.at:%Y-%m-%d %H:%M}Z{until}: {pause.because}"
    return Problem(what, f"`duecourse schedule resume {name}` lets it go on")


def _refuse_empty(option: str, said: str) -> None:
    if not said.strip():
        raise DataError(Problem(f"`--{option}` says nothing", "others have to understand it later"))
