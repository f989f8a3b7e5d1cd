"""The demo's borrowers, banks and agents, who can also do the worst at the worst moment."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from duecourse.demo.world import World
from workflows.desk.asking import Wanted
from workflows.desk.by_hand import record
from workflows.desk.sayings import Learnt, read_saying
from workflows.desk.tasks import waiting
from workflows.importing import KINDS, import_file

_PLACES: Final[Mapping[str, tuple[str, ...]]] = {
    "CN": ("Asia/Shanghai", "Asia/Urumqi"),
    "US": ("America/New_York", "America/Chicago", "America/Los_Angeles", "Pacific/Honolulu"),
}
_LIVE: Final = (
    "select contact.loan_id, loan.ref, person.ref, endpoint.value from contact"
    " join loan on loan.id = contact.loan_id join person on person.id = contact.person_id"
    " left join endpoint on endpoint.id = contact.endpoint_id"
    " where contact.status in ('claimed', 'sending') or (contact.status = 'planned' and contact.not_before_at <= :soon)"
    " order by contact.status = 'planned', contact.id limit 6"
)


@dataclass(frozen=True, slots=True)
class Target:
    """Somebody who is about to hear from us."""

    loan_id: int
    loan: str
    person: str
    number: str | None


@dataclass
class Town(World):
    """
    Everybody outside. Files are written at once and imported by whoever is asked to, once more where that broke off.

    Attributes:
        folk: the rows of `people.csv`, by reference.
    """

    folk: dict[str, dict[str, str]] = field(default_factory=dict)
    said: int = 0

    def learn_names(self, book: Path) -> None:
        """Read who lives here."""
        with (book / "people.csv").open(encoding="utf-8", newline="") as file:
            self.folk = {row["ref"]: row for row in csv.DictReader(file)}

    def targets(self, soon: datetime) -> list[Target]:
        """Those to whom something is leaving now, or is due by then; most pressing first."""
        with self.works.database.session() as session:
            found = session.connection().exec_driver_sql(_LIVE.replace(":soon", str(int(soon.timestamp() * 1e6))))
            opened = self.works.database.sealing.unseal
            return [Target(*row, sealed and opened("endpoint.value", sealed)) for *row, sealed in found]

    def pays_up(self, loan_id: int, day: date, now: datetime) -> Path:
        """Somebody pays everything at once: the file that says so."""
        overdue, due = self._claims(day).get(loan_id, (0, 0))
        # An account's statement of the day is out already: what is paid now is of tomorrow's.
        on = day + timedelta(days=loan_id in self.accounts)
        row = self._payment(loan_id, max(1, overdue + due), on, now)
        self._book([row], day)
        return self._write("movements", [row], now)

    def many_pay(self, targets: Iterable[Target], day: date, now: datetime) -> Path:
        """A bank's file, in which several pay everything at once."""
        rows = []
        claims = self._claims(day)
        for loan_id in {target.loan_id: None for target in targets}:
            overdue, due = claims.get(loan_id, (0, 0))
            rows.append(
                self._payment(loan_id, max(1, overdue + due), day + timedelta(days=loan_id in self.accounts), now)
            )
        self._book(rows, day)
        return self._write("movements", rows, now)

    def tells(self, target: Target, words: str, now: datetime) -> None:
        """Somebody calls, and says to the agent who picks up what the ledger of consents is to hold."""
        wanted = Wanted(target.loan, "call", person=target.person)
        record(
            self.works.door, wanted, "conversation", direction="in", agent="agent-1", at=now, now=now,
            learnt=Learnt((read_saying(words),)), live=True,
        )  # fmt: skip

    def speaks(self, person: str, kind: str, now: datetime) -> Path:
        """Somebody tells the lender's other office to stop: its file of consents."""
        return self._file("consents", now, person=person, kind=kind, channels="", received_at=now.isoformat())

    def disputes(self, person: str, loan: str, now: datetime) -> Path:
        """A dispute is written down elsewhere: the file of holds."""
        until = (now + timedelta(days=30)).date().isoformat()
        return self._file(
            "holds", now, person=person, loan=loan, kind="dispute", form="oral", owner="desk", review_on=until,
            starts_at=now.isoformat(),
        )  # fmt: skip

    def moves(self, person: str, chance: Random, now: datetime) -> Path:
        """Somebody moves to another zone: the file of people."""
        row = self.folk[person]
        row["zones"] = chance.choice(_PLACES[row["country"]])
        return self._write("people", [dict(row)], now)

    def work(self, now: datetime) -> None:
        """Whoever takes a task looks first, however long it has waited."""
        with self.works.database.session() as session:
            self.left |= {task.id for task in waiting(session, queue=None, now=now)}
        super().work(now)

    def take_in(self, kind: str, path: Path, now: datetime) -> None:
        """Import a file, by the clock of whoever does it."""
        works = self.works
        import_file(works.database, KINDS[kind], path, as_of=now, now=now, catalogue=works.workspace.catalogue)

    def _file(self, file: str, now: datetime, **row: object) -> Path:
        self.said += 1
        return self._write(file, [{"ref": f"town-{self.said}", **row}], now)

    def _write(self, kind: str, rows: list[dict[str, object]], now: datetime) -> Path:
        # Several files of a kind can be of one minute here.
        path = super()._write(kind, rows, now)
        self.said += 1
        return path.rename(path.with_name(f"{path.stem}-{self.said}.csv"))
