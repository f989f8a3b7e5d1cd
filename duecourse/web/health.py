"""Whether it lives, and whether it can work: for whoever restarts it, and for the proxy in front."""

from typing import TYPE_CHECKING

from duecourse.web.desk import Desk
from engine.errors import StoreError

if TYPE_CHECKING:
    from fastapi import FastAPI


def add_health(app: "FastAPI", desk: Desk) -> None:
    """Add both."""
    from fastapi.responses import JSONResponse

    async def health() -> JSONResponse:
        return JSONResponse({"alive": True})

    async def ready() -> JSONResponse:
        # Where the book is, is nobody's business out there; the log says it.
        problems = [] if desk.is_alive() else ["whoever handles the inbox has stopped"]
        try:
            await desk.at(desk.database.check_version)
        except StoreError:
            problems.append("the book cannot be read")
        return JSONResponse({"ready": not problems, "problems": problems}, status_code=503 if problems else 200)

    app.get("/health", include_in_schema=False)(health)
    app.get("/ready", include_in_schema=False)(ready)
