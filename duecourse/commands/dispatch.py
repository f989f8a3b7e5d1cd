"""`duecourse dispatch`: send what is due."""

from typing import Annotated

import typer

from duecourse.clock import At, now
from duecourse.output import COULD_NOT_RUN
from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("dispatch")(dispatch)


def dispatch(
    context: typer.Context,
    at: At = None,
    release: Annotated[bool, typer.Option("--release", help="let the brake go first: a person has looked")] = False,
) -> None:
    """
    Look once more at every contact that is due, and send it, hand it to its queue, put it off or drop it.

    Real providers are reached only where the database says production and sending is on.
    """
    from rich.table import Table

    from workflows.brake import release_brake

    session: Session = context.obj
    moment = session.rehearsed(at)
    if release:
        with session.database.write() as transaction:
            release_brake(transaction)
    done = session.works.dispatch_all(moment, clock=None if at else now)
    counts = {name: count for name, count in sorted(done.counts.items()) if count}
    table = Table(show_header=False, box=None, pad_edge=False)
    for name, count in counts.items():
        table.add_row(name.replace(".", " "), f"{count:,}")
    session.output.answer(counts, lambda console: console.print(table if counts else "nothing was due"))
    if done.problems:
        session.output.problems(done.problems)
        raise typer.Exit(COULD_NOT_RUN)
