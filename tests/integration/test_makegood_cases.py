"""What makes a difference to what was done in good faith: a fee that was reversed, a fact put right, a notice that was void."""

from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta

import pytest
from sqlmodel import Session, col, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from compliance import BulkGate
from duecourse.workspace import open_workspace, shipped_folder
from store.db import Database
from store.tables import Contact, FactValue, Loan, Notice, Position, StageChange
from tests.factories import add_movement, add_payment, reverse
from tests.outgoing import add, rows
from workflows.deciding.sweep import sweep
from workflows.replay.makegood import Amiss, make_good

SINCE = NOW - timedelta(days=3)
LATER = NOW + timedelta(days=2)
DAY = timedelta(days=1)


def swept(database: Database, before: Callable[[Session], None] = lambda _: None) -> None:
    """A book that was swept with the rules that ship, after something was added to it."""
    write_book(database, 1000, on=ON)
    with database.write() as session:
        before(session)
    workspace = open_workspace(shipped_folder(), {})
    sweep(database, workspace.rulebook, BulkGate(workspace.gate), now=NOW, loans_per_chunk=500)


def amiss(database: Database) -> list[Amiss]:
    """What is found an hour after it was learnt."""
    found = make_good(database, since=SINCE, now=LATER + timedelta(hours=1))
    assert not found.unknown
    return found.amiss


def alone(session: Session) -> list[Loan]:
    """Loans that pay by schedule, of borrowers who have no other."""
    loans = session.exec(select(Loan).order_by(col(Loan.id))).all()
    owners = Counter(loan.borrower_id for loan in loans)
    return [loan for loan in loans if owners[loan.borrower_id] == 1 and loan.basis == "schedule"]


def late_since(session: Session, loan: Loan) -> date | None:
    """Since when it is late."""
    position = session.get_one(Position, loan.id)
    opened = position.first_open_on
    return opened if opened is not None and opened < ON else None


def test_a_fee_that_was_reversed_needs_no_making_good(database: Database) -> None:
    """Two fees of a day on which, as is known by now, nobody was late: the one that stands is listed, the reversed one is not."""
    swept(database)
    with database.session() as session:
        opened = {loan.id or 0: late_since(session, loan) for loan in alone(session)}
        late = [loan for loan, since in opened.items() if since is not None and since < ON - 5 * DAY]
    stands, reversed_, in_part = late[:3]
    charged = {"recorded_at": NOW - timedelta(hours=2)}
    fees = {loan: add_movement(database, loan, "fee", 50_00, ON - DAY, **charged) for loan in late[:3]}
    for loan in fees:
        add_payment(database, loan, 10_000_000_00, ON - 2 * DAY, recorded_at=LATER)
    reverse(database, reversed_, fees[reversed_], 50_00, ON, recorded_at=LATER)
    reverse(database, in_part, fees[in_part], 20_00, ON, recorded_at=LATER)
    listed = [one for one in amiss(database) if one.kind == "fee"]
    assert {one.loan for one in listed} == {stands, in_part}, "what was taken back in part stands for the rest"


@pytest.mark.parametrize(("as_of", "counts"), [(NOW - DAY, True), (NOW + timedelta(hours=1), False)])
def test_a_fact_that_was_put_right_counts_from_when_it_was_true(
    database: Database, as_of: object, counts: bool
) -> None:
    """A reminder went to somebody whose risk is put right later: amiss if it was low by then, not if it became low afterwards."""

    def scored(session: Session) -> None:
        for loan in alone(session):
            opened = late_since(session, loan)
            if opened is not None and 1 <= (ON - opened).days <= 3:
                session.add(
                    FactValue(
                        loan_id=loan.id, name="risk_band", text="c", as_of_at=NOW - 9 * DAY, recorded_at=NOW - 9 * DAY
                    )
                )

    swept(database, scored)
    scores = {one.loan_id for one in rows(database, FactValue)}
    reminded = [one for one in rows(database, Contact, col(Contact.rule) == "sms-day-1") if one.loan_id in scores]
    wrong, right = reminded[:2]
    for contact, band in ((wrong, "a"), (right, "b")):
        add(
            database,
            FactValue(loan_id=contact.loan_id, name="risk_band", text=band, as_of_at=as_of, recorded_at=LATER),
        )
    found = amiss(database)
    assert [(one.kind, one.loan, one.subject) for one in found] == (
        [("contact", wrong.loan_id, f"contact:{wrong.id}")] if counts else []
    )
    assert all(one.because[0].startswith("fact risk_band") for one in found)


def test_a_move_for_a_notice_that_was_void_is_put_back(database: Database) -> None:
    """Two loans went to field visits by a notice in force; one notice turns out to be void: that move is listed, how to undo it too."""

    def noticed(session: Session) -> None:
        for loan in alone(session):
            opened = late_since(session, loan)
            if loan.stage == "phone" and opened is not None and 61 <= (ON - opened).days <= 90:
                session.add(
                    Notice(
                        loan_id=loan.id, person_id=loan.borrower_id, kind="visit_notice", sent_on=ON - 20 * DAY,
                        effective_on=ON - 15 * DAY, how="letter", recorded_at=NOW - 20 * DAY, ref=f"N{loan.id}",
                    )
                )  # fmt: skip

    swept(database, noticed)
    moved = rows(database, StageChange, col(StageChange.target) == "field_visit")
    assert len(moved) > 1
    assert amiss(database) == []
    void = moved[0].loan_id
    with database.write() as session:
        notice = session.exec(select(Notice).where(Notice.loan_id == void)).one()
        notice.voided_at = LATER
        session.add(notice)
        ref = session.get_one(Loan, void).ref
    found = [one for one in amiss(database) if one.kind == "move"]
    assert [(one.loan, one.remedy) for one in found] == [(void, f"put it back: `duecourse move {ref} phone`")]
    assert found[0].because[0].startswith("voided notice visit_notice")
