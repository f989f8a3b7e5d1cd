"""Several workers at one book, and workers that die or sleep: nothing is sent twice, and no person is shared."""

import asyncio
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from channels.message import Message, Receipt
from engine.errors import Problem, StoreError
from store.db import Database
from store.outbox import claim, move
from store.tables import Contact
from tests.opening import open_database
from tests.outgoing import (
    NOW,
    Silent,
    SmallGate,
    book,
    compose,
    contact_of,
    counts,
    door_of,
    go,
    plan,
    rows,
    statuses,
    to,
)
from workflows.sending import leaving
from workflows.sending.dispatch import dispatch
from workflows.sending.door import LEASE, Lane
from workflows.sending.receipts import record_receipts


def test_a_dead_workers_claim_is_taken_over_and_its_sending_is_in_doubt(database: Database) -> None:
    """After the lease a claimed contact is sent by another; one in `sending` is `unknown` and is not."""
    loans = book(database, 2)
    hour = NOW - timedelta(hours=1)
    claimed = plan(database, loans[0], status="claimed", claimed_by="dead", claimed_until_at=NOW)
    sending = plan(database, loans[1], status="sending", claimed_by="dead", claimed_until_at=NOW, at=hour, attempts=1)
    adapter, wired = to(database)
    assert counts(go(door_of(**wired), NOW - timedelta(seconds=1))) == {}
    assert counts(go(door_of(**wired))) == {"unknown": 1, "sent": 1}
    assert adapter.seen == [claimed]
    assert contact_of(database, sending).why == "the worker stopped before it heard from the provider"


def test_a_worker_that_lost_its_lease_sends_nothing(database: Database) -> None:
    """A worker that slept through its lease finds its contact in other hands."""
    (loan,) = book(database)
    text = plan(database, loan)
    adapter, wired = to(database)
    door = door_of(**wired)
    other, others = to(database)

    def slowly(borrowers: object, now: datetime) -> object:
        fresh = door.situations(borrowers, now)  # type: ignore[arg-type]
        assert counts(go(door_of(**others), NOW + timedelta(minutes=11))) == {"sent": 1}
        return fresh

    assert counts(go(replace(door, situations=slowly))) == {"taken": 1}  # type: ignore[arg-type]
    assert (adapter.seen, other.seen) == ([], [text])


def test_a_worker_that_sleeps_past_its_lease_leaves_no_doubt(database: Database) -> None:
    """What was given up on as `unknown` and was not offered after all, or surely not taken, has failed: nobody has to look."""
    late, refused = (plan(database, loan) for loan in book(database, 2))
    other, others = to(database)
    adapter = Silent(lambda _: Receipt("retry", "silent", code="busy", meaning="slow_down"))
    at = [NOW]

    def sleep(_message: Message) -> None:
        at[0] = NOW + LEASE
        worker = threading.Thread(target=lambda: given_up.append(counts(go(door_of(**others), at[0]))))
        worker.start()
        worker.join(30)

    given_up: list[dict[str, int]] = []
    adapter.before = sleep
    door = door_of(database, {"sms": adapter}, lanes={"sms": Lane(at_once=1)})
    done = asyncio.run(dispatch(door, lambda: at[0], paced=False))
    assert (given_up, counts(done)) == ([{"unknown": 2}], {"failed": 2})
    assert (adapter.seen, other.seen) == ([late], [])
    assert statuses(database, refused) == ["planned", "sending", "unknown", "failed"]
    assert contact_of(database, refused).why == "its turn came too late; nobody was asked to send it"


@pytest.mark.parametrize("receipt", [None, Receipt("retry", "silent", code="busy", meaning="slow_down")])
def test_a_commit_whose_answer_was_lost_is_not_done_again(
    database: Database, monkeypatch: pytest.MonkeyPatch, receipt: Receipt | None
) -> None:
    """Written down twice, what became of one worker's try changes nothing of the next worker's."""
    text = plan(database, book(database)[0])
    other, others = to(database)
    at = [NOW]
    written = record_receipts
    lost: list[str] = []

    def lose(*given: Any) -> Counter[str]:
        counted = written(*given)
        if lost:
            return counted
        lost.append("the answer")
        at[0] += timedelta(minutes=6)
        other.before = hold
        thread.start()
        waits.wait(20)
        raise StoreError(Problem("the connection broke", "start the database"))

    def hold(_message: Message) -> None:
        waits.set()
        go_on.wait(20)

    def take_long(*given: Any) -> Message:
        at[0] = NOW + timedelta(minutes=1)
        return compose(*given)

    waits, go_on = threading.Event(), threading.Event()
    sent: list[dict[str, int]] = []
    thread = threading.Thread(target=lambda: sent.append(counts(go(door_of(**others), at[0]))))
    monkeypatch.setattr("workflows.sending.dispatch.record_receipts", lose)
    adapter = Silent(lambda _: receipt or Receipt("sent", "silent"))
    door = door_of(database, {"sms": adapter}, send_seconds_max=30)
    if receipt is None:
        # Its second look is too old by the time that its turn comes.
        door = replace(door, compose=take_long)
    asyncio.run(dispatch(door, lambda: at[0], paced=False, stop=lambda: bool(lost)))
    assert contact_of(database, text).status == "sending"
    go_on.set()
    thread.join(30)
    assert sent == [{"sent": 1}]
    assert contact_of(database, text).status == "sent"
    assert other.seen == [text]


