"""`duecourse sweep`: decide for the whole book."""

from typing import Annotated

import typer
from rich.table import Table

from duecourse.clock import At, instant
from duecourse.session import Session
from engine.errors import StoreError
from workflows.sweep_sql import sweep_sql


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("sweep")(sweep)


def sweep(
    context: typer.Context,
    at: At = None,
    plan: Annotated[bool, typer.Option("--plan", help="only say what it would do")] = False,
    sql: Annotated[bool, typer.Option("--sql", help="only print the statements that it runs, for an auditor")] = False,
) -> None:
    """
    Decide every loan now: move stages, plan contacts, and log why, also where the answer is to do nothing.

    A sweep that was stopped goes on where it was. Nothing is sent here: `duecourse dispatch` sends.
    """
    session: Session = context.obj
    if sql:
        statements = sweep_sql(session.workspace_or_shipped.rulebook)
        session.output.answer({"sql": statements}, lambda console: console.print(statements, end="", markup=False))
        return
    with session.output.progress("deciding") as progress:
        result, brake = session.works.sweep(instant(at), progress, plan=plan)
    counts = {name: count for name, count in sorted(result.counts.items()) if count}
    answer = {"run": result.run_id, "now": result.now, "finished": result.finished, "counts": counts, "brake": brake}
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, count in counts.items():
        table.add_row(name.replace(".", " "), f"{count:,}")
    head = "what a sweep would do" if plan else f"run {result.run_id}"

    session.output.answer(answer, lambda console: console.print(f"{head} at {result.now:%Y-%m-%d %H:%M}Z", table))
    if brake:
        session.output.note(f"the brake is on: {brake}; `duecourse dispatch --release` lets go")
    if result.failed:
        session.output.fail(StoreError(result.failed))
