"""When within the allowed hours a rule's contacts go: the `send` window, in every zone at once."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.strategy import Send

_DAY_MINUTES = 24 * 60
_HORIZON = timedelta(days=15)
"""Two weeks hold every weekday twice: a window that has not opened by then never opens in all zones at once."""


def next_open(send: Send, zones: tuple[str, ...], start: datetime) -> datetime | None:
    """
    The earliest instant from `start` on at which the window is open in every zone.

    Returns:
        None when the zones are unknown or share no such instant. On the night the clocks go forward it
        may be later than the earliest by the length of the jump, never outside the window.
    """
    if _always(send):
        return start
    places = _places(zones)
    if not places:
        return None
    at = start
    while at - start <= _HORIZON:
        before = at
        for place in places:
            at = _open_in(send, place, at)
        if at == before:
            return at
    return None


def window_end(send: Send, zones: tuple[str, ...], at: datetime) -> datetime | None:
    """When the window that is open at `at` closes in the first of the zones; None for a window that never closes."""
    if _always(send):
        return None
    ends = []
    for place in _places(zones):
        on = at.astimezone(place).date()
        ends.append(_instant(on, send.to_minute, place, after=at))
    return min(ends, default=None)


def end_of_day(on: date, zones: tuple[str, ...]) -> datetime | None:
    """The instant at which that calendar day is over in the first of the zones; None for unknown zones."""
    return min((_instant(on, _DAY_MINUTES, place) for place in _places(zones)), default=None)


def start_of_day(on: date, zones: tuple[str, ...]) -> datetime | None:
    """The instant at which that calendar day begins in the first of the zones; None for unknown zones."""
    return min((_instant(on, 0, place) for place in _places(zones)), default=None)


def _always(send: Send) -> bool:
    return not send.days and send.from_minute == 0 and send.to_minute == _DAY_MINUTES


def _open_in(send: Send, place: ZoneInfo, at: datetime) -> datetime:
    local = at.astimezone(place)
    on = local.date()
    minute = local.hour * 60 + local.minute
    if _day_fits(send, on):
        if send.from_minute <= minute < send.to_minute:
            return at
        if minute < send.from_minute:
            return _instant(on, send.from_minute, place, after=at)
    for days in range(1, 8):
        day = on + timedelta(days=days)
        if _day_fits(send, day):
            return _instant(day, send.from_minute, place)
    raise AssertionError("a week holds every weekday")


def _day_fits(send: Send, on: date) -> bool:
    return not send.days or on.weekday() in send.days


def _instant(on: date, minute: int, place: ZoneInfo, *, after: datetime | None = None) -> datetime:
    wall = datetime.combine(on, time.min) + timedelta(minutes=minute)
    at = wall.replace(tzinfo=place).astimezone(UTC)
    if after is not None and at <= after:
        # The hour that the autumn night has twice: the second one is meant.
        at = wall.replace(tzinfo=place, fold=1).astimezone(UTC)
    return at


@lru_cache(maxsize=1024)
def _places(zones: tuple[str, ...]) -> tuple[ZoneInfo, ...]:
    try:
        return tuple(ZoneInfo(zone) for zone in zones)
    except (ZoneInfoNotFoundError, ValueError):
        # One unreadable zone makes all of them unknown: an hour cannot be right in a place nobody knows.
        return ()
