"""`duecourse schedule`: when what runs, how it last ran, and who holds it back."""

import threading
from typing import TYPE_CHECKING, Annotated, Any

import typer

from duecourse.clock import At, instant, now
from duecourse.output import COULD_NOT_RUN, table
from duecourse.session import Session

if TYPE_CHECKING:
    from datetime import datetime

    from workflows.scheduling.timetable import Line

Job = Annotated[str, typer.Argument(metavar="JOB", help="as `schedule list` calls it")]
By = Annotated[str, typer.Option("--by", help="who")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="The schedule: when what runs, and how it last ran.", no_args_is_help=True)
    group.command("list")(list_)
    group.command("run")(run)
    group.command("pause")(pause)
    group.command("resume")(resume)
    app.add_typer(group, name="schedule")


def list_(context: typer.Context, at: At = None) -> None:
    """List every job: when it runs next, how it last ran, who holds it back; and which scheduler acts."""
    from rich.text import Text

    from store.lock import holder
    from workflows.scheduling.schedule import LOCK
    from workflows.scheduling.timetable import timetable

    session: Session = context.obj
    moment = instant(at)
    with session.database.session() as reading:
        lines = timetable(reading, session.workspace.schedule, moment)
    acts = holder(session.database, LOCK)
    drawn = table("job", "cron", "zone", "next", "last", "result", "took")
    for line in lines:
        drawn.add_row(*(Text(cell) for cell in _cells(line)))
    # Below the table: sentences in its last column would stand one word a line.
    notes = [f"{line.entry.name}: {note}" for line in lines for note in _notes(line)]
    acting = f"acting: {acts}" if acts else "no scheduler acts: `duecourse serve` is one"
    answer = {"acting": acts, "jobs": [as_json(line) for line in lines]}
    session.output.answer(answer, lambda console: console.print(drawn, *map(Text, (*notes, acting)), sep="\n"))


def as_json(line: "Line") -> dict[str, Any]:
    """One job as programs read it."""
    job = line.job
    return {
        "job": line.entry.name, "cron": line.entry.cron, "zone": line.entry.zone, "next_at": line.next_at,
        "overdue": line.overdue, "state": job.state if job else "new", "why": job.why if job else "",
        "by": job.by if job else "", "began_at": job.began_at if job else None, "ended_at": job.ended_at if job else None,
        "seconds": line.seconds, "done_at": job.done_at if job else None, "failures": job.failures if job else 0,
        "paused": line.pause,
    }  # fmt: skip


def _notes(line: "Line") -> list[str]:
    job, pause = line.job, line.pause
    notes = ["overdue"] if line.overdue else []
    if pause is not None:
        until = f" until {_minute(pause.until)}" if pause.until else ""
        notes.append(f"paused by {pause.by} since {_minute(pause.at)}{until}: {pause.because}")
    if job is not None and job.why:
        notes.append(job.why)
    return notes


def _cells(line: "Line") -> tuple[str, ...]:
    job, took = line.job, line.seconds
    return (
        line.entry.name, line.entry.cron, line.entry.zone, _minute(line.next_at) if line.next_at else "",
        _minute(job.began_at) if job and job.began_at else "", job.state if job else "new",
        f"{took:.1f} s" if took is not None else "",
    )  # fmt: skip


def _minute(at: "datetime") -> str:
    return f"{at:%m-%d %H:%M}Z"


def run(context: typer.Context, job: Job) -> None:
    """
    Run a job now, once, as the scheduler would; refused while another process is at it, or somebody holds it back.

    A run by hand counts: the next one is the job's next time after it.
    """
    from duecourse.jobs import Jobs
    from workflows.scheduling.job_run import run_job
    from workflows.scheduling.schedule import until_signal
    from workflows.scheduling.timetable import refuse_paused, refuse_unknown

    session: Session = context.obj
    refuse_unknown(session.workspace.schedule, job)
    refuse_paused(session.database, job, now())
    jobs, halt = Jobs(session.workspace.folder, now), threading.Event()
    try:
        with until_signal(halt):
            ran = run_job(session.database, job, jobs.run, clock=now, stop=halt.is_set)
    finally:
        jobs.close()
    counts = {name: count for name, count in sorted(ran.counts.items()) if count}
    said = ", ".join(f"{name.replace('.', ' ').replace('_', ' ')} {count:,}" for name, count in counts.items())
    text = f"{job}: {ran.state} after {ran.seconds:.1f} s" + (f": {said}" if said else "")
    answer = {"job": job, "state": ran.state, "seconds": ran.seconds, "counts": counts}
    session.output.answer(answer, lambda console: console.print(text))
    if ran.state in ("refused", "failed"):
        session.output.problems(ran.problems)
        raise typer.Exit(COULD_NOT_RUN)


def pause(
    context: typer.Context,
    job: Job,
    by: By,
    because: Annotated[str, typer.Option(help="why, for whoever finds it paused")],
    until: Annotated[str | None, typer.Option(help="goes on by itself then, e.g. 2026-03-02T09:00+08:00")] = None,
    at: At = None,
) -> None:
    """
    Hold a job back. A scheduler that runs heeds it at once: what runs of it ends at its next safe point.

    Only the schedule's runs are held back, not the commands that do the same by hand. It is kept in the log who did it.
    """
    from workflows.scheduling.timetable import pause_job

    session: Session = context.obj
    end = instant(until) if until is not None else None
    entries = session.workspace.schedule
    pause_job(session.database, entries, job, by=by, because=because, until=end, now=instant(at))
    text = f"{job}: paused" + (f" until {end:%Y-%m-%d %H:%M}Z" if end else "")
    answer = {"job": job, "paused": {"by": by, "because": because, "until": end}}
    session.output.answer(answer, lambda console: console.print(text))


def resume(
    context: typer.Context,
    job: Job,
    by: By,
    because: Annotated[str, typer.Option(help="why")] = "",
    at: At = None,
) -> None:
    """Let a paused job go on. However many of its times were missed, it runs once for them."""
    from workflows.scheduling.timetable import resume_job

    session: Session = context.obj
    moment = instant(at)
    line = resume_job(session.database, session.workspace.schedule, job, by=by, because=because, now=moment)
    missed = line.next_at is not None and line.next_at <= moment
    when = "now, for the runs that were missed" if missed else (_minute(line.next_at) if line.next_at else "")
    answer = {"job": job, "next_at": line.next_at}
    session.output.answer(answer, lambda console: console.print(f"{job}: goes on" + (f", {when}" if when else "")))
