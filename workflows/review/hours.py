"""Was it open? A table of hours read minute by minute; written for the review alone."""

from collections.abc import Container
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final, NamedTuple

from compliance.timetable import Timetable

DAY_MINUTES: Final = 24 * 60
HOLIDAY: Final = 7
_EPOCH_DAY: Final = 719_163
"""1970-01-01 as Python counts days: calendars count from there."""


class Opening(NamedTuple):
    """
    How a minute stands to the hours around it.

    Attributes:
        open: whether the minute is.
        edge: minutes to the nearest one of that day that is not like it; a day's length where there is none.
        closes: minutes until it closes on that day; None: it does not, or is closed.
    """

    open: bool
    edge: int
    closes: int | None


def opening(table: Timetable, wall: datetime, holidays: Container[int]) -> Opening:
    """What a table says of an instant on a wall clock."""
    today, before = _kind(table, wall, holidays), _kind(table, wall - timedelta(days=1), holidays)
    return _opening(table, today, before, wall.hour * 60 + wall.minute)


def closed_hours(table: Timetable, weekday: int) -> list[int]:
    """The hours of a weekday, no holiday and none the day before, in which nothing is open at any minute."""
    before = (weekday - 1) % 7
    return [hour for hour in range(24) if not any(_is_open(table, weekday, before, hour * 60 + m) for m in range(60))]


@lru_cache(maxsize=200_000)
def _opening(table: Timetable, today: int, before: int, minute: int) -> Opening:
    is_open = _is_open(table, today, before, minute)
    ahead = next(
        (n for n in range(1, DAY_MINUTES - minute) if _is_open(table, today, before, minute + n) != is_open), None
    )
    behind = next((n for n in range(1, minute + 1) if _is_open(table, today, before, minute - n) != is_open), None)
    edge = min((n for n in (ahead, behind) if n is not None), default=DAY_MINUTES)
    return Opening(is_open, edge, ahead if is_open else None)


@lru_cache(maxsize=200_000)
def _is_open(table: Timetable, today: int, before: int, minute: int) -> bool:
    said = any(start <= minute < end if start < end else minute >= start for start, end in table.days[today])
    # What runs past midnight is written on the day it begins.
    said = said or any(start > end and minute < end for start, end in table.days[before])
    return said == table.opens


def _kind(table: Timetable, wall: datetime, holidays: Container[int]) -> int:
    is_holiday = len(table.days) > HOLIDAY and wall.toordinal() - _EPOCH_DAY in holidays
    return HOLIDAY if is_holiday else wall.weekday()
