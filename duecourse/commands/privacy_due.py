"""`duecourse privacy due`: whose records need not be kept any more, and which records of people who stay."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from duecourse.clock import instant
from duecourse.output import table
from duecourse.session import Session

if TYPE_CHECKING:
    from rich.table import Table

    from workflows.privacy.due import Over
    from workflows.privacy.due_records import OverRecords


def due(
    context: typer.Context,
    on: Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="that day [default: today]")] = None,
    limit: Annotated[int, typer.Option(min=1, help="so many people at most are named")] = 50,
) -> None:
    """
    List people with clocks that are over, and kinds of record that are: by what, since when too late, what stands against it.

    The job `tidy` erases those against whom nothing stands, where `erase_when_over` is set.
    """
    from workflows.privacy.due import over
    from workflows.privacy.due_records import over_records

    session: Session = context.obj
    zone = ZoneInfo(session.settings.zone)
    now = instant(None) if on is None else datetime.combine(on.date(), time(12), zone).astimezone(UTC)
    today = now.astimezone(zone).date()
    database, dates = session.database, session.workspace.pack_dates
    with session.output.progress("looking") as told:
        found = list(over(database, dates, now=now, today=today, progress=told))
        staying, rows = 0, list[dict[str, Any]]()
        for staying, one in enumerate(over_records(database, dates, now=now, today=today, progress=told), 1):
            rows += _rows(one) if staying <= limit else []
    people, people_drawn = _people(found, today, limit)
    answer = {**people, "people_with_records": staying, "records": rows}
    said = f"people who stay, with records that are over or late: {staying}"
    parts = (*people_drawn, said, *((_records(rows),) if rows else ()))
    session.output.answer(answer, lambda console: console.print(*parts, sep="\n", markup=False))


def _people(found: "Sequence[Over]", today: date, limit: int) -> "tuple[dict[str, Any], Sequence[str | Table]]":
    from rich.text import Text

    from workflows.privacy.due import by_rule

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
    return answer, (said, rules, people) if found else (said,)


def _rows(one: "OverRecords") -> list[dict[str, Any]]:
    return [
        {
            "person": one.ref, "records": kind, "over": each.records, "rules": sorted(each.by), "late_since": each.late_since,
            "kept_until": each.late and each.late.to, "kept_by": each.late and each.late.rule, "against": one.against,
        }
        for kind, each in one.kinds.items()
    ]  # fmt: skip


def _records(rows: list[dict[str, Any]]) -> "Table":
    from rich.text import Text

    drawn = table("person", "records", "over", "by", "late since", "against erasing them")
    for row in rows:
        kept = f"{row['kept_by']} keeps some until {row['kept_until'] or 'the loan is settled'}"
        against = [*row["against"], *([kept] if row["kept_by"] else [])]
        cells = (
            row["person"],
            row["records"],
            row["over"],
            ", ".join(row["rules"]),
            row["late_since"] or "",
            "; ".join(against),
        )
        drawn.add_row(*(Text(str(cell)) for cell in cells))
    return drawn
