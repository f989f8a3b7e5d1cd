"""A person moves a loan to another stage: mediation began, a court date, a mistake put right."""

from datetime import datetime

from sqlmodel import Session

from engine.addressing import ask_move
from engine.decision import ByHand, LoanDecision, MoveJudged
from engine.errors import Problem
from engine.gate import Ask, Verdict
from engine.situation import Loan, Situation
from engine.stages import EDGE, Stage
from store.outbox import lock_versions
from store.tables import StageChange
from workflows.deciding.machine import StageError, change_stage, unserved
from workflows.deciding.run import begin_by_hand
from workflows.desk.by_hand_log import arm_of, keep_by_hand
from workflows.sending.door import Door


def move_loan(
    door: Door, borrower_id: int, loan_id: int, target: Stage, *, by: str, reason: str, now: datetime
) -> StageChange:
    """
    Change a loan's stage because a person says so. The gate judges it like any move that makes treatment harsher.

    What the gate refuses, or a notice that is not in force, stands in the log, like a contact by hand that is refused.

    Args:
        by: who says so; stands in the history as `agent:NAME`.
    Raises:
        StageError: the stage table, the gate or a missing notice or reason stands in the way; nothing was changed.
    """
    situation, seen, chunk = door.situations([borrower_id], now)[borrower_id]
    loan = next(one for one in situation.loans if one.id == loan_id)
    asked = _asked(situation, loan, target)
    verdict = door.gate.check(asked, now) if asked is not None else None
    lacks = unserved(loan.stage, target, loan.notices, situation.on) if asked is not None else ""
    if asked is not None and verdict is not None and (verdict.outcome != "allow" or lacks):
        withheld = _withheld(loan, target, verdict, lacks, by)
        with door.database.write() as session:
            _unchanged(session, loan, seen[borrower_id], borrower_id)
            run = begin_by_hand(session, door.rulebook.strategies, door.gate, now=now).id
            keep_by_hand(session, run, situation, loan, chunk, withheld, [asked], now=now)
        # Only now: the refusal is committed, whatever becomes of the caller.
        if verdict.outcome != "allow":
            raise StageError(_refused(loan, target, verdict))
    with door.database.write() as session:
        _unchanged(session, loan, seen[borrower_id], borrower_id)
        change = change_stage(
            session,
            loan_id,
            target,
            cause=f"agent:{by}",
            reason=reason,
            now=now,
            on=situation.on,
            notices=loan.notices,
        )
        session.flush()
        session.expunge(change)
    return change


def _asked(situation: Situation, loan: Loan, target: Stage) -> Ask | None:
    edge = EDGE.get((loan.stage, target))
    return ask_move(situation, loan, target, 0) if edge is not None and edge.direction == "forward" else None


def _withheld(loan: Loan, target: Stage, verdict: Verdict, lacks: str, by: str) -> LoanDecision:
    return LoanDecision(
        loan=loan.id,
        strategy=None,
        arm=arm_of(loan),
        stage_before=loan.stage,
        stage_after=loan.stage,
        outcome="wait" if verdict.outcome == "defer" else "withheld",
        rule=None,
        moves=(MoveJudged("by hand", target, verdict, False, lacks if verdict.outcome == "allow" else ""),),
        candidates=(),
        contacts=(),
        next_look=verdict.until,
        by_hand=ByHand(by, "move", "collect", ()),
    )


def _refused(loan: Loan, target: Stage, verdict: Verdict) -> Problem:
    said = "; ".join(f"{reason.says} ({reason.citation or reason.rule})" for reason in verdict.reasons)
    mend = (
        f"try again from {verdict.until:%Y-%m-%d %H:%M}Z on"
        if verdict.until
        else f"`duecourse decide {loan.ref} --explain` shows what stands on file"
    )
    return Problem(f"the gate does not let loan `{loan.ref}` go to {target}: {said}", mend)


def _unchanged(session: Session, loan: Loan, seen: int, borrower_id: int) -> None:
    # Whatever was committed since the gate was asked could forbid the move.
    if lock_versions(session, [borrower_id]).get(borrower_id) != seen:
        what = f"something about loan `{loan.ref}` changed at this very moment"
        raise StageError(Problem(what, "look at it with `duecourse loan` and try again"))
