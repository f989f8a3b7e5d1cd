"""The decisions of one run, derived again from what was read for them, and compared with what was logged."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import cache, partial
from typing import Any, Final

from sqlalchemy import select

from engine.decision import Decision, LoanDecision
from engine.decision_json import from_json, trace_json
from engine.difference import first_difference
from engine.explain_tree import ExplainNode
from engine.judging import QUEUE_FULL
from engine.matching import InterpreterMatcher
from engine.resolution import decide
from engine.situation import Situation
from store.bulk_arrow import Reader, table_of
from store.columns import from_us
from store.decisions import LoanBefore, columns_of, is_news
from store.ids import among
from store.log import unreadable
from store.snapshots import Seen
from workflows.deciding.allotment import Closed
from workflows.deciding.chunk import Chunk
from workflows.replay.by_hand import QUESTION, by_hand_again, wrong_question
from workflows.replay.findings import About, Replayed, instant_of, odd
from workflows.replay.looks import NO_SNAPSHOT, NOT_IN_IT
from workflows.replay.publications import Deciders
from workflows.replay.quiet import QuietAgain
from workflows.replay.seats import NO_SEATS, WISH, SeatsAgain

Row = dict[str, Any]

NOT_LOGGED: Final = "nothing about it is in the log"
"""Of a loan that was seen, and about which something was to be decided."""


class DecisionsAgain:
    """Derives the decisions of one run, with what it decided by."""

    def __init__(
        self, run: Row, deciders: Deciders, digests: Mapping[str, str], seats: SeatsAgain, replayed: Replayed
    ) -> None:
        self.id: int = run["id"]
        self.deciders = deciders
        self._now = from_us(run["now_at"])
        self._now_us: int = run["now_at"]
        self._sweep = run["kind"] == "sweep"
        self._done = run["status"] == "done"
        self._digests = digests
        self._seats = seats
        self._one_by_one = None if self._sweep else seats.one_by_one(self._now)
        self._replayed = replayed
        self._matcher = InterpreterMatcher(deciders.rulebook.strategies)
        self._quiet = QuietAgain(deciders.rulebook, self._matcher)

    def seen(
        self, chunk: Chunk, snapshot: int, seen: Seen, rows: Mapping[int, Row], handled: set[int], loan: int | None
    ) -> None:
        """Decisions about borrowers of whom there is a snapshot; `handled` are those of whom there was a newer one."""
        for situation in chunk.situations:
            # Of an event whoever came before may have taken the last seat.
            if loan is not None and self._sweep and loan not in loans_of(situation):
                continue
            decision = self._again(situation, snapshot, seen, rows, handled, loan)
            if decision is None:
                continue
            for decided in decision.loans:
                if loan is None or decided.loan == loan:
                    with self._whatever_comes(decided.loan):
                        self._derived(decided, decision.on, chunk.before[decided.loan], rows.get(decided.loan))

    def _again(
        self,
        situation: Situation,
        snapshot: int,
        seen: Seen,
        rows: Mapping[int, Row],
        handled: set[int],
        loan: int | None,
    ) -> Decision | None:
        """The decision about a borrower; None where there was a newer one, or none can be made of what was kept."""
        decide = cache(partial(self._decide, situation, seen.at))
        with self._whatever_comes(*(each for each in loans_of(situation) if each in rows and loan in (None, each))):
            wrong = self._seats.wrong_wish(snapshot, situation, decide) if self._sweep else None
            if wrong is not None:
                self._replayed.differs(self._about(loan or situation.loans[0].id), WISH, wrong)
            if situation.borrower.id in handled:
                return None
            handled.add(situation.borrower.id)
            return self._seats.decide(situation, decide) if self._sweep else self._next(situation, seen.at)
        return None

    @contextmanager
    def _whatever_comes(self, *loans: int) -> Iterator[None]:
        """Whatever goes wrong with what was kept of these, it is said of them, and the others are derived all the same."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - what may stand there has no end; the type is told
            for loan in loans:
                self._replayed.unknown(self._about(loan), odd("what was kept of it", error))

    def _derived(self, decided: LoanDecision, on: date, before: LoanBefore, row: Row | None) -> None:
        if row is None:
            if self._done and (not self._sweep or is_news(decided, before.dpd)):
                tree = ExplainNode(f"outcome {decided.outcome}", "no")
                self._replayed.differs(self._about(decided.loan), NOT_LOGGED, tree)
        elif QUEUE_FULL in row["trace_json"] and not self._seats.known:
            self._replayed.unknown(self._about(decided.loan), self._seats.lost or NO_SEATS)
        else:
            self._compare(row, decided, {"on_on": on, "facts_json": before.facts_json})

    def _decide(self, situation: Situation, at: datetime, closed: Closed) -> Decision:
        return self._decided(situation, at, lambda _loan, queue: queue not in closed)

    def _next(self, situation: Situation, at: datetime) -> Decision:
        """The next borrower of an event, with the seats that those before them left."""
        if self._one_by_one is None:
            return self._decide(situation, at, frozenset())
        decision = self._decided(situation, at, self._one_by_one.open)
        self._one_by_one.take(decision)
        return decision

    def _decided(self, situation: Situation, at: datetime, queue_open: Callable[[int, str], bool]) -> Decision:
        return decide(situation, self.deciders.rulebook, self.deciders.gate, at, self._matcher, queue_open=queue_open)

    def by_hand(self, rows: Sequence[Row], seen: Seen, chunk: Chunk | None) -> None:
        """
        What a person wanted: the gate's answers to the questions that were kept, and that these follow from what was read.

        Args:
            chunk: what was read; None: a former version kept nothing but the questions.
        """
        for row in rows:
            with self._whatever_comes(row["loan_id"]):
                found = [one for one in chunk.situations if row["loan_id"] in loans_of(one)] if chunk else []
                situation = found[0] if found else None
                derived: dict[str, Any] = {}
                if chunk is not None and situation is not None:
                    if (wrong := wrong_question(seen, situation)) is not None:
                        self._replayed.differs(self._about(row["loan_id"]), QUESTION, wrong)
                        continue
                    derived = {"on_on": situation.on, "facts_json": chunk.before[row["loan_id"]].facts_json}
                elif chunk is not None:
                    self._replayed.unknown(self._about(row["loan_id"]), NOT_IN_IT)
                    continue
                self._compare(row, by_hand_again(logged_trace(row), seen, situation, self.deciders.gate), derived)

    def unseen(self, rows: Sequence[Row], lost: Mapping[tuple[int, int], str]) -> None:
        """Decisions of which there is no snapshot: of loans that nothing matched, or somebody has taken it away."""
        for row in rows:
            logged = logged_trace(row)
            quiet = self._sweep and logged is not None and not (logged.moves or logged.candidates or logged.by_hand)
            if logged is not None and not quiet:
                within = (why for (first, last), why in lost.items() if first <= row["borrower_id"] <= last)
                self._replayed.unknown(self._about(row["loan_id"]), next(within, NO_SNAPSHOT))
            else:
                with self._whatever_comes(row["loan_id"]):
                    self._compare(row, self._quiet.decide(row, self._now), {})

    def _about(self, loan: int) -> About:
        return About(self.id, loan, self._now)

    def _compare(self, row: Row, decided: LoanDecision | None, derived: Mapping[str, Any]) -> None:
        if decided is not None:
            columns = {"now_at": self._now_us, **columns_of(decided, self._digests), **derived}
            same = row["trace_json"] == trace_json(decided) and all(row[name] == it for name, it in columns.items())
            if same:
                self._replayed.same()
                return
            try:
                tree = _difference(row, decided, columns)
            except RecursionError:
                tree = ExplainNode("what was logged is nested too deep to be compared", "no")
        else:
            tree = ExplainNode("what was logged cannot be read", "no")
        if doubt := self.deciders.doubt:
            self._replayed.unknown(self._about(row["loan_id"]), f"it comes out differently, and was {doubt}")
        else:
            self._replayed.differs(self._about(row["loan_id"]), "it comes out differently", tree)


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


def logged_trace(row: Row) -> LoanDecision | None:
    """What a row of the log says was decided; None where it cannot be read."""
    try:
        return from_json(row["trace_json"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def loans_of(situation: Situation) -> tuple[int, ...]:
    return tuple(loan.id for loan in situation.loans)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json_object(text: str) -> dict[str, Any]:
    read = _json(text)
    return read if isinstance(read, dict) else {"trace": read}


def _said(name: str, value: Any) -> Any:
    if name.endswith("_at") and isinstance(value, int) and (at := instant_of(value)) is not None:
        return at.isoformat()
    return value if value is None or isinstance(value, int) else str(value)
