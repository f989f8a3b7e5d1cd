"""
What each provider account has taken of its day's budget.

Counted in the very transaction that commits messages as `sending`, so no worker overruns it and none forgets: one row
for each lane and account, which stays locked until that transaction ends.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import text
from sqlmodel import Session, col, select

from store.columns import from_us, to_us
from store.outbox import ROW
from store.tables import Setting

_PREFIX: Final = "spent."
_DAY_MAX: Final = timedelta(hours=26)
"""A day on which clocks go back is 25 hours long. A row of a day that ends later than that is of a clock since set back."""


@dataclass(frozen=True, slots=True)
class Spent:
    """
    What one account has taken of its day by one lane.

    Attributes:
        used: messages that it took or may have taken, those under way among them.
        per_day: how many it may take; None: no bound.
        until_at: when its day ends.
    """

    lane: str
    account: str
    used: int
    per_day: int | None
    until_at: datetime

    @property
    def left(self) -> int | None:
        """How many more it may take; None: no bound."""
        return None if self.per_day is None else max(0, self.per_day - self.used)


def spent(session: Session, now: datetime) -> list[Spent]:
    """What accounts have taken of the day that is now, by lane and account; none of it is locked."""
    rows = session.exec(select(Setting).where(col(Setting.name).startswith(_PREFIX)).order_by(col(Setting.name)))
    return [one for one in map(_read, rows) if now < one.until_at <= now + _DAY_MAX]


def spend(
    session: Session, lane: str, per_day: Mapping[str, int | None], wanted: int, *, now: datetime, until_at: datetime
) -> dict[str, int]:
    """
    Take messages off the day's budget of every account of a lane that could be asked to send them.

    Which of several accounts sends a message is known only afterwards: until then each has it on its bill, and `unspend`
    takes it off those that did not.

    Args:
        per_day: account -> how many it may take a day; None: no bound.
        until_at: when the day that is now ends.
    Returns:
        account -> how many of those wanted it may still take.
    """
    granted: dict[str, int] = {}
    # In one order, so that two transactions never wait for each other in a circle.
    for account, most in sorted(per_day.items()):
        row = _locked(session, lane, account, until_at)
        before = _read(row)
        # A worker whose clock is a little ahead has begun the next day: that one counts then.
        same = until_at <= before.until_at <= now + _DAY_MAX
        used, ends = (before.used, before.until_at) if same else (0, until_at)
        granted[account] = wanted if most is None else max(0, min(wanted, most - used))
        row.value = _written(used + granted[account], most, ends)
        session.add(row)
    return granted


def unspend(session: Session, lane: str, back: Mapping[tuple[str, datetime], int]) -> None:
    """Give back what accounts did not take after all: (account, the end of its day) -> how many; of days gone by nothing."""
    for (account, until_at), count in sorted(back.items()):
        row = _locked(session, lane, account, until_at)
        now = _read(row)
        if now.until_at == until_at:
            row.value = _written(max(0, now.used - count), now.per_day, until_at)
            session.add(row)


def _locked(session: Session, lane: str, account: str, until_at: datetime) -> Setting:
    name = f"{_PREFIX}{lane}.{account}"
    made = {"n": name, "v": _written(0, None, until_at)}
    session.execute(text("insert into setting (name, value) values (:n, :v) on conflict do nothing"), made)
    return session.get_one(Setting, name, with_for_update=ROW, populate_existing=True)


def _written(used: int, per_day: int | None, until_at: datetime) -> str:
    return f"{to_us(until_at)} {used} {'' if per_day is None else per_day}".rstrip()


def _read(row: Setting) -> Spent:
    _, lane, account = row.name.split(".", 2)
    until, used, *most = row.value.split()
    return Spent(lane, account, int(used), int(most[0]) if most else None, from_us(int(until)))
