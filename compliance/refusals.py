"""What a refusal or a request closes: for how long it stands, how wide it is read, and how much of it is honoured."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Final

from compliance.look import Look, permits
from compliance.pack import Statements
from compliance.timetable import DAY_MINUTES, NEVER
from engine.gate import CHANNELS, Ask, Statement

REFUSALS: Final = frozenset({"opt_out", "no_medium", "no_endpoint", "no_contact"})
_WEEK_DAYS: Final = 7


def stands(statement: Statement, at: int) -> bool:
    """Whether it was said by then and has not lapsed."""
    return statement.at_us <= at and (statement.until_us is None or at < statement.until_us)


def reopens(kind: str, scope: str) -> bool:
    """Whether a statement of that kind takes refusals back; a consent to more calls or other hours does not."""
    return kind == "opt_in" or (kind == "consent" and scope in {"", "electronic"})


def taken_back(ask: Ask, refusal: Statement, at: int) -> bool:
    """Whether a later statement that covers the ask reopened what was refused: the latest word wins, a tie does not."""
    return any(
        later.at_us > refusal.at_us and stands(later, at) and reopens(later.kind, later.scope) and permits(later, ask)
        for later in ask.statements
    )


def weighs(limit: Statements) -> bool:
    """Whether what a statement closes depends on more than itself: on the others beside it, or on the date."""
    return bool(limit.as_one) or any(
        number is not None for number in (limit.oral_dates_max, limit.hours_a_week_max, limit.channels_max)
    )


def widened(statement: Statement, as_one: frozenset[str]) -> Statement:
    """A refusal of one of these channels as one of all of them, whatever number, debt or purpose it names."""
    if statement.kind not in REFUSALS or (statement.channels and as_one.isdisjoint(statement.channels)):
        return statement
    channels = tuple(sorted(as_one.union(statement.channels))) if statement.channels else ()
    return replace(statement, channels=channels, endpoint=None, debts=(), purposes=(), scope="")


def lapses(look: Look, limit: Statements, statement: Statement, at: int) -> int:
    """From when on the statement, which stands, closes nothing any more under this limit; NEVER: until it is taken back."""
    lapse = NEVER if statement.until_us is None else statement.until_us
    if limit.oral_dates_max is None or statement.form != "oral":
        return lapse
    last = limit.oral_dates_max - 1
    over = at
    for clock in look.clocks:
        day = clock.day(statement.at_us) + last
        if clock.day(at) <= day:
            over = max(over, clock.day_start(day + 1, at))
    return min(lapse, over)


def beyond_budget(ask: Ask, limit: Statements, at: int) -> Sequence[Statement]:
    """What this limit need not honour: the first request that closes more than people may, and those after it."""
    if limit.hours_a_week_max is None and limit.channels_max is None:
        return ()
    said = sorted((one for one in ask.statements if stands(one, at)), key=lambda one: (one.at_us, repr(one)))
    beyond: list[Statement] = []
    if limit.hours_a_week_max is not None:
        times = [one for one in said if one.kind == "inconvenient_time"]
        spent = accumulate(map(_minutes_a_week, times))
        beyond += _after(times, spent, limit.hours_a_week_max * 60)
    if limit.channels_max is not None:
        refusals = [one for one in said if one.kind in REFUSALS and not taken_back(ask, one, at)]
        closed = accumulate(map(_means, refusals), lambda before, more: before | more)
        beyond += _after(refusals, map(len, closed), limit.channels_max)
    return beyond


def _after(said: Sequence[Statement], spent: Iterable[int], most: int) -> list[Statement]:
    """What was said when more than `most` was spent with it."""
    return [one for one, sum_to_here in zip(said, spent, strict=True) if sum_to_here > most]


def _minutes_a_week(statement: Statement) -> int:
    """As stated: hours named twice are counted twice."""
    if not statement.windows:
        return _WEEK_DAYS * DAY_MINUTES
    return sum(
        ((window.to_minute - window.from_minute) % DAY_MINUTES or DAY_MINUTES) * len(window.days or range(_WEEK_DAYS))
        for window in statement.windows
    )


def _means(statement: Statement) -> frozenset[str]:
    """The channels that a refusal closes; one about a number or address closes that."""
    if statement.endpoint is not None:
        return frozenset({f"endpoint {statement.endpoint}"})
    return frozenset(statement.channels or CHANNELS)
