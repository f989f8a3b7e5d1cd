"""Which strategies, moves and rules match a loan: the one thing the targets do differently from each other."""

from collections.abc import Mapping
from threading import Lock
from typing import Protocol

from engine.interpreter import evaluate
from engine.live import LiveMatcher
from engine.situation import Loan
from engine.stages import Stage
from engine.strategy import Strategy
from engine.tree import FactValue


class Matcher(Protocol):
    """Whoever evaluates conditions: the interpreter, the live engine, or a sweep's precomputed columns."""

    def strategies(self, loan: Loan) -> tuple[str, ...]:
        """Ids of the strategies whose `applies_to` is true of the loan, in any order."""
        ...

    def moves(self, strategy: Strategy, loan: Loan) -> frozenset[str]:
        """Ids of the moves that match, whatever stage they start from."""
        ...

    def rules(self, strategy: Strategy, loan: Loan, stage: Stage, facts: Mapping[str, FactValue]) -> frozenset[str]:
        """Ids of the stage's rules that match, on the facts as they stand after the loan's move."""
        ...


class InterpreterMatcher:
    """The definition: every condition by the plain interpreter."""

    def __init__(self, strategies: Mapping[str, Strategy]) -> None:
        self._strategies = strategies

    def strategies(self, loan: Loan) -> tuple[str, ...]:
        return tuple(
            name for name, strategy in self._strategies.items() if evaluate(strategy.applies_to, loan.facts) is True
        )

    def moves(self, strategy: Strategy, loan: Loan) -> frozenset[str]:
        return frozenset(move.id for move in strategy.moves if evaluate(move.when, loan.facts) is True)

    def rules(self, strategy: Strategy, loan: Loan, stage: Stage, facts: Mapping[str, FactValue]) -> frozenset[str]:
        del loan
        return frozenset(rule.id for rule in strategy.rules.get(stage, ()) if evaluate(rule.when, facts) is True)


class LiveMatcherSet:
    """
    Every condition by the live engine: for one borrower, now, because something happened.

    One engine for the choice of strategies and one for each strategy, built when first needed and never
    given back: keep one set per rulebook.
    """

    def __init__(self, strategies: Mapping[str, Strategy]) -> None:
        self._strategies = strategies
        self._applies: LiveMatcher | None = None
        self._engines: dict[str, LiveMatcher] = {}
        self._building = Lock()

    def strategies(self, loan: Loan) -> tuple[str, ...]:
        with self._building:
            if self._applies is None:
                self._applies = LiveMatcher({name: each.applies_to for name, each in self._strategies.items()})
        return tuple(sorted(self._applies.matching(loan.facts)))

    def moves(self, strategy: Strategy, loan: Loan) -> frozenset[str]:
        matching = self._engine(strategy).matching(loan.facts)
        return frozenset(move.id for move in strategy.moves if move.id in matching)

    def rules(self, strategy: Strategy, loan: Loan, stage: Stage, facts: Mapping[str, FactValue]) -> frozenset[str]:
        del loan
        matching = self._engine(strategy).matching(facts)
        return frozenset(rule.id for rule in strategy.rules.get(stage, ()) if rule.id in matching)

    def _engine(self, strategy: Strategy) -> LiveMatcher:
        with self._building:
            engine = self._engines.get(strategy.id)
            if engine is None:
                # Ids are unique across moves and rules, so one engine can hold both.
                when = {move.id: move.when for move in strategy.moves}
                when |= {rule.id: rule.when for rules in strategy.rules.values() for rule in rules}
                engine = self._engines[strategy.id] = LiveMatcher(when)
        return engine


def after_move(facts: Mapping[str, FactValue], target: Stage) -> dict[str, FactValue]:
    """The facts as they stand once the loan has entered a stage: what the stage's rules are matched on."""
    return {**facts, "stage": target, "days_in_stage": 0}
