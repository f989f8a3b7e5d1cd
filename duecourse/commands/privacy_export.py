"""`duecourse privacy export`: everything the book holds about a person, for that person."""

from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from duecourse.clock import At, instant
from duecourse.session import Session


def export(
    context: typer.Context,
    borrower: Annotated[str, typer.Argument(help="the person's own reference")],
    out: Annotated[Path, typer.Option(help="a new folder")],
    by: Annotated[str, typer.Option(help="who hands it out")],
    because: Annotated[str, typer.Option(help="which request it answers")] = "request for access",
    at: At = None,
) -> None:
    """
    Write everything the book holds about a person into a folder, to be handed to them: a page to read, and JSON.

    Nothing about other people is in it. The log keeps that it was done, how much it was, and its SHA-256.
    """
    from workflows.privacy.export import Lender, export_person

    session: Session = context.obj
    settings, now = session.settings, instant(at)
    workspace = session.workspace
    counts = export_person(
        session.database, borrower, out, workspace.rulebook, workspace.pack_dates,
        lender=Lender(settings.lender.name, settings.lender.phone, settings.lender.email), because=because, by=by, now=now,
        today=now.astimezone(ZoneInfo(settings.zone)).date(),
    )  # fmt: skip
    said = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in counts.items())
    answer = {"folder": str(out), "lines": dict(counts)}
    session.output.answer(answer, lambda console: console.print(f"{out}: {said}", markup=False))
