"""
One chunk of whole borrowers on its way through a decision: read as columns, its facts computed, its people as values.

The same for a million loans, a micro-batch of events and a second look: only who is read differs.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson

from engine.facts import Facts
from engine.rulebook import Rulebook
from engine.situation import Situation
from engine.sql import to_sql
from store.book import RawBook, read_book
from store.bulk_arrow import Reader
from store.db import Database
from store.decisions import DecisionRows, LoanBefore, canonical_json
from store.duck import Effort
from store.fact_query import Arms, FactStatement, contact_days
from store.fact_small import LOANS_MAX, SmallFacts
from store.situations import Happened, situations
from store.snapshots import pack
from workflows.deciding.matching import Quiet, SweepMatcher, SweepStatement
from workflows.deciding.screening import Screen

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Chunk:
    """
    Some borrowers, ready to be decided.

    Attributes:
        versions: person id -> `person.version` as it was read, of everybody around them.
        before: loan id -> what its rows need to know, of every loan of `situations`.
        loans: how many loans were read.
        snapshot: packs what was read of some of the situations' borrowers, as `store.snapshots.pack`; None where nobody
            keeps it.
    """

    situations: tuple[Situation, ...]
    versions: Mapping[int, int]
    before: Mapping[int, LoanBefore]
    loans: int
    snapshot: Callable[..., bytes] | None = None

    def kept_by(self, rows: DecisionRows) -> None:
        """Put what these situations were made of into the rows that are written with the decisions about them."""
        if self.situations and self.snapshot is not None:
            borrowers = [situation.borrower.id for situation in self.situations]
            rows.add_snapshot(borrowers, self.snapshot(borrowers))


class Fresh(NamedTuple):
    """
    A borrower as a second look sees them.

    Attributes:
        versions: person id -> version as it was read, of everybody in the situation.
        chunk: what they were read with.
    """

    situation: Situation
    versions: Mapping[int, int]
    chunk: Chunk


@dataclass(frozen=True, slots=True)
class SweptChunk:
    """
    A chunk of which only the busy borrowers were made into situations.

    Attributes:
        matcher: answers for every loan of the chunk's situations.
        quiet: overdue loans of the other borrowers: nothing matches, so nothing is to be decided.
    """

    chunk: Chunk
    matcher: SweepMatcher
    quiet: tuple[Quiet, ...]


def arms_of(rulebook: Rulebook) -> list[Arms]:
    """How each strategy deals its people, in the rulebook's order."""
    return [Arms(to_sql(strategy.applies_to), strategy.arms) for strategy in rulebook.strategies.values()]


