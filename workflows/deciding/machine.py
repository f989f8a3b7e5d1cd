"""
The machine that a loan's stage lives in: built with `transitions` from the stage table, so that no move it does not list can happen.

Single changes (mediation, a person's decision) go through `change_stage`. The sweep moves thousands of
loans in one statement; it asks `refuse_illegal` about each first, which reads the same table.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, cast

from sqlmodel import Session
from transitions import Machine, MachineError

from engine.decision import LoanDecision
from engine.errors import DuecourseError, Problem
from engine.stages import EDGE, EDGES, STAGES, Stage, begins_episode
from store.tables import Loan, Person, StageChange


class StageError(DuecourseError):
    """A stage change that the stage table does not allow, or whose evidence is missing."""


class IllegalMoveError(AssertionError):
    """A decision moved a loan along an edge that does not exist or whose duty nobody accepted: a bug, nothing is written."""


@dataclass(eq=False)  # `transitions` keeps its models in a set-like list and adds trigger methods to them
class StageModel:
    """
    One loan as its machine sees it.

    Attributes:
        notices: kind of notice -> the day it took effect, for those still standing.
        reason: why; a move back is refused without one.
        changes: what the machine did: (source, target), in order.
    """

    stage: Stage
    on: date
    notices: Mapping[str, date] = field(default_factory=dict)
    reason: str = ""
    changes: list[tuple[Stage, Stage]] = field(default_factory=list)

    def visit_notice_in_force(self, event: Any) -> bool:  # noqa: ARG002 - called by `transitions`
        """The visit was announced, and the announcement counts as received."""
        return self.in_force("visit_notice")

    def prelegal_notice_in_force(self, event: Any) -> bool:  # noqa: ARG002 - called by `transitions`
        """The borrower was told that court comes next, and that letter counts as received."""
        return self.in_force("prelegal_notice")

    def reason_given(self, event: Any) -> bool:  # noqa: ARG002 - called by `transitions`
        """Somebody said why the loan goes back."""
        return bool(self.reason.strip())

    def record(self, event: Any) -> None:
        """Keep the change; runs after every one."""
        self.changes.append((event.transition.source, event.transition.dest))

    def in_force(self, kind: str) -> bool:
        """Whether a notice of that kind counts as received."""
        effective = self.notices.get(kind)
        return effective is not None and effective <= self.on


def _conditions(direction: str, duty: str | None) -> list[str]:
    return ([f"{duty}_in_force"] if duty else []) + (["reason_given"] if direction == "back" else [])


def _options() -> dict[str, Any]:
    return {
        "states": list(STAGES),
        "transitions": [
            {
                "trigger": f"move_to_{edge.target}",
                "source": edge.source,
                "dest": edge.target,
                "conditions": _conditions(edge.direction, edge.duty),
            }
            for edge in EDGES
        ],
        "initial": STAGES[0],
        "auto_transitions": False,
        "send_event": True,
        "model_attribute": "stage",
        "after_state_change": "record",
    }


def stage_machine(model: StageModel) -> Machine:
    """A machine around one loan; `model.trigger("move_to_phone")` moves it or raises MachineError."""
    return Machine(model=model, **(_options() | {"initial": model.stage}))


def diagram() -> str:
    """The stages as Mermaid text, drawn by `transitions` from the machine itself."""
    from transitions.extensions import GraphMachine

    options = _options()
    for edge, transition in zip(EDGES, options["transitions"], strict=True):
        transition["label"] = f"{edge.direction} [{edge.duty}]" if edge.duty else edge.direction
    machine = GraphMachine(graph_engine="mermaid", title="title: Stages of a loan", **options)
    graph: Any = machine.get_combined_graph()
    return str(graph.source)


def refuse_illegal(decisions: Iterable[LoanDecision]) -> None:
    """
    Check every move of many decisions against the stage table before any of them is written.

    INVARIANT: a move is an edge of the table, and where the edge has a duty, the gate allowed it.

    Raises:
        IllegalMoveError: one of them is not; names the loan.
    """
    for loan in decisions:
        if loan.stage_after == loan.stage_before:
            continue
        edge = EDGE.get((loan.stage_before, loan.stage_after))
        if edge is None:
            raise IllegalMoveError(f"loan {loan.loan}: no edge from {loan.stage_before} to {loan.stage_after}")
        if edge.duty is None:
            continue
        taken = [move for move in loan.moves if move.taken and move.target == loan.stage_after]
        if not taken or taken[0].verdict is None or taken[0].verdict.outcome != "allow":
            raise IllegalMoveError(f"loan {loan.loan}: moved to {loan.stage_after} without its {edge.duty}")


def knows_move(source: str, target: str, reason: str, on: date) -> bool:
    """Whether the machine has this move, taking it that what it owes was served; a move back needs its reason."""
    edge = EDGE.get((cast("Stage", source), cast("Stage", target)))
    if edge is None:
        return False
    served: dict[str, date] = {one.duty: on for one in EDGES if one.duty is not None}
    return bool(stage_machine(StageModel(edge.source, on, served, reason)).dispatch(f"move_to_{target}"))


def unserved(source: str, target: str, notices: Mapping[str, date], on: date) -> str:
    """What a harsher stage demands and is not served by that day, in a few words; empty: nothing."""
    edge = EDGE[cast("Stage", source), cast("Stage", target)]
    if edge.duty is None or StageModel(edge.source, on, notices).in_force(edge.duty):
        return ""
    return f"no {edge.duty} in force"


def change_stage(
    session: Session,
    loan_id: int,
    target: Stage,
    *,
    cause: str,
    reason: str,
    now: datetime,
    on: date,
    notices: Mapping[str, date],
) -> StageChange:
    """
    Move one loan, with its history entry, in the caller's write transaction. The caller has asked the gate.

    Args:
        cause: who or what asked, e.g. `event:mediation`; for machines.
        reason: why, for people; demanded by moves back.
        on: today at the borrower's place.
        notices: those that count for the loan, as its situation says.
    Returns:
        the history entry, already added to the session.
    Raises:
        StageError: no such loan, no such edge, a duty without a notice in force, or a move back without a reason.
    """
    loan = session.get(Loan, loan_id)
    if loan is None:
        raise StageError(Problem(f"there is no loan {loan_id}", "import it first"))
    source = cast("Stage", loan.stage)
    edge = EDGE.get((source, target))
    if edge is None:
        possible = ", ".join(e.target for e in EDGES if e.source == source) or "nothing"
        what = f"loan `{loan.ref}` cannot go from {source} to {target}"
        raise StageError(Problem(what, f"from {source} it can go to {possible}"))
    machine = stage_machine(StageModel(source, on, notices, reason))
    try:
        moved = machine.dispatch(f"move_to_{target}")
    except MachineError as e:  # pragma: no cover - EDGE and the machine come from one table
        raise IllegalMoveError(str(e)) from e
    if not moved:
        raise StageError(_missing(loan.ref, edge.target, edge.duty if edge.direction == "forward" else None))
    loan.stage, loan.stage_on, loan.stage_entry = target, on, loan.stage_entry + 1
    loan.episode, loan.episode_on = episode_after(source, target, loan.episode, loan.episode_on, on)
    change = StageChange(
        loan_id=loan_id, entry=loan.stage_entry, source=source, target=target, on_on=on, at=now, cause=cause, reason=reason
    )  # fmt: skip
    session.add(change)
    # Somebody may be holding a contact planned for the old stage: dispatch compares this.
    borrower = session.get(Person, loan.borrower_id)
    if borrower is not None:
        borrower.version += 1
    return change


def episode_after(
    source: Stage, target: Stage, episode: int, episode_on: date | None, on: date
) -> tuple[int, date | None]:
    """
    The number and first day of the delinquency episode after a change of stage.

    An episode begins when the loan leaves `current` for treatment and ends with cure; closing ends it too.
    """
    if target in {"current", "closed"}:
        return episode, None
    return (episode + 1, on) if begins_episode(source, target) else (episode, episode_on)


def _missing(ref: str, target: Stage, duty: str | None) -> Problem:
    if duty:
        return Problem(
            f"loan `{ref}` has no {duty} in force, which {target} demands",
            f"serve the {duty} and wait until it counts as received",
        )
    return Problem(f"loan `{ref}` cannot go back to {target} without a reason", "say why")
