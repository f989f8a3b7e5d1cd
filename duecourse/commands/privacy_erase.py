"""`duecourse privacy erase`: take a person out of the book, or the words of one kind of their old records."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

import typer

from duecourse.clock import At, instant
from duecourse.output import ANSWER_IS_NO, table
from duecourse.session import Session

if TYPE_CHECKING:
    from rich.console import Console

    from engine.errors import Problem
    from workflows.privacy.clocks import Clock

Kind = Literal["contacts", "recordings", "decisions", "complaints", "consents"]

_OF_POSTGRES = "PostgreSQL holds former rows until their tables are written anew: docs/operator.md says how"
_HELD = "somebody was reading, so the file still holds former pages: run the same command once more"
_CLEAN = "no byte of it is left in the file"


def erase(
    context: typer.Context,
    borrower: Annotated[str, typer.Argument(help="the person's own reference")],
    because: Annotated[str, typer.Option(help="which request or rule asks for it; not kept in the log")],
    by: Annotated[str, typer.Option(help="who does it")],
    records: Annotated[
        Kind | None, typer.Option(help="only what was written in these records, where they are over; the person stays")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="do it; nothing brings it back")] = False,
    at: At = None,
) -> None:
    """
    Say what erasing a person would take out, what stays, and what stands against it (exit 3); with `--yes`, do it.

    It is refused while a pack's clock runs or anything about them is open. The log stays as it was signed.
    """
    session: Session = context.obj
    now = instant(at)
    today = now.astimezone(ZoneInfo(session.settings.zone)).date()
    if yes:
        _erase(session, borrower, records, {"because": because, "by": by, "now": now, "today": today})
    elif records is None:
        _plan(session, borrower, now, today)
    else:
        _plan_records(session, borrower, records, now, today)


def _erase(session: Session, borrower: str, records: Kind | None, how: dict[str, Any]) -> None:
    from store.erased import erased_on
    from workflows.privacy import erase

    database, dates = session.database, session.workspace.pack_dates
    before, counts = None, {}
    if records is not None:
        counts = dict(erase.erase_records(database, borrower, (records,), dates, **how))
    else:
        with database.session() as reading:
            before = erased_on(reading, borrower)
        if before is None:
            counts = dict(erase.erase(database, borrower, dates, **how))
    clean = erase.leave_nothing(database)
    rest = _CLEAN if clean else _HELD if database.dialect == "sqlite" else _OF_POSTGRES
    what = f"was erased on {before:%Y-%m-%d}" if before else f"erased: {_counted(counts)}"
    who = borrower if records is None else f"{borrower}, {records}"
    answer: dict[str, Any] = {"records": records, "erased": counts, "erased_before": before, "clean": clean}
    session.output.answer(answer, lambda console: console.print(f"{who} {what}; {rest}", markup=False))


def _plan(session: Session, borrower: str, now: datetime, today: date) -> None:
    from workflows.privacy.erase import STAYS, plan_erasure

    planned = plan_erasure(session.database, borrower, session.workspace.pack_dates, now=now, today=today)
    answer = {
        "person": planned.person, "goes": dict(planned.goes), "clocks": planned.clocks, "outside": planned.outside,
        "against": [problem.what for problem in planned.against],
    }  # fmt: skip
    head = f"{borrower} (person {planned.person})"
    session.output.answer(
        answer,
        lambda console: _draw(console, head, planned.goes, STAYS, planned.outside, planned.clocks, planned.against),
    )
    if planned.against:
        raise typer.Exit(ANSWER_IS_NO)


def _plan_records(session: Session, borrower: str, kind: Kind, now: datetime, today: date) -> None:
    from workflows.privacy.erase import STAYS_OF_RECORDS, files, plan_records

    planned = plan_records(session.database, borrower, kind, session.workspace.pack_dates, now=now, today=today)
    found = planned.aged
    goes, outside = found.over.counts, tuple(files(found.over))
    clocks = tuple(found.by.values()) if found.kept is None else (*found.by.values(), found.kept)
    answer = {
        "person": planned.person, "records": kind, "over": found.records, "goes": goes, "clocks": clocks,
        "late_since": found.late_since, "outside": outside, "against": [problem.what for problem in planned.against],
    }  # fmt: skip
    late = f", late since {found.late_since}" if found.late_since else ""
    head = f"{borrower} (person {planned.person}), {kind}: {found.records} over{late}"
    session.output.answer(
        answer, lambda console: _draw(console, head, goes, STAYS_OF_RECORDS, outside, clocks, planned.against)
    )
    if planned.against:
        raise typer.Exit(ANSWER_IS_NO)


def _draw(
    console: "Console",
    head: str,
    goes: Mapping[str, int],
    stays: Sequence[str],
    outside: Sequence[str],
    clocks: "Sequence[Clock]",
    against: "Sequence[Problem]",
) -> None:
    from rich.text import Text

    lines = [head, f"goes: {_counted(goes) or 'nothing'}"]
    lines += [f"stays: {what}" for what in stays]
    lines += [f"outside the book, for you to destroy: {what}" for what in outside]
    console.print("\n".join(lines), markup=False)
    if clocks:
        drawn = table("loan", "records", "kept to", "by", "citation")
        for clock in clocks:
            to = "open" if clock.to is None else clock.to.isoformat()
            drawn.add_row(*map(Text, (clock.loan, clock.records, to, clock.rule, clock.citation)))
        console.print(drawn)
    for problem in against:
        console.print(f"against it: {problem.what}\n  mend: {problem.mend}", markup=False)
    if not against:
        console.print("nothing stands against it: `--yes` does it, and nothing brings it back", markup=False)


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in sorted(counts.items()))
