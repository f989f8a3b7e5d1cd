"""
Every logged decision derived again from what the log holds, by the plain interpreter and the gate as it was published.

A sweep matched in SQL and an event by the live engine; neither takes part here. What was read for a decision stands in
its run's snapshots, so that its facts are computed anew as well. Of a loan that nothing matched there is no snapshot,
and nothing but its logged facts was looked at.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Select, select

from engine.decision import Decision, LoanDecision
from engine.decision_json import from_json, trace_json
from engine.difference import first_difference
from engine.explain_tree import ExplainNode
from engine.judging import QUEUE_FULL
from engine.matching import InterpreterMatcher
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Situation
from store.bulk import reading
from store.bulk_arrow import Reader, table_of
from store.columns import from_us
from store.db import Database
from store.decisions import columns_of, is_news
from store.ids import among
from store.log import unreadable
from store.snapshots import Seen, Unreadable, snapshots_of, unpack
from workflows.chunk import Chunk, ChunkReader
from workflows.publications import Deciders, NotAsKept, NotKept, Publications
from workflows.replay_by_hand import by_hand_again
from workflows.replay_findings import Replayed
from workflows.replay_quiet import QuietAgain
from workflows.uncollected import uncollected

Progress = Callable[[int, int], None]
Row = dict[str, Any]

BATCH: Final = 5_000
NO_SNAPSHOT: Final = "no snapshot holds what was seen of it"
NOT_LOGGED: Final = "nothing about it is in the log"
"""Of a loan that was seen, and about which something was to be decided."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """
    Which decisions are derived again; None is all.

    Attributes:
        since, until: instants between which they were made, both included.
    """

    run: int | None = None
    loan: int | None = None
    since: datetime | None = None
    until: datetime | None = None


def replay(database: Database, chosen: Chosen, *, progress: Progress = lambda _done, _total: None) -> Replayed:
    """
    Derive decisions again and compare them with what was logged.

    Raises:
        StoreError: the database cannot be read.
    """
    replayed = Replayed()
    with reading(database) as reader, ExitStack() as stack, uncollected():
        runs = reader.read(_runs(chosen)).to_pylist()
        again = _Again(reader, stack, replayed)
        for done, run in enumerate(runs):
            progress(done, len(runs))
            again.run(run, chosen.loan)
    return replayed


def _runs(chosen: Chosen) -> Select[Any]:
    run, decision = table_of("run"), table_of("decision")
    wanted = select(run).where(run.c.kind != "entry").order_by(run.c.id)
    if chosen.run is not None:
        wanted = wanted.where(run.c.id == chosen.run)
    if chosen.loan is not None:
        wanted = wanted.where(run.c.id.in_(select(decision.c.run_id).where(decision.c.loan_id == chosen.loan)))
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

    def run(self, run: Row, loan: int | None) -> None:
        """
        One run.

        Args:
            loan: only this one.
        """
        decision = table_of("decision")
        mine = select(decision.c.loan_id, decision.c.borrower_id).where(decision.c.run_id == run["id"])
        pairs = self._reader.read(mine if loan is None else mine.where(decision.c.loan_id == loan)).to_pylist()
        if not pairs and (loan is not None or run["kind"] != "sweep"):
            return
        self._replayed.runs += 1
        left = {pair["loan_id"]: pair["borrower_id"] for pair in pairs}
        try:
            deciders = self._publications.of_run(run["strategies_json"], run["gate_digest"], run["engine_version"])
        except (NotKept, NotAsKept) as error:
            self._cannot(run, left, error)
            return
        one = _Run(run, deciders, json.loads(run["strategies_json"]), self._replayed)
        lost = self._seen(one, left, loan)
        rest = sorted(left, key=lambda each: (left[each], each))
        for start in range(0, len(rest), BATCH):
            one.unseen(self._rows(run["id"], rest[start : start + BATCH]), lost)

    def _seen(self, one: "_Run", left: dict[int, int], loan: int | None) -> dict[tuple[int, int], str]:
        """Those of whom there is a snapshot, taken off what is left; why some snapshots are of no use, by who is in them."""
        lost: dict[tuple[int, int], str] = {}
        handled: set[int] = set()
        borrower = left[loan] if loan is not None else None
        for snapshot in snapshots_of(self._reader, one.id, borrower):
            try:
                seen = unpack(snapshot.content, snapshot.digest)
            except Unreadable as error:
                lost[snapshot.first_id, snapshot.last_id] = str(error)
                continue
            if seen.book is None:
                loans: Sequence[int] = list(left)
                one.by_hand(self._rows(one.id, loans), seen)
                left.clear()
                continue
            chunk = self._chunk(one.deciders.rulebook, seen)
            rows = self._rows(
                one.id, [each for situation in chunk.situations for each in _loans(situation) if each in left]
            )
            one.seen(chunk, seen, {row["loan_id"]: row for row in rows}, handled, loan)
            for row in rows:
                left.pop(row["loan_id"], None)
        return lost

    def _chunk(self, rulebook: Rulebook, seen: Seen) -> Chunk:
        key = id(rulebook), seen.actor
        reader = self._readers.get(key)
        if reader is None:
            reader = self._readers[key] = self._stack.enter_context(ChunkReader(rulebook, actor=seen.actor))
        if seen.book is None:
            raise AssertionError("a contact by hand has no book")
        return reader.again(seen.book, now=seen.at, happened=seen.happened)

    def _rows(self, run: int, loans: Sequence[int]) -> list[Row]:
        rows = readable_rows(self._reader, run, loans)
        return sorted(rows, key=lambda row: (row["borrower_id"], row["loan_id"]))

    def _cannot(self, run: Row, loans: Mapping[int, int], error: NotKept | NotAsKept) -> None:
        at = from_us(run["now_at"])
        for number, loan in enumerate(sorted(loans)):
            if isinstance(error, NotKept):
                self._replayed.unknown(run["id"], loan, at, str(error))
            else:
                # One stands for all that the run decided with it.
                tree = ExplainNode("decided with something else", "no") if number == 0 else None
                self._replayed.differs(run["id"], loan, at, str(error), tree)


class _Run:
    """One run, what it decided with, and where its decisions are counted."""

    def __init__(self, run: Row, deciders: Deciders, digests: Mapping[str, str], replayed: Replayed) -> None:
        self.id: int = run["id"]
        self.deciders = deciders
        self._now = from_us(run["now_at"])
        self._now_us: int = run["now_at"]
        self._sweep = run["kind"] == "sweep"
        self._done = run["status"] == "done"
        self._digests = digests
        self._replayed = replayed
        self._matcher = InterpreterMatcher(deciders.rulebook.strategies)
        self._quiet = QuietAgain(deciders.rulebook, self._matcher)

    def seen(self, chunk: Chunk, seen: Seen, rows: Mapping[int, Row], handled: set[int], loan: int | None) -> None:
        """Decisions about borrowers of whom there is a snapshot; `handled` are those of whom there was a newer one."""
        for situation in chunk.situations:
            borrower = situation.borrower.id
            if borrower in handled:
                continue
            handled.add(borrower)
            mine = [rows[each] for each in _loans(situation) if each in rows]
            decision = self._decide(situation, seen.at, closed_queues(self.deciders.rulebook, mine))
            for decided in decision.loans:
                if loan is not None and decided.loan != loan:
                    continue
                before = chunk.before[decided.loan]
                if (row := rows.get(decided.loan)) is not None:
                    derived = {"on_on": decision.on, "facts_json": before.facts_json}
                    self._compare(row, decided, derived)
                elif self._done and (not self._sweep or is_news(decided, before.dpd)):
                    tree = ExplainNode(f"outcome {decided.outcome}", "no")
                    self._replayed.differs(self.id, decided.loan, self._now, NOT_LOGGED, tree)

    def _decide(self, situation: Situation, at: datetime, closed: frozenset[str]) -> Decision:
        rulebook, gate = self.deciders.rulebook, self.deciders.gate
        return decide(situation, rulebook, gate, at, self._matcher, queue_open=lambda _loan, queue: queue not in closed)

    def by_hand(self, rows: Sequence[Row], seen: Seen) -> None:
        """A contact that a person wanted: the gate's answers to the questions that were kept."""
        for row in rows:
            derived = by_hand_again(logged_trace(row), seen.asks, self.deciders.gate, seen.at)
            self._compare(row, derived, {})

    def unseen(self, rows: Sequence[Row], lost: Mapping[tuple[int, int], str]) -> None:
        """Decisions of which there is no snapshot: of loans that nothing matched, or somebody has taken it away."""
        for row in rows:
            logged = logged_trace(row)
            quiet = self._sweep and logged is not None and not (logged.moves or logged.candidates or logged.by_hand)
            if logged is not None and logged.by_hand is not None and not _asked(logged):
                self._replayed.equal += 1
            elif logged is not None and not quiet:
                within = (why for (first, last), why in lost.items() if first <= row["borrower_id"] <= last)
                self._replayed.unknown(self.id, row["loan_id"], self._now, next(within, NO_SNAPSHOT))
            else:
                self._compare(row, self._quiet.decide(row, self._now), {})

    def _compare(self, row: Row, decided: LoanDecision | None, derived: Mapping[str, Any]) -> None:
        if decided is not None:
            columns = {"now_at": self._now_us, **columns_of(decided, self._digests), **derived}
            same = row["trace_json"] == trace_json(decided) and all(row[name] == it for name, it in columns.items())
            if same:
                self._replayed.equal += 1
                return
            tree = _difference(row, decided, columns)
        else:
            tree = ExplainNode("what was logged cannot be read", "no")
        if doubt := self.deciders.doubt:
            self._replayed.unknown(self.id, row["loan_id"], self._now, f"it comes out differently, and was {doubt}")
        else:
            self._replayed.differs(self.id, row["loan_id"], self._now, "it comes out differently", tree)


