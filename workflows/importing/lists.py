"""What values are checked against: people and loans of the book, zones, countries, currencies, spellings of numbers."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import available_timezones

from sqlalchemy import ColumnElement, Select, false, select

from engine.errors import Problem
from store.bulk_arrow import Reader, table_of
from store.erased import erased_among
from workflows.importing.delivery import CHECKED, Delivery
from workflows.importing.endpoints import Endpoint, read_endpoint

if TYPE_CHECKING:
    import pyarrow as pa

_KEYS_PER_QUERY: Final = 1000
_QUERIES_MAX: Final = 100
"""Beyond that reading everything at once is faster."""

_SPELLINGS_PER_STEP: Final = 1000


def register_lists(delivery: Delivery, reader: Reader) -> None:
    """Make `person_ref`, `loan_ref` and `erased_name`, and of the lists below those that the kind's columns ask for."""
    import pyarrow as pa

    con = delivery.con
    person, loan = table_of("person"), table_of("loan")
    people = select(person.c.ref, person.c.id)
    loans = select(loan.c.ref, loan.c.id, loan.c.currency, loan.c.borrower_id, loan.c.basis)
    named = _refs(delivery, "person", "people")
    gone = erased_among(reader, delivery.bucket_key, named)
    con.register("erased_name", pa.table({"ref": pa.array(sorted(gone), pa.string())}))
    con.register("person_ref", matching(reader, people, person.c.ref, [ref for ref in named if ref not in gone]))
    con.register("loan_ref", matching(reader, loans, loan.c.ref, _refs(delivery, "loan", "loans")))
    types = {column.type for column in delivery.kind.columns}
    if types & {"zone", "zones"}:
        known = _zones()
        con.register("zone_name", pa.table({"name": sorted(known)}))
        said = delivery.values("select distinct zones from raw where zones is not null") if "zones" in types else []
        good = [text for text in said if all(name in known for name in text.split(" "))]
        con.register("zones_known", pa.table({"zones": pa.array(good, pa.string())}))
    if "country" in types:
        con.register("country_code", pa.table({"code": _countries()}))
    if types & {"amount", "money", "value"}:
        factors = currency_factors()
        digits = {"code": list(factors), "factor": pa.array(factors.values(), pa.int64())}
        con.register("money_digits", pa.table(digits))
    if "endpoint" in types:
        con.register("spelling", _spellings(delivery))


def matching(reader: Reader, query: Select[Any], column: ColumnElement[Any], values: Sequence[Any]) -> "pa.Table":
    """The rows whose column is among the values, and of very many values all rows there are."""
    import pyarrow as pa

    if len(values) > _KEYS_PER_QUERY * _QUERIES_MAX:
        return reader.read(query)
    if not values:
        return reader.read(query.where(false()))
    return pa.concat_tables(reader.read(query.where(column.in_(chunk))) for chunk in chunks(values))


def chunks(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """The values in portions that fit into one statement."""
    for start in range(0, len(values), _KEYS_PER_QUERY):
        yield values[start : start + _KEYS_PER_QUERY]


@cache
def currency_factors() -> dict[str, int]:
    """Minor units in one major unit, by ISO 4217 code; what has no minor unit is no money (gold, test codes)."""
    from iso4217 import Currency

    return {currency.code: 10**currency.exponent for currency in Currency if currency.exponent is not None}


@cache
def _zones() -> frozenset[str]:
    return frozenset(available_timezones())


@cache
def _countries() -> list[str]:
    import phonenumbers

    return sorted(phonenumbers.SUPPORTED_REGIONS)


def _refs(delivery: Delivery, column_type: str, own: str) -> list[str]:
    names = [column.name for column in delivery.kind.columns if column.type == column_type]
    names += ["ref"] if delivery.kind.name == own else []
    parts = [f'select "{name}" as ref from raw' for name in names]
    if not parts:
        return []
    return delivery.values(f"select distinct ref from ({' union all '.join(parts)}) where ref is not null order by ref")


def _spellings(delivery: Delivery) -> "pa.Table":
    """How each distinct number and address of the file is written, or its problem."""
    import pyarrow as pa

    name = next(column.name for column in delivery.kind.columns if column.type == "endpoint")
    kind = "kind" if delivery.kind.name == "endpoints" else "null"
    query = f'select distinct {kind}, "{name}" from raw where "{name}" is not null order by all'
    pairs: list[tuple[str | None, str]] = delivery.con.execute(query).fetchall()
    read: list[Endpoint | Problem] = []
    for number, (of_kind, value) in enumerate(pairs):
        if number % _SPELLINGS_PER_STEP == 0:
            delivery.progress(CHECKED * number / len(pairs))
        read.append(read_endpoint(of_kind, value))
    good = [one if isinstance(one, Endpoint) else None for one in read]
    columns = {
        "kind": [kind for kind, _ in pairs],
        "raw": [value for _, value in pairs],
        "value": [one.value if one else None for one in good],
        "zone": [one.zone if one else None for one in good],
        "problem": [f"{one.what}\t{one.mend}" if isinstance(one, Problem) else None for one in read],
    }
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
