"""`duecourse log`: the decision log, filtered."""

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duecourse.output import table
from duecourse.session import Session
from engine.errors import DataError, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from store.tables import DecisionRow


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("log")(log)


def log(
    context: typer.Context,
    loan: Annotated[str | None, typer.Option(help="a loan's reference")] = None,
    day: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="decided for that day")] = None,
    rule: Annotated[str | None, typer.Option(help="a strategy's rule that was chosen")] = None,
    verdict: Annotated[
        str | None, typer.Option(help="a gate rule that spoke against it, e.g. cn.cba2026.hours")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="contact, wait, covered, withheld, nothing, ...")] = None,
    limit: Annotated[int, typer.Option(min=1, help="newest first, at most this many")] = 50,
) -> None:
    """Show decisions, newest first: what was decided for which loan, by which rule, and what the gate had against it."""
    from rich.text import Text

    from store.decisions import log as read_log
    from store.timeline import find_loan, loan_refs

    session: Session = context.obj
    with session.database.session() as reading:
        wanted = None
        if loan is not None:
            found = find_loan(reading, loan)
            if found is None:
                raise DataError(Problem(f"no loan `{loan}`", "write the reference it was imported with"))
            wanted = found.id
        on = day.date() if day else None
        rows = read_log(reading, loan=wanted, day=on, rule=rule, verdict=verdict, outcome=outcome, limit=limit)
        refs = loan_refs(reading, {row.loan_id for row in rows} | {row.covered_by or row.loan_id for row in rows})
    answer = [_entry(row, refs) for row in rows]
    drawn = table("on", "loan", "stage", "outcome", "rule", "against it")
    for row in rows:
        stage = row.stage_before if row.stage_before == row.stage_after else f"{row.stage_before} -> {row.stage_after}"
        cells = (str(row.on_on), refs[row.loan_id], stage, row.outcome, row.rule or "", _against(row))
        drawn.add_row(*(Text(cell) for cell in cells))
    session.output.answer(answer, lambda console: console.print(drawn if rows else "no decision fits"))


def _against(row: "DecisionRow") -> str:
    """The gate's rules that spoke against it; where none did, why each candidate made no contact, or a move was not made."""
    if row.reasons or row.outcome == "contact":
        return row.reasons
    trace = json.loads(row.trace_json)
    said = [f"{one['rule']}: {_why(one)}" for one in trace["candidates"] if one["state"] != "not_reached"]
    return ", ".join(said or [move["note"] for move in trace["moves"] if move.get("note")])


def _why(candidate: "Mapping[str, Any]") -> str:
    notes = [candidate.get("note"), *(act.get("note") for act in candidate.get("acts", ()))]
    return str(next((note for note in notes if note), candidate["state"].replace("_", " ")))


def _entry(row: "DecisionRow", refs: "Mapping[int, str]") -> "dict[str, Any]":
    """A decision with what it saw, in the lender's own references."""
    return {
        "run": row.run_id,
        "at": row.now_at,
        "on": row.on_on,
        "loan": refs[row.loan_id],
        "stage_before": row.stage_before,
        "stage_after": row.stage_after,
        "outcome": row.outcome,
        "rule": row.rule,
        "covered_by": refs[row.covered_by] if row.covered_by is not None else None,
        "next_look_at": row.next_look_at,
        "against_it": row.reasons.split(),
        "strategy": row.strategy,
        "strategy_digest": row.strategy_digest,
        "arm": row.arm,
        "facts": json.loads(row.facts_json),
        "trace": json.loads(row.trace_json),
    }
