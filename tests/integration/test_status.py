"""How it stands, on both databases: every question answered from the rows, every trouble named, and no big table read through."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event

from store import jobs
from store.db import Database
from store.health import Backlog, Failures, Inbox, Leaving, Log
from store.lock import sole
from store.tables import Arrival, ContactStatus, Event, LogCheckpoint, Run
from tests.outgoing import NOW, add, book, plan, set_setting
from workflows.scheduling.jobs import Entry
from workflows.scheduling.schedule import LOCK
from workflows.scheduling.status import Status, status
from workflows.scheduling.timetable import pause_job

ENTRIES = {"sweep": Entry("sweep", "0 4 * * *", "UTC"), "dispatch": Entry("dispatch", "*/2 * * * *", "UTC")}
HOUR = timedelta(hours=1)


def now_of(database: Database) -> Status:
    return status(database, ENTRIES, owner="operations", now=NOW)


def troubles(found: Status) -> list[str]:
    return [problem.what for problem in found.problems]


@pytest.fixture
def well(database: Database) -> Iterator[Database]:
    """A book in which all is well, with a scheduler that acts."""
    set_setting(database, "sending", "on")
    with database.write() as session:
        for name, began in (("sweep", NOW.replace(hour=4, minute=0)), ("dispatch", NOW - timedelta(minutes=1))):
            jobs.begin(session, name, by="process 1 on here", now=began)
            jobs.end(session, name, "done", "", now=began + timedelta(seconds=3))
    with sole(database, LOCK, what="a scheduler"):
        yield database


def test_all_is_well(well: Database) -> None:
    """Nothing waits, nothing is in doubt, and nobody has to look."""
    found = now_of(well)
    assert troubles(found) == []
    assert (found.sending, found.production, found.backlog, found.doubts) == (True, False, [], [])
    assert (found.leaving, found.inbox) == (Leaving(0, 0, None), Inbox(0, None, 0))
    assert str(found.acting).startswith("process ")
    assert [line.seconds for line in found.jobs] == [3.0, 3.0]


def test_what_waits_is_counted_by_channel(well: Database) -> None:
    """Due and later, the oldest first; what has left, is over, or is somebody's task is not waiting."""
    one, two, three = book(well, 3)
    for loan, hours in ((one, 1), (two, 3)):
        plan(well, loan, not_before_at=NOW - hours * HOUR)
    plan(well, three, "mail", not_before_at=NOW + HOUR)
    plan(well, three, status="sent")
    plan(well, three, not_before_at=NOW - 30 * HOUR, expires_at=NOW - HOUR)
    found = now_of(well)
    assert found.backlog == [Backlog("email", 0, None, 1), Backlog("sms", 2, NOW - 3 * HOUR, 0)]
    assert troubles(found) == [f"2 sms contacts are due, the oldest since {NOW - 3 * HOUR:%Y-%m-%d %H:%M}Z"]
    set_setting(well, "sending", "off")
    assert troubles(now_of(well)) == []


def test_leases_that_are_gone_are_told(well: Database) -> None:
    """A worker that died leaves contacts behind; one that works does not count."""
    one, two = book(well, 2)
    plan(well, one, status="claimed", claimed_by="w", claimed_until_at=NOW + HOUR)
    plan(well, two, status="sending", claimed_by="w", claimed_until_at=NOW - HOUR)
    found = now_of(well)
    assert found.leaving == Leaving(2, 1, NOW - HOUR)
    since = f"{NOW - HOUR:%Y-%m-%d %H:%M}Z"
    assert troubles(found) == [f"1 contacts were left half-way by a worker, the oldest at {since}"]


def test_what_is_in_doubt_has_an_age_and_an_owner(well: Database) -> None:
    """A message that is still asked about is nobody's yet; one a week old, and a task, are a person's."""
    one, two, three = book(well, 3)
    plan(well, one, status="unknown", at=NOW - timedelta(minutes=5))
    plan(well, two, status="unknown", at=NOW - timedelta(days=8))
    plan(well, three, "call", status="unknown", at=NOW - 2 * HOUR, claimed_by="agent:mei")
    found = now_of(well)
    assert found.doubts_by_age() == {"under an hour": 1, "under a day": 1, "older": 1}
    assert [(doubt.owner, doubt.left) for doubt in found.doubts] == [
        ("operations", True),
        ("mei", True),
        ("operations", False),
    ]
    assert troubles(found) == [
        "1 contacts in doubt are for mei to settle",
        "1 contacts in doubt are for operations to settle",
    ]


def test_failures_are_counted_by_code_for_a_day(well: Database) -> None:
    """By what became of them, once each, and not those of the day before yesterday."""
    loans = book(well, 4)
    made = [plan(well, loan, status="failed", provider="twilio", error="30003") for loan in loans[:3]]
    made.append(plan(well, loans[3], "mail", status="failed", provider="smtp"))
    for contact, hours in zip(made, (1, 2, 30, 1), strict=True):
        at = NOW - hours * HOUR
        add(well, *(ContactStatus(contact_id=contact, status=word, at=at) for word in ("sending", "failed", "failed")))
    assert now_of(well).failures == [Failures("sms", "twilio", "30003", 2), Failures("email", "smtp", "", 1)]
    later = status(well, ENTRIES, owner="operations", now=NOW + timedelta(days=2))
    assert later.failures == []


