"""A whole book from its files, on both databases: every row is taken, nothing twice, and what follows is folded."""

import shutil
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from sqlmodel import select

from store.arrears import read_arrears
from store.projection import project
from store.tables import Loan, Person, Position
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
    only_sqlite,
    rejects,
    rows,
)  # fmt: skip
from workflows.importing import import_folder, lists
from workflows.importing.people import bucket_of

DEMO = Path(__file__).parents[3] / "duecourse" / "demo" / "book"


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
