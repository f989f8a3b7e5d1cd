"""What packs say of days: how long something takes, when a notice is in force, what must be done by when, what is kept."""

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal, get_args

from compliance.calendars import business_day_after

Unit = Literal["days", "business days", "months"]
Started = Literal["contact", "hold", "statement", "notice", "limitation", "review", "agency"]
"""
What can start a deadline. A `contact` is the first one with the borrower about the loan; a `notice` starts it on the day
it is in force; `limitation` is the loan's last day to sue and `review` a hold's day of review, due as they stand; an
`agency` starts it with its first contact for us, and again whenever it was done.
"""
Fulfilled = Literal["contact", "statement", "notice", "end", "entry"]
"""What fulfils one: something later on file; the `end` of the hold that started it; its `entry` in the book alone."""
Records = Literal["contacts", "recordings", "decisions", "complaints", "consents", "file"]
RECORDS: Final[tuple[Records, ...]] = get_args(Records)
"""What is kept; `file` is all of it, and everything else about the loan."""
Since = Literal["last_activity", "record", "settlement"]

_LENGTH: Final = re.compile(r"([0-9]{1,4}) (?:(business day)|(day|week|month|year))s?")
_DAYS: Final = {"day": 1, "week": 7}
_MONTHS: Final = {"month": 1, "year": 12}


@dataclass(frozen=True, slots=True)
class Length:
    """
    A length of time in whole days; the day from which it runs is not counted.

    Attributes:
        calendar: the places whose holidays are no business days; empty: those where the person is.
    """

    unit: Unit
    n: int
    calendar: tuple[str, ...] = ()

    @property
    def shortest(self) -> timedelta:
        """No shorter than this, wherever and whenever it begins."""
        return timedelta(days=self.n * (28 if self.unit == "months" else 1))

    def after(self, day: date, places: tuple[str, ...]) -> date:
        """The day so long after another, for somebody in these jurisdictions, e.g. ("US", "US-MA")."""
        match self.unit:
            case "days":
                return day + timedelta(days=self.n)
            case "business days":
                return business_day_after(day, self.n, self.calendar or places)
            case "months":
                months = day.year * 12 + day.month - 1 + self.n
                year, month = months // 12, months % 12 + 1
                # A month that has no such day ends earlier.
                return date(year, month, min(day.day, monthrange(year, month)[1]))


def read_length(text: str) -> Length | None:
    """A length such as `5 days`, `10 business days`, `3 months` or `2 years`; None when it is not one."""
    match = _LENGTH.fullmatch(text)
    if match is None:
        return None
    n = int(match[1])
    if match[2]:
        return Length("business days", n)
    unit = match[3]
    return Length("days", n * _DAYS[unit]) if unit in _DAYS else Length("months", n * _MONTHS[unit])


@dataclass(frozen=True, slots=True)
class Mark:
    """
    What on file starts a deadline, or fulfils one. Empty sets mean any.

    Attributes:
        kinds: of hold, statement or notice; of a contact its channels.
        outcomes: of contacts, expanded.
        forms: of holds: how they were declared; one whose form is not known counts.
    """

    what: Started | Fulfilled
    kinds: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()
    forms: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Service:
    """A notice of one of these kinds, of any where there are none, is in force so long after it was sent."""

    after: Length
    notices: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Deadline:
    """
    Something that must be done by a day.

    Attributes:
        within: how long after its start; None where the start is itself the last day.
        done_by: what on file fulfils it; None: a person says so, with evidence.
        owner: whose it is until it is given to somebody else; None: the hold's owner.
        lead_days: so many days before the last one it escalates.
    """

    starts: Mark
    within: Length | None
    done_by: Mark | None
    owner: str | None
    lead_days: int


@dataclass(frozen=True, slots=True)
class Retention:
    """
    Records that must be kept at least so long, counted from the loan's last activity, each record, or settlement.

    Attributes:
        at_most: how long they may be kept, counted from the same day; None: that is not said.
    """

    records: frozenset[Records]
    at_least: Length
    since: Since
    at_most: Length | None = None


Dated = Service | Deadline | Retention
"""Kinds of rule that set days and limit nothing by themselves: the gate does not ask them."""