def test_what_is_parked_and_what_waits_outside_is_told(well: Database) -> None:
    """Arrivals and news for the rules alike."""
    given = {"source": "t", "kind": "text", "due_at": NOW}
    add(
        well,
        Arrival(key="a", recorded_at=NOW - HOUR, **given),
        Arrival(key="b", recorded_at=NOW, state="parked", **given),
        Arrival(key="c", recorded_at=NOW, state="done", **given),
        Event(source="t", key="e", kind="reply", happened_at=NOW, recorded_at=NOW, parked="it is about nobody"),
        Event(source="t", key="f", kind="reply", happened_at=NOW, recorded_at=NOW),
    )
    found = now_of(well)
    assert found.inbox == Inbox(2, NOW - HOUR, 2)
    assert troubles(found) == ["2 things from outside are parked"]


def test_brakes_copies_old_pauses_and_jobs_that_go_wrong_are_told(well: Database) -> None:
    """Each in its own words, with what to do."""
    set_setting(well, "brake", "134 contacts are planned for 240 loans")
    set_setting(well, "brake.sms", "twilio refused our settings (20003)")
    set_setting(well, "environment", "production")
    pause_job(well, ENTRIES, "sweep", by="mei", because="month end", until=None, now=NOW - timedelta(days=2))
    with well.write() as session:
        jobs.begin(session, "dispatch", by="p", now=NOW - 8 * HOUR)
        jobs.end(session, "dispatch", "failed", "ValueError at x.py:3 run", now=NOW)
    found = now_of(well)
    assert found.production is None
    assert troubles(found) == [
        f"job `sweep` is paused by mei since {NOW - timedelta(days=2):%Y-%m-%d %H:%M}Z: month end",
        f"job `dispatch` is overdue since {NOW - 8 * HOUR + timedelta(minutes=2):%Y-%m-%d %H:%M}Z",
        "job `dispatch` did not end well: ValueError at x.py:3 run",
        "this is a copy of a production database",
        "the brake is on: 134 contacts are planned for 240 loans",
        "sms stands still: twilio refused our settings (20003)",
    ]


def test_a_scheduler_that_is_gone_and_a_job_that_hangs_are_told(database: Database) -> None:
    """Nobody acts, and something began and never ended."""
    with database.write() as session:
        jobs.begin(session, "sweep", by="process 7 on there", now=NOW - 7 * HOUR)
    assert troubles(now_of(database)) == [
        "no scheduler acts", f"job `sweep` runs since {NOW - 7 * HOUR:%Y-%m-%d %H:%M}Z (process 7 on there)",
    ]  # fmt: skip


def test_the_log_and_the_last_sweep_are_told(well: Database) -> None:
    """A log that was signed once and is not any more, a stale feed, and what nobody knows."""
    day = timedelta(days=1)
    counts = '{"decisions": 9, "outcome.stale_feed": 4, "unknown.zone": 2}'
    given: dict[str, Any] = {
        "kind": "sweep", "now_at": NOW, "known_at": NOW, "started_at": NOW, "status": "done"
    }  # fmt: skip
    add(
        well,
        LogCheckpoint(number=1, size=0, at=NOW - 2 * day, note="n"),
        Run(counts_json='{"outcome.stale_feed": 7}', **given),
        Run(counts_json=counts, **given),
        Run(**{**given, "kind": "events"}),
    )
    found = now_of(well)
    assert found.log == Log(3, 1, NOW - 2 * day)
    assert troubles(found) == [
        "the newest sweep left 4 loans alone, because the payment feed was too old",
        "the newest sweep contacted nobody 2 times, because something is not known: zone",
        f"the log was last signed at {NOW - 2 * day:%Y-%m-%d %H:%M}Z",
    ]


def test_a_sweep_that_was_broken_off_is_told(well: Database) -> None:
    """What it planned waits; not while somebody is at it, and not once another has taken its place."""
    given: dict[str, Any] = {"kind": "sweep", "now_at": NOW, "known_at": NOW}
    for ended, next_ends in (("running", "done"), ("stopped", "failed")):
        add(well, Run(status=ended, started_at=NOW - HOUR, counts_json='{"contacts": 7}', **given))
        with sole(well, "sweep", what="a sweep"):
            assert troubles(now_of(well)) == []
        assert troubles(now_of(well)) == [
            "the sweep of 2026-11-24 03:00Z was broken off, and the 7 contacts it planned wait"
        ]
        add(well, Run(status=next_ends, started_at=NOW, **given))
        assert troubles(now_of(well)) == []


BIG = (
    "contact",
    "contact_status",
    "arrival",
    "event",
    "decision",
    "loan",
    "person",
    "endpoint",
    "movement",
    "run",
    "log_leaf",
)


@contextmanager
def asked(database: Database) -> Iterator[list[tuple[str, Any]]]:
    """Every statement that is run within the block, with its values."""
    said: list[tuple[str, Any]] = []

    def hear(_connection: Any, _cursor: Any, statement: str, values: Any, _context: Any, _many: bool) -> None:
        if statement.lower().startswith("select"):
            said.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", hear)
    try:
        yield said
    finally:
        event.remove(database.engine, "before_cursor_execute", hear)


def test_no_big_table_is_read_through(well: Database) -> None:
    """Each question finds its rows by an index: it costs the same in a book of a million loans."""
    plan(well, book(well, 1)[0], status="unknown")
    with asked(well) as said:
        now_of(well)
    assert len(said) > 12
    with well.engine.connect() as connection:
        sqlite = well.dialect == "sqlite"
        if not sqlite:
            # An empty table is read through whatever indexes it has.
            connection.exec_driver_sql("set enable_seqscan = off")
        for statement, values in said:
            how = "explain query plan " if sqlite else "explain "
            found = [str(row[-1]) for row in connection.exec_driver_sql(how + statement, values)]
            for table in BIG:
                through = [line for line in found if f"SCAN {table}" in line or f"Seq Scan on {table} " in line]
                # Runs: backwards from the newest, to the first that is a sweep.
                assert table == "run" or not through, (statement, found)
