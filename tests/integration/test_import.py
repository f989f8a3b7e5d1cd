"""Files into the book, on both databases: what is taken, what is rejected, and that it is all or nothing."""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlmodel import col, select

from engine.errors import DataError, StoreError
from engine.gate import LocalWindow
from store.arrears import read_arrears
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from store.people import read_statement
from store.projection import project
from store.tables import Endpoint, Feed, Loan, Movement, Person, Position
from tests.imports import (
    AS_OF,
    ENDPOINTS,
    INSTALMENTS,
    LOANS,
    MOVEMENTS,
    NOW,
    PEOPLE,
    Importer,
    counts,
    dump,
    rejects,
    rows,
    versions,
)  # fmt: skip
from tests.opening import open_database
from tests.postgres import Server
from workflows.importing import import_folder, lists
from workflows.importing.people import bucket_of
from workflows.sayings import restore

DEMO = Path(__file__).parents[2] / "duecourse" / "demo" / "book"
LATER = {"as_of": NOW + timedelta(days=1), "now": NOW + timedelta(days=1, hours=1)}


@pytest.fixture
def importer(database: Database, tmp_path: Path) -> Importer:
    """An empty book."""
    return Importer(database, tmp_path)


@pytest.fixture(scope="session")
def sqlite_book(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small book, to copy."""
    folder = tmp_path_factory.mktemp("book")
    shutil.copyfile(sqlite_template, folder / "small.db")
    database = open_database(f"sqlite:///{folder / 'small.db'}")
    Importer(database, folder).set_up()
    database.close()
    return folder / "small.db"


@pytest.fixture(scope="session")
def postgres_book(postgres_server: Server, postgres_template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a small book's database, to copy."""
    postgres_server.execute(f'create database "smallbook" template "{postgres_template}"')
    database = open_database(postgres_server.url("smallbook"))
    Importer(database, tmp_path_factory.mktemp("book")).set_up()
    database.close()
    return "smallbook"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Importer]:
    """A small book."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_book"), tmp_path / "book.db")
        database = open_database(f"sqlite:///{tmp_path / 'book.db'}")
        yield Importer(database, tmp_path)
        database.close()
    else:
        server: Server = request.getfixturevalue("postgres_server")
        with server.database(template=request.getfixturevalue("postgres_book")) as url:
            database = open_database(url)
            yield Importer(database, tmp_path)
            database.close()


only_sqlite = pytest.mark.parametrize("book", ["sqlite"], indirect=True)
only_postgres = pytest.mark.parametrize("book", [pytest.param("postgresql", marks=pytest.mark.postgres)], indirect=True)


# --- a whole book -----------------------------------------------------------------------------------------------------


def test_the_demo_book(importer: Importer) -> None:
    """Every row of every file is taken; the same files again, a day later, change nothing."""
    folder = importer.folder / "book"
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("*.rejects.csv"))
    options = {"as_of": AS_OF, "now": NOW, "catalogue": importer.catalogue}
    told: list[tuple[int, int]] = []
    first = import_folder(importer.database, folder, **options, progress=lambda *done: told.append(done))
    assert {result.kind: counts(result)[1:] for result in first} == {result.kind: (0, 0, 0, 0) for result in first}
    total = sum(result.rows for result in first)
    assert told[-1] == (total, total)
    assert told == sorted(told)
    before = dump(importer.database)
    brought = {result.kind: result.rows for result in first}
    assert len(before["loan"]) == len(before["position"]) == brought["loans"]
    assert len(before["movement"]) == brought["movements"]
    tomorrow = {**options, "now": NOW + timedelta(days=1)}
    again = import_folder(importer.database, folder, **tomorrow)
    assert all(counts(result) == (0, 0, 0, result.rows, 0) for result in again)
    assert dump(importer.database) == before
    assert not list(folder.glob("*.rejects.csv"))


def test_a_dry_run_tells_all_and_changes_nothing(importer: Importer) -> None:
    """Also of files that refer to what earlier ones would bring; the import itself then does exactly that."""
    folder = importer.folder / "book"
    shutil.copytree(DEMO, folder, ignore=shutil.ignore_patterns("*.rejects.csv"))
    columns = (folder / "loans.csv").read_text().partition("\n")[0].count(",") + 1
    with (folder / "loans.csv").open("a") as file:
        file.write("BAD,nobody,personal,CNY,1,2026-01-01" + "," * (columns - 6) + "\n")
    before = dump(importer.database)
    options = {"as_of": AS_OF, "now": NOW, "catalogue": importer.catalogue}
    would = import_folder(importer.database, folder, **options, dry_run=True)
    assert dump(importer.database) == before
    did = import_folder(importer.database, folder, **options)
    assert [counts(result) for result in would] == [counts(result) for result in did]
    assert {result.dry_run for result in would} == {True}
    loans = next(result for result in did if result.kind == "loans")
    assert rejects(loans) == [
        (loans.rows + 1, "borrower", "no person of that ref is known", "correct it, or import `people` first")
    ]


def test_positions_and_arrears_follow(book: Importer) -> None:
    """What the import folds is what the ledger says; a reversal counts from its day."""
    with book.database.session() as session:
        loan = session.exec(select(Loan).where(Loan.ref == "L1")).one()
        days = [date(2026, 1, 22), date(2026, 1, 25), date(2026, 3, 2)]
        found = [read_arrears(session, loan, on=on, known_at=NOW) for on in days]
    assert [(one.dpd, one.overdue_minor) for one in found] == [(0, 0), (15, 400_00), (51, 1400_00)]
    folded = rows(
        book.database, "position", "loan_id", "credit_minor", "first_open_number", "first_open_on", "reversals"
    )
    with book.database.write() as session:
        project(session, set(session.exec(select(Position.loan_id))))
    assert folded == rows(
        book.database, "position", "loan_id", "credit_minor", "first_open_number", "first_open_on", "reversals"
    )
    assert (600_00, 1, date(2026, 1, 10), 1) in [row[1:] for row in folded]


def test_people_fall_into_their_buckets(book: Importer) -> None:
    """By a keyed hash of their ref, which nothing later changes."""
    with book.database.session() as session:
        people = session.exec(select(Person)).all()
    assert {person.ref: person.bucket for person in people} == {
        ref: bucket_of("00112233445566778899aabbccddeeff", ref) for ref in ("P1", "P2", "P3")
    }
    book.take("people", PEOPLE.replace("Ann", "Anna"))
    assert {person.ref: person.bucket for person in people} == dict(rows(book.database, "person", "ref", "bucket"))


@only_sqlite
def test_a_large_file_reads_the_book_whole(book: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond some number of keys everything is read instead of asked for one by one; the outcome is the same."""
    monkeypatch.setattr(lists, "_QUERIES_MAX", 0)
    for kind, text in (("people", PEOPLE), ("endpoints", ENDPOINTS), ("loans", LOANS), ("instalments", INSTALMENTS), ("movements", MOVEMENTS)):  # fmt: skip
        assert book.take(kind, text).same == book.take(kind, text).rows
    late = MOVEMENTS + "M4,L1,payment,5.00,2026-03-01,,\nM5,L1,reversal,6.00,2026-03-01,,M4\n"
    assert [row[:3] for row in rejects(book.take("movements", late))] == [
        (6, "amount", "takes back more than there was")
    ]


