"""What waits in the queues as people see it: what to do, about which loan, why, and until when it is worth doing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from engine.rulebook import Rulebook
from store.outbox import tasks as are_tasks
from store.tables import Contact, DecisionRow
from store.timeline import loan_refs
from workflows.call_backs import is_call_back
from workflows.deciding.allotment import Queue
from workflows.desk.tasks import waiting


@dataclass(frozen=True, slots=True)
class Listed:
    """
    One task. Ids only: who is meant is shown to whoever takes it.

    Attributes:
        script: the template that is read or followed.
        reason: the rule, and why it asks. hands: whose it is now; empty: nobody's.
        skills: what whoever takes it must be able to do, as its queue's file says.
        since: from when it could be taken. due: when it lapses.
    """

    task: str
    queue: str
    channel: str
    script: str
    loan: str
    since: datetime
    due: datetime
    rule: str
    reason: str
    hands: str
    skills: tuple[str, ...] = ()


def task_list(
    session: Session, rulebook: Rulebook, queues: Mapping[str, Queue], *, queue: str | None, now: datetime
) -> list[Listed]:
    """What waits in a queue, or in all of them, in the order in which it is taken."""
    tasks = waiting(session, queue=queue, now=now)
    refs = loan_refs(session, (task.loan_id for task in tasks))
    strategies = _strategies(session)
    return [
        Listed(
            task.id, task.queue or task.channel, task.channel, task.name, refs[task.loan_id],
            max(task.at, task.not_before_at), task.expires_at, task.rule or "",
            _reason(task, rulebook, strategies.get(task.id)), _hands(task),
            _skills(queues.get(task.queue or task.channel)),
        )
        for task in tasks
    ]  # fmt: skip


def _skills(queue: Queue | None) -> tuple[str, ...]:
    return queue.skills if queue is not None else ()


def _strategies(session: Session) -> dict[str, str | None]:
    decided = select(Contact.id, DecisionRow.strategy).where(
        col(Contact.run_id) == col(DecisionRow.run_id),
        col(Contact.loan_id) == col(DecisionRow.loan_id),
        col(Contact.status) == "sent",
        are_tasks(),
    )
    return dict(session.exec(decided).all())


def _reason(task: Contact, rulebook: Rulebook, name: str | None) -> str:
    if is_call_back(task):
        return f"{task.kept_for} promised to call back"
    strategy = rulebook.strategies.get(name or "")
    rule = strategy.rule(task.rule) if strategy is not None and task.rule is not None else None
    return rule.because if rule is not None else ""


def _hands(task: Contact) -> str:
    kind, _, name = (task.claimed_by or "").partition(":")
    return name if kind == "agent" else f"{kind} {name}".strip()
