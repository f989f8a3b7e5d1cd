"""The send window: the earliest instant inside it, in every zone at once, checked against a walk minute by minute."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from engine.strategy import Send
from engine.timing import end_of_day, next_open, window_end

EVENING = Send((1, 3), 18 * 60, 20 * 60)


def is_open(send: Send, zones: tuple[str, ...], at: datetime) -> bool:
    """The window's meaning, said once more in other words."""
    walls = [at.astimezone(ZoneInfo(zone)) for zone in zones]
    return all(
        (not send.days or wall.weekday() in send.days)
        and send.from_minute <= wall.hour * 60 + wall.minute < send.to_minute
        for wall in walls
    )


@pytest.mark.parametrize(
    ("send", "zones"),
    [
        (EVENING, ("Europe/Berlin",)),
        (Send((), 8 * 60, 21 * 60), ("America/New_York", "America/Los_Angeles")),
        (Send((), 8 * 60, 21 * 60), ("Pacific/Honolulu", "America/New_York")),
        (Send((5, 6)), ("Asia/Kathmandu",)),
        (Send((0,), 0, 60), ("Australia/Lord_Howe", "Asia/Shanghai")),
    ],
)
@pytest.mark.parametrize("start", [datetime(2026, 3, 7, 11, 7, tzinfo=UTC), datetime(2026, 10, 31, 23, 59, tzinfo=UTC)])
def test_the_earliest_instant_is_that_of_a_walk_by_minutes(send, zones, start):
    """No earlier minute is open in every zone, and the instant found is; both clock changes included."""
    found = next_open(send, zones, start)
    walked = next((at for n in range(15 * 1440) if is_open(send, zones, at := start + timedelta(minutes=n))), None)
    if walked is None:
        assert found is None
    else:
        # Seconds of the start count only where the start itself is open.
        assert found == (start if walked == start else walked.replace(second=0))


def test_a_window_no_two_zones_share_never_opens():
    """Zones half a day apart share no evening hour."""
    assert (
        next_open(Send((), 1080, 1200), ("America/New_York", "Asia/Shanghai"), datetime(2026, 5, 1, tzinfo=UTC)) is None
    )


@pytest.mark.parametrize("zones", [(), ("Nowhere/Land",), ("Europe/Berlin", "")])
def test_an_unknown_zone_is_never_inside_a_window(zones):
    """Not to know one zone is not to know the hour; without a window no hour is needed."""
    now = datetime(2026, 5, 1, tzinfo=UTC)
    assert next_open(EVENING, zones, now) is None
    assert next_open(Send(), zones, now) == now


def test_the_second_pass_of_the_doubled_hour_is_later_than_the_first():
    """On the night the clocks go back, waiting for half past two after the first one means the second."""
    start = datetime(2026, 10, 25, 1, 10, tzinfo=UTC)  # 02:10 in Berlin, for the second time
    assert next_open(Send((), 150, 180), ("Europe/Berlin",), start) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)


def test_the_missing_hour_is_waited_for_until_the_next_day():
    """On the night the clocks go forward a window inside the missing hour does not open."""
    start = datetime(2026, 3, 29, 0, 0, tzinfo=UTC)
    assert next_open(Send((), 130, 160), ("Europe/Berlin",), start) == datetime(2026, 3, 30, 0, 10, tzinfo=UTC)


def test_a_window_ends_where_it_ends_first():
    """In several zones the window closes with the first of them, midnight included."""
    at = datetime(2026, 5, 1, 16, 0, tzinfo=UTC)
    assert window_end(Send((), 8 * 60, 21 * 60), ("America/New_York", "America/Los_Angeles"), at) == datetime(
        2026, 5, 2, 1, 0, tzinfo=UTC
    )
    assert window_end(Send((4,)), ("Europe/Berlin",), at) == datetime(2026, 5, 1, 22, 0, tzinfo=UTC)
    assert window_end(Send(), ("Europe/Berlin",), at) is None


def test_a_day_is_over_where_it_is_over_first():
    """The end of a calendar day in several zones is the earliest of their midnights; in no zone nobody knows."""
    zones = ("America/New_York", "Europe/Berlin")
    assert end_of_day(date(2026, 11, 24), zones) == datetime(2026, 11, 24, 23, 0, tzinfo=UTC)
    assert end_of_day(date(2026, 11, 24), ()) is None