def test_parquet_brings_what_csv_brings(book: Importer) -> None:
    """Typed columns end as the same rows: imported over the CSV, nothing changes; a new one is added."""
    import pyarrow as pa
    from pyarrow import parquet

    text = pa.array(["M1", "M4"])
    at = [datetime(2026, 1, 10, 1, tzinfo=UTC), datetime(2026, 3, 1, 1, tzinfo=UTC)]
    columns = {
        "ref": text,
        "loan": pa.array(["L1", "L1"]).dictionary_encode(),
        "kind": pa.array(["payment", "payment"]),
        "amount": pa.array([Decimal("600.00"), Decimal("12.50")], pa.decimal128(18, 2)),
        "effective_on": pa.array([date(2026, 1, 10), date(2026, 3, 1)]),
        "recorded_at": pa.array(at, pa.timestamp("ms", "Asia/Shanghai")),
    }
    path = book.folder / "movements.parquet"
    parquet.write_table(pa.table(columns), path)
    assert counts(book.take_file("movements", path)) == (1, 0, 0, 1, 0)
    assert ("M4", 12_50, date(2026, 3, 1), at[1]) in rows(
        book.database, "movement", "ref", "amount_minor", "effective_on", "recorded_at"
    )


# --- updates ----------------------------------------------------------------------------------------------------------


def test_people_are_updated(book: Importer) -> None:
    """Only who changed, and only in what the file speaks of: a column left out says nothing, an empty value does."""
    text = "ref,name,language,country,preferred_channel\nP1,Ann Other,en,CN,\nP2,Bob Example,zh,CN,\n"
    assert counts(book.take("people", text)) == (0, 1, 0, 1, 0)
    assert rows(book.database, "person", "ref", "name", "region", "zones", "preferred_channel")[:2] == [
        ("P1", "Ann Other", "CN-SH", "Asia/Shanghai", None),
        ("P2", "Bob Example", "CN-SH", "Asia/Shanghai", None),
    ]
    assert counts(book.take("people", "ref,name,language,country,zones\nP1,Ann Other,en,CN,\n")) == (0, 1, 0, 0, 0)
    assert rows(book.database, "person", "ref", "zones")[0] == ("P1", "")


def test_loans_are_updated_in_what_may_change(book: Importer) -> None:
    """A loan that is sold is known as sold, and stays so when a file does not speak of it."""
    header = "ref,borrower,product,currency,principal,opened_on"
    row = "L1,P1,personal,CNY,3000,2025-12-01"
    sold = f"{header},custody,charged_off_on\n{row},sold,2026-02-28\n"
    assert counts(book.take("loans", sold)) == (0, 1, 0, 0, 0)
    assert counts(book.take("loans", f"{header}\n{row}\n")) == (0, 0, 0, 1, 0)
    assert rows(book.database, "loan", "ref", "custody", "charged_off_on")[1] == ("L1", "sold", date(2026, 2, 28))
    changed = book.take(
        "loans", f"{header}\nL1,P2,personal,USD,3000,2025-12-01\nL2,P1,personal,JPY,300000,2025-12-01\n"
    )
    assert counts(changed) == (0, 0, 0, 1, 1)
    mend = "give another record another ref"
    assert rejects(changed) == [
        (2, "borrower", "differs from what is known, and can never change", mend),
        (2, "currency", "differs from what is known, and can never change", mend),
    ]


