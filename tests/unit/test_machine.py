"""The stage machine: what the table lists can happen, nothing else, and every change is recorded."""

from datetime import date, timedelta
from itertools import product

import pytest
from transitions import MachineError

from engine.decision import LoanDecision, MoveJudged
from engine.gate import Verdict
from engine.stages import EDGE, STAGES, Stage
from workflows.deciding.machine import (
    IllegalMoveError,
    StageModel,
    diagram,
    episode_after,
    refuse_illegal,
    stage_machine,
)

ON = date(2026, 11, 24)
SERVED = {"visit_notice": ON, "prelegal_notice": ON - timedelta(days=30)}


@pytest.mark.parametrize(("source", "target"), list(product(STAGES, STAGES)))
def test_the_machine_moves_exactly_along_the_edges_of_the_table(source: Stage, target: Stage) -> None:
    """With every evidence and a reason at hand, a move succeeds if and only if the table has it."""
    model = StageModel(source, ON, SERVED, "somebody said why")
    machine = stage_machine(model)
    if (source, target) in EDGE:
        assert machine.dispatch(f"move_to_{target}")
        assert (model.stage, model.changes) == (target, [(source, target)])
    else:
        with pytest.raises((MachineError, AttributeError)):
            machine.dispatch(f"move_to_{target}")
        assert (model.stage, model.changes) == (source, [])


@pytest.mark.parametrize("edge", [edge for edge in EDGE.values() if edge.duty], ids=lambda e: f"{e.source}-{e.target}")
@pytest.mark.parametrize("effective_on", [None, ON + timedelta(days=1)])
def test_a_duty_without_its_notice_in_force_stops_the_move(edge, effective_on) -> None:  # type: ignore[no-untyped-def]
    """Neither no notice nor one that is only in force tomorrow is evidence."""
    notices = {edge.duty: effective_on} if effective_on else {}
    model = StageModel(edge.source, ON, notices, "a reason")
    assert not stage_machine(model).dispatch(f"move_to_{edge.target}")
    assert (model.stage, model.changes) == (edge.source, [])


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_move_back_needs_a_reason(reason: str) -> None:
    """Going easier on a loan is a decision somebody answers for."""
    model = StageModel("legal", ON, {}, reason)
    assert not stage_machine(model).dispatch("move_to_phone")
    assert model.stage == "legal"


def test_the_diagram_shows_every_edge_once_with_its_duty() -> None:
    """What is drawn is the table: one arrow an edge, labelled with direction and duty."""
    lines = [line.strip() for line in diagram().splitlines()]
    arrows = [line for line in lines if " --> " in line and not line.startswith("[*]")]
    duty = {e: f" [{e.duty}]" if e.duty else "" for e in EDGE.values()}
    assert sorted(arrows) == sorted(f"{e.source} --> {e.target}: {e.direction}{duty[e]}" for e in EDGE.values())
    assert lines[:4] == ["---", "title: Stages of a loan", "---", "stateDiagram-v2"]


def decided(source: Stage, target: Stage, *moves: MoveJudged) -> LoanDecision:
    return LoanDecision(7, "s", None, source, target, "nothing", None, moves, (), ())


def test_the_sweep_writes_no_move_the_machine_would_not_make() -> None:
    """Unknown edges and duties that nobody accepted are a bug, and nothing is written."""
    allow, deny = Verdict("allow"), Verdict("deny")
    refuse_illegal([decided("phone", "phone"), decided("current", "phone", MoveJudged("m", "phone", None, True))])
    refuse_illegal([decided("phone", "legal", MoveJudged("m", "legal", allow, True))])
    with pytest.raises(IllegalMoveError, match="loan 7: no edge from closed to phone"):
        refuse_illegal([decided("closed", "phone")])
    for verdict in (None, deny):
        with pytest.raises(IllegalMoveError, match="loan 7: moved to legal without its prelegal_notice"):
            refuse_illegal([decided("phone", "legal", MoveJudged("m", "legal", verdict, True))])


def test_an_episode_lasts_from_leaving_current_to_cure() -> None:
    """Worse stages belong to the same episode; the next one is counted when the loan leaves `current` again."""
    began = date(2026, 1, 5)
    assert episode_after("current", "reminded", 0, None, began) == (1, began)
    assert episode_after("reminded", "phone", 1, began, ON) == (1, began)
    assert episode_after("phone", "current", 1, began, ON) == (1, None)
    assert episode_after("current", "phone", 1, None, ON) == (2, ON)
    assert episode_after("phone", "closed", 2, ON, ON) == (2, None)
    assert episode_after("closed", "current", 2, None, ON) == (2, None)
