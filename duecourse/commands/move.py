"""`duecourse move LOAN STAGE`: a person changes a loan's stage."""

from typing import Annotated

import typer

from duecourse.session import Session
from engine.stages import Stage


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("move")(move)


def move(
    context: typer.Context,
    ref: Annotated[str, typer.Argument(help="the loan's reference", metavar="LOAN")],
    stage: Annotated[Stage, typer.Argument(help="where it goes")],
    by: Annotated[str, typer.Option(help="who says so")],
    reason: Annotated[str, typer.Option(help="why; a move back is refused without one")] = "",
    at: Annotated[str | None, typer.Option(help="in a rehearsal: the moment [default: now]")] = None,
) -> None:
    """
    Move a loan to another stage, because a person says so: mediation began, a mistake is put right.

    The stage table says which moves there are, and the gate judges every one that makes the treatment harsher.
    """
    from duecourse.people import move_loan
    from store.timeline import known_loan

    session: Session = context.obj
    with session.database.session() as reading:
        found = known_loan(reading, ref)
    if found.id is None:
        raise AssertionError("a loan of the book has an id")
    works, now = session.works, session.rehearsed(at)
    change = move_loan(works, found.borrower_id, found.id, stage, by=by, reason=reason, now=now)
    answer = {"loan": ref, "from": change.source, "to": change.target, "on": change.on_on, "by": by, "reason": reason}
    session.output.answer(
        answer, lambda console: console.print(f"{ref}: {change.source} -> {change.target}", markup=False)
    )