def test_endpoints_are_updated(book: Importer) -> None:
    """Known in whatever spelling; one that failed stays failed while the file does not say otherwise."""
    known = rows(book.database, "endpoint", "kind", "value", "zone", "rank", "valid")
    assert known == [
        ("email", "p1@example.com", None, 2, True),
        ("mobile", "+12125550101", "Asia/Shanghai", 1, True),
        ("postal", '{"text": "1 Example Street New York"}', None, 3, True),
    ]
    dead = "person,kind,value,valid\nP1,mobile,+1 (212) 555-0101,false\n"
    assert counts(book.take("endpoints", dead)) == (0, 1, 0, 0, 0)
    plain = "person,kind,value\nP1,mobile,+12125550101\nP2,mobile,+12125550102\n"
    assert counts(book.take("endpoints", plain)) == (1, 0, 0, 1, 0)
    assert rows(book.database, "endpoint", "value", "zone", "valid")[:2] == [
        ("+12125550101", "Asia/Shanghai", False),
        ("+12125550102", "America/New_York", True),
    ]


def test_a_file_does_not_bring_back_what_we_learnt(book: Importer) -> None:
    """A number that bounced stays lost, whatever a file says and however often, until somebody takes that back."""
    lost = datetime(2026, 3, 1, tzinfo=UTC)
    mobile = select(Endpoint).where(Endpoint.kind == "mobile")
    with book.database.write() as session:
        endpoint = session.exec(mobile).one()
        endpoint.valid, endpoint.lost_at = False, lost
        session.add(endpoint)
    good = "person,kind,value,valid,rank\nP1,mobile,+12125550101,true,{}\n"
    assert counts(book.take("endpoints", good.format(1))) == (0, 0, 0, 1, 0)
    assert counts(book.take("endpoints", good.format(5))) == (0, 1, 0, 0, 0)
    assert ("mobile", 5, False, lost) in rows(book.database, "endpoint", "kind", "rank", "valid", "lost_at")
    with book.database.write() as session:
        restore(session, session.exec(mobile).one().id or 0)
    assert counts(book.take("endpoints", good.format(1))) == (0, 1, 0, 0, 0)
    assert ("mobile", 1, True, None) in rows(book.database, "endpoint", "kind", "rank", "valid", "lost_at")


def test_holds_and_promises_are_updated(book: Importer) -> None:
    """A hold ends, a promise is kept; neither changes hands."""
    hold = "ref,person,kind,owner,review_on,starts_at,ends_at\nH1,P1,dispute,care,2026-03-20,2026-02-01T00:00:00Z,{}\n"
    assert counts(book.take("holds", hold.format(""))) == (1, 0, 0, 0, 0)
    assert counts(book.take("holds", hold.format("2026-03-01T00:00:00Z"))) == (0, 1, 0, 0, 0)
    assert rows(book.database, "hold", "ref", "kind", "ends_at") == [
        ("H1", "dispute", datetime(2026, 3, 1, tzinfo=UTC))
    ]
    promise = "ref,loan,amount,made_at,due_on,status\nX1,{},100.00,2026-02-20T09:00:00+08:00,2026-02-28,{}\n"
    assert counts(book.take("promises", promise.format("L1", ""))) == (1, 0, 0, 0, 0)
    assert counts(book.take("promises", promise.format("L1", "kept"))) == (0, 1, 0, 0, 0)
    assert rows(book.database, "promise", "ref", "amount_minor", "status") == [("X1", 100_00, "kept")]
    moved = book.take("promises", promise.format("L2", "kept").replace("100.00", "100"))
    assert [row[:3] for row in rejects(moved)] == [(2, "loan", "differs from what is known, and can never change")]


def test_an_older_file_does_not_undo_a_newer_one(book: Importer) -> None:
    """Files of the day before that come late are refused whole where they would change something back."""
    newer = book.take("people", PEOPLE.replace("Ann", "Anna"), **LATER)
    assert newer.changed == 1
    before = dump(book.database)
    with pytest.raises(DataError) as error:
        book.take("people", PEOPLE.replace("Ann", "Anne"), as_of=AS_OF, now=LATER["now"])
    assert str(error.value).replace(f"{book.folder}/", "") == (
        "people.csv: it is as of 2026-03-01 23:00Z, and would undo what a file as of 2026-03-03 08:00Z said\n"
        "  mend: import the newest file; to go back on purpose give a later `--as-of`"
    )
    assert dump(book.database) == before
    late = "ref,name,language,country\nP9,Nob Example,en,CN\n"
    assert counts(book.take("people", late, as_of=AS_OF, now=LATER["now"])) == (1, 0, 0, 0, 0)


# --- schedules --------------------------------------------------------------------------------------------------------


def test_a_corrected_schedule_replaces_the_old_one(book: Importer) -> None:
    """Whole: changed, added and removed instalments, running totals and the position follow."""
    text = "loan,number,due_on,amount\nL1,1,2026-01-10,500.00\nL1,2,2026-02-10,1000.00\n"
    assert counts(book.take("instalments", text)) == (0, 1, 1, 1, 0)
    loan = dict(rows(book.database, "loan", "ref", "id"))["L1"]
    kept = [row[1:] for row in rows(book.database, "instalment", "loan_id", "number", "amount_minor", "due_total_minor") if row[0] == loan]  # fmt: skip
    assert kept == [(1, 500_00, 500_00), (2, 1000_00, 1500_00)]
    position = [
        row for row in rows(book.database, "position", "loan_id", "due_minor", "first_open_on") if row[0] == loan
    ]
    assert position == [(loan, 1500_00, date(2026, 2, 10))]
    only_shorter = "loan,number,due_on,amount\nL1,1,2026-01-10,500.00\n"
    assert counts(book.take("instalments", only_shorter)) == (0, 0, 1, 1, 0)
    assert versions(book.database)["P1"] > 0


