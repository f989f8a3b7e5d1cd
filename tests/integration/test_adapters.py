"""Real data sets through the contract: everything in them is taken, and arrears come out as the data says."""

import csv
import gzip
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from benchmarks.adapters import homecredit, superlender, uci
from benchmarks.adapters.tables import Tables, write_tables
from engine.catalogue import load_catalogue
from store.arrears import arrears, arrears_from_position
from store.bulk import reading
from store.bulk_arrow import table_of
from store.columns import from_us, to_us
from store.db import Database
from store.tables import Instalment, Movement, Position
from tests.arrears_sql import ARREARS_SQL
from tests.imports import counts, rejects
from workflows.importing import import_folder

ROOT = Path(__file__).parents[2]
DATA = ROOT.parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.exists(), reason="the data sets lie in ../shared/data, which is not here")

UCI = DATA / "open" / "uci_credit_default_train.csv.gz"
SUPERLENDER = DATA / "internal" / "superlender_previous_loans_train.csv.gz"
HOMECREDIT = DATA / "internal" / "homecredit_1k_installments_payments_train.csv.gz"
HOMECREDIT_ROWS = DATA / "internal" / "homecredit_rows20k_installments_payments_train.csv.gz"

Money = list[tuple[date, int]]
"""Days and amounts in thousandths, in order."""


def bring(database: Database, folder: Path, tables: Tables, as_of: datetime, *, times: int = 1) -> None:
    """Import the tables; every row of them is taken, and from the second time on nothing changes."""
    write_tables(tables, folder)
    options = {"as_of": as_of, "now": as_of + timedelta(hours=1), "catalogue": load_catalogue()}
    for again in range(times):
        for result in import_folder(database, folder, **options):
            wanted = (0, 0, 0, result.rows, 0) if again else (result.rows, 0, 0, 0, 0)
            assert counts(result) == wanted, rejects(result)[:3]


def raw(path: Path) -> Iterator[Mapping[str, str]]:
    """The rows of a data set, as they are."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


class Book:
    """An imported book as columns, loans by ref."""

    def __init__(self, database: Database) -> None:
        with reading(database) as reader:
            loan = table_of("loan")
            loans = reader.read(select(loan.c.ref, loan.c.id))
            self.instalment, self.movement, self.position = (
                reader.read(select(table_of(name))) for name in ("instalment", "movement", "position")
            )
        self.id = dict(zip(loans["ref"].to_pylist(), loans["id"].to_pylist(), strict=True))

    def instalments(self) -> dict[int, list[Instalment]]:
        """By loan."""
        return _by_loan(Instalment(**row) for row in self.instalment.to_pylist())

    def movements(self) -> dict[int, list[Movement]]:
        """By loan."""
        rows = ({**row, "recorded_at": from_us(row["recorded_at"])} for row in self.movement.to_pylist())
        return _by_loan(Movement(**row) for row in rows)

    def positions(self) -> dict[int, Position]:
        """By loan."""
        return {row["loan_id"]: Position(**row) for row in self.position.to_pylist()}

    def ask(self, days: Mapping[str, Iterable[date]], known_at: datetime) -> dict[tuple[str, date], tuple[int, int]]:
        """dpd and overdue minor units of each loan on each day, by the one statement for many."""
        import duckdb
        import pyarrow as pa

        pairs = [(self.id[ref], on) for ref, dates in days.items() for on in dates]
        asked = pa.table(
            {
                "loan_id": pa.array([loan for loan, _ in pairs], pa.int64()),
                "on_on": pa.array([on for _, on in pairs], pa.date32()),
                "known_at": pa.array([to_us(known_at)] * len(pairs), pa.int64()),
            }
        )
        ref = {loan: ref for ref, loan in self.id.items()}
        with duckdb.connect() as con:
            for name, table in (("instalment", self.instalment), ("movement", self.movement), ("asked", asked)):
                con.register(name, table)
            rows = con.sql(f"select loan_id, on_on, dpd, overdue_minor from ({ARREARS_SQL})").fetchall()
        return {(ref[loan], on): (dpd, overdue) for loan, on, dpd, overdue in rows}


def _by_loan(rows: Iterable[Any]) -> dict[int, list[Any]]:
    found: defaultdict[int, list[Any]] = defaultdict(list)
    for row in rows:
        found[row.loan_id].append(row)
    return found


def recount(due: Money, paid: Money, on: date) -> tuple[int, int]:
    """
    Days past due and the amount overdue, the long way: every payment so far is put into the oldest hole there is.

    Shares nothing with the ledger, running totals least of all.
    """
    holes = list(due)
    for day, amount in paid:
        left = amount if day <= on else 0
        while left and holes:
            due_on, missing = holes[0]
            put = min(left, missing)
            left -= put
            holes[0] = due_on, missing - put
            if put == missing:
                holes.pop(0)
    late = [(day, amount) for day, amount in holes if day < on and amount]
    return (on - late[0][0]).days if late else 0, sum(amount for _, amount in late)


# --- Home Credit: schedules against payments --------------------------------------------------------------------------


def home_credit(path: Path) -> dict[str, tuple[Money, Money]]:
    """Loan's ref -> what fell due and what was paid, straight from the rows."""
    due: defaultdict[str, set[tuple[int, int, int, int]]] = defaultdict(set)
    paid: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for row in raw(path):
        ref = f"HC-{row['SK_ID_PREV']}"
        day, number, version = (
            int(float(row[name])) for name in ("DAYS_INSTALMENT", "NUM_INSTALMENT_NUMBER", "NUM_INSTALMENT_VERSION")
        )
        due[ref].add((day, number, version, _thousandths(row["AMT_INSTALMENT"])))
        if row["DAYS_ENTRY_PAYMENT"]:
            paid[ref].append((int(float(row["DAYS_ENTRY_PAYMENT"])), _thousandths(row["AMT_PAYMENT"])))

    def on(day: int) -> date:
        return homecredit.APPLIED_ON + timedelta(days=day)

    return {
        ref: ([(on(day), amount) for day, _, _, amount in sorted(due[ref])],
              [(on(day), amount) for day, amount in sorted(paid[ref])])
        for ref in due
    }  # fmt: skip


