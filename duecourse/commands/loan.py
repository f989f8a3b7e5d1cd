"""`duecourse loan REF`: where a loan stands, and its story."""

from datetime import datetime
from typing import Annotated

import typer

from duecourse.clock import instant
from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("loan")(loan)


def loan(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(help="the loan's reference")],
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="arrears as of this day")] = None,
    known: Annotated[str | None, typer.Option(help="with what was known at this instant")] = None,
) -> None:
    """Show a loan's arrears, as of any day and as known at any instant, and everything that happened to it."""
    from rich.table import Table
    from rich.text import Text

    from duecourse.money import amount
    from store.arrears import read_arrears
    from store.timeline import known_loan, timeline

    session: Session = context.obj
    now = instant(None)
    with session.database.session() as reading:
        found = known_loan(reading, ref)
        arrears = read_arrears(reading, found, on=on.date() if on else now.date(), known_at=instant(known))
        lines = timeline(reading, found)
        currency, stage = found.currency, found.stage
    answer = {"loan": ref, "stage": stage, "arrears": arrears, "timeline": lines}
    table = Table("when", "what", "amount", "why", box=None, pad_edge=False)
    for line in lines:
        money = amount(line.amount_minor, currency) if line.amount_minor is not None else ""
        table.add_row(*(Text(cell) for cell in (f"{line.at:%Y-%m-%d %H:%M}Z", line.what, money, line.why)))
    head = (
        f"{ref}: stage {stage}, {arrears.dpd} days past due, "
        f"{amount(arrears.overdue_minor, currency)} overdue on {arrears.on}\n"
    )

    session.output.answer(answer, lambda console: console.print(head, table))
