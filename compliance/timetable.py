"""Weekly timetables: when something is open on each day of the week and on public holidays."""

from collections.abc import Container, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from compliance.clock import DAY, MINUTE, ZoneClock

NEVER: Final = 1 << 62
"""An instant that does not come: the answer "no scheduled end"."""

DAY_MINUTES: Final = 24 * 60
HOLIDAY: Final = 7
"""The eighth kind of day, after Monday (0) to Sunday (6)."""

_SEARCH_DAYS_MAX: Final = 400
_WEEK_AND_EDGES: Final = 9

Window = tuple[int, int]
"""Minutes of the local day, `[from, to)`; `from` above `to` runs past midnight into the next day."""


@dataclass(frozen=True, slots=True)
class Timetable:
    """
    Windows per kind of day: Monday to Sunday and public holidays.

    Attributes:
        opens: true when the windows are the open times, false when they are the closed ones.
    """

    days: tuple[tuple[Window, ...], ...]
    opens: bool = True


@lru_cache(maxsize=65_536)
def open_on(table: Timetable, kind: int, previous: int) -> tuple[Window, ...]:
    """The open windows within one day, given its kind and that of the day before; ordered, disjoint."""
    stated = [(start, end if start < end else DAY_MINUTES) for start, end in table.days[kind]]
    stated += [(0, end) for start, end in table.days[previous] if start > end > 0]
    merged = _merged(stated)
    return merged if table.opens else _complement(merged)


def _merged(windows: Iterable[Window]) -> tuple[Window, ...]:
    merged: list[Window] = []
    for start, end in sorted(windows):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)


def _complement(windows: tuple[Window, ...]) -> tuple[Window, ...]:
    edges = [0, *(edge for window in windows for edge in window), DAY_MINUTES]
    return tuple((start, end) for start, end in zip(edges[::2], edges[1::2], strict=True) if start < end)


def knows_holidays(table: Timetable) -> bool:
    """Whether it has hours for public holidays."""
    return len(table.days) > HOLIDAY


def kind_of_day(table: Timetable, day: int, holidays: Container[int]) -> int:
    """Which of the table's day kinds a date is; a table without holiday hours treats a holiday as its weekday."""
    if knows_holidays(table) and day in holidays:
        return HOLIDAY
    # Day 0, 1970-01-01, was a Thursday.
    return (day + 3) % 7


def next_open(table: Timetable, clock: ZoneClock, holidays: Container[int], at: int) -> int:
    """
    The earliest instant from `at` on that is open on one zone's wall clock; NEVER when none comes.

    On the night the clocks change the wall decides: an opening that is jumped over happens at the jump
    if its window lasts beyond it, and an hour that comes twice is open, or closed, both times.
    """
    offset = clock.offset(at)
    local = at + offset
    today = local // DAY
    now = local - today * DAY
    previous = kind_of_day(table, today - 1, holidays)
    # Without holidays every week is like the next.
    days = _SEARCH_DAYS_MAX if knows_holidays(table) else _WEEK_AND_EDGES
    for day in range(today, today + days):
        kind = kind_of_day(table, day, holidays)
        for start, end in open_on(table, kind, previous):
            if day == today:
                if end * MINUTE <= now:
                    continue
                if start * MINUTE <= now:
                    return at
            opening = day * DAY + start * MINUTE - offset
            if clock.offset(opening) == offset:
                return opening
            # The wall clock jumps before then: nothing opens until it does, so look again from there.
            return next_open(table, clock, holidays, clock.change_after(at, opening))
        previous = kind
    return NEVER


_DAY_NAMES: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun", "holidays")


def first_beyond(table: Timetable, bounds: Timetable) -> tuple[str, int] | None:
    """
    Where a timetable is open and another one is not: the first day and minute of the day; None: nowhere, ever.

    Every sort of day is looked at after every sort of day, since hours may run past midnight: each day of the week,
    itself and the day before it a holiday or not.
    """
    for weekday in range(7):
        for today, yesterday in ((False, False), (False, True), (True, False), (True, True)):
            inner = open_on(table, _kind(table, weekday, today), _kind(table, (weekday - 1) % 7, yesterday))
            outer = open_on(bounds, _kind(bounds, weekday, today), _kind(bounds, (weekday - 1) % 7, yesterday))
            for start, end in inner:
                reached = start
                for low, high in outer:
                    if low <= reached < high:
                        reached = high
                if reached < end:
                    return _DAY_NAMES[HOLIDAY if today else weekday], reached
    return None


def _kind(table: Timetable, weekday: int, is_holiday: bool) -> int:
    return HOLIDAY if is_holiday and knows_holidays(table) else weekday
