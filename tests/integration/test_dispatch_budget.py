"""How much provider accounts may take a calendar day: no worker goes beyond it, none forgets, and what waits is told of."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from channels.failover import Failover
from channels.message import Message, Receipt, Status
from engine.errors import Problem
from store.budgets import Spent, spend, spent, unspend
from store.db import Database
from store.outbox import RECORDED_CALL
from store.tables import Contact
from tests.outgoing import NOW, Silent, book, contact_of, counts, door_of, go, plan, rows, statuses
from workflows.scheduling.status import status
from workflows.sending.door import Door, Lane

MIDNIGHT = datetime.fromisoformat("2026-11-24T16:00:00+00:00")
"""In Shanghai, after NOW."""
MEND = "they go after 2026-11-24 16:00Z if they are timely then; with the provider's consent raise `sends_per_day_max`"


def door(database: Database, adapter: object, per_day: Mapping[str, int | None], lane: str = "sms") -> Door:
    lanes = {lane: Lane(4, None, per_day)}
    return door_of(database, {lane: adapter}, lanes=lanes, zone="Asia/Shanghai")  # type: ignore[dict-item]


def used(database: Database, now: datetime = NOW) -> dict[str, int]:
    with database.session() as session:
        return {one.account: one.used for one in spent(session, now)}


def answering(word: Status, name: str = "silent", **told: str) -> Callable[[Message], Receipt]:
    return lambda _: Receipt(word, name, **told)  # type: ignore[arg-type]


def test_a_lane_stops_when_the_day_is_used_up_and_goes_on_after_midnight(database: Database) -> None:
    """What finds no room stays planned, untouched, and is told of; a new process remembers; the lender's next day is another."""
    tomorrow = NOW + timedelta(days=2)
    ids = [plan(database, loan, expires_at=tomorrow) for loan in book(database, 5)]
    done = go(door(database, Silent(), {"silent": 3}), limit=2)
    told = [Problem("2 sms contacts wait: silent has taken the 3 of its day", MEND)]
    assert (counts(done), done.problems) == ({"sent": 3}, told)
    again = go(door(database, Silent(), {"silent": 3}), MIDNIGHT - timedelta(minutes=1))
    assert (counts(again), again.problems) == ({}, told)
    assert [statuses(database, one) for one in ids[3:]] == [["planned"]] * 2
    # From eight in the morning on people may be written to.
    assert counts(go(door(database, Silent(), {"silent": 3}), MIDNIGHT + timedelta(hours=9))) == {"sent": 2}


def test_what_waits_expires_as_it_would(database: Database) -> None:
    """A contact whose time is over before there is room again is closed as ever."""
    first, second = (plan(database, loan, expires_at=NOW + timedelta(hours=2)) for loan in book(database, 2))
    assert counts(go(door(database, Silent(), {"silent": 1}))) == {"sent": 1}
    late = go(door(database, Silent(), {"silent": 1}), NOW + timedelta(hours=3))
    assert (counts(late), late.problems) == ({"expired": 1}, [])
    assert [contact_of(database, one).status for one in (first, second)] == ["sent", "expired"]


def test_two_workers_do_not_overrun_a_budget(database: Database) -> None:
    """Of four at once, each with room for ten before its eyes, no more than ten are sent."""
    for loan in book(database, 40):
        plan(database, loan)
    adapter = Silent(seconds=0.01)
    doors = [door(database, adapter, {"silent": 10}) for _ in range(4)]
    with ThreadPoolExecutor(4) as workers:
        done = list(workers.map(lambda one: go(one, limit=8), doors))
    assert len(adapter.seen) == 10
    assert sum(counts(one)["sent"] for one in done if "sent" in counts(one)) == 10
    assert sorted(c.status for c in rows(database, Contact)) == ["planned"] * 30 + ["sent"] * 10
    assert used(database) == {"silent": 10}


@pytest.mark.parametrize(
    ("answer", "taken"),
    [
        (answering("unknown", code="timeout", meaning="unclear"), 1),
        (answering("failed", code="1", meaning="blocked"), 1),
        (answering("retry", code="unreachable", meaning="try_later"), 0),
    ],
)
def test_what_may_have_been_taken_counts(
    sqlite_database: Database, answer: Callable[[Message], Receipt], taken: int
) -> None:
    """Doubt and refusals of the message count; what the provider surely did not take, and is tried again, does not."""
    (loan,) = book(sqlite_database)
    plan(sqlite_database, loan)
    go(door(sqlite_database, Silent(answer), {"silent": 5}))
    assert used(sqlite_database) == {"silent": taken}


