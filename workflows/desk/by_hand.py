"""
Contacts that a person starts, sends or tells us of: through the same gate, counted by the same limits, in the same log.

Nobody's rule asks for them, so nothing but the gate judges them. Their decision is a run of its own with one row of
the log, written in one transaction with the contact, behind the locks of everybody concerned.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final, Literal

from sqlmodel import Session, col, select

from engine.decision import ActJudged, ByHand, LoanDecision, LoanOutcome
from engine.errors import DataError, Problem, SettingsError
from engine.gate import Ground, Override, Purpose
from engine.situation import Loan
from engine.strategy import PromisePolicy
from store.decisions import canonical_json
from store.fact_sql.clock import day_at
from store.outbox import bump_versions, in_other_hands, lock_versions, note
from store.tables import Contact, ContactLoan, Endpoint, MessageText, OverrideRow
from workflows.call_backs import CallBack
from workflows.deciding.run import begin_by_hand
from workflows.desk.asking import Answer, Wanted, ask
from workflows.desk.by_hand_log import arm_of, keep_by_hand
from workflows.desk.outcomes import Promised
from workflows.desk.reporting import Report, close
from workflows.desk.sayings import Learnt
from workflows.sending.door import Door, reach
from workflows.sending.second_look import Look

log = logging.getLogger(__name__)

OPEN_FOR: Final = timedelta(hours=24)
"""How long a contact by hand may wait, or an agent may have it in hand, before it has lapsed: as a rule's usual `valid_for`."""
PURPOSES: Final[tuple[Purpose, ...]] = (
    "collect", "service", "reply", "location", "discount_offer", "request_consent",
)  # fmt: skip
"""What people may say they contact somebody for: what the law owes, and so excepts, is written in rules and templates."""
_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Approval:
    """Why a presumption is set aside for one contact, where the proof is, and who agreed to it."""

    rule: str
    ground: Ground
    evidence: str
    approved_by: str

    @property
    def override(self) -> Override:
        """As the gate is told."""
        return Override(self.rule, self.ground)


@dataclass(frozen=True, slots=True)
class Text:
    """What somebody wrote themselves."""

    text: str
    language: str
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """
    What came of it.

    Attributes:
        contact: its id; None where the gate refused it, and `answer` says why.
        run: the row of the log.
        not_before: when it may leave, of a message.
        text: whom to reach and how, for the agent who started it.
    """

    answer: Answer
    run: int
    contact: str | None = None
    not_before: datetime | None = None
    text: str = ""


def start(door: Door, wanted: Wanted, *, agent: str, now: datetime, approval: Approval | None = None) -> Done:
    """
    Let an agent call, visit or write somebody themselves: if the gate allows it now, the contact is in their hands.

    Raises:
        DataError: nobody to contact, somebody has them in hand, or what was approved cannot be.
        SettingsError: nobody may be reached now.
    """
    if wanted.purpose not in PURPOSES:
        raise DataError(_purpose(wanted.purpose))
    if approval is not None:
        _refuse_approval(approval, agent)
        wanted = replace(wanted, override=approval.override)

    def write(session: Session, run: int, answer: Answer) -> Done:
        if answer.best.verdict.outcome != "allow":
            return Done(answer, run)
        _refuse_reach(door, session, answer)
        held = select(Contact).where(col(Contact.person_id) == answer.person.id, in_other_hands(agent))
        if (other := session.exec(held).first()) is not None:
            what = f"`{other.id}` reaches the same person at this moment"
            raise DataError(Problem(what, "wait until it is over, or call it off"))
        contact = _contact(answer, wanted, run, now, status="sent")
        contact.claimed_by, contact.claimed_until_at, contact.attempts = f"agent:{agent}", contact.expires_at, 1
        _add(session, contact, why=f"started by {agent}", now=now)
        if approval is not None:
            session.add(
                OverrideRow(
                    contact_id=contact.id, rule=approval.rule, ground=approval.ground, evidence=approval.evidence,
                    agent=agent, approved_by=approval.approved_by, at=now,
                )
            )  # fmt: skip
        text = door.brief(session, contact, Look("go", "", on=answer.situation.on, loan=answer.loan))
        return Done(answer, run, contact.id, now, text)

    return _through(door, wanted, write, ByHand(agent, "start", wanted.purpose, ()), now, approval=approval)


