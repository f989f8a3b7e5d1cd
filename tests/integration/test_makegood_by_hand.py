"""Contacts that people made, and what was learnt too late: listed where the gate would not have let them, and nowhere else."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from sqlmodel import col, select

from compliance import Gate, load_packs
from duecourse.wiring import Works
from store.consents import NewStatement, add_statement
from store.db import Database
from store.tables import Contact, Hold, Loan
from tests.factories import add_payment
from tests.outgoing import NOW, TODAY, add, book
from tests.packing import only_the_questions
from tests.replaying import few_packs, scalars, tampered, works_of
from workflows.desk.asking import Wanted
from workflows.desk.by_hand import Done, record, start
from workflows.desk.sayings import NOTHING_LEARNT
from workflows.replay.makegood import MadeGood, make_good
from workflows.replay.makegood_by_hand import BOOK_NOT_KEPT
from workflows.replay.publications import Deciders

LATER = NOW + timedelta(days=2)
TELL_THEM = "tell them it was a mistake, and take back what it cost them"
LATE = """
pack: house.late
title: {en: Who is late, zh: 逾期者}
places: [everywhere]
actors: [first_party]
status: house
provenance: verified
from: 2020-01-01
review_on: 2030-01-01
rules:
  - id: house.late.only
    kind: addressee
    says: {en: Whoever is not late is not called., zh: 未逾期者不得致电。}
    channels: [call]
    when: dpd < 1
    may_be: [attorney]
    citation: A test
"""


@contextmanager
def works_on(database: Database) -> Iterator[Works]:
    """A shipped workspace; of its packs one forbids to call whoever is not late."""
    workspace = few_packs()
    packs = [pack for pack in workspace.packs if pack.id.startswith(("cn.cba", "house."))]
    late = load_packs({"late.yaml": LATE}, workspace.catalogue)
    workspace.gate = Gate([*packs, *late], ["CN", "US"])
    with works_of(workspace, database) as works:
        yield works


def late_loans(database: Database, count: int) -> list[Loan]:
    """Five days late, each with a borrower of their own."""
    ids = book(database, count)
    return scalars(database, select(Loan).where(col(Loan.id).in_(ids)).order_by(col(Loan.id)))


def called(works: Works, loan: Loan) -> Done:
    return start(works.door, Wanted(loan.ref, "call"), agent="mei", now=NOW)


def told(works: Works, loan: Loan, direction: str = "out") -> Done:
    return record(
        works.door, Wanted(loan.ref, "call"), "no_answer" if direction == "out" else "conversation",
        direction=direction, agent="mei", at=NOW - timedelta(minutes=1), now=NOW, learnt=NOTHING_LEARNT,  # type: ignore[arg-type]
    )  # fmt: skip


def paid(database: Database, loan: Loan) -> None:
    """All of it, on a day before the call; heard of two days after it."""
    add_payment(database, loan.id or 0, 10_000_000_00, TODAY - timedelta(days=2), recorded_at=LATER)


def stopped(database: Database, loan: Loan) -> None:
    """They had said stop; the letter lay in a tray."""
    with database.write() as session:
        said = NewStatement(
            loan.borrower_id, "opt_out", NOW - timedelta(hours=2), "test", f"late-{loan.id}", channels=("call",), how="letter"
        )  # fmt: skip
        add_statement(session, said, now=LATER)


def disputed(database: Database, loan: Loan) -> None:
    add(
        database,
        Hold(person_id=loan.borrower_id, kind="dispute", blocks="", owner="care", reason="", review_on=TODAY, ref=f"d{loan.id}",
             starts_at=NOW - timedelta(days=1), recorded_at=LATER),
    )  # fmt: skip


def wrong(database: Database, done: Done) -> None:
    """It was somebody else's number, which was said to another caller later."""
    with database.write() as session:
        contact = session.get_one(Contact, done.contact)
        contact.misdirected, contact.outcome = True, "wrong_person"
        session.add(contact)


def amiss(database: Database, **options: Deciders) -> MadeGood:
    return make_good(database, since=NOW - timedelta(days=3), now=LATER + timedelta(hours=1), **options)  # type: ignore[arg-type]