def _thousandths(amount: str) -> int:
    whole = Fraction(amount) * 1000
    assert whole.denominator == 1
    return int(whole)


def every_fifth_day(due: Money, paid: Money) -> list[date]:
    """From a week before anything happened to a month after everything has, and each due date and the day after it."""
    happened = [day for day, _ in (*due, *paid)]
    first, last = min(happened) - timedelta(days=7), max(happened) + timedelta(days=30)
    days = {first + timedelta(days=n) for n in range(0, (last - first).days + 1, 5)}
    return sorted(days | {day + timedelta(days=n) for day, _ in due for n in (0, 1)})


@needs_data
def test_home_credit_arrears_by_brute_force(database: Database, tmp_path: Path) -> None:
    """
    For every loan of the set, on every fifth day of its life and around each due date: days past due and the amount
    overdue from the ledger, from the statement for many, and from the projection equal a recount of the raw rows.
    """
    as_of = datetime(2026, 3, 2, tzinfo=UTC)
    bring(database, tmp_path / "book", homecredit.build(homecredit.read_lines(HOMECREDIT)), as_of, times=2)
    source = home_credit(HOMECREDIT)
    book = Book(database)
    assert set(book.id) == set(source)
    days = {ref: every_fifth_day(*money) for ref, money in source.items()}
    asked = book.ask(days, as_of)
    instalments, movements, positions = book.instalments(), book.movements(), book.positions()
    compared = projected = late = 0
    for ref, (due, paid) in source.items():
        loan = book.id[ref]
        settled = max((day for day, _ in paid), default=date.min)
        for on in days[ref]:
            wanted = recount(due, paid, on)
            found = arrears(instalments[loan], movements[loan], on=on, known_at=as_of)
            assert (found.dpd, found.overdue_minor) == asked[ref, on] == wanted, (ref, on)
            compared += 1
            late += wanted[0] > 0
            if on >= settled:
                fast = arrears_from_position(positions[loan], instalments[loan], on=on)
                assert (fast.dpd, fast.overdue_minor) == wanted, (ref, on)
                projected += 1
    assert len(source) == 1246
    assert compared > 75_000
    # Both sides of zero are well covered.
    assert 0.02 < late / compared < 0.5
    assert projected > 5_000


