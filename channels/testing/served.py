"""A small HTTP server on loopback in a thread of its own, for stand-ins."""

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Self, TypeVar

if TYPE_CHECKING:
    from aiohttp import web

_T = TypeVar("_T")


class Served:
    """
    `with Stand_in() as it: ... it.base_url`. Who derives from it says in `application` what it answers.

    Args:
        tls: serves HTTPS with this context.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.base_url = ""
        self.stopping: asyncio.Event
        self._tls = tls
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread

    def application(self) -> "web.Application":
        """What it answers; made in the server's thread."""
        raise NotImplementedError

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Let the server's thread do something, such as posting a callback."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(15)

    def __enter__(self) -> Self:
        ready = threading.Event()
        self._loop, self.stopping = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), name="stand-in", daemon=True)
        self._thread.start()
        if not ready.wait(10):
            raise RuntimeError("the stand-in did not start within 10 seconds")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self.stopping.set)
        self._thread.join(10)

    def _serve(self, ready: threading.Event) -> None:
        from aiohttp import web

        async def life() -> None:
            runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=0.1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=self._tls).start()
            self.base_url = f"http{'s' if self._tls else ''}://127.0.0.1:{runner.addresses[0][1]}"
            ready.set()
            await self.stopping.wait()
            await runner.cleanup()

        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(life())
        self._loop.close()