def test_calls_by_people_are_held_against_what_was_learnt_too_late(database: Database) -> None:
    """Of calls started and told of: a payment, a stop, a dispute, a wrong number; each with its record and its remedy."""
    with works_on(database) as works:
        loans = late_loans(works.database, 7)
        untouched, by_payment, by_stop, by_dispute, by_number, by_record, they_called = loans
        called(works, untouched)
        made = {loan.id: called(works, loan) for loan in (by_payment, by_stop, by_dispute, by_number)}
        made[by_record.id] = told(works, by_record)
        told(works, they_called, "in")
    assert amiss(database).amiss == []
    paid(database, by_payment)
    stopped(database, by_stop)
    disputed(database, by_dispute)
    wrong(database, made[by_number.id])
    stopped(database, by_record)
    stopped(database, they_called)
    found = amiss(database)
    assert not found.unknown
    assert found.derived == 5
    listed = {one.loan: one for one in found.amiss}
    assert listed.keys() == made.keys()
    for loan, because in (
        (by_payment, "movement payment"), (by_stop, "statement opt_out"), (by_dispute, "hold dispute"),
        (by_number, "wrong number"), (by_record, "statement opt_out"),
    ):  # fmt: skip
        one = listed[loan.id or 0]
        assert any(said.startswith(because) for said in one.because), one
        assert (one.kind, one.subject, one.remedy) == ("contact", f"contact:{made[loan.id].contact}", TELL_THEM)
        assert one.what.startswith("call to borrower by hand")
    assert listed[by_record.id or 0].at == NOW - timedelta(minutes=1)


def test_what_the_gate_would_have_let_all_the_same_is_not_listed(database: Database) -> None:
    """A payment of part of it: they were late by what is known now as well. A stop of texts: they were called."""
    with works_on(database) as works:
        partly, texts = late_loans(works.database, 2)
        called(works, partly)
        called(works, texts)
    add_payment(database, partly.id or 0, 1, TODAY - timedelta(days=2), recorded_at=LATER)
    with database.write() as session:
        said = NewStatement(texts.borrower_id, "opt_out", NOW - timedelta(hours=2), "test", "t", channels=("email",))
        add_statement(session, said, now=LATER)
    found = amiss(database)
    assert (found.derived, found.amiss, dict(found.unknown)) == (2, [], {})


def test_a_call_that_was_refused_even_then_is_not_held_against_what_was_learnt(sqlite_database: Database) -> None:
    """It was told of after a stop that was on file: it stands in the log as it is, and another stop changes nothing."""
    with works_on(sqlite_database) as works:
        (loan,) = late_loans(works.database, 1)
        with sqlite_database.write() as session:
            said = NewStatement(loan.borrower_id, "opt_out", NOW - timedelta(days=9), "test", "old", channels=("call",))
            add_statement(session, said, now=NOW - timedelta(days=8))
        told(works, loan)
    stopped(sqlite_database, loan)
    assert amiss(sqlite_database).amiss == []


def test_what_was_not_kept_cannot_be_told(sqlite_database: Database) -> None:
    """Where only the questions are there, nobody knows what they would be by now: said, with how many, and never passed over."""
    with works_on(sqlite_database) as works:
        first, second, third = late_loans(works.database, 3)
        for loan in (first, second, third):
            called(works, loan)
        deciders = Deciders(works.workspace.rulebook, works.workspace.gate)
    only_the_questions(sqlite_database)
    paid(sqlite_database, first)
    stopped(sqlite_database, second)
    found = amiss(sqlite_database)
    assert (found.amiss, dict(found.unknown)) == ([], {BOOK_NOT_KEPT: 2})
    # By other rules the same questions can be asked.
    assert amiss(sqlite_database, instead=deciders).derived == 1
    tampered(sqlite_database, "delete from snapshot")
    assert amiss(sqlite_database).unknown.total() == 2


def test_a_rule_that_is_corrected_is_held_against_calls_by_people(sqlite_database: Database) -> None:
    """By a gate that knows no place nobody may be called; whom they called is listed all the same."""
    with works_on(sqlite_database) as works:
        (loan,) = late_loans(works.database, 1)
        called(works, loan)
        none = Deciders(works.workspace.rulebook, Gate([], []))
    found = amiss(sqlite_database, instead=none)
    assert [(one.loan, one.because) for one in found.amiss] == [(loan.id, ("other strategies or packs decide by now",))]
