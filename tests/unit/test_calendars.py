"""Public holidays: which days they are, where, and that an unknown calendar means no contact."""

from datetime import UTC, date, datetime

import pytest

from compliance import Gate, shipped_packs
from compliance.calendars import calendar
from compliance.clock import day_number
from compliance.pack import EVERYWHERE
from engine.gate import Ask


@pytest.mark.parametrize(
    ("places", "day", "is_holiday"),
    [
        (("US",), date(2026, 7, 3), True),  # Independence Day falls on a Saturday and is observed on the Friday
        (("US",), date(2026, 4, 20), False),
        (("US", "US-MA"), date(2026, 4, 20), True),  # Patriots' Day
        (("US", "US-NY", "US-NY-NYC"), date(2026, 7, 3), True),
        (("GB",), date(2026, 4, 6), False),  # Easter Monday is none in Scotland
        (("GB", "GB-ENG"), date(2026, 4, 6), True),
        (
            ("CN",),
            date(2026, 4, 4),
            True,
        ),  # a Saturday: the break of Qingming, 4 to 6 April by the State Council's notice
        (("CN",), date(2026, 5, 3), True),  # a Sunday within Labour Day's break, 1 to 5 May
        (("CN",), date(2026, 4, 7), False),
        (("CN",), date(2026, 4, 3), False),
    ],
)
def test_the_holidays_of_a_place(places: tuple[str, ...], day: date, is_holiday: bool) -> None:
    """Country and region together; what falls on a weekend is observed as the law there says."""
    known = calendar(places)
    assert known is not None
    assert (day_number(day) in known) is is_holiday


def test_every_place_a_shipped_pack_holds_in_has_a_calendar() -> None:
    """Else its hours on holidays could never be answered."""
    places = {place for pack in shipped_packs() for place in pack.places} - {EVERYWHERE}
    assert [place for place in sorted(places) if calendar((place,)) is None] == []


def test_hours_that_depend_on_an_unknown_calendar_are_closed() -> None:
    """A house that visits on working days only does not visit where it cannot tell which those are."""
    gate = Gate([pack for pack in shipped_packs() if pack.is_house], places=["XX"])
    noon = datetime(2026, 4, 8, 12, tzinfo=UTC)

    def reasons(channel: str, *days: date) -> list[str]:
        ask = Ask(
            "contact", channel, "service", "borrower", 1, (1,), ("XX",), ("Etc/UTC",), holidays=days  # type: ignore[arg-type]
        )  # fmt: skip
        return [reason.rule for reason in gate.check(ask, noon).reasons]

    assert reasons("visit") == ["gate.unknown.holidays"]
    assert "gate.unknown.holidays" not in reasons("call")
    assert "gate.unknown.holidays" not in reasons("visit", date(2026, 1, 1))
