"""`duecourse dialler ...`: calls for a dialler in a file, and what it reports of them."""

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from duecourse.clock import At, instant
from duecourse.commands.letters import By, Number, show_batches
from duecourse.output import ANSWER_IS_NO
from duecourse.reports import happened
from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(
        help="Calls for a dialler: who may be called until when, and what came of it.", no_args_is_help=True
    )
    group.command("export")(export)
    group.command("import")(import_)
    group.command("recall")(recall)
    group.command("void")(void)
    group.command("list")(list_batches)
    app.add_typer(group, name="dialler")


def export(
    context: typer.Context,
    queue: Annotated[str, typer.Option(help="the queue they wait in")],
    out: Annotated[Path, typer.Option(help="the CSV file to write; it must not be there yet")],
    by: By,
    minutes: Annotated[int, typer.Option(help="how long the file may be used, 5 to 480")] = 120,
    limit: Annotated[int, typer.Option(min=1, max=5000, help="numbers in the file")] = 500,
    at: At = None,
) -> None:
    """
    Hand the next calls of a queue to a dialler. Each number has the time after which it must not be called.

    Each is looked at again, and the gate asked for now and until then. With nobody to call, the exit code is 3.
    """
    from duecourse.commands.tasks import known_queue
    from workflows.desk.dialler import export_calls

    session: Session = context.obj
    known_queue(session, queue)
    now = session.rehearsed(at)
    door = session.works.door
    done = export_calls(door, out, queue=queue, by=by, now=now, lasts=timedelta(minutes=minutes), limit=limit)
    others = ", ".join(f"{count} {word}" for word, count in sorted(done.counts.items()) if word != "taken" and count)
    said = (
        "nobody to call" if done.batch is None else f"batch {done.batch}: {done.calls} calls until {done.until:%H:%M}Z"
    )
    session.output.answer(done, lambda console: console.print(f"{said}; {others}" if others else said, markup=False))
    if done.batch is None:
        raise typer.Exit(ANSWER_IS_NO)


def import_(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="what the dialler reports, CSV or Parquet")] = None,
    contract: Annotated[bool, typer.Option("--contract", help="print what the file holds instead")] = False,
    at: At = None,
) -> None:
    """Take in what a dialler reports: outcomes, promises, wrong numbers, what people said. The same again changes nothing."""
    from duecourse.commands.importing import draw_imported
    from duecourse.dialled import take_results
    from workflows.desk.dialler_results import RESULTS
    from workflows.importing.contract_doc import kind_document

    session: Session = context.obj
    if contract:
        session.output.answer(RESULTS, lambda console: console.print(kind_document(RESULTS).strip(), markup=False))
        return
    if file is None:
        raise typer.BadParameter("name a file, or ask for the --contract")
    taken = take_results(session.works, file, instant(at))
    session.output.answer({"files": [taken]}, lambda console: draw_imported(console, [taken]))
    if taken.rejected:
        raise typer.Exit(ANSWER_IS_NO)


def recall(context: typer.Context, batch: Number, at: At = None) -> None:
    """
    List the calls of a batch that must not be made any more, and why: paid, stopped, held, or their time is over.

    Feed it to the dialler as often as it takes such lists. Where there are any, the exit code is 3.
    """
    from rich.text import Text

    from duecourse.output import table
    from workflows.desk.dialler import recall

    session: Session = context.obj
    found = recall(session.works.door, batch, now=instant(at))
    drawn = table("contact", "why")
    for contact, why in found:
        drawn.add_row(Text(contact), Text(why))
    answer = [{"contact": contact, "why": why} for contact, why in found]
    session.output.answer(answer, lambda console: console.print(drawn if found else "every call may still be made"))
    if found:
        raise typer.Exit(ANSWER_IS_NO)


def void(context: typer.Context, batch: Number, by: By, at: At = None) -> None:
    """Say that a batch was never given to the dialler: its calls wait in their queue again."""
    from workflows.desk.dialler import void_batch

    session: Session = context.obj
    count = void_batch(session.works.door, batch, by=by, now=happened(at))
    session.output.answer(
        {"batch": batch, "calls": count}, lambda console: console.print(f"batch {batch}: {count} calls wait again")
    )


def list_batches(context: typer.Context) -> None:
    """List batches and how their calls stand, the newest first."""
    show_batches(context.obj, "dialler")