class ChunkReader:
    """Reads chunks for one rulebook, on databases in memory of its own. For one thread at a time."""

    def __init__(self, rulebook: Rulebook, *, actor: str, threads: int | None = None) -> None:
        """
        Args:
            threads: how many DuckDB may use; None: as many as there are cores.
        """
        self._threads = threads
        self._contact_days = contact_days(rulebook.catalogue)
        self._actor = actor
        self._rulebook = rulebook

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the memory back."""
        for name in ("screen", "_small", "_duckdb"):
            if name in self.__dict__:
                self.__dict__[name].close()

    @cached_property
    def screen(self) -> Screen:
        """Who finds out whom to read, of the same rulebook; made when first asked for, and kept, like all below."""
        return Screen(self._rulebook)

    @cached_property
    def _duckdb(self) -> "DuckDBPyConnection":
        import duckdb

        return duckdb.connect(":memory:", config={"threads": self._threads} if self._threads else {})

    @cached_property
    def _effort(self) -> Effort:
        return Effort(self._duckdb)

    @cached_property
    def _facts(self) -> FactStatement:
        return FactStatement(self._duckdb, self._rulebook.catalogue, arms_of(self._rulebook))

    @cached_property
    def _small(self) -> SmallFacts:
        return SmallFacts(self._rulebook.catalogue, arms_of(self._rulebook))

    @cached_property
    def _statement(self) -> SweepStatement:
        return SweepStatement(self._rulebook)

    def sweep(
        self,
        source: Database | Reader,
        borrowers: Sequence[int],
        *,
        now: datetime,
        retry: Mapping[int, frozenset[str]],
        leave_out: Collection[int] = (),
    ) -> SweptChunk:
        """
        Read borrowers and find out in one statement of whom anything matches.

        Args:
            retry: loan id -> rules whose contact, called for by an event, the gate put off.
            leave_out: borrowers who are decided already.
        """
        book = self._compute(source, borrowers, now)
        self._statement.match(self._duckdb, retry)
        matched = self._statement.busy(self._duckdb, leave_out)
        busy = {found.borrower for found in matched.values()}
        texts = self._statement.facts_json(self._duckdb, sorted(matched))
        chunk = self._chunk(book, texts, busy, now, Happened(retry=retry))
        quiet = tuple(self._statement.quiet(self._duckdb, busy.union(leave_out)))
        return SweptChunk(chunk, SweepMatcher(matched), quiet)

    def look(self, source: Database | Reader, borrowers: Sequence[int], *, now: datetime, happened: Happened) -> Chunk:
        """Read borrowers and make all of them into situations."""
        book = read_book(source, borrowers, now=now, contact_days=self._contact_days)
        if book.loan.num_rows > LOANS_MAX:
            return self.again(book, now=now, happened=happened)
        facts = self._small.compute(book, now=now)
        texts = {loan: canonical_json(known) for loan, known in facts.items()}
        return self._chunk(book, texts, set(_column(book.loan, "borrower_id")), now, happened, facts)

    def again(self, book: RawBook, *, now: datetime, happened: Happened) -> Chunk:
        """The situations of a book that was read before, their facts computed anew."""
        self._suited(book, now)
        texts = self._statement.facts_json(self._duckdb, _column(book.loan, "id"))
        return self._chunk(book, texts, set(_column(book.loan, "borrower_id")), now, happened)

    def matched(self, loans: Sequence[int]) -> SweepMatcher:
        """
        The sweep's answers about the loans that were read or computed last, each in its own stage.

        Args:
            loans: those for which rules that listen to an event are asked about as well.
        """
        self._statement.match(self._duckdb, loans)
        return self._statement.everybody(self._duckdb)

    def facts(
        self, source: Database | Reader, borrowers: Sequence[int], *, now: datetime
    ) -> tuple["DuckDBPyConnection", RawBook]:
        """What was read of these borrowers; their facts are in the temporary table `facts` of the connection."""
        book = self._compute(source, borrowers, now)
        return self._duckdb, book

    def _compute(self, source: Database | Reader, borrowers: Sequence[int], now: datetime) -> RawBook:
        return self._suited(read_book(source, borrowers, now=now, contact_days=self._contact_days), now)

    def _suited(self, book: RawBook, now: datetime) -> RawBook:
        self._effort.suit(book.loan.num_rows)
        self._facts.compute(book, now=now)
        return book

    def _chunk(
        self,
        book: RawBook,
        texts: Mapping[int, str],
        busy: Collection[int],
        now: datetime,
        happened: Happened,
        facts: Mapping[int, Facts] | None = None,
    ) -> Chunk:
        facts = facts or {loan: orjson.loads(text) for loan, text in texts.items()}
        made = tuple(situations(book, facts, busy, now=now, happened=happened, actor=self._actor))
        versions = dict(zip(_column(book.person, "id"), _column(book.person, "version"), strict=True))
        packed = partial(pack, book, now=now, actor=self._actor, happened=happened)
        return Chunk(made, versions, before_of(book, texts, made), book.loan.num_rows, packed)


def before_of(book: RawBook, texts: Mapping[int, str], made: Sequence[Situation]) -> dict[int, LoanBefore]:
    """What each loan of these situations was before, by loan id; `texts` are its facts as canonical JSON."""
    episodes = dict(zip(_column(book.loan, "id"), _column(book.loan, "episode"), strict=True))
    began = dict(zip(_column(book.loan, "id"), _column(book.loan, "episode_on"), strict=True))
    return {
        loan.id: LoanBefore(
            texts[loan.id], loan.stage_entry, episodes[loan.id], began[loan.id], loan.periods, loan.facts.get("dpd")
        )
        for situation in made
        for loan in situation.loans
    }


def _column(table: Any, name: str) -> list[Any]:
    values: list[Any] = table[name].to_pylist()
    return values
