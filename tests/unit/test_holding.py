"""How long a message may be on its way: as long as the gate allows it to arrive."""

from datetime import UTC, datetime, timedelta

import pytest

from channels.sms import TURN_SECONDS_MAX, VALID_SECONDS_MAX
from compliance import Gate, shipped_packs
from duecourse.compose import _HELD_MAX
from engine.gate import Ask, Endpoint, LocalWindow, Statement
from store.columns import to_us
from workflows.sending.door import LOOK_TO_SEND_MAX
from workflows.sending.holding import LEAVES_WITHIN, held_until

GATE = Gate(shipped_packs())
MINUTE = timedelta(minutes=1)
NOON = datetime(2026, 3, 3, 4, 0, tzinfo=UTC)
"""In Shanghai, where texts are allowed until 21:00."""
LUNCH = Statement("inconvenient_time", to_us(NOON - timedelta(days=9)), windows=(LocalWindow(14 * 60 + 5, 15 * 60),))


def ask(*zones: str, statements: tuple[Statement, ...] = ()) -> Ask:
    return Ask(
        "contact", "sms", "collect", "borrower", 1, (1,), ("CN",), zones or ("Asia/Shanghai",),
        endpoint=Endpoint(1, "mobile"), statements=statements, content={"template": "friendly"},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "now", "closes"),
    [
        (ask(), NOON, NOON + timedelta(hours=9)),
        (ask(), NOON + timedelta(hours=8, minutes=50, seconds=7), NOON + timedelta(hours=9)),
        (ask("Asia/Shanghai", "Asia/Tokyo"), NOON, NOON + timedelta(hours=8)),
        (ask(statements=(LUNCH,)), NOON, NOON + timedelta(hours=2, minutes=5)),
    ],
)
def test_a_text_is_held_until_its_hours_end(asked: Ask, now: datetime, closes: datetime) -> None:
    """To the minute, and never beyond: by the law, by each zone they may be in, and by what they said."""
    assert GATE.check(asked, now).outcome == "allow"
    assert GATE.check(asked, closes - timedelta(seconds=1)).outcome == "allow"
    assert GATE.check(asked, closes).outcome != "allow"
    until = held_until(GATE, asked, now, now + timedelta(hours=10))
    assert closes - MINUTE <= until < closes


def test_nothing_is_looked_at_beyond_the_end() -> None:
    """Where the hours last longer than the text itself, the text's end counts."""
    for minutes in (0, 1, 29, 30, 31, 245):
        end = NOON + timedelta(minutes=minutes)
        assert held_until(GATE, ask(), NOON, end) == end


def test_what_the_numbers_stand_for() -> None:
    """The time to the provider covers its parts, and texts are looked at as far as the provider can hold them."""
    assert LOOK_TO_SEND_MAX + timedelta(seconds=TURN_SECONDS_MAX) < LEAVES_WITHIN
    assert timedelta(seconds=VALID_SECONDS_MAX) >= _HELD_MAX