@pytest.mark.parametrize(
    ("bad", "column", "reason", "mend"),
    [
        ("L1,4,2026-04-10,x", "amount", "not an amount", "write it like 1234.50, without signs between thousands"),
        ("L1,5,2026-04-10,1", "number", "the schedule has gaps", "number its instalments 1, 2, 3, ..."),
        ("L1,4,2026-01-09,1", "due_on", "due dates run backwards", "number them in order of due dates"),
        ("L1,3,2026-03-10,1", "number", "stands in the file again with other content", "keep the right one"),
    ],
)
def test_half_a_schedule_is_never_imported(importer: Importer, bad: str, column: str, reason: str, mend: str) -> None:
    """One bad instalment rejects all of its loan and none of another; the rejects say which row to mend."""
    for kind, text in (("people", PEOPLE), ("loans", LOANS)):
        importer.take(kind, text)
    result = importer.take("instalments", f"{INSTALMENTS}{bad}\n")
    assert counts(result) == (1, 0, 0, 0, 4)
    assert (6, column, reason, mend) in rejects(result)
    assert {row[0] for row in rejects(result)} == {2, 3, 4, 6}
    assert len(rows(importer.database, "instalment", "loan_id")) == 1
    mended = importer.take("instalments", INSTALMENTS)
    assert counts(mended) == (3, 0, 0, 1, 0)
    assert not Path(str(result.rejects_file)).exists()


# --- money ------------------------------------------------------------------------------------------------------------


def test_movements_end_each_other(book: Importer) -> None:
    """A debit is settled and its payment bounces, all in one file, in any order; another is called off later."""
    text = (
        "ref,loan,kind,amount,effective_on,recorded_at,ends\n"
        "R,L1,reversal,100.00,2026-02-05,2026-02-05T09:00:00+08:00,P\n"
        "P,L1,payment,100.00,2026-02-03,2026-02-03T09:00:00+08:00,D\n"
        "D,L1,pending_debit,100.00,2026-02-03,2026-02-01T09:00:00+08:00,\n"
        "E,L1,pending_debit,70.00,2026-03-09,2026-03-01T09:00:00+08:00,\n"
    )
    assert counts(book.take("movements", text)) == (4, 0, 0, 0, 0)
    assert counts(book.take("movements", text)) == (0, 0, 0, 4, 0)
    off = "ref,loan,kind,amount,effective_on,ends\nC,L1,pending_cancelled,70.00,2026-03-01,E\n"
    assert counts(book.take("movements", off)) == (1, 0, 0, 0, 0)
    with book.database.session() as session:
        ref = dict(session.exec(select(Movement.id, Movement.ref)).all())
        ended = {row.ref: ref[row.reverses_id] for row in session.exec(select(Movement)) if row.reverses_id}
        recorded = session.exec(select(Movement.recorded_at).where(Movement.ref == "C")).one()
    assert ended == {"M3": "M2", "R": "P", "P": "D", "C": "E"}
    assert recorded == AS_OF


def test_a_known_movement_is_never_another(book: Importer) -> None:
    """What was recorded stays, what it ends included; another source has names of its own."""
    other = MOVEMENTS.replace("600.00", "601.00").replace(",M2\n", ",M1\n")
    result = book.take("movements", other)
    assert counts(result) == (0, 0, 0, 1, 2)
    mend = "what was recorded stays; give a correction a name of its own"
    assert rejects(result) == [(2, "ref", "is known with other content", mend), (4, "ref", "is known with other content", mend)]  # fmt: skip
    assert counts(book.take("movements", other, source="second")) == (3, 0, 0, 0, 0)


def test_a_snapshot_is_corrected_by_a_later_one(book: Importer) -> None:
    """Both are kept, and what was known then can still be asked."""
    text = "loan,as_of_on,dpd,overdue,balance,next_due_on\nA1,2026-03-01,{},150.00,900.00,2026-03-15\n"
    assert counts(book.take("accounts", text.format(30))) == (1, 0, 0, 0, 0)
    assert counts(book.take("accounts", text.format(30), **LATER)) == (0, 0, 0, 1, 0)
    result = book.take("accounts", text.format(31))
    assert rejects(result) == [
        (2, "as_of_on", "was told otherwise as of the same instant", "say with `--as-of` when the correction was made")
    ]
    assert counts(book.take("accounts", text.format(20), **LATER)) == (1, 0, 0, 0, 0)
    assert counts(book.take("accounts", text.format(20), **LATER)) == (0, 0, 0, 1, 0)
    assert counts(book.take("accounts", text.format(30))) == (0, 0, 0, 1, 0)
    with book.database.session() as session:
        loan = session.exec(select(Loan).where(Loan.ref == "A1")).one()
        known = (NOW, LATER["now"])
        found = [read_arrears(session, loan, on=date(2026, 3, 2), known_at=known_at) for known_at in known]
    assert [(one.dpd, one.overdue_minor) for one in found] == [(31, 150_00), (21, 150_00)]


# --- what else a lender knows -----------------------------------------------------------------------------------------


