"""A person moves a loan: what is allowed is done with its history, and what is not is refused word for word."""

from datetime import timedelta
from typing import Any

import pytest

from engine.decision_json import from_json
from engine.gate import Ask, Reason, Verdict
from store.db import Database
from store.tables import Contact, DecisionRow, Loan, Notice, StageChange
from tests.outgoing import NOW, TODAY, SmallGate, add, book, borrower_of, door_of, plan, rows
from workflows.deciding.machine import StageError
from workflows.desk.moving import move_loan
from workflows.desk.tasks import call_off


class Open(SmallGate):
    """Lets every stage move through, and remembers what it was asked."""

    def check(self, ask: Ask, now: object) -> Verdict:
        self.asked.append(ask)
        return Verdict("allow")


def moved(database: Database, loan: int, target: Any, *, reason: str = "", **door: Any) -> StageChange:
    return move_loan(
        door_of(database, {}, **({"gate": Open()} | door)),
        borrower_of(database, loan),
        loan,
        target,
        by="ann",
        reason=reason,
        now=NOW,
    )


def stage_of(database: Database, loan: int) -> str:
    return next(row.stage for row in rows(database, Loan) if row.id == loan)


def test_a_person_moves_a_loan_forward_and_back(database: Database) -> None:
    """The history says who and why; the gate is asked about what gets harsher and not about what gets milder."""
    (loan,) = book(database)
    gate = Open()
    assert moved(database, loan, "phone", reason="asked for a call", gate=gate).target == "phone"
    assert moved(database, loan, "reminded", reason="mediation agreed", gate=gate).target == "reminded"
    assert [ask.act for ask in gate.asked] == ["stage_move"]
    assert [(c.source, c.target, c.cause, c.reason) for c in rows(database, StageChange)] == [
        ("reminded", "phone", "agent:ann", "asked for a call"),
        ("phone", "reminded", "agent:ann", "mediation agreed"),
    ]


def test_what_the_gate_refuses_is_not_done(database: Database) -> None:
    """The message gives the gate's own sentence and its citation, and when to try again."""
    (loan,) = book(database)

    class Shut(SmallGate):
        def check(self, ask: Ask, now: object) -> Verdict:
            until = NOW + timedelta(days=2)
            return Verdict(
                "defer", (Reason("us.stay", "defer", "11 U.S.C. § 362", "A stay is in force.", until),), until
            )

    with pytest.raises(StageError) as refused:
        moved(database, loan, "phone", gate=Shut())
    ref = next(row.ref for row in rows(database, Loan))
    assert str(refused.value) == (
        f"the gate does not let loan `{ref}` go to phone: A stay is in force. (11 U.S.C. § 362)\n"
        f"  mend: try again from {NOW + timedelta(days=2):%Y-%m-%d %H:%M}Z on"
    )
    assert stage_of(database, loan) == "reminded"
    # The command fails, and the log has it all the same.
    (row,) = rows(database, DecisionRow)
    assert (row.outcome, row.reasons, row.next_look_at) == ("wait", "us.stay", NOW + timedelta(days=2))
    by_hand = from_json(row.trace_json).by_hand
    assert by_hand is not None
    assert (by_hand.by, by_hand.what) == ("ann", "move")


def notice(database: Database, loan: int, person: int, sent: int) -> None:
    on = TODAY - timedelta(days=sent)
    add(
        database,
        Notice(
            loan_id=loan, person_id=person, kind="prelegal_notice", sent_on=on, effective_on=on, how="letter",
            recorded_at=NOW, ref=f"n{person}-{sent}",
        ),
    )  # fmt: skip


def test_only_the_borrowers_own_notice_of_these_arrears_is_evidence(database: Database) -> None:
    """Neither one of an earlier spell nor one that somebody else was sent opens the way to court; the right one does."""
    loan, other = book(database, 2)
    borrower = borrower_of(database, loan)
    notice(database, loan, borrower, 200)
    notice(database, loan, borrower_of(database, other), 1)
    with pytest.raises(StageError, match="has no prelegal_notice in force"):
        moved(database, loan, "legal")
    (refused,) = rows(database, DecisionRow)
    assert refused.outcome == "withheld"
    assert [move.note for move in from_json(refused.trace_json).moves] == ["no prelegal_notice in force"]
    notice(database, loan, borrower, 2)
    assert moved(database, loan, "legal").target == "legal"


def test_tasks_of_the_old_stage_are_called_off(database: Database) -> None:
    """A call that the old stage's rule planned is no longer asked for once the loan has moved."""
    (loan,) = book(database)
    task = plan(database, loan, "call", status="sent", rule="call", queue="junior", name="first")
    moved(database, loan, "closed")
    assert call_off(door_of(database, {}), now=NOW, borrowers=[borrower_of(database, loan)]) == 1
    assert [row.status for row in rows(database, Contact) if row.id == task] == ["cancelled"]


def test_whatever_is_committed_meanwhile_stops_the_move(database: Database) -> None:
    """What the gate was not asked about may forbid the move, so it is asked again by whoever tries again."""
    (loan,) = book(database)
    door = door_of(database, {}, gate=Open())

    def late(borrowers: Any, now: Any) -> Any:
        fresh = door.situations(borrowers, now)
        with database.write() as session:
            from store.outbox import bump_versions

            bump_versions(session, borrowers)
        return fresh

    with pytest.raises(StageError, match="changed at this very moment"):
        moved(database, loan, "phone", situations=late)
    assert stage_of(database, loan) == "reminded"
