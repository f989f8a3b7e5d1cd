"""
The sweep's target: every condition of every strategy over a whole chunk in one SQL statement, nested by strategy and stage.

What comes back is a `SweepMatcher`: the same questions as any other matcher, answered from columns.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from engine.facts import Catalogue
from engine.matching import after_move
from engine.rulebook import Rulebook
from engine.situation import Loan
from engine.sql import case_list
from engine.stages import STAGES, Stage
from engine.strategy import MoveRule, Rule, Strategy
from engine.tree import Condition, FactValue

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, Statement

_NOTHING: Final[frozenset[str]] = frozenset()
_EMPTY: Final = "''"


@dataclass(slots=True)
class Matched:
    """What matches one loan: strategies, moves from its stage, and rules by the stage it is or may come to be in."""

    borrower: int
    strategies: tuple[str, ...] = ()
    moves: frozenset[str] = _NOTHING
    rules: dict[Stage, frozenset[str]] = field(default_factory=dict)


class SweepMatcher:
    """A matcher that looks up what one statement found out for the whole chunk."""

    def __init__(self, matched: Mapping[int, Matched]) -> None:
        self._matched = matched

    def strategies(self, loan: Loan) -> tuple[str, ...]:
        """Ids of the strategies that apply."""
        return self._matched[loan.id].strategies

    def moves(self, strategy: Strategy, loan: Loan) -> frozenset[str]:
        """Ids of the matching moves from the loan's stage."""
        del strategy
        return self._matched[loan.id].moves

    def rules(self, strategy: Strategy, loan: Loan, stage: Stage, facts: Mapping[str, FactValue]) -> frozenset[str]:
        """Ids of the matching rules of the stage, on the facts as the statement took them anew for that stage."""
        del strategy, facts
        return self._matched[loan.id].rules.get(stage, _NOTHING)


@dataclass(frozen=True, slots=True)
class Quiet:
    """An overdue loan of a borrower about whom nothing is to be decided: it gets its log entry, and that is all."""

    loan: int
    borrower: int
    on: date
    stage: Stage
    arm: str | None
    strategy: str | None
    feed_age: int | None
    facts_json: str


class SweepStatement:
    """The statements of one rulebook, generated when first needed and run for every chunk."""

    def __init__(self, rulebook: Rulebook) -> None:
        self._strategies = tuple(rulebook.strategies.values())
        self._facts_text = facts_text(rulebook.catalogue)
        self._statements: list[Statement] = []
        # Of a whole book few combinations are ever found.
        self._found = lru_cache(maxsize=10_000)(self._named)

    def match(self, duckdb: "DuckDBPyConnection", retry: Iterable[int]) -> None:
        """
        Match the loans of the temporary table `facts`; leaves the temporary tables `matched` and `matched_moved`.

        Args:
            retry: loans for which rules that listen to an event are asked about as well.
        """
        with _registered(duckdb, "retrying", "loan_id", retry):
            for statement in self._parsed(duckdb):
                duckdb.execute(statement)

    def busy(self, duckdb: "DuckDBPyConnection", leave_out: Iterable[int] = ()) -> dict[int, Matched]:
        """
        What matches each loan of every borrower of whom anything does.

        Args:
            leave_out: borrowers who are decided already.
        """
        with _registered(duckdb, "done", "borrower_id", leave_out):
            rows = duckdb.execute(
                "select loan_id, borrower_id, stage, strategies, moves, rules, retries from matched"
                " anti join done using (borrower_id) where borrower_id in ("
                "select borrower_id from matched"
                " where moves <> '' or rules <> '' or retries <> '' or contains(strategies, ','))"
            ).fetchall()
        matched: dict[int, Matched] = {}
        for loan_id, borrower_id, stage, strategies, moves, rules, retries in rows:
            names, moving, ruling = self._found(strategies, stage, moves, rules, retries)
            matched[loan_id] = Matched(borrower_id, names, moving, {stage: ruling})
        for loan_id, target, strategies, rules, retries in duckdb.execute("from matched_moved").fetchall():
            if loan_id in matched:
                _, _, matched[loan_id].rules[target] = self._found(strategies, target, "", rules, retries)
        return matched

    def _named(
        self, strategies: str, stage: Stage, moves: str, rules: str, retries: str
    ) -> tuple[tuple[str, ...], frozenset[str], frozenset[str]]:
        """Ids of strategies, moves and rules by their positions; of moves and rules where one strategy applies."""
        applying = tuple([self._strategies[position] for position in _positions(strategies)])
        names = tuple([strategy.id for strategy in applying])
        if len(applying) != 1:
            return names, _NOTHING, _NOTHING
        (strategy,) = applying
        listening = _ids(_listening(strategy, stage), retries)
        return names, _ids(_moves(strategy, stage), moves), _ids(_rules(strategy, stage), rules) | listening

    def facts_json(self, duckdb: "DuckDBPyConnection", loans: Sequence[int]) -> dict[int, str]:
        """The facts of these loans as canonical JSON: keys sorted, missing facts left out."""
        with _registered(duckdb, "wanted", "loan_id", loans):
            rows = duckdb.execute(f"select loan_id, {self._facts_text} from facts semi join wanted using (loan_id)")
            return dict(rows.fetchall())

    def quiet(self, duckdb: "DuckDBPyConnection", busy: Iterable[int]) -> Iterator[Quiet]:
        """The overdue loans of everybody but these borrowers, by loan id."""
        with _registered(duckdb, "busy", "borrower_id", busy):
            rows = duckdb.execute(
                f"select loan_id, borrower_id, on_on, stage, arm, strategies, feed_age, {self._facts_text}"
                " from facts join (select loan_id, strategies from matched) using (loan_id)"
                " anti join busy using (borrower_id)"
                " where dpd > 0 order by loan_id"
            ).fetchall()
        for loan, borrower, on, stage, arm, strategies, feed_age, text in rows:
            strategy = self._strategies[int(strategies)].id if strategies else None
            yield Quiet(loan, borrower, on, stage, arm, strategy, feed_age, text)

    def _parsed(self, duckdb: "DuckDBPyConnection") -> "list[Statement]":
        if not self._statements:
            # Parsing takes as long as matching a small book.
            self._statements = duckdb.extract_statements(f"{self.matched_sql};\n{self.moved_sql}")
        return self._statements

    @property
    def matched_sql(self) -> str:
        """What matches each loan in the stage it is in, as positions in the rulebook, from 0."""
        applies = _list(strategy.applies_to for strategy in self._strategies)
        return (
            f"create or replace temp table matched as with applied as (select *, {applies} as strategies from facts)"
            f" select loan_id, borrower_id, stage, strategies,"
            f" {self._nested(_moves)} as moves, {self._nested(_rules)} as rules,"
            f" {_if_retrying(self._nested(_listening))} as retries from applied"
        )

    @property
    def moved_sql(self) -> str:
        """The rules of every stage that a matching move may lead to, on the facts as they are there."""
        parts = []
        for target in STAGES:
            sources = sorted({s for x in self._strategies for m in x.moves if m.target == target for s in m.sources})
            if not sources:
                continue
            anew = ", ".join(f"{_literal(value)} as {name}" for name, value in after_move({}, target).items())
            parts.append(
                f"select loan_id, '{target}' as target, strategies, {self._by_strategy(_rules, target)} as rules,"
                f" {_if_retrying(self._by_strategy(_listening, target))} as retries"
                f" from (select facts.* replace ({anew}), strategies from facts join matched using (loan_id)"
                f" where moves <> '' and facts.stage in ({', '.join(map(_literal, sources))}))"
            )
        nothing = "select 0::bigint as loan_id, '' as target, '' as strategies, '' as rules, '' as retries where false"
        return f"create or replace temp table matched_moved as {' union all '.join([nothing, *parts])}"

    def _nested(self, parts: "_Parts") -> str:
        """By strategy, then by stage: a loan is compared with the conditions of its own stage only."""
        return _case("stage", {stage: self._by_strategy(parts, stage) for stage in STAGES})

    def _by_strategy(self, parts: "_Parts", stage: Stage) -> str:
        lists = {str(i): _list(p.when for p in parts(s, stage)) for i, s in enumerate(self._strategies)}
        return _case("strategies", lists)


