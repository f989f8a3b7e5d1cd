"""`duecourse privacy deeds`: what was handed out, shown and erased, by whom and why."""

from typing import Annotated

import typer

from duecourse.output import table
from duecourse.session import Session


def deeds(
    context: typer.Context,
    person: Annotated[str | None, typer.Option(help="only about the person of this reference")] = None,
    limit: Annotated[int, typer.Option(min=1, help="newest first, at most this many")] = 50,
) -> None:
    """List exports to people, revealed numbers and erasures: which entry of the log, when, by whom and why."""
    from rich.text import Text

    from workflows.privacy.reveal import deeds_about_people

    session: Session = context.obj
    with session.database.session() as reading:
        found = deeds_about_people(reading, person, limit=limit)
    drawn = table("entry", "at", "what", "about", "person", "by", "because")
    for one in found:
        cells = (
            f"deed:{one.deed}",
            f"{one.at:%Y-%m-%d %H:%M}Z",
            one.kind,
            one.subject,
            one.person,
            one.by,
            one.because,
        )
        drawn.add_row(*map(Text, cells))
    session.output.answer(found, lambda console: console.print(drawn if found else "there is none"))
