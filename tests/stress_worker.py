"""
One process of the stress test: does its job over and over until its time is up, then prints what it did as JSON.

    python -m tests.stress_worker JOB WORKSPACE SECONDS SEED     JOB: sweep, dispatch, events, import
"""

import csv
import json
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import date, datetime
from pathlib import Path
from random import Random

from sqlmodel import col, select

from duecourse.clock import now
from duecourse.jobs import Jobs
from duecourse.workspace import open_workspace
from engine.errors import StoreError
from store.db import Database
from store.tables import Contact, ContactStatus, Loan, Person
from workflows.importing import KINDS, import_file

PAYMENTS_PER_FILE = 40
STOPS_PER_FILE = 10
PAUSE_SECONDS = 0.2

EXPECTED = (
    "a sweep is running already: ",
    "an import is running already: ",
    # Two sweeps asked for the time, and the one that asked later came first.
    "the clock went backwards: ",
)
"""What one process may tell another; anything else fails the test."""

_ASKS_BY_TEXT = (col(Contact.channel) == "sms", col(Contact.purpose) == "collect")


class Bank:
    """Writes files of payments, some of which bounce later, and some borrowers who say stop; imports each."""

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder = folder / "feeds"
        self._folder.mkdir(exist_ok=True)
        self._workspace = open_workspace(folder, {})
        self._chance = Random(seed)
        self._seed = seed
        self._paid: list[dict[str, str]] = []
        self.files = 0
        self.imported: dict[str, str] = {}
        """Ref of a movement -> its kind, once its import has ended well."""
        self.stopped: list[tuple[str, list[str]]] = []
        """Who said stop, and the texts that were on their way to them when that had been imported: the last ever."""
        with closing(self._workspace.open_database()) as database, database.session() as session:
            owned = select(Loan.ref, Person.ref).join(Person, col(Person.id) == col(Loan.borrower_id))
            self._loans = [(str(loan), str(person)) for loan, person in session.exec(owned.order_by(Loan.ref))]

    def __call__(self) -> None:
        """One file of each kind."""
        at = now()
        movements = [self._payment(at.date()) for _ in range(PAYMENTS_PER_FILE)]
        if self._paid and self._chance.random() < 0.5:
            movements.append(self._bounce(at.date()))
        stops = [{"ref": f"stop-{self._seed}-{self.files}-{person}", "person": person, "kind": "opt_out",
                  "channels": "sms", "received_at": at.isoformat()} for person in self._annoyed()]  # fmt: skip
        self._import("movements", movements, at)
        self._paid += [row for row in movements if row["kind"] == "payment"]
        self.imported |= {row["ref"]: row["kind"] for row in movements}
        self._import("consents", stops, at)
        with closing(self._workspace.open_database()) as database:
            self.stopped += [(stop["person"], texts_on_their_way(database, stop["person"])) for stop in stops]
        self.files += 1

    def _annoyed(self) -> list[str]:
        """People who are about to be sent a text, as far as there are any."""
        about_to = select(Person.ref).join(Contact, col(Contact.person_id) == col(Person.id))
        about_to = about_to.where(Contact.status == "planned", *_ASKS_BY_TEXT).distinct().order_by(Person.ref)
        with closing(self._workspace.open_database()) as database, database.session() as session:
            people = list(session.exec(about_to))
        anybody = (person for _, person in self._chance.sample(self._loans, STOPS_PER_FILE))
        return self._chance.sample(people, STOPS_PER_FILE) if len(people) >= STOPS_PER_FILE else sorted(set(anybody))

    def _payment(self, on: date) -> dict[str, str]:
        loan, _ = self._chance.choice(self._loans)
        number = len(self._paid) + self._chance.randint(1, 10**9)
        return {"ref": f"pay-{self._seed}-{number}", "loan": loan, "kind": "payment",
                "amount": str(self._chance.randint(1, 3000)), "effective_on": on.isoformat()}  # fmt: skip

    def _bounce(self, on: date) -> dict[str, str]:
        paid = self._paid.pop(self._chance.randrange(len(self._paid)))
        return {**paid, "ref": f"{paid['ref']}-back", "kind": "reversal", "ends": paid["ref"],
                "effective_on": on.isoformat()}  # fmt: skip

    def _import(self, kind: str, rows: list[dict[str, str]], at: datetime) -> None:
        path = self._folder / f"{kind}-{self._seed}-{self.files}.csv"
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [column.name for column in KINDS[kind].columns], restval="")
            writer.writeheader()
            writer.writerows(rows)
        with closing(self._workspace.open_database()) as database:
            done = import_file(database, KINDS[kind], path, as_of=at, now=at, catalogue=self._workspace.catalogue)
        assert done.rejected == 0, path.with_suffix(".csv.rejects.csv").read_text(encoding="utf-8")


def texts_on_their_way(database: Database, person: str) -> list[str]:
    """The texts that ask somebody for money and were ever committed as `sending`; a notice of duty knows no stop."""
    begun = select(ContactStatus.contact_id).where(ContactStatus.status == "sending")
    texts = select(Contact.id).join(Person, col(Person.id) == col(Contact.person_id))
    with database.session() as session:
        mine = texts.where(Person.ref == person, col(Contact.id).in_(begun), *_ASKS_BY_TEXT)
        return list(session.exec(mine.order_by(Contact.id)))


def work(job: Callable[[], None], until: float) -> Counter[str]:
    """Do it over and over; how often it was done, and how often refused for which reason."""
    done: Counter[str] = Counter()
    while time.monotonic() < until:
        try:
            job()
        except StoreError as error:
            refusal = next((words for words in EXPECTED if str(error).startswith(words)), None)
            if refusal is None:
                raise
            done[refusal] += 1
        else:
            done["done"] += 1
        # SQLite's one write lock goes to whoever asks at the right moment: who asks all the time starves the others.
        time.sleep(PAUSE_SECONDS)
    return done


def main(name: str, folder: Path, seconds: float, seed: int) -> dict[str, object]:
    """Work until the time is up."""
    until = time.monotonic() + seconds
    if name == "import":
        bank = Bank(folder, seed)
        return {"done": work(bank, until), "imported": bank.imported, "stopped": bank.stopped}
    with closing(Jobs(folder, now)) as jobs:
        return {"done": work(lambda: jobs.run(name, lambda: False), until)}


if __name__ == "__main__":
    json.dump(main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])), sys.stdout)
