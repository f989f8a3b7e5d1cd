"""
One chunk of a sweep: read, decided and written in one transaction, in this process or in another.

Nothing here depends on the other chunks. Who needs a seat in a limited queue is decided for every way in which the
seats may be given out, and put aside; whoever holds the claims of the whole book says later which way it was.
"""

import gc
import json
import logging
import pickle
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from time import perf_counter
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy import select

from engine.decision import Decision
from engine.errors import Problem, StoreError
from engine.gate import Gate
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Situation
from store.bulk import reading, writing
from store.bulk_arrow import BulkTransaction, Reader, table_of
from store.db import Database
from workflows.allotment import Claim, Claimant, Closed, Queue, claims_of, limited, options_of
from workflows.chunk import ChunkReader, SweptChunk
from workflows.recording import QuietDecider, Recorded, Recorder, moved_meanwhile
from workflows.run import Frozen

log = logging.getLogger(__name__)


See = Callable[[Decision, Situation], None]
"""Shown a decision with every queue open."""


@dataclass(frozen=True, slots=True)
class Setup:
    """
    What a sweep decides with: the same for every chunk.

    Attributes:
        retry: loan id -> rules whose contact, called for by an event, the gate put off.
        write: False only counts what would be written.
        goes_on: the run was begun earlier, so that some borrowers may be decided already.
    """

    rulebook: Rulebook
    gate: Gate
    frozen: Frozen
    queues: Mapping[str, Queue]
    zone: ZoneInfo
    retry: Mapping[int, frozenset[str]]
    write: bool
    goes_on: bool


@dataclass(frozen=True, slots=True)
class Job:
    """
    Some borrowers to be decided.

    Attributes:
        aside: what a first look at them put aside; None: this is the first look, with every queue open.
        closed: by borrower, the queues that turned out to be closed to them; of those put aside.
    """

    borrowers: Sequence[int]
    aside: bytes | None = None
    closed: Mapping[int, Closed] = field(default_factory=dict)


@dataclass(slots=True)
class Done:
    """
    What came of a job.

    Attributes:
        counts: what was written, as a run counts it.
        waiting: who has to wait for a seat.
        aside: what will be written of them, for every way it may come out.
        seconds: where the time went: read, decide, write.
        failed: why it was given up, nothing of it written; None: it was not.
    """

    counts: Counter[str] = field(default_factory=Counter)
    waiting: list[Claimant] = field(default_factory=list)
    aside: bytes | None = None
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    failed: Problem | None = None

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Count the time of the block to a step."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[step] += perf_counter() - start


class _Waits(NamedTuple):
    """A borrower who waits for a seat: what they claim, and what is written of them, by the queues closed to them."""

    borrower: int
    versions: Mapping[int, int]
    claims: Mapping[Closed, tuple[Claim, ...]]
    recorded: Mapping[Closed, Recorded]


class _Answer(NamedTuple):
    """What is to be written of a borrower, and everybody it depends on."""

    borrower: int
    people: tuple[int, ...]
    record: Callable[[Recorder], None]


