"""`duecourse reconcile`: messages that may or may not have gone out: asked about, listed, settled by a person."""

from enum import StrEnum
from typing import Annotated

import typer

from duecourse.clock import At, instant, now
from duecourse.output import table
from duecourse.session import Session


class As(StrEnum):
    """What a person found out."""

    sent = "sent"
    not_sent = "not_sent"


def register(app: typer.Typer) -> None:
    """Add the command group; its name alone asks the providers."""
    group = typer.Typer(help="Messages that may or may not have gone out.", invoke_without_command=True)
    group.callback()(reconcile)
    group.command("list")(list_)
    group.command("settle")(settle)
    app.add_typer(group, name="reconcile")


def reconcile(context: typer.Context, at: At = None) -> None:
    """
    Look messages in doubt up in their providers' own records, and settle those that are found. Nothing is sent.

    What is not found stays in doubt; its history says why, and when it is asked about again.
    """
    if context.invoked_subcommand is not None:
        return
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


def list_(context: typer.Context, at: At = None) -> None:
    """List what is in doubt, the oldest first: since when, who has to find out, and whether anybody is still asked."""
    from rich.text import Text

    from workflows.scheduling.status import doubts

    session: Session = context.obj
    with session.database.session() as reading:
        found = doubts(reading, owner=session.settings.doubts_owner, now=instant(at))
    drawn = table("contact", "channel", "since", "owner", "who is asked")
    for one in found:
        asked = "nobody: a person has to settle it" if one.left else "the provider"
        cells = (one.contact, one.channel, f"{one.since:%Y-%m-%d %H:%M}Z", one.owner, asked)
        drawn.add_row(*(Text(cell) for cell in cells))
    session.output.answer(found, lambda console: console.print(drawn if found else "nothing is in doubt"))


def settle(
    context: typer.Context,
    contact: Annotated[str, typer.Argument(metavar="CONTACT", help="as `reconcile list` calls it")],
    as_: Annotated[As, typer.Option("--as", help="whether it went out")],
    by: Annotated[str, typer.Option(help="who found out")],
    because: Annotated[str, typer.Option(help="how")],
    evidence: Annotated[str, typer.Option(help="where that can be seen: a ticket, a letter of the provider")],
    at: At = None,
) -> None:
    """
    Say what became of a message in doubt that nobody can be asked about any more. It is kept in the log as your word.

    It is final. Should the provider say otherwise later, that is an alert. Write no names, numbers or addresses.
    """
    from workflows.sending.settling import Finding
    from workflows.sending.settling import settle as write

    session: Session = context.obj
    finding = Finding(as_.value, by, because, evidence)
    status = write(session.database, contact, finding, session.works.evidence, now=instant(at))
    answer = {"contact": contact, "status": status, "by": by}
    session.output.answer(answer, lambda console: console.print(f"{contact}: {status}"))
