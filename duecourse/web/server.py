"""The listening process: its application, its socket, and an end at which nothing that was taken is lost."""

import contextlib
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from duecourse.web.bounds import Bounded
from duecourse.web.callbacks import add_callbacks
from duecourse.web.desk import Desk
from duecourse.web.events import add_events, refusal, said
from duecourse.web.health import add_health
from duecourse.web.metrics import add_metrics
from duecourse.web.unsubscribe import add_unsubscribe
from engine.errors import Problem, SettingsError, StoreError

if TYPE_CHECKING:
    from fastapi import FastAPI, Request
    from fastapi.responses import JSONResponse
    from uvicorn import Server

_AT_ONCE: Final = 256
"""Connections beyond that are told 503, and a provider comes again."""
_END_SECONDS: Final = 15
_BACKLOG: Final = 1024


def application(desk: Desk) -> "FastAPI":
    """Everything that answers."""
    from fastapi import FastAPI

    about = "What the lender's own systems tell Duecourse at once."
    app = FastAPI(title="Duecourse", version="1", description=about, docs_url=None, redoc_url=None)
    app.add_middleware(Bounded)
    app.add_exception_handler(StoreError, _away)  # type: ignore[arg-type] # it is called with what it is registered for
    add_health(app, desk.database, problems=partial(_problems, desk))
    add_metrics(app, desk.figures, desk.settings.metrics.token)
    add_callbacks(app, desk)
    add_unsubscribe(app, desk)
    if desk.settings.listen.token is not None:
        add_events(app, desk)
    return app


def _problems(desk: Desk) -> list[str]:
    return [] if desk.is_alive() else ["whoever handles the inbox has stopped"]


async def _away(_request: "Request", error: StoreError) -> "JSONResponse":
    del error  # where the book is, is nobody's business out there
    answer = refusal(503, [said(Problem("the book cannot be written now", "send the same again in a minute"))])
    answer.headers["Retry-After"] = "60"
    return answer


@contextmanager
def listening(host: str, port: int, *, setting: str = "listen") -> Iterator[socket.socket]:
    """
    A socket that takes connections; they wait until somebody answers.

    Args:
        setting: where its address is set, for whoever has to mend it.

    Raises:
        SettingsError: the address or port cannot be had.
    """
    try:
        made = socket.create_server(
            (host, port), backlog=_BACKLOG, family=socket.AF_INET6 if ":" in host else socket.AF_INET
        )
    except OSError as error:
        what = f"nobody can listen at {host}:{port}: {(error.strerror or str(error)).lower()}"
        raise SettingsError(
            Problem(what, f"set `{setting}.host` and `{setting}.port` to one that is free here")
        ) from None
    with made:
        yield made


def serve(app: "FastAPI", at: socket.socket, tell: Callable[[], None]) -> None:
    """
    Answer until SIGTERM or SIGINT; what is under way then is answered first.

    Args:
        tell: called when whoever connects is heard.
    """
    server = server_of(app)
    # Once it has ended the server raises the signal again, and by default that would end the process before its time.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        tell()
        with contextlib.suppress(KeyboardInterrupt):
            server.run(sockets=[at])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def server_of(app: "FastAPI") -> "Server":
    """A server that answers for an application, and says nothing of itself or of who asked."""
    import uvicorn

    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, proxy_headers=False, lifespan="off", ws="none",
        limit_concurrency=_AT_ONCE, timeout_graceful_shutdown=_END_SECONDS,
    )  # fmt: skip
    return uvicorn.Server(config)
