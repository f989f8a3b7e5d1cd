"""`duecourse visits ...`: who goes where on which day, and what came of it."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from duecourse.clock import At
from duecourse.commands.letters import By
from duecourse.output import table
from duecourse.session import Session
from engine.errors import Problem, SettingsError

if TYPE_CHECKING:
    from rich.console import Console

    from workflows.desk.visits import Team

On = Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="the day")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Visits by day and area.", no_args_is_help=True)
    group.command("plan")(plan)
    group.command("list")(list_visits)
    app.add_typer(group, name="visits")


def plan(
    context: typer.Context,
    on: On,
    team: Annotated[list[str], typer.Option(help="who goes together, e.g. `mei,li`, the lead first; once per team")],
    by: By,
    per_team: Annotated[int, typer.Option(min=1, max=100, help="visits of a team")] = 12,
    out: Annotated[Path | None, typer.Option(help="write each team's route sheet there, as PDF and CSV")] = None,
    at: At = None,
) -> None:
    """
    Plan the visits of a day, grouped by area; planned again, what has not begun is dealt out anew.

    The gate is asked about the day: hours, the notice in force by then, and how many must go.
    """
    from zoneinfo import ZoneInfo

    from rich.text import Text

    from workflows.desk.route_sheets import route_sheets
    from workflows.desk.visits import plan_visits

    session: Session = context.obj
    now = session.rehearsed(at)
    teams = _teams(team)
    door = session.works.door
    made = plan_visits(door, on.date(), teams, by=by, now=now, per_team=per_team)
    sheets: list[Path] = []
    if out is not None:
        today = now.astimezone(ZoneInfo(session.settings.zone)).date()
        sheets = route_sheets(door, made, out, session.works.press, now=now, today=today)
    drawn = table("team", "stop", "area", "from", "until", "loan", "task")
    for stop in made.stops:
        times = (f"{when:%m-%d %H:%M}Z" for when in (stop.from_at, stop.until_at))
        drawn.add_row(*map(Text, (f"{stop.team}", f"{stop.number}", stop.area, *times, stop.loan, stop.task)))
    left = [f"{task} is on no route: {why}" for task, why in sorted(made.left_out.items())]
    written = [f"{sheet}" for sheet in sheets]

    def draw(console: "Console") -> None:
        console.print(drawn if made.stops else "no visit can be made that day")
        for line in (*left, *written):
            console.print(line, markup=False)

    session.output.answer({"plan": made, "sheets": written}, draw)


def list_visits(context: typer.Context, on: On) -> None:
    """Show the routes of a day, and what has become of each visit."""
    from rich.text import Text

    from workflows.desk.visits import day_of_visits

    session: Session = context.obj
    with session.database.session() as reading:
        found = day_of_visits(reading, on.date())
    drawn = table("team", "stop", "area", "loan", "task", "state", "proofs")
    for one in found:
        cells = (one.team, f"{one.stop}", one.area, one.loan, one.task, one.state, f"{one.proofs or ''}")
        drawn.add_row(*map(Text, cells))
    session.output.answer(found, lambda console: console.print(drawn if found else "nothing is planned for that day"))


def _teams(given: list[str]) -> "list[Team]":
    from workflows.desk.visits import Team

    teams = [Team(tuple(name.strip() for name in one.split(","))) for one in given]
    named = [name for team in teams for name in team.members]
    if "" in named:
        raise SettingsError(Problem("a team has a member without a name", "write `--team mei,li`"))
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise SettingsError(Problem(f"`{twice[0]}` goes twice on one day", "name everybody once"))
    return teams
