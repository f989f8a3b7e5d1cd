"""How fast dispatch sends: by the rates of accounts, one channel not held up by another, and no longer than it may."""

import asyncio
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from channels.message import Message, Receipt
from store.db import Database
from store.outbox import reserve
from store.tables import Contact
from tests.outgoing import NOW, Silent, book, contact_of, counts, door_of, go, plan, rows, statuses
from tests.simulation.virtual_time import Time, simulated, us_of
from workflows.sending.dispatch import dispatch
from workflows.sending.door import LOOK_TO_SEND_MAX, Lane


def running() -> Callable[[], datetime]:
    """A clock that starts at NOW and runs."""
    began = time.monotonic()
    return lambda: NOW + timedelta(seconds=time.monotonic() - began)


def test_sends_keep_to_the_accounts_rate(sqlite_database: Database) -> None:
    """Of texts at twenty a second none goes before its turn, however late another went."""
    for loan in book(sqlite_database, 12):
        plan(sqlite_database, loan)
    times: list[float] = []
    began = time.monotonic()
    adapter = Silent(before=lambda _: times.append(time.monotonic() - began))
    done = asyncio.run(dispatch(door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(8, 20)}), running()))
    assert counts(done) == {"sent": 12}
    assert all(at >= turn / 20 for turn, at in enumerate(times))


def test_two_workers_share_an_accounts_rate(database: Database) -> None:
    """Turns at an account are given out once, whoever asks; what finds none soon enough goes back and is sent later."""
    within = timedelta(seconds=15)
    with database.write() as session:
        assert reserve(session, "sms", 100, per_second=10, now=NOW, within=within) == (NOW, 100)
    with database.write() as session:
        assert reserve(session, "sms", 100, per_second=10, now=NOW, within=within) == (NOW + timedelta(seconds=10), 50)
    with database.write() as session:
        assert reserve(session, "sms", 5, per_second=10, now=NOW, within=within) == (NOW + within, 0)
        assert reserve(session, "email", 5, per_second=10, now=NOW, within=within) == (NOW, 5)
    with database.write() as session:
        set_back = NOW - timedelta(hours=1)
        assert reserve(session, "sms", 1, per_second=10, now=set_back, within=within) == (set_back, 1)


def test_slow_mail_does_not_hold_up_texts(sqlite_database: Database) -> None:
    """Mail that takes as long as all the texts together holds up none of them."""
    loans = book(sqlite_database, 12)
    for loan in loans[:3]:
        plan(sqlite_database, loan, "mail")
    for loan in loans[3:]:
        plan(sqlite_database, loan)
    sms, email = Silent(), Silent()

    class Slow(Silent):
        async def send(self, message: Message) -> Receipt:
            while len(sms.seen) < 9:  # noqa: ASYNC110 - another adapter's list has no event
                await asyncio.sleep(0.01)
            return await email.send(message)

    door = door_of(sqlite_database, {"sms": sms, "email": Slow()}, lanes={"email": Lane(1)})
    # Three at a time: the texts take three rounds while the first mail is under way.
    assert counts(go(door, limit=3)) == {"sent": 12}


def test_what_waits_for_another_channel_leaves_in_the_same_dispatch(sqlite_database: Database) -> None:
    """A mail to somebody whose text is under way goes right after it, however long that takes and whatever else is due."""
    (loan,) = book(sqlite_database)
    plan(sqlite_database, loan)
    plan(sqlite_database, loan, "mail", not_before_at=NOW - timedelta(minutes=30))
    plan(sqlite_database, loan, "call", not_before_at=NOW - timedelta(minutes=20))
    door = door_of(sqlite_database, {"sms": Silent(seconds=0.3), "email": Silent(seconds=0.3)})
    assert counts(go(door)) == {"sent": 2, "handed over": 1}


def test_what_waited_too_long_after_its_look_is_not_sent(sqlite_database: Database) -> None:
    """A message that was looked at half a minute ago goes back and is looked at again."""
    first, second = (plan(sqlite_database, loan) for loan in book(sqlite_database, 2))
    at = [NOW]
    adapter = Silent(before=lambda _: at.append(at[-1] + LOOK_TO_SEND_MAX + timedelta(seconds=1)))
    door = door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(1)})
    done = asyncio.run(dispatch(door, lambda: at[-1], paced=False))
    assert counts(done) == {"sent": 2, "waiting": 1}
    assert adapter.seen == [first, second]
    assert statuses(sqlite_database, second) == ["planned", "sending", "planned", "sending", "sent"]
    assert contact_of(sqlite_database, second).attempts == 1


def test_a_clock_that_is_set_back_does_not_make_an_old_look_young(sqlite_database: Database) -> None:
    """By the wall no time has passed, and nothing leaves on a look of half a minute ago."""
    time, wall = Time(us_of(NOW)), NOW
    for loan in book(sqlite_database, 10):
        plan(sqlite_database, loan)
    left: list[tuple[str, datetime]] = []
    adapter = Silent(seconds=20)
    adapter.before = lambda message: left.append((message.contact_id, time.at()))
    door = door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(at_once=1)})
    with simulated(time):
        asyncio.run(dispatch(door, lambda: wall, paced=False))
    assert len(left) == 10
    # Two of each round go in time, and a third would have been looked at forty seconds ago.
    assert all(statuses(sqlite_database, contact).count("sending") == 1 + n // 2 for n, (contact, _) in enumerate(left))


def test_stop_ends_after_what_is_under_way(sqlite_database: Database) -> None:
    """Told to stop, dispatch finishes the message under way, gives the others back, and says what it did."""
    for loan in book(sqlite_database, 5):
        plan(sqlite_database, loan)
    told = threading.Event()
    adapter = Silent(before=lambda _: told.set(), seconds=0.8)
    done = go(door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(1)}), stop=told.is_set)
    assert counts(done) == {"sent": 1, "waiting": 4}
    assert sorted(c.status for c in rows(sqlite_database, Contact)) == ["planned"] * 4 + ["sent"]
