"""The sweep's SQL as a scenario target: each condition as the statement writes it, over a table of one row."""

from collections.abc import Iterable, Mapping
from typing import Final

from engine.facts import Catalogue
from engine.rulebook import Rulebook
from engine.situation import Loan
from engine.sql import column, to_sql
from engine.stages import Stage
from engine.strategy import Strategy
from engine.tree import Condition, FactValue

_TYPES: Final = {"int": "bigint", "money": "bigint", "bool": "boolean", "text": "varchar"}


class SqlMatcher:
    """
    A matcher that asks DuckDB. Not for one thread while another uses it.

    Slow by design: one query for each question. The sweep asks about the whole book at once.
    """

    def __init__(self, rulebook: Rulebook) -> None:
        import duckdb

        self._rulebook = rulebook
        self._row = _row(rulebook.catalogue)
        self._names = tuple(rulebook.catalogue.facts)
        self._duckdb = duckdb.connect(":memory:")

    def strategies(self, loan: Loan) -> tuple[str, ...]:
        """Ids of the strategies that apply, in the rulebook's order."""
        applies = ((strategy.id, strategy.applies_to) for strategy in self._rulebook.strategies.values())
        matching = self._matching(applies, loan.facts)
        return tuple(name for name in self._rulebook.strategies if name in matching)

    def moves(self, strategy: Strategy, loan: Loan) -> frozenset[str]:
        """Ids of the moves that match, whatever stage they start from."""
        return self._matching(((move.id, move.when) for move in strategy.moves), loan.facts)

    def rules(self, strategy: Strategy, loan: Loan, stage: Stage, facts: Mapping[str, FactValue]) -> frozenset[str]:
        """Ids of the stage's rules that match, on the facts as they stand after the loan's move."""
        del loan
        return self._matching(((rule.id, rule.when) for rule in strategy.rules.get(stage, ())), facts)

    def _matching(self, conditions: Iterable[tuple[str, Condition]], facts: Mapping[str, FactValue]) -> frozenset[str]:
        named = dict(conditions)
        if not named:
            return frozenset()
        answers = ", ".join(to_sql(condition) for condition in named.values())
        values = [facts.get(name) for name in self._names]
        row = self._duckdb.execute(f"select {answers} from ({self._row})", values).fetchone()
        return frozenset(name for name, answer in zip(named, row or (), strict=True) if answer is True)


def _row(catalogue: Catalogue) -> str:
    """One row with a column for every fact, to be bound in the catalogue's order."""
    return "select " + ", ".join(
        f"cast(? as {_TYPES[fact.type]}) as {column(name)}" for name, fact in catalogue.facts.items()
    )
