"""Statements as people write them down."""

from datetime import UTC, date, datetime

import pytest

from engine.errors import DataError
from engine.gate import LocalWindow
from workflows.desk.sayings import Saying, read_saying, statement

WORDS = "  mend: write channels, purposes, a scope, hours like 00:00-12:00, days, dates, home or work"
MORNING = LocalWindow(0, 720)


@pytest.mark.parametrize(
    ("text", "saying"),
    [
        ("no_medium call", Saying("no_medium", channels=("call",))),
        ("no_work_contact", Saying("no_work_contact")),
        ("inconvenient_time 00:00-12:00", Saying("inconvenient_time", windows=(MORNING,))),
        ("inconvenient_time sat 22:00-08:00 sun", Saying("inconvenient_time", windows=(LocalWindow(1320, 480, (5, 6)),))),
        ("inconvenient_time sun", Saying("inconvenient_time", windows=(LocalWindow(0, 1440, (6,)),))),
        ("inconvenient_place work", Saying("inconvenient_place", place="work")),
        ("consent electronic sms until:2026-12-31",
         Saying("consent", "electronic", ("sms",), until_on=date(2026, 12, 31))),
        ("consent contact_time 2026-12-01 20:00-22:00",
         Saying("consent", "contact_time", windows=(LocalWindow(1200, 1320),), only_on=(date(2026, 12, 1),))),
        ("opt_out sms discount_offer", Saying("opt_out", channels=("sms",), purposes=("discount_offer",))),
    ],
)  # fmt: skip
def test_what_is_written_down_is_what_is_meant(text: str, saying: Saying) -> None:
    """The words after the kind narrow it, in any order."""
    assert read_saying(text) == saying


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no_contacts", "unknown kind of statement `no_contacts`\n  mend: write `no_contact`"),
        ("no_medium", "`no_medium` does not say which\n  mend: write `no_medium call`"),
        ("inconvenient_time", "`inconvenient_time` does not say when\n  mend: write `inconvenient_time 00:00-12:00`"),
        ("no_medium fax", f"unknown word of a statement `fax`\n{WORDS}"),
        ("opt_in call_frequency", "`call_frequency` is the scope of a consent, and `opt_in` is none\n  mend: leave it out"),
        ("inconvenient_time 25:00-26:00", f"unknown word of a statement `25:00-26:00`\n{WORDS}"),
        ("inconvenient_place home work", "a statement has one place, not several\n  mend: write two statements"),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused_with_its_mend(text: str, message: str) -> None:
    """Nothing is written down that a person would have to guess at later."""
    with pytest.raises(DataError) as caught:
        read_saying(text)
    assert str(caught.value) == message


def test_the_last_day_ends_where_they_are() -> None:
    """What permits ends with the first place they may be in, what refuses with the last: never in our favour."""
    zones = ("America/New_York", "Asia/Shanghai")
    rest = {"endpoint": None, "at": datetime(2026, 11, 1, tzinfo=UTC), "zones": zones, "source": "t", "ref": "t"}
    consent = statement(read_saying("consent electronic until:2026-11-30"), 1, **rest)  # type: ignore[arg-type]
    refusal = statement(read_saying("no_contact until:2026-11-30"), 1, **rest)  # type: ignore[arg-type]
    assert consent.until_at == datetime(2026, 11, 30, 16, tzinfo=UTC)
    assert refusal.until_at == datetime(2026, 12, 1, 5, tzinfo=UTC)
