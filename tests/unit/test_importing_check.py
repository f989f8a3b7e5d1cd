"""Every value means what its column's type says, or its row is rejected with reason and mend, never with the value."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from sqlalchemy import Select

from engine.catalogue import load_catalogue
from store.bulk_arrow import arrow_schema
from workflows.importing import KINDS, rejects
from workflows.importing.check import check
from workflows.importing.delivery import Delivery
from workflows.importing.endpoints import Endpoint, read_endpoint
from workflows.importing.read import read_source

NOW = datetime(2026, 3, 2, 8, tzinfo=UTC)
BOOK: dict[str, list[dict[str, Any]]] = {
    "person": [{"id": 1, "ref": "P1"}],
    "erased_ref": [],
    "loan": [
        {"id": 11, "ref": "L1", "currency": "CNY", "borrower_id": 1, "basis": "schedule"},
        {"id": 12, "ref": "J1", "currency": "JPY", "borrower_id": 1, "basis": "schedule"},
        {"id": 13, "ref": "K1", "currency": "KWD", "borrower_id": 1, "basis": "account"},
    ],
}


class MemoryReader:
    """A book of one person and three loans."""

    def read(self, statement: Select[Any]) -> Any:
        """Every row, whatever is asked."""
        import pyarrow as pa

        name = statement.get_final_froms()[0].name  # type: ignore[attr-defined] # a table
        names = tuple(column.name for column in statement.selected_columns)
        return pa.Table.from_pylist(BOOK[name], arrow_schema(name, names))


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of this test's own."""
    with duckdb.connect() as connection:
        yield connection


def checked(con: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str, *lines: str) -> list[tuple[Any, ...]]:
    """Check a file of these lines; what was rejected. What is good is in `good`."""
    path = tmp_path / f"{kind}.csv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    delivery = Delivery(
        con, KINDS[kind], read_source(path, KINDS[kind]), "core", NOW, NOW, load_catalogue(), "00", "sqlite",
        lambda _share: None,
    )  # fmt: skip
    check(delivery, MemoryReader())
    return con.execute('select * from reject order by "row", "column"').fetchall()


