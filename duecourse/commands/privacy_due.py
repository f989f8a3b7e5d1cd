"""`duecourse privacy due`: whose records need not be kept any more."""

from datetime import UTC, datetime, time
from typing import Annotated
from zoneinfo import ZoneInfo

import typer

from duecourse.clock import instant
from duecourse.output import table
from duecourse.session import Session


def due(
    context: typer.Context,
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="that day [default: today]")] = None,
    limit: Annotated[int, typer.Option(min=1, help="so many people at most are named")] = 50,
) -> None:
    """
    List people with clocks that are over, by what ended them, since when it is too late, and what stands against erasing each.

    The job `tidy` erases those against whom nothing stands, where `erase_when_over` is set.
    """
    from rich.text import Text

    from workflows.privacy.due import by_rule, over

    session: Session = context.obj
    zone = ZoneInfo(session.settings.zone)
    now = instant(None) if on is None else datetime.combine(on.date(), time(12), zone).astimezone(UTC)
    today = now.astimezone(zone).date()
    with session.output.progress("looking") as told:
        found = list(over(session.database, session.workspace.pack_dates, now=now, today=today, progress=told))
    counts = by_rule(found)
    ready = sum(not one.against for one in found)
    answer = {
        "on": today, "people": len(found), "can_be_erased": ready,
        "over": [{"records": r, "rule": rule, "citation": c, "loans": n} for (r, rule, c), n in sorted(counts.items())],
        "named": [{"person": one.ref, "late_since": one.late_since, "against": one.against} for one in found[:limit]],
    }  # fmt: skip
    rules = table("records", "over by", "citation", "loans")
    for (records, rule, citation), n in sorted(counts.items()):
        rules.add_row(*map(Text, (records, rule, citation, str(n))))
    people = table("person", "late since", "against erasing them")
    for one in found[:limit]:
        people.add_row(Text(one.ref), str(one.late_since or ""), Text("; ".join(one.against)))
    said = f"people with clocks that are over on {today}: {len(found)}, of whom {ready} can be erased"
    session.output.answer(
        answer, lambda console: console.print(said, *((rules, people) if found else ()), sep="\n", markup=False)
    )
