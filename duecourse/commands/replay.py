"""`duecourse audit replay`: does every logged decision follow from what the log holds?"""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from duecourse.clock import instant
from duecourse.commands.decide import draw
from duecourse.output import ANSWER_IS_NO, CANNOT_TELL
from duecourse.session import Session
from engine.errors import DataError, Problem

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.replay.findings import Replayed, Told


def replay(
    context: typer.Context,
    run: Annotated[int | None, typer.Option(min=1, max=2**63 - 1, help="only the decisions of this run")] = None,
    loan: Annotated[str | None, typer.Option(help="only those about this loan, by its reference")] = None,
    since: Annotated[str | None, typer.Option("--from", help="only those made at this instant or later")] = None,
    until: Annotated[str | None, typer.Option("--to", help="only those made at this instant or before")] = None,
) -> None:
    """
    Derive logged decisions again, by another engine than the one that made them, from what the log holds.

    Exit code 0: each comes out as it was logged. 3: some do not; the first difference of each is drawn. 4: some cannot be derived.
    """
    from store.timeline import known_loan
    from workflows.replay.findings import Chosen
    from workflows.replay.replay import replay as run_replay

    session: Session = context.obj
    wanted = None
    if loan is not None:
        with session.database.session() as reading:
            wanted = known_loan(reading, loan).id
    chosen = Chosen(run, wanted, instant(since) if since else None, instant(until) if until else None)
    with session.output.progress("replaying") as progress:
        found = run_replay(session.database, chosen, progress=progress)
    every = found.total
    if not every.total:
        raise DataError(Problem("no decision fits", "`duecourse log` shows which there are"))
    refs = _refs(session, found)
    session.output.answer(_answer(found, refs), lambda console: _print(console, found, refs))
    if every.different:
        raise typer.Exit(ANSWER_IS_NO)
    if every.not_derivable:
        raise typer.Exit(CANNOT_TELL)


def _refs(session: Session, found: "Replayed") -> dict[int, str]:
    from store.timeline import loan_refs

    with session.database.session() as reading:
        return dict(loan_refs(reading, {one.about.loan for one in found.told}))


def _answer(found: "Replayed", refs: dict[int, str]) -> dict[str, Any]:
    from engine.explain_tree import to_json

    every = found.total
    return {
        "decisions": found.of["decision"].total,
        "runs": found.runs,
        "second_looks": found.of["second look"].total,
        "rounds": found.rounds,
        "stage_changes": found.of["stage change"].total,
        "equal": every.equal,
        "different": every.different,
        "not_derivable": dict(every.not_derivable),
        "found": [
            {
                "subject": one.about.subject,
                "name": one.about.name,
                "run": one.about.run,
                "loan": refs.get(one.about.loan, one.about.loan),
                "at": one.about.at,
                "finding": one.finding,
                "why": one.why,
                "tree": to_json(one.tree) if one.tree is not None else None,
            }
            for one in found.told
        ],
    }


def _print(console: "Console", found: "Replayed", refs: dict[int, str]) -> None:
    for one in found.told:
        if one.tree is not None:
            console.print(f"{_head(one, refs)}: {one.why}", markup=False)
            console.print(draw(one.tree), soft_wrap=False)
    every = found.total
    for why, times in every.not_derivable.items():
        first = next((one for one in found.told if one.why == why), None)
        where = f", first {_head(first, refs)}" if first is not None else ""
        console.print(f"not derivable: {times:,}: {why}{where}", markup=False)
    if every.different > (told := sum(one.tree is not None for one in found.told)):
        console.print(f"and {every.different - told:,} more that differ")
    by = {"decision": f" of {found.runs:,} runs", "second look": f" in {found.rounds:,} rounds"}
    for subject, count in found.of.items():
        if count.total:
            console.print(
                f"{count.total:,} {subject}s{by.get(subject, '')}: {count.equal:,} equal, {count.different:,} different,"
                f" {count.not_derivable.total():,} not derivable"
            )


def _head(one: "Told", refs: dict[int, str]) -> str:
    about = one.about
    run = f", run {about.run}" if about.run is not None else ""
    name = f", {about.subject} {about.name}" if about.name else ""
    at = f", {about.at:%Y-%m-%d %H:%M}Z" if about.at is not None else ""
    return f"loan {refs.get(about.loan, about.loan)}{name}{run}{at}"
