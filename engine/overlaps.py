"""Whether two strategies can apply to one loan, where that can be shown with a loan they would share."""

from collections.abc import Iterator
from itertools import product
from math import prod
from typing import Final

from engine.facts import Catalogue
from engine.interpreter import evaluate
from engine.strategy_checks import walk
from engine.tree import All, Condition, FactValue, Leaf, facts_of

_CASES_MAX: Final = 20_000
_OTHER: Final = "some other text"


def find_overlap(one: Condition, other: Condition, catalogue: Catalogue) -> tuple[str, ...] | None:
    """
    A loan that both conditions are true of, as `fact = value` texts.

    Only claimed where one condition asks about nothing the other does not ask about: facts depend on
    each other (arrears and days past due, say), and a loan made up of unrelated facts may not exist.

    Returns:
        None when there is no such loan, or it would take too long to look.
    """
    first, second = facts_of(one), facts_of(other)
    if not (first <= second or second <= first):
        return None
    names = sorted(first | second)
    choices = [list(_cases(name, All((one, other)), catalogue)) for name in names]
    if prod(len(values) for values in choices) > _CASES_MAX:
        return None
    for values in product(*choices):
        facts = dict(zip(names, values, strict=True))
        if evaluate(one, facts) is True and evaluate(other, facts) is True:
            return tuple(_said(name, value) for name, value in facts.items())
    return None


def _cases(name: str, condition: Condition, catalogue: Catalogue) -> Iterator[FactValue]:
    """One value of a fact for each way in which comparisons with it can come out; None for an absent one, last."""
    fact = catalogue.facts[name]
    if fact.type == "bool":
        yield from (True, False, None)
        return
    named = {value for leaf in walk(condition) if isinstance(leaf, Leaf) and leaf.fact == name for value in leaf.values}
    if fact.type == "text":
        rest = [value for value in fact.values if value not in named] if fact.values else [_OTHER]
        yield from sorted(str(value) for value in named)
        yield from rest[:1]
    else:
        near = {int(value) + step for value in named for step in (-1, 0, 1)}
        yield from sorted(
            n for n in near if (fact.low is None or fact.low <= n) and (fact.high is None or n <= fact.high)
        )
    yield None


def _said(name: str, value: FactValue) -> str:
    if value is None:
        return f"{name} unknown"
    if isinstance(value, bool):
        return f"{name} = {str(value).lower()}"
    return f"{name} = '{value}'" if isinstance(value, str) else f"{name} = {value}"
