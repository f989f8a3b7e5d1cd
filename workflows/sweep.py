"""
The sweep: decide the whole book at one frozen moment, chunk by chunk, each chunk in one transaction.

Every overdue loan gets a log entry, also when the answer is to do nothing; a loan that is not overdue
gets one only where a move or a rule matched. Borrowers whose best contact needs a seat in a limited queue wait
until the whole book has been looked at; then the seats are given out and they are decided with the
queues that turned them away closed.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from sqlalchemy import func, select

from engine.decision import Decision
from engine.gate import Gate
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Situation
from store.bulk import reading, writing
from store.bulk_arrow import BulkTransaction, Param, Reader, table_of
from store.db import Database
from store.decisions import put_off
from store.lock import sole
from store.outbox import expire
from workflows.allotment import (
    Claim,
    Claimant,
    Closed,
    Queue,
    Seats,
    allot,
    claims_of,
    limited,
    options_of,
    seats_taken,
)
from workflows.chunk import ChunkReader, SweptChunk
from workflows.recording import QuietDecider, Recorder, moved_meanwhile
from workflows.run import Frozen, begin_sweep, end, frozen_plan
from workflows.screening import Screen, Span

RETRY: Final = timedelta(days=7)
"""For how long a contact that an event called for, and the gate put off, is looked at again in sweeps."""

_WAITING_WEIGH: Final = 10
"""Every borrower who waits for a seat becomes objects, where of a whole book few do: so many fewer make a chunk."""

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
        finished: False where it was asked to stop; the next sweep of the day goes on.
        counts: decisions, contacts, moves, borrowers, `outcome.*`, `contacts.*` (by channel), redone, turned_away.
    """

    run_id: int | None
    now: datetime
    finished: bool
    counts: Mapping[str, int]


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
    Raises:
        StoreError: another sweep is running, the clock went backwards, or the database cannot be written.
    """
    lender = ZoneInfo(zone)
    with (
        sole(database, "sweep", what="a sweep"),
        nullcontext(reader) if reader else ChunkReader(rulebook, actor=actor) as own,
    ):
        with database.write() as session:
            frozen = begin_sweep(session, rulebook.strategies, gate, now=now, known_at=known_at or now, zone=lender)
        if frozen.finished:
            return SweepResult(frozen.id, frozen.now, True, frozen.counts or {})
        expire(database, now=frozen.now)
        work = _Sweep(database, rulebook, gate, own, frozen, queues or {}, lender, write=True)
        finished = work.run(loans_per_chunk, progress, stop)
        with database.write() as session:
            end(session, frozen.id, now=now, counts=work.counts, status="done" if finished else "stopped")
    return SweepResult(frozen.id, frozen.now, finished, dict(work.counts))


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
) -> SweepResult:
    """What a sweep at this moment would do, without writing anything."""
    with ChunkReader(rulebook, actor=actor) as reader:
        frozen = frozen_plan(rulebook.strategies, now=now)
        work = _Sweep(database, rulebook, gate, reader, frozen, queues or {}, ZoneInfo(zone), write=False)
        work.run(loans_per_chunk, progress, _never)
    return SweepResult(None, now, True, dict(work.counts))


class _Sweep:
    """One sweep under way."""

    def __init__(
        self,
        database: Database,
        rulebook: Rulebook,
        gate: Gate,
        reader: ChunkReader,
        frozen: Frozen,
        queues: Mapping[str, Queue],
        zone: ZoneInfo,
        *,
        write: bool,
    ) -> None:
        self.counts: Counter[str] = Counter(frozen.counts or {})
        self._database = database
        self._rulebook = rulebook
        self._gate = gate
        self._reader = reader
        self._frozen = frozen
        self._queues = queues
        self._limited = limited(queues)
        self._zone = zone
        self._write = write
        self._quiet = QuietDecider(rulebook, frozen.now)
        self._waiting: dict[int, Claimant] = {}
        self._closed: dict[int, Closed] = {}
        listening = {name for s in rulebook.strategies.values() for rules in s.rules.values() for r in rules if r.on
                     for name in (r.id, *r.was)}  # fmt: skip
        with reading(database) as source:
            self._retry = put_off(source, listening, since=frozen.now - RETRY, until=frozen.now)

    def run(self, loans_per_chunk: int, progress: Progress, stop: Callable[[], bool]) -> bool:
        """Look at the whole book, give the seats out, decide those who waited for one. False when stopped."""
        total, chunks = self._loans(), 0
        swept: SweptChunk | None = None
        # Who waits for a seat is known to this process only: a run that goes on looks at the whole book again,
        # leaving out whoever is decided.
        goes_on = self._frozen.done_to > 0
        after = 0 if self._limited else self._frozen.done_to
        for span in self._spans(after, loans_per_chunk):
            if stop():
                return False
            decided = self._decided(span) if goes_on and self._limited else set()
            swept = self._reading(self._database, span.borrowers, decided)
            self._judge(swept, self._first, done_to=max(span.to, self._frozen.done_to))
            chunks += 1
            progress(min(total, span.seen), total)
        self._closed = allot(self._waiting.values(), self._queues, self._seats_taken() if self._waiting else {})
        self.counts["turned_away"] += sum(bool(closed) for closed in self._closed.values())
        for claimants in self._claimants(swept if chunks == 1 else None, max(1, loans_per_chunk // _WAITING_WEIGH)):
            if stop():
                return False
            self._judge(claimants, self._second, done_to=None)
            progress(total, total)
        progress(total, total)
        return True

    def _spans(self, after: int, loans_per_chunk: int) -> Iterator[Span]:
        with Screen(self._rulebook) as screen:
            yield from screen.spans(
                self._database, now=self._frozen.now, after=after, retry=self._retry, loans_per_chunk=loans_per_chunk
            )

    def _claimants(self, whole: SweptChunk | None, size: int) -> Iterator[SweptChunk]:
        """Everybody who waits for a seat: out of the one chunk that the whole book was, or read again, so many at once."""
        waiting = sorted(self._waiting)
        if whole and waiting:
            yield whole.only(waiting)
            return
        for start in range(0, len(waiting), size):
            yield self._reading(self._database, waiting[start : start + size], ())

    def _first(self, situation: Situation, swept: SweptChunk) -> Decision | None:
        """Decide with every queue open; None for a borrower who has to wait for a seat."""
        decision = self._decide(situation, swept, frozenset())
        claims = self._claims(decision, situation) if self._limited else ()
        if not claims:
            return decision
        options = options_of(claims, lambda closed: self._claims(self._decide(situation, swept, closed), situation))
        self._waiting[situation.borrower.id] = Claimant(situation.borrower.id, options)
        return None

    def _second(self, situation: Situation, swept: SweptChunk) -> Decision | None:
        """Decide with the queues closed that turned this borrower away."""
        borrower = situation.borrower.id
        closed = self._closed[borrower]
        decision = self._decide(situation, swept, closed)
        granted = Counter(_seats_of(self._waiting[borrower].options[closed]))
        if Counter(_seats_of(self._claims(decision, situation))) <= granted:
            return decision
        # The borrower changed since the seats were given out, and would take one that is somebody else's.
        return self._decide(situation, swept, frozenset(self._limited))

    def _decide(self, situation: Situation, swept: SweptChunk, closed: Closed) -> Decision:
        return decide(
            situation,
            self._rulebook,
            self._gate,
            self._frozen.now,
            swept.matcher,
            queue_open=lambda _loan, queue: queue not in closed,
        )

    def _claims(self, decision: Decision, situation: Situation) -> tuple[Claim, ...]:
        return claims_of(decision, {loan.id: loan.facts for loan in situation.loans}, self._queues, self._zone)

    def _judge(
        self,
        swept: SweptChunk,
        judge: Callable[[Situation, SweptChunk], Decision | None],
        *,
        done_to: int | None,
    ) -> None:
        decided = [(situation, judge(situation, swept)) for situation in swept.chunk.situations]
        recorder = self._recorded(swept, decided)
        if not self._write:
            self.counts += recorder.counts
            return
        concerned = {
            situation.borrower.id: (situation.borrower.id, *situation.others)
            for situation, decision in decided
            if decision is not None
        } | {quiet.borrower: (quiet.borrower,) for quiet in swept.quiet}
        with writing(self._database) as transaction:
            moved = moved_meanwhile(self._database, transaction, concerned, swept.chunk.versions)
            if moved:
                again = set(moved)
                recorder = self._recorded(swept, decided, again)
                anew = self._reading(transaction, moved, ())
                # Under lock now: this time nobody can move.
                afresh = [(situation, judge(situation, anew)) for situation in anew.chunk.situations]
                self._recorded(anew, afresh, into=recorder)
                recorder.counts["redone"] += len(again)
            self.counts += recorder.counts
            recorder.rows.write(transaction)
            self._advance(transaction, done_to)

    def _reading(self, source: Database | Reader, borrowers: Sequence[int], leave_out: Iterable[int]) -> SweptChunk:
        return self._reader.sweep(
            source, borrowers, now=self._frozen.now, retry=self._retry, leave_out=frozenset(leave_out)
        )

    def _recorded(
        self,
        swept: SweptChunk,
        decided: Sequence[tuple[Situation, Decision | None]],
        without: Iterable[int] = (),
        into: Recorder | None = None,
    ) -> Recorder:
        recorder = into or Recorder(self._frozen)
        skip = frozenset(without)
        for situation, decision in decided:
            if decision is not None and situation.borrower.id not in skip:
                recorder.add(decision, situation, swept.chunk)
        for quiet in swept.quiet:
            if quiet.borrower not in skip:
                recorder.add_quiet(quiet, self._quiet(quiet))
        return recorder

    def _advance(self, transaction: BulkTransaction, done_to: int | None) -> None:
        counts = json.dumps(self.counts, sort_keys=True)
        sets = "counts_json = :counts" if done_to is None else "counts_json = :counts, done_to = :done_to"
        params: dict[str, Param] = {"counts": counts, "id": self._frozen.id}
        if done_to is not None:
            params["done_to"] = done_to
        transaction.execute(f"update run set {sets} where id = :id", params)

    def _seats_taken(self) -> Seats:
        with reading(self._database) as source:
            return seats_taken(source, sorted(self._limited), now=self._frozen.now, zone=self._zone)

    def _loans(self) -> int:
        loan = table_of("loan")
        with reading(self._database) as source:
            found = source.read(select(func.count().label("id")).select_from(loan).where(loan.c.stage != "closed"))
        return int(found["id"][0].as_py())

    def _decided(self, span: Span) -> set[int]:
        decision = table_of("decision")
        mine = select(decision.c.borrower_id).where(
            decision.c.run_id == self._frozen.id,
            decision.c.borrower_id >= span.borrowers[0],
            decision.c.borrower_id <= span.to,
        )
        with reading(self._database) as source:
            return set(source.read(mine)["borrower_id"].to_pylist())


def _seats_of(claims: Iterable[Claim]) -> list[tuple[str, date]]:
    return [(claim.queue, claim.day) for claim in claims]
