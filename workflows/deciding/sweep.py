"""
The sweep: decide the whole book at one frozen moment, chunk by chunk, each chunk in one transaction.

Every overdue loan gets a log entry, also when the answer is to do nothing; a loan that is not overdue
gets one only where a move or a rule matched. Borrowers whose best contact needs a seat in a limited queue wait
until the whole book has been looked at; then the seats are given out and they are decided with the
queues that turned them away closed. One process or several do the chunks: the decisions are the same.
"""

import logging
import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from engine.errors import Problem
from engine.gate import Gate
from engine.rulebook import Rulebook
from store.bulk import reading
from store.bulk_arrow import table_of
from store.db import Database
from store.decisions import put_off
from store.lock import sole
from store.outbox import expire
from store.snapshots import OF_THE_RUN
from store.snapshots import row as snapshot_row
from workflows.brake import apply_brake
from workflows.crew import Crew, alone, processes
from workflows.deciding import chunk_sweep
from workflows.deciding.allotment import Candidates, Queue, Seats, limited, seats_taken
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.chunk_sweep import ChunkSweep, See
from workflows.deciding.run import Frozen, advance, begin_sweep, counts_of, end, frozen_plan, leave_behind
from workflows.deciding.screening import Screen
from workflows.deciding.seat_log import packed_round
from workflows.deciding.sweep_job import Done, Job, Setup

log = logging.getLogger(__name__)

RETRY: Final = timedelta(days=7)
"""For how long a contact that an event called for, and the gate put off, is looked at again in sweeps."""

LOANS_PER_PROCESS: Final = 50_000
"""Of a smaller book it takes longer to begin another process than to do its share."""

_BROKEN: Final = Problem(
    "a process of the sweep was killed, perhaps because memory ran out",
    "lower `loans_per_chunk` or `sweep_processes`, and run `duecourse sweep` again: it goes on where it stopped",
)

Progress = Callable[[int, int], None]
"""Told after every chunk: loans looked at so far, loans in all."""


def _unheard(done: int, total: int) -> None:
    del done, total


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class SweepResult:
    """
    What a sweep did.

    Attributes:
        run_id: None for a plan, which writes nothing.
        now: the moment it decided for, which for a run that went on is the one it was begun with.
        finished: False where it was asked to stop, or something failed; the next sweep of the day goes on.
        counts: decisions, contacts, moves, borrowers, `outcome.*`, `contacts.*` (by channel), redone, turned_away.
        seconds: where the time went, by step; those of several processes added up.
        failed: chunks that could not be decided, and why.
        brake: why the brake went on; None: it did not.
    """

    run_id: int | None
    now: datetime
    finished: bool
    counts: Mapping[str, int]
    seconds: Mapping[str, float] = field(default_factory=dict)
    failed: tuple[Problem, ...] = ()
    brake: str | None = None