def send(
    door: Door, wanted: Wanted, text: Text | None, *, agent: str, now: datetime, within: timedelta | None = None
) -> Done:
    """
    Plan a message that somebody wrote, or a template that they chose; dispatch looks at it again and sends it.

    Args:
        text: what they wrote; None for the template that `wanted` names.
        within: how long it may wait to leave, and then to be sent; None: as long as any contact by hand.
    Raises:
        DataError: nobody to contact, or a purpose that people do not choose.
    """
    if text is not None and wanted.purpose not in PURPOSES:
        raise DataError(_purpose(wanted.purpose))
    patience = OPEN_FOR if within is None else within

    def write(session: Session, run: int, answer: Answer) -> Done:
        verdict = answer.best.verdict
        at = now if verdict.outcome == "allow" else verdict.until
        if verdict.outcome == "deny" or at is None or at >= now + patience:
            return Done(answer, run)
        contact = _contact(answer, wanted, run, now, status="planned")
        contact.not_before_at = contact.at = at
        contact.expires_at = at + patience
        _add(session, contact, why=f"written by {agent}", now=now)
        if text is not None:
            session.flush()
            session.add(
                MessageText(contact_id=contact.id, language=text.language, subject=text.subject, text=text.text)
            )
        return Done(answer, run, contact.id, at)

    return _through(door, wanted, write, ByHand(agent, "send", wanted.purpose, ()), now)


def record(
    door: Door,
    wanted: Wanted,
    outcome: str,
    *,
    direction: Literal["out", "in"],
    agent: str,
    at: datetime,
    now: datetime,
    promised: Promised | None = None,
    call_at: datetime | None = None,
    learnt: Learnt,
    live: bool = False,
) -> Done:
    """
    Write down a contact that was made without us: it happened, so it counts from now on, lawful or not.

    One of ours that the gate would have refused raises an alert, and stands in the log with its reasons.

    Args:
        at: when it was; now or before. call_at: when they want to be called.
        live: it is this moment, and not one that somebody names.
    Raises:
        DataError: nobody it could have been with, an outcome that means nothing, a promise that is not taken.
    """

    def write(session: Session, run: int, answer: Answer) -> Done:
        contact = _contact(answer, wanted, run, at, status="sent")
        contact.direction, contact.planned_at = direction, now
        if wanted.endpoint is None and len(answer.spots) > 1:
            # Which of them it was nobody said: it may have been any.
            contact.endpoint_id = None
        contact.claimed_by, contact.attempts = f"agent:{agent}", 1
        _add(session, contact, why=f"told by {agent}", now=now)
        session.flush()
        on = day_at(answer.situation.borrower.zones, at)
        news = replace(learnt, zones=answer.person.zones)
        back = CallBack(call_at, learnt.given_to, answer.person.zones) if call_at is not None else None
        policy = _policy(door, answer.loan)
        report = Report(outcome, agent, at, on, policy, door.dates, promised, news, back, live=live)
        close(session, contact, report)
        verdict = answer.best.verdict
        if direction == "out" and verdict.outcome != "allow":
            rules = [reason.rule for reason in verdict.reasons]
            extra = {"action": "alert", "contact": contact.id, "rules": rules}
            log.warning("a contact was made that the gate would have refused", extra=extra)
        return Done(answer, run, contact.id)

    asked = ByHand(agent, "record", wanted.purpose, ())
    return _through(door, wanted, write, asked, now, at=at, heard=direction == "in")


