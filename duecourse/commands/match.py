"""`duecourse audit match`: does what providers, contacts and the log say fit together?"""

from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import typer

from duecourse.clock import At, instant
from duecourse.commands.duties import duty_row, subjects
from duecourse.output import ANSWER_IS_NO, table
from duecourse.session import Session

if TYPE_CHECKING:
    from datetime import datetime


def match(context: typer.Context, at: At = None) -> None:
    """
    Match providers' receipts with contacts with the log's entries and decisions, both ways, as the job `match` does.

    What does not match is a finding with an owner: `duecourse duties give` and `done` deal with it. Exit code 3: some are open.
    """
    from rich.text import Text

    session: Session = context.obj
    now = instant(at)
    counts = session.works.match(now)
    rows = _open(session, now)
    drawn = table("id", "found", "state", "owner", "about", "what does not match")
    for row in rows:
        cells = (
            row["id"],
            row["rule"].removeprefix("match.").replace("_", " "),
            row["state"],
            row["owner"],
            row["about"],
        )
        drawn.add_row(*(Text(str(cell)) for cell in (*cells, row["what"])))
    said = f"{counts['open']} findings: {counts['new']} new, {counts['reopened']} open again; {counts['gone']} match by now"
    text = said if counts["open"] or counts["gone"] else "everything matches"
    answer = {**counts, "findings": rows}
    session.output.answer(answer, lambda console: console.print(*([drawn] if rows else []), text, sep="\n"))
    if rows:
        raise typer.Exit(ANSWER_IS_NO)


def _open(session: Session, now: "datetime") -> list[dict[str, Any]]:
    from store.duties import list_duties, state_of
    from workflows.duties import MATCH

    today = now.astimezone(ZoneInfo(session.settings.zone)).date()
    with session.database.session() as reading:
        duties = [duty for duty in list_duties(reading, today=today) if duty.rule.startswith(MATCH)]
        about = subjects(reading, duties)
    return [duty_row(duty, state_of(duty, today), about[duty.id]) for duty in duties]
