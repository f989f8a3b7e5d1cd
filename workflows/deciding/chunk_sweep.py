"""
One chunk of a sweep: read, decided and written in one transaction, in this process or in another.

Nothing here depends on the other chunks. Who needs a seat in a limited queue is decided for every way in which the
seats may be given out, and put aside; whoever holds the claims of the whole book says later which way it was.
"""

import json
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from pathlib import PurePath
from typing import NamedTuple

from sqlalchemy import select

from engine.decision import Decision
from engine.errors import Problem, StoreError
from engine.resolution import decide
from engine.situation import Situation
from store.bulk import reading, writing
from store.bulk_arrow import BulkTransaction, Reader, table_of
from store.db import Database, open_database
from workflows.deciding.allotment import Claim, Closed, claims_of, limited
from workflows.deciding.chunk import ChunkReader, SweptChunk
from workflows.deciding.recording import QuietDecider, Recorded, Recorder, moved_meanwhile
from workflows.deciding.spreading import Spread
from workflows.deciding.sweep_job import Done, Job, Setup
from workflows.deciding.waiting import Decided, every_way, put_aside, taken_up
from workflows.uncollected import uncollected

log = logging.getLogger(__name__)

See = Callable[[Decision, Situation], None]
"""Shown a decision with every queue open."""