def test_evidence_of_a_notice_served(book: Importer) -> None:
    """Is a notice in force from the day it is deemed served."""
    text = "ref,loan,person,kind,sent_on,effective_on,how\nN1,L1,P1,prelegal_notice,2026-02-01,2026-02-06,registered letter\n"
    assert counts(book.take("notices", text)) == (1, 0, 0, 0, 0)
    assert rows(book.database, "notice", "ref", "kind", "effective_on", "voided_at") == [
        ("N1", "prelegal_notice", date(2026, 2, 6), None)
    ]
    result = book.take("notices", text.replace("N1", "N2").replace("2026-02-06", "2026-01-31"))
    assert rejects(result) == [(2, "effective_on", "is before `sent_on`", "correct one of them")]


def test_facts_are_read_by_their_types(book: Importer) -> None:
    """Whole numbers, money in the loan's own minor units, flags, words; outside type or range they are rejected."""
    names = {name: fact for name, fact in book.catalogue.facts.items() if fact.supplier == "imported"}
    number = next(name for name, fact in names.items() if fact.type == "int" and fact.low == 0 and fact.high)
    money = next(name for name, fact in names.items() if fact.type == "money")
    flag = next(name for name, fact in names.items() if fact.type == "bool")
    good = ("L1,risk_band,c", f"L1,{number},7", f"L1,{money},9500.50", f"L2,{money},4500", f"L1,{flag},true")
    bad = (
        ("L1,risk_band,z", "value", "not one of the words of this fact"),
        (f"L1,{number},1.5", "value", "not a whole number"),
        (f"L1,{number},{names[number].high + 1}", "value", "outside the range of this fact"),
        (f"L1,{money},1.234", "value", "more decimals than the currency has"),
        (f"L2,{money},1.5", "value", "more decimals than the currency has"),
        (f"L1,{flag},yes", "value", "neither true nor false"),
        ("L1,dpd,3", "name", "a fact that is computed, not imported"),
        ("L1,no_such_fact,3", "name", "no fact of that name"),
    )  # fmt: skip
    said = (*good, *(line for line, _, _ in bad))
    lines = [f"{line},2026-02-{day:02d}T00:00:00Z" for day, line in enumerate(said, start=1)]
    result = book.take("facts", "loan,name,value,as_of\n" + "\n".join(lines) + "\n")
    wanted = [(row, column, reason) for row, (_, column, reason) in enumerate(bad, start=7)]
    assert [row[:3] for row in rejects(result)] == wanted
    assert sorted(row[1:] for row in rows(book.database, "fact_value", "loan_id", "number", "text") if row[1] is not None) == [
        (1, None), (7, None), (4500, None), (9500_50, None),
    ]  # fmt: skip


def test_statements_name_endpoints_hours_and_debts(book: Importer) -> None:
    """As the gate reads them: an endpoint in any spelling, local hours by weekday, the loan it is about."""
    text = (
        "ref,person,kind,scope,channels,endpoint,loan,hours,days,place,received_at\n"
        "S1,P1,opt_out,,sms,+1 212 555 0101,,,,,2026-02-01T00:00:00Z\n"
        "S2,P1,inconvenient_time,,call visit,,L1,22:00-24:00 12:30-14:00,mon sun,,2026-02-01T00:00:00Z\n"
        "S3,P1,inconvenient_place,,,,,,,work,2026-02-01T00:00:00Z\n"
        "S4,P1,opt_out,,sms,p2@example.com,,,,,2026-02-01T00:00:00Z\n"
        "S5,P1,opt_out,,SMS,,,,,,2026-02-01T00:00:00Z\n"
        "S6,P1,inconvenient_time,,,,,25:00-26:00,,,2026-02-01T00:00:00Z\n"
    )
    result = book.take("consents", text)
    assert counts(result) == (3, 0, 0, 0, 3)
    assert rejects(result) == [
        (5, "endpoint", "not a number or address of this person", "write one of this person's `endpoints`, or import that first"),
        (6, "channels", "not words of this column", "write some of sms, email, call, visit, letter, legal, separated by one space"),
        (7, "hours", "not hours of the day", "write them like 12:00-14:00 22:00-24:00"),
    ]  # fmt: skip
    assert counts(book.take("consents", text)) == (0, 0, 0, 3, 3)
    consent = table_of("consent")
    with reading(book.database) as reader:
        stored = {row["ref"]: row for row in reader.read(consent.select()).to_pylist()}
    mobile = next(row[1] for row in rows(book.database, "endpoint", "kind", "id") if row[0] == "mobile")
    loan = dict(rows(book.database, "loan", "ref", "id"))["L1"]
    first, second, third = (read_statement(stored[ref]) for ref in ("S1", "S2", "S3"))
    assert (first.endpoint, first.channels, first.windows) == (mobile, ("sms",), ())
    assert second.windows == (LocalWindow(22 * 60, 24 * 60, (0, 6)), LocalWindow(12 * 60 + 30, 14 * 60, (0, 6)))
    assert (second.debts, second.channels) == ((loan,), ("call", "visit"))
    assert third.place == "work"


def test_a_refusal_for_a_number_listed_twice_is_for_both(book: Importer) -> None:
    """As mobile and as landline: what is refused is refused whatever it is called."""
    book.take("endpoints", "person,kind,value\nP1,landline,+12125550101\n")
    header = "ref,person,kind,scope,endpoint,received_at\n"
    text = f"{header}S1,P1,opt_out,,+12125550101,2026-02-01T00:00:00Z\nS2,P1,consent,electronic,+12125550101,2026-02-01T00:00:00Z\n"
    book.take("consents", text)
    assert [row[1] is None for row in rows(book.database, "consent", "ref", "endpoint_id")] == [True, False]


