"""Whether it lives, and whether it can work: for whoever restarts it, and for the proxy in front."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from engine.errors import StoreError
from store.db import Database

if TYPE_CHECKING:
    from fastapi import FastAPI


def add_health(
    app: "FastAPI",
    database: Database,
    *,
    is_alive: Callable[[], bool] = lambda: True,
    problems: Callable[[], list[str]] = list,
    more: Callable[[], Mapping[str, object]] = dict,
) -> None:
    """
    Add both.

    Args:
        is_alive: whether anything goes on; where not, it has to be started anew.
        problems: why it cannot work, beside a book that cannot be read.
        more: what else is said of it.
    """
    from fastapi.responses import JSONResponse

    async def health() -> JSONResponse:
        alive = is_alive()
        return JSONResponse({"alive": alive}, status_code=200 if alive else 503)

    async def ready() -> JSONResponse:
        # Where the book is, is nobody's business out there; the log says it.
        found = problems()
        try:
            await asyncio.to_thread(database.check_version)
        except StoreError:
            found.append("the book cannot be read")
        answer = {"ready": not found, "problems": found, **more()}
        return JSONResponse(answer, status_code=503 if found else 200)

    app.get("/health", include_in_schema=False)(health)
    app.get("/ready", include_in_schema=False)(ready)
