"""
A million random (condition, facts) pairs, decided by the interpreter, by durable-rules and by DuckDB.

    python -m benchmarks.differential [--pairs N] [--seed N]

Conditions are written as text over the built-in catalogue and go through the parser. DuckDB is asked
twice: about the SQL we generate, and about the very text (in yen, whose major unit is its minor one),
so that the parser itself has a second opinion. Prints pairs, differences and seconds; exit code 3 and
a minimal reproduction where two differ.
"""

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Final
from typing import Any as AnyType

from engine.catalogue import load_catalogue
from engine.condition import Scope, parse_condition
from engine.errors import Place, Problem
from engine.facts import Catalogue, Fact
from engine.interpreter import evaluate
from engine.live import LiveMatcher
from engine.source import Text
from engine.sql import BITS_MAX, bits, to_sql
from engine.tree import Condition, FactValue

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

CONDITIONS_PER_BATCH: Final = 40
LOANS_PER_BATCH: Final = 500
FACTS_PER_BATCH: Final = 12
"""Few facts, so that a condition meets the same one several times and all of them can be missing at once."""

MISSING: Final = 0.2
SQL_TYPES: Final = {"int": "bigint", "money": "bigint", "bool": "boolean", "text": "varchar"}
TEXTS: Final = ("personal", "card", "it's", "", "中文", "back\\slash", 'say "so"', "null", "1", "😀")

Facts = dict[str, FactValue]


@dataclass(frozen=True, slots=True)
class Written:
    """A condition as it was written: a comparison, or `and`, `or`, `not` over parts."""

    word: str
    parts: tuple["Written", ...] = ()

    def text(self) -> str:
        """The condition as a strategy file would hold it."""
        if not self.parts:
            return self.word
        inner = [f"({part.text()})" for part in self.parts]
        return f"not {inner[0]}" if self.word == "not" else f" {self.word} ".join(inner)

    def smaller(self) -> Iterator["Written"]:
        """What is left when one connective, somewhere, is replaced by one of its parts."""
        yield from self.parts
        for i, part in enumerate(self.parts):
            for less in part.smaller():
                yield Written(self.word, (*self.parts[:i], less, *self.parts[i + 1 :]))


class Writer:
    """Writes random conditions and loans over a few facts, with literals and values from the same small pools."""

    def __init__(self, catalogue: Catalogue, chance: Random) -> None:
        self._chance = chance
        names = chance.sample(sorted(catalogue.facts), FACTS_PER_BATCH)
        self.facts = {name: catalogue.facts[name] for name in names}
        self._pools = {name: self._pool(fact) for name, fact in self.facts.items()}

    def _pool(self, fact: Fact) -> list[int] | list[str]:
        if fact.type == "text":
            return list(fact.values or TEXTS)
        if fact.low is None or fact.high is None:
            return []
        around = self._chance.randint(fact.low, fact.high)
        wanted = {fact.low, fact.low + 1, fact.high - 1, fact.high, 0, 1, 2, 3, 7, around - 1, around, around + 1}
        return sorted(value for value in wanted if fact.low <= value <= fact.high)

    def loan(self) -> Facts:
        """Every fact, some of them missing."""
        chance = self._chance
        loan: Facts = {}
        for name, pool in self._pools.items():
            values: Sequence[FactValue] = pool or (True, False)
            loan[name] = None if chance.random() < MISSING else chance.choice(values)
        return loan

    def written(self, depth: int = 4) -> Written:
        """One condition."""
        chance = self._chance
        if depth == 0 or chance.random() < 0.3:
            return Written(self._leaf(self.facts[chance.choice(list(self.facts))]))
        word = chance.choice(("and", "or", "and", "or", "not"))
        return Written(word, tuple(self.written(depth - 1) for _ in range(1 if word == "not" else 2)))

    def _leaf(self, fact: Fact) -> str:
        chance, name, pool = self._chance, fact.name, self._pools[fact.name]
        if chance.random() < 0.12:
            return f"{name} is {chance.choice(('null', 'not null'))}"
        if fact.type == "bool":
            return chance.choice((name, f"not {name}", f"{name} = true", f"{name} != true", f"{name} = false"))
        literals = [_literal(value) for value in pool]
        inverse = chance.choice(("", "not "))
        if chance.random() < 0.3:
            return f"{name} {inverse}in ({', '.join(chance.sample(literals, chance.randint(1, min(4, len(pool)))))})"
        if fact.type == "text":
            return f"{name} {chance.choice(('=', '!=', '<>'))} {chance.choice(literals)}"
        if chance.random() < 0.3:
            low, high = sorted(chance.choices(range(len(pool)), k=2))
            return f"{name} {inverse}between {literals[low]} and {literals[high]}"
        return f"{name} {chance.choice(('=', '!=', '<', '<=', '>', '>='))} {chance.choice(literals[1:-1])}"


def _literal(value: int | str) -> str:
    return "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)


@dataclass(frozen=True, slots=True)
class Difference:
    """One pair on which two targets do not agree."""

    written: Written
    facts: Facts
    answers: Mapping[str, bool | None]


