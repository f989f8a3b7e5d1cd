"""`duecourse privacy erase`: take a person out of the book."""

from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from duecourse.clock import At, instant
from duecourse.output import ANSWER_IS_NO, table
from duecourse.session import Session

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.privacy.erase import Planned

_OF_POSTGRES = "PostgreSQL holds former rows until their tables are written anew: docs/operator.md says how"
_HELD = "somebody was reading, so the file still holds former pages: run the same command once more"
_CLEAN = "no byte of it is left in the file"


def erase(
    context: typer.Context,
    borrower: Annotated[str, typer.Argument(help="the person's own reference")],
    because: Annotated[str, typer.Option(help="which request or rule asks for it; not kept in the log")],
    by: Annotated[str, typer.Option(help="who does it")],
    yes: Annotated[bool, typer.Option("--yes", help="do it; nothing brings it back")] = False,
    at: At = None,
) -> None:
    """
    Say what erasing a person would take out, what stays, and what stands against it (exit 3); with `--yes`, do it.

    It is refused while a pack's clock runs or anything about them is open. The log stays as it was signed.
    """
    from store.erased import erased_on
    from workflows.privacy.erase import erase as take_out
    from workflows.privacy.erase import plan_erasure

    session: Session = context.obj
    now = instant(at)
    today = now.astimezone(ZoneInfo(session.settings.zone)).date()
    dates = session.workspace.pack_dates
    if yes:
        with session.database.session() as reading:
            before = erased_on(reading, borrower)
        counts = {} if before else dict(
            take_out(session.database, borrower, dates, because=because, by=by, now=now, today=today)
        )  # fmt: skip
        clean = session.database.scrub()
        rest = _CLEAN if clean else _HELD if session.database.dialect == "sqlite" else _OF_POSTGRES
        what = f"was erased on {before:%Y-%m-%d}" if before else f"erased: {_counted(counts)}"
        answer: dict[str, Any] = {"erased": counts, "erased_before": before, "clean": clean}
        session.output.answer(answer, lambda console: console.print(f"{borrower} {what}; {rest}", markup=False))
        return
    planned = plan_erasure(session.database, borrower, dates, now=now, today=today)
    answer = {
        "person": planned.person, "goes": dict(planned.goes), "clocks": planned.clocks, "outside": planned.outside,
        "against": [problem.what for problem in planned.against],
    }  # fmt: skip
    session.output.answer(answer, lambda console: _draw(console, borrower, planned))
    if planned.against:
        raise typer.Exit(ANSWER_IS_NO)


def _draw(console: "Console", borrower: str, planned: "Planned") -> None:
    from rich.text import Text

    from workflows.privacy.erase import STAYS

    lines = [f"{borrower} (person {planned.person})", f"goes: {_counted(planned.goes)}"]
    lines += [f"stays: {what}" for what in STAYS]
    lines += [f"outside the book, for you to destroy: {what}" for what in planned.outside]
    console.print("\n".join(lines), markup=False)
    if planned.clocks:
        drawn = table("loan", "records", "kept to", "by", "citation")
        for clock in planned.clocks:
            to = "open" if clock.to is None else clock.to.isoformat()
            drawn.add_row(*map(Text, (clock.loan, clock.records, to, clock.rule, clock.citation)))
        console.print(drawn)
    for problem in planned.against:
        console.print(f"against it: {problem.what}\n  mend: {problem.mend}", markup=False)
    if not planned.against:
        console.print("nothing stands against it: `--yes` does it, and nothing brings it back", markup=False)


def _counted(counts: Any) -> str:
    return ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in sorted(counts.items()))
