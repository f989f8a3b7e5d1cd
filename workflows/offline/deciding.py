"""
From the rows of the statement to decisions: the same code on DuckDB and in each of Spark's worker processes.

Two passes, as in a sweep. In the first every queue is open; who needs a seat in a limited one only says so. When the whole book
has been looked at the seats are given out, and the second pass decides those who waited, with the queues closed that
turned them away.
"""

import pickle
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo

from compliance import BulkGate, Gate
from engine.decision import Decision
from engine.resolution import decide
from engine.rulebook import Rulebook
from engine.situation import Situation
from engine.tree import FactValue
from store.book import RAW_TABLES, RawBook
from store.decisions import canonical_json
from store.situations import Happened, situations
from workflows.deciding.allotment import Claim, Claimant, Closed, Queue, claims_of, limited, options_of
from workflows.deciding.chunk import Chunk, before_of
from workflows.deciding.matching import Quiet, SweepMatcher
from workflows.deciding.matching_sql import MatchingSql
from workflows.deciding.recording import QuietDecider, Recorder
from workflows.deciding.run import frozen_plan
from workflows.offline.layout import PEOPLE_TABLES, About, files

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS: Final = (
    "loan_id", "borrower_id", "now_at", "on_on", "strategy", "strategy_digest", "arm", "stage_before", "stage_after",
    "outcome", "rule", "covered_by", "next_look_at", "reasons", "facts_json", "trace_json",
)  # fmt: skip
"""Of a decision in the files: those of the log in the database, without the run."""

Facts = Mapping[str, FactValue]


@dataclass(frozen=True)
class Plan:
    """
    Everything that decides, besides the rows; travels with every task.

    Attributes:
        key: tells one run from another in a worker that outlives it.
    """

    key: str
    rulebook: Rulebook
    gate: Gate
    queues: Mapping[str, Queue]
    about: About
    retry: Mapping[int, frozenset[str]]

    @cached_property
    def matching(self) -> MatchingSql:
        """The statement, and what its numbers mean."""
        return MatchingSql(self.rulebook.strategies.values())


def read_retry(folder: Path) -> dict[int, frozenset[str]]:
    """Loan id -> rules whose contact, called for by an event, the gate put off."""
    import pyarrow.parquet as pq

    retry: dict[int, set[str]] = {}
    for file in files(folder, "retry"):
        rows = pq.read_table(file)
        for loan, rule in zip(rows["loan_id"].to_pylist(), rows["rule"].to_pylist(), strict=True):
            retry.setdefault(loan, set()).add(rule)
    return {loan: frozenset(rules) for loan, rules in retry.items()}


@dataclass(slots=True)
class Told:
    """
    What a pass has to say besides decisions.

    Attributes:
        counts: as in a sweep, and `gate.*`: how often the gate was asked, and how often that took its rules.
        waiting: who needs a seat.
    """

    counts: Counter[str] = field(default_factory=Counter)
    waiting: list[Claimant] = field(default_factory=list)