class Targets:
    """Asks each target about a batch."""

    def __init__(self, duckdb: "DuckDBPyConnection") -> None:
        self._duckdb = duckdb
        self.true = 0
        self.unknown = 0

    def differences(
        self, facts: Mapping[str, Fact], conditions: Mapping[Written, Condition], loans: Sequence[Facts]
    ) -> Iterator[Difference]:
        """Every pair on which the answers are not the same."""
        texts = {written.text(): condition for written, condition in conditions.items()}
        live = LiveMatcher(texts)
        rows = self._rows(facts, texts, loans)
        told = -(-len(texts) // BITS_MAX)
        for loan, row in zip(loans, rows, strict=True):
            matching = live.matching(loan)
            numbers, columns = row[:told], row[told:]
            for number, (written, condition) in enumerate(conditions.items()):
                meant, text = evaluate(condition, loan), written.text()
                found = bool(numbers[number // BITS_MAX] >> number % BITS_MAX & 1)
                self.true += meant is True
                self.unknown += meant is None
                answers = {
                    "interpreter": meant,
                    "durable-rules": meant if (text in matching) == (meant is True) else text in matching,
                    "sweep number": meant if found == (meant is True) else found,
                    "generated SQL": columns[number],
                    "the text as SQL": columns[number + len(texts)],
                }
                if any(answer is not meant for answer in answers.values()):
                    yield Difference(written, loan, answers)

    def _rows(
        self, facts: Mapping[str, Fact], conditions: Mapping[str, Condition], loans: Sequence[Facts]
    ) -> list[tuple[AnyType, ...]]:
        import pyarrow as pa

        arrow = {"int": pa.int64(), "money": pa.int64(), "bool": pa.bool_(), "text": pa.string()}
        columns = {name: pa.array([loan.get(name) for loan in loans], arrow[fact.type]) for name, fact in facts.items()}
        self._duckdb.register("loans", pa.table({"position": pa.array(range(len(loans))), **columns}))
        every = list(conditions.values())
        asked = [
            *(bits(every[first : first + BITS_MAX]) for first in range(0, len(every), BITS_MAX)),
            *(to_sql(c) for c in conditions.values()),
            *(f"({text})" for text in conditions),
        ]
        return self._duckdb.execute(f"select {', '.join(asked)} from loans order by position").fetchall()


def parse(written: Written, catalogue: Catalogue) -> Condition | None:
    """What the parser makes of it; None where it can never be true, which the parser refuses."""
    text, problems = written.text(), list[Problem]()
    node = Text(text, text, quoted=False, at=Place("random.yaml", 1, 1))
    condition = parse_condition(node, Scope(catalogue, "JPY", {}, problems))
    if any("can never be true" not in problem.what for problem in problems):
        raise RuntimeError(f"the parser refused what the generator may write: {text}\n{problems[0]}")
    return condition


def minimal(targets: Targets, facts: Mapping[str, Fact], catalogue: Catalogue, found: Difference) -> Difference:
    """The same disagreement, on the smallest part of the condition and the fewest known facts that still show it."""
    while True:
        smaller = [(less, found.facts) for less in found.written.smaller()]
        smaller += [
            (found.written, {**found.facts, name: None}) for name, value in found.facts.items() if value is not None
        ]
        for written, loan in smaller:
            condition = parse(written, catalogue)
            again = condition and next(targets.differences(facts, {written: condition}, [loan]), None)
            if again:
                found = again
                break
        else:
            return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare, print, and give the exit code: 0 no difference, 3 a difference."""
    from duckdb import connect

    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.differential", description=__doc__.strip().partition("\n")[0]
    )
    parser.add_argument("--pairs", type=int, default=1_000_000, help="how many (condition, facts) pairs to compare")
    parser.add_argument("--seed", type=int, default=1, help="the same seed makes the same pairs")
    asked = parser.parse_args(arguments)
    chance, catalogue = Random(asked.seed), load_catalogue()
    started, done = time.perf_counter(), 0
    with connect() as duckdb:
        targets = Targets(duckdb)
        while done < asked.pairs:
            writer = Writer(catalogue, chance)
            conditions: dict[Written, Condition] = {}
            while len(conditions) < CONDITIONS_PER_BATCH:
                written = writer.written()
                if (condition := parse(written, catalogue)) is not None:
                    conditions[written] = condition
            loans = [writer.loan() for _ in range(LOANS_PER_BATCH)]
            found = next(targets.differences(writer.facts, conditions, loans), None)
            if found is not None:
                _report(minimal(targets, writer.facts, catalogue, found), asked.seed)
                return 3
            done += len(conditions) * len(loans)
            if sys.stderr.isatty():
                rate = done / (time.perf_counter() - started)
                print(f"\r{done:,} pairs, {rate:,.0f} a second", end="", file=sys.stderr, flush=True)
    seconds = time.perf_counter() - started
    print(f"{done:,} pairs, {targets.true:,} true, {targets.unknown:,} unknown, 0 differences, {seconds:.0f} seconds")
    return 0


def _report(found: Difference, seed: int) -> None:
    known = {name: value for name, value in found.facts.items() if value is not None}
    print(f"a difference (seed {seed})\n  condition: {found.written.text()}\n  facts: {known}, all others missing")
    for target, answer in found.answers.items():
        print(f"  {target}: {'unknown' if answer is None else str(answer).lower()}")


if __name__ == "__main__":
    sys.exit(main())