class ChunkSweep:
    """Does the jobs of one sweep. For one thread at a time."""

    def __init__(self, setup: Setup, database: Database, reader: ChunkReader, see: See | None = None) -> None:
        self._setup = setup
        self._see = see
        self._database = database
        self._reader = reader
        self._limited = frozenset(limited(setup.queues))
        self._quiet = QuietDecider(setup.rulebook, setup.frozen.now)

    def run(self, job: Job) -> Done:
        """
        Decide the borrowers of a job and write what follows, all of it or nothing.

        What fails is tried once more: a lock or a deadlock is over by then. What fails again for a reason in the book
        or in the program is given up and reported, and does not keep the rest of the book from being decided.

        Raises:
            StoreError: the database cannot be read or written, and so neither for the other jobs.
        """
        with _uncollected():
            try:
                return self._run(job, goes_on=self._setup.goes_on)
            except Exception:
                log.warning("a chunk of the sweep failed and is tried again", exc_info=True)
            try:
                # Whether the first try was committed may be what nobody knows.
                return self._run(job, goes_on=True)
            except StoreError:
                raise
            except Exception as error:
                log.exception("a chunk of the sweep was given up")
                return Done(failed=_given_up(job, error))

    def _run(self, job: Job, *, goes_on: bool) -> Done:
        done = Done()
        decided = self._decided_before(job.borrowers) if goes_on and self._setup.write else frozenset()
        if job.aside is None:
            self._look(job, done, decided)
        else:
            self._seat(job, done, decided)
        return done

    def _look(self, job: Job, done: Done, decided: frozenset[int]) -> None:
        """The first look, with every queue open."""
        with done.timed("read"):
            swept = self._reading(self._database, job.borrowers, leave_out=decided)
        waiting: list[_Waits] = []
        with done.timed("decide"):
            answers = self._answers(swept, waiting)
        self._write(done, answers, swept.chunk.versions, lambda anew: self._answers(anew, waiting))
        if waiting:
            done.waiting = [Claimant(one.borrower, one.claims) for one in waiting]
            done.aside = zlib.compress(pickle.dumps(waiting), level=1)

    def _seat(self, job: Job, done: Done, decided: frozenset[int]) -> None:
        """Write what was put aside, now that it is known who has a seat."""
        with done.timed("read"):
            waited: dict[int, _Waits] = {one.borrower: one for one in _put_aside(job)}
        answers: list[_Answer] = []
        versions: dict[int, int] = {}
        for borrower in job.borrowers:
            if borrower in decided:
                continue
            one, closed = waited[borrower], job.closed[borrower]
            versions |= one.versions
            answers.append(_Answer(borrower, tuple(one.versions), partial(_take, one.recorded[closed], bool(closed))))

        def afresh(anew: SweptChunk) -> Iterator[_Answer]:
            for situation in anew.chunk.situations:
                closed = job.closed[situation.borrower.id]
                granted = waited[situation.borrower.id].claims[closed]
                decision = self._seated(situation, anew, closed, granted)
                yield _answer(anew, situation, decision, bool(closed))
            yield from self._quiet_answers(anew)

        self._write(done, answers, versions, afresh)

    def _write(
        self,
        done: Done,
        answers: Iterable[_Answer],
        versions: Mapping[int, int],
        afresh: Callable[[SweptChunk], Iterable[_Answer]],
    ) -> None:
        """
        Record these answers in one transaction; those of borrowers who moved since they were read are made afresh.

        Args:
            versions: person id -> version as it was read, of everybody the answers depend on.
        """
        answers = list(answers)
        with done.timed("decide"):
            recorder = self._recorded(answers)
        if self._setup.write:
            concerned = {answer.borrower: answer.people for answer in answers}
            with done.timed("write"), writing(self._database) as transaction:
                moved = moved_meanwhile(self._database, transaction, concerned, versions)
                if moved:
                    again = frozenset(moved)
                    # Under lock now: this time nobody can move.
                    anew = afresh(self._reading(transaction, moved))
                    recorder = self._recorded([*(answer for answer in answers if answer.borrower not in again), *anew])
                    recorder.counts["redone"] += len(moved)
                recorder.rows.write(transaction)
                _add_counts(transaction, self._setup.frozen.id, recorder.counts)
        done.counts = recorder.counts

    def _recorded(self, answers: Iterable[_Answer]) -> Recorder:
        recorder = Recorder(self._setup.frozen)
        for answer in answers:
            answer.record(recorder)
        return recorder

    def _answers(self, swept: SweptChunk, waiting: list[_Waits]) -> list[_Answer]:
        """Everybody's answer but of those who have to wait for a seat, who are added to the waiting."""
        answers = []
        for situation in swept.chunk.situations:
            decision = self._decide(situation, swept, frozenset())
            if self._see is not None:
                self._see(decision, situation)
            waits = self._waits(decision, situation, swept) if self._limited else None
            if waits is None:
                answers.append(_answer(swept, situation, decision))
            else:
                waiting.append(waits)
        answers += self._quiet_answers(swept)
        return answers

    def _quiet_answers(self, swept: SweptChunk) -> Iterator[_Answer]:
        for quiet in swept.quiet:
            record = partial(Recorder.add_quiet, quiet=quiet, decided=self._quiet(quiet))
            yield _Answer(quiet.borrower, (quiet.borrower,), record)

    def _waits(self, decision: Decision, situation: Situation, swept: SweptChunk) -> _Waits | None:
        first = self._claims(decision, situation)
        if not first:
            return None
        recorded: dict[Closed, Recorded] = {}

        def claims(closed: Closed) -> tuple[Claim, ...]:
            chosen = self._decide(situation, swept, closed) if closed else decision
            recorder = Recorder(self._setup.frozen)
            recorder.add(chosen, swept.chunk.before)
            recorded[closed] = recorder.recorded()
            return self._claims(chosen, situation) if closed else first

        options = options_of(claims)
        people = (situation.borrower.id, *situation.others)
        versions = {person: swept.chunk.versions[person] for person in people}
        return _Waits(situation.borrower.id, versions, options, recorded)

    def _seated(self, situation: Situation, swept: SweptChunk, closed: Closed, granted: tuple[Claim, ...]) -> Decision:
        """Decide with the queues closed that turned this borrower away."""
        decision = self._decide(situation, swept, closed)
        if _seats_of(self._claims(decision, situation)) <= _seats_of(granted):
            return decision
        # The borrower changed since the seats were given out, and would take one that is somebody else's.
        return self._decide(situation, swept, self._limited)

    def _decide(self, situation: Situation, swept: SweptChunk, closed: Closed) -> Decision:
        setup = self._setup
        return decide(
            situation,
            setup.rulebook,
            setup.gate,
            setup.frozen.now,
            swept.matcher,
            queue_open=lambda _loan, queue: queue not in closed,
        )

    def _claims(self, decision: Decision, situation: Situation) -> tuple[Claim, ...]:
        facts = {loan.id: loan.facts for loan in situation.loans}
        return claims_of(decision, facts, self._setup.queues, self._setup.zone)

    def _reading(
        self, source: Database | Reader, borrowers: Sequence[int], leave_out: Collection[int] = ()
    ) -> SweptChunk:
        setup = self._setup
        return self._reader.sweep(source, borrowers, now=setup.frozen.now, retry=setup.retry, leave_out=leave_out)

    def _decided_before(self, borrowers: Sequence[int]) -> frozenset[int]:
        """Whom of these the run has decided already."""
        decision = table_of("decision")
        mine = select(decision.c.borrower_id).where(
            decision.c.run_id == self._setup.frozen.id,
            decision.c.borrower_id >= borrowers[0],
            decision.c.borrower_id <= borrowers[-1],
        )
        with reading(self._database) as source:
            return frozenset(source.read(mine)["borrower_id"].to_pylist())


