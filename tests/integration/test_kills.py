"""`kill -9` at any moment: nothing is sent twice, and nothing is lost without a trace. Many of them: `make kills`."""

import asyncio
import multiprocessing
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest
from sqlmodel import col

from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import FakeProvider
from store.db import Database
from store.tables import Contact, ContactStatus
from tests.dispatch_process import work
from tests.opening import open_database
from tests.outgoing import DATES, NOW, adapters_to, book, plan, rows, statuses
from tests.postgres import Server
from workflows.sending.door import LEASE
from workflows.sending.fate import Evidence
from workflows.sending.reconcile import reconcile

KILLS = int(os.environ.get("DUECOURSE_KILLS", "80"))
"""How many in the long run, half of them on each database."""
_SEED = int(os.environ.get("DUECOURSE_KILLS_SEED") or 1)
_ROUND = 100
"""Kills of one book, before its day is over."""
_STEP = timedelta(minutes=2)
"""How far apart the workers of a book begin: a claim of a dead one lapses while later ones work."""
_BEHIND = "the worker stopped before it heard from the provider"


class Round:
    """One book, and workers on it that are killed one after the other; there is always something left to send."""

    def __init__(self, database: Database, provider: FakeProvider, mails: FakeMailServer, *, seed: int) -> None:
        self.database, self.provider, self.mails = database, provider, mails
        self.chance = Random(seed)
        self.now = NOW
        self.kill_within = 0.8
        """Seconds; follows how fast this machine is at the moment, so that kills keep falling into the middle."""
        self.counts = Counter[str]()
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["tests.dispatch_process"])

    def fill(self, people: int) -> None:
        """Plan a text, a mail and a call for so many more people, where there are fewer than that to whom one may go now."""
        free = {row.person_id for row in rows(self.database, Contact, Contact.status == "planned")}
        # What a dead worker has claimed keeps its person from everything, for as long as the claim lasts.
        free -= {row.person_id for row in rows(self.database, Contact, col(Contact.status).in_(("claimed", "sending")))}
        if len(free) < people:
            for loan in book(self.database, people):
                for rule in ("text", "mail", "call"):
                    plan(self.database, loan, rule)

    def worker(self, *, killed: bool) -> None:
        """One worker from its beginning to its end, which is a sudden one unless it is faster."""
        begun = self._context.Event()
        given = (self.database.address, self.provider.base_url, self.mails.port, self.now, begun)
        process = self._context.Process(target=work, args=given)
        process.start()
        if killed:
            assert begun.wait(120)
            time.sleep(self.chance.uniform(0, self.kill_within))
            process.kill()
        process.join(120)
        if process.exitcode == -signal.SIGKILL:
            self.counts["kills"] += 1
            in_hand = rows(
                self.database, Contact, col(Contact.status).in_(("claimed", "sending")),
                col(Contact.claimed_until_at) == self.now + LEASE,
            )  # fmt: skip
            self.counts["kills with something in hand"] += bool(in_hand)
            sending = any(one.status == "sending" for one in in_hand)
            self.counts["kills in the middle of sending"] += sending
            self.kill_within *= 0.95 if sending else 1.2
        else:
            assert process.exitcode == 0, process.exitcode
            self.kill_within *= 0.8 if killed else 1
        self.now += _STEP

    def finish(self) -> None:
        """Let workers end what is left, once the leases of the dead are over; then ask the provider about every doubt."""
        for _ in range(3):
            self.worker(killed=False)
            self.now += LEASE
        adapters = adapters_to(self.provider.base_url, self.mails.port)
        nothing = Evidence(lambda _contact: None, DATES)
        self.now += timedelta(hours=1)
        asyncio.run(reconcile(self.database, {"sms": adapters["sms"]}, nothing, lambda: self.now, limit=10_000))

    def check(self) -> None:
        """Every contact against what the servers took."""
        for contact in rows(self.database, Contact):
            self.counts[f"{contact.channel}: {contact.status}"] += 1
            history = statuses(self.database, contact.id)
            assert history.count("sending") == 1, (contact.id, history)
            if contact.channel == "call":
                assert contact.status == "sent", contact.id
                continue
            seen = len(self.provider.of_contact(contact.id)) + len(self.mails.of_contact(contact.id))
            assert seen <= 1, f"{contact.id} was sent {seen} times"
            assert contact.status in ("sent", "unknown"), (contact.id, contact.status)
            if contact.channel == "sms":
                # The provider was asked: what it took is found, and what is still in doubt it never had.
                assert (contact.status == "sent") == (seen == 1), contact.id
            assert contact.status != "sent" or seen == 1, contact.id
            if "unknown" in history:
                assert self._first_doubt(contact.id) == _BEHIND
        known = {contact.id for contact in rows(self.database, Contact)}
        assert {one.contact for one in (*self.mails.taken, *self.provider.accepted)} <= known

    def _first_doubt(self, contact: str) -> str:
        doubts = rows(
            self.database, ContactStatus, col(ContactStatus.contact_id) == contact, ContactStatus.status == "unknown"
        )
        return str(min(doubts, key=lambda row: row.id).why)


def killed(database: Database, *, people: int, kills: int, seed: int) -> Counter[str]:
    """Kill that many workers at work, let others finish, and check every contact against the servers."""
    created_at = (NOW + timedelta(hours=12)).timestamp()
    with FakeProvider(latency_seconds=0.01, clock=lambda: created_at) as provider, FakeMailServer() as mails:
        run = Round(database, provider, mails, seed=seed)
        while run.counts["kills"] < kills:
            run.fill(people)
            run.worker(killed=True)
        run.finish()
        run.check()
    return run.counts


@contextmanager
def fresh(kind: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[Database]:
    """A database of its own for each book."""
    with ExitStack() as stack:
        if kind == "sqlite":
            path = folder / f"{len(list(folder.iterdir()))}.db"
            shutil.copyfile(request.getfixturevalue("sqlite_template"), path)
            url = f"sqlite:///{path}"
        else:
            server: Server = request.getfixturevalue("postgres_server")
            url = stack.enter_context(server.database(template=request.getfixturevalue("postgres_template")))
        database = open_database(url)
        stack.callback(database.close)
        yield database


def test_killed_workers_send_nothing_twice(database: Database) -> None:
    """Five workers killed within their first second, and every contact is sent once or in doubt."""
    ended = killed(database, people=6, kills=5, seed=1)
    assert ended["kills"] == 5
    assert ended["call: sent"] >= 6


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_many_killed_workers_send_nothing_twice(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Kills at every depth of a dispatch; every message that is in doubt was in a dead worker's hands."""
    total = Counter[str]()
    for first in range(0, KILLS // 2, _ROUND):
        with fresh(kind, request, tmp_path) as database:
            total += killed(database, people=12, kills=min(_ROUND, KILLS // 2 - first), seed=_SEED + first)
    figures = ", ".join(f"{count:,} {name}" for name, count in sorted(total.items()))
    print(f"\n{kind}: {figures}")  # noqa: T201 - what `make kills` is run for
    assert total["kills in the middle of sending"] > 0