LINE = "write it on one line"
CASES = {
    "people": (
        "ref,name,language,country,region,zones,preferred_channel",
        "P9,A Name,en,US,,America/New_York,sms",
        [
            ("ref", "", "is empty", "write it: the lender's name for this person; never changes"),
            ("ref", " P9", "not a ref", "write 1 to 100 printable characters"),
            ("ref", "x" * 101, "not a ref", "write 1 to 100 printable characters"),
            ("name", "x" * 2001, "longer than 2000 characters", "shorten it"),
            ("name", '"A\nB"', "holds line breaks or other control characters", LINE),
            ("language", "EN", "not a word of this column", "write en or zh"),
            ("country", "XX", "not an ISO 3166 country", "write it like CN"),
            ("country", "us", "not an ISO 3166 country", "write it like CN"),
            ("region", "MA", "not a region of that country", "write country, hyphen and region, e.g. US-MA"),
            ("region", "CN-SH", "not a region of that country", "write country, hyphen and region, e.g. US-MA"),
            ("zones", "EST/Nowhere", "not IANA time zones", "write names like Asia/Shanghai, separated by one space"),
            ("zones", "America/New_York  America/Denver", "not IANA time zones", "write names like Asia/Shanghai, separated by one space"),
            ("preferred_channel", "phone", "not a word of this column", "write sms, email, call, visit, letter or legal"),
        ],
    ),
    "endpoints": (
        "person,kind,value,zone,rank,valid,basis_at",
        "P1,mobile,+12125550101,Asia/Shanghai,1,true,2026-03-01T00:00:00Z",
        [
            ("person", "P8", "no person of that ref is known", "correct it, or import `people` first"),
            ("value", "212 555 0101", "not a phone number in international form", "write it as +, country and number"),
            ("value", "+1212555", "no such number can exist", "correct it, or leave the row out"),
            ("value", "+18005550199", "a number of a service, not of a person", "leave the row out"),
            ("value", "+442079460958", "a landline number, which takes no texts", "write `landline` as its kind"),
            ("zone", "Shanghai", "not an IANA time zone", "write one like Asia/Shanghai"),
            ("rank", "-1", "not a whole number", "write digits only, at most 9"),
            ("rank", "1234567890", "not a whole number", "write digits only, at most 9"),
            ("valid", "yes", "neither true nor false", "write true or false"),
            ("basis_at", "2026-03-02T09:00:00Z", "is still to come", "correct it"),
        ],
    ),
    "loans": (
        "ref,borrower,product,currency,principal,opened_on",
        "L9,P1,personal,CNY,100.50,2026-01-31",
        [
            ("currency", "RMB", "not an ISO 4217 currency", "write it like CNY"),
            ("currency", "XAU", "not an ISO 4217 currency", "write it like CNY"),
            ("currency", "JPY", None, None),
            ("principal", "0", "not an amount above 0", "write an amount above 0"),
            ("principal", "-1", "not an amount above 0", "write an amount above 0"),
            ("principal", '"1,000"', "not an amount", "write it like 1234.50, without signs between thousands"),
            ("principal", "1e3", "not an amount", "write it like 1234.50, without signs between thousands"),
            ("principal", "1.234", "more decimals than the currency has", "round it to whole minor units"),
            ("principal", "100000000000.01", "too much to be true", "correct it"),
            ("opened_on", "31.01.2026", "not a date", "write it like 2026-03-31"),
            ("opened_on", "2026-02-29", "not a date", "write it like 2026-03-31"),
            ("opened_on", "0001-01-01", "not a date", "write it like 2026-03-31"),
        ],
    ),
    "movements": (
        "ref,loan,kind,amount,effective_on,recorded_at,ends",
        "M1,L1,payment,1.00,2026-03-01,2026-03-01T09:00:00+08:00,",
        [
            ("loan", "L8", "no loan of that ref is known", "correct it, or import `loans` first"),
            ("loan", "J1", None, None),
            ("kind", "refund", "not a word of this column", "write payment, pending_debit, pending_cancelled, reversal, credit, fee, waiver, forgiveness or charge_off"),
            ("recorded_at", "2026-03-01T09:00:00", "not an instant with its offset", "write it like 2026-03-31T09:00:00+08:00"),
            ("recorded_at", "2026-03-01", "not an instant with its offset", "write it like 2026-03-31T09:00:00+08:00"),
            ("recorded_at", "2026-03-02T17:00:00+08:00", "is still to come", "correct it"),
            ("effective_on", "2026-03-03", "takes effect after it was recorded", "send it on the day it takes effect; a payment to come is a pending_debit"),
            ("ends", "M0", None, None),
            ("kind", "reversal", None, None),
            ("kind", "pending_debit", None, None),
        ],
    ),
    "accounts": (
        "loan,as_of_on,dpd,overdue,balance",
        "K1,2026-03-01,3,1.1,10",
        [
            ("loan", "L1", None, None),
            ("as_of_on", "2026-03-04", "is still to come", "correct it"),
            ("as_of_on", "2026-03-03", None, None),
            ("overdue", "1.125", None, None),
            ("overdue", "1.1255", "more decimals than the currency has", "round it to whole minor units"),
            ("overdue", "0", "is nothing, but days past due are not", "write both"),
            ("balance", "-1", "not an amount of 0 or more", "write an amount of 0 or more"),
        ],
    ),
    "instalments": (
        "loan,number,due_on,amount",
        "L1,1,2026-03-01,10",
        [("loan", "K1", "this loan's arrears come from the account feed", "leave the row out")],
    ),
    "holds": (
        "ref,person,loan,kind,blocks,owner,review_on,starts_at,ends_at",
        "H1,P1,L1,dispute,call visit,care,2026-03-20,2026-03-01T00:00:00Z,2026-03-02T00:00:00Z",
        [
            ("loan", "L8", "no loan of that ref is known", "correct it, or import `loans` first"),
            ("loan", "", None, None),
            ("blocks", "calls", "not words of this column", "write some of sms, email, call, visit, letter, legal, separated by one space"),
            ("blocks", "call  visit", "not words of this column", "write some of sms, email, call, visit, letter, legal, separated by one space"),
            ("ends_at", "2026-02-01T00:00:00Z", "is before `starts_at`", "correct one of them"),
        ],
    ),
    "promises": (
        "ref,loan,amount,made_at,due_on",
        "X1,L1,5,2026-03-01T09:00:00Z,2026-03-06",
        [
            ("due_on", "2026-02-27", "is before `made_at`", "correct one of them"),
            ("due_on", "2026-02-28", None, None),
        ],
    ),
}  # fmt: skip
SPECIAL = {
    ("loans", "currency", "JPY"): ("principal", "more decimals than the currency has", "round it to whole minor units"),
    ("movements", "loan", "J1"): None,
    ("movements", "ends", "M0"): None,
    ("movements", "kind", "reversal"): ("ends", "is empty", "write the ref of the movement that it ends"),
    ("accounts", "loan", "L1"): ("loan", "this loan's arrears come from its schedule", "leave the row out"),
}
"""What a change of one column means for another, or for nobody."""