def test_what_was_not_offered_after_all_does_not_count(sqlite_database: Database) -> None:
    """A stop before its turn gives a message back, and its place in the day."""
    for loan in book(sqlite_database, 5):
        plan(sqlite_database, loan)
    told: list[str] = []
    adapter = Silent(before=lambda message: told.append(message.contact_id), seconds=0.8)
    one = door_of(sqlite_database, {"sms": adapter}, lanes={"sms": Lane(1, None, {"silent": 5})})
    assert counts(go(one, stop=lambda: bool(told))) == {"sent": 1, "waiting": 4}
    assert used(sqlite_database) == {"silent": 1}


def test_an_account_that_is_used_up_is_passed_over(database: Database) -> None:
    """The first account takes its own, the second what is over; only then the lane stands still."""
    for loan in book(database, 6):
        plan(database, loan)
    first, second = Silent(answering("sent", "one"), "one"), Silent(answering("sent", "two"), "two")
    done = go(door(database, Failover([first, second]), {"one": 2, "two": 3}))
    assert (len(first.seen), len(second.seen)) == (2, 3)
    what = "1 sms contacts wait: one has taken the 2 of its day and two has taken the 3 of its day"
    assert (counts(done), done.problems) == ({"sent": 5}, [Problem(what, MEND)])
    assert used(database) == {"one": 2, "two": 3}


def test_an_account_that_surely_took_nothing_pays_nothing(sqlite_database: Database) -> None:
    """Where the first refuses for reasons of its own, the message is on the second's bill alone."""
    for loan in book(sqlite_database, 3):
        plan(sqlite_database, loan)
    refusing = Silent(answering("failed", "one", code="no_route", meaning="misconfigured"), "one")
    taking = Silent(answering("sent", "two"), "two")
    assert counts(go(door(sqlite_database, Failover([refusing, taking]), {"one": 9, "two": None}))) == {"sent": 3}
    assert used(sqlite_database) == {"one": 0, "two": 3}


def test_a_message_whose_account_nobody_knows_is_on_every_bill(sqlite_database: Database) -> None:
    """An adapter that broke may have asked either."""

    class Broken(Silent):
        async def send(self, message: Message) -> Receipt:
            raise RuntimeError("broken")

    (loan,) = book(sqlite_database)
    plan(sqlite_database, loan)
    broken = Failover([Broken(name="one"), Broken(name="two")])
    assert counts(go(door(sqlite_database, broken, {"one": 9, "two": 9}))) == {"unknown": 1}
    assert used(sqlite_database) == {"one": 1, "two": 1}


def test_recorded_calls_have_a_budget_of_their_own(sqlite_database: Database) -> None:
    """Texts of the same account do not use it up, and its setting is called otherwise."""
    for loan in book(sqlite_database, 2):
        plan(sqlite_database, loan, "recorded")
    done = go(door(sqlite_database, Silent(), {"silent": 1}, RECORDED_CALL))
    told = Problem("1 recorded call contacts wait: silent has taken the 1 of its day", MEND.replace("sends", "calls"))
    assert (counts(done), done.problems) == ({"sent": 1}, [told])
    with sqlite_database.session() as session:
        assert spent(session, NOW) == [Spent(RECORDED_CALL, "silent", 1, 1, MIDNIGHT)]


def test_status_says_which_accounts_are_used_up(database: Database) -> None:
    """Only where something waits has somebody to look; the next day nothing is said any more."""
    for loan in book(database, 2):
        plan(database, loan)
    go(door(database, Silent(), {"silent": 1}))
    found = status(database, {}, owner="ops", now=NOW)
    assert found.spent == [Spent("sms", "silent", 1, 1, MIDNIGHT)]
    told = Problem("1 sms contacts wait: silent has taken the 1 of its day", MEND)
    assert told in found.problems
    assert told not in status(database, {}, owner="ops", now=NOW + timedelta(hours=23)).problems
    assert status(database, {}, owner="ops", now=MIDNIGHT).spent == []


def test_a_day_that_is_over_gives_nothing_back_to_the_next(database: Database) -> None:
    """And a clock that was ahead for a month does not keep an account shut for it; one ahead by a minute opens no second day."""
    per_day = {"silent": 10}

    def take(now: datetime, until_at: datetime, wanted: int) -> int:
        with database.write() as session:
            return spend(session, "sms", per_day, wanted, now=now, until_at=until_at)["silent"]

    tomorrow = MIDNIGHT + timedelta(days=1)
    assert take(NOW, MIDNIGHT, 6) == 6
    assert take(MIDNIGHT, tomorrow, 7) == 7
    with database.write() as session:
        unspend(session, "sms", {("silent", MIDNIGHT): 6})
    assert used(database, MIDNIGHT) == {"silent": 7}
    assert take(MIDNIGHT - timedelta(minutes=1), MIDNIGHT, 5) == 3
    assert take(NOW + timedelta(days=30), MIDNIGHT + timedelta(days=30), 10) == 10
    assert take(MIDNIGHT, tomorrow, 4) == 4
