"""
Which day it is for a borrower.

Somebody who may be in several zones lives by the clock that shows the earliest time; somebody of whom no zone is known
by the last clock on Earth. Days are counted on that one clock: what happened yesterday there happened one day ago.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from store.columns import from_us, to_us
from store.fact_sql.piece import Piece

if TYPE_CHECKING:
    import pyarrow as pa

EARLIEST_ZONE: Final = "Etc/GMT+12"
"""UTC-12 (POSIX signs): the last place on Earth where a day begins."""

SPAN_DAYS: Final = 3_990
"""How far back a contact can lie and still be put on its day; ten years of the longest episodes. Whole weeks (`_STEP_US`)."""

DAY_US: Final = 86_400_000_000
_STEP_US: Final = 7 * DAY_US
"""No place has changed its clocks and changed them back within a week."""
_EPOCH_ON: Final = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class ClockTables:
    """
    What the facts statement needs to know of time zones, as tables.

    Attributes:
        clock: clock (0 is the last on Earth, then from the earliest time on), day_on, day (days since 1970).
        zones_clock: zones (a text of `person.zones` or `endpoint.zone`) -> the clock with the earliest time among them.
        clock_span: clock, from_us, until_us, offset_us: its distance from UTC while it stays the same.
    """

    clock: "pa.Table"
    zones_clock: "pa.Table"
    clock_span: "pa.Table"


def clock_tables(zones: Iterable[str], now: datetime) -> ClockTables:
    """
    The clocks of every zone named.

    Args:
        zones: texts of IANA names separated by spaces; a name nobody knows makes its whole text unknown.
    """
    import pyarrow as pa

    texts = sorted({text for text in zones if text})
    known = {name for text in texts for name in text.split() if _zone(name) is not None}
    ordered = [EARLIEST_ZONE, *sorted(known, key=lambda name: (_offset_us(name, now), name))]
    number = {name: n for n, name in reversed(list(enumerate(ordered)))}
    days = [(now.astimezone(_zone(name)).date()) for name in ordered]
    spans = [(n, *span) for n, name in enumerate(ordered) for span in _spans(name, now.astimezone(UTC).date())]
    return ClockTables(
        clock=pa.table(
            {
                "clock": pa.array(range(len(ordered)), pa.int64()),
                "day_on": pa.array(days, pa.date32()),
                "day": pa.array([(day - _EPOCH_ON).days for day in days], pa.int64()),
            }
        ),
        zones_clock=pa.table(
            {
                "zones": pa.array(texts, pa.string()),
                "clock": pa.array([min(number.get(name, 0) for name in t.split()) for t in texts], pa.int64()),
            }
        ),
        clock_span=pa.table(
            {
                name: pa.array([span[i] for span in spans], pa.int64())
                for i, name in enumerate(("clock", "from_us", "until_us", "offset_us"))
            }
        ),
    )


def day_at(zones: Iterable[str], now: datetime) -> date:
    """Today for somebody who may be in any of these zones: the earliest of their dates."""
    names = list(zones)
    if not names or any(_zone(name) is None for name in names):
        names = [EARLIEST_ZONE]
    return min(now.astimezone(_zone(name)).date() for name in names)


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        return None


def _offset_us(name: str, at: datetime) -> int:
    offset = at.astimezone(_zone(name)).utcoffset()
    return (offset or timedelta()) // timedelta(microseconds=1)


@lru_cache(maxsize=1024)
def _spans(name: str, today: date) -> tuple[tuple[int, int, int], ...]:
    """The stretches of constant distance from UTC, [from, until), from long ago until next week."""
    midnight = datetime(today.year, today.month, today.day, tzinfo=UTC)
    first, last = to_us(midnight - timedelta(days=SPAN_DAYS)), to_us(midnight + timedelta(days=7))
    spans: list[tuple[int, int, int]] = []
    begin, offset = first, _offset_us(name, from_us(first))
    for at in range(first + _STEP_US, last + 1, _STEP_US):
        if _offset_us(name, from_us(at)) != offset:
            change = _change(name, at - _STEP_US, at)
            spans.append((begin, change, offset))
            begin, offset = change, _offset_us(name, from_us(at))
    return (*spans, (begin, last, offset))


def _change(name: str, low: int, high: int) -> int:
    """The instant between the two at which the distance becomes what it is at `high`."""
    after = _offset_us(name, from_us(high))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _offset_us(name, from_us(middle)) == after else (middle, high)
    return high


BORROWED: Final = Piece(
    name="borrowed",
    key="loan_id",
    sql="""
select
    loan.id as loan_id, loan.borrower_id, clock.clock, clock.day_on as on_on, clock.day as day,
    loan.basis, loan.episode_on
from loan
left join (
    select person_id, min(clock) as clock
    from (
        select person.id as person_id, zones_clock.clock
        from person join zones_clock on zones_clock.zones = person.zones
        union all
        select endpoint.person_id, zones_clock.clock
        from endpoint join zones_clock on zones_clock.zones = endpoint.zone
        where endpoint.valid
    ) as claims
    group by person_id
) as lives on lives.person_id = loan.borrower_id
join clock on clock.clock = coalesce(lives.clock, 0)
""",
    facts={},
)
"""One row per loan: whose it is, and today on the borrower's clock."""
