"""`duecourse legal ...`: what a court or counsel is given."""

from pathlib import Path
from typing import Annotated

import typer

from duecourse.clock import At, instant
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
    by: Annotated[str, typer.Option(help="who hands it out")],
    because: Annotated[
        str, typer.Option(help="which case or request it is for; `privacy deeds` shows it")
    ] = "legal referral",
    as_of: Annotated[
        str | None, typer.Option("--as-of", help="as known at this instant [default: this moment]")
    ] = None,
    at: At = None,
) -> None:
    """
    Put the evidence about a loan into one PDF with an index: schedule, ledger, contacts, notices, consents, decisions.

    The same book and instant give the same file. It files nothing: `tasks start` asks the gate about that.
    It names people: the log keeps a deed about each of them, and the book by whom and what for.
    """
    from zoneinfo import ZoneInfo

    from channels.paper import document_pages
    from store.timeline import known_loan
    from workflows.desk.evidence import evidence, named
    from workflows.privacy.evidence_deeds import handed_out, say_whose_reasons
    from workflows.private_file import write_private

    session: Session = context.obj
    say_whose_reasons(by, because)
    now = instant(at)
    known_at = instant(as_of) if as_of else now
    settings = session.settings
    with session.database.session() as reading:
        found = known_loan(reading, loan)
        on = known_at.astimezone(ZoneInfo(settings.zone)).date()
        document = evidence(reading, found, lender=settings.lender.name, as_of=known_at, on=on)
        people, subject = named(reading, found), f"loan:{found.id}"
    pages = document_pages(document, session.works.press)
    detail = {"digest": pages.digest, "pages": pages.pages}
    handed_out(session.database, people, subject, detail, by=by, because=because, now=now)
    write_private(out, pages.content)
    answer = {"loan": loan, "file": str(out), "as_of": known_at, "pages": pages.pages, "sha256": pages.digest}
    said = f"{out}: {len(document.parts)} parts, {pages.pages} pages, as known at {known_at:%Y-%m-%d %H:%M}Z\nSHA-256 {pages.digest}"
    session.output.answer(answer, lambda console: console.print(said, markup=False))
