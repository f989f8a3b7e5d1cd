"""
Strategies with one part of one condition taken away: would the scenarios notice?

A part is one item of a list of conditions, one end of a `between`, or a `when` that is one comparison; in a
rule, in a move, or in a condition under `define`, which is then taken away from everything that uses it. An end
that the fact's own range gives anyway is no part.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from engine.errors import Place
from engine.facts import Catalogue
from engine.gate import Gate
from engine.interpreter import evaluate
from engine.matching import InterpreterMatcher, after_move
from engine.rulebook import Rulebook
from engine.scenario import Scenario, run_scenarios
from engine.situation import Loan
from engine.stages import Stage
from engine.strategy import MoveRule, Rule, Strategy
from engine.strategy_checks import walk
from engine.tree import All, Any, Condition, FactValue, Leaf, Named, negated

_ALWAYS = All(())


@dataclass(frozen=True)
class Weakened:
    """
    A strategy without one part.

    Attributes:
        name: what is gone, e.g. `sms-day-1: nothing_in_flight` or `call-m1: upper end of dpd between 1 and 30`.
        changed: by rule or move, its condition as it is then.
    """

    name: str
    changed: Mapping[str, Condition]


class _Matcher(InterpreterMatcher):
    """The interpreter, with some conditions changed."""

    def __init__(self, rulebook: Rulebook, changed: Mapping[str, Condition]) -> None:
        super().__init__(rulebook.strategies)
        self._changed = changed

    def moves(self, strategy: Strategy, loan: Loan) -> frozenset[str]:
        return super().moves(strategy, loan) - self._changed.keys() | self._now(loan.facts)

    def rules(self, strategy: Strategy, loan: Loan, stage: Stage, facts: Mapping[str, FactValue]) -> frozenset[str]:
        return super().rules(strategy, loan, stage, facts) - self._changed.keys() | self._now(facts)

    def _now(self, facts: Mapping[str, FactValue]) -> frozenset[str]:
        return frozenset(name for name, when in self._changed.items() if evaluate(when, facts) is True)


def weakened(strategy: Strategy, catalogue: Catalogue) -> Iterator[Weakened]:
    """The strategy without each part in turn; what its policies add to a move's condition stays."""
    items = _items(strategy)
    for item in items:
        for part, changed in _without(item.when, item.at, catalogue):
            yield Weakened(f"{item.id}: {part}", {item.id: changed})
    for name, body in strategy.define.items():
        for part, changed in _without(body, Place(""), catalogue):
            users = {item.id: _redefined(item.when, name, changed) for item in items if _uses(item.when, name)}
            yield Weakened(f"define {name}: {part}", users)


def unnoticed(strategy: Strategy, rulebook: Rulebook, scenarios: Iterable[Scenario], gate: Gate) -> Iterator[str]:
    """The names of those under which every scenario of the strategy still passes."""
    own = [scenario for scenario in scenarios if scenario.strategy == strategy.id]
    before = {item.id: item.when for item in _items(strategy)}
    for one in weakened(strategy, rulebook.catalogue):
        touched = [
            scenario for scenario in own if any(_differs(before[i], one.changed[i], scenario) for i in one.changed)
        ]
        results = run_scenarios(touched, rulebook, gate, {"weakened": _Matcher(rulebook, one.changed)})
        if all(result.passed for result in results):
            yield one.name


def _items(strategy: Strategy) -> list[MoveRule | Rule]:
    return [*strategy.moves, *(rule for rules in strategy.rules.values() for rule in rules)]


def _differs(before: Condition, after: Condition, scenario: Scenario) -> bool:
    """Whether the condition comes out otherwise in the scenario, on the facts before a move or after it."""
    (loan,) = scenario.situation.loans
    seen = (loan.facts, after_move(loan.facts, scenario.expected.stage))
    return any(evaluate(before, facts) is not evaluate(after, facts) for facts in seen)


def _without(condition: Condition, given_at: Place, catalogue: Catalogue) -> Iterator[tuple[str, Condition]]:
    """What can be taken away, in words, and what is left."""
    if isinstance(condition, All | Any):
        kind = type(condition)
        said = [part for part in condition.parts if not _is_given(part, given_at)]
        for n, part in enumerate(condition.parts):
            if part not in said:
                continue
            rest = condition.parts[:n], condition.parts[n + 1 :]
            if len(said) > 1:
                yield _said(part), kind((*rest[0], *rest[1]))
                inner = _within(part, given_at, catalogue)
            else:
                inner = _without(part, given_at, catalogue)
            yield from ((text, kind((*rest[0], left, *rest[1]))) for text, left in inner)
    elif not _is_given(condition, given_at):
        yield _said(condition), _ALWAYS
        yield from _within(condition, given_at, catalogue)


def _within(part: Condition, given_at: Place, catalogue: Catalogue) -> Iterator[tuple[str, Condition]]:
    match part:
        case All() | Any():
            yield from _without(part, given_at, catalogue)
        case Leaf(fact, "between", (low, high), text, at):
            if low != catalogue.facts[fact].low:
                yield f"lower end of {text}", Leaf(fact, "<=", (high,), text, at)
            if high != catalogue.facts[fact].high:
                yield f"upper end of {text}", Leaf(fact, ">=", (low,), text, at)


def _is_given(condition: Condition, given_at: Place) -> bool:
    """Whether a policy added it: it stands where the whole move does, and nowhere in the file."""
    return all(leaf.at == given_at for leaf in walk(condition) if isinstance(leaf, Leaf))


def _said(condition: Condition) -> str:
    match condition:
        case Leaf():
            return condition.text
        case Named(name, _, is_negated):
            return f"not {name}" if is_negated else name
        case All(parts) | Any(parts):
            return (" and " if isinstance(condition, All) else " or ").join(f"({_said(part)})" for part in parts)


def _uses(condition: Condition, name: str) -> bool:
    return any(isinstance(part, Named) and part.name == name for part in walk(condition))


def _redefined(condition: Condition, name: str, body: Condition) -> Condition:
    match condition:
        case All(parts):
            return All(tuple(_redefined(part, name, body) for part in parts))
        case Any(parts):
            return Any(tuple(_redefined(part, name, body) for part in parts))
        case Named(found, inner, is_negated):
            if found != name:
                return Named(found, _redefined(inner, name, body), is_negated)
            return Named(name, negated(body) if is_negated else body, is_negated)
        case Leaf():
            return condition
