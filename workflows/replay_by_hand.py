"""A contact by hand, derived again: the gate is asked once more what it was asked about it."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from engine.decision import LoanDecision, LoanOutcome
from engine.gate import Ask, Gate


def by_hand_again(logged: LoanDecision | None, asks: Sequence[Ask], gate: Gate, at: datetime) -> LoanDecision | None:
    """
    The decision with the verdicts of this gate, and what follows from the first of them.

    Args:
        asks: in the order of the logged acts.
    Returns:
        None where what was logged is no contact by hand.
    """
    if logged is None or logged.by_hand is None:
        return None
    asked = logged.by_hand
    verdicts = [gate.check(ask, at) for ask in asks]
    if len(verdicts) != len(asked.acts) or not verdicts:
        return replace(logged, by_hand=replace(asked, acts=()))
    acts = tuple(
        replace(act, verdict=verdict, later=verdict.until) for act, verdict in zip(asked.acts, verdicts, strict=True)
    )
    best = verdicts[0]
    allowed = asked.what == "record" or best.outcome == "allow" or (asked.what == "send" and best.outcome == "defer")
    made = asked.contact is not None and allowed
    outcome: LoanOutcome
    if made:
        outcome = "recorded" if asked.what == "record" else "contact"
    else:
        outcome = "withheld" if best.outcome == "deny" else "wait"
    return replace(
        logged,
        outcome=outcome,
        next_look=best.until if outcome == "wait" else None,
        by_hand=replace(asked, acts=acts, contact=asked.contact if made else None),
    )
