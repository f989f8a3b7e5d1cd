"""`duecourse serve`: keep the schedule."""

from typing import TYPE_CHECKING

import typer

from duecourse.clock import now
from duecourse.session import Session

if TYPE_CHECKING:
    from contextlib import ExitStack

    from duecourse.figures import Figures
    from workflows.scheduling.schedule import Pulse


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("serve")(serve)


def serve(context: typer.Context) -> None:
    """
    Run promises, sweep, events and dispatch as config/schedule.yaml says, until stopped.

    Start as many as you like: one acts, the others stand by. Stop with Ctrl-C or SIGTERM: what is running ends first.
    Logs are JSON lines on stderr. An edit takes effect at the next run; while a file does not hold together, no job
    runs, and the log says why. With `metrics.port` it answers /health, /ready and /metrics.
    """
    from contextlib import ExitStack

    from duecourse.figures import Figures
    from duecourse.jobs import Jobs
    from duecourse.logs import log_as_lines
    from workflows.scheduling.schedule import Pulse
    from workflows.scheduling.schedule import serve as keep

    session: Session = context.obj
    workspace = session.workspace
    # Read once before anything runs: a workspace that does not hold together does not start.
    _ = workspace.rulebook, workspace.gate, workspace.templates, workspace.queues
    schedule, database, pulse = workspace.schedule, session.database, Pulse()
    figures = Figures(workspace.stands(database))
    figures.acts(lambda: pulse.acting)
    log_as_lines()
    jobs = Jobs(workspace.folder, now)
    with ExitStack() as open_until_the_end:
        open_until_the_end.callback(jobs.close)
        if workspace.settings.metrics.port is not None:
            _answer(session, open_until_the_end, pulse, figures)
        keep(database, schedule, jobs.run, clock=now, tell=session.output.note, pulse=pulse, seen=figures.ran)


def _answer(session: Session, until: "ExitStack", pulse: "Pulse", figures: "Figures") -> None:
    from duecourse.web.beside import answering
    from duecourse.web.server import listening

    metrics = session.settings.metrics
    at = until.enter_context(listening(metrics.host, metrics.port or 0, setting="metrics"))
    until.enter_context(answering(at, session.database, pulse, figures, metrics.token))
    host, port = at.getsockname()[:2]
    session.output.note(f"health at http://{host}:{port}")
