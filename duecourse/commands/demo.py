"""`duecourse demo`: a real loan book, collected for sixty simulated days."""

import time
from pathlib import Path
from typing import Annotated

import typer

from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("demo")(demo)


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option("--workspace", help="left behind to explore")] = Path("duecourse-demo"),
    days: Annotated[int, typer.Option(min=1, max=365, help="days to simulate")] = 60,
    seed: Annotated[int, typer.Option(help="same seed, same history")] = 1,
) -> None:
    """
    Collect a real loan book for sixty simulated days, mail and text messages over real SMTP and HTTP included.

    Amounts and payment histories are real (UCI data set 350, CC BY 4.0); people and their reactions are made up.
    """
    from duecourse.demo.run import print_demo, run_demo
    from duecourse.wiring import Works
    from duecourse.workspace import open_workspace

    session: Session = context.obj
    output = session.output
    began = time.monotonic()
    output.note(f"simulating {days} days, seed {seed}: borrowers' reactions come from duecourse/demo/behaviour.py")
    with output.progress("days") as progress:
        outcome = run_demo(folder, days=days, seed=seed, tell=progress)
    workspace = open_workspace(folder, {})
    works = Works(workspace, workspace.open_database())
    answer = {
        "workspace": str(folder),
        "contacts": {channel: dict(counts) for channel, counts in outcome.summary.contacts.items()},
        "withheld": dict(outcome.summary.withheld),
        "promises": dict(outcome.summary.promises),
        "cures": outcome.summary.cures,
        "collected_minor": dict(outcome.summary.collected),
        "cost_minor": dict(outcome.summary.cost),
        "decisions": outcome.summary.decisions,
    }
    output.answer(answer, lambda console: print_demo(console, works, outcome))
    works.close()
    output.note(
        f"{time.monotonic() - began:.0f} seconds. The workspace is in {folder}: try\n"
        f"  duecourse -w {folder} log --outcome withheld\n"
        f"  duecourse -w {folder} sweep --plan --at {outcome.end.on}T00:30Z"
    )
