"""What people report and pass on, bound to a workspace: what came of a task, what somebody wrote, a stage that changes."""

from dataclasses import replace
from datetime import date, datetime
from typing import Final

from duecourse.wiring import Works
from engine.errors import DataError, Problem
from engine.gate import Channel, Purpose, Role
from engine.situation import Situation
from engine.stages import Stage
from engine.strategy import PromisePolicy
from store.matters import People
from store.outbox import is_task
from store.tables import Contact, Loan, StageChange
from workflows.call_backs import CallBack
from workflows.deciding.decide import fresh_situations
from workflows.desk import moving, reporting
from workflows.desk.asking import Wanted, address
from workflows.desk.outcomes import Promised
from workflows.desk.proofs import Proven
from workflows.desk.reporting import OfBatch, Report, no_task
from workflows.desk.sayings import NOTHING_LEARNT, Learnt, given_to
from workflows.desk.tasks import call_off
from workflows.inbox import replies
from workflows.inbox.replies import Answering, Reply, Taken, endpoint_of
from workflows.inbox.reply_words import Meaning

ANSWERS: Final[tuple[Purpose, ...]] = ("opt_out_confirmation", "reply")
"""What a reply is answered for, where there is a template of that purpose."""


def task_place(works: Works, contact_id: str, now: datetime) -> tuple[PromisePolicy, date, Situation, Contact, str]:
    """
    What closing or briefing a task needs: the promise policy, today there, the situation, the task, the currency.

    Raises:
        DataError: there is no such task.
    """
    with works.database.session() as session:
        contact = session.get(Contact, contact_id)
        if contact is None or not is_task(contact):
            raise DataError(no_task(contact_id))
        loan = session.get_one(Loan, contact.loan_id)
        session.expunge_all()
    situation = fresh_situations(works.database, works.reader, [loan.borrower_id], now)[loan.borrower_id].situation
    strategy = works.strategy_of(situation, contact.loan_id)
    return (
        strategy.promise if strategy is not None else PromisePolicy(),
        situation.on,
        situation,
        contact,
        loan.currency,
    )


def record_outcome(
    works: Works,
    contact_id: str,
    outcome: str,
    *,
    agent: str,
    now: datetime,
    promised: Promised | None = None,
    learnt: Learnt = NOTHING_LEARNT,
    call_at: datetime | None = None,
    proof: Proven | None = None,
    batch: OfBatch | None = None,
    live: bool = False,
) -> None:
    """
    Close a task with what came of it; raises DataError like `workflows.desk.reporting.record_outcome`.

    Args:
        call_at: when they want to be called.
        batch: the batch it went out with, where no agent had it in hand.
        live: it is reported at the moment, and `now` is not what somebody says of it.
    """
    with works.database.session() as session:
        contact = session.get(Contact, contact_id)
        if contact is None or not is_task(contact):
            raise DataError(no_task(contact_id))
        borrower = session.get_one(Loan, contact.loan_id).borrower_id
        where = People(session)
        where.read({borrower, contact.person_id}, {contact.loan_id})
        session.expunge_all()
    on, zones = where.place(borrower).day(now), where.place(contact.person_id).zones
    # What the strategy accepts takes fresh facts to find, and only a promise asks for it.
    policy = task_place(works, contact_id, now)[0] if promised is not None else PromisePolicy()
    whom = given_to(works.workspace.settings.actor)
    report = Report(
        outcome, agent, now, on, policy, works.workspace.pack_dates, promised,
        replace(learnt, given_to=whom, zones=zones), CallBack(call_at, whom, zones) if call_at is not None else None,
        proof, batch, works.notice_of(contact), live,
    )  # fmt: skip
    reporting.record_outcome(works.database, contact_id, report)


def take_reply(
    works: Works,
    loan: str,
    channel: Channel,
    text: str,
    key: str,
    *,
    role: Role | None,
    person: str | None,
    endpoint: int | None,
    at: datetime,
    dated: bool = False,
    now: datetime | None = None,
    source: str = "hand",
    heard: Meaning | None = None,
    confirm: bool = True,
) -> Taken:
    """
    Take in a message that somebody sent us.

    Args:
        at: when they did; dated: as somebody says who writes it down later.
        now: when it is answered, where that is not at once.
        source, heard: who brought it, and what they understood.
        confirm: whether a stop is confirmed, if it may be; not where whoever brought it has done so.
    Raises:
        DataError: like `workflows.desk.asking.address`.
    """
    found = address(works.door, Wanted(loan, channel, role, person), at)
    known = [one.id for one in found.person.endpoints]
    if endpoint is not None and endpoint not in known:
        what = f"`{endpoint}` is no number or address of theirs"
        raise DataError(Problem(what, "`duecourse endpoints list` shows their ids"))
    spot = endpoint if endpoint is not None else endpoint_of(found.person.endpoints, channel)
    answers = {
        purpose: Answering(template.name, works.texts.template(template.name, channel, found.situation.on).content)
        for purpose in ANSWERS
        if (confirm or purpose != "opt_out_confirmation")
        and (template := works.texts.for_purpose(purpose, channel)) is not None
    }
    reply = Reply(channel, text, at, key, source, spot, heard, dated)
    return replies.take_reply(works.door, found, reply, now=now or at, answers=answers)


def move_loan(
    works: Works, borrower_id: int, loan_id: int, target: Stage, *, by: str, reason: str, now: datetime
) -> StageChange:
    """Change a loan's stage because a person says so, and call off the tasks that nothing asks for any more."""
    change = moving.move_loan(works.door, borrower_id, loan_id, target, by=by, reason=reason, now=now)
    call_off(works.door, now=now, borrowers=[borrower_id])
    return change
