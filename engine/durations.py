"""Lengths of time, hours, days and shares as people write them: `7 days`, `1 day before`, `18:00-20:00`, `90%`."""

import re
from datetime import date, timedelta
from decimal import Decimal
from typing import Final

_LENGTH: Final = re.compile(r"([1-9][0-9]{0,4}) (minute|hour|day|week)s?")
_UNIT: Final = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}
_HOURS: Final = re.compile(r"([01][0-9]|2[0-4]):([0-5][0-9])-([01][0-9]|2[0-4]):([0-5][0-9])")
_PERCENT: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,2})?)%")
_BEFORE: Final = " before"
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MIDNIGHT: Final = 24 * 60


def read_length(text: str) -> timedelta | None:
    """A length such as `36 hours` or `7 days`; None when it is not one."""
    match = _LENGTH.fullmatch(text)
    return int(match[1]) * _UNIT[match[2]] if match else None


def read_days(text: str) -> int | None:
    """A whole number of days, such as `7 days` or `2 weeks`; None when it is not one."""
    length = read_length(text)
    return length.days if length is not None and not length % timedelta(days=1) else None


def read_days_before(text: str) -> int | None:
    """A whole number of days in `1 day before`; None when it is not one."""
    return read_days(text.removesuffix(_BEFORE)) if text.endswith(_BEFORE) else None


def read_percent(text: str) -> Decimal | None:
    """The fraction in `90%`, above 0 and up to 1; None when it is not one."""
    match = _PERCENT.fullmatch(text)
    share = Decimal(match[1]) / 100 if match else Decimal(0)
    return share if 0 < share <= 1 else None


def read_hours_of_day(text: str) -> tuple[int, int] | None:
    """Opening and closing minute of `18:00-20:00`, the closing one not included; None when it is no such span."""
    match = _HOURS.fullmatch(text)
    if match is None:
        return None
    opens, closes = int(match[1]) * 60 + int(match[2]), int(match[3]) * 60 + int(match[4])
    return (opens, closes) if opens < closes <= _MIDNIGHT else None


def read_date(text: str) -> date | None:
    """A calendar day such as `2026-11-30`; None when there is no such day."""
    if not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None
