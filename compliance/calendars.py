"""
Public holidays where a person is, by the `holidays` library, which follows each country's law year by year.

Its version is part of the gate's digest, because answers depend on what it knows.
"""

from collections.abc import Container, Iterator
from datetime import date, timedelta
from functools import lru_cache
from importlib.metadata import version
from typing import Final

from compliance.clock import date_of, day_number

_BREAKS_TAKE_IN_WEEKENDS: Final = frozenset({"CN"})
"""Where the weekend that touches a holiday belongs to the break; the library lists the holiday only."""
_SATURDAY: Final = 5


class Calendar(Container[int]):
    """Public holidays, as day numbers, of a country and of some of its regions: a holiday in any of them counts."""

    def __init__(self, country: str, regions: tuple[str, ...]) -> None:
        self._country = country
        self._regions = regions
        self._years: dict[int, frozenset[int]] = {}

    def __contains__(self, day: object) -> bool:
        if not isinstance(day, int):
            return False
        year = date_of(day).year
        days = self._years.get(year)
        if days is None:
            days = self._years[year] = frozenset(map(day_number, self._days(year)))
        return day in days

    def _days(self, year: int) -> Iterator[date]:
        import holidays

        # A break around New Year reaches into the year beside it.
        years = range(year - 1, year + 2)
        for region in (None, *self._regions):
            for day in holidays.country_holidays(self._country, subdiv=region, years=years):
                yield day
                if self._country in _BREAKS_TAKE_IN_WEEKENDS:
                    yield from _weekend_beside(day)


class Dates(Container[int]):
    """The days of a calendar, and further ones that an ask brings along."""

    def __init__(self, known: Container[int], further: tuple[date, ...]) -> None:
        self._known = known
        self._further = frozenset(map(day_number, further))

    def __contains__(self, day: object) -> bool:
        return day in self._further or day in self._known


@lru_cache(maxsize=4_096)
def calendar(jurisdictions: tuple[str, ...]) -> Calendar | None:
    """
    The calendar of places such as ("US", "US-MA"); None where nobody has written the country's down.

    A region that the library does not tell apart has its country's.
    """
    import holidays

    known = holidays.list_supported_countries()
    countries = {place.split("-")[0] for place in jurisdictions}
    country = countries.pop() if len(countries) == 1 else ""
    if country not in known:
        return None
    regions = {place.split("-")[1] for place in jurisdictions if "-" in place}
    return Calendar(country, tuple(sorted(regions.intersection(known[country]))))


def edition() -> str:
    """Which edition of the calendars is installed."""
    return f"holidays {version('holidays')}"


def _weekend_beside(day: date) -> Iterator[date]:
    for step in (-1, 1):
        beside = day + timedelta(days=step)
        while beside.weekday() >= _SATURDAY:
            yield beside
            beside += timedelta(days=step)
