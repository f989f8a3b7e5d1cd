"""`duecourse legal ...`: what a court or counsel is given."""

from pathlib import Path
from typing import Annotated

import typer

from duecourse.clock import instant
from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Legal referrals.", no_args_is_help=True)
    group.command("bundle")(bundle)
    app.add_typer(group, name="legal")


def bundle(
    context: typer.Context,
    loan: Annotated[str, typer.Argument(help="the loan's reference")],
    out: Annotated[Path, typer.Option(help="the PDF to write")],
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="as known at this instant [default: this moment]")
    ] = None,
) -> None:
    """
    Put the evidence about a loan into one PDF with an index: schedule, ledger, contacts, notices, consents, decisions.

    The same book and instant give the same file. It files nothing: `tasks start` asks the gate about that.
    """
    from zoneinfo import ZoneInfo

    from channels.paper import document_pages
    from store.timeline import known_loan
    from workflows.evidence import evidence
    from workflows.private_file import write_private

    session: Session = context.obj
    at = instant(as_of)
    settings = session.settings
    with session.database.session() as reading:
        found = known_loan(reading, loan)
        on = at.astimezone(ZoneInfo(settings.zone)).date()
        document = evidence(reading, found, lender=settings.lender.name, as_of=at, on=on)
    pages = document_pages(document, session.works.press)
    write_private(out, pages.content)
    answer = {"loan": loan, "file": str(out), "as_of": at, "pages": pages.pages, "sha256": pages.digest}
    said = f"{out}: {len(document.parts)} parts, {pages.pages} pages, as known at {at:%Y-%m-%d %H:%M}Z\nSHA-256 {pages.digest}"
    session.output.answer(answer, lambda console: console.print(said, markup=False))
