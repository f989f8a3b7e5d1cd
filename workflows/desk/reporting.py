"""What people report of their contacts, written down with everything that follows from it; all of it or nothing."""

from dataclasses import dataclass
from datetime import date, datetime

from sqlmodel import Session

from compliance import PackDates
from engine.errors import DataError, Problem, unknown_name
from engine.strategy import PromisePolicy
from store.db import Database
from store.outbox import ROW, bump_versions, is_by_hand, is_task, lock_versions, move, note
from store.tables import BatchItem, Contact
from workflows.call_backs import CallBack, promise_call_back, refuse_call_back
from workflows.desk.outcome_file import Outcome, outcomes
from workflows.desk.outcomes import LATE_NEWS, MESSAGE_OUTCOMES, Promised, add_promise, follow, refuse_promise
from workflows.desk.proofs import Proven, keep_proof
from workflows.desk.sayings import NOTHING_LEARNT, Learnt, hear
from workflows.sending.aftermath import add_event, concerned


@dataclass(frozen=True, slots=True)
class OfBatch:
    """
    The batch that a task went out with, and what its file said of the task, which is kept beside it."""

    kind: str
    id: int
    row: str = "{}"

    @property
    def holder(self) -> str:
        """Whose hands its tasks are in, as `claimed_by` says it: `dialler:7`."""
        return f"{self.kind}:{self.id}"


@dataclass(frozen=True, slots=True)
class Report:
    """
    What somebody reports.

    Attributes:
        at: when it happened; on: that day at the borrower's place.
        policy: what the loan's strategy accepts as a promise.
        dates: say from when a notice is in force. notice: the duty that the contact's rule gives evidence for, if any.
        learnt: what else was said or found out.
        call_back: when they want to be called.
        proof: what shows that it was so.
        batch: the batch it was in; None: a person reports of what they have in hand.
        live: `at` is the moment of reporting, and not one that somebody names.
    """

    outcome: str
    agent: str
    at: datetime
    on: date
    policy: PromisePolicy
    dates: PackDates
    promised: Promised | None = None
    learnt: Learnt = NOTHING_LEARNT
    call_back: CallBack | None = None
    proof: Proven | None = None
    batch: OfBatch | None = None
    notice: str | None = None
    live: bool = False


def record_outcome(database: Database, contact_id: str, report: Report) -> None:
    """
    Close a task with what came of it, and do what follows from that; all of it or nothing.

    Raises:
        DataError: no such task, it is closed already or in somebody else's hands, an unknown outcome, a promise
            that the policy does not allow, a call-back at no such time.
    """
    with database.write() as session:
        contact = session.get(Contact, contact_id)
        if contact is None or not is_task(contact):
            raise DataError(no_task(contact_id))
        people = concerned(session, contact)
        lock_versions(session, people)
        session.refresh(contact, with_for_update=ROW)
        close(session, contact, report)
        bump_versions(session, people)


def close(session: Session, contact: Contact, report: Report) -> None:
    """
    The same in the caller's transaction, which has locked everybody concerned and bumps their versions.

    Raises:
        DataError: as `record_outcome`.
    """
    promised, outcome = report.promised, report.outcome
    meaning = _meaning(contact, report)
    if (meaning.effect == "promise") != (promised is not None):
        what = "a promise needs its amount and day" if promised is None else f"`{outcome}` takes no amount and day"
        raise DataError(Problem(what, "write `--outcome promise --amount 500 --due 2026-03-09`"))
    if (meaning.effect == "call_back") != (report.call_back is not None):
        what = "a call-back needs its time" if report.call_back is None else f"`{outcome}` takes no time to call back"
        raise DataError(Problem(what, "write `--outcome call_back --call-at 2026-03-09T15:00+08:00`"))
    if meaning.effect == "give_back" and (report.learnt or report.proof):
        what = f"`{outcome}` says that nobody was reached, and something was learnt"
        raise DataError(Problem(what, "report what came of the contact"))
    if promised is not None:
        refuse_promise(promised, report.policy, report.on)
        add_promise(session, contact, promised, on=report.on, now=report.at)
    if report.call_back is not None:
        refuse_call_back(report.call_back, report.at)
        promise_call_back(session, contact, report.call_back, agent=report.agent, now=report.at, live=report.live)
    _close(session, contact, report, meaning)
    if report.batch is not None:
        # In the same transaction: a report that is taken twice is known by it.
        item = session.get_one(BatchItem, (report.batch.id, contact.id))
        item.result_json = report.batch.row
        session.add(item)
    if report.proof is not None:
        keep_proof(session, contact, report.proof, at=report.at)
    if meaning.effect != "give_back":
        follow(
            session, contact, meaning.effect, agent=report.agent, notice=report.notice, dates=report.dates, on=report.on,
            now=report.at,
        )  # fmt: skip
        hear(session, contact, report.learnt, agent=report.agent, now=report.at, live=report.live)
        _tell(session, contact, outcome, meaning, report.at)


