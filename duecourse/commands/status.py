"""`duecourse status`: how it stands, and what of it somebody has to look at."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from duecourse.clock import At, instant
from duecourse.output import ANSWER_IS_NO, table
from duecourse.session import Session

if TYPE_CHECKING:
    from datetime import datetime

    from workflows.scheduling.status import Status


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("status")(status)


def status(context: typer.Context, at: At = None) -> None:
    """
    Say how it stands: the jobs, what waits, what is in doubt, what failed in the last 24 hours, the inbox, feeds and log.

    Ends with 0 where all is well, 3 where somebody has to look, 1 where the book cannot be read.
    """
    from rich.text import Text

    from workflows.scheduling.status import status as read

    session: Session = context.obj
    workspace = session.workspace
    owner = workspace.settings.doubts_owner
    found = read(session.database, workspace.schedule, owner=owner, now=instant(at))
    drawn = table("what", "how")
    for what, how in _lines(found):
        drawn.add_row(Text(what), Text(how))
    session.output.answer(as_json(found), lambda console: console.print(drawn))
    if not session.output.as_json:
        session.output.problems(found.problems)
    if found.problems:
        raise typer.Exit(ANSWER_IS_NO)


def as_json(found: "Status") -> dict[str, Any]:
    """How it stands, as programs read it."""
    from duecourse.commands.schedule import as_json as job_json

    plain = {name: getattr(found, name) for name in ("at", "schema", "production", "sending", "brakes", "acting")}
    return {
        **plain,
        "jobs": [job_json(line) for line in found.jobs],
        "backlog": [asdict(one) for one in found.backlog],
        "spent_today": [asdict(one) for one in found.spent],
        "leaving": asdict(found.leaving),
        "doubts": {"by_age": found.doubts_by_age(), "left_to_people": [asdict(d) for d in found.doubts if d.left]},
        "failures_24h": [asdict(one) for one in found.failures],
        "inbox": asdict(found.inbox),
        "feeds": found.feeds,
        "log": asdict(found.log),
        "problems": [{"what": one.what, "mend": one.mend} for one in found.problems],
    }


def _lines(found: "Status") -> Iterator[tuple[str, str]]:
    environment = {True: "production", False: "development", None: "a copy of production"}[found.production]
    yield "database", f"schema {found.schema}, {environment}, sending {'on' if found.sending else 'off'}"
    for what, why in found.brakes.items():
        yield "brake" if what == "all" else f"brake {what}", why
    yield "scheduler", found.acting or "none acts"
    for line in found.jobs:
        job = line.job
        ran = f"{job.state} {_minute(job.began_at)}" if job and job.began_at else "never ran"
        took = f", took {line.seconds:.1f} s" if line.seconds is not None else ""
        coming = f", next {_minute(line.next_at)}" if line.next_at is not None and line.pause is None else ""
        held = f", paused by {line.pause.by}" if line.pause is not None else ""
        yield f"job {line.entry.name}", ran + took + coming + held
    for waits in found.backlog:
        since = f", the oldest since {_minute(waits.since)}" if waits.since else ""
        yield f"waiting {waits.channel}", f"{waits.due:,} due{since}; {waits.later:,} later"
    for account in found.spent:
        bound = f" of {account.per_day:,}" if account.per_day is not None else ""
        yield f"today {account.lane.replace('_', ' ')} {account.account}", f"{account.used:,}{bound}"
    yield "leaving", f"{found.leaving.in_hand:,} in hand, {found.leaving.lapsed:,} of them too long"
    ages = ", ".join(f"{count:,} {name}" for name, count in found.doubts_by_age().items() if count)
    left = sum(doubt.left for doubt in found.doubts)
    yield "in doubt", f"{ages}; {left:,} for people to settle" if ages else "none"
    for one in found.failures:
        yield (
            f"failed {one.channel}",
            f"{one.count:,} x {' '.join(filter(None, (one.provider, one.code))) or 'no code'}",
        )
    came = f", the oldest since {_minute(found.inbox.since)}" if found.inbox.since else ""
    yield "inbox", f"{found.inbox.waiting:,} wait{came}; {found.inbox.parked:,} parked"
    feeds = (f"{kind} {_age(found.at, as_of)}" for kind, as_of in sorted(found.feeds.items(), key=lambda feed: feed[1]))
    yield "feeds", ", ".join(feeds) or "none"
    signed = (
        f"checkpoint {found.log.checkpoint} of {_minute(found.log.signed_at)}" if found.log.signed_at else "not signed"
    )
    yield "log", f"{found.log.unsequenced:,} entries without a position; {signed}"


def _minute(at: "datetime") -> str:
    return f"{at:%Y-%m-%d %H:%M}Z"


def _age(now: "datetime", at: "datetime") -> str:
    hours = int((now - at).total_seconds() // 3600)
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
