"""The facts statement: complete, inside its subset, and right about what day it is."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
import sqlglot
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import SQLModel

from engine.catalogue import load_catalogue
from engine.facts import Catalogue
from store.book import RAW_TABLES, RawBook
from store.bulk import arrow_schema
from store.columns import to_us
from store.fact_query import Arms, FactStatement, contact_days, fact_sql, facts_of, suppliers
from store.fact_sql import PIECES
from store.fact_sql.clock import DAY_US, clock_tables, day_at

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
ZONES = sorted(zone for zone in available_timezones() if "/" in zone and not zone.startswith(("posix", "right")))


def empty_book(**tables: Any) -> RawBook:
    """A book of no rows, but for the tables given."""
    import pyarrow as pa

    assert set(RAW_TABLES) <= set(SQLModel.metadata.tables)
    columns = {name: arrow_schema(name).empty_table() for name in RAW_TABLES}
    columns["movement"] = columns["movement"].append_column("ended_kind", pa.array([], pa.string()))
    columns["feed"] = columns["feed"].select(["kind", "as_of_at"])
    return RawBook(**(columns | tables))


def one_loan(**values: Any) -> RawBook:
    """A book of one loan that nothing else is known of; `values` are its person's columns."""
    import pyarrow as pa

    person = {
        "id": 1,
        "language": "en",
        "country": "CN",
        "region": None,
        "zones": "",
        "bucket": 0,
        "version": 0,
        **values,
    }
    loan = {"id": 7, "ref": "L", "borrower_id": 1, "product": "card", "currency": "CNY", "principal_minor": 0}
    loan |= {"opened_on": date(2026, 1, 1), "basis": "schedule", "custody": "in_house", "autopay": False}
    loan |= {"accelerated": False, "stage": "current", "stage_on": date(2026, 1, 1), "stage_entry": 0, "episode": 0}
    tables = {}
    for name, row in (("person", person), ("loan", loan)):
        schema = arrow_schema(name)
        tables[name] = pa.table({field.name: pa.array([row.get(field.name)], field.type) for field in schema})
    return empty_book(**tables)


def facts(book: RawBook, catalogue: Catalogue, *arms: Arms) -> dict[int, Any]:
    import duckdb

    with duckdb.connect() as con:
        FactStatement(con, catalogue, arms).compute(book, now=NOW)
        return facts_of(con, [7])


def test_every_fact_of_the_catalogue_is_supplied_and_nothing_else() -> None:
    """A fact without a supplier would be unknown for ever; a piece without a fact would be dead."""
    catalogue = load_catalogue()
    computed = {name for name, fact in catalogue.facts.items() if fact.supplier not in ("imported", "arms")}
    fixed = {name for piece in PIECES for name in piece.facts}
    assert computed - set(catalogue.counters) == fixed
    assert set(suppliers(catalogue)) == set(catalogue.facts) - {"arm"}


def test_no_two_pieces_supply_the_same_fact() -> None:
    """Which of two would win would depend on their order."""
    named = [name for piece in PIECES for name in piece.facts]
    assert len(named) == len(set(named))


def test_the_statement_can_be_said_in_spark() -> None:
    """Nothing in it is known to be unsupported where the book outgrows a machine."""
    sql = fact_sql(load_catalogue(), [Arms("product = 'card'", {"control": 1, "champion": 9})])
    said = sqlglot.transpile(sql, read="duckdb", write="spark", unsupported_level=sqlglot.ErrorLevel.RAISE)
    assert len(said) == 1


def test_the_statement_answers_each_fact_once() -> None:
    """One column per fact, in the catalogue's order, under the fact's own name; the arm comes last."""
    catalogue = load_catalogue()
    answered = sqlglot.parse_one(fact_sql(catalogue), read="duckdb").named_selects
    told = [name for name in catalogue.facts if name != "arm"]
    assert answered == ["loan_id", "borrower_id", "on_on", *told, "arm"]


def test_a_loan_nothing_is_known_of_has_unknown_arrears_and_never_happened_contacts() -> None:
    """Unknown is left out; never is the top of the range; what is counted is 0; what is asked of a log is no."""
    assert facts(one_loan(), load_catalogue()) == {
        7: {
            "reversals_90d": 0, "debit_failed": False, "product": "card", "currency": "CNY", "autopay": False,
            "accelerated": False, "charged_off": False, "custody": "in_house", "has_guarantor": False,
            "stage": "current", "days_in_stage": 63, "days_in_episode": 0, "episodes_12m": 0, "country": "CN",
            "language": "en", "has_mobile": False, "mobile_valid": False, "has_email": False, "email_valid": False,
            "represented": False, "disputed": False, "hardship": False, "bankrupt": False, "deceased": False,
            "vulnerable": False, "promise_open": False, "days_to_promise": 9999, "days_past_promise": 0,
            "promised_amount": 0, "broken_promises_episode": 0, "days_since_call": 9999,
            "days_since_conversation": 9999, "days_since_message": 9999, "calls_7d": 0, "conversations_7d": 0,
            "messages_7d": 0, "unanswered_7d": 0,
        }
    }  # fmt: skip


