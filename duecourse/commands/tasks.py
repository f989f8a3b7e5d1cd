"""`duecourse tasks ...`: what waits for people, who takes the next one, and what came of it."""

from typing import TYPE_CHECKING, Annotated

import typer

from duecourse.clock import At, instant
from duecourse.output import table
from duecourse.reports import Amount, CallAt, Due, Mark, Proof, Said, With, called_at, happened, learnt_of, promised_of
from duecourse.session import Session
from engine.errors import SettingsError, unknown_name

if TYPE_CHECKING:
    from workflows.desk.tasks import Handed

Agent = Annotated[str, typer.Option(help="who takes it", envvar="DUECOURSE_AGENT")]


def register(app: typer.Typer) -> None:
    """Add the command group."""
    group = typer.Typer(help="Calls, visits, letters and filings that wait for people.", no_args_is_help=True)
    group.command("list")(list_tasks)
    group.command("next")(next_task)
    group.command("start")(start)
    group.command("outcome")(outcome)
    group.command("outcomes")(outcomes)
    app.add_typer(group, name="tasks")


def list_tasks(
    context: typer.Context, queue: Annotated[str | None, typer.Option(help="only this queue")] = None, at: At = None
) -> None:
    """List what is waiting in the order in which it is taken: promised call-backs, then as the queue ranks."""
    from rich.text import Text

    from workflows.desk.task_list import task_list

    session: Session = context.obj
    if queue is not None:
        known_queue(session, queue)
    with session.database.session() as reading:
        workspace = session.workspace
        listed = task_list(reading, workspace.rulebook, workspace.queues, queue=queue, now=instant(at))
    # Of most queues nothing is asked for.
    needs = ("needs",) if any(task.skills for task in listed) else ()
    drawn = table("task", "queue", *needs, "script", "loan", "since", "until", "with", "why")
    for task in listed:
        times = (f"{when:%m-%d %H:%M}Z" for when in (task.since, task.due))
        skills = (", ".join(task.skills),) if needs else ()
        cells = (task.task, task.queue, *skills, task.script, task.loan, *times, task.hands, task.reason)
        drawn.add_row(*map(Text, cells))
    session.output.answer(listed, lambda console: console.print(drawn if listed else "nothing is waiting"))


def next_task(
    context: typer.Context,
    queue: Annotated[str, typer.Argument()],
    agent: Agent,
    together: With = None,
    at: At = None,
) -> None:
    """Take the next task of a queue, with its script filled in; it is yours until you report what came of it."""
    from workflows.desk.tasks import take_next

    session: Session = context.obj
    known_queue(session, queue)
    works, now = session.works, session.rehearsed(at)
    handed = take_next(works.door, queue=queue, agent=agent, now=now, together=together or ())
    if handed is None:
        session.output.answer(None, lambda console: console.print(f"nothing is waiting in {queue}"))
        return
    _show(session, handed)


def start(
    context: typer.Context,
    task: Annotated[str, typer.Argument()],
    agent: Agent,
    together: With = None,
    at: At = None,
) -> None:
    """Begin one task now, yours or a free one: it is looked at again, and the gate asked."""
    from workflows.desk.tasks import start_task

    session: Session = context.obj
    works, now = session.works, session.rehearsed(at)
    _show(session, start_task(works.door, task, agent=agent, now=now, together=together or ()))


def outcome(
    context: typer.Context,
    task: Annotated[str, typer.Argument()],
    result: Annotated[str, typer.Option("--outcome", help="as `tasks outcomes` lists them, e.g. no_answer")],
    agent: Annotated[str, typer.Option(help="who worked it", envvar="DUECOURSE_AGENT")],
    amount: Amount = None,
    due: Due = None,
    call_at: CallAt = None,
    said: Said = None,
    mark: Mark = None,
    proof: Proof = None,
    together: With = None,
    at: At = None,
) -> None:
    """Close a task with what came of it. `--outcome not_tried` gives it back."""
    from duecourse.clock import now as this_moment
    from duecourse.people import record_outcome, task_place
    from workflows.desk.proofs import proof_of
    from workflows.desk.sayings import given_to

    session: Session = context.obj
    now = happened(at)
    _, _, _, _, currency = task_place(session.works, task, now)
    promised, learnt = promised_of(amount, due, currency), learnt_of(said, mark, given_to(session.settings.actor))
    people = (agent, *(together or ()))
    proven = proof_of(proof, people=people, recorded_at=this_moment()) if proof is not None else None
    record_outcome(
        session.works,
        task,
        result,
        agent=agent,
        now=now,
        promised=promised,
        learnt=learnt,
        call_at=called_at(call_at),
        proof=proven,
        live=at is None,
    )
    answer = {"task": task, "outcome": result, "proof": proven.digest if proven is not None else None}
    shown = f"; proof {proven.digest[:16]}" if proven is not None else ""
    session.output.answer(answer, lambda console: console.print(f"{task}: {result}{shown}"))


def outcomes(
    context: typer.Context, channel: Annotated[str | None, typer.Argument(help="call, visit, letter or legal")] = None
) -> None:
    """List what can be reported, what each counts as, and what follows from it."""
    from rich.text import Text

    from workflows.desk.outcome_file import TASKS, outcomes

    session: Session = context.obj
    if channel is not None and channel not in TASKS:
        raise SettingsError(
            unknown_name("kind of task", channel, TASKS, at=None, otherwise=f"one of {', '.join(TASKS)}")
        )
    zh = session.workspace_or_shipped.settings.language == "zh"
    known = {name: found for name, found in outcomes().items() if channel in (None, name)}
    drawn = table("channel", "outcome", "counts as", "then", "meaning")
    for name, found in known.items():
        for word, one in found.items():
            drawn.add_row(*map(Text, (name, word, one.counts, one.effect or "", one.zh if zh else one.en)))
    session.output.answer(known, lambda console: console.print(drawn))


def known_queue(session: Session, queue: str) -> None:
    """
    Refuse a queue that there is not.

    Raises:
        SettingsError: with the name that was probably meant.
    """
    from store.outbox import TASK_CHANNELS

    known = (*session.workspace.queues, *TASK_CHANNELS)
    if queue not in known:
        mend = "`config/queues.yaml` lists the queues there are"
        raise SettingsError(unknown_name("queue", queue, known, at=None, otherwise=mend))


def _show(session: Session, handed: "Handed") -> None:
    task = handed.contact
    answer = {"task": task.id, "channel": task.channel, "script": task.name, "text": handed.text}
    head = f"{task.id}  {task.channel}  {task.name}".rstrip()
    session.output.answer(answer, lambda console: console.print(f"{head}\n\n{handed.text}", markup=False))
