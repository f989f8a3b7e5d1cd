"""`duecourse letters ...`: batches for a print shop, and what became of them."""

from pathlib import Path
from typing import Annotated

import typer

from duecourse.clock import At
from duecourse.output import ANSWER_IS_NO, table
from duecourse.reports import happened
from duecourse.session import Session

By = Annotated[str, typer.Option("--by", help="who", envvar="DUECOURSE_AGENT")]
Number = Annotated[int, typer.Argument(metavar="BATCH")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Letters as PDF, in batches for a print shop.", no_args_is_help=True)
    group.command("print")(print_)
    group.command("confirm")(confirm)
    group.command("void")(void)
    group.command("list")(list_batches)
    app.add_typer(group, name="letters")


def print_(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="a folder; the batch gets one of its own in it")],
    by: By,
    queue: Annotated[str, typer.Option(help="the queue they wait in")] = "letter",
    limit: Annotated[int, typer.Option(min=1, max=5000, help="letters in a batch")] = 500,
    at: At = None,
) -> None:
    """
    Print what waits: one PDF for each letter, and manifest.csv. Each is looked at again, and the gate asked.

    `letters confirm` says that a batch is in the post; nothing is printed twice. With nothing to print, the exit code is 3.
    """
    from duecourse.commands.tasks import known_queue
    from workflows.desk.letters import print_letters

    session: Session = context.obj
    known_queue(session, queue)
    works, now = session.works, session.rehearsed(at)
    printed = print_letters(works.door, works.shop, out, queue=queue, by=by, now=now, limit=limit)
    others = ", ".join(f"{count} {word}" for word, count in sorted(printed.counts.items()) if word != "taken" and count)
    if printed.batch is None:
        said = "nothing to print"
    else:
        said = f"batch {printed.batch}: {printed.letters} letters, {printed.pages} pages in {printed.folder}"
    session.output.answer(printed, lambda console: console.print(f"{said}; {others}" if others else said, markup=False))
    if printed.batch is None:
        raise typer.Exit(ANSWER_IS_NO)


def confirm(
    context: typer.Context,
    batch: Number,
    by: By,
    except_for: Annotated[
        list[str] | None,
        typer.Option("--except", help="a contact whose letter was not posted; may be given several times"),
    ] = None,
    at: At = None,
) -> None:
    """Say that a batch is in the post. Notices in it count from then; what was not posted waits in its queue again."""
    from workflows.desk.letters import confirm_letters

    session: Session = context.obj
    counts = confirm_letters(
        session.database, batch, by=by, posted_at=happened(at), except_for=except_for or (),
        dates=session.workspace.pack_dates, notice_of=session.works.notice_of,
    )  # fmt: skip
    said = ", ".join(f"{count} {word}" for word, count in sorted(counts.items()))
    session.output.answer(counts, lambda console: console.print(f"batch {batch}: {said}", markup=False))


def void(
    context: typer.Context,
    batch: Number,
    by: By,
    reason: Annotated[str, typer.Option(help="how it is known that nothing of it was posted")],
    at: At = None,
) -> None:
    """Say that nothing of a batch was or will be posted: its letters wait in their queue again."""
    from workflows.sending.batches import give_back, known_batch

    session: Session = context.obj
    with session.database.write() as writing:
        known_batch(writing, batch, "print")
    count = give_back(session.database, batch, by=by, why=reason, now=happened(at))
    session.output.answer(
        {"batch": batch, "letters": count}, lambda console: console.print(f"batch {batch}: {count} letters wait again")
    )


def list_batches(context: typer.Context) -> None:
    """List batches and how their letters stand, the newest first."""
    show_batches(context.obj, "print")


def show_batches(session: Session, kind: str) -> None:
    """The batches of a kind as a table."""
    from rich.text import Text

    from workflows.sending.batches import batches

    with session.database.session() as reading:
        found = batches(reading, "print" if kind == "print" else "dialler")
    drawn = table("batch", "queue", "status", "made", "by", "tasks")
    for one in found:
        tasks = ", ".join(f"{word} {count}" for word, count in sorted(one.counts.items()))
        drawn.add_row(
            *map(Text, (f"{one.batch}", one.queue, one.status, f"{one.made_at:%Y-%m-%d %H:%M}Z", one.made_by, tasks))
        )
    session.output.answer(found, lambda console: console.print(drawn if found else "no batch"))