def readable_rows(reader: Reader, run: int, loans: Sequence[int]) -> list[Row]:
    """The decisions of a run about these loans; one that cannot be read is left without a word in it."""
    decision = table_of("decision")
    wanted = select(decision).where(decision.c.run_id == run, among(decision.c.loan_id, loans))
    try:
        rows: list[Row] = reader.read(wanted).to_pylist()
    except Exception as error:
        if not unreadable(error):
            raise
        if len(loans) == 1:
            return [dict.fromkeys(decision.columns.keys(), "") | {"run_id": run, "loan_id": loans[0], "borrower_id": 0}]
        half = len(loans) // 2
        return readable_rows(reader, run, loans[:half]) + readable_rows(reader, run, loans[half:])
    return rows


def _difference(row: Row, decided: LoanDecision, columns: Mapping[str, Any]) -> ExplainNode:
    """Facts first: whatever else differs follows from them; then the reasoning, then the columns that repeat it."""
    facts = columns.get("facts_json", row["facts_json"])
    plain = {name: value for name, value in columns.items() if name != "facts_json"}
    logged = {"facts": _json(row["facts_json"]), **_json_object(row["trace_json"])}
    derived = {"facts": _json(facts), **_json_object(trace_json(decided))}
    logged["columns"] = {name: _said(name, row[name]) for name in plain}
    derived["columns"] = {name: _said(name, value) for name, value in plain.items()}
    found = first_difference("the decision", logged, derived)
    return found or ExplainNode("the same is written in another way", "no")


