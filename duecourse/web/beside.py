"""Health and figures of a process whose work is not to answer: a small server in a thread beside it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from duecourse.figures import Figures
from duecourse.web.bounds import Bounded
from duecourse.web.health import add_health
from duecourse.web.metrics import add_metrics
from duecourse.web.server import server_of
from store.db import Database

if TYPE_CHECKING:
    from pydantic import SecretStr

    from workflows.scheduling.schedule import Pulse


@contextmanager
def answering(
    at: socket.socket, database: Database, pulse: "Pulse", figures: Figures, token: "SecretStr | None"
) -> Iterator[None]:
    """Answer `/health`, `/ready` and `/metrics` of a scheduler for the length of the block."""
    from fastapi import FastAPI

    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Bounded)
    add_health(app, database, is_alive=pulse.is_alive, problems=_stuck(pulse), more=lambda: {"acting": pulse.acting})
    add_metrics(app, figures, token)
    server = server_of(app)
    # Out of the main thread it leaves signals alone.
    thread = threading.Thread(target=server.run, kwargs={"sockets": [at]}, name="health", daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(10)


def _stuck(pulse: "Pulse") -> Callable[[], list[str]]:
    return lambda: [] if pulse.is_alive() else ["the scheduler's loop has stopped"]
