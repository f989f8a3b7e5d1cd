"""Every condition of every strategy in `rules/` means the same to all three targets, on random loans."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random

import pytest

from engine.catalogue import load_catalogue
from engine.errors import Problem
from engine.facts import Catalogue, Fact
from engine.interpreter import evaluate
from engine.live import LiveMatcher
from engine.sql import BITS_MAX, bits, column, to_sql
from engine.strategy_file import read_strategy
from engine.tree import All, Any, Condition, FactValue, Leaf, Named, facts_of

RULES = Path(__file__).parents[2] / "rules"
FILES = sorted(path.name for path in RULES.glob("*.yaml") if path.name != "facts.yaml" and ".test." not in path.name)
LOANS = 400


@cache
def catalogue() -> Catalogue:
    """Built-in facts and the shipped lender's own."""
    return load_catalogue(((RULES / "facts.yaml").read_text(encoding="utf-8"), "rules/facts.yaml"))


def conditions(file: str) -> dict[str, Condition]:
    """Each condition of a strategy, by where it stands."""
    problems: list[Problem] = []
    strategy = read_strategy((RULES / file).read_text(encoding="utf-8"), file, catalogue(), problems)
    assert strategy is not None, [str(problem) for problem in problems]
    return {
        "applies_to": strategy.applies_to,
        **{f"define {name}": condition for name, condition in strategy.define.items()},
        **{f"entry {rule.id}": rule.when for rule in strategy.entry},
        **{f"move {rule.id}": rule.when for rule in strategy.moves},
        **{f"rule {rule.id}": rule.when for rules in strategy.rules.values() for rule in rules},
    }


def leaves(condition: Condition) -> list[Leaf]:
    """The comparisons of a condition."""
    match condition:
        case All(parts) | Any(parts):
            return [leaf for part in parts for leaf in leaves(part)]
        case Named(_, body):
            return leaves(body)
        case Leaf():
            return [condition]


def loans(named: Mapping[str, Condition]) -> list[dict[str, FactValue]]:
    """Random loans around the edges that the conditions ask about; any fact may be missing."""
    edges: dict[str, list[FactValue]] = {name: [] for condition in named.values() for name in facts_of(condition)}
    for condition in named.values():
        for leaf in leaves(condition):
            edges[leaf.fact] += leaf.values
    chance = Random(23)
    return [
        {
            name: None if chance.random() < 0.15 else value(catalogue().facts[name], near, chance)
            for name, near in edges.items()
        }
        for _ in range(LOANS)
    ]


def value(fact: Fact, near: list[FactValue], chance: Random) -> FactValue:
    """One of the values asked about, or one beside it."""
    if fact.type == "bool":
        return chance.random() < 0.5
    if fact.type == "text":
        return chance.choice([*near, *fact.values, "something else"] if not fact.values else [*near, *fact.values])
    assert fact.low is not None
    assert fact.high is not None
    around = chance.choice([value for value in near if isinstance(value, int)] or [0])
    return min(max(around + chance.randint(-1, 1), fact.low), fact.high)


@pytest.mark.parametrize("file", FILES)
def test_a_shipped_strategy_means_the_same_everywhere(file: str) -> None:
    """Interpreter, durable-rules and SQL; and most conditions are true of some of these loans and false of others."""
    from duckdb import connect

    named = conditions(file)
    book = loans(named)
    types = {"int": "bigint", "money": "bigint", "bool": "boolean", "text": "varchar"}
    columns = {name: types[catalogue().facts[name].type] for name in book[0]}
    each = ", ".join(to_sql(condition) for condition in named.values())
    with connect() as duckdb:
        declared = ", ".join(f"{column(name)} {kind}" for name, kind in columns.items())
        duckdb.execute(f"create table book (loan int, {declared})")
        marks = ", ".join("?" for _ in range(len(columns) + 1))
        duckdb.executemany(f"insert into book values ({marks})", [[i, *loan.values()] for i, loan in enumerate(book)])
        every = list(named.values())
        numbers = [bits(every[first : first + BITS_MAX]) for first in range(0, len(every), BITS_MAX)]
        rows = duckdb.execute(f"select {', '.join(numbers)}, {each} from book order by loan").fetchall()
    live = LiveMatcher(named)
    seen: dict[str, set[bool | None]] = {name: set() for name in named}
    for loan, row in zip(book, rows, strict=True):
        results = {name: evaluate(condition, loan) for name, condition in named.items()}
        assert list(row[len(numbers) :]) == list(results.values())
        told = sum(number << n * BITS_MAX for n, number in enumerate(row[: len(numbers)]))
        assert told == sum(1 << i for i, result in enumerate(results.values()) if result)
        assert live.matching(loan) == {name for name, result in results.items() if result}
        for name, result in results.items():
            seen[name].add(result)
    decided = [name for name, results in seen.items() if {True, False} <= results]
    assert len(decided) >= 0.8 * len(named), "these loans say too little: draw them nearer to what the rules ask"
