"""
Sixty rules, a million loans, the first rule that matches each: ours next to other engines, in one run.

    python -m benchmarks.matching [--loans N] [--out benchmarks/out/latest.json]

Ours is the statement that a sweep runs, on DuckDB. Every engine gets its facts ready-made, and its answers are compared
with ours loan by loan. Peers that go loan by loan are timed on fewer, and compared by loans a second. Prints a table, and
keeps `matching` in the results file. A peer that is not installed is left out, and the table says so.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from benchmarks.latest import OUT, keep
from benchmarks.peer_durable import Durable, Live
from benchmarks.peer_polars import Polars
from benchmarks.peer_zen import Zen, ZenExpression
from benchmarks.peers import PEERS, absent
from benchmarks.sixty import NOBODY, Tests, fill, rows, rulebook, table, tests_of
from workflows.deciding.matching import SweepStatement

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LOANS: Final = 1_000_000
ROUNDS: Final = 7
"""Ours and Polars take turns; the middle one of so many counts."""

PEER_ROUNDS: Final = 3

_KEYS: Final = {
    Zen.name: "zen_ratio",
    ZenExpression.name: "zen_expression_ratio",
    Live.name: "durable_ratio",
    Durable.name: "durable_first_match_ratio",
}


class DifferenceError(Exception):
    """An engine that gives another answer than ours about some loan."""


@dataclass(slots=True)
class Measured:
    """
    What one run found.

    Attributes:
        ours_seconds, polars_seconds: for the whole book.
        per_second: engine -> loans a second, ours and Polars among them.
        timed_on: engine -> of how many loans.
        left_out: engine -> why.
        matched: loans that some rule matches.
    """

    loans: int
    ours_seconds: float = 0.0
    polars_seconds: float | None = None
    per_second: dict[str, float] = field(default_factory=dict)
    timed_on: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    matched: int = 0

    def as_json(self) -> dict[str, Any]:
        """For the results file: ratios of ours to a peer in loans a second, and to Polars in time."""
        ours = self.per_second[OURS]
        ratios = {key: round(ours / self.per_second[name], 1) for name, key in _KEYS.items() if name in self.per_second}
        if self.polars_seconds is not None:
            ratios["polars_ratio"] = round(self.ours_seconds / self.polars_seconds, 2)
        return {
            "loans": self.loans,
            "seconds": round(self.ours_seconds, 3),
            "cores": os.cpu_count(),
            "load": round(os.getloadavg()[0], 1),
            **ratios,
            "loans_per_second": {name: round(rate) for name, rate in self.per_second.items()},
            "timed_on": self.timed_on,
            "left_out": self.left_out,
        }


OURS: Final = "ours, as in a sweep"


def measure(loans: int) -> Measured:
    """
    Time everybody who is there.

    Raises:
        DifferenceError: an engine's answer is not ours.
    """
    import duckdb

    found, book = Measured(loans), rulebook()
    tests = tests_of(book)
    with duckdb.connect() as con:
        fill(con, loans)
        statement = SweepStatement(book)

        def ours() -> None:
            statement.match(con, ())

        facts = table(con, tests)
        polars = None if absent(Polars.module) else Polars(tests)
        frame = polars.frame(facts) if polars is not None else None
        works: dict[str, Callable[[], Any]] = {OURS: ours}
        if polars is None or frame is None:
            found.left_out[Polars.name] = f"`{Polars.module}` is not installed"
        else:
            works[Polars.name] = lambda: polars.run(frame)
        seconds = _in_turns(works)
        answers = _first_matches(con, tests)
    found.matched = sum(answer != NOBODY for answer in answers)
    found.ours_seconds = seconds[OURS]
    for name, spent in seconds.items():
        found.per_second[name], found.timed_on[name] = loans / spent, loans
    if polars is not None and frame is not None:
        found.polars_seconds = seconds[Polars.name]
        _same(Polars.name, polars.run(frame)["answer"].to_list(), answers)
    some = rows(facts.slice(0, min(loans, max(peer.loans for peer in PEERS))))
    for peer in PEERS:
        if absent(peer.module):
            found.left_out[peer.name] = f"`{peer.module}` is not installed"
            continue
        engine, mine = peer(tests), some[: peer.loans]
        _same(peer.name, engine.answers(mine), answers)
        spent = min(_seconds(partial(engine.answers, mine)) for _ in range(PEER_ROUNDS))
        found.per_second[peer.name], found.timed_on[peer.name] = len(mine) / spent, len(mine)
    return found


def _in_turns(works: dict[str, Callable[[], Any]]) -> dict[str, float]:
    """The middle one of several rounds, so that whatever else the machine does meets everybody."""
    for work in works.values():
        work()
    spent: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS):
        for name, work in works.items():
            spent[name].append(_seconds(work))
    return {name: median(seconds) for name, seconds in spent.items()}


def _seconds(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _first_matches(con: "DuckDBPyConnection", tests: Tests) -> list[int]:
    """Of every loan the lowest bit of its rules, as a number among the sixty."""
    before = {stage: mine[0].number for stage, mine in tests.items()}
    first = con.execute("select stage, rules from matched order by loan_id").fetchall()
    return [before[stage] + (rules & -rules).bit_length() - 1 if rules else NOBODY for stage, rules in first]


def _same(name: str, theirs: Sequence[int], ours: Sequence[int]) -> None:
    for loan, (their, our) in enumerate(zip(theirs, ours, strict=False), start=1):
        if their != our:
            raise DifferenceError(f"{name} says rule {their} about loan {loan}, and ours says {our}")


def text(found: Measured) -> str:
    """The table."""
    ours = found.per_second[OURS]
    lines = ["| engine | timed on, loans | loans a second | ours is faster by |", "| --- | --: | --: | --: |"]
    for name, rate in sorted(found.per_second.items(), key=lambda item: -item[1]):
        times = "" if name == OURS else f"{ours / rate:,.1f}"
        lines.append(f"| {name} | {found.timed_on[name]:,} | {rate:,.0f} | {times} |")
    lines += [f"\nLeft out: {name}: {why}." for name, why in found.left_out.items()]
    share = found.matched / found.loans
    lines.append(f"\nThe same answer about every loan; a rule matches {share:.0%} of them. {os.cpu_count()} cores.")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, keep. Exit code 0, or 3 where an engine gives another answer."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--loans", type=int, default=LOANS)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    try:
        found = measure(options.loans)
    except DifferenceError as difference:
        print(difference, file=sys.stderr)
        return 3
    print(text(found))
    keep("matching", found.as_json(), options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
