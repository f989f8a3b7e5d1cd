"""No request is read further than it may be long, or waited for longer than it may take."""

import asyncio
from typing import TYPE_CHECKING, Final

from channels.posted import BODY_MAX

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

SECONDS_MAX: Final = 10.0
"""From the first to the last byte of a body."""


class Bounded:
    """Reads the whole body before anything else sees the request, or refuses it."""

    def __init__(self, app: "ASGIApp", *, seconds_max: float = SECONDS_MAX) -> None:
        self._app = app
        self._seconds_max = seconds_max

    async def __call__(self, scope: "Scope", receive: "Receive", send: "Send") -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._seconds_max):
                body = await _read(receive)
        except TimeoutError:
            await _refuse(send, 408, b"the body did not come in time")
            return
        if body is None:
            return
        if len(body) > BODY_MAX:
            await _refuse(send, 413, f"the body is longer than {BODY_MAX} bytes".encode())
            return
        handed: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> "Message":
            return handed.pop() if handed else await receive()

        await self._app(scope, again, send)


async def _read(receive: "Receive") -> bytes | None:
    """The body, or its beginning as soon as that is too much; None where whoever sent it is gone."""
    body = bytearray()
    while len(body) <= BODY_MAX:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            break
    return bytes(body)


async def _refuse(send: "Send", status: int, words: bytes) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": words + b"\n"})
