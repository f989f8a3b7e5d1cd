"""When a job is due: however long nobody looked, whatever the clocks do, once for what was missed and never twice."""

from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.tables import Job
from workflows.scheduling.jobs import Entry, due_at, missed

ZONES = ("UTC", "Asia/Shanghai", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Africa/Casablanca")
CRONS = (
    "30 7 * * *",
    "30 1 * * *",
    "30 2 * * *",
    "0 0 * * *",
    "*/5 * * * *",
    "0 */2 * * *",
    "0 9 * * mon-fri",
    "0 4 1 * *",
)
START = datetime(2026, 1, 1, tzinfo=UTC)


def job(began: datetime | None, *, known: datetime = START, state: str = "done") -> Job:
    return Job(name="sweep", known_at=known, began_at=began, state=state)


def times(entry: Entry, since: datetime, until: datetime) -> list[datetime]:
    return list(takewhile(lambda time: time <= until, entry.after(since)))


@given(
    st.sampled_from(CRONS),
    st.sampled_from(ZONES),
    st.lists(st.integers(1, 3 * 24 * 60), min_size=1, max_size=40),
    st.integers(0, 300),
)
def test_each_look_runs_it_once_for_all_that_passed_since(cron: str, zone: str, gaps: list[int], day: int) -> None:
    """
    Whenever a scheduler is there to look: it runs if one of its times has passed since it last began, and only then.

    So a time that was missed is never lost, and no two runs are for the same time.
    """
    entry, now = Entry("sweep", cron, zone), START + timedelta(days=day)
    last, began = now, None
    for gap in gaps:
        now += timedelta(minutes=gap)
        passed = times(entry, last, now)
        known = job(began, known=START + timedelta(days=day))
        assert (due_at(entry, known, now) <= now) == bool(passed)
        assert missed(entry, known, now) == min(1000, max(0, len(passed) - 1))
        if passed:
            last = began = now


def local(entry: Entry, first: datetime, last: datetime) -> list[str]:
    zone = ZoneInfo(entry.zone)
    return [time.astimezone(zone).strftime("%d %H:%M%z") for time in times(entry, first, last)]


@pytest.mark.parametrize(("cron", "spring", "autumn"), [
    # New York leaves out 02:00-03:00 on 8 March 2026, and has 01:00-02:00 twice on 1 November.
    ("30 1 * * *", ["08 01:30-0500"], ["01 01:30-0400"]),
    ("30 2 * * *", ["08 03:00-0400"], ["01 02:30-0500"]),
    ("0 3 * * *", ["08 03:00-0400"], ["01 03:00-0500"]),
    (
        "*/30 1 * * *", ["08 01:00-0500", "08 01:30-0500"], ["01 01:00-0400", "01 01:30-0400", "01 01:00-0500", "01 01:30-0500"],
    ),
    (
        "0 * * * *",
        ["08 01:00-0500", "08 03:00-0400", "08 04:00-0400"],
        ["01 01:00-0400", "01 01:00-0500", "01 02:00-0500", "01 03:00-0500", "01 04:00-0500"],
    ),
])  # fmt: skip
def test_where_clocks_change_a_daily_run_comes_once_and_the_others_go_on(
    cron: str, spring: list[str], autumn: list[str]
) -> None:
    """The hour that is left out costs no run, and the one that is there twice brings no second one."""
    entry, zone = Entry("sweep", cron, "America/New_York"), ZoneInfo("America/New_York")
    found = [
        local(entry, datetime(*day, 0, 30, tzinfo=zone), datetime(*day, 4, tzinfo=zone))
        for day in ((2026, 3, 8), (2026, 11, 1))
    ]
    assert found == [spring, autumn]


def test_what_was_broken_off_is_due_at_once() -> None:
    """Killed or stopped half-way, it runs as soon as somebody can."""
    entry, now = Entry("sweep", "30 7 * * *", "UTC"), START + timedelta(hours=12)
    for state in ("running", "stopped"):
        assert due_at(entry, job(now - timedelta(minutes=1), state=state), now) == now
    assert due_at(entry, job(now - timedelta(minutes=1)), now) == START + timedelta(days=1, hours=7, minutes=30)


def test_a_clock_that_was_set_back_stops_nothing() -> None:
    """A run that began a year from now does not keep its job from running until then."""
    entry, now = Entry("sweep", "*/5 * * * *", "UTC"), START + timedelta(hours=12)
    assert due_at(entry, job(now + timedelta(days=365)), now) == now + timedelta(minutes=5)