def test_what_was_committed_and_never_offered_is_not_in_doubt(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the commit as `sending` is lost: nothing was handed over, so it is planned as before and sent later."""
    text = plan(database, book(database)[0])
    adapter, wired = to(database)
    write = leaving._write

    def lose(*given: Any, **named: Any) -> None:
        write(*given, **named)
        raise StoreError(Problem("the connection broke", "start the database"))

    with monkeypatch.context() as broken:
        broken.setattr("workflows.sending.leaving._write", lose)
        with pytest.raises(StoreError):
            go(door_of(**wired))
    assert adapter.seen == []
    assert statuses(database, text) == ["planned", "sending", "planned"]
    assert counts(go(door_of(**wired))) == {"sent": 1}
    assert contact_of(database, text).attempts == 1


def test_a_receipt_survives_a_database_that_is_locked_for_a_while(sqlite_database: Database) -> None:
    """What a provider answered is written down as soon as the database lets us."""
    text = plan(sqlite_database, book(sqlite_database)[0])
    impatient = open_database(str(sqlite_database.url).replace("sqlite://", "sqlite://"), busy_timeout_s=0.05)
    held_up = threading.Event()

    def hold_up(_message: Message) -> None:
        def keep() -> None:
            with sqlite_database.write():
                held_up.set()
                time.sleep(0.6)

        threading.Thread(target=keep).start()
        held_up.wait(5)

    adapter = Silent(lambda _: Receipt("sent", "silent"), before=hold_up)
    with suppress(StoreError):
        # Whatever else wanted the lock gave up; the receipt did not.
        go(door_of(impatient, {"sms": adapter}))
    assert contact_of(sqlite_database, text).status == "sent"
    impatient.close()


def test_two_workers_never_share_a_person(postgres_database: Database) -> None:
    """Two workers at once on one book: nothing is offered twice, nobody gets more than a day's two contacts."""
    loans = book(postgres_database, 15)
    ids = [plan(postgres_database, loan, rule) for loan in loans for rule in ("text", "mail", "text", "mail")]
    url = postgres_database.url.render_as_string(hide_password=False)
    seen: list[list[str]] = []

    def work() -> None:
        own = open_database(url)
        adapter = Silent(seconds=0.005)
        seen.append(adapter.seen)
        door = door_of(own, {"sms": adapter, "email": adapter}, gate=SentOnly(per_day=2))
        for _ in range(8):
            go(door, limit=7)
        own.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(90)
    offered = [contact for each in seen for contact in each]
    assert len(offered) == len(set(offered))
    assert all(seen)
    by_person: dict[int, int] = {}
    for contact in rows(postgres_database, Contact):
        assert contact.status in ("sent", "cancelled"), contact
        assert (contact.status == "sent") == (contact.id in offered)
        by_person[contact.person_id] = by_person.get(contact.person_id, 0) + (contact.status == "sent")
    assert set(by_person.values()) == {2}
    assert len(ids) == 60


@pytest.mark.postgres
def test_what_another_worker_was_choosing_from_is_not_left(postgres_database: Database) -> None:
    """Who looks while everything due is locked by another one's claim looks again, instead of going home."""
    for loan in book(postgres_database, 3):
        plan(postgres_database, loan)
    choosing, go_on = threading.Event(), threading.Event()

    def choose() -> None:
        with postgres_database.write() as session:
            session.exec(select(Contact).with_for_update()).all()
            choosing.set()
            go_on.wait(10)

    other = threading.Thread(target=choose)
    other.start()
    assert choosing.wait(10)
    threading.Timer(0.3, go_on.set).start()
    own = open_database(postgres_database.address)
    adapter = Silent()
    assert counts(go(door_of(own, {"sms": adapter}))) == {"sent": 3}
    other.join()
    own.close()


class SentOnly(SmallGate):
    """Counts what was made or is under way, so that planned contacts do not forbid each other."""

    def check(self, ask, now):  # type: ignore[no-untyped-def]
        return super().check(replace(ask, history=tuple(p for p in ask.history if p.outcome != "planned")), now)


def test_one_person_is_claimed_once_at_a_time(database: Database) -> None:
    """Of a person's contacts, and of those to one number, one is claimed; the next when that is over."""
    loans = book(database, 2)
    first, second = plan(database, loans[0]), plan(database, loans[0], not_before_at=NOW - timedelta(minutes=30))
    other = plan(database, loans[1])
    lease = timedelta(minutes=10)
    assert claim(database, {"email": 9, "call": 9}, now=NOW, worker="c", lease=lease) == []
    got = claim(database, {"sms": 9}, now=NOW, worker="a", lease=lease)
    assert sorted(got) == sorted([first, other])
    assert claim(database, {"sms": 9}, now=NOW, worker="b", lease=lease) == []
    assert claim(database, {"email": 9}, now=NOW, worker="b", lease=lease) == []
    with database.write() as session:
        move(session, session.get_one(Contact, first), "cancelled", at=NOW, why="a test")
    assert claim(database, {"sms": 9}, now=NOW, worker="b", lease=lease) == [second]