def _through(
    door: Door,
    wanted: Wanted,
    write: Callable[[Session, int, Answer], Done],
    asked: ByHand,
    now: datetime,
    *,
    at: datetime | None = None,
    heard: bool = False,
    approval: Approval | None = None,
) -> Done:
    """
    Ask, lock, see that nothing has changed since, and write the decision with what follows from it.

    Args:
        at: when a contact was made that is told of; the gate is asked about that instant.
        heard: they contacted us, so there is nothing to judge.
    """
    for _ in range(_TRIES):
        answer = ask(door, wanted, at or now, anyway=at is not None)
        with door.database.write() as session:
            current = lock_versions(session, answer.seen)
            if any(current.get(person) != version for person, version in answer.seen.items()):
                continue
            run = begin_by_hand(session, door.rulebook.strategies, door.gate, now=now)
            done = write(session, run.id, answer)
            acts = () if heard else tuple(_judged(answer, wanted, done.not_before))
            asked = replace(asked, acts=acts, contact=done.contact)
            if approval is not None:
                asked = replace(asked, override=approval.override, approved_by=approval.approved_by)
            decided = _decided(answer, asked, heard=heard)
            asks = [spot.ask for spot in answer.spots if spot.ask is not None and not heard]
            keep_by_hand(session, run.id, answer.situation, answer.loan, answer.chunk, decided, asks, now=now)
            if done.contact is not None:
                bump_versions(session, answer.seen.keys())
            return done
    what = f"something about loan `{wanted.loan}` changed at this very moment"
    raise DataError(Problem(what, "try again"))


def _judged(answer: Answer, wanted: Wanted, at: datetime | None) -> list[ActJudged]:
    """Each number or address with its answer; `at`: when the first of them is used."""
    return [
        ActJudged(
            answer.person.id, answer.role, wanted.channel, spot.endpoint.id if spot.endpoint else None, spot.verdict,
            at if number == 0 else None, later=spot.verdict.until,
        )
        for number, spot in enumerate(answer.spots)
    ]  # fmt: skip


def _decided(answer: Answer, asked: ByHand, *, heard: bool) -> LoanDecision:
    verdict = answer.best.verdict
    outcome: LoanOutcome = "withheld" if verdict.outcome == "deny" else "wait"
    if asked.contact is not None:
        outcome = "recorded" if asked.what == "record" else "contact"
    stage = answer.loan.stage
    return LoanDecision(
        loan=answer.loan.id,
        strategy=None,
        arm=arm_of(answer.loan),
        stage_before=stage,
        stage_after=stage,
        outcome=outcome,
        rule=None,
        moves=(),
        candidates=(),
        contacts=(),
        next_look=verdict.until if outcome == "wait" and not heard else None,
        by_hand=asked,
    )


def _contact(answer: Answer, wanted: Wanted, run: int, at: datetime, *, status: str) -> Contact:
    endpoint, loan = answer.best.endpoint, answer.loan
    contact_id = f"{run}-{loan.id}-0"
    return Contact(
        id=contact_id,
        run_id=run,
        loan_id=loan.id,
        person_id=answer.person.id,
        role=answer.role,
        endpoint_id=endpoint.id if endpoint is not None else None,
        channel=wanted.channel,
        purpose=wanted.purpose,
        name=wanted.name,
        stage_entry=loan.stage_entry,
        slot=f"by-hand:{contact_id}",
        period_json=canonical_json(dict(loan.periods)),
        status=status,
        planned_at=at,
        not_before_at=at,
        expires_at=at + OPEN_FOR,
        at=at,
    )


def _add(session: Session, contact: Contact, *, why: str, now: datetime) -> None:
    session.add(contact)
    session.flush()
    session.add(ContactLoan(contact_id=contact.id, loan_id=contact.loan_id))
    note(session, contact, at=now, why=why, made=True)


def _policy(door: Door, loan: Loan) -> PromisePolicy:
    names = door.matcher.strategies(loan)
    return door.rulebook.strategies[names[0]].promise if len(names) == 1 else PromisePolicy()


def _refuse_reach(door: Door, session: Session, answer: Answer) -> None:
    reached = reach(door, session)
    endpoint = answer.best.endpoint
    value = session.get_one(Endpoint, endpoint.id).value if endpoint is not None else None
    if not reached.covers(value):
        what = "this database is not production, and the number or address is not on the allow list"
        raise SettingsError(Problem(what, "name it in `allow_list`, or run `duecourse db environment production`"))


def _refuse_approval(approval: Approval, agent: str) -> None:
    if approval.approved_by == agent:
        raise DataError(Problem(f"`{agent}` cannot approve their own override", "somebody else has to agree"))
    if not approval.evidence.strip():
        raise DataError(Problem("an override needs its evidence", "say where the proof is: `--evidence REF`"))


def _purpose(purpose: str) -> Problem:
    return Problem(f"`{purpose}` is no purpose that a person chooses", f"use one of {', '.join(PURPOSES)}")
