"""The one place where everything meets: a workspace, its book, the rules, the law, and the ways out."""

import asyncio
import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any, Final
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from channels.paper import Press
from compliance import BulkGate
from duecourse.audit import Kept, keep_log
from duecourse.compose import Composer
from duecourse.providers import outward
from duecourse.texts import Texts
from duecourse.workspace import Workspace
from engine.errors import DataError, DuecourseError, Problem
from engine.gate import Channel, Purpose, Role
from engine.matching import InterpreterMatcher, Matcher
from engine.situation import Situation
from engine.stages import Stage
from engine.strategy import PromisePolicy, Strategy
from store.db import Database
from store.lock import Busy
from store.matters import People
from store.outbox import is_task
from store.situations import Happened
from store.tables import Contact, DecisionRow, Loan, StageChange
from workflows.asking import Wanted, address
from workflows.brake import apply_brake
from workflows.call_backs import CallBack
from workflows.chunk import ChunkReader
from workflows.completeness import match
from workflows.decide import Decided, decide_borrowers, fresh_situations
from workflows.dispatch import dispatch
from workflows.door import Dispatched, Door, Outward
from workflows.duties import keep_duties
from workflows.entry import enter_book
from workflows.events import Handled, handle_events
from workflows.fate import Evidence
from workflows.law_impact import Heard
from workflows.letters import Shop
from workflows.moving import move_loan
from workflows.outcomes import Promised
from workflows.privacy.due import erase_over
from workflows.promises import Terms, check_promises, promises_to_judge
from workflows.proofs import Proven
from workflows.replies import Answering, Reply, Taken, endpoint_of, take_reply
from workflows.reply_words import Meaning
from workflows.reporting import OfBatch, Report, no_task, record_outcome
from workflows.sayings import NOTHING_LEARNT, Learnt, given_to
from workflows.second_look import Look, is_stale
from workflows.sweep import SweepResult, plan_sweep, sweep
from workflows.tasks import Handed, call_off, start_task, take_next
from workflows.tidy import tidy_inbox

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]

ANSWERS: Final[tuple[Purpose, ...]] = ("opt_out_confirmation", "reply")
"""What a reply is answered for, where there is a template of that purpose."""


log = logging.getLogger(__name__)


def _never() -> bool:
    return False