def sweep(
    database: Database,
    rulebook: Rulebook,
    gate: Gate,
    *,
    now: datetime,
    queues: Mapping[str, Queue] | None = None,
    known_at: datetime | None = None,
    loans_per_chunk: int = 20_000,
    actor: str = "first_party",
    zone: str = "UTC",
    progress: Progress = _unheard,
    stop: Callable[[], bool] = _never,
    reader: ChunkReader | None = None,
    processes: int = 1,
    backlog_share_max: float | None = None,
    spread: timedelta = timedelta(0),
) -> SweepResult:
    """
    Decide every borrower of the book and write what follows.

    A sweep that was stopped or killed goes on with the moment and the hashes it froze, if it is still the same
    day and the same rules; one that is done already for this very moment is only reported.

    Args:
        now: aware; the moment to decide for.
        known_at: recorded with the run; by default `now`.
        loans_per_chunk: bounds memory; the decisions do not depend on it.
        zone: where the lender works: says which day's list a queue's contact stands on.
        reader: one of this rulebook that is at hand, to save its making.
        stop: asked between chunks; true ends the sweep there, to be gone on with.
        processes: at most so many decide at once; a small book is done by this one alone.
        backlog_share_max: more contacts than this share of the loans put the brake on; None: nothing does.
        spread: over how long messages are dealt, from when each may go; the decisions do not depend on it.
    Raises:
        StoreError: another sweep is running, the clock went backwards, or the database cannot be written.
    """
    lender = ZoneInfo(zone)
    with sole(database, "sweep", what="a sweep") as still_mine:
        with database.write() as session:
            frozen = begin_sweep(session, rulebook.strategies, gate, now=now, known_at=known_at or now, zone=lender)
        if frozen.finished:
            return SweepResult(frozen.id, frozen.now, True, frozen.counts or {})
        if late := expire(database, now=frozen.now):
            # After an outage: what was to go meanwhile is decided anew, and nobody is to wonder where it went.
            log.info("contacts expired before they could go", extra={"action": "contacts_expired", "count": late})
        setup = _setup(database, rulebook, gate, frozen, queues or {}, lender, write=True, spread=spread)
        # Whose lock was lost with its connection stops: another sweep may have begun.
        work = _Sweep(database, setup, loans_per_chunk, progress, lambda: stop() or not still_mine())
        finished = work.run(reader, actor, processes)
        brake = None
        with database.write() as session:
            counts = counts_of(session, frozen.id)
            end(session, frozen.id, now=now, counts=counts, status=work.status)
            if work.status != "stopped":
                leave_behind(session, frozen.id)
                if backlog_share_max is not None:
                    planned = counts.get("contacts", 0)
                    brake = apply_brake(session, frozen.id, planned, share_max=backlog_share_max, now=now)
    return SweepResult(frozen.id, frozen.now, finished, counts, work.seconds, tuple(work.failed), brake)


def plan_sweep(
    database: Database,
    rulebook: Rulebook,
    gate: Gate,
    *,
    now: datetime,
    queues: Mapping[str, Queue] | None = None,
    loans_per_chunk: int = 20_000,
    actor: str = "first_party",
    zone: str = "UTC",
    progress: Progress = _unheard,
    processes: int = 1,
    see: See | None = None,
) -> SweepResult:
    """
    What a sweep at this moment would do, without writing anything.

    Args:
        see: shown every decision for a borrower of whom anything matched, with every queue open; this process then
            does it alone.
    """
    frozen = frozen_plan(rulebook.strategies, now=now)
    setup = _setup(database, rulebook, gate, frozen, queues or {}, ZoneInfo(zone), write=False)
    work = _Sweep(database, setup, loans_per_chunk, progress, _never)
    work.run(None, actor, processes if see is None else 1, see)
    return SweepResult(None, now, not work.failed, dict(work.counts), work.seconds, tuple(work.failed))


def _setup(
    database: Database,
    rulebook: Rulebook,
    gate: Gate,
    frozen: Frozen,
    queues: Mapping[str, Queue],
    zone: ZoneInfo,
    *,
    write: bool,
    spread: timedelta = timedelta(0),
) -> Setup:
    listening = {
        name
        for strategy in rulebook.strategies.values()
        for rules in strategy.rules.values()
        for rule in rules
        if rule.on
        for name in (rule.id, *rule.was)
    }
    with reading(database) as source:
        retry = put_off(source, listening, since=frozen.now - RETRY, until=frozen.now)
    goes_on = bool(frozen.done_to or frozen.counts)
    return Setup(rulebook, gate, frozen, queues, zone, retry, write, goes_on, spread)


class _Aside(NamedTuple):
    """Those of a chunk who wait: what they want, and what will be written of them."""

    borrowers: tuple[int, ...]
    wishes: bytes
    rows: bytes


