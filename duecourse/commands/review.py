"""`duecourse audit review`: the compliance review of a month."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from duecourse.clock import At
from duecourse.output import ANSWER_IS_NO
from duecourse.session import Session


def review(
    context: typer.Context,
    month: Annotated[str, typer.Option(help="the month, e.g. 2026-03, as it was where you work")],
    out: Annotated[
        Path | None, typer.Option(help="the folder to make [default: review-MONTH]", show_default=False)
    ] = None,
    at: At = None,
) -> None:
    """
    Review a month: what was done and held back, by rule, and what broke one, counted anew from what happened.

    Writes review.html, review.pdf and, behind every number, the list of its entries. Exit code 0: nothing breaks a rule. 3: something does.
    """
    from duecourse.audit import public_keys
    from duecourse.witnesses import ask_witnesses
    from workflows.review.period import Month
    from workflows.review.review import About
    from workflows.review.review import review as run

    session: Session = context.obj
    settings, workspace = session.settings, session.workspace
    chosen = Month.named(month, settings.zone)
    folder = out or Path(f"review-{chosen.name}")
    about = About(settings.lender.name, settings.actor, workspace.packs, session.works.press)
    # A witness that is away now is told of by `audit verify`; the review rests on what can be read.
    asked = [replace(one, answer="never") if one.answer == "away" else one for one in ask_witnesses(workspace)]
    with session.output.progress("reviewing") as progress:
        found = run(
            session.database, chosen, folder, about, public_keys(workspace),
            now=session.rehearsed(at), asked=asked, progress=progress,
        )  # fmt: skip
    answer = {
        "month": chosen.name,
        "folder": str(folder),
        "findings": found.findings,
        "figures": found.figures,
        "sha256": found.digests,
    }
    lines = [f"{name}: {value:,}" for name, value in found.figures.items()]
    lines += [f"{folder / 'review.html'}", *(f"SHA-256 {digest}  {name}" for name, digest in found.digests.items())]
    session.output.answer(answer, lambda console: console.print("\n".join(lines), markup=False))
    if found.findings:
        raise typer.Exit(ANSWER_IS_NO)