_Part = MoveRule | Rule
_Parts = Callable[[Strategy, Stage], tuple[_Part, ...]]


def _moves(strategy: Strategy, stage: Stage) -> tuple[_Part, ...]:
    return tuple(move for move in strategy.moves if stage in move.sources)


def _rules(strategy: Strategy, stage: Stage) -> tuple[_Part, ...]:
    return tuple(rule for rule in strategy.rules.get(stage, ()) if not rule.on)


def _listening(strategy: Strategy, stage: Stage) -> tuple[_Part, ...]:
    return tuple(rule for rule in strategy.rules.get(stage, ()) if rule.on)


def _list(conditions: Iterable[Condition]) -> str:
    """The positions of the conditions that are true, joined by commas; an empty text for none."""
    return case_list({str(n): condition for n, condition in enumerate(conditions)})


def _case(column: str, branches: Mapping[str, str]) -> str:
    filled = [f"when {_literal(key)} then {branch}" for key, branch in branches.items() if branch != _EMPTY]
    return f"case {column} {' '.join(filled)} else {_EMPTY} end" if filled else _EMPTY


def _if_retrying(branch: str) -> str:
    return branch if branch == _EMPTY else f"case when loan_id in (from retrying) then {branch} else {_EMPTY} end"


def _literal(value: FactValue) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _positions(text: str) -> list[int]:
    return [int(position) for position in text.split(",")] if text else []


def _ids(parts: Sequence[_Part], positions: str) -> frozenset[str]:
    return frozenset(parts[position].id for position in _positions(positions)) if positions else _NOTHING


def facts_text(catalogue: Catalogue) -> str:
    """An expression that writes a row of `facts` as canonical JSON, so that what is logged is what was decided on."""
    pairs = []
    for name in sorted(catalogue.facts):
        value = f'to_json("{name}")' if catalogue.facts[name].type == "text" else f'"{name}"'
        pairs.append(f"'\"{name}\":' || {value}")
    return f"'{{' || concat_ws(',', {', '.join(pairs)}) || '}}'"


@contextmanager
def _registered(duckdb: "DuckDBPyConnection", name: str, column: str, ids: Iterable[int]) -> Iterator[None]:
    import pyarrow as pa

    duckdb.register(name, pa.table({column: pa.array(sorted(ids), pa.int64())}))
    try:
        yield
    finally:
        duckdb.unregister(name)
