"""Providers that hang, and connections that do not close: who else waits for them, in simulated time."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest

from channels.message import Message, Receipt
from store.db import Database
from store.tables import Contact
from tests.outgoing import NOW, Silent, book, contact_of, door_of, plan, rows, statuses
from tests.simulation.virtual_time import Time, simulated, us_of
from workflows.sending.dispatch import dispatch
from workflows.sending.door import Dispatched, Lane


@dataclass
class Clocked(Silent):
    """An adapter that takes a message at once, and remembers when."""

    time: Time = field(default_factory=lambda: Time(us_of(NOW)))
    at: dict[str, datetime] = field(default_factory=dict)

    async def send(self, message: Message) -> Receipt:
        self.at[message.contact_id] = self.time.at()
        return await super().send(message)


class Hanging(Silent):
    """A provider that never answers."""

    async def send(self, message: Message) -> Receipt:
        self.seen.append(message.contact_id)
        await asyncio.sleep(3600)
        raise AssertionError("nobody waits that long")


class Clinging(Silent):
    """A provider whose connection does not close."""

    async def close(self) -> None:
        await asyncio.sleep(3600)


def run(database: Database, time: Time, adapters: dict[str, Any], *, at_once: int = 2, **options: Any) -> Dispatched:
    """One dispatch on simulated time."""
    door = door_of(database, adapters, lanes={"email": Lane(at_once)})
    with simulated(time):
        return asyncio.run(dispatch(door, time.at, **options))


def test_a_mail_server_that_hangs_delays_no_text(sqlite_database: Database) -> None:
    """Texts that fall due while mails hang leave within two minutes of that."""
    loans = book(sqlite_database, 16)
    for loan in loans[:8]:
        plan(sqlite_database, loan, "mail")
    due = {
        plan(sqlite_database, loan, not_before_at=NOW + timedelta(seconds=30 * n)): NOW + timedelta(seconds=30 * n)
        for n, loan in enumerate(loans[8:])
    }
    texts = Clocked()
    done = run(sqlite_database, texts.time, {"sms": texts, "email": Hanging()})
    assert done.counts["unknown"] == 8
    assert texts.at.keys() == due.keys()
    late = max(texts.at[contact] - due[contact] for contact in due)
    assert late < timedelta(minutes=2), late


def test_a_provider_that_never_answers_is_asked_no_more(sqlite_database: Database) -> None:
    """Ten in doubt in a row, and what is under way beside them; then the lane stands still until somebody has looked."""
    loans = book(sqlite_database, 20)
    mails = [plan(sqlite_database, loan, "mail") for loan in loans]
    text = plan(sqlite_database, loans[0], not_before_at=NOW + timedelta(minutes=5))
    time = Time(us_of(NOW))
    hanging = Hanging()
    done = run(sqlite_database, time, {"email": hanging, "sms": Silent()})
    assert 10 <= done.counts["unknown"] <= 11
    assert [problem.what for problem in done.problems] == [
        "email stands still: silent did not say what became of 10 messages in a row"
    ]
    run(sqlite_database, time, {"email": hanging, "sms": Silent()})
    assert len(hanging.seen) == done.counts["unknown"]
    assert contact_of(sqlite_database, text).status == "sent"
    left = [contact_of(sqlite_database, mail).status for mail in mails]
    assert left.count("planned") == 20 - done.counts["unknown"]


def test_a_provider_that_answers_now_and_then_is_asked_on(sqlite_database: Database) -> None:
    """Nine in doubt between two that went: the lane goes on."""
    for loan in book(sqlite_database, 20):
        plan(sqlite_database, loan)
    asked = iter(range(20))
    doubt, sent = Receipt("unknown", "silent", "", "timeout", "unclear", "no answer"), Receipt("sent", "silent", "m")
    patchy = Silent(lambda _: sent if next(asked) % 10 == 9 else doubt)
    done = run(sqlite_database, Time(us_of(NOW)), {"sms": patchy})
    assert (done.counts["unknown"], done.counts["sent"], done.problems) == (18, 2, [])


def test_a_provider_that_hangs_does_not_delay_the_shutdown(sqlite_database: Database) -> None:
    """Told to stop, dispatch waits ten seconds for what is under way; that is in doubt then, and the rest given back."""
    ids = [plan(sqlite_database, loan, "mail") for loan in book(sqlite_database, 5)]
    time = Time(us_of(NOW))
    stop_at = NOW + timedelta(seconds=5)
    done = run(sqlite_database, time, {"email": Hanging()}, stop=lambda: time.at() >= stop_at)
    assert time.at() - stop_at < timedelta(seconds=12)
    assert {word: done.counts[word] for word in ("unknown", "waiting")} == {"unknown": 2, "waiting": 3}
    assert sorted(contact_of(sqlite_database, one).status for one in ids) == ["planned"] * 3 + ["unknown"] * 2


def test_a_shutdown_puts_no_brake_on(sqlite_database: Database) -> None:
    """What was under way when we were told to stop is in doubt by our own doing: the next dispatch goes on."""
    for loan in book(sqlite_database, 13):
        plan(sqlite_database, loan, "mail")
    time = Time(us_of(NOW))
    stop_at = NOW + timedelta(seconds=5)
    done = run(sqlite_database, time, {"email": Hanging()}, at_once=12, stop=lambda: time.at() >= stop_at)
    assert (done.counts["unknown"], done.problems) == (12, [])
    assert run(sqlite_database, time, {"email": Silent()}).counts["sent"] == 1


@pytest.mark.parametrize("breaks", [False, True])
def test_a_slow_clean_up_does_not_delay_the_end(sqlite_database: Database, *, breaks: bool) -> None:
    """Connections that do not close, or break in closing, are dropped after five seconds, all at once."""

    class Breaking(Silent):
        async def close(self) -> None:
            raise ConnectionResetError

    for loan in book(sqlite_database, 2):
        plan(sqlite_database, loan)
        plan(sqlite_database, loan, "mail")
    time = Time(us_of(NOW))
    adapters = {"sms": Breaking() if breaks else Clinging(), "email": Clinging()}
    done = run(sqlite_database, time, adapters)
    assert done.counts["sent"] == 4
    assert time.at() - NOW < timedelta(seconds=6)
    assert all(statuses(sqlite_database, one.id)[-1] == "sent" for one in rows(sqlite_database, Contact))
