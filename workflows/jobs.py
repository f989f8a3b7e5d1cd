"""The jobs of a schedule and when each of them runs: what its file holds. `workflows.schedule` runs them."""

from dataclasses import dataclass
from typing import Final

JOBS: Final = ("promises", "duties", "sweep", "mailbox", "events", "dispatch", "reconcile", "log", "match")


@dataclass(frozen=True, slots=True)
class Entry:
    """One job and when it runs: a cron entry in a zone."""

    name: str
    cron: str
    zone: str

    def __str__(self) -> str:
        return f"{self.name} {self.cron} {self.zone}"