@needs_data
def test_home_credit_rows_with_gaps(sqlite_database: Database, tmp_path: Path) -> None:
    """Twenty thousand rows at random, some never paid: the statement for many agrees with a recount."""
    as_of = datetime(2026, 3, 2, tzinfo=UTC)
    bring(sqlite_database, tmp_path / "book", homecredit.build(homecredit.read_lines(HOMECREDIT_ROWS)), as_of)
    source = home_credit(HOMECREDIT_ROWS)
    days = {ref: [day + timedelta(days=n) for day, _ in due for n in (0, 1, 30)] for ref, (due, _) in source.items()}
    asked = Book(sqlite_database).ask(days, as_of)
    for ref, (due, paid) in source.items():
        for on in days[ref]:
            assert asked[ref, on] == recount(due, paid, on), (ref, on)
    never = [ref for ref, (due, paid) in source.items() if not any(amount for _, amount in paid)]
    assert len(never) == 2


# --- SuperLender: due date and repayment ------------------------------------------------------------------------------


@needs_data
def test_superlender_days_late(sqlite_database: Database, tmp_path: Path) -> None:
    """The day before its first repayment a loan is as late as its two dates are apart; the day it closes it is not late."""
    as_of = datetime(2017, 12, 31, tzinfo=UTC)
    bring(sqlite_database, tmp_path / "book", superlender.build(superlender.read_advances(SUPERLENDER)), as_of)
    book = Book(sqlite_database)
    late: dict[str, tuple[date, int]] = {}
    closed: dict[str, date] = {}
    for row in raw(SUPERLENDER):
        ref = f"SL-{row['systemloanid']}"
        before = date.fromisoformat(row["firstrepaiddate"][:10]) - timedelta(days=1)
        late[ref] = before, max(0, (before - date.fromisoformat(row["firstduedate"])).days)
        closed[ref] = date.fromisoformat(row["closeddate"][:10])
    asked = book.ask({ref: (late[ref][0], closed[ref]) for ref in late}, as_of)
    assert len(late) == 16_919
    assert [ref for ref, (on, days) in late.items() if asked[ref, on][0] != days] == []
    assert [ref for ref, on in closed.items() if asked[ref, on] != (0, 0)] == []
    assert 0.1 < sum(days > 0 for _, days in late.values()) / len(late) < 0.2


# --- UCI: months late at the end of each month ------------------------------------------------------------------------


@needs_data
def test_uci_months_late(sqlite_database: Database, tmp_path: Path) -> None:
    """
    An instalment loan is as many instalments behind at the end of each month as the set says.

    Where the set jumps as no schedule can, from nothing to two months late within one month, it is one behind: what
    was paid stays paid.
    """
    as_of = datetime(2026, 3, 1, 23, tzinfo=UTC)
    clients = uci.sample(uci.read_clients(UCI), 800)
    bring(sqlite_database, tmp_path / "book", uci.build(clients), as_of)
    book = Book(sqlite_database)
    # The first of the next month, before that day's payments are known.
    ends = {n: uci.month_start(n - 6 + 1) for n in range(6)}
    loans = {f"CN-{client.id}": client for client in clients if client.id % 2 == 0}
    instalments, movements = book.instalments(), book.movements()
    agreed = 0
    for ref, client in loans.items():
        schedule, paid = instalments[book.id[ref]], movements.get(book.id[ref], [])
        behind = 0
        for month, end in ends.items():
            said = client.months_late[month]
            behind = said if month == 0 else min(said, behind + 1)
            found = arrears(schedule, paid, on=end, known_at=datetime.combine(end, time(0), UTC))
            assert found.instalments_overdue == behind, (ref, month)
            agreed += behind == said
    assert agreed / (6 * len(loans)) > 0.8


@needs_data
def test_the_demo_book_is_what_its_adapter_writes(tmp_path: Path) -> None:
    """Byte for byte, so that nobody edits it by hand and its source can be named."""
    demo = ROOT / "duecourse" / "demo" / "book"
    with (demo / "loans.csv").open() as file:
        loans = len(file.readlines()) - 1
    write_tables(uci.build(uci.sample(uci.read_clients(UCI), loans)), tmp_path)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in demo.glob("*.csv") if ".rejects." not in path.name}


def test_the_demo_book_belongs_to_nobody() -> None:
    """Numbers kept for fiction, mail addresses that nobody can have, names that say what they are."""
    demo = ROOT / "duecourse" / "demo" / "book"
    with (demo / "endpoints.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            value, kind = row["value"], row["kind"]
            if kind == "mobile":
                assert value[5:10] == "55501", row
            elif kind == "email":
                assert value.endswith("@example.com"), row
            else:
                assert "Example Street" in value, row
    with (demo / "people.csv").open(encoding="utf-8", newline="") as file:
        assert all(row["name"].startswith(("Sample ", "示例")) for row in csv.DictReader(file))
