"""
Of whom something may have to be decided: found from the outline of the book, so that the rest is never read.

A borrower is left out only where nothing can match: every condition is asked with all facts that the outline does
not tell taken as whatever would make it true. What is let through is looked at in full, and may still be quiet.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations
from typing import TYPE_CHECKING, Final, Self

from engine.errors import Place
from engine.facts import Catalogue
from engine.rulebook import Rulebook
from engine.sql import to_sql
from engine.stages import STAGES, Stage
from engine.strategy import Strategy
from engine.tree import All, Any, Condition, Leaf, relaxed
from store.book import packed
from store.bulk import reading
from store.db import Database
from store.fact_query import FactStatement
from store.outline import OUTLINE_FACTS, read_outline

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LOANS_PER_SPAN: Final = 100_000
"""Loans whose outline is looked at at once: narrow, so that there may be more of them than a chunk holds."""

_OVERDUE: Final = Leaf("dpd", ">", (0,), "dpd > 0", Place(""))


@dataclass(frozen=True, slots=True)
class Span:
    """
    Borrowers to be looked at in full.

    Attributes:
        borrowers: in id order; not empty.
        seen: how many loans the outline has shown so far.
    """

    borrowers: tuple[int, ...]
    seen: int

    @property
    def to(self) -> int:
        """The last borrower's id."""
        return self.borrowers[-1]


class Screen:
    """Goes through a book by its outline, on a DuckDB connection of its own. For one thread at a time."""

    def __init__(self, rulebook: Rulebook) -> None:
        import duckdb

        known = known_facts(rulebook.catalogue)
        self._duckdb: DuckDBPyConnection = duckdb.connect(":memory:")
        self._facts = FactStatement(self._duckdb, rulebook.catalogue, only=known)
        self._may_match = may_match(rulebook, known)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        self._duckdb.close()

    def spans(
        self, database: Database, *, now: datetime, after: int, retry: Collection[int], loans_per_chunk: int
    ) -> Iterator[Span]:
        """
        Everybody of whom something may have to be decided, in id order.

        Args:
            after: the last borrower that is done already.
            retry: loans of which the rules that listen to an event are asked as well.
        """
        seen = 0
        while True:
            with reading(database) as source:
                outline = read_outline(source, after=after, loans=LOANS_PER_SPAN, now=now)
            if outline is None:
                return
            self._facts.compute(outline.book, now=now)
            seen += outline.book.loan.num_rows
            borrowers, loans = self._candidates(retry)
            for chunk in packed(borrowers, loans, loans_per_chunk):
                yield Span(tuple(chunk), seen)
            after = outline.to

    def _candidates(self, retry: Iterable[int]) -> tuple[list[int], list[int]]:
        import pyarrow as pa

        self._duckdb.register("retrying", pa.table({"loan_id": pa.array(sorted(retry), pa.int64())}))
        found = self._duckdb.execute(
            "select borrower_id, count(*) as loans from facts group by borrower_id"
            f" having bool_or(coalesce({self._may_match}, false) or loan_id in (from retrying)) order by borrower_id"
        ).fetchall()
        self._duckdb.unregister("retrying")
        return [borrower for borrower, _ in found], [loans for _, loans in found]


def may_match(rulebook: Rulebook, known: Collection[str]) -> str:
    """
    An SQL expression over these facts that is true of every loan about which a sweep may have something to say.

    That is: it may be overdue, or several strategies may apply, or a move or a rule of the one that does may match.
    """
    strategies = rulebook.strategies.values()
    several = (All((one.applies_to, other.applies_to)) for one, other in combinations(strategies, 2))
    wanted = (All((strategy.applies_to, _anything(strategy))) for strategy in strategies)
    return to_sql(relaxed(Any((_OVERDUE, *several, *wanted)), known))


def _anything(strategy: Strategy) -> Condition:
    """That a move from the loan's stage matches, or a rule of it that a sweep asks about."""
    return Any(tuple(All((_in_stage(stage), Any(tuple(_conditions(strategy, stage))))) for stage in STAGES))


def _conditions(strategy: Strategy, stage: Stage) -> Iterator[Condition]:
    yield from (move.when for move in strategy.moves if stage in move.sources)
    yield from (rule.when for rule in strategy.rules.get(stage, ()) if not rule.on)


def _in_stage(stage: Stage) -> Condition:
    return Leaf("stage", "=", (stage,), f"stage = '{stage}'", Place(""))


def known_facts(catalogue: Catalogue) -> frozenset[str]:
    """What the outline tells of the facts of this catalogue; a lender may bring facts of their own in the place of ours."""
    known = {name for name in OUTLINE_FACTS if name in catalogue.facts and catalogue.facts[name].supplier != "imported"}
    return frozenset(known if "dpd" in known else known - {"days_to_due"})
