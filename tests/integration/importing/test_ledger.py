"""Schedules, movements and snapshots: corrected whole or not at all, and each movement ended once."""

from datetime import date
from pathlib import Path

import pytest
from sqlmodel import select

from store.arrears import read_arrears
from store.tables import Loan, Movement
from tests.imports import (
    AS_OF,
    INSTALMENTS,
    LATER,
    LOANS,
    MOVEMENTS,
    NOW,
    PEOPLE,
    Importer,
    counts,
    rejects,
    rows,
    versions,
)  # fmt: skip


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
