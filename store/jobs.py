"""The jobs of the schedule as the database knows them: how each last ran, and whether somebody holds it back."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import bindparam, func, text
from sqlmodel import Session, col, select

from store.columns import Instant
from store.tables import Job, JobAct

Ended = Literal["done", "refused", "failed", "stopped"]


@dataclass(frozen=True, slots=True)
class Pause:
    """Who holds a job back, since when, why, and until when; None: until somebody lets it go on."""

    by: str
    at: datetime
    because: str
    until: datetime | None


def know(session: Session, names: Collection[str], *, now: datetime) -> None:
    """Write down jobs that nobody has seen yet; needs a session that writes."""
    insert = text(
        "insert into job (name, known_at, state, why, by, failures) values (:name, :now, 'new', '', '', 0) "
        "on conflict do nothing"
    ).bindparams(bindparam("now", type_=Instant))
    for name in names:
        session.execute(insert, {"name": name, "now": now})


def jobs(session: Session) -> dict[str, Job]:
    """Every job that a scheduler or a person has begun or seen, by name."""
    found = {job.name: job for job in session.exec(select(Job))}
    session.expunge_all()
    return found


def begin(session: Session, name: str, *, by: str, now: datetime) -> None:
    """A run begins, by this process."""
    know(session, [name], now=now)
    job = session.get_one(Job, name)
    job.state, job.why, job.by, job.began_at, job.ended_at = "running", "", by, now, None


def end(session: Session, name: str, state: Ended, why: str, *, now: datetime) -> None:
    """
    It ended.

    Args:
        why: where it did not end well, in words without personal data.
    """
    job = session.get_one(Job, name)
    job.state, job.why, job.ended_at = state, why, now
    if state == "done":
        job.done_at, job.failures = now, 0
    elif state != "stopped":
        job.failures += 1


def pauses(session: Session, now: datetime) -> dict[str, Pause]:
    """Who holds back which job now."""
    latest = select(func.max(JobAct.id)).group_by(col(JobAct.job))
    return {
        act.job: Pause(act.by, act.at, act.because, act.until_at)
        for act in session.exec(select(JobAct).where(col(JobAct.id).in_(latest)))
        if act.act == "pause" and (act.until_at is None or now < act.until_at)
    }


def pause(session: Session, name: str, *, by: str, because: str, until: datetime | None, now: datetime) -> None:
    """Hold a job back, until an instant or until somebody lets it go on."""
    session.add(JobAct(job=name, act="pause", at=now, by=by, because=because, until_at=until))


def resume(session: Session, name: str, *, by: str, because: str, now: datetime) -> None:
    """Let it go on."""
    session.add(JobAct(job=name, act="resume", at=now, by=by, because=because))
