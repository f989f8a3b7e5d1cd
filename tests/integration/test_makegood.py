"""What was learnt too late, on real databases: listed where it would have made a difference, and nowhere else."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlmodel import col, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from compliance import BulkGate
from duecourse.workspace import open_workspace, shipped_folder
from store.consents import NewStatement, add_statement
from store.db import Database
from store.tables import Contact, DecisionRow, Hold, Loan, StageChange
from tests.factories import add_movement, add_payment
from tests.outgoing import add
from workflows.deciding.sweep import sweep
from workflows.replay.makegood import MadeGood, make_good
from workflows.replay.publications import Deciders

SINCE = NOW - timedelta(days=3)
LATER = NOW + timedelta(days=2)
EARLIER = ON - timedelta(days=2)


def swept(database: Database) -> Deciders:
    """A book that was swept with the rules that ship."""
    write_book(database, 400, on=ON)
    workspace = open_workspace(shipped_folder(), {})
    sweep(database, workspace.rulebook, BulkGate(workspace.gate), now=NOW, loans_per_chunk=150)
    return Deciders(workspace.rulebook, workspace.gate)


def amiss(database: Database, **options: Any) -> MadeGood:
    return make_good(database, since=SINCE, now=LATER + timedelta(hours=1), **options)


def contacted(database: Database, channel: str, count: int) -> list[Contact]:
    """Contacts of the sweep, each with a borrower of their own, who has one loan and pays by schedule."""
    with database.session() as session:
        moved = select(StageChange.loan_id).where(col(StageChange.run_id).is_not(None))
        wanted = select(Contact).join(Loan, col(Loan.id) == col(Contact.loan_id)).where(
            col(Contact.run_id).is_not(None), Contact.channel == channel, Contact.role == "borrower", Contact.purpose == "collect",
            Loan.basis == "schedule", col(Loan.id).not_in(moved),
        )  # fmt: skip
        found = list(session.exec(wanted.order_by(col(Contact.id))))
        loans = {one.loan_id: session.get_one(Loan, one.loan_id) for one in found}
        owners: dict[int, list[int]] = {}
        for loan in session.exec(select(Loan)):
            owners.setdefault(loan.borrower_id, []).append(loan.id or 0)
        alone = [one for one in found if len(owners[loans[one.loan_id].borrower_id]) == 1]
        by_loan = {one.loan_id: one for one in reversed(alone)}
        session.expunge_all()
    assert len(by_loan) >= count, len(by_loan)
    return list(by_loan.values())[:count]


def sent(database: Database, contact: Contact) -> None:
    with database.write() as session:
        one = session.get_one(Contact, contact.id)
        one.status = "sent"
        session.add(one)


def test_nothing_learnt_is_nothing_amiss(database: Database) -> None:
    """Every decision with consequences derived again on what is known by now, which is what was known: all would be as it is."""
    deciders = swept(database)
    found = amiss(database, instead=deciders)
    with database.session() as session:
        contacts = len(session.exec(select(DecisionRow).where(DecisionRow.outcome == "contact")).all())
    assert found.derived >= contacts > 10
    assert (found.amiss, dict(found.unknown)) == ([], {})
    assert amiss(database).derived == 0


def test_what_came_too_late_is_listed_with_its_remedy(database: Database) -> None:
    """A backdated payment, an opt-out, a hold, a wrong number: what went out, a fee and a move that should not have been."""
    swept(database)
    paid, told, held, wrong, untouched = contacted(database, "sms", 5)
    for contact in (paid, told, held, wrong, untouched):
        sent(database, contact)
    with database.session() as session:
        moves = session.exec(select(StageChange).where(StageChange.source == "current", StageChange.cause != "")).all()
        moved = next(one for one in moves if one.run_id and session.get_one(Loan, one.loan_id).basis == "schedule")
        ref = session.get_one(Loan, moved.loan_id).ref
    fee = add_movement(
        database, paid.loan_id, "fee", 50_00, ON - timedelta(days=1), recorded_at=NOW - timedelta(hours=2)
    )
    for loan in (paid.loan_id, moved.loan_id):
        add_payment(database, loan, 10_000_000_00, EARLIER, recorded_at=LATER)
    # Value-dated on the day itself: it was not there to be known.
    add_payment(database, untouched.loan_id, 10_000_000_00, ON, recorded_at=LATER)
    with database.write() as session:
        add_statement(
            session, NewStatement(told.person_id, "opt_out", NOW - timedelta(minutes=10), "test", "late", channels=("sms",), how="letter"),
            now=LATER,
        )  # fmt: skip
        bad = session.get_one(Contact, wrong.id)
        bad.misdirected, bad.outcome = True, "wrong_person"
        session.add(bad)
    add(
        database,
        Hold(
            person_id=held.person_id, kind="dispute", blocks="", owner="care", reason="", review_on=ON, ref="late",
            starts_at=NOW - timedelta(days=1), recorded_at=LATER,
        ),
    )  # fmt: skip
    found = amiss(database)
    by_loan = {}
    for one in found.amiss:
        by_loan.setdefault(one.loan, []).append(one)
    assert set(by_loan) == {paid.loan_id, told.loan_id, held.loan_id, wrong.loan_id, moved.loan_id}
    for contact, because in (
        (paid, "movement payment"),
        (told, "statement opt_out"),
        (held, "hold dispute"),
        (wrong, "wrong number"),
    ):
        one = next(one for one in by_loan[contact.loan_id] if one.subject == f"contact:{contact.id}")
        assert any(said.startswith(because) for said in one.because), one
        assert one.remedy == "tell them it was a mistake, and take back what it cost them"
    fees = [one for one in by_loan[paid.loan_id] if one.kind == "fee"]
    assert [one.remedy for one in fees] == ["reverse it, where it was charged"]
    assert fee
    put_back = [one.remedy for one in by_loan[moved.loan_id] if one.kind == "move"]
    assert put_back == [f"put it back: `duecourse move {ref} current`"]
    # Those that have not left are called off.
    assert any(one.remedy.startswith("see that it is called off") for one in by_loan[moved.loan_id])
    assert not found.unknown


def test_a_rule_that_is_corrected_is_held_against_what_was_done(sqlite_database: Database) -> None:
    """By rules that ask for nothing, no contact would have been made; by those of the time, all of them."""
    deciders = swept(sqlite_database)
    strategies = {name: replace(one, rules={}) for name, one in deciders.rulebook.strategies.items()}
    rulebook = replace(deciders.rulebook, strategies=strategies)
    found = amiss(sqlite_database, instead=Deciders(rulebook, deciders.gate))
    with sqlite_database.session() as session:
        planned = len(session.exec(select(Contact).where(col(Contact.run_id).is_not(None))).all())
    assert len([one for one in found.amiss if one.kind == "contact"]) == planned
    assert {one.because for one in found.amiss} == {("other strategies or packs decide by now",)}