def no_task(contact_id: str) -> Problem:
    """What is said of a task that is not there."""
    return Problem(f"no task `{contact_id}`", "`duecourse tasks list` shows what is waiting")


def _meaning(contact: Contact, report: Report) -> Outcome:
    outcome = report.outcome
    known = outcomes().get(contact.channel) or MESSAGE_OUTCOMES[contact.channel]
    if outcome not in known:
        mend = f"use one of {', '.join(known)}"
        raise DataError(unknown_name(f"{contact.channel} outcome", outcome, known, at=None, otherwise=mend))
    meaning = known[outcome]
    late = (contact.outcome, outcome) in LATE_NEWS
    if contact.status not in ("sent", "unknown") and not late:
        said = f": {contact.outcome}" if contact.outcome else ""
        what = f"task `{contact.id}` is {contact.status} already{said}"
        raise DataError(Problem(what, "an outcome is reported once; look at `duecourse loan` for what was said"))
    # Whoever had the whole batch knows that nobody tried; somebody who was interrupted does not say so afterwards.
    surely = meaning.effect == "give_back" and report.batch is not None
    if contact.status == "unknown" and meaning.status not in ("delivered", "failed") and not surely:
        what = f"task `{contact.id}` was called off while somebody had it in hand"
        raise DataError(Problem(what, "say what came of it, if it was tried"))
    if contact.claimed_by not in (None, report.batch.holder if report.batch else f"agent:{report.agent}"):
        raise DataError(in_hands(contact))
    return meaning


def in_hands(contact: Contact) -> Problem:
    """What is said when a task is somebody else's."""
    kind, _, name = (contact.claimed_by or "").partition(":")
    if kind == "dialler":
        mend = "bring in the dialler's results: `duecourse dialler import`"
        return Problem(f"task `{contact.id}` is in batch {name} of the dialler", mend)
    if kind == "print":
        mend = f"say what became of the batch: `duecourse letters confirm {name}`"
        return Problem(f"task `{contact.id}` is in print batch {name}", mend)
    mend = "let them report, or give it back with `--outcome not_tried`"
    return Problem(f"task `{contact.id}` is in the hands of {name}", mend)


def _close(session: Session, contact: Contact, report: Report, meaning: Outcome) -> None:
    outcome, agent, now = report.outcome, report.agent, report.at
    detail = {"outcome": outcome}
    if meaning.effect == "give_back" and is_by_hand(contact):
        # No rule asks for it, so nobody else takes it.
        move(session, contact, "cancelled", at=now, why=f"{agent}: {outcome}", detail=detail)
        return
    if meaning.effect == "give_back":
        if contact.status == "unknown":
            move(session, contact, "sent", at=now, why=f"{agent}: {outcome}", detail=detail, outcome="")
        contact.claimed_by = contact.claimed_until_at = None
        contact.attempts, contact.outcome = 0, ""
        session.add(contact)
        note(session, contact, at=now, why=f"given back by {agent}", detail=detail)
        return
    if meaning.effect in ("wrong_person", "bad_endpoint"):
        # A call to somebody else is no contact with this person: what limits count must not hold it against them.
        contact.misdirected = meaning.effect == "wrong_person"
    why, logged = f"{agent}: {outcome}", meaning.logged
    if contact.status == meaning.status or not move(
        session, contact, meaning.status, at=now, why=why, detail=detail, outcome=logged, for_at=now
    ):
        # Late news of a letter: what is over stays over, and what is known of it grows.
        contact.outcome = logged
        note(session, contact, at=now, why=why, detail=detail)
    contact.claimed_by = contact.claimed_until_at = None
    session.add(contact)


def _tell(session: Session, contact: Contact, outcome: str, meaning: Outcome, now: datetime) -> None:
    usual = "reply" if contact.direction == "in" else "call_outcome"
    kind = {"promise": "promise_made", "dispute": "dispute"}.get(meaning.effect or "", usual)
    if contact.channel == "letter" and meaning.effect == "bad_endpoint":
        kind = "delivery_failed"
    detail = {"channel": contact.channel, "outcome": outcome}
    add_event(session, contact, kind, now, source="tasks", key=f"{contact.id}:{outcome}", detail=detail)