class Decider:
    """Decides batch after batch, and remembers which signatures the gate allowed. For one thread at a time."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._gate = BulkGate(plan.gate)
        self._quiet = QuietDecider(plan.rulebook, plan.about.now)
        self._frozen = frozen_plan(plan.rulebook.strategies, now=plan.about.now)
        self._limited = limited(plan.queues)
        self._zone = ZoneInfo(plan.about.zone)
        self._facts = tuple(plan.rulebook.catalogue.facts)

    def first(self, batch: "pa.RecordBatch") -> tuple["pa.Table", Told]:
        """Decide with every queue open, leaving out who needs a seat."""
        return self._pass(batch, None)

    def second(self, batch: "pa.RecordBatch", closed: Mapping[int, Closed]) -> tuple["pa.Table", Told]:
        """Decide with the queues closed that turned each of these borrowers away."""
        return self._pass(batch, closed)

    def _pass(self, batch: "pa.RecordBatch", closed: Mapping[int, Closed] | None) -> tuple["pa.Table", Told]:
        told, recorder = Told(), Recorder(self._frozen)
        asked, signatures = self._gate.asked.all, self._gate.asked.signatures
        found = _Batch(batch, self._plan, self._facts)
        for situation in found.chunk.situations:
            shut = frozenset[str]() if closed is None else closed[situation.borrower.id]
            decision = self._decide(situation, found.matcher, shut)
            claims = self._claims(decision, situation) if closed is None and self._limited else ()
            if claims:
                told.waiting.append(self._claimant(situation, found.matcher, claims))
            else:
                recorder.add(decision, found.chunk.before)
        for quiet in found.quiet:
            recorder.add_quiet(quiet, self._quiet(quiet))
        told.counts.update(recorder.counts)
        told.counts["gate.asked"] += self._gate.asked.all - asked
        told.counts["gate.signatures"] += self._gate.asked.signatures - signatures
        return recorder.rows.table("decision"), told

    def _decide(self, situation: Situation, matcher: SweepMatcher, closed: Closed) -> Decision:
        return decide(
            situation,
            self._plan.rulebook,
            self._gate,
            self._plan.about.now,
            matcher,
            queue_open=lambda _loan, queue: queue not in closed,
        )

    def _claims(self, decision: Decision, situation: Situation) -> tuple[Claim, ...]:
        facts = {loan.id: loan.facts for loan in situation.loans}
        return claims_of(decision, facts, self._plan.queues, self._zone)

    def _claimant(self, situation: Situation, matcher: SweepMatcher, first: tuple[Claim, ...]) -> Claimant:
        def claimed(closed: Closed) -> tuple[Claim, ...]:
            return self._claims(self._decide(situation, matcher, closed), situation) if closed else first

        return Claimant(situation.borrower.id, options_of(claimed))


class _Batch:
    """Some rows of the statement, as values."""

    def __init__(self, batch: "pa.RecordBatch", plan: Plan, names: Sequence[str]) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        whole = pa.Table.from_batches([batch])
        rows = list(zip(*(whole[name].to_pylist() for name in ("borrower_id", "busy", "loans")), strict=True))
        busy = {borrower for borrower, is_busy, _ in rows if is_busy}
        loans = [loan for _, is_busy, its in rows if is_busy for loan in its]
        facts = {loan["loan_id"]: _known(loan, names) for loan in loans}
        moved = [row for its in whole["moved"].to_pylist() for row in its or ()]
        self.matcher = SweepMatcher(
            plan.matching.read(
                [(x["loan_id"], x["borrower_id"], x["stage"], x["strategies"], x["moves"], x["rules"], x["retries"])
                 for x in loans],
                [(x["loan_id"], x["target"], x["strategies"], x["rules"], x["retries"]) for x in moved],
            )
        )  # fmt: skip
        book = _book(whole.filter(pc.field("busy")))
        happened = Happened(retry=plan.retry)
        made = tuple(
            situations(book, facts, busy, now=plan.about.now, happened=happened, actor=plan.about.actor) if busy else ()
        )
        texts = {loan: canonical_json(known) for loan, known in facts.items()}
        self.chunk = Chunk(made, {}, before_of(book, texts, made), len(loans))
        self.quiet = [
            _quiet(loan, plan.matching, names)
            for _, is_busy, its in rows
            if not is_busy
            for loan in its
            if (loan["dpd"] or 0) > 0
        ]


def _known(row: Mapping[str, Any], names: Sequence[str]) -> Facts:
    return {name: row[name] for name in names if row[name] is not None}


def _quiet(row: Mapping[str, Any], matching: MatchingSql, names: Sequence[str]) -> Quiet:
    (strategy,) = matching.names(row["strategies"]) or (None,)
    facts = canonical_json(_known(row, names))
    return Quiet(
        row["loan_id"], row["borrower_id"], row["on_on"], row["stage"], row["arm"], strategy, row["feed_age"], facts
    )


def _book(rows: "pa.Table") -> RawBook:
    """The rows of all these borrowers, each once; what only facts are made of stays empty."""
    import pyarrow as pa

    tables = {name: _flat(rows[name], keys) for name, keys in PEOPLE_TABLES.items()}
    return RawBook(**{name: tables.get(name, pa.table({})) for name in RAW_TABLES})


def _flat(lists: "pa.ChunkedArray", keys: Sequence[str]) -> "pa.Table":
    import pyarrow as pa

    table = pa.Table.from_struct_array(lists.combine_chunks().flatten())
    seen: dict[tuple[Any, ...], int] = {}
    for number, key in enumerate(zip(*(table[key].to_pylist() for key in keys), strict=True)):
        seen.setdefault(key, number)
    return table if len(seen) == table.num_rows else table.take(list(seen.values()))


# What a pass hands back: a decision, or in the last column something else to say, for whoever put the question.


def schema() -> "pa.Schema":
    """Of the rows of a pass: COLUMNS, and `told`, which is null in a decision."""
    import pyarrow as pa

    from store.bulk_arrow import arrow_schema

    return pa.schema([*arrow_schema("decision", COLUMNS), pa.field("told", pa.binary())])


def passed(decisions: "pa.Table", told: Told) -> Iterator["pa.RecordBatch"]:
    """The rows of a pass over one batch."""
    import pyarrow as pa

    shape = schema()
    plain = decisions.select(COLUMNS).append_column("told", pa.nulls(decisions.num_rows, pa.binary()))
    yield from plain.cast(shape).to_batches()
    nothing = [pa.nulls(1, column.type) for column in list(shape)[:-1]]
    yield pa.RecordBatch.from_arrays([*nothing, pa.array([pickle.dumps(told)], pa.binary())], schema=shape)


def heard(told: Iterable[bytes]) -> Told:
    """What the passes of all batches had to say."""
    everything = Told()
    for text in told:
        one: Told = pickle.loads(text)  # noqa: S301 - written by `passed`, by our own workers
        everything.counts.update(one.counts)
        everything.waiting.extend(one.waiting)
    return everything


_deciders: dict[str, Decider] = {}
"""One for each run that this process works for: a signature is asked about once in a process, not once in a task."""


def decider(plan: Plan) -> Decider:
    """That of the plan in this process."""
    if plan.key not in _deciders:
        _deciders.clear()
        _deciders[plan.key] = Decider(plan)
    return _deciders[plan.key]
