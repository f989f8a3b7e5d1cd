"""
The text of the sweep's statement, and what its answer means: the same for every engine that runs it.

It is written in DuckDB's tongue and stays inside the part of it that `workflows.portable` can say in Spark's.
Which of some conditions match is one number (`engine.sql.bits`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from engine.matching import after_move
from engine.sql import bits, column
from engine.stages import STAGES, Stage
from engine.strategy import MoveRule, Rule, Strategy
from engine.tree import FactValue, facts_of

ANYTHING: Final = "(moves <> 0 or rules <> 0 or retries <> 0 or (strategies & (strategies - 1)) <> 0)"
"""True of a row of `matched` about which there is something to decide; several strategies are told from one by their bits."""

MATCHED_COLUMNS: Final = ("strategies", "moves", "rules", "retries")
MOVED_COLUMNS: Final = ("target", "strategies", "rules", "retries")

_NOTHING: Final[frozenset[str]] = frozenset()
_NONE: Final = "0"
_RETRYING: Final = "left join retrying on retrying.loan_id = facts.loan_id"


@dataclass(slots=True)
class Matched:
    """What matches one loan: strategies, moves from its stage, and rules by the stage it is or may come to be in."""

    borrower: int
    strategies: tuple[str, ...] = ()
    moves: frozenset[str] = _NOTHING
    rules: dict[Stage, frozenset[str]] = field(default_factory=dict)


class MatchingSql:
    """
    The statements of a rulebook's strategies, over a table `facts` and a table `retrying` of loan ids.

    Attributes:
        matched: a row for each loan: loan_id, borrower_id, stage and MATCHED_COLUMNS. Nested by strategy and stage: a loan
            is compared with the conditions of its own stage only.
        moved: over `facts` and `matched`: a row for each loan and stage that a matching move may lead to, loan_id and
            MOVED_COLUMNS, on the facts as they would be there.
    """

    def __init__(self, strategies: Iterable[Strategy]) -> None:
        self.strategies = tuple(strategies)
        # Of a whole book few combinations are ever found.
        self._found = lru_cache(maxsize=10_000)(self._ids)
        applies = bits([strategy.applies_to for strategy in self.strategies])
        self.matched = (
            f"with applied as (select facts.*, retrying.loan_id as retry, {applies} as strategies from facts {_RETRYING})\n"
            f"select loan_id, borrower_id, stage, strategies,\n    {self._nested(_moves)} as moves,\n"
            f"    {self._nested(_rules)} as rules,\n    {_if_retrying(self._nested(_listening))} as retries\nfrom applied"
        )
        self.moved = "\nunion all\n".join([
            "select cast(0 as bigint) as loan_id, '' as target, 0 as strategies, 0 as rules, 0 as retries where false",
            *(self._moved_to(target) for target in STAGES if self._sources(target)),
        ])  # fmt: skip

    def __reduce__(self) -> tuple[type["MatchingSql"], tuple[tuple[Strategy, ...]]]:
        """What it remembers does not travel between processes."""
        return MatchingSql, (self.strategies,)

    def read(
        self, loans: Iterable[tuple[int, int, Stage, int, int, int, int]], moved: Iterable[tuple[Any, ...]]
    ) -> dict[int, Matched]:
        """
        What the numbers say.

        Args:
            loans: loan_id, borrower_id, stage and MATCHED_COLUMNS.
            moved: loan_id and MOVED_COLUMNS; of other loans than those they are passed over.
        """
        matched: dict[int, Matched] = {}
        for loan_id, borrower_id, stage, strategies, moves, rules, retries in loans:
            names, moving, ruling = self._found(strategies, stage, moves, rules, retries)
            matched[loan_id] = Matched(borrower_id, names, moving, {stage: ruling})
        for loan_id, target, strategies, rules, retries in moved:
            if loan_id in matched:
                _, _, matched[loan_id].rules[target] = self._found(strategies, target, 0, rules, retries)
        return matched

    def names(self, strategies: int) -> tuple[str, ...]:
        """Ids of the strategies that apply."""
        return tuple(self.strategies[position].id for position in _positions(strategies))

    def _ids(
        self, strategies: int, stage: Stage, moves: int, rules: int, retries: int
    ) -> tuple[tuple[str, ...], frozenset[str], frozenset[str]]:
        """Ids of strategies, moves and rules; of moves and rules where one strategy applies."""
        names = self.names(strategies)
        if len(names) != 1:
            return names, _NOTHING, _NOTHING
        strategy = self.strategies[strategies.bit_length() - 1]
        ruling = _ids(_rules(strategy, stage), rules) | _ids(_listening(strategy, stage), retries)
        return names, _ids(_moves(strategy, stage), moves), ruling

    def _sources(self, target: Stage) -> list[Stage]:
        return sorted({s for x in self.strategies for m in x.moves if m.target == target for s in m.sources})

    def _moved_to(self, target: Stage) -> str:
        anew = after_move({}, target)
        asked = {fact for x in self.strategies for rule in x.rules.get(target, ()) for fact in facts_of(rule.when)}
        facts = "".join(f", {_anew(fact, anew)}" for fact in sorted(asked))
        return (
            f"select loan_id, {_literal(target)} as target, strategies,\n"
            f"    {self._by_strategy(_rules, target)} as rules,\n"
            f"    {_if_retrying(self._by_strategy(_listening, target))} as retries\n"
            f"from (select facts.loan_id, retrying.loan_id as retry, matched.strategies{facts}\n"
            f"    from facts join matched on matched.loan_id = facts.loan_id {_RETRYING}\n"
            f"    where matched.moves <> 0 and facts.stage in ({', '.join(map(_literal, self._sources(target)))})) as there"
        )

    def _nested(self, parts: "_Parts") -> str:
        return _case("stage", {_literal(stage): self._by_strategy(parts, stage) for stage in STAGES})

    def _by_strategy(self, parts: "_Parts", stage: Stage) -> str:
        numbers = {str(1 << i): bits([p.when for p in parts(s, stage)]) for i, s in enumerate(self.strategies)}
        return _case("strategies", numbers)


_Part = MoveRule | Rule
_Parts = Callable[[Strategy, Stage], tuple[_Part, ...]]


def _moves(strategy: Strategy, stage: Stage) -> tuple[_Part, ...]:
    return tuple(move for move in strategy.moves if stage in move.sources)


def _rules(strategy: Strategy, stage: Stage) -> tuple[_Part, ...]:
    return tuple(rule for rule in strategy.rules.get(stage, ()) if not rule.on)


def _listening(strategy: Strategy, stage: Stage) -> tuple[_Part, ...]:
    return tuple(rule for rule in strategy.rules.get(stage, ()) if rule.on)


def _case(name: str, branches: Mapping[str, str]) -> str:
    filled = [f"when {key} then {branch}" for key, branch in branches.items() if branch != _NONE]
    return f"case {name} {' '.join(filled)} else {_NONE} end" if filled else _NONE


def _if_retrying(branch: str) -> str:
    if branch == _NONE:
        return branch
    return f"case when retry is null then {_NONE} else {branch} end"


def _anew(fact: str, anew: Mapping[str, FactValue]) -> str:
    return f"{_literal(anew[fact])} as {column(fact)}" if fact in anew else f"facts.{column(fact)}"


def _literal(value: FactValue) -> str:
    return f"'{value}'" if isinstance(value, str) else str(value)


def _positions(number: int) -> list[int]:
    return [position for position in range(number.bit_length()) if number >> position & 1]


def _ids(parts: Sequence[_Part], number: int) -> frozenset[str]:
    return frozenset(parts[position].id for position in _positions(number)) if number else _NOTHING
