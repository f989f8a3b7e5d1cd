"""The one place where the time of day is asked for; everything else is handed an instant."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from engine.errors import Problem, SettingsError

At = Annotated[str | None, typer.Option("--at", help="as if it were this instant, e.g. 2026-03-02T09:00+08:00")]


def now() -> datetime:
    """This moment, aware, UTC."""
    return datetime.now(UTC)  # noqa: TID251 the one clock that all others come from


def instant(given: str | None) -> datetime:
    """
    The instant a command works at: the one given with `--at`, or this moment.

    Raises:
        SettingsError: not an instant, or one without a zone, which would be another one elsewhere.
    """
    if given is None:
        return now()
    try:
        at = datetime.fromisoformat(given)
    except ValueError:
        what = f"`{given}` is no instant"
        raise SettingsError(Problem(what, "write one like `2026-03-02T09:00+08:00`")) from None
    if at.tzinfo is None:
        what = f"`{given}` names no zone"
        raise SettingsError(Problem(what, f"write `{at.isoformat(timespec='minutes')}+08:00`, or `Z` for UTC"))
    return at.astimezone(UTC)
