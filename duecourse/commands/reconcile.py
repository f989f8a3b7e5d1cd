"""`duecourse reconcile`: ask the providers about messages that may or may not have gone out."""

import typer

from duecourse.clock import At, now
from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("reconcile")(reconcile)


def reconcile(context: typer.Context, at: At = None) -> None:
    """
    Look messages in doubt up in their providers' own records, and settle those that are found. Nothing is sent.

    What is not found stays in doubt; its history says why, and when it is asked about again.
    """
    from duecourse.incoming import look_up_unknown

    session: Session = context.obj
    moment = session.rehearsed(at)
    done = look_up_unknown(session.works, (lambda: moment) if at else now)
    answer = {"sent": done.sent, "failed": done.failed, "unknown": done.unknown, "left_to_people": done.left_to_people}
    text = (
        f"{done.sent} were sent, {done.failed} have failed, {done.unknown} stay in doubt, "
        f"{done.left_to_people} of them for people to settle"
    )
    session.output.answer(answer, lambda console: console.print(text))
