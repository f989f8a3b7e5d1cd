"""
Stage changes, derived again: each follows from its decision, from an entry rule, or from a person; none is missing.

A change that a run decided is compared with the decision, one of an imported loan with what the strategy's `entry:` rules say
of what was read. Of a person's change only that the machine knows it can be derived: the notices it went by are not kept.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import or_, select

from engine.decision import LoanDecision
from engine.decision_json import from_json
from engine.difference import first_difference
from engine.explain_tree import ExplainNode
from engine.interpreter import evaluate
from engine.matching import InterpreterMatcher
from engine.rulebook import Rulebook
from engine.situation import Loan, Situation
from store.bulk_arrow import Reader, table_of
from store.ids import among
from store.log import readable
from store.log_kinds import erased_text
from store.snapshots import Seen, Unreadable, snapshots_of, unpack
from workflows.deciding.chunk import Chunk
from workflows.deciding.entry import entered, owed
from workflows.deciding.machine import IllegalMoveError, knows_move, refuse_illegal
from workflows.replay.findings import About, Chosen, Replayed, instant_of, odd
from workflows.replay.looks import NO_SNAPSHOT
from workflows.replay.publications import Deciders

Row = dict[str, Any]

NO_CHANGE: Final = "a decision moved the loan, and no stage change says so"
LACKING: Final = "the loan stands where no stage change has put it"
NO_RUN: Final = "no run placed it"
_LOANS: Final = 5_000


class StagesAgain:
    """
    Derives the stage changes of runs that placed loans, and then all the others, loan by loan.

    Args:
        chunk: makes situations again of what was kept.
    """

    def __init__(self, reader: Reader, chunk: Callable[[Rulebook, Seen], Chunk], replayed: Replayed) -> None:
        self._reader = reader
        self._chunk = chunk
        self._replayed = replayed
        self._done: set[int] = set()
        self._lost: dict[int, str] = {}

    def placed(self, run: Row, deciders: Deciders, loan: int | None, borrower: int | None) -> None:
        """Where the loans of one run entered; with a loan, only that one."""
        matcher = InterpreterMatcher(deciders.rulebook.strategies)
        for snapshot in snapshots_of(self._reader, run["id"], borrower):
            try:
                seen = unpack(snapshot.content, snapshot.digest)
                if seen.book is None:
                    continue
                situations = self._chunk(deciders.rulebook, seen).situations
            except Unreadable as error:
                self._lost[run["id"]] = str(error)
                continue
            notice = seen.book.notice
            served = set(zip(notice["loan_id"].to_pylist(), notice["kind"].to_pylist(), strict=True))
            pairs = [(one, each) for one in situations for each in one.loans if loan is None or each.id == loan]
            rows = {
                row["loan_id"]: row for row in self._rows([each.id for _, each in pairs]) if row["run_id"] == run["id"]
            }
            for situation, each in pairs:
                row = rows.get(each.id)
                about = About(run["id"], each.id, instant_of(run["now_at"]), "stage change", "1")
                try:
                    derived = _entry(situation, each, deciders.rulebook, matcher, served, run)
                except Exception as error:  # noqa: BLE001 - what may stand in a snapshot has no end; the type is told
                    self._replayed.unknown(about, odd("what was kept of it", error))
                    self._done.update([row["id"]] if row is not None else [])
                    continue
                if row is None:
                    if derived is not None:
                        tree = ExplainNode(f"entered {derived['target']}", "no")
                        self._replayed.differs(about, "it was placed, and no stage change says so", tree)
                    continue
                self._done.add(row["id"])
                logged = {**_logged(row), "reason": row["reason"]}
                if derived is not None and row["reason"] == erased_text("stage_change", str(row["id"])):
                    derived["reason"] = row["reason"]
                self._compare(about, logged, derived or {}, deciders.doubt)

    def cannot(self, run: Row, why: str) -> None:
        """What a run placed cannot be derived."""
        self._lost[run["id"]] = why

    def rest(self, chosen: Chosen) -> None:
        """Every other change, that none is missing, and, where all of a loan was asked for, that it stands where they end."""
        for loans in self._pages(chosen):
            changes, decisions = defaultdict(list), {}
            for row in self._rows(list(loans)):
                changes[row["loan_id"]].append(row)
            for row in self._decisions(list(loans)):
                decisions[row["run_id"], row["loan_id"]] = row
            for one, (stage, entry) in loans.items():
                last = self._loan(changes[one], decisions, chosen)
                if chosen.whole and last != (stage, entry):
                    logged = {"stage": stage, "entry": entry}
                    tree = first_difference("the loan", logged, {"stage": last[0], "entry": last[1]})
                    self._replayed.differs(About(None, one, None, "stage change", str(entry)), LACKING, tree)
            for (run, one), row in decisions.items():
                if chosen.wants(run, row["now_at"]):
                    about = About(run, one, instant_of(row["now_at"]), "stage change")
                    tree = ExplainNode(f"from {row['stage_before']} to {row['stage_after']}", "no")
                    self._replayed.differs(about, NO_CHANGE, tree)

    def _loan(self, changes: Sequence[Row], decisions: dict[tuple[int, int], Row], chosen: Chosen) -> tuple[str, int]:
        """One loan's changes, first to last; those of its decisions that had one are taken out. Where it ends."""
        stage, entry = "current", 0
        for row in changes:
            follows = {"entry": entry + 1, "source": stage}
            stage, entry = row["target"], row["entry"]
            decided = decisions.pop((row["run_id"], row["loan_id"]), None)
            if row["id"] in self._done or not chosen.wants(row["run_id"], row["at"]):
                continue
            about = About(row["run_id"], row["loan_id"], instant_of(row["at"]), "stage change", str(row["entry"]))
            if row["cause"].startswith("entry:"):
                self._replayed.unknown(about, self._lost.get(row["run_id"], NO_SNAPSHOT) if row["run_id"] else NO_RUN)
            elif row["cause"].startswith("move:"):
                self._compare(about, _logged(row), {**follows, **_decided(row, decided)})
            else:
                known = knows_move(row["source"], row["target"], row["reason"], row["on_on"])
                target = row["target"] if known else f"never {row['target']}"
                self._compare(about, _logged(row), {**_logged(row), **follows, "target": target})
        return stage, entry

    def _compare(self, about: About, logged: Mapping[str, Any], derived: Mapping[str, Any], doubt: str = "") -> None:
        found = first_difference("the stage change", _plain(logged), _plain(derived))
        if found is None:
            self._replayed.same("stage change")
        elif doubt:
            self._replayed.unknown(about, f"it comes out differently, and was {doubt}")
        else:
            self._replayed.differs(about, "it comes out differently", found)

    def _pages(self, chosen: Chosen) -> Iterator[dict[int, tuple[str, int]]]:
        """The loans concerned and where they stand now, some at a time."""
        book, change, decision = table_of("loan"), table_of("stage_change"), table_of("decision")
        wanted = select(book.c.id, book.c.stage, book.c.stage_entry).order_by(book.c.id).limit(_LOANS)
        if chosen.loan is not None:
            wanted = wanted.where(book.c.id == chosen.loan)
        if not chosen.whole:
            moved = select(decision.c.loan_id).where(decision.c.stage_before != decision.c.stage_after)
            changed = chosen.narrowed(select(change.c.loan_id), change.c.run_id, change.c.at)
            decided = chosen.narrowed(moved, decision.c.run_id, decision.c.now_at)
            wanted = wanted.where(or_(book.c.id.in_(changed), book.c.id.in_(decided)))
        after = 0
        while True:
            rows = self._reader.read(wanted.where(book.c.id > after)).to_pylist()
            if not rows:
                return
            after = rows[-1]["id"]
            yield {row["id"]: (row["stage"], row["stage_entry"]) for row in rows}

    def _rows(self, loans: Sequence[int]) -> list[Row]:
        change = table_of("stage_change")
        wanted = select(change).order_by(change.c.loan_id, change.c.entry)
        return readable(self._reader, lambda some: wanted.where(among(change.c.loan_id, some)), loans)

    def _decisions(self, loans: Sequence[int]) -> list[Row]:
        """Decisions about these loans that moved them."""
        decision = table_of("decision")
        names = ("run_id", "loan_id", "now_at", "on_on", "stage_before", "stage_after", "trace_json")
        wanted = select(*(decision.c[name] for name in names)).where(decision.c.stage_before != decision.c.stage_after)
        return readable(self._reader, lambda some: wanted.where(among(decision.c.loan_id, some)), loans)