def _unseen(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass
class Works:
    """A workspace and its open book, with every workflow bound to them."""

    workspace: Workspace
    database: Database
    outward: Outward | None = None
    """Where messages leave; by default the providers of the settings."""

    @cached_property
    def reader(self) -> ChunkReader:
        """Reads facts for a few borrowers."""
        return ChunkReader(self.workspace.rulebook, actor=self.workspace.settings.actor)

    @cached_property
    def matcher(self) -> Matcher:
        """The live target: what decides when something happens."""
        from engine.matching import LiveMatcherSet

        return LiveMatcherSet(self.workspace.rulebook.strategies)

    @cached_property
    def door(self) -> Door:
        """The one door out."""
        composer = self._composer

        def brief(session: Session, contact: Contact, look: Look) -> str:
            if look.loan is None or look.on is None:
                raise AssertionError("a look that lets a task through knows its loan and its day")
            return composer.brief(session, contact, look.loan.facts, look.on)

        return Door(
            database=self.database,
            rulebook=self.workspace.rulebook,
            gate=self.workspace.gate,
            matcher=InterpreterMatcher(self.workspace.rulebook.strategies),
            situations=lambda borrowers, now: fresh_situations(self.database, self.reader, borrowers, now),
            compose=composer.message,
            brief=brief,
            dates=self.workspace.pack_dates,
            outward=self.outward or outward(self.workspace),
            said=self.texts.of_contact,
            queues=self.workspace.queues,
            worker=f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}",
        )

    @cached_property
    def texts(self) -> Texts:
        """What texts say, as far as the packs ask."""
        return Texts(self.workspace)

    @cached_property
    def _composer(self) -> Composer:
        settings = self.workspace.settings
        return Composer(self.workspace.templates, settings.lender, settings.language, settings.listen.public_url)

    def enter(self, now: datetime) -> Mapping[str, int]:
        """Place imported loans in the stages where they start."""
        settings = self.workspace.settings
        return enter_book(
            self.database,
            self.workspace.rulebook,
            self.workspace.gate,
            now=now,
            loans_per_chunk=settings.loans_per_chunk,
            actor=settings.actor,
            reader=self.reader,
        )

    def sweep(
        self, now: datetime, progress: Progress, *, plan: bool = False, stop: Stop = _never
    ) -> tuple[SweepResult, str | None]:
        """
        Decide the whole book, and call off the tasks that nothing asks for any more.

        Returns:
            what it did, and why the brake went on, if it did.
        """
        workspace, settings = self.workspace, self.workspace.settings
        options = self._sweep_options(now, progress)
        # For one sweep: what it remembers is about one instant.
        gate = BulkGate(workspace.gate)
        if plan:
            return plan_sweep(self.database, workspace.rulebook, gate, **options), None
        self.enter(now)
        result = sweep(self.database, workspace.rulebook, gate, stop=stop, reader=self.reader, **options)
        call_off(self.door, now=now)
        brake = apply_brake(self.database, share_max=settings.backlog_share_max, now=now)
        self._keep_log_after(now)
        return result, brake

    def keep_log(self, now: datetime, *, progress: Progress = _unseen, stop: Stop = _never) -> Kept:
        """Bring the log up to date: positions, a signature where there is a key, witnesses."""
        return keep_log(self.workspace, self.database, now=now, progress=progress, stop=stop)

    def _keep_log_after(self, now: datetime) -> None:
        """The same after something that is committed and stays so, whatever becomes of this: the job `log` tries again."""
        try:
            self.keep_log(now)
        except Busy:
            pass
        except DuecourseError as error:
            what = error.problems[0].what
            log.error("the log could not be signed", extra={"action": "alert", "what": what})  # noqa: TRY400 - in words

    def _sweep_options(self, now: datetime, progress: Progress) -> dict[str, Any]:
        settings = self.workspace.settings
        return {
            "now": now,
            "queues": self.workspace.queues,
            "loans_per_chunk": settings.loans_per_chunk,
            "actor": settings.actor,
            "zone": settings.zone,
            "progress": progress,
            "processes": settings.sweep_processes,
        }

    def heard_under(self, law_on: date, now: datetime, progress: Progress) -> Heard:
        """What a sweep now would do if the law were that of another date; nothing is written."""
        heard = Heard(now)
        gate = BulkGate(self.workspace.gate_of(law_on))
        options = self._sweep_options(now, progress)
        plan_sweep(self.database, self.workspace.rulebook, gate, see=heard.see, **options)
        return heard

    def dispatch_all(
        self, now: datetime, *, clock: Callable[[], datetime] | None = None, limit: int = 200, stop: Stop = _never
    ) -> Dispatched:
        """
        Let out everything that is due.

        Args:
            clock: tells the time as it passes, for a real dispatch, which can take long; without one it is `now`
                throughout, and nobody keeps to a rate.
        """
        running = clock or (lambda: now)
        return asyncio.run(dispatch(self.door, running, paced=clock is not None, limit=limit, stop=stop))

    @property
    def evidence(self) -> Evidence:
        """What a message that went out is evidence of."""
        return Evidence(self.notice_of, self.workspace.pack_dates)

    def handle_events(self, now: datetime, *, stop: Stop = _never) -> Handled:
        """Decide for everybody to whom something happened, and call off what nothing asks for any more."""

        def decide(borrowers: Sequence[int], happened: Happened, events: Sequence[int]) -> int:
            decided = self.decide(borrowers, now, happened=happened, events=events, write=True)
            return sum(len(loan.contacts) for decision, _ in decided for loan in decision.loans)

        handled = handle_events(self.database, decide, now=now, stop=stop)
        if handled.borrowers:
            call_off(self.door, now=now, borrowers=handled.borrowers)
        return handled

    def decide(
        self,
        borrowers: Sequence[int],
        now: datetime,
        *,
        happened: Happened | None = None,
        events: Sequence[int] = (),
        write: bool,
        plain: bool = False,
    ) -> Decided:
        """Decide some borrowers now, by the live target, or by the plain interpreter."""
        workspace, settings = self.workspace, self.workspace.settings
        matcher: Matcher = InterpreterMatcher(workspace.rulebook.strategies) if plain else self.matcher
        return decide_borrowers(
            self.database,
            workspace.rulebook,
            workspace.gate,
            borrower_ids=borrowers,
            now=now,
            matcher=matcher,
            happened=happened or Happened(),
            event_ids=events,
            queues=workspace.queues,
            zone=settings.zone,
            actor=settings.actor,
            write=write,
            reader=self.reader,
        )

    def check_promises(self, now: datetime) -> Mapping[str, int]:
        """Settle promises whose outcome is known."""
        with self.database.session() as session:
            loans = promises_to_judge(session, now)
            owners = sorted(set(session.exec(select(Loan.borrower_id).where(col(Loan.id).in_(loans)))))
        if not owners:
            return {"kept": 0, "broken": 0}
        fresh = fresh_situations(self.database, self.reader, owners, now)
        terms: dict[int, Terms] = {}
        for situation, *_ in fresh.values():
            for loan in situation.loans:
                strategy = self._strategy(situation, loan.id)
                if strategy is not None:
                    terms[loan.id] = Terms(strategy.promise, situation.on, is_stale(strategy, loan))
        return check_promises(self.database, now=now, terms=terms)

    def keep_duties(self, now: datetime) -> Mapping[str, int]:
        """Bring the book of dated duties up to date."""
        settings = self.workspace.settings
        return keep_duties(
            self.database, self.workspace.pack_dates, now=now, zone=settings.zone, language=settings.language
        )

    def tidy(self, now: datetime, *, stop: Stop = _never) -> Mapping[str, int]:
        """Let go of what the book need not keep; of people only where the lender wants it so."""
        settings = self.workspace.settings
        done = tidy_inbox(self.database, keep=timedelta(days=settings.inbox_days), now=now, stop=stop)
        if settings.erase_when_over:
            today = now.astimezone(ZoneInfo(settings.zone)).date()
            done |= erase_over(self.database, self.workspace.pack_dates, now=now, today=today, stop=stop)
        return done

    def match(self, now: datetime) -> Mapping[str, int]:
        """Match what providers said with the contacts and the log; what is found stands in the book of duties."""
        return match(self.database, now=now, zone=self.workspace.settings.zone)

    def task_place(self, contact_id: str, now: datetime) -> tuple[PromisePolicy, date, Situation, Contact, str]:
        """
        What closing or briefing a task needs: the promise policy, today there, the situation, the task, the currency.

        Raises:
            DataError: there is no such task.
        """
        with self.database.session() as session:
            contact = session.get(Contact, contact_id)
            if contact is None or not is_task(contact):
                raise DataError(no_task(contact_id))
            loan = session.get_one(Loan, contact.loan_id)
            session.expunge_all()
        situation = fresh_situations(self.database, self.reader, [loan.borrower_id], now)[loan.borrower_id].situation
        strategy = self._strategy(situation, contact.loan_id)
        return (
            strategy.promise if strategy is not None else PromisePolicy(),
            situation.on,
            situation,
            contact,
            loan.currency,
        )

    def move_loan(
        self, borrower_id: int, loan_id: int, target: Stage, *, by: str, reason: str, now: datetime
    ) -> StageChange:
        """Change a loan's stage because a person says so, and call off the tasks that nothing asks for any more."""
        change = move_loan(self.door, borrower_id, loan_id, target, by=by, reason=reason, now=now)
        call_off(self.door, now=now, borrowers=[borrower_id])
        return change

    def take_next(self, queue: str, agent: str, now: datetime, together: Sequence[str] = ()) -> Handed | None:
        """The next task of a queue for an agent, with its script; None when nothing is waiting."""
        return take_next(self.door, queue=queue, agent=agent, now=now, together=together)

    def start_task(self, task: str, agent: str, now: datetime, together: Sequence[str] = ()) -> Handed:
        """One task for an agent, looked at again; raises like `workflows.tasks.start_task`."""
        return start_task(self.door, task, agent=agent, now=now, together=together)

    def record_outcome(
        self,
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
    ) -> None:
        """
        Close a task with what came of it; raises DataError like `workflows.reporting.record_outcome`.

        Args:
            call_at: when they want to be called.
            batch: the batch it went out with, where no agent had it in hand.
        """
        with self.database.session() as session:
            contact = session.get(Contact, contact_id)
            if contact is None or not is_task(contact):
                raise DataError(no_task(contact_id))
            borrower = session.get_one(Loan, contact.loan_id).borrower_id
            where = People(session)
            where.read({borrower, contact.person_id}, {contact.loan_id})
            session.expunge_all()
        on, zones = where.place(borrower).day(now), where.place(contact.person_id).zones
        # What the strategy accepts takes fresh facts to find, and only a promise asks for it.
        policy = self.task_place(contact_id, now)[0] if promised is not None else PromisePolicy()
        whom = given_to(self.workspace.settings.actor)
        report = Report(
            outcome, agent, now, on, policy, self.workspace.pack_dates, promised,
            replace(learnt, given_to=whom, zones=zones), CallBack(call_at, whom, zones) if call_at is not None else None,
            proof, batch, self.notice_of(contact),
        )  # fmt: skip
        record_outcome(self.database, contact_id, report)

    @cached_property
    def press(self) -> Press:
        """How papers are printed."""
        letters = self.workspace.settings.letters
        return Press(letters.paper, self.workspace.folder / letters.font if letters.font is not None else None)

    @cached_property
    def shop(self) -> Shop:
        """How letters are made."""
        letters = self.workspace.settings.letters
        return Shop(self._composer.letter, self.press, letters.post, letters.post_notice)

    def take_reply(
        self,
        loan: str,
        channel: Channel,
        text: str,
        key: str,
        *,
        role: Role | None,
        person: str | None,
        endpoint: int | None,
        at: datetime,
        now: datetime | None = None,
        source: str = "hand",
        heard: Meaning | None = None,
        confirm: bool = True,
    ) -> Taken:
        """
        Take in a message that somebody sent us.

        Args:
            at: when they did; now: when it is answered, where that is not at once.
            source, heard: who brought it, and what they understood.
            confirm: whether a stop is confirmed, if it may be; not where whoever brought it has done so.
        Raises:
            DataError: like `workflows.asking.address`.
        """
        found = address(self.door, Wanted(loan, channel, role, person), at)
        known = [one.id for one in found.person.endpoints]
        if endpoint is not None and endpoint not in known:
            what = f"`{endpoint}` is no number or address of theirs"
            raise DataError(Problem(what, "`duecourse endpoints list` shows their ids"))
        spot = endpoint if endpoint is not None else endpoint_of(found.person.endpoints, channel)
        answers = {
            purpose: Answering(template.name, self.texts.template(template.name, channel, found.situation.on).content)
            for purpose in ANSWERS
            if (confirm or purpose != "opt_out_confirmation")
            and (template := self.texts.for_purpose(purpose, channel)) is not None
        }
        reply = Reply(channel, text, at, key, source, spot, heard)
        return take_reply(self.door, found, reply, now=now or at, answers=answers)

    def notice_of(self, contact: Contact) -> str | None:
        """The duty that a contact gives evidence for once it has gone out, by the strategy that asked for it."""
        if contact.run_id is None or contact.rule is None:
            return None
        with self.database.session() as session:
            decided = session.get(DecisionRow, (contact.run_id, contact.loan_id))
        strategy = self.workspace.rulebook.strategies.get((decided and decided.strategy) or "")
        rule = strategy.rule(contact.rule) if strategy is not None else None
        return rule.notice if rule is not None else None

    def _strategy(self, situation: Situation, loan_id: int) -> Strategy | None:
        loan = next(loan for loan in situation.loans if loan.id == loan_id)
        names = self.door.matcher.strategies(loan)
        return self.workspace.rulebook.strategies[names[0]] if len(names) == 1 else None

    def close(self) -> None:
        """Let go of everything."""
        if "reader" in self.__dict__:
            self.reader.close()
        self.database.close()
