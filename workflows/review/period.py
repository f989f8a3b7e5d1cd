"""The month that is reviewed: a calendar month where the lender works."""

import re
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import Final, Self
from zoneinfo import ZoneInfo

from engine.errors import DataError, Problem
from store.columns import to_us

_MONTH: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Month:
    """
    One calendar month.

    Attributes:
        name: `2026-03`. zone: IANA name of where its days begin and end.
    """

    name: str
    zone: str

    @classmethod
    def named(cls, name: str, zone: str) -> Self:
        """
        The month of that name.

        Raises:
            DataError: it names no month.
        """
        found = _MONTH.fullmatch(name)
        # In the first and the last year there is a month whose ends no calendar has, in some zone.
        if found is None or not "0001" < found[1] < "9999":
            raise DataError(Problem(f"`{name}` is no month", "write one like `2026-03`"))
        return cls(name, zone)

    @property
    def first(self) -> date:
        """Its first day."""
        return date.fromisoformat(f"{self.name}-01")

    @property
    def after(self) -> date:
        """The first day of the next."""
        first = self.first
        return first.replace(year=first.year + first.month // 12, month=first.month % 12 + 1)

    @property
    def start(self) -> datetime:
        """Its first instant."""
        return datetime.combine(self.first, time(), ZoneInfo(self.zone))

    @property
    def end(self) -> datetime:
        """The first instant that is not in it any more."""
        return datetime.combine(self.after, time(), ZoneInfo(self.zone))

    @property
    def span_us(self) -> tuple[int, int]:
        """Both in microseconds since 1970."""
        return to_us(self.start), to_us(self.end)
