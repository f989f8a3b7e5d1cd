"""`duecourse inbox`: what came from outside, what could not be handled, and what to do about it."""

from typing import Annotated

import typer

from duecourse.clock import At, instant
from duecourse.output import table
from duecourse.session import Session

One = Annotated[str, typer.Argument(metavar="ID", help="as `inbox list` calls it")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="What came from outside.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("show")(show)
    group.command("run")(run)
    group.command("retry")(retry)
    group.command("close")(close)
    app.add_typer(group, name="inbox")


def list_(context: typer.Context) -> None:
    """List what could not be handled and waits for a person: A for what came in, E for news for the rules."""
    from rich.text import Text

    from workflows.inbox.parked import parked

    session: Session = context.obj
    with session.database.session() as reading:
        found = parked(reading)
    rows = [{"id": one.id, "at": one.at, "from": one.source, "what": one.kind, "why": one.why} for one in found]
    drawn = table("id", "at", "from", "what", "why")
    for one in found:
        cells = (one.id, f"{one.at:%Y-%m-%d %H:%M}Z", one.source, one.kind, one.why)
        drawn.add_row(*(Text(cell) for cell in cells))
    session.output.answer(rows, lambda console: console.print(drawn if rows else "nothing is parked"))


def show(context: typer.Context, one: One) -> None:
    """Show all that one of them says, with what identifies somebody or was written by them."""
    from engine.errors import DataError, Problem
    from workflows.inbox.parked import parked

    session: Session = context.obj
    with session.database.session() as reading:
        found = next((each for each in parked(reading) if each.id == one), None)
    if found is None:
        raise DataError(Problem(f"nothing parked is called `{one}`", "`duecourse inbox list` shows what is"))
    said = {"id": found.id, "at": found.at, "from": found.source, "what": found.kind, "why": found.why}
    lines = [f"{name}: {value}" for name, value in {**said, "says": found.detail, **found.private}.items()]
    answer = {**said, "says": found.detail, "private": found.private}
    session.output.answer(answer, lambda console: console.print("\n".join(lines), markup=False))


def run(context: typer.Context, at: At = None) -> None:
    """Handle what waits now, as the job `events` and `duecourse listen` do by themselves."""
    from duecourse.incoming import handle_inbox

    session: Session = context.obj
    moment = instant(at)
    done = handle_inbox(session.works, lambda: moment)
    answer = {"done": done.done, "parked": done.parked, "early": done.early}
    text = f"{done.done} done, {done.parked} parked, {done.early} early"
    session.output.answer(answer, lambda console: console.print(text))


def retry(
    context: typer.Context,
    ids: Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="as `inbox list` calls them")] = None,
    everything: Annotated[bool, typer.Option("--all", help="everything that is parked")] = False,
    at: At = None,
) -> None:
    """Handle parked ones once more; what still cannot be handled is parked again."""
    from engine.errors import DataError, Problem
    from workflows.inbox import parked

    session: Session = context.obj
    if bool(ids) == everything:
        raise DataError(Problem("what shall be tried again is not said", "name ids, or write `--all`"))
    moment = instant(at)
    with session.database.write() as writing:
        wanted = [one.id for one in parked.parked(writing)] if everything else list(ids or ())
        again = parked.retry(writing, wanted, now=moment)
    session.output.answer(
        {"again": again}, lambda console: console.print(f"{again} wait anew; `inbox run` and `events` handle them")
    )


def close(
    context: typer.Context,
    one: One,
    by: Annotated[str, typer.Option(help="who has looked")],
    at: At = None,
) -> None:
    """Say that somebody has looked and done what follows: it is not handled any more, and what it says of a person is erased."""
    from workflows.inbox import parked

    session: Session = context.obj
    with session.database.write() as writing:
        parked.close(writing, one, by=by, now=instant(at))
    session.output.answer({"closed": one, "by": by}, lambda console: console.print(f"{one}: closed"))
