"""`duecourse serve`: keep the schedule."""

import typer

from duecourse.clock import now
from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(context: typer.Context) -> None:
    """
    Run promises, sweep, events and dispatch as config/schedule.yaml says, until stopped.

    Start as many as you like: one acts, the others stand by. Stop with Ctrl-C or SIGTERM: what is running ends first.
    Logs are JSON lines on stderr. An edit takes effect at the next run; while a file does not hold together, no job
    runs, and the log says why.
    """
    from duecourse.jobs import Jobs
    from duecourse.logs import log_as_lines
    from workflows.schedule import serve as keep

    session: Session = context.obj
    workspace = session.workspace
    # Read once before anything runs: a workspace that does not hold together does not start.
    _ = workspace.rulebook, workspace.gate, workspace.templates, workspace.queues
    schedule, database = workspace.schedule, session.database
    log_as_lines()
    jobs = Jobs(workspace.folder, now)
    try:
        keep(database, schedule, jobs.run, clock=now, tell=session.output.note)
    finally:
        jobs.close()
