"""Fifty workers at once on PostgreSQL: numbers that two people share, and their one limit."""

import threading
from collections import Counter
from dataclasses import replace
from datetime import datetime

import pytest
from sqlmodel import col, select

from engine.gate import Ask, Verdict
from store.db import Database
from store.tables import Contact, Endpoint
from tests.factories import make_loan, make_person
from tests.opening import open_database
from tests.outgoing import AMOUNT, DUE, NOW, Silent, SmallGate, door_of, fed, go, plan, rows, statuses

WORKERS = 50
PAIRS = 20
TEXTS = 3
"""Each of the two has so many due at once, and their number may have one a day."""

pytestmark = [pytest.mark.slow, pytest.mark.postgres, pytest.mark.timeout(900)]


class SentOnly(SmallGate):
    """Counts what was made or is under way, so that planned contacts do not forbid each other."""

    def check(self, ask: Ask, now: datetime) -> Verdict:
        return super().check(replace(ask, history=tuple(p for p in ask.history if p.outcome != "planned")), now)


def test_fifty_workers_never_exceed_what_two_people_share(postgres_database: Database) -> None:
    """However many race for it, a shared number gets what one day allows: one text, and not none."""
    for n in range(PAIRS):
        for side in "ab":
            person = make_person(postgres_database, mobile=f"+86139{n:08}", name=f"Somebody {n}{side}")
            loan = make_loan(
                postgres_database, borrower_id=person, instalments=[(DUE, AMOUNT)], stage="reminded", stage_entry=1,
                episode=1, episode_on=DUE,
            )  # fmt: skip
            for _ in range(TEXTS):
                plan(postgres_database, loan)
    with postgres_database.write() as session:
        # Half of the pairs have it under two kinds: it is one number all the same.
        for endpoint in session.exec(select(Endpoint).where(col(Endpoint.person_id) % 4 == 0)):
            endpoint.kind = "landline"
    fed(postgres_database, NOW)
    seen: list[list[str]] = []
    begin = threading.Barrier(WORKERS)

    def work() -> None:
        own = open_database(postgres_database.address)
        adapter = Silent(seconds=0.01)
        seen.append(adapter.seen)
        door = door_of(own, {"sms": adapter}, gate=SentOnly(per_number=1))
        begin.wait(300)
        for _ in range(3):
            go(door, limit=3)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(WORKERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(600)
        assert not thread.is_alive()
    offered = [contact for each in seen for contact in each]
    assert len(offered) == len(set(offered)), "a contact was offered twice"
    assert sum(map(bool, seen)) > 1, "one worker had everything: nobody raced"
    number = {endpoint.id: endpoint.value for endpoint in rows(postgres_database, Endpoint)}
    sent = Counter(dict.fromkeys(number.values(), 0))
    for contact in rows(postgres_database, Contact):
        assert contact.status in ("sent", "cancelled"), (contact.id, statuses(postgres_database, contact.id))
        assert (contact.status == "sent") == (contact.id in offered)
        sent[number[contact.endpoint_id]] += contact.status == "sent"
    assert set(sent.values()) == {1}, sent
