"""`duecourse listen`: hear what providers, borrowers and the lender's own systems say."""

import typer

from duecourse.clock import now
from duecourse.session import Session


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("listen")(listen)


def listen(context: typer.Context) -> None:
    """
    Take in callbacks, unsubscribe links and events by HTTP, as `listen:` in duecourse.yaml says, until stopped.

    Start as many as you like. Whatever was answered with yes is in the book or in its inbox. Stop with Ctrl-C or
    SIGTERM: what is under way ends first. Logs are JSON lines on stderr.
    """
    from duecourse.figures import Figures
    from duecourse.jobs import Jobs
    from duecourse.logs import log_as_lines
    from duecourse.providers import inward
    from duecourse.web.desk import Desk
    from duecourse.web.server import application, listening, serve
    from duecourse.web.worker import Worker

    session: Session = context.obj
    workspace, database = session.workspace, session.database
    # Read once before anything is taken: a workspace that does not hold together does not start.
    _ = workspace.rulebook, workspace.gate, workspace.templates, workspace.queues
    settings = workspace.settings
    reader = inward(workspace)
    with listening(settings.listen.host, settings.listen.port) as at:
        log_as_lines()
        jobs = Jobs(workspace.folder, now)
        worker = Worker(jobs, database, now)
        figures = Figures(workspace.stands(database))
        desk = Desk(settings, database, reader, now, worker.wake, worker.is_alive, figures)
        worker.start()
        host, port = at.getsockname()[:2]
        if settings.listen.token is None:
            session.output.note("nobody can post events: `listen.token` is not set")
        try:
            serve(application(desk), at, lambda: session.output.note(f"listening at http://{host}:{port}"))
        finally:
            desk.close()
            worker.stop()
            jobs.close()
            session.output.note("stopped; whatever was taken is kept")
