"""
How conditions become rules that `durable-rules` can hold: its limits, measured on 2.0.28, and what we do about them.

- "Is missing" (`$nex`) also holds of the engine's own state record, and then fires for ever: every rule asks
  first for a marker, which is 1 in our messages and nowhere else. Compared with 0 it never holds.
- A rule fires once for each way in which it can be true, and `and` over `or` multiplies the ways: ten groups
  of three are 59,049 firings, fourteen took seven seconds and 1.6 GB.
- 15 groups (`$and`, `$or`) are the most that a rule can have; the sixteenth is refused (error 113).
- 64 comparisons that hold at once are the most that a ruleset can stand: with more, the message is refused
  when it comes (error 303). So each batch of rules is a ruleset of its own.
- Whole numbers compare exactly within 63 bits, texts byte by byte. `true` equals 1, but the types of facts are
  checked before they get here.

A condition that is too much for one rule is cut at its `all` or `any`, and the parts' results are joined again.
"""

import math
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any as Anything
from typing import Final

from engine.tree import All, Any, Condition, Leaf, Named, facts_of

MARKER: Final = "duecourse"
PREFIX: Final = "fact_"
"""Facts are renamed so that none can collide with the engine's own `id`, `sid` and `$s`."""

WAYS_MAX: Final = 16
GROUPS_MAX: Final = 12
WEIGHT_MAX: Final = 50
"""Comparisons and groups that one ruleset holds, rules and all."""

_SIGN: Final = {"!=": "$neq", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte"}

Pattern = dict[str, Anything]


@dataclass(frozen=True, slots=True)
class Fired:
    """Holds when the rule of that number fired."""

    rule: int

    def holds(self, fired: Collection[int]) -> bool:
        """Whether it did."""
        return self.rule in fired


@dataclass(frozen=True, slots=True)
class Joined:
    """A condition that was cut: `join` (the built-in all or any) of its parts."""

    join: Callable[[list[bool]], bool]
    parts: tuple["Plan", ...]

    def holds(self, fired: Collection[int]) -> bool:
        """Whether the parts, taken together, do."""
        return self.join([part.holds(fired) for part in self.parts])


Plan = Fired | Joined


@dataclass(slots=True)
class RuleBatch:
    """Rules, by number, that fit into one ruleset, and the facts they ask about."""

    patterns: dict[int, Pattern] = field(default_factory=dict)
    facts: frozenset[str] = frozenset()
    weight: int = 0


class Planner:
    """Makes rules of conditions, and deals them into batches."""

    def __init__(self) -> None:
        self.batches: list[RuleBatch] = [RuleBatch()]
        self._rules = 0

    def plan(self, condition: Condition) -> Plan:
        """The rules that together say whether the condition is true. `not` is in the leaves, so true parts suffice."""
        if isinstance(condition, Named):
            return self.plan(condition.body)
        if isinstance(condition, Leaf) and len(condition.values) >= WEIGHT_MAX:
            return self._joined(_split(condition))
        pattern = _group("$and", [{MARKER: 1}, _pattern(condition)])
        if isinstance(condition, Leaf) or _fits(condition, pattern):
            return self._rule(condition, pattern)
        return self._joined(condition)

    def _joined(self, condition: All | Any) -> Joined:
        join = all if isinstance(condition, All) else any
        return Joined(join, tuple(self.plan(part) for part in condition.parts))

    def _rule(self, condition: Condition, pattern: Pattern) -> Fired:
        weight = _weight(pattern)
        if self.batches[-1].weight and self.batches[-1].weight + weight > WEIGHT_MAX:
            self.batches.append(RuleBatch())
        batch = self.batches[-1]
        self._rules += 1
        batch.patterns[self._rules] = pattern
        batch.facts |= facts_of(condition)
        batch.weight += weight
        return Fired(self._rules)


def _fits(condition: Condition, pattern: Pattern) -> bool:
    return _ways(condition) <= WAYS_MAX and _groups(pattern) <= GROUPS_MAX and _weight(pattern) <= WEIGHT_MAX


def _split(leaf: Leaf) -> All | Any:
    """A long list as several shorter ones."""
    step = WEIGHT_MAX // 2
    parts = [leaf.values[start : start + step] for start in range(0, len(leaf.values), step)]
    leaves = tuple(Leaf(leaf.fact, leaf.op, part, leaf.text, leaf.at) for part in parts)
    return Any(leaves) if leaf.op == "in" else All(leaves)


def _ways(condition: Condition) -> int:
    """In how many ways the engine may find the condition true: the terms of its disjunctive normal form."""
    match condition:
        case All(parts):
            return math.prod(_ways(part) for part in parts)
        case Any(parts):
            return sum(_ways(part) for part in parts)
        case Named(_, body):
            return _ways(body)
        case Leaf():
            # Of the values of a list, or the two sides of a range, only one can be the fact's at a time.
            return 1


def _parts(pattern: Pattern) -> list[Pattern]:
    parts = pattern.get("$and", pattern.get("$or", []))
    return parts if isinstance(parts, list) else []


def _groups(pattern: Pattern) -> int:
    parts = _parts(pattern)
    return bool(parts) + sum(_groups(part) for part in parts)


def _weight(pattern: Pattern) -> int:
    return 1 + sum(_weight(part) for part in _parts(pattern))


def _group(sign: str, patterns: list[Pattern]) -> Pattern:
    """The patterns under one `$and` or `$or`, groups of the same kind dissolved."""
    flat: list[Pattern] = []
    for pattern in patterns:
        flat += pattern.get(sign, [pattern])
    return flat[0] if len(flat) == 1 else {sign: flat}


def _pattern(condition: Condition) -> Pattern:
    match condition:
        case All(()):
            return {MARKER: 1}
        case Any(()):
            return {MARKER: 0}
        case All(parts):
            return _group("$and", [_pattern(part) for part in parts])
        case Any(parts):
            return _group("$or", [_pattern(part) for part in parts])
        case Named(_, body):
            return _pattern(body)
        case Leaf():
            return _leaf(condition)


def _leaf(leaf: Leaf) -> Pattern:
    name, values = PREFIX + leaf.fact, leaf.values
    match leaf.op:
        case "is null":
            return {"$nex": {name: 1}}
        case "is not null":
            return {"$ex": {name: 1}}
        case "=":
            return {name: values[0]}
        case "in":
            return _group("$or", [{name: value} for value in values])
        case "not in":
            return _group("$and", [{"$neq": {name: value}} for value in values])
        case "between":
            return {"$and": [{"$gte": {name: values[0]}}, {"$lte": {name: values[1]}}]}
        case "not between":
            return {"$or": [{"$lt": {name: values[0]}}, {"$gt": {name: values[1]}}]}
        case _:
            return {_SIGN[leaf.op]: {name: values[0]}}
