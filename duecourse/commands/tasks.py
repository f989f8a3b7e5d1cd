"""`duecourse tasks ...`: what waits for people, who takes the next one, and what came of it."""

from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Annotated

import typer

from duecourse.clock import At, instant, now
from duecourse.session import Session
from engine.errors import Problem, SettingsError, unknown_name

if TYPE_CHECKING:
    from workflows.tasks import Promised


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Calls, visits, letters and filings that wait for people.", no_args_is_help=True)
    group.command("list")(list_tasks)
    group.command("next")(next_task)
    group.command("outcome")(outcome)
    app.add_typer(group, name="tasks")


def list_tasks(
    context: typer.Context, queue: Annotated[str | None, typer.Option(help="only this queue")] = None, at: At = None
) -> None:
    """List what is waiting, by queue, oldest hand-over first."""
    from rich.table import Table
    from rich.text import Text

    from store.timeline import loan_refs
    from workflows.tasks import waiting

    session: Session = context.obj
    with session.database.session() as reading:
        tasks = waiting(reading, queue=queue, now=instant(at))
        refs = loan_refs(reading, (t.loan_id for t in tasks))
    rows = [
        {
            "task": t.id,
            "queue": t.queue or t.channel,
            "channel": t.channel,
            "script": t.name,
            "loan": refs[t.loan_id],
            "since": t.at,
        }
        for t in tasks
    ]
    table = Table("task", "queue", "channel", "script", "loan", "since", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(str(value)) for value in (*list(row.values())[:5], f"{row['since']:%Y-%m-%d %H:%M}Z")))
    session.output.answer(rows, lambda console: console.print(table if rows else "nothing is waiting"))


def next_task(
    context: typer.Context,
    queue: Annotated[str, typer.Argument()],
    agent: Annotated[str, typer.Option(help="who takes it", envvar="DUECOURSE_AGENT")],
    at: At = None,
) -> None:
    """Take the next task of a queue, with its script filled in; it is yours until you report what came of it."""
    from store.outbox import TASK_CHANNELS

    session: Session = context.obj
    known = (*session.workspace.queues, *TASK_CHANNELS)
    if queue not in known:
        mend = "`config/queues.yaml` lists the queues there are"
        raise SettingsError(unknown_name("queue", queue, known, at=None, otherwise=mend))
    handed = session.works.take_next(queue, agent, session.rehearsed(at))
    if handed is None:
        session.output.answer(None, lambda console: console.print(f"nothing is waiting in {queue}"))
        return
    task = handed.contact
    answer = {"task": task.id, "channel": task.channel, "script": task.name, "text": handed.text}

    session.output.answer(
        answer, lambda console: console.print(f"{task.id}  {task.channel}  {task.name}\n\n{handed.text}", markup=False)
    )


def outcome(
    context: typer.Context,
    task: Annotated[str, typer.Argument()],
    result: Annotated[str, typer.Option("--outcome", help="e.g. no_answer, conversation, promise, wrong_number")],
    agent: Annotated[str, typer.Option(help="who worked it", envvar="DUECOURSE_AGENT")],
    amount: Annotated[str | None, typer.Option(help="amount promised, e.g. 1200.50")] = None,
    due: Annotated[str | None, typer.Option(help="day promised, e.g. 2026-03-09")] = None,
    at: At = None,
) -> None:
    """Close a task with what came of it. `--outcome not_tried` gives it back."""
    session: Session = context.obj
    now = _happened(at)
    _, _, _, _, currency = session.works.task_place(task, now)
    session.works.record_outcome(task, result, agent=agent, now=now, promised=_promised(amount, due, currency))
    session.output.answer({"task": task, "outcome": result}, lambda console: console.print(f"{task}: {result}"))


def _happened(at: str | None) -> datetime:
    happened = instant(at)
    if at is not None and happened > now():
        raise SettingsError(Problem(f"`{at}` has not come yet", "write when it happened, or leave `--at` out"))
    return happened


def _promised(amount: str | None, due: str | None, currency: str) -> "Promised | None":
    from duecourse.money import minor
    from workflows.tasks import Promised

    if amount is None and due is None:
        return None
    if amount is None or due is None:
        raise SettingsError(Problem("a promise needs its amount and day", "write `--amount 500 --due 2026-03-09`"))
    try:
        value = Decimal(amount)
    except InvalidOperation:
        value = Decimal("nan")
    if not value.is_finite():
        raise SettingsError(Problem(f"`{amount}` is no amount", "write it like `1200.50`"))
    try:
        return Promised(minor(value, currency), date.fromisoformat(due))
    except ValueError:
        raise SettingsError(Problem(f"`{due}` is no day", "write it like `2026-03-09`")) from None