def begin(setup: Setup, address: str, actor: str, threads: int) -> Callable[[Job], Done]:
    """What does the jobs of a sweep in a process of its own, with connections and a DuckDB of so many threads."""
    return ChunkSweep(setup, open_database(address), ChunkReader(setup.rulebook, actor=actor, threads=threads)).run


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
        self._spread = Spread(setup.rulebook, setup.gate, setup.spread)

    def run(self, job: Job) -> Done:
        """
        Decide the borrowers of a job and write what follows, all of it or nothing.

        What fails is tried once more: a lock or a deadlock is over by then. What fails again for a reason in the book
        or in the program is given up and reported, and does not keep the rest of the book from being decided.

        Raises:
            StoreError: the database cannot be read or written, and so neither for the other jobs.
        """
        with uncollected():
            try:
                return self._run(job, goes_on=self._setup.goes_on)
            except Exception as error:  # noqa: BLE001 - whatever it was, the second try tells
                # Never the error's own words: they may quote what is on file about somebody.
                log.warning("a chunk of the sweep failed and is tried again", extra={"error": _fault(error)})
            try:
                # Whether the first try was committed may be what nobody knows.
                return self._run(job, goes_on=True)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - one chunk's fault must not keep the others from being decided
                extra = {"action": "alert", "error": _fault(error)}
                log.error("a chunk of the sweep was given up", extra=extra)  # noqa: TRY400 - never the error's own words
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
        waiting: list[Decided] = []
        with done.timed("decide"):
            answers = self._answers(swept, waiting)
        self._write(done, answers, swept.chunk.versions, lambda anew: self._answers(anew, waiting), swept)
        if waiting:
            with done.timed("decide"):
                done.waiting = put_aside(waiting, limited(self._setup.queues))

    def _seat(self, job: Job, done: Done, decided: frozenset[int]) -> None:
        """Write what was put aside, now that it is known who has a seat."""
        with done.timed("read"):
            waited = taken_up(job.aside or b"")
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
                yield self._answer(anew, situation, decision, bool(closed))
            yield from self._quiet_answers(anew)

        self._write(done, answers, versions, afresh)

    def _write(
        self,
        done: Done,
        answers: Iterable[_Answer],
        versions: Mapping[int, int],
        afresh: Callable[[SweptChunk], Iterable[_Answer]],
        swept: SweptChunk | None = None,
    ) -> None:
        """
        Record these answers in one transaction; those of borrowers who moved since they were read are made afresh.

        Args:
            versions: person id -> version as it was read, of everybody the answers depend on.
            swept: what was read for them, to be kept beside them; None: it is kept already.
        """
        answers = list(answers)
        with done.timed("decide"):
            recorder = self._recorded(answers)
            if swept is not None and self._setup.write:
                # With those who have to wait for a seat: they are decided on the same.
                swept.chunk.kept_by(recorder.rows)
        if self._setup.write:
            concerned = {answer.borrower: answer.people for answer in answers}
            with done.timed("write"), writing(self._database) as transaction:
                moved = moved_meanwhile(self._database, transaction, concerned, versions)
                if moved:
                    again = frozenset(moved)
                    # Under lock now: this time nobody can move.
                    read = self._reading(transaction, moved)
                    anew = afresh(read)
                    kept = recorder.rows.rows.get("snapshot")
                    recorder = self._recorded([*(answer for answer in answers if answer.borrower not in again), *anew])
                    if kept is not None:
                        recorder.rows.take({"snapshot": kept})
                    # Later than the other, and so what counts for those whom both hold.
                    read.chunk.kept_by(recorder.rows)
                    recorder.counts["redone"] += len(moved)
                recorder.rows.write(transaction)
                _add_counts(transaction, self._setup.frozen.id, recorder.counts)
        done.counts = recorder.counts

    def _recorded(self, answers: Iterable[_Answer]) -> Recorder:
        recorder = Recorder(self._setup.frozen)
        for answer in answers:
            answer.record(recorder)
        return recorder

    def _answers(self, swept: SweptChunk, waiting: list[Decided]) -> list[_Answer]:
        """Everybody's answer but of those who have to wait for a seat, who are added to the waiting."""
        answers = []
        for situation in swept.chunk.situations:
            decision = self._decide(situation, swept, frozenset())
            if self._see is not None:
                self._see(decision, situation)
            one = self._waits(decision, situation, swept) if self._limited else None
            if one is None:
                answers.append(self._answer(swept, situation, decision))
            else:
                waiting.append(one)
        answers += self._quiet_answers(swept)
        return answers

    def _quiet_answers(self, swept: SweptChunk) -> Iterator[_Answer]:
        for quiet in swept.quiet:
            record = partial(Recorder.add_quiet, quiet=quiet, decided=self._quiet(quiet))
            yield _Answer(quiet.borrower, (quiet.borrower,), record)

    def _waits(self, decision: Decision, situation: Situation, swept: SweptChunk) -> Decided | None:
        people = (situation.borrower.id, *situation.others)

        def record(chosen: Decision) -> Recorded:
            recorder = Recorder(self._setup.frozen)
            recorder.add(chosen, swept.chunk.before, self._spread.leaves(situation, chosen))
            return recorder.recorded()

        return every_way(
            decision,
            {person: swept.chunk.versions[person] for person in people},
            decide=lambda closed: self._decide(situation, swept, closed),
            claims=lambda chosen: self._claims(chosen, situation),
            record=record,
        )

    def _answer(
        self, swept: SweptChunk, situation: Situation, decision: Decision, turned_away: bool = False
    ) -> _Answer:
        leaves = self._spread.leaves(situation, decision)

        def record(recorder: Recorder) -> None:
            recorder.add(decision, swept.chunk.before, leaves)
            recorder.counts["turned_away"] += turned_away

        return _Answer(situation.borrower.id, (situation.borrower.id, *situation.others), record)

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
            decision.c.borrower_id >= min(borrowers),
            decision.c.borrower_id <= max(borrowers),
        )
        with reading(self._database) as source:
            return frozenset(source.read(mine)["borrower_id"].to_pylist())


def _take(recorded: Recorded, turned_away: bool, recorder: Recorder) -> None:
    recorder.take(recorded)
    recorder.counts["turned_away"] += turned_away


def _given_up(job: Job, error: Exception) -> Problem:
    first, last = min(job.borrowers), max(job.borrowers)
    what = (
        f"nothing was decided about the loans of borrowers {first} to {last} ({len(job.borrowers)} of them):"
        f" {_fault(error)}"
    )
    return Problem(what, "mend that, and run `duecourse sweep` again: it decides those who are left")


def _fault(error: Exception) -> str:
    """What went wrong and where, without the error's own words."""
    *_, last = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} in {last.name} ({PurePath(last.filename).name}:{last.lineno})"


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
