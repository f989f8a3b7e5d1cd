"""
Where a live book starts: each imported loan that was never placed enters the stage its strategy's `entry:` rules give it.

The first rule that matches wins; where none does, the loan starts in `current` and the ladder's own moves take it from
there. No contact is made. The history says which rule it was, and where the stage owes a notice of which the import
brought no evidence, it says that too.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select

from engine.gate import Gate
from engine.rulebook import Rulebook
from engine.sql import case_list
from engine.stages import EDGE, Stage
from engine.strategy import EntryRule, Strategy
from store.book import RawBook, packed
from store.bulk import reading, writing
from store.bulk_arrow import table_of
from store.db import Database
from store.decisions import DecisionRows, Placed
from store.lock import sole
from store.situations import Happened
from store.snapshots import pack
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.machine import episode_after
from workflows.deciding.recording import moved_meanwhile
from workflows.deciding.run import Frozen, begin_entry, end

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def enter_book(
    database: Database,
    rulebook: Rulebook,
    gate: Gate,
    *,
    now: datetime,
    loans_per_chunk: int = 20_000,
    actor: str = "first_party",
    reader: ChunkReader | None = None,
) -> Mapping[str, int]:
    """
    Place every loan that was never placed, whose arrears are known, and whose strategy says where loans enter.

    Args:
        reader: one of this rulebook that is at hand, to save its making.
    Returns:
        stage -> how many loans entered it.
    Raises:
        StoreError: a sweep is running, or the database cannot be written.
    """
    placed: dict[str, int] = {}
    with sole(database, "sweep", what="a sweep"), ExitStack() as stack:
        chunks = list(packed(*_with_unplaced(database), loans_per_chunk))
        if not chunks:
            return placed
        own = reader or stack.enter_context(ChunkReader(rulebook, actor=actor))
        with database.write() as session:
            frozen = begin_entry(session, rulebook.strategies, gate, now=now)
        for borrowers in chunks:
            for stage, loans in _enter(database, rulebook, own, frozen, borrowers).items():
                placed[stage] = placed.get(stage, 0) + loans
        with database.write() as session:
            end(session, frozen.id, now=now, counts={f"entered.{stage}": loans for stage, loans in placed.items()})
    return placed


def entered(first: EntryRule | None) -> tuple[Stage, str]:
    """The stage that a loan enters, and the cause that its history names; None: no rule matches."""
    return (first.stage, f"entry:{first.id}") if first is not None else ("current", "entry:none")


def owed(stage: Stage, loan: int, served: Collection[tuple[int, str]]) -> str:
    """
    What the history says of the notice that a stage owes; empty where it owes none, or one was imported.

    Args:
        served: loan and kind of each notice that was.
    """
    duty = EDGE["current", stage].duty if stage != "current" else None
    return f"no {duty} was imported" if duty and (loan, duty) not in served else ""


@dataclass(frozen=True, slots=True)
class _Entry:
    loan: int
    borrower: int
    on: date
    dpd: int
    stage: Stage
    cause: str


def _enter(
    database: Database, rulebook: Rulebook, reader: ChunkReader, frozen: Frozen, borrowers: Sequence[int]
) -> dict[str, int]:
    duckdb, book = reader.facts(database, borrowers, now=frozen.now)
    entries = list(_entries(duckdb, rulebook, book))
    versions = dict(zip(book.person["id"].to_pylist(), book.person["version"].to_pylist(), strict=True))
    episodes = dict(zip(book.loan["id"].to_pylist(), book.loan["episode"].to_pylist(), strict=True))
    served = set(zip(book.notice["loan_id"].to_pylist(), book.notice["kind"].to_pylist(), strict=True))
    counts: dict[str, int] = {}
    rows = DecisionRows(frozen.id, frozen.now, frozen.strategies)
    with writing(database) as transaction:
        # Whoever changed since is placed by the next entry, on what is true by then.
        concerned = {entry.borrower: (entry.borrower,) for entry in entries}
        moved = set(moved_meanwhile(database, transaction, concerned, versions))
        for entry in entries:
            if entry.borrower in moved:
                continue
            began = entry.on - timedelta(days=entry.dpd)
            episode, episode_on = episode_after("current", entry.stage, episodes[entry.loan], None, began)
            after = Placed(entry.stage, entry.on, 1, episode, episode_on)
            rows.add_move(
                entry.loan, "current", entry.on, after, cause=entry.cause, reason=owed(entry.stage, entry.loan, served)
            )
            counts[entry.stage] = counts.get(entry.stage, 0) + 1
        placed = {entry.borrower for entry in entries} - moved
        if placed:
            rows.add_snapshot(placed, pack(book, placed, now=frozen.now, actor="", happened=Happened()))
        rows.write(transaction)
        for borrower in sorted(placed):
            transaction.execute("update person set version = version + 1 where id = :id", {"id": borrower})
    return counts


def _entries(duckdb: "DuckDBPyConnection", rulebook: Rulebook, book: RawBook) -> Iterator[_Entry]:
    strategies = [s for s in rulebook.strategies.values() if s.entry]
    if not strategies:
        return
    applies = case_list({s.id: s.applies_to for s in rulebook.strategies.values()})
    numbers = {str(n): s for n, s in enumerate(rulebook.strategies.values())}
    rules = " ".join(f"when '{n}' then {_matching(s)}" for n, s in numbers.items() if s.entry)
    duckdb.register("loans", book.loan)
    rows = duckdb.execute(
        f"with applied as (select facts.*, {applies} as strategies from facts semi join"
        f" (select id as loan_id from loans where stage = 'current' and stage_entry = 0) using (loan_id))"
        f" select loan_id, borrower_id, on_on, dpd, strategies, case strategies {rules} end as matching from applied"
        f" where dpd is not null order by loan_id"
    ).fetchall()
    duckdb.unregister("loans")
    for loan, borrower, on, dpd, number, matching in rows:
        if matching is None:
            continue  # no strategy, several, or one that places nobody
        entry = numbers[number].entry
        first = entry[int(matching.split(",")[0])] if matching else None
        yield _Entry(loan, borrower, on, dpd, *entered(first))


def _matching(strategy: Strategy) -> str:
    return case_list({rule.id: rule.when for rule in strategy.entry})


def _with_unplaced(database: Database) -> tuple[list[int], list[int]]:
    """The borrowers of loans that were never placed, and how many such loans each has."""
    loan = table_of("loan")
    unplaced = (
        select(loan.c.borrower_id, func.count().label("loans"))
        .where(loan.c.stage == "current", loan.c.stage_entry == 0)
        .group_by(loan.c.borrower_id)
        .order_by(loan.c.borrower_id)
    )
    with reading(database) as source:
        found = source.read(unplaced)
    return found["borrower_id"].to_pylist(), found["loans"].to_pylist()
