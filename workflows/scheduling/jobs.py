"""The jobs of a schedule and when each of them is due: what its file holds. `workflows.scheduling.schedule` runs them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from store.tables import Job

JOBS: Final = ("promises", "duties", "sweep", "mailbox", "events", "dispatch", "reconcile", "log", "match", "tidy")


@dataclass(frozen=True, slots=True)
class Entry:
    """
    One job and when it runs: a cron entry in a zone.

    Where clocks change, an entry with a fixed hour runs once a day: at the end of the hour that is left out, in the first of
    the two that are the same. One that recurs within the hour goes on at its pace.
    """

    name: str
    cron: str
    zone: str

    def after(self, at: datetime) -> Iterator[datetime]:
        """Its times after an instant, UTC, one after the other."""
        from cronsim import CronSim

        return (time.astimezone(UTC) for time in CronSim(self.cron, at.astimezone(ZoneInfo(self.zone))))

    def __str__(self) -> str:
        return f"{self.name} {self.cron} {self.zone}"


def due_at(entry: Entry, job: "Job", now: datetime) -> datetime:
    """
    When a job runs next: the first of its times since it last began, so that however many were missed it runs once.

    One that was broken off is due at once. A beginning in the future was written by a clock that has been set back since.
    """
    if job.state in ("running", "stopped"):
        return now
    return next(entry.after(min(job.began_at or job.known_at, now)))


def missed(entry: Entry, job: "Job", now: datetime, *, most: int = 1000) -> int:
    """How many of its times have passed since it last began, before the one that it runs for now; counted up to `most`."""
    passed = 0
    for time in entry.after(min(job.began_at or job.known_at, now)):
        if time > now or passed > most:
            break
        passed += 1
    return max(0, passed - 1)