def closed_queues(rulebook: Rulebook, rows: Sequence[Row]) -> frozenset[str]:
    """
    The queues that had no room for the borrower of these decisions.

    Who gets a seat depends on the whole book; it is taken from the log, like the facts.
    """
    closed = set()
    for row in rows:
        if QUEUE_FULL not in row["trace_json"] or (logged := logged_trace(row)) is None:
            continue
        strategy = rulebook.strategies.get(logged.strategy or "")
        for candidate in logged.candidates:
            rule = strategy.rule(candidate.rule) if strategy is not None else None
            full = {act.channel for act in candidate.acts if act.note == QUEUE_FULL}
            closed |= {act.queue for act in (rule.acts if rule is not None else ()) if act.channel in full}
    return frozenset(queue for queue in closed if queue is not None)


def _asked(logged: LoanDecision) -> bool:
    """Whether the gate was asked about a contact by hand: not where they contacted us, nor where there was no address."""
    acts = logged.by_hand.acts if logged.by_hand is not None else ()
    return any(
        act.verdict is not None and [r.rule for r in act.verdict.reasons] != ["gate.no_endpoint"] for act in acts
    )


def logged_trace(row: Row) -> LoanDecision | None:
    """What a row of the log says was decided; None where it cannot be read."""
    try:
        return from_json(row["trace_json"])
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def _loans(situation: Situation) -> Iterator[int]:
    return (loan.id for loan in situation.loans)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _json_object(text: str) -> dict[str, Any]:
    read = _json(text)
    return read if isinstance(read, dict) else {"trace": read}


def _said(name: str, value: Any) -> Any:
    if name.endswith("_at") and isinstance(value, int):
        return from_us(value).isoformat()
    return value if value is None or isinstance(value, int) else str(value)
