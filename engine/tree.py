"""
A condition as a typed tree: the one form that is interpreted, run live, turned into SQL and explained.

There is no `not` node: the parser pushes `not` down to the leaves, where three-valued logic makes it
the opposite comparison, so that every target agrees on what a missing fact means.
"""

from dataclasses import dataclass
from typing import Literal

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
    """A condition that `define:` gave a name; `negated` when it stands under `not`."""

    name: str
    body: "Condition"
    negated: bool = False


Condition = Leaf | All | Any | Named