def _answer(swept: SweptChunk, situation: Situation, decision: Decision, turned_away: bool = False) -> _Answer:
    def record(recorder: Recorder) -> None:
        recorder.add(decision, swept.chunk.before)
        recorder.counts["turned_away"] += turned_away

    return _Answer(situation.borrower.id, (situation.borrower.id, *situation.others), record)


def _take(recorded: Recorded, turned_away: bool, recorder: Recorder) -> None:
    recorder.take(recorded)
    recorder.counts["turned_away"] += turned_away


def _given_up(job: Job, error: Exception) -> Problem:
    first, last = job.borrowers[0], job.borrowers[-1]
    what = (
        f"nothing was decided about the loans of borrowers {first} to {last} ({len(job.borrowers)} of them):"
        f" {type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    )
    return Problem(what, "mend that, and run `duecourse sweep` again: it decides those who are left")


def _put_aside(job: Job) -> list[_Waits]:
    """Our own words, from memory: nobody else can have written them."""
    found: list[_Waits] = pickle.loads(zlib.decompress(job.aside or b""))  # noqa: S301 - see above
    return found


def _seats_of(claims: Iterable[Claim]) -> Counter[tuple[str, date]]:
    return Counter((claim.queue, claim.day) for claim in claims)


def _add_counts(transaction: BulkTransaction, run_id: int, counts: Counter[str]) -> None:
    """Add to what the run has done so far, which another process may be doing at this moment as well."""
    run = table_of("run")
    # Locked until the end: last of all, so that nobody waits for more than the commit. Not the key, which every row
    # that names the run holds a share of.
    kept = transaction.read(select(run.c.counts_json).where(run.c.id == run_id).with_for_update(key_share=True))
    total = Counter(json.loads(kept["counts_json"][0].as_py())) + counts
    transaction.execute(
        "update run set counts_json = :counts where id = :id",
        {"counts": json.dumps(total, sort_keys=True), "id": run_id},
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """
    Spare the block the search for objects that hold each other.

    What a chunk is made of holds nothing of itself and goes when the chunk goes; looking through all of it again and
    again takes a fifth of the time of a sweep.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
