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
    country, regions = _known(jurisdictions)
    return None if country is None else Calendar(country, regions)


def _known(places: tuple[str, ...]) -> tuple[str | None, tuple[str, ...]]:
    """The one country of these places that the library knows, and the regions of it that it tells apart."""
    import holidays

    known = holidays.list_supported_countries()
    countries = {place.split("-")[0] for place in places}
    country = countries.pop() if len(countries) == 1 else ""
    if country not in known:
        return None, ()
    regions = {place.split("-")[1] for place in places if "-" in place}
    return country, tuple(sorted(regions.intersection(known[country])))


class BusinessDays(Container[date]):
    """
    Days on which offices are open in a country and all the given regions of it: no weekend as it is there, no public holiday.

    Weekend days that are worked in exchange for a break count. Of a country that nobody has written down only the
    weekend is known, Saturday and Sunday.
    """

    def __init__(self, country: str | None, regions: tuple[str, ...]) -> None:
        self._country = country
        self._regions = regions
        self._years: dict[int, frozenset[date]] = {}

    def __contains__(self, day: object) -> bool:
        if not isinstance(day, date):
            return False
        days = self._years.get(day.year)
        if days is None:
            days = self._years[day.year] = frozenset(self._days(day.year))
        return day in days

    def _days(self, year: int) -> Iterator[date]:
        import holidays

        first = date(year, 1, 1)
        every = (first + timedelta(days=n) for n in range((date(year + 1, 1, 1) - first).days))
        if self._country is None:
            yield from (day for day in every if day.weekday() < _SATURDAY)
            return
        # Made anew for each year: what the library has read of a year cannot be seen half-way by another thread.
        known = [
            holidays.country_holidays(self._country, subdiv=region, years=range(year - 1, year + 2))
            for region in (None, *self._regions)
        ]
        yield from (day for day in every if all(place.is_working_day(day) for place in known))


def business_day_after(day: date, n: int, places: tuple[str, ...]) -> date:
    """The nth business day after a day in places such as ("US", "US-MA"); for none, the day itself, whatever it is."""
    working = business_days(places)
    while n > 0:
        day += timedelta(days=1)
        n -= day in working
    return day


@lru_cache(maxsize=4_096)
def business_days(places: tuple[str, ...]) -> BusinessDays:
    """The business days of places such as ("US", "US-MA")."""
    country, regions = _known(places)
    return BusinessDays(country, regions)


def edition() -> str:
    """Which edition of the calendars is installed."""
    return f"holidays {version('holidays')}"


def _weekend_beside(day: date) -> Iterator[date]:
    for step in (-1, 1):
        beside = day + timedelta(days=step)
        while beside.weekday() >= _SATURDAY:
            yield beside
            beside += timedelta(days=step)
