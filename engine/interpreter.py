"""
What a condition means: the definition that every other target is compared with. Short, slow, readable.

Three values, as in SQL: True, False, and None for unknown. Only True matches.
"""

from dataclasses import dataclass
from typing import Final

from engine.facts import Facts
from engine.tree import All, Any, Condition, FactValue, Leaf, Named

MISSING: Final = "unknown: fact is missing"


def evaluate(condition: Condition, facts: Facts) -> bool | None:
    """Whether the condition holds; None where that depends on a fact that is missing."""
    match condition:
        case All(parts):
            results = [evaluate(part, facts) for part in parts]
            return False if False in results else None if None in results else True
        case Any(parts):
            results = [evaluate(part, facts) for part in parts]
            return True if True in results else None if None in results else False
        case Named(_, body):
            return evaluate(body, facts)
        case Leaf():
            return _compare(condition, facts.get(condition.fact))


def _compare(leaf: Leaf, seen: FactValue) -> bool | None:
    if leaf.op == "is null":
        return seen is None
    if leaf.op == "is not null":
        return seen is not None
    if seen is None:
        return None
    if leaf.op in ("=", "in"):
        return seen in leaf.values
    if leaf.op in ("!=", "not in"):
        return seen not in leaf.values
    # The checker lets only whole numbers be ordered.
    assert isinstance(seen, int), leaf  # noqa: S101
    first, *rest = (int(value) for value in leaf.values)
    match leaf.op:
        case "<":
            return seen < first
        case "<=":
            return seen <= first
        case ">":
            return seen > first
        case ">=":
            return seen >= first
        case "between":
            return first <= seen <= rest[0]
        case _:
            return not first <= seen <= rest[0]


@dataclass(frozen=True, slots=True)
class TraceNode:
    """
    One line of an explanation, and the lines below it.

    Attributes:
        text: the comparison as its author would write it, `all of`, `any of`, or a defined name.
        fact, value: what a comparison asked about, and what it saw (money in minor units).
        note: why the result is unknown, where the line itself is the reason.
    """

    text: str
    result: bool | None
    fact: str | None = None
    value: FactValue = None
    note: str = ""
    children: tuple["TraceNode", ...] = ()


def trace(condition: Condition, facts: Facts) -> TraceNode:
    """The evaluation as a tree, each leaf with the value it saw."""
    result = evaluate(condition, facts)
    match condition:
        case All(()) | Any(()):
            return TraceNode("always" if result else "never", result)
        case All(parts) | Any(parts):
            text = "all of" if isinstance(condition, All) else "any of"
            return TraceNode(text, result, children=tuple(trace(part, facts) for part in parts))
        case Named(name, body, negated):
            return TraceNode(f"not {name}" if negated else name, result, children=(trace(body, facts),))
        case Leaf(fact, _, _, text):
            seen = facts.get(fact)
            return TraceNode(text, result, fact, seen, MISSING if result is None else "")