def test_contacts_made_elsewhere_count(book: Importer) -> None:
    """With their outcome, about their loan; what reached somebody else, or nobody, is known as such."""
    text = (
        "ref,loan,person,role,channel,direction,at,outcome\n"
        "C1,L1,P1,,call,out,2026-02-20T10:00:00+08:00,no_answer\n"
        "C2,L1,P2,guarantor,call,out,2026-02-20T10:00:00+08:00,wrong_person\n"
        "C3,L1,P1,,email,out,2026-02-20T10:00:00+08:00,bounced\n"
        "C4,L1,P1,,call,out,2026-02-20T10:00:00+08:00,no-answer\n"
        "C5,L1,P1,,call,out,2026-03-20T10:00:00+08:00,no_answer\n"
    )
    result = book.take("contacts", text)
    assert [row[:3] for row in rejects(result)] == [
        (5, "outcome", "not a word of this column"), (6, "at", "is still to come"),
    ]  # fmt: skip
    assert rows(book.database, "contact", "id", "role", "status", "outcome", "misdirected") == [
        ("import-C1", "borrower", "delivered", "no_answer", False),
        ("import-C2", "guarantor", "delivered", "wrong_person", True),
        ("import-C3", "borrower", "failed", "bounced", False),
    ]
    assert len(rows(book.database, "contact_loan", "contact_id")) == 3


# --- who has to be looked at again, and who is told -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "row", "who"),
    [
        ("people", "ref,name,language,country\nP2,Bob Other,zh,CN", {"P2"}),
        ("endpoints", "person,kind,value\nP2,email,p2@example.com", {"P2"}),
        ("loans", "ref,borrower,product,currency,principal,opened_on,custody\nA1,P3,card,USD,5000,2024-12-01,agency", {"P3"}),
        ("loans", "ref,borrower,product,currency,principal,opened_on\nL9,P2,card,USD,5000,2024-12-01", {"P2"}),
        ("parties", "loan,person,role\nL1,P2,guarantor", {"P1", "P2"}),
        ("instalments", "loan,number,due_on,amount\nL2,1,2026-01-31,299999", {"P1"}),
        ("movements", "ref,loan,kind,amount,effective_on\nM9,L1,payment,1,2026-03-01", {"P1"}),
        ("accounts", "loan,as_of_on,dpd,overdue,balance\nA1,2026-03-01,0,0,1", {"P3"}),
        ("facts", "loan,name,value,as_of\nL1,risk_band,c,2026-03-01T00:00:00Z", {"P1"}),
        ("consents", "ref,person,kind,received_at\nS1,P2,opt_out,2026-03-01T00:00:00Z", {"P2"}),
        ("consents", "ref,person,loan,kind,received_at\nS1,P2,A1,opt_out,2026-03-01T00:00:00Z", {"P2", "P3"}),
        ("holds", "ref,person,loan,kind,owner,review_on,starts_at\nH1,P2,L1,fraud,x,2026-04-01,2026-03-01T00:00:00Z", {"P1", "P2"}),
        ("notices", "ref,loan,person,kind,sent_on,effective_on,how\nN1,L1,P2,visit_notice,2026-02-01,2026-02-06,x", {"P1", "P2"}),
        ("contacts", "ref,loan,person,channel,at,outcome\nC1,A1,P3,call,2026-03-01T00:00:00Z,no_answer", {"P3"}),
        ("promises", "ref,loan,amount,made_at,due_on\nX1,L1,1,2026-02-01T00:00:00Z,2026-02-06", {"P1"}),
    ],
)  # fmt: skip
@only_sqlite
def test_whatever_could_forbid_a_contact_bumps_the_version(book: Importer, kind: str, row: str, who: set[str]) -> None:
    """Of everybody concerned and nobody else; the same file again bumps nobody."""
    before = versions(book.database)
    assert book.take(kind, f"{row}\n").rejected == 0
    after = versions(book.database)
    assert {ref for ref, version in after.items() if version > before[ref]} == who
    book.take(kind, f"{row}\n")
    assert versions(book.database) == after


def events(book: Importer) -> list[tuple[str, str | None]]:
    """Kind and key of every event."""
    return rows(book.database, "event", "kind", "key")  # type: ignore[return-value] # rows of two


def test_later_movements_are_news(book: Importer) -> None:
    """The first file sets the book up; what a later one brings is told once, old history not at all."""
    assert events(book) == []
    header = "ref,loan,kind,amount,effective_on,recorded_at,ends\n"
    text = (
        f"{header}"
        "D,L1,pending_debit,50.00,2026-03-02,2026-03-02T09:00:00+08:00,\n"
        "P,L1,payment,100.00,2026-03-02,2026-03-02T09:00:00+08:00,\n"
        "W,L1,waiver,10.00,2026-03-02,2026-03-02T09:00:00+08:00,\n"
        "R,L1,reversal,100.00,2026-03-02,2026-03-02T10:00:00+08:00,P\n"
        "V,L1,reversal,10.00,2026-03-02,2026-03-02T10:00:00+08:00,W\n"
        "C,L1,pending_cancelled,50.00,2026-03-02,2026-03-02T10:00:00+08:00,D\n"
        "F,L1,fee,5.00,2026-03-02,2026-03-02T09:00:00+08:00,\n"
        "OLD,L1,payment,1.00,2026-02-01,2026-02-01T09:00:00+08:00,\n"
    )
    book.take("movements", text, **LATER)
    told = [
        ("payment", "movement:P"), ("payment", "movement:W"), ("payment_reversed", "movement:C"),
        ("payment_reversed", "movement:R"), ("pending_debit", "movement:D"),
    ]  # fmt: skip
    assert events(book) == told
    book.take("movements", text, **LATER)
    assert events(book) == told
    owners = {row[0] for row in rows(book.database, "event", "person_id")}
    assert owners == {dict(rows(book.database, "person", "ref", "id"))["P1"]}
    recorded = {row[0] for row in rows(book.database, "event", "recorded_at")}
    assert recorded == {LATER["now"]}


