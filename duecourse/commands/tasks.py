"""`duecourse tasks ...`: what waits for people, who takes the next one, and what came of it."""

from typing import Annotated

import typer

from duecourse.clock import At, instant
from duecourse.reports import Amount, Due, Mark, Said, happened, learnt_of, promised_of
from duecourse.session import Session
from engine.errors import SettingsError, unknown_name


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
    amount: Amount = None,
    due: Due = None,
    said: Said = None,
    mark: Mark = None,
    at: At = None,
) -> None:
    """Close a task with what came of it. `--outcome not_tried` gives it back."""
    from workflows.sayings import given_to

    session: Session = context.obj
    now = happened(at)
    _, _, _, _, currency = session.works.task_place(task, now)
    promised, learnt = promised_of(amount, due, currency), learnt_of(said, mark, given_to(session.settings.actor))
    session.works.record_outcome(task, result, agent=agent, now=now, promised=promised, learnt=learnt)
    session.output.answer({"task": task, "outcome": result}, lambda console: console.print(f"{task}: {result}"))