@pytest.mark.parametrize("kind", CASES)
def test_what_a_column_takes(con: duckdb.DuckDBPyConnection, tmp_path: Path, kind: str) -> None:
    """One wrong value at a time, in a row that is good otherwise: that row is rejected for it, and no other."""
    header, good, cases = CASES[kind]
    assert checked(con, tmp_path, kind, header, good) == []
    names = header.split(",")
    for column, value, reason, mend in cases:
        values = good.split(",")
        values[names.index(column)] = value
        wanted = [(2, column, reason, mend)] if reason else []
        if special := SPECIAL.get((kind, column, value)):
            wanted = [(2, *special)]
        found = checked(con, tmp_path, kind, header, ",".join(values))
        assert found == wanted, (column, value)
        assert con.execute("select count(*) from good").fetchall() == [(0 if wanted else 1,)]


def test_every_reason_of_a_row_is_told(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """So that it is mended in one go; the row is counted once."""
    found = checked(con, tmp_path, "parties", "loan,person,role", "L8,P8,friend")
    assert [row[1] for row in found] == ["loan", "person", "role"]
    assert rejects.count(con) == 1
    assert [reason.rows for reason in rejects.reasons(con)] == [1, 1, 1]


def test_values_are_typed(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Minor units of the loan's currency, microseconds since 1970, ids; what is left empty has its default."""
    header = "ref,loan,kind,amount,effective_on,recorded_at"
    lines = [
        "A,L1,payment,1234.5,2026-03-01,2026-03-01T09:00:00.5+08:00",
        "B,J1,payment,1234,2026-03-01,2026-03-01 01:00Z",
        "C,K1,payment,1.234,2026-03-01,",
    ]
    assert checked(con, tmp_path, "movements", header, *lines) == []
    found = con.execute("select ref, loan, amount, recorded_at from good order by ref").fetchall()
    at = 1772326800_000000
    assert found == [
        ("A", 11, 123450, at + 500_000),
        ("B", 12, 1234, at),
        ("C", 13, 1234, int(NOW.timestamp()) * 10**6),
    ]


def test_the_same_row_twice_is_one_row(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Of two contents under one key neither can be trusted; when the source knew it is not what it is."""
    header = "ref,loan,kind,amount,effective_on,recorded_at"
    row = "{},L1,payment,{},2026-03-01,2026-03-01T0{}:00:00+08:00"
    lines = [row.format(*line) for line in (("A", 1, 7), ("A", 1, 8), ("B", 1, 7), ("B", 2, 7), ("C", 1, 7))]
    what = ("ref", "stands in the file again with other content", "keep the right one")
    assert checked(con, tmp_path, "movements", header, *lines) == [(4, *what), (5, *what)]
    assert con.execute("select row, ref from good order by row").fetchall() == [(2, "A"), (6, "C")]


def test_empty_differs_from_anything(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """An empty value is another content than a value."""
    header = "loan,number,due_on,amount"
    assert checked(con, tmp_path, "instalments", header, "L1,1,2026-03-01,1", "L1,1,2026-03-01,1") == []
    header = "ref,name,language,country,region"
    found = checked(con, tmp_path, "people", header, "P9,A,en,US,", "P9,A,en,US,US-MA")
    assert [row[:2] for row in found] == [(2, "ref"), (3, "ref")]


def test_ragged_rows_are_rejected(con: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    """Each with what it has and what it should have."""
    found = checked(con, tmp_path, "parties", "loan,person,role", "L1,P1", "L1,P1,spouse", "L1,P1,spouse,x")
    mend = "quote values that hold a comma"
    assert found == [
        (2, "", "has 2 values where the header has 3", mend),
        (4, "", "has 4 values where the header has 3", mend),
    ]


@pytest.mark.parametrize(
    ("kind", "value", "wanted"),
    [
        ("mobile", "+1 212 555 0101", Endpoint("+12125550101", "America/New_York")),
        ("landline", "+44 20 7946 0958", Endpoint("+442079460958", "Europe/London")),
        ("mobile", "+61 491 570 156", Endpoint("+61491570156", None)),
        ("email", "A.Name@EXAMPLE.com", Endpoint("A.Name@example.com")),
        ("postal", " 1 Example Street\n  Shanghai ", Endpoint('{"text": "1 Example Street Shanghai"}')),
        (None, "+1 (212) 555-0101", Endpoint("+12125550101", "America/New_York")),
        (None, "p1@example.com", Endpoint("p1@example.com")),
        (None, "1 Example Street", Endpoint('{"text": "1 Example Street"}')),
    ],
)
def test_endpoints_have_one_spelling(kind: str | None, value: str, wanted: Endpoint) -> None:
    """However they were written; the prefix's zone where it names exactly one."""
    assert read_endpoint(kind, value) == wanted


def test_no_message_repeats_a_value() -> None:
    """Numbers and addresses are personal data: reasons and mends are the same whatever was written."""
    found = {str(read_endpoint("email", value)) for value in ("nobody", "a@b", "x y@example.com")}
    assert found == {"not a mail address\n  mend: write it as name@domain"}
