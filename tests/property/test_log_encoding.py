"""An entry is the same bytes whoever spells it: the definition in Python, or SQL over whole columns."""

import hashlib
import hmac
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Boolean, Column, Date, Integer
from sqlmodel import SQLModel

import store.tables  # noqa: F401 - fills the metadata
from compliance.log_encoding import commitment, element, elements, entry_bytes, salt_of, value_element
from store.bulk_arrow import arrow_schema
from store.columns import Instant, to_us
from store.log_kinds import KINDS, Kind
from store.log_sql import Encoder

SEAL_KEY = bytes(range(32))
TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", "0", "n0:", "s1:x", "i1:1", "\x00", "'; --", "a:b", "🙂é李", "\n\r\t"]
)
INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)).map(lambda at: at.replace(tzinfo=UTC))


def values(column: Column[Any]) -> st.SearchStrategy[Any]:
    """What a column can hold, at its limits too."""
    if isinstance(column.type, Instant):
        kind: st.SearchStrategy[Any] = INSTANTS
    elif isinstance(column.type, Date):
        kind = st.dates()
    elif isinstance(column.type, Boolean):
        kind = st.booleans()
    elif isinstance(column.type, Integer):
        kind = st.integers(-(2**63), 2**63 - 1)
    else:
        kind = TEXTS
    return kind | st.none() if column.nullable else kind


@st.composite
def rows(draw: st.DrawFn, kind: Kind) -> list[dict[str, Any]]:
    """A few rows of a kind, each with a key of its own."""
    columns = SQLModel.metadata.tables[kind.table].columns
    row = st.fixed_dictionaries({name: values(columns[name]) for name in kind.fields})
    return draw(st.lists(row, min_size=1, max_size=4, unique_by=lambda one: tuple(one[name] for name in kind.key)))


def key_of(kind: Kind, row: Mapping[str, Any]) -> str:
    """What an entry is called."""
    return "-".join(str(row[name]) for name in kind.key)


@pytest.fixture(scope="module")
def encoder() -> Iterator[Encoder]:
    """One for all examples: it keeps nothing from one to the next."""
    with Encoder(SEAL_KEY) as made:
        yield made


@pytest.mark.parametrize("name", KINDS)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_sql_spells_what_python_spells(encoder: Encoder, name: str, data: st.DataObject) -> None:
    """Every kind, with nulls, limits, odd text and withheld fields: the same bytes, byte for byte."""
    import pyarrow as pa

    kind = KINDS[name]
    there = data.draw(rows(kind))
    schema = arrow_schema(kind.table, kind.fields)
    columns = [
        pa.array([to_us(row[f.name]) if isinstance(row[f.name], datetime) else row[f.name] for row in there], f.type)
        for f in schema
    ]
    keys = [key_of(kind, row) for row in there]
    made = encoder.encode(kind, [*reversed(keys), "no such key"], pa.table(columns, schema=schema))
    wanted = [entry_bytes(kind.name, key, row, kind.withheld, SEAL_KEY) for key, row in zip(keys, there, strict=True)]
    assert made == [*reversed(wanted), None]


ANY = TEXTS | st.integers() | st.booleans() | st.none() | st.dates() | INSTANTS
FIELDS = st.dictionaries(TEXTS, ANY, max_size=4)


@given(FIELDS, FIELDS)
def test_no_two_entries_are_spelled_alike(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Null is not empty, 1 is not true, a text that looks like an element is a text: other fields are other bytes."""
    same = {name: (type(value), value) for name, value in one.items()} == {
        name: (type(value), value) for name, value in other.items()
    }
    assert (entry_bytes("a", "1", one, (), SEAL_KEY) == entry_bytes("a", "1", other, (), SEAL_KEY)) is same


@given(st.lists(st.tuples(st.sampled_from("vkcfnbisdth"), st.binary(max_size=20)), max_size=6))
def test_elements_are_read_back(parts: list[tuple[str, bytes]]) -> None:
    """What was put together comes apart again, whatever bytes it holds."""
    assert list(elements(b"".join(element(letter, data) for letter, data in parts))) == parts


@pytest.mark.parametrize("torn", [b"s", b"s5:abc", b"s:abc", b"s01:a", b"s-1:", b"5:abc", b"s1:ab"])
def test_torn_elements_are_refused(torn: bytes) -> None:
    """Bytes that do not consist of elements are not guessed at."""
    with pytest.raises(ValueError, match="element"):
        list(elements(torn))


def test_the_example_of_the_page() -> None:
    """The bytes that docs/log-format.md spells out, commitment included."""
    at = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
    fields = {"id": 7, "contact_id": "2-13-0", "status": "sent", "at": at, "why": "worked", "detail_json": "{}"}
    made = entry_bytes("contact_status", "7", fields, {"why"}, SEAL_KEY)
    salt = hmac.new(SEAL_KEY, b"k14:contact_statuss1:7f3:why", "sha256").hexdigest()
    withheld = hashlib.sha256(salt.encode() + b"s6:worked").hexdigest().encode()
    assert made == (
        b"v1:1k14:contact_statusc1:6f2:att16:1772411400000000f10:contact_ids6:2-13-0f11:detail_jsons2:{}"
        b"f2:idi1:7f6:statuss4:sentf3:whyh64:" + withheld
    )
    assert salt_of("contact_status", "7", "why", SEAL_KEY) == salt
    assert commitment(salt, value_element("worked")) == withheld


def test_equal_texts_are_withheld_differently() -> None:
    """Nobody sees from two commitments that the same was said twice."""
    fields = {"why": "the same words"}
    one, other = (entry_bytes("contact_status", key, fields, {"why"}, SEAL_KEY) for key in ("1", "2"))
    assert one != other


def test_what_has_no_spelling_is_refused() -> None:
    """A float, bytes and an instant without a zone are no values of an entry."""
    for value in (1.5, b"x", [1]):
        with pytest.raises(TypeError, match="no entry holds"):
            value_element(value)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="naive datetime"):
        value_element(datetime(2026, 1, 1))
    assert value_element(date(2026, 1, 1) + timedelta(days=1)) == b"d10:2026-01-02"
