"""
Every logged decision derived again from what the log holds, by another target and the gate as it was published.

A sweep matched in SQL and an event by the live engine: they are derived by the plain interpreter, and second looks, which
that made, by the sweep's SQL. What was read for a decision stands in
its run's snapshots, so that its facts are computed anew as well. Of a loan that nothing matched there is no snapshot,
and nothing but its logged facts was looked at.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final, TypeVar

from sqlalchemy import Select, or_, select

from engine.errors import Problem, StoreError
from engine.explain_tree import ExplainNode
from engine.matching import Matcher
from engine.rulebook import Rulebook
from store.bulk import reading
from store.bulk_arrow import Reader, table_of
from store.db import Database
from store.ids import among
from store.log import readable, unreadable
from store.snapshots import Seen, Unreadable, snapshots_of, unpack
from workflows.deciding.chunk import Chunk, ChunkReader
from workflows.replay.decisions import DecisionsAgain, loans_of, readable_rows
from workflows.replay.findings import About, Chosen, Replayed, instant_of, odd
from workflows.replay.looks import LooksAgain, runs_of_looks
from workflows.replay.publications import Deciders, NotAsKept, NotKept, Publications
from workflows.replay.seats import SeatsAgain
from workflows.replay.stages import StagesAgain
from workflows.uncollected import uncollected

Progress = Callable[[int, int], None]
Row = dict[str, Any]
T = TypeVar("T")

BATCH: Final = 5_000
UNREADABLE_RUN: Final = "its run cannot be read"


def replay(database: Database, chosen: Chosen, *, progress: Progress = lambda _done, _total: None) -> Replayed:
    """
    Derive decisions again and compare them with what was logged.

    Raises:
        StoreError: the database cannot be read, or rows that say what there is to derive hold no numbers.
    """
    replayed = Replayed()
    with reading(database) as reader, ExitStack() as stack, uncollected():
        try:
            runs = _runs(reader, chosen)
            again = _Again(reader, stack, replayed)
            for done, run in enumerate(runs):
                progress(done, len(runs))
                again.run(run, chosen.loan)
            again.rest(chosen)
        except Exception as error:
            if not unreadable(error):
                raise
            what = f"the log holds rows that cannot be read: {error}"
            raise StoreError(Problem(what, "run `duecourse audit verify`, which says which they are")) from None
    return replayed


def _runs(reader: Reader, chosen: Chosen) -> list[Row]:
    """The runs that were asked for, in order; of one that cannot be read, its id and nothing else."""
    run = table_of("run")
    ids = reader.read(_wanted_runs(reader, chosen))["id"].to_pylist()
    rows: dict[int, Row] = {}
    for start in range(0, len(ids), BATCH):
        wanted = readable(reader, lambda keys: select(run).where(among(run.c.id, keys)), ids[start : start + BATCH])
        rows |= {row["id"]: row for row in wanted if instant_of(row["now_at"]) is not None}
    return [rows.get(one, {"id": one}) for one in ids]


def _wanted_runs(reader: Reader, chosen: Chosen) -> Select[Any]:
    run, decision = table_of("run"), table_of("decision")
    wanted = select(run.c.id).order_by(run.c.id)
    if chosen.run is not None:
        wanted = wanted.where(run.c.id == chosen.run)
    if chosen.loan is not None:
        decided = run.c.id.in_(select(decision.c.run_id).where(decision.c.loan_id == chosen.loan))
        change = table_of("stage_change")
        placed = run.c.id.in_(select(change.c.run_id).where(change.c.loan_id == chosen.loan))
        wanted = wanted.where(or_(decided, placed, among(run.c.id, runs_of_looks(reader, chosen.loan))))
    if chosen.since is not None:
        wanted = wanted.where(run.c.now_at >= chosen.since)
    return wanted.where(run.c.now_at <= chosen.until) if chosen.until is not None else wanted


class _Again:
    """Derives the decisions of one run after the other."""

    def __init__(self, reader: Reader, stack: ExitStack, replayed: Replayed) -> None:
        self._reader = reader
        self._stack = stack
        self._replayed = replayed
        self._publications = Publications(reader)
        self._readers: dict[tuple[int, str], ChunkReader] = {}
        self._looks = LooksAgain(reader, self._matched, replayed)
        self._stages = StagesAgain(reader, self._chunk, replayed)
        self._lies: dict[int, str] = {}

    def rest(self, chosen: Chosen) -> None:
        """What belongs to none of the runs."""
        self._looks.rest(chosen, self._lies)
        self._stages.rest(chosen)

    def run(self, run: Row, loan: int | None) -> None:
        """
        One run.

        Args:
            loan: only this one.
        """
        if len(run) == 1:
            self._unreadable(run["id"], loan)
            return
        if run["kind"] == "look":
            self._look(run, loan)
            return
        if run["kind"] == "entry":
            self._entry(run, loan)
            return
        pairs = self._pairs(run["id"], loan)
        if not pairs and (loan is not None or run["kind"] != "sweep"):
            return
        self._replayed.runs += 1
        left = {pair["loan_id"]: pair["borrower_id"] for pair in pairs}
        try:
            deciders = self._deciders(run)
        except (NotKept, NotAsKept) as error:
            self._cannot(run, left, error)
            return
        seats = SeatsAgain(self._reader, run["id"])
        one = DecisionsAgain(run, deciders, json.loads(run["strategies_json"]), seats, self._replayed)
        lost = self._seen(one, left, loan)
        rest = sorted(left, key=lambda each: (left[each], each))
        for start in range(0, len(rest), BATCH):
            one.unseen(self._rows(run["id"], rest[start : start + BATCH]), lost)

    def _pairs(self, run: int, loan: int | None) -> list[Row]:
        """Loan and borrower of each decision of a run."""
        decision = table_of("decision")
        mine = select(decision.c.loan_id, decision.c.borrower_id).where(decision.c.run_id == run)
        pairs: list[Row] = self._reader.read(
            mine if loan is None else mine.where(decision.c.loan_id == loan)
        ).to_pylist()
        return pairs

    def _unreadable(self, run: int, loan: int | None) -> None:
        """A run of which not even its kind can be told: nothing that names it can be derived."""
        self._looks.cannot({"id": run}, UNREADABLE_RUN)
        self._stages.cannot({"id": run}, UNREADABLE_RUN)
        for pair in self._pairs(run, loan):
            self._replayed.unknown(About(run, pair["loan_id"], None), UNREADABLE_RUN)

    def _look(self, run: Row, loan: int | None) -> None:
        try:
            deciders = self._deciders(run)
        except NotKept as error:
            self._looks.cannot(run, str(error))
        except NotAsKept as error:
            self._lies[run["id"]] = str(error)
        else:
            self._looks.run(run, deciders, loan, self._borrower(loan) if loan is not None else None)

    def _entry(self, run: Row, loan: int | None) -> None:
        try:
            deciders = self._deciders(run)
        except (NotKept, NotAsKept) as error:
            self._stages.cannot(run, str(error))
        else:
            self._stages.placed(run, deciders, loan, self._borrower(loan) if loan is not None else None)

    def _borrower(self, loan: int) -> int | None:
        book = table_of("loan")
        found = self._reader.read(select(book.c.borrower_id).where(book.c.id == loan))["borrower_id"].to_pylist()
        return found[0] if found else None

    def _deciders(self, run: Row) -> Deciders:
        return self._publications.of_run(run["strategies_json"], run["gate_digest"], run["engine_version"])

    def _seen(self, one: DecisionsAgain, left: dict[int, int], loan: int | None) -> dict[tuple[int, int], str]:
        """Those of whom there is a snapshot, taken off what is left; why some snapshots are of no use, by who is in them."""
        lost: dict[tuple[int, int], str] = {}
        handled: set[int] = set()
        borrower = left[loan] if loan is not None else None
        for snapshot in snapshots_of(self._reader, one.id, borrower):
            try:
                seen = unpack(snapshot.content, snapshot.digest)
                chunk = self._chunk(one.deciders.rulebook, seen) if seen.book is not None else None
            except Unreadable as error:
                lost[snapshot.first_id, snapshot.last_id] = str(error)
                continue
            if chunk is None or seen.asks is not None:
                loans: Sequence[int] = list(left)
                one.by_hand(self._rows(one.id, loans), seen, chunk)
                left.clear()
                continue
            rows = self._rows(
                one.id, [each for situation in chunk.situations for each in loans_of(situation) if each in left]
            )
            one.seen(chunk, snapshot.id or 0, seen, {row["loan_id"]: row for row in rows}, handled, loan)
            for row in rows:
                left.pop(row["loan_id"], None)
        return lost

    def _chunk(self, rulebook: Rulebook, seen: Seen) -> Chunk:
        return self._worked(rulebook, seen, lambda _, chunk: chunk)

    def _matched(self, rulebook: Rulebook, seen: Seen) -> tuple[Chunk, Matcher]:
        """With what matches by the sweep's SQL."""
        return self._worked(rulebook, seen, lambda reader, chunk: (chunk, reader.matched(list(chunk.before))))

    def _worked(self, rulebook: Rulebook, seen: Seen, work: Callable[[ChunkReader, Chunk], T]) -> T:
        key = id(rulebook), seen.actor
        reader = self._readers.get(key)
        if reader is None:
            reader = self._readers[key] = self._stack.enter_context(ChunkReader(rulebook, actor=seen.actor))
        if seen.book is None:
            raise AssertionError("there is nothing to read")
        try:
            return work(reader, reader.again(seen.book, now=seen.at, happened=seen.happened))
        except Exception as error:
            # Tables of other columns, ids that are none, instants of no year: no list of what there may be is whole.
            raise Unreadable(odd("what its snapshot holds", error)) from error

    def _rows(self, run: int, loans: Sequence[int]) -> list[Row]:
        rows = readable_rows(self._reader, run, loans)
        return sorted(rows, key=lambda row: (row["borrower_id"], row["loan_id"]))

    def _cannot(self, run: Row, loans: Mapping[int, int], error: NotKept | NotAsKept) -> None:
        at = instant_of(run["now_at"])
        for number, loan in enumerate(sorted(loans)):
            if isinstance(error, NotKept):
                self._replayed.unknown(About(run["id"], loan, at), str(error))
            else:
                # One stands for all that the run decided with it.
                tree = ExplainNode("decided with something else", "no") if number == 0 else None
                self._replayed.differs(About(run["id"], loan, at), str(error), tree)
