"""The day's budget of each provider account: how much of it is left, and what is said when it is used up."""

from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlmodel import Session

from engine.errors import Problem
from store.budgets import Spent, spent
from store.outbox import RECORDED_CALL
from workflows.sending.door import Outward, due_in

_SETTING: Final = {RECORDED_CALL: "calls_per_day_max"}
"""Lane -> the setting of its budget, where it is not `sends_per_day_max`."""


def day_ends_at(outward: Outward, now: datetime) -> datetime:
    """When the calendar day ends that it is now in the lender's zone."""
    zone = ZoneInfo(outward.zone)
    tomorrow = now.astimezone(zone).date() + timedelta(days=1)
    return datetime.combine(tomorrow, time(), zone).astimezone(now.tzinfo)


def room(session: Session, outward: Outward, lane: str, now: datetime) -> int | None:
    """How many messages the accounts of a lane may still take today, each of its own; None: there is no bound."""
    per_day = outward.lane(lane).per_day
    if not per_day or None in per_day.values():
        return None
    used = {one.account: one.used for one in spent(session, now) if one.lane == lane}
    return max(max(0, most - used.get(account, 0)) for account, most in per_day.items() if most is not None)


def used_up(session: Session, outward: Outward, lane: str, now: datetime) -> Problem | None:
    """Why a lane stands still until tomorrow; None where it does not, or where nothing is due in it anyway."""
    if room(session, outward, lane, now) != 0 or not (waiting := due_in(session, lane, now)):
        return None
    return no_more(lane, outward.lane(lane).per_day, waiting, day_ends_at(outward, now))


def all_used_up(found: Sequence[Spent], due: Mapping[str, int]) -> list[Problem]:
    """
    The same of every lane, from what is written down alone.

    Args:
        due: lane -> how many contacts are due in it.
    """
    problems = []
    for lane in sorted({one.lane for one in found}):
        accounts = [one for one in found if one.lane == lane]
        if due.get(lane) and all(one.left == 0 for one in accounts):
            ends = max(one.until_at for one in accounts)
            problems.append(no_more(lane, {one.account: one.per_day for one in accounts}, due[lane], ends))
    return problems


def no_more(lane: str, per_day: Mapping[str, int | None], waiting: int, ends_at: datetime) -> Problem:
    """What is said of a lane whose accounts have taken all that they may today."""
    taken = " and ".join(f"{account} has taken the {most:,} of its day" for account, most in sorted(per_day.items()))
    what = f"{waiting:,} {lane.replace('_', ' ')} contacts wait: {taken}"
    mend = f"they go after {ends_at:%Y-%m-%d %H:%M}Z if they are timely then; with the provider's consent raise `{_SETTING.get(lane, 'sends_per_day_max')}`"
    return Problem(what, mend)
