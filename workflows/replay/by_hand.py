"""What a person asked for, derived again: the gate is asked once more what it was asked, and that follows from what was read."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic import TypeAdapter

from engine.addressing import endpoints
from engine.decision import ActJudged, ByHand, LoanDecision, LoanOutcome
from engine.difference import first_difference
from engine.explain_tree import ExplainNode
from engine.gate import Ask, Gate, Verdict
from engine.situation import Situation
from store.snapshots import Seen
from workflows.deciding.machine import unserved
from workflows.desk.asking import NOWHERE, asked_anew
from workflows.desk.by_hand_log import arm_of

QUESTION: Final = "what the gate was asked does not follow from what was read"

_PLAIN: Final = TypeAdapter(Ask | None)


def by_hand_again(
    logged: LoanDecision | None, seen: Seen, situation: Situation | None, gate: Gate
) -> LoanDecision | None:
    """
    The decision with the verdicts of this gate, and what follows from the first of them.

    Args:
        situation: made anew of what was read; None: nothing but the questions was kept.
    Returns:
        None where what was logged is nothing that a person asked for.
    """
    if logged is None or logged.by_hand is None:
        return None
    asked = logged.by_hand
    # No rule has a part in it.
    moves = logged.moves if asked.what == "move" else ()
    logged = replace(logged, strategy=None, rule=None, moves=moves, candidates=(), contacts=(), covered_by=None)
    if situation is not None:
        loan = next((one for one in situation.loans if one.id == logged.loan), None)
        if loan is not None:
            logged = replace(logged, arm=arm_of(loan), stage_before=loan.stage, stage_after=loan.stage)
    verdicts = [gate.check(ask, seen.at) for ask in seen.asks or ()]
    if asked.what == "move":
        return _move(replace(logged, by_hand=ByHand(asked.by, "move", "collect", ())), verdicts, seen, situation)
    if asked.what == "record" and not (asked.acts or verdicts):
        # They contacted us: there was nothing to ask.
        return replace(logged, outcome="recorded", next_look=None)
    if not verdicts and situation is not None and _nowhere(asked.acts, situation):
        verdicts = [NOWHERE]
    return _contact(logged, asked, verdicts)


def wrong_question(seen: Seen, situation: Situation) -> ExplainNode | None:
    """Where the first question that does not follow from what was read differs from the one that does."""
    for asked in seen.asks or ():
        anew = asked_anew(asked, situation)
        if anew != asked:
            kept, derived = _plain(asked), _plain(anew)
            return first_difference("the question", kept, derived) or ExplainNode("the question differs", "no")
    return None


def _plain(asked: Ask | None) -> dict[str, Any]:
    return _PLAIN.dump_python(asked, mode="json") or {"question": "none"}


def _nowhere(acts: Sequence[ActJudged], situation: Situation) -> bool:
    """Whether somebody is meant for whom there is no number or address of that kind."""
    people = {situation.borrower.id: situation.borrower, **situation.others}
    person = people.get(acts[0].person) if len(acts) == 1 else None
    return person is not None and not endpoints(person, acts[0].channel)


def _move(logged: LoanDecision, verdicts: Sequence[Verdict], seen: Seen, situation: Situation | None) -> LoanDecision:
    move = seen.asks[0].move if seen.asks else None
    if len(verdicts) != 1 or len(logged.moves) != 1 or move is None or situation is None:
        return replace(logged, moves=())
    (verdict,) = verdicts
    lacks = unserved(move.source, move.target, move.notices, situation.on) if verdict.outcome == "allow" else ""
    return replace(
        logged,
        outcome="wait" if verdict.outcome == "defer" else "withheld",
        moves=(replace(logged.moves[0], target=move.target, verdict=verdict, taken=False, note=lacks),),
        next_look=verdict.until,
    )


def _contact(logged: LoanDecision, asked: ByHand, verdicts: Sequence[Verdict]) -> LoanDecision:
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
