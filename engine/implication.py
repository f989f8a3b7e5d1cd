"""Whether a condition can only match where something else holds, shown leaf by leaf: sound, and blind to sums of leaves."""

from collections.abc import Callable

from engine.tree import All, Any, Condition, Leaf, Named


def implies(condition: Condition, shows: Callable[[Leaf], bool]) -> bool:
    """
    Whether wherever the condition is true, some leaf is true that shows the point.

    A leaf that asks about a missing fact is not true, so what is implied is known as well. `False` means
    only that no single leaf on every way through the condition shows it.
    """
    match condition:
        case All(parts):
            return any(implies(part, shows) for part in parts)
        case Any(parts):
            return all(implies(part, shows) for part in parts)
        case Named(_, body):
            return implies(body, shows)
        case Leaf():
            return shows(condition)


def shows_overdue(leaf: Leaf) -> bool:
    """Whether the leaf is true of loans with a payment past due only: days past due, or an overdue amount, above 0."""
    if leaf.fact not in {"dpd", "overdue_amount"}:
        return False
    low = min((value for value in leaf.values if isinstance(value, int)), default=0)
    match leaf.op:
        case ">":
            return low >= 0
        case "=" | ">=" | "between" | "in":
            return low >= 1
        case "!=":
            return low == 0  # neither is ever negative
        case _:
            return False
