"""
Hypothesis strategies for the condition language: catalogues, conditions as trees and as text, and facts.

Shared by every property test that needs a random rule or a random loan. Literals and fact values are
drawn from the same few values around each fact's edges, so that comparisons come out both ways.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from engine.errors import Place
from engine.facts import Catalogue, Fact
from engine.tree import All, Any, Condition, FactValue, Leaf, Named, Value, negated

AT = Place("random.yaml", 1, 1)
TEXTS = (
    "personal", "card", "", "it's", 'say "so"', "back\\slash", "中文", "😀", "null", "true", "1", " a ", "A", "a", "a,b", "{}", "--",
    "\\", "x" * 300,
)  # fmt: skip
"""Texts that have broken a quoting, an encoding or a parser somewhere."""

_RANGES = ((0, 9999), (-9999, 9999), (0, 100), (0, 10**13), (-(10**15), 10**15))


def fact(name: str, kind: str, low: int | None = None, high: int | None = None, values: tuple[str, ...] = ()) -> Fact:
    """A fact as a catalogue would declare it, for tests."""
    unit = {"int": "days", "money": "minor units"}.get(kind, "")
    return Fact(name, kind, unit, low, high, values, None, "not told", "imported", "For tests.", "测试用", AT)  # type: ignore[arg-type]


@st.composite
def catalogues(draw: st.DrawFn) -> Catalogue:
    """A handful of facts, at least one of each type."""
    facts: dict[str, Fact] = {}
    kinds = [
        "int",
        "money",
        "bool",
        "text",
        *draw(st.lists(st.sampled_from(["int", "money", "bool", "text"]), max_size=6)),
    ]
    for number, kind in enumerate(kinds):
        name = f"{kind}_{number}"
        if kind in {"int", "money"}:
            facts[name] = fact(name, kind, *draw(st.sampled_from(_RANGES)))
        elif kind == "text":
            values = draw(st.lists(st.sampled_from(TEXTS[:9]), max_size=4, unique=True))
            facts[name] = fact(name, kind, values=tuple(values))
        else:
            facts[name] = fact(name, kind)
    return Catalogue(facts, {})


def values_of(of: Fact) -> st.SearchStrategy[Value]:
    """Values the fact can have, mostly from a small set, so that equal ones meet."""
    if of.type == "bool":
        return st.booleans()
    if of.type == "text":
        return st.sampled_from(of.values or TEXTS)
    assert of.low is not None
    assert of.high is not None
    near = [value for value in (*range(-2, 5), of.low, of.low + 1, of.high - 1, of.high) if of.low <= value <= of.high]
    return st.one_of(st.sampled_from(near), st.integers(of.low, of.high))


def facts_of(catalogue: Catalogue) -> st.SearchStrategy[dict[str, FactValue]]:
    """A loan's facts; any of them may be missing, as an absent key or as None."""
    return st.fixed_dictionaries(
        {},
        optional={
            name: st.one_of(st.none(), values_of(declared), values_of(declared))
            for name, declared in catalogue.facts.items()
        },
    )


@st.composite
def leaves(draw: st.DrawFn, catalogue: Catalogue) -> Leaf:
    """One comparison that the checker would accept."""
    of = catalogue.facts[draw(st.sampled_from(sorted(catalogue.facts)))]
    ops = ["is null", "is not null", "=", "="]
    if of.type != "bool":
        ops += ["!=", "in", "not in"]
    if of.type in {"int", "money"}:
        ops += ["<", "<=", ">", ">=", "between", "not between"]
    op = draw(st.sampled_from(ops))
    values: tuple[Value, ...] = ()
    if op in {"in", "not in"}:
        values = tuple(draw(st.lists(values_of(of), min_size=1, max_size=4, unique=True)))
    elif op in {"between", "not between"}:
        values = tuple(sorted((draw(values_of(of)), draw(values_of(of)))))  # type: ignore[type-var]
    elif op not in {"is null", "is not null"}:
        values = (draw(values_of(of)),)
    return Leaf(of.name, op, values, text_of(of.name, op, values), AT)  # type: ignore[arg-type]


def text_of(name: str, op: str, values: Sequence[Value]) -> str:
    """A comparison as the parser writes it, money in minor units."""
    if values and isinstance(values[0], bool):
        return name if values[0] else f"not {name}"
    literals = ["'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value) for value in values]
    if op in {"in", "not in"}:
        return f"{name} {op} ({', '.join(literals)})"
    return f"{name} {op} {' and '.join(literals)}".rstrip()


@st.composite
def conditions(draw: st.DrawFn, catalogue: Catalogue, *, depth: int = 3) -> Condition:
    """A condition tree: leaves, all, any (also empty), named and negated ones."""
    kinds = ["leaf", "leaf", "all", "any", "named", "not"] if depth else ["leaf"]
    kind = draw(st.sampled_from(kinds))
    if kind == "leaf":
        return draw(leaves(catalogue))
    if kind == "named":
        return Named(draw(st.sampled_from(["high_risk", "reachable"])), draw(conditions(catalogue, depth=depth - 1)))
    if kind == "not":
        return negated(draw(conditions(catalogue, depth=depth - 1)))
    parts = tuple(draw(st.lists(conditions(catalogue, depth=depth - 1), max_size=4)))
    return All(parts) if kind == "all" else Any(parts)


@dataclass(frozen=True, slots=True)
class Case:
    """A catalogue, some conditions over it, and some loans' facts."""

    catalogue: Catalogue
    conditions: Mapping[str, Condition]
    loans: tuple[dict[str, FactValue], ...]


@st.composite
def cases(draw: st.DrawFn, *, conditions_max: int = 6, loans_max: int = 12) -> Case:
    """Everything a differential test needs."""
    catalogue = draw(catalogues())
    drawn = draw(st.lists(conditions(catalogue), min_size=1, max_size=conditions_max))
    loans = draw(st.lists(facts_of(catalogue), min_size=1, max_size=loans_max))
    return Case(catalogue, {f"rule-{number}": condition for number, condition in enumerate(drawn)}, tuple(loans))


@st.composite
def texts(draw: st.DrawFn, catalogue: Catalogue, *, depth: int = 3) -> str:
    """A condition as somebody might write it, with `not`, parentheses and all."""
    kind = draw(st.sampled_from(["leaf", "leaf", "and", "or", "not", "paren"] if depth else ["leaf"]))
    if kind == "leaf":
        return draw(leaves(catalogue)).text
    inner = texts(catalogue, depth=depth - 1)
    if kind == "not":
        return f"not ({draw(inner)})"
    if kind == "paren":
        return f"({draw(inner)})"
    return f" {kind} ".join(draw(st.lists(inner, min_size=2, max_size=3)))