def test_holds_promises_and_contacts_are_news(book: Importer) -> None:
    """Placed and released, made, kept and broken, answered and failed."""
    hold = "ref,person,kind,owner,review_on,starts_at,ends_at\n{},P1,{},x,2026-04-01,2026-02-01T00:00:00Z,{}\n"
    book.take("holds", hold.format("H0", "fraud", ""))
    book.take("holds", hold.format("H1", "dispute", ""), **LATER)
    released = hold.format("H1", "dispute", "2026-03-01T00:00:00Z")
    book.take("holds", released, **LATER)
    book.take("holds", hold.format("H1", "dispute", ""), **LATER)
    book.take("holds", released, **LATER)
    assert [kind for kind, _ in events(book)] == ["dispute", "hold_released"]
    promise = "ref,loan,amount,made_at,due_on,status\n{},L1,1,2026-03-02T09:00:00Z,2026-03-06,{}\n"
    book.take("promises", promise.format("X0", ""), **LATER)
    book.take("promises", promise.format("X1", ""), **LATER)
    book.take("promises", promise.format("X1", "broken"), **LATER)
    assert [kind for kind, key in events(book) if str(key).startswith("promise")] == ["promise_broken", "promise_made"]
    contact = "ref,loan,person,channel,direction,at,outcome\n{},L1,P1,{},{},2026-03-02T09:00:00Z,{}\n"
    book.take("contacts", contact.format("C0", "sms", "in", "received"), **LATER)
    for number, said in enumerate((("sms", "in", "received"), ("email", "out", "bounced"), ("call", "out", "no_answer"), ("sms", "out", "delivered")), 1):  # fmt: skip
        book.take("contacts", contact.format(f"C{number}", *said), **LATER)
    told = [kind for kind, key in events(book) if str(key).startswith("import-")]
    assert told == ["call_outcome", "delivery_failed", "reply"]


# --- feeds ------------------------------------------------------------------------------------------------------------


def ages(database: Database, kind: str) -> list[tuple[datetime, str, int]]:
    """as_of, status, rejected of a kind's feeds."""
    with database.session() as session:
        feeds = session.exec(select(Feed).where(Feed.kind == kind).order_by(col(Feed.id))).all()
    return [(feed.as_of_at, feed.status, feed.rejected) for feed in feeds]


def test_every_feed_records_its_age(book: Importer) -> None:
    """A file without news, or the same bytes again, is as fresh as it says; one of which nothing was taken is not."""
    assert ages(book.database, "movements") == [(AS_OF, "done", 0)]
    nothing = MOVEMENTS.splitlines()[0]
    assert counts(book.take("movements", nothing, as_of=AS_OF + timedelta(hours=1))) == (0, 0, 0, 0, 0)
    assert ages(book.database, "movements")[-1] == (AS_OF + timedelta(hours=1), "done", 0)
    book.take("movements", nothing, **LATER)
    book.take("movements", nothing, as_of=AS_OF, now=LATER["now"])
    assert ages(book.database, "movements") == [(AS_OF, "done", 0), (LATER["as_of"], "done", 0)]
    book.take("movements", MOVEMENTS.replace("L1", "L7"), **LATER)
    assert ages(book.database, "movements")[-1] == (LATER["as_of"], "rejected", 3)


def test_a_file_from_the_future_or_of_no_time(book: Importer) -> None:
    """Is refused whole: its age is what dunning depends on."""
    mend = "\n  mend: say when it was made, e.g. `--as-of 2026-03-02T06:00+08:00`"
    with pytest.raises(DataError) as error:
        book.take("movements", MOVEMENTS, as_of=NOW + timedelta(minutes=1))
    said = str(error.value).replace(f"{book.folder}/", "")
    assert said == f"movements.csv: it is as of 2026-03-02 08:01Z, which is still to come{mend}"
    with pytest.raises(DataError) as error:
        book.take("movements", MOVEMENTS, as_of=None)
    said = str(error.value).replace(f"{book.folder}/", "")
    assert said == f"movements.csv: a file of movements has an age, and it is not told{mend}"
    assert counts(book.take("people", PEOPLE, as_of=None)) == (0, 0, 0, 3, 0)


def test_one_refused_file_stops_the_others(importer: Importer) -> None:
    """All are read before the first is written, and every problem of all of them is told."""
    for name, text in (("people", PEOPLE), ("loans", LOANS.replace("product", "products")), ("movements", "ref\n")):
        (importer.folder / f"{name}.csv").write_text(text)
    before = dump(importer.database, leave_out=())
    with pytest.raises(DataError) as error:
        import_folder(importer.database, importer.folder, as_of=AS_OF, now=NOW, catalogue=importer.catalogue)
    files = [problem.at.file.rpartition("/")[2] for problem in error.value.problems if problem.at]
    assert files == ["loans.csv"] * 2 + ["movements.csv"] * 4
    assert dump(importer.database, leave_out=()) == before