class _Sweep:
    """One sweep under way: hands out the chunks, and the seats of limited queues."""

    def __init__(
        self, database: Database, setup: Setup, loans_per_chunk: int, progress: Progress, stop: Callable[[], bool]
    ) -> None:
        self.counts: Counter[str] = Counter()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.failed: list[Problem] = []
        self._database = database
        self._setup = setup
        self._loans_per_chunk = loans_per_chunk
        self._progress = progress
        self._stop = stop
        self._stopped = False
        self._total = self._loans()
        self._limited = limited(setup.queues)
        self._candidates = Candidates(setup.queues)
        self._aside: deque[_Aside] = deque()

    def run(self, reader: ChunkReader | None, actor: str, workers: int, see: See | None = None) -> bool:
        """Look at the whole book, give the seats out, decide those who waited for one. False where some are left."""
        workers = min(workers, self._total // LOANS_PER_PROCESS)
        with ExitStack() as stack:
            if workers > 1:
                screen = stack.enter_context(Screen(self._setup.rulebook))
                threads = max(1, (os.cpu_count() or 1) // workers)
                begin = partial(chunk_sweep.begin, self._setup, self._database.address, actor, threads)
                crew = stack.enter_context(processes(begin, workers, broken=_BROKEN))
            else:
                own = reader or stack.enter_context(ChunkReader(self._setup.rulebook, actor=actor))
                screen, crew = own.screen, alone(ChunkSweep(self._setup, self._database, own, see).run)
            self._look(crew, screen)
            if not self._stopped:
                self._seat(crew)
        if not self._stopped:
            self._progress(self._total, self._total)
        return not (self._stopped or self.failed)

    @property
    def status(self) -> str:
        """How its run ends. Where it looked at everybody it holds nothing back, whoever it could not decide."""
        return "stopped" if self._stopped else "failed" if self.failed else "done"

    def _look(self, crew: Crew[Job, Done], screen: Screen) -> None:
        """Decide everybody who needs no seat in a limited queue."""
        frozen = self._setup.frozen
        seen: dict[int, int] = {}

        def jobs() -> Iterator[Job]:
            # Who waits for a seat is known to this run only: one that goes on looks at the whole book again,
            # leaving out whoever is decided.
            after = 0 if self._limited else frozen.done_to
            for span in screen.spans(
                self._database,
                now=frozen.now,
                after=after,
                retry=self._setup.retry,
                loans_per_chunk=self._loans_per_chunk,
            ):
                seen[span.to] = span.seen
                yield Job(span.borrowers)

        for job, done in crew(self._until_stopped(jobs())):
            if done.waiting is not None:
                self._candidates.add(done.waiting.claimants)
                borrowers = tuple(one.borrower for one in done.waiting.claimants)
                self._aside.append(_Aside(borrowers, done.waiting.wishes, done.waiting.aside))
            to = job.borrowers[-1]
            self._take(done, min(self._total, seen.pop(to)))
            if self._setup.write and not self.failed:
                advance(self._database, frozen.id, done_to=to)

    def _seat(self, crew: Crew[Job, Done]) -> None:
        """Give the seats out, and decide those who waited for one."""
        taken = self._seats_taken() if self._aside else {}
        closed = self._candidates.allotted(taken)
        if self._aside and self._setup.write:
            # Before any of them is written: what follows from it is younger than what it was made on.
            setup, run = self._setup, self._setup.frozen
            wishes = (one.wishes for one in self._aside)
            kept = packed_round(setup.queues, setup.zone, taken, wishes, at=run.now)
            with self._database.write() as session:
                session.add(snapshot_row(run.id, [OF_THE_RUN], kept))

        def jobs() -> Iterator[Job]:
            while self._aside:
                one = self._aside.popleft()
                yield Job(one.borrowers, one.rows, {borrower: closed[borrower] for borrower in one.borrowers})

        for _, done in crew(self._until_stopped(jobs())):
            self._take(done, self._total)

    def _until_stopped(self, jobs: Iterable[Job]) -> Iterator[Job]:
        for job in jobs:
            if self._stop():
                self._stopped = True
                return
            yield job

    def _take(self, done: Done, seen: int) -> None:
        if done.failed is not None:
            self.failed.append(done.failed)
        self.counts += done.counts
        for step, spent in done.seconds.items():
            self.seconds[step] += spent
        self._progress(seen, self._total)

    def _seats_taken(self) -> Seats:
        with reading(self._database) as source:
            return seats_taken(source, sorted(self._limited), now=self._setup.frozen.now, zone=self._setup.zone)

    def _loans(self) -> int:
        loan = table_of("loan")
        with reading(self._database) as source:
            found = source.read(select(func.count().label("id")).select_from(loan).where(loan.c.stage != "closed"))
        return int(found["id"][0].as_py())
