"""
Conditions as people write them in YAML, read once into the typed tree that every target works on.

What may be written is a whitelist (`engine.whitelist` for the tokens, `engine.reader` for the tree, `engine.literals` for the types);
everything else is a problem with file, line, column, what is wrong and how to mend it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from engine.errors import Problem
from engine.facts import Catalogue
from engine.grammar import parse_text
from engine.names import name_problem
from engine.reader import Reader
from engine.source import Listing, Node, Table, Text
from engine.tree import DEPTH_MAX, LEAVES_MAX, All, Any, Condition, depth, leaves, negated
from engine.whitelist import SPLIT_MEND, Names

_NOTHING: Final = All(())
_EXAMPLE: Final = "write a condition, such as `dpd >= 3`, or a list of them"


@dataclass(frozen=True, slots=True)
class Scope:
    """
    What the conditions of one file may refer to, and where their problems are gathered.

    Attributes:
        currency: what money literals are written in; None where no currency is agreed.
        defines: the conditions already named.
        later: names defined further down, for a better message.
    """

    catalogue: Catalogue
    currency: str | None
    defines: Mapping[str, Condition]
    problems: list[Problem]
    later: frozenset[str] = frozenset()


def parse_condition(node: Node, scope: Scope) -> Condition | None:
    """
    A `when:` (one text, a list, or a table of `all:`, `any:`, `not:`) as a tree; None after appending problems.

    The literals `true` and `false` are the conditions without parts: always, and never.
    """
    before = len(scope.problems)
    condition = _node(node, scope)
    if len(scope.problems) > before:
        return None
    if leaves(condition) > LEAVES_MAX:
        what = f"a condition of more than {LEAVES_MAX} comparisons, names expanded"
        scope.problems.append(Problem(what, "split it into several rules", node.at))
        return None
    if depth(condition) > DEPTH_MAX:
        what = f"a condition nested more than {DEPTH_MAX} deep, names expanded"
        scope.problems.append(Problem(what, "name fewer conditions by way of others", node.at))
        return None
    return condition


def parse_define(node: Node, scope: Scope) -> dict[str, Condition]:
    """The `define:` table: each name may use the names above it, so that no definition can be circular."""
    if not isinstance(node, Table):
        scope.problems.append(
            Problem("`define:` is not a table", "write `high_risk: risk_band in ('d', 'e')`", node.at)
        )
        return {}
    defined = dict(scope.defines)
    for name, body in node.items.items():
        at = node.key_at[name]
        later = frozenset(node.items) - frozenset(defined)
        condition = parse_condition(body, replace(scope, defines=defined, later=later))
        if name in scope.catalogue.facts:
            what, mend = f"`{name}` is a fact and cannot be defined anew", "choose another name"
            scope.problems.append(Problem(what, mend, at))
        elif (problem := name_problem(name, at)) is not None:
            scope.problems.append(problem)
        # A stand-in for what could not be read keeps one mistake from looking like many.
        defined[name] = condition if condition is not None else _NOTHING
    return {name: defined[name] for name in node.items}


def _node(node: Node, scope: Scope) -> Condition:
    match node:
        case Text():
            return _text(node, scope)
        case Listing():
            return _listing(node, scope, All)
        case Table():
            return _table(node, scope)


def _listing(node: Listing, scope: Scope, join: Callable[[tuple[Condition, ...]], Condition]) -> Condition:
    if not node.items:
        scope.problems.append(Problem("an empty list of conditions", f"{_EXAMPLE}; always is `true`", node.at))
        return _NOTHING
    parts: list[Condition] = []
    for item in node.items:
        before = len(scope.problems)
        parts.append(_node(item, scope))
        if node.flow and len(scope.problems) > before and scope.problems[-1].mend == SPLIT_MEND:
            break  # the rest of the list is the rest of this item
    return parts[0] if len(parts) == 1 else join(tuple(parts))


def _table(node: Table, scope: Scope) -> Condition:
    parts: list[Condition] = []
    for key, value in node.items.items():
        if key == "not":
            parts.append(negated(_node(value, scope)))
        elif key not in {"all", "any"}:
            what = f"`{key}` cannot stand in a condition"
            mend = "use `all:`, `any:` or `not:`; text that holds `: ` wants quotes"
            scope.problems.append(Problem(what, mend, node.key_at[key]))
        elif isinstance(value, Listing):
            parts.append(_listing(value, scope, All if key == "all" else Any))
        else:
            scope.problems.append(
                Problem(f"`{key}:` wants a list", "write one condition per line, each after `- `", value.at)
            )
    if not node.items:
        scope.problems.append(Problem("an empty condition", _EXAMPLE, node.at))
    return parts[0] if len(parts) == 1 else All(tuple(parts))


def _text(node: Text, scope: Scope) -> Condition:
    if isinstance(node.value, bool):
        return All(()) if node.value else Any(())
    if not isinstance(node.value, str):
        what = "an empty condition" if node.value is None else f"`{node.raw}` is no condition"
        scope.problems.append(Problem(what, _EXAMPLE, node.at))
        return _NOTHING
    names = Names(scope.catalogue.facts, scope.defines, scope.later)
    tree = parse_text(node, names, scope.problems)
    reader = Reader(node, scope.catalogue.facts, scope.defines, scope.currency, scope.problems)
    return _NOTHING if tree is None else reader.condition(tree)