# --- all or nothing ---------------------------------------------------------------------------------------------------


def test_a_second_import_waits_its_turn(book: Importer) -> None:
    """One at a time: two that bring the same rows would both find them new."""

    def meanwhile(_done: int, _total: int) -> None:
        with pytest.raises(StoreError) as error:
            book.take("people", PEOPLE)
        assert f"an import is running already: process {os.getpid()} on " in str(error.value)
        assert str(error.value).endswith("\n  mend: wait until it has ended, or stop it")

    book.take("people", PEOPLE.replace("Ann", "Anna"), progress=meanwhile)
    assert rows(book.database, "person", "name")[0] == ("Anna Example",)


def test_rejects_that_cannot_be_written_undo_the_import(book: Importer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that were not taken and of which nobody hears would be lost."""
    (book.folder / "people.csv.rejects.csv").mkdir()
    before = dump(book.database)
    with pytest.raises(DataError) as error:
        book.take("people", "ref,name,language,country\nP8,Ok Example,en,CN\nP9,Bad Example,xx,CN\n")
    said = str(error.value).replace(f"{book.folder}/", "")
    assert (
        said == "cannot write `people.csv.rejects.csv`: is a directory\n  mend: import from a folder you may write to"
    )
    assert dump(book.database) == before


_KILLED = """
    import os, signal, sys
    from datetime import UTC, datetime
    from pathlib import Path
    from engine.catalogue import load_catalogue
    from store.bulk_sqlite import SqliteTransaction
    from tests.opening import open_database
    from workflows.importing import KINDS, import_file

    url, path = sys.argv[1:]
    now = datetime(2026, 3, 2, 8, tzinfo=UTC)
    catalogue = load_catalogue()

    def dies_at(last):
        done = 0
        def dying(was):
            def call(self, *args, **values):
                nonlocal done
                done += 1
                if done == last:
                    os.kill(os.getpid(), signal.SIGKILL)
                return was(self, *args, **values)
            return call
        for name in ("append", "update", "execute", "commit"):
            setattr(SqliteTransaction, name, dying(getattr(SqliteTransaction, name)))

    step, status = 0, -9
    while os.WIFSIGNALED(status) or step == 0:
        step += 1
        if not (child := os.fork()):
            dies_at(step)
            import_file(open_database(url), KINDS["movements"], Path(path), as_of=now, now=now, catalogue=catalogue)
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        print("killed" if os.WIFSIGNALED(status) else f"exit {status}", flush=True)
        sys.stdin.readline()
"""


@only_sqlite
def test_a_killed_import_leaves_nothing(book: Importer) -> None:
    """Killed before each statement of its transaction in turn, the commit included; then it imports as if never begun."""
    path = book.folder / "movements.csv"
    path.write_text(MOVEMENTS + "M4,L1,payment,5.00,2026-03-01,2026-03-01T20:00:00+08:00,\n"
                    "M5,L1,reversal,5.00,2026-03-01,2026-03-01T20:00:00+08:00,M4\n")  # fmt: skip
    before = dump(book.database)
    killed = 0
    command = [sys.executable, "-c", textwrap.dedent(_KILLED), f"sqlite:///{book.database.place}", str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while (said := process.stdout.readline()) == "killed\n":
            killed += 1
            assert dump(book.database) == before
            process.stdin.write("\n")
            process.stdin.flush()
        assert said == "exit 0\n"
        process.stdin.close()
    # Before the feed, its deed, the movements, what they end, the position, the version, the events, the commit.
    assert killed == 8
    after = dump(book.database)
    assert len(after["movement"]) == len(before["movement"]) + 2
    assert counts(book.take_file("movements", path)) == (0, 0, 0, 5, 0)


@only_postgres
def test_a_broken_connection_leaves_nothing(book: Importer, postgres_server: Server) -> None:
    """The server goes away in the middle: one clear message, nothing imported, and the same file imports afterwards."""
    before = dump(book.database)
    text = MOVEMENTS + "M4,L1,payment,5.00,2026-03-01,2026-03-01T20:00:00+08:00,\n"

    def cut(done: int, total: int) -> None:
        if 0.4 < done / total < 1:
            name = str(book.database.url.database)
            postgres_server.execute(
                f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}' and query not like '%advisory%'"
            )

    with pytest.raises(StoreError) as error:
        book.take("movements", text, progress=cut)
    assert error.value.problems[0].what.endswith("` is out of reach")
    assert dump(book.database) == before
    assert counts(book.take("movements", text)) == (1, 0, 0, 3, 0)


@only_sqlite
def test_a_locked_database(book: Importer) -> None:
    """Says so, and nothing was imported."""
    place = book.database.place
    impatient = Importer(open_database(f"sqlite:///{place}", busy_timeout_s=0.1), book.folder)
    before = dump(book.database)
    with book.database.write(), pytest.raises(StoreError) as error:
        impatient.take("people", PEOPLE.replace("Ann", "Anna"))
    assert str(error.value) == (
        f"`{place}` is locked by another writer\n  mend: let it finish, or stop it, and run the same again"
    )
    impatient.database.close()
    assert dump(book.database) == before
