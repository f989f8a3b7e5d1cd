"""
A condition as a typed tree: the one form that is interpreted, run live, turned into SQL and explained.

There is no `not` node: the parser pushes `not` down to the leaves, where three-valued logic makes it
the opposite comparison, so that every target agrees on what a missing fact means.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from engine.errors import Place

Value = int | bool | str
FactValue = Value | None
"""What a fact can be: money in minor units, counts, days, hours and percent as int; None is unknown."""

Op = Literal["=", "!=", "<", "<=", ">", ">=", "between", "not between", "in", "not in", "is null", "is not null"]


@dataclass(frozen=True, slots=True)
class Leaf:
    """
    One comparison of one fact with literals.

    `values` holds no item for `is null` and `is not null`, two for `between` (low, high, both
    included), one or more for `in`, one otherwise. A bare boolean fact is `= True`, negated `= False`.
    """

    fact: str
    op: Op
    values: tuple[Value, ...]
    text: str
    at: Place


@dataclass(frozen=True, slots=True)
class All:
    """True when every part is true; no parts is true."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Any:
    """True when at least one part is true; no parts is false."""

    parts: tuple["Condition", ...]


@dataclass(frozen=True, slots=True)
class Named:
    """
    A condition that `define:` gave a name. `negated` says that it stood under `not`, for whoever shows it:
    the `not` is already pushed down into `body`, which is what is evaluated.
    """

    name: str
    body: "Condition"
    negated: bool = False


Condition = Leaf | All | Any | Named
"""A tree of at most `LEAVES_MAX` leaves, `DEPTH_MAX` deep, names expanded: walkers may recurse."""

_TRUE: Final = All(())

LEAVES_MAX: Final = 200
DEPTH_MAX: Final = 50

_OPPOSITE: Final[Mapping[Op, Op]] = {
    "=": "!=",
    "!=": "=",
    "<": ">=",
    ">=": "<",
    ">": "<=",
    "<=": ">",
    "between": "not between",
    "not between": "between",
    "in": "not in",
    "not in": "in",
    "is null": "is not null",
    "is not null": "is null",
}


def negated(condition: Condition) -> Condition:
    """The condition that is true where this one is false, false where it is true, and unknown where it is unknown."""
    match condition:
        case All(parts):
            return Any(tuple(negated(part) for part in parts))
        case Any(parts):
            return All(tuple(negated(part) for part in parts))
        case Named(name, body, was):
            return Named(name, negated(body), negated=not was)
        case Leaf(fact, "=", (bool(value),), _, at):
            return Leaf(fact, "=", (not value,), f"not {fact}" if value else fact, at)
        case Leaf(fact, op, values, text, at):
            opposite = _OPPOSITE[op]
            return Leaf(fact, opposite, values, f"{fact} {opposite}{text.removeprefix(f'{fact} {op}')}", at)


def leaves(condition: Condition) -> int:
    """How many leaves the condition has, names expanded."""
    match condition:
        case All(parts) | Any(parts):
            return sum(leaves(part) for part in parts)
        case Named(_, body):
            return leaves(body)
        case Leaf():
            return 1


def depth(condition: Condition) -> int:
    """How deep the condition is nested, names expanded."""
    match condition:
        case All(parts) | Any(parts):
            return 1 + max((depth(part) for part in parts), default=0)
        case Named(_, body):
            return 1 + depth(body)
        case Leaf():
            return 1


def relaxed(condition: Condition, known: Collection[str]) -> Condition:
    """
    What is left of a condition if of its facts only these are known: it is true wherever the condition itself can be.

    A leaf about another fact is taken for true. There is no `not`, so that this can only let more match, never less.
    """
    match condition:
        case All(parts):
            left = tuple(part for part in (relaxed(part, known) for part in parts) if part != _TRUE)
            return left[0] if len(left) == 1 else All(left)
        case Any(parts):
            left = tuple(relaxed(part, known) for part in parts)
            return _TRUE if _TRUE in left else Any(left)
        case Named(_, body):
            return relaxed(body, known)
        case Leaf(fact):
            return condition if fact in known else _TRUE


def facts_of(condition: Condition) -> frozenset[str]:
    """Every fact the condition asks about."""
    match condition:
        case All(parts) | Any(parts):
            return frozenset[str]().union(*(facts_of(part) for part in parts))
        case Named(_, body):
            return facts_of(body)
        case Leaf(fact):
            return frozenset({fact})
