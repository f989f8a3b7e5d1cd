"""`GET /metrics` for whoever knows the token, and the count of what every door answered."""

import asyncio
from typing import TYPE_CHECKING, Final

from duecourse.figures import CONTENT_TYPE, Figures
from duecourse.web.tokens import may

if TYPE_CHECKING:
    from fastapi import FastAPI
    from pydantic import SecretStr
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATH: Final = "/metrics"
_ELSEWHERE: Final = "elsewhere"
"""What all addresses are called that are none of ours: whoever asks does not choose our labels."""


def add_metrics(app: "FastAPI", figures: Figures, token: "SecretStr | None") -> None:
    """Count what is answered, and where there is a token tell whoever bears it."""
    from fastapi import Request, Response

    app.add_middleware(_Counted, figures=figures)
    if token is None:
        return

    async def metrics(request: Request) -> Response:
        if not may(request.headers.get("authorization", ""), (token,)):
            return Response(status_code=401, headers={"WWW-Authenticate": "Bearer"})
        return Response(await asyncio.to_thread(figures.text), media_type=CONTENT_TYPE)

    app.get(PATH, include_in_schema=False)(metrics)


class _Counted:
    """Counts each request by the route that answered it."""

    def __init__(self, app: "ASGIApp", figures: Figures) -> None:
        self._app, self._figures = app, figures

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def heard(message: "Message") -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, heard)
        finally:
            self._figures.answered(getattr(scope.get("route"), "path", _ELSEWHERE), status)
