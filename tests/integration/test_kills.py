"""`kill -9` at any moment: nothing is sent twice, and nothing is lost without a trace."""

import multiprocessing
import time
from collections import Counter
from datetime import timedelta
from random import Random

import pytest

from channels.testing.mailserver import FakeMailServer
from channels.testing.provider import FakeProvider
from store.db import Database
from store.tables import Contact
from tests.dispatch_process import work
from tests.outgoing import NOW, book, plan, rows, statuses

_LEASE = timedelta(minutes=11)
"""A little more than a claim lasts: each worker finds what the one before left."""


def killed(database: Database, *, people: int, kills: int, seed: int, longest: float) -> Counter[str]:
    """Kill that many workers at random moments, let a last one finish, and check every contact against the servers."""
    chance = Random(seed)
    ids = [plan(database, loan, rule) for loan in book(database, people) for rule in ("text", "mail")]
    for loan in {contact.loan_id for contact in rows(database, Contact)}:
        plan(database, loan, "call")
    url = (
        f"sqlite:///{database.place}"
        if database.dialect == "sqlite"
        else database.url.render_as_string(hide_password=False)
    )
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.dispatch_process"])
    with FakeProvider(latency_seconds=0.01) as provider, FakeMailServer() as mails:
        for n in range(kills + 2):
            begun = context.Event()
            given = (url, provider.base_url, mails.port, NOW + n * _LEASE / 4, begun)
            worker = context.Process(target=work, args=given)
            worker.start()
            if n < kills:
                assert begun.wait(60)
                time.sleep(chance.uniform(0, longest))
                worker.kill()
            worker.join(120)
            assert worker.exitcode is not None
        # What was in a dead worker's hands at the end is found when its lease is over.
        for n in range(3):
            worker = context.Process(target=work, args=(*given[:3], given[3] + (n + 1) * _LEASE, begun))
            worker.start()
            worker.join(120)
            assert worker.exitcode == 0
        ended = Counter[str]()
        for contact in rows(database, Contact):
            ended[contact.status] += 1
            if contact.channel == "call":
                assert contact.status == "sent"
                continue
            seen = len(provider.of_contact(contact.id)) + len(mails.of_contact(contact.id))
            assert seen <= 1, contact.id
            assert contact.status in ("sent", "unknown"), contact
            assert contact.status != "sent" or seen == 1, contact.id
            history = statuses(database, contact.id)
            assert history.count("sending") == 1, history
        assert len(provider.accepted) + len(mails.taken) <= len(ids)
        assert {taken.contact for taken in mails.taken} | {m.contact for m in provider.accepted} <= set(ids)
    return ended


def test_killed_workers_send_nothing_twice(database: Database) -> None:
    """Five workers killed within their first second, and every contact is sent once or in doubt."""
    ended = killed(database, people=6, kills=5, seed=1, longest=1.0)
    assert ended["sent"] + ended["unknown"] == 18


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
def test_many_killed_workers_send_nothing_twice(database: Database, seed: int) -> None:
    """Forty kills a seed, at every depth of a dispatch."""
    ended = killed(database, people=40, kills=40, seed=seed, longest=1.5)
    assert ended["sent"] + ended["unknown"] == 120
