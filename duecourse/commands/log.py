"""`duecourse log`: the decision log, filtered."""

from datetime import datetime
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from duecourse.session import Session
from engine.errors import DataError, Problem


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
    from store.decisions import log as read_log
    from store.timeline import find_loan

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
        answer = [row.model_dump() for row in rows]
    table = Table("on", "loan", "stage", "outcome", "rule", "against it", box=None, pad_edge=False)
    for row in rows:
        stage = row.stage_before if row.stage_before == row.stage_after else f"{row.stage_before} -> {row.stage_after}"
        cells = (str(row.on_on), str(row.loan_id), stage, row.outcome, row.rule or "", row.reasons)
        table.add_row(*(Text(cell) for cell in cells))
    session.output.answer(answer, lambda console: console.print(table if rows else "no decision fits"))
