"""Limits that count past contacts: at most so many in a window, and closed for a while after some."""

from typing import Final

from compliance.clock import DAY, HOUR, ZoneClock, date_of, day_number
from compliance.consents import excused, lifting
from compliance.look import Judge, Look
from compliance.pack import Cooldown, Count, Span
from compliance.timetable import NEVER

_NONE: Final[list[int]] = []
_MARGIN: Final = 2 * DAY
"""Dates reach further than hours: the zones and their jumps."""
_SPAN_DAYS: Final = {"dates": 1, "weeks": 7, "months": 31}


def reach(limit: Count | Cooldown) -> int | None:
    """How far from the ask a contact can still count, in microseconds, or a little more; None: any."""
    spans = (limit.span,) if isinstance(limit, Cooldown) else limit.spans
    far = 0
    for span in spans:
        if span.unit == "ever":
            return None
        far = max(far, span.n * HOUR if span.unit == "hours" else span.n * _SPAN_DAYS[span.unit] * DAY + _MARGIN)
    return far


def count_judge(limit: Count, index: int) -> Judge:
    """
    At most `limit.max` in each span, the asked contact included.

    Contacts planned for later count too: the asked one may not push any window that holds it over the limit.
    """

    def judge(look: Look, at: int) -> int:
        until = at
        for number, counted in enumerate(look.events[index]):
            beside = look.beside[index][number] if look.beside is not None else _NONE
            if len(counted) + len(beside) < limit.max:
                continue
            instants = excused(look, limit.lifted_by, counted) if limit.lifted_by else counted
            if beside:
                instants = instants + beside
            for span in limit.spans:
                for clock in look.clocks:
                    until = max(until, _room(span, limit.max, instants, clock, at))
        return until

    return lifting(judge, limit.lifted_by)


def cooldown_judge(limit: Cooldown, index: int) -> Judge:
    """Closed from each trigger for the span; a trigger still planned closes as long before it."""

    def judge(look: Look, at: int) -> int:
        until = at
        for number, own in enumerate(look.events[index]):
            triggers = own + look.beside[index][number] if look.beside is not None else own
            if triggers:
                for clock in look.clocks:
                    until = max(until, _cooled(limit.span, triggers, clock, at))
        return until

    return lifting(judge, limit.lifted_by)


def _room(span: Span, most: int, instants: list[int], clock: ZoneClock, at: int) -> int:
    """The given instant when the window has room for one more; else when the next one that counts leaves it."""
    if len(instants) < most:
        return at
    if span.unit == "ever":
        return NEVER
    if span.unit == "hours":
        return _room_in_hours(span.n * HOUR, most, instants, at)
    today = clock.day(at)
    if span.unit == "dates":
        near = _days_near(span.n, instants, clock, at, today)
        leaving = _room_in_line(span.n, most, near, today) if len(near) >= most else today
        return at if leaving <= today else clock.day_start(leaving, at)
    first, after = _calendar(span, today)
    if sum(first <= clock.day(instant) < after for instant in instants) < most:
        return at
    return clock.day_start(after, at)


def _days_near(length: int, instants: list[int], clock: ZoneClock, at: int, today: int) -> list[int]:
    """The dates of those instants that share a window of `length` dates with today."""
    # Most of a history is long past: the rough look spares it the wall clock. Two days allow for any jump.
    rough = (length + 2) * DAY
    return [
        day
        for instant in instants
        if -rough < instant - at < rough and -length < (day := clock.day(instant)) - today < length
    ]


def _room_in_line(length: int, most: int, near: list[int], today: int) -> int:
    """The first date from today on which one more fits into every window of `length` dates that holds it."""
    near.sort()
    if near[-1] <= today:
        return near[-most] + length
    # The fullest windows end today or with a contact that is still to come.
    ends = {today, *(day for day in near if day > today)}
    full = any(sum(end - length < day <= end for day in near) >= most for end in ends)
    return today + 1 if full else today


def _room_in_hours(length: int, most: int, instants: list[int], at: int) -> int:
    near = [instant for instant in instants if at - length < instant < at + length]
    if len(near) < most:
        return at
    near.sort()
    if near[-1] <= at:
        return near[-most] + length
    ends = {at, *(instant for instant in near if instant > at)}
    full = any(sum(end - length < instant <= end for instant in near) >= most for end in ends)
    return min(instant + length for instant in near) if full else at


def _calendar(span: Span, today: int) -> tuple[int, int]:
    """First day of this calendar week (from Monday) or month, and of the next one."""
    if span.unit == "weeks":
        monday = today - (today + 3) % 7
        return monday, monday + 7
    first = date_of(today).replace(day=1)
    after = first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)
    return day_number(first), day_number(after)


def _cooled(span: Span, triggers: list[int], clock: ZoneClock, at: int) -> int:
    if span.unit == "ever":
        return NEVER if triggers else at
    if span.unit == "hours":
        length = span.n * HOUR
        near = [trigger for trigger in triggers if at - length < trigger < at + length]
        return max(near) + length if near else at
    today = clock.day(at)
    days = _days_near(span.n, triggers, clock, at, today)
    return clock.day_start(max(days) + span.n, at) if days else at
