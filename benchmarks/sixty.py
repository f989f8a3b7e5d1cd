"""Sixty rules and a book of facts for them: what every engine of `benchmarks.matching` is given."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from engine.catalogue import load_catalogue
from engine.rulebook import Rulebook, read_rulebook
from engine.tree import All, Condition, Leaf, Value

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

NOBODY: Final = -1
"""The answer about a loan that no rule matches."""

Row = dict[str, Any]

_FILE: Final = Path(__file__).with_name("sixty_rules.yaml")

_HASH: Final = "create or replace macro h(n, salt, m) as (md5_number_lower(n || ':' || salt) % m::uhugeint)::bigint"

# As a book looks from inside the part of it that is behind: of loans that are not, almost none has a rule to match.
_FACTS: Final = """
create or replace temp table facts as
select n as loan_id, n as borrower_id, stage, 0 as days_in_stage, 'CNY' as currency, dpd,
    case when dpd = 0 then h(n, 3, 30) else 0 end as days_to_due,
    case when h(n, 4, 10) < 3 then h(n, 5, 100000) * 10 else h(n, 5, 100000) end * 10 as overdue_amount,
    case when h(n, 6, 20) > 0 then substr('aabbbcccdde', 1 + h(n, 7, 11)::int, 1) end as risk_band,
    h(n, 8, 10) < 9 as mobile_valid, h(n, 9, 10) < 7 as email_valid, h(n, 10, 20) = 0 as promise_open,
    h(n, 11, 3) = 0 as autopay, least(h(n, 12, 6), h(n, 13, 6)) as calls_7d,
    least(h(n, 12, 6), h(n, 13, 6), h(n, 14, 6)) as unanswered_7d,
    least(h(n, 15, 4), h(n, 16, 4)) as broken_promises_episode, h(n, 17, 200) as days_since_payment,
    case h(n, 18, 12) when 0 then null when 1 then 'lost' when 2 then 'hard_to_reach' when 3 then 'hard_to_reach'
        else 'reached' end as reachability,
    case when h(n, 19, 10) > 0 then h(n, 20, 101) end as self_cure_probability
from (
    select n, case when s < 40 then 'current' when s < 65 then 'reminded' when s < 85 then 'phone'
        when s < 95 then 'field_visit' else 'legal' end as stage,
        case when s < 40 then 0 when s < 65 then 1 + h(n, 2, 12) when s < 85 then 8 + h(n, 2, 60)
        when s < 95 then 31 + h(n, 2, 80) else 61 + h(n, 2, 120) end as dpd
    from (select n, h(n, 1, 100) as s from range(1, {loans} + 1) r(n))
)
"""


@dataclass(frozen=True, slots=True)
class Test:
    """
    One rule as peers get it.

    Attributes:
        number: its place among the sixty, and the answer about a loan that it is the first to match.
        leaves: comparisons that must all be true.
    """

    number: int
    leaves: tuple[Leaf, ...]


Tests = Mapping[str, tuple[Test, ...]]
"""By stage, in the order in which they are tried. Nobody compares a loan with the rules of another stage."""


def rulebook() -> Rulebook:
    """The sixty as a strategy, read and checked like any other."""
    stages = {
        stage: [
            {
                "id": f"rule-{stage}-{n}".replace("_", "-"),
                "when": when,
                "act": {"email": "nothing"},
                "because": "One of sixty.",
            }
            for n, when in enumerate(conditions)
        ]
        for stage, conditions in yaml.safe_load(_FILE.read_text(encoding="utf-8")).items()
    }
    behind = [stage for stage in stages if stage != "current"]
    # The check wants every stage to have a way in and a way out; in this book nobody takes one.
    entry = [{"id": f"book-{stage}".replace("_", "-"), "stage": stage, "when": "dpd >= 1"} for stage in behind]
    moves = [{"id": "cured", "from": behind, "to": "current"}]
    head = {"strategy": "sixty", "applies_to": "currency = 'CNY'", "currency": "CNY"}
    strategy = {**head, "entry": entry, "moves": moves, "stages": stages}
    return read_rulebook(
        {_FILE.name: yaml.safe_dump(strategy, sort_keys=False, width=1000)}, catalogue=load_catalogue(), queues=()
    )


def tests_of(book: Rulebook) -> Tests:
    """The same rules for a peer."""
    (strategy,) = book.strategies.values()
    numbers = count()
    return {
        stage: tuple(Test(next(numbers), tuple(_leaves(rule.when))) for rule in rules)
        for stage, rules in strategy.rules.items()
    }


def facts_used(tests: Iterable[Test]) -> tuple[str, ...]:
    """Every fact that these rules ask about."""
    return tuple(sorted({leaf.fact for test in tests for leaf in test.leaves}))


def fill(con: "DuckDBPyConnection", loans: int) -> None:
    """Make the table `facts` of that many loans: the same rows for the same number, on every machine."""
    con.execute(_HASH)
    con.execute(_FACTS.format(loans=loans))


def table(con: "DuckDBPyConnection", tests: Tests, *, loans: int | None = None) -> "pa.Table":
    """The facts that the rules use, of the first so many loans, in the order of their ids."""
    limit = "" if loans is None else f" limit {loans}"
    names = facts_used(chain.from_iterable(tests.values()))
    return con.sql(f"select stage, {', '.join(names)} from facts order by loan_id{limit}").to_arrow_table()


def rows(facts: "pa.Table") -> list[Row]:
    """The same as one mapping a loan, a fact that is not known left out."""
    made: list[dict[str, Any]] = facts.to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in made]


def _leaves(condition: Condition) -> Iterator[Leaf]:
    match condition:
        case All(parts):
            for part in parts:
                yield from _leaves(part)
        case Leaf():
            yield condition
        case _:
            raise ValueError(f"the peers are given conjunctions only, not {condition}")


def nullable(leaf: Leaf) -> bool:
    """Whether the fact may be missing in this book: an engine without unknowns has to ask first."""
    return leaf.fact in {"risk_band", "reachability", "self_cure_probability"}


def literals(leaf: Leaf, text: str = '"') -> list[str]:
    """The values as most expression languages write them."""
    return [_literal(value, text) for value in leaf.values]


def _literal(value: Value, quote: str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return f"{quote}{value}{quote}" if isinstance(value, str) else str(value)
