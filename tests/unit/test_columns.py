"""The one column type for instants."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql, sqlite

from store.columns import Instant, from_us, to_us

INSTANTS = st.datetimes(timezones=st.timezones())


@given(INSTANTS)
def test_microseconds_lose_nothing(instant: datetime) -> None:
    """Every aware instant, whatever its zone and century, comes back as the same instant in UTC."""
    back = from_us(to_us(instant))
    assert back == instant.astimezone(UTC)
    assert back.tzinfo is UTC


@given(INSTANTS, INSTANTS)
def test_order_is_kept(one: datetime, other: datetime) -> None:
    """Comparing integers is comparing instants; zones and repeated hours do not disturb it."""
    assert (to_us(one) < to_us(other)) == (one.astimezone(UTC) < other.astimezone(UTC))


def test_before_the_epoch_counts_down() -> None:
    """A microsecond before 1970 is -1, not 0."""
    assert to_us(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == -1


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=["sqlite", "postgresql"])
def test_naive_is_refused(dialect: sqlite.dialect | postgresql.dialect) -> None:
    """A datetime without a zone would mean another moment elsewhere; it does not get in."""
    with pytest.raises(ValueError, match=r"^naive datetime 2026-11-23T09:00:00; attach a zone before it gets here$"):
        Instant().process_bind_param(datetime(2026, 11, 23, 9), dialect)


def test_postgresql_answers_in_utc() -> None:
    """Whatever zone the server's session is in, an instant comes out in UTC."""
    shanghai = datetime(2026, 11, 23, 9, tzinfo=timezone(timedelta(hours=8)))
    out = Instant().process_result_value(shanghai, postgresql.dialect())
    assert out == datetime(2026, 11, 23, 1, tzinfo=UTC)
    assert out is not None
    assert out.tzinfo is UTC
