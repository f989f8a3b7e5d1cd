"""`duecourse stages`: the stages of a loan and the moves between them."""

from typing import Annotated

import typer

from duecourse.output import table
from duecourse.session import Session
from engine.stages import EDGES


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("stages")(stages)


def stages(
    context: typer.Context,
    diagram: Annotated[bool, typer.Option("--diagram", help="print a Mermaid state diagram instead")] = False,
) -> None:
    """List every possible move between stages and the notice it owes."""
    session: Session = context.obj
    if diagram:
        from workflows.deciding.machine import diagram as draw_diagram

        text = draw_diagram()
        session.output.answer({"mermaid": text}, lambda console: console.print(text, markup=False))
        return
    drawn = table("from", "to", "direction", "owes")
    for edge in EDGES:
        drawn.add_row(edge.source, edge.target, edge.direction, edge.duty or "")
    answer = [{"from": e.source, "to": e.target, "direction": e.direction, "owes": e.duty} for e in EDGES]
    session.output.answer(answer, lambda console: console.print(drawn))
