"""`duecourse audit makegood`: what would not have happened, had everything been known in time."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from duecourse.clock import At, instant
from duecourse.output import ANSWER_IS_NO, CANNOT_TELL, table
from duecourse.session import Session

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.replay.makegood import MadeGood
    from workflows.replay.publications import Deciders


def makegood(
    context: typer.Context,
    since: Annotated[str, typer.Option(help="look at decisions and fees since this instant")],
    rules: Annotated[
        bool, typer.Option("--rules", help="decide by the strategies and packs as they are now, not as they were")
    ] = False,
    at: At = None,
) -> None:
    """
    List contacts, stage moves and fees that would not have happened with what is known by now, and what to do about each.

    Late payments, reversals, corrected facts, statements and holds that came in late, wrong numbers and notices that came
    back count, each from its own day. What people did by hand is asked about again as well. Nothing is changed. Exit code 3: something is amiss. 4: some decisions cannot be derived.
    """
    from workflows.replay.makegood import make_good

    session: Session = context.obj
    instead = _as_they_are(session) if rules else None
    with session.output.progress("deriving again") as progress:
        found = make_good(session.database, since=instant(since), now=instant(at), instead=instead, progress=progress)
    refs = _refs(session, found)
    session.output.answer(_answer(found, refs), lambda console: _print(console, found, refs))
    if found.amiss:
        raise typer.Exit(ANSWER_IS_NO)
    if found.unknown:
        raise typer.Exit(CANNOT_TELL)


def _as_they_are(session: Session) -> "Deciders":
    from workflows.replay.publications import Deciders

    return Deciders(session.workspace.rulebook, session.workspace.gate)


def _refs(session: Session, found: "MadeGood") -> dict[int, str]:
    from store.timeline import loan_refs

    with session.database.session() as reading:
        return loan_refs(reading, {one.loan for one in found.amiss})


def _answer(found: "MadeGood", refs: dict[int, str]) -> dict[str, Any]:
    return {
        "derived": found.derived,
        "amiss": [
            {
                "kind": one.kind,
                "loan": refs[one.loan],
                "at": one.at,
                "subject": one.subject,
                "what": one.what,
                "because": list(one.because),
                "remedy": one.remedy,
            }
            for one in found.amiss
        ],
        "not_derivable": dict(found.unknown),
    }


def _print(console: "Console", found: "MadeGood", refs: dict[int, str]) -> None:
    from rich.text import Text

    drawn = table("at", "loan", "would not have happened", "since", "remedy")
    for one in found.amiss:
        cells = (
            f"{one.at:%m-%d %H:%M}Z",
            refs[one.loan],
            f"{one.what} ({one.subject})",
            "; ".join(one.because),
            one.remedy,
        )
        drawn.add_row(*(Text(cell) for cell in cells))
    if found.amiss:
        console.print(drawn)
    for why, count in found.unknown.items():
        console.print(f"not derivable: {count:,} borrowers: {why}", markup=False)
    console.print(
        f"{found.derived:,} decisions derived again with what is known by now: {len(found.amiss):,} things amiss"
    )
