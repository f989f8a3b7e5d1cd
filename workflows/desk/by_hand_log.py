"""The log of what a person asked for and the gate judged: one decision, and what it was made on."""

from collections.abc import Sequence
from datetime import datetime

from sqlmodel import Session

from engine.decision import LoanDecision
from engine.decision_json import trace_json
from engine.gate import Ask
from engine.situation import Loan, Situation
from store.decisions import canonical_json, gate_rules
from store.snapshots import row as snapshot_row
from store.tables import DecisionRow
from workflows.alerts import unknown_rules
from workflows.deciding.chunk import Chunk
from workflows.deciding.run import end


def arm_of(loan: Loan) -> str | None:
    """The arm that a decision about this loan names."""
    arm = loan.facts.get("arm")
    return arm if isinstance(arm, str) else None


def keep_by_hand(
    session: Session,
    run: int,
    situation: Situation,
    loan: Loan,
    chunk: Chunk,
    decided: LoanDecision,
    asks: Sequence[Ask],
    *,
    now: datetime,
) -> None:
    """
    Write the decision of a run by hand with what was read and asked for it, and end the run; in the caller's transaction.

    Args:
        chunk: what the situation was read with.
        asks: what the gate was asked, in the order of the answers; none where there was nothing to ask.
    """
    borrower = situation.borrower.id
    session.add(
        DecisionRow(
            run_id=run,
            loan_id=decided.loan,
            borrower_id=borrower,
            now_at=now,
            on_on=situation.on,
            arm=decided.arm,
            stage_before=decided.stage_before,
            stage_after=decided.stage_after,
            outcome=decided.outcome,
            next_look_at=decided.next_look,
            reasons=" ".join(gate_rules(decided)),
            facts_json=canonical_json(dict(loan.facts)),
            trace_json=trace_json(decided),
        )
    )
    if chunk.snapshot is not None:
        session.add(snapshot_row(run, [borrower], chunk.snapshot([borrower], asks=asks)))
    counts = {f"outcome.{decided.outcome}": 1, **unknown_rules(gate_rules(decided))}
    end(session, run, now=now, counts=counts)
