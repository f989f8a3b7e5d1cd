"""The one place where everything meets: a workspace, its book, the rules, the law, and the ways out."""

import logging
import os
import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from sqlmodel import Session, col, select

from channels.paper import Press
from compliance import BulkGate
from duecourse.audit import Kept, keep_log
from duecourse.compose import Composer
from duecourse.providers import outward, reporting
from duecourse.texts import Texts
from duecourse.unwaited import run
from duecourse.workspace import Workspace
from engine.errors import DuecourseError
from engine.matching import InterpreterMatcher, Matcher
from engine.situation import Situation
from engine.strategy import Strategy
from store.db import Database
from store.lock import Busy
from store.situations import Happened
from store.tables import Contact, DecisionRow, Loan
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.decide import Decided, decide_borrowers, fresh_situations
from workflows.deciding.entry import enter_book
from workflows.deciding.law_impact import Heard
from workflows.deciding.sweep import SweepResult, plan_sweep, sweep
from workflows.desk.letters import Shop
from workflows.desk.tasks import call_off
from workflows.duties import keep_duties
from workflows.inbox.events import Handled, handle_events
from workflows.log.completeness import match
from workflows.privacy.due import erase_over
from workflows.privacy.due_records import erase_over_records
from workflows.privacy.erase import leave_nothing
from workflows.promises import Terms, check_promises, promises_to_judge
from workflows.scheduling.tidy import tidy_inbox
from workflows.sending.dispatch import dispatch
from workflows.sending.door import Dispatched, Door, Outward
from workflows.sending.fate import Evidence
from workflows.sending.second_look import Look, is_stale

Progress = Callable[[int, int], None]
Stop = Callable[[], bool]

log = logging.getLogger(__name__)


def _never() -> bool:
    return False


def _unseen(_done: int, _total: int) -> None:
    """Progress that nobody watches."""


@dataclass
class Works:
    """A workspace and its open book, with the workflows that run by themselves bound to them; what people do comes by `duecourse.people`."""

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
            # A target that replay derives none of its looks by: it would repeat our faults.
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
        return Composer(
            self.workspace.templates,
            settings.lender,
            settings.language,
            self.workspace.gate,
            settings.listen.public_url,
        )

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

    def sweep(self, now: datetime, progress: Progress, *, plan: bool = False, stop: Stop = _never) -> SweepResult:
        """Decide the whole book, and call off the tasks that nothing asks for any more."""
        workspace, settings = self.workspace, self.workspace.settings
        options = self._sweep_options(now, progress)
        # For one sweep: what it remembers is about one instant.
        gate = BulkGate(workspace.gate)
        if plan:
            return plan_sweep(self.database, workspace.rulebook, gate, **options)
        self.enter(now)
        result = sweep(
            self.database,
            workspace.rulebook,
            gate,
            stop=stop,
            reader=self.reader,
            backlog_share_max=settings.backlog_share_max,
            spread=timedelta(minutes=settings.spread_minutes),
            **options,
        )
        call_off(self.door, now=now)
        self._keep_log_after(now)
        return result

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
        return run(dispatch(self.door, running, paced=clock is not None, limit=limit, stop=stop))

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
                strategy = self.strategy_of(situation, loan.id)
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
            dates = self.workspace.pack_dates
            done |= erase_over(self.database, dates, now=now, today=today, stop=stop)
            done |= erase_over_records(self.database, dates, now=now, today=today, stop=stop)
            leave_nothing(self.database)
        return done

    def match(self, now: datetime) -> Mapping[str, int]:
        """Match what providers said with the contacts and the log; what is found stands in the book of duties."""
        return match(self.database, now=now, zone=self.workspace.settings.zone, reporting=reporting(self.workspace))

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

    def notice_of(self, contact: Contact) -> str | None:
        """The duty that a contact gives evidence for once it has gone out, by the strategy that asked for it."""
        if contact.run_id is None or contact.rule is None:
            return None
        with self.database.session() as session:
            decided = session.get(DecisionRow, (contact.run_id, contact.loan_id))
        strategy = self.workspace.rulebook.strategies.get((decided and decided.strategy) or "")
        rule = strategy.rule(contact.rule) if strategy is not None else None
        return rule.notice if rule is not None else None

    def strategy_of(self, situation: Situation, loan_id: int) -> Strategy | None:
        """The one strategy that applies to a loan; None where none does, or more than one."""
        loan = next(loan for loan in situation.loans if loan.id == loan_id)
        names = self.door.matcher.strategies(loan)
        return self.workspace.rulebook.strategies[names[0]] if len(names) == 1 else None

    def close(self) -> None:
        """Let go of everything."""
        if "reader" in self.__dict__:
            self.reader.close()
        self.database.close()