def _entry(
    situation: Situation,
    loan: Loan,
    rulebook: Rulebook,
    matcher: InterpreterMatcher,
    served: Collection[tuple[int, str]],
    run: Row,
) -> dict[str, Any] | None:
    """The stage change of a loan that enters; None where it does not."""
    names, dpd = matcher.strategies(loan), loan.facts.get("dpd")
    if loan.stage != "current" or loan.stage_entry or len(names) != 1 or type(dpd) is not int:
        return None
    rules = rulebook.strategies[names[0]].entry
    if not rules:
        return None
    stage, cause = entered(next((rule for rule in rules if evaluate(rule.when, loan.facts) is True), None))
    return {
        "entry": 1, "source": "current", "target": stage, "cause": cause, "on": situation.on, "at": run["now_at"],
        "reason": owed(stage, loan.id, served),
    }  # fmt: skip


def _decided(row: Row, decision: Row | None) -> dict[str, Any]:
    """What follows from the decision that a change names."""
    trace = _trace(decision)
    if decision is None or trace is None:
        return {"decision": "none that moved the loan"}
    taken = next((move.rule for move in trace.moves if move.taken), "none")
    try:
        refuse_illegal([trace])
        target = trace.stage_after
    except IllegalMoveError as error:
        return {"decision": str(error)}
    said = {"target": target, "cause": f"move:{taken}", "on": decision["on_on"], "at": decision["now_at"]}
    return said if decision["stage_before"] == row["source"] else {**said, "source": decision["stage_before"]}


def _trace(decision: Row | None) -> LoanDecision | None:
    try:
        return from_json(decision["trace_json"]) if decision is not None else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _logged(row: Row) -> dict[str, Any]:
    return {
        "entry": row["entry"], "source": row["source"], "target": row["target"], "cause": row["cause"],
        "on": row["on_on"], "at": row["at"],
    }  # fmt: skip


def _plain(said: Mapping[str, Any]) -> dict[str, Any]:
    return {name: str(instant_of(it) or it) if name == "at" else str(it) for name, it in said.items()}