@pytest.mark.parametrize(("bucket", "arm"), [(0, "control"), (999, "control"), (1000, "champion"), (9999, "champion")])
def test_arms_are_dealt_by_bucket(bucket: int, arm: str) -> None:
    """Ten of a hundred are the first thousand buckets; the last arm reaches the last bucket."""
    dealt = Arms("product = 'card'", {"control": 10, "champion": 90})
    assert facts(one_loan(bucket=bucket), load_catalogue(), dealt)[7]["arm"] == arm


@given(shares=st.lists(st.integers(1, 7), min_size=1, max_size=4), bucket=st.integers(0, 9999))
@settings(max_examples=8)
def test_everybody_is_dealt_into_exactly_one_arm(shares: list[int], bucket: int) -> None:
    """Shares that do not divide 10,000 leave nobody without an arm."""
    dealt = Arms("product = 'card'", {f"arm{i}": share for i, share in enumerate(shares)})
    assert facts(one_loan(bucket=bucket), load_catalogue(), dealt)[7]["arm"] in dealt.shares


def test_a_loan_of_no_dealing_strategy_has_no_arm() -> None:
    """Neither a strategy that does not apply nor one without arms deals."""
    book, catalogue = one_loan(), load_catalogue()
    assert "arm" not in facts(book, catalogue)[7]
    assert "arm" not in facts(book, catalogue, Arms("product = 'car'", {"a": 1}))[7]
    assert "arm" not in facts(book, catalogue, Arms("product = 'card'", {}), Arms("product = 'card'", {"a": 1}))[7]


def test_a_strategy_may_apply_by_any_fact() -> None:
    """`applies_to` is asked of the facts as they are computed, unknown ones included."""
    book, catalogue = one_loan(), load_catalogue()
    assert (
        facts(book, catalogue, Arms("dpd >= 1", {"late": 1}), Arms("days_since_call >= 3", {"b": 1}))[7]["arm"] == "b"
    )


def test_a_counter_that_looks_further_than_was_read_is_refused() -> None:
    """A count over half the window would look like a low count."""
    text = "counters:\n  calls_2y: {channel: call, last: 730 days, by: person, en: Calls in two years., zh: 两年内电话次数}\n"
    catalogue = load_catalogue((text, "facts.yaml"))
    assert contact_days(catalogue) == 731
    with pytest.raises(ValueError, match="a counter looks back 731 days, contacts were read for 400"):
        facts(one_loan(), catalogue)


def test_today_is_the_earliest_of_a_persons_days() -> None:
    """Of two zones the one whose day began last decides; of none the last place on Earth; a name nobody knows is none."""
    assert day_at(["Asia/Shanghai"], datetime(2026, 3, 5, 16, tzinfo=UTC)) == date(2026, 3, 6)
    assert day_at(["Asia/Shanghai", "Europe/Paris"], datetime(2026, 3, 5, 16, tzinfo=UTC)) == date(2026, 3, 5)
    assert day_at([], datetime(2026, 3, 5, 11, 59, tzinfo=UTC)) == date(2026, 3, 4)
    assert day_at(["Asia/Shanghai", "Asia/Atlantis"], datetime(2026, 3, 5, 11, 59, tzinfo=UTC)) == date(2026, 3, 4)


@given(
    zone=st.sampled_from(ZONES),
    now=st.datetimes(datetime(2016, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC)),
    ago=st.timedeltas(timedelta(), timedelta(days=3900)),
)
def test_the_statements_calendar_is_the_zones_own(zone: str, now: datetime, ago: timedelta) -> None:
    """The day of any instant of ten years, by the table the statement joins, is the day on the wall in that zone."""
    clocks = clock_tables([zone], now)
    clock = clocks.zones_clock.to_pylist()[0]["clock"]
    at = to_us(now - ago)
    offset = [
        span["offset_us"]
        for span in clocks.clock_span.to_pylist()
        if span["clock"] == clock and span["from_us"] <= at < span["until_us"]
    ]
    assert len(offset) == 1
    day = date(1970, 1, 1) + timedelta(days=(at + offset[0]) // DAY_US)
    assert day == (now - ago).astimezone(ZoneInfo(zone)).date()
    today = [row for row in clocks.clock.to_pylist() if row["clock"] == clock]
    assert today[0]["day_on"] == day_at([zone], now)
    assert date(1970, 1, 1) + timedelta(days=today[0]["day"]) == today[0]["day_on"]


@given(
    zones=st.lists(st.sampled_from(ZONES), min_size=1, max_size=4),
    now=st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1), timezones=st.just(UTC)),
)
@settings(max_examples=50)
def test_a_text_of_several_zones_means_the_earliest_clock(zones: list[str], now: datetime) -> None:
    """The statement and the definition in Python agree on today."""
    clocks = clock_tables([" ".join(zones)], now)
    clock = clocks.zones_clock.to_pylist()[0]["clock"]
    assert clocks.clock.to_pylist()[clock]["day_on"] == day_at(zones, now)
