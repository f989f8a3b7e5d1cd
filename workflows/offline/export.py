"""From a database to Parquet files that hold everything a decision needs (`workflows.offline.layout`)."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from sqlalchemy import func, or_, select

from engine.rulebook import Rulebook
from store.book import RawBook
from store.bulk import reading, writing
from store.bulk_arrow import table_of
from store.db import Database
from store.decisions import put_off
from store.deeds import record
from workflows.deciding.allotment import Queue, limited, seats_taken
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.sweep import RETRY
from workflows.offline.layout import PEOPLE_TABLES, About
from workflows.private_file import new_folder

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

LOANS_PER_FILE: Final = 20_000

Progress = Callable[[int, int], None]


def export_book(
    database: Database,
    rulebook: Rulebook,
    folder: Path,
    *,
    now: datetime,
    queues: Mapping[str, Queue],
    actor: str,
    zone: str,
    progress: Progress,
    loans_per_file: int = LOANS_PER_FILE,
) -> About:
    """
    Write a book as it stands at an instant, whole borrowers to a file, with every fact computed.

    Each file is of one moment of the database; a payment that is recorded while the export runs may be in one file
    and not in another, of other borrowers.

    Args:
        now: aware; the instant that facts are computed for, and that the book will be decided for.
        rulebook: says which facts there are, how arms are dealt, and which rules listen to events.
    Raises:
        DataError: the folder is not empty.
    """
    import pyarrow.parquet as pq

    new_folder(folder)
    # Said before it is done: whatever leaves is in the log.
    with writing(database) as transaction:
        record(transaction, "export", "book", {"for": now.isoformat()}, now=now)
    for part in ("facts", "people", "retry"):
        (folder / part).mkdir()
    loans, total = 0, _loans(database)
    numbers = count(1)
    with ChunkReader(rulebook, actor=actor) as reader:
        for borrowers in _chunks(database, loans_per_file):
            con, book = reader.facts(database, borrowers, now=now)
            name = f"part-{next(numbers):05}.parquet"
            pq.write_table(con.sql("from facts order by loan_id").to_arrow_table(), folder / "facts" / name)
            pq.write_table(_people(con, book), folder / "people" / name)
            loans += book.loan.num_rows
            progress(loans, max(total, loans))
    with reading(database) as source:
        listening = {name for s in rulebook.strategies.values() for rules in s.rules.values() for r in rules if r.on
                     for name in (r.id, *r.was)}  # fmt: skip
        retry = put_off(source, listening, since=now - RETRY, until=now)
        seats = seats_taken(source, sorted(limited(queues)), now=now, zone=ZoneInfo(zone))
    pq.write_table(_retry(retry), folder / "retry" / "part-00001.parquet")
    about = About(now, actor, zone, loans, seats)
    about.write(folder)
    return about


_AROUND: Final = """
mine as (select borrower_id, id as loan_id from book_loan),
around as (
    select borrower_id, borrower_id as person_id from book_loan
    union select borrower_id, person_id from book_party join mine using (loan_id)),
about as (
    select borrower_id, book_contact.id as contact_id from book_contact join around using (person_id)
    union select borrower_id, book_contact.id from book_contact join mine using (loan_id))
"""
"""Whose rows a borrower's decision may look at: their loans, the people around these, and the contacts with either."""

_KEYS: Final[Mapping[str, tuple[str, str]]] = {
    "loan": ("mine", "id"),
    "person": ("around", "id"),
    **dict.fromkeys(("endpoint", "consent", "hold"), ("around", "person_id")),
    **dict.fromkeys(("party", "position", "account_snapshot", "notice", "promise"), ("mine", "loan_id")),
    "contact": ("about", "id"),
    "contact_loan": ("about", "contact_id"),
}
"""Table -> where its borrowers are found, and by which of its columns."""

_ID: Final = {"mine": "loan_id", "around": "person_id", "about": "contact_id"}


def _people(con: "DuckDBPyConnection", book: RawBook) -> "pa.Table":
    """A row a borrower: the rows of every table that concern them, as lists."""
    gathered = [_AROUND.strip()]
    for name, order in PEOPLE_TABLES.items():
        con.register(f"book_{name}", getattr(book, name))
        via, key = _KEYS[name]
        gathered.append(
            f"all_{name} as (select {via}.borrower_id, list(r order by {', '.join(f'r.{column}' for column in order)}) as {name}"
            f" from book_{name} r join {via} on {via}.{_ID[via]} = r.{key} group by {via}.borrower_id)"
        )
    joins = " ".join(f"left join all_{name} using (borrower_id)" for name in PEOPLE_TABLES)
    try:
        return con.sql(
            f"with {', '.join(gathered)} select borrower_id, {', '.join(PEOPLE_TABLES)}"
            f" from (select distinct borrower_id from book_loan) {joins} order by borrower_id"
        ).to_arrow_table()
    finally:
        for name in PEOPLE_TABLES:
            con.unregister(f"book_{name}")


def _retry(retry: Mapping[int, frozenset[str]]) -> "pa.Table":
    import pyarrow as pa

    pairs = sorted((loan, rule) for loan, rules in retry.items() for rule in rules)
    return pa.table({
        "loan_id": pa.array([loan for loan, _ in pairs], pa.int64()),
        "rule": pa.array([rule for _, rule in pairs], pa.string()),
    })  # fmt: skip


def _chunks(database: Database, loans_per_file: int) -> Iterator[list[int]]:
    """Every borrower with a loan that is not closed and paid, whole borrowers to a file, in id order."""
    loan, position = table_of("loan"), table_of("position")
    counted = (
        select(loan.c.borrower_id, func.count().label("loans"))
        .select_from(loan.outerjoin(position, position.c.loan_id == loan.c.id))
        .where(or_(loan.c.stage != "closed", position.c.first_open_on.is_not(None)))
        .group_by(loan.c.borrower_id)
        .order_by(loan.c.borrower_id)
    )
    with reading(database) as source:
        counts = source.read(counted)
    chunk: list[int] = []
    loans = 0
    for borrower, its in zip(counts["borrower_id"].to_pylist(), counts["loans"].to_pylist(), strict=True):
        if chunk and loans + its > loans_per_file:
            yield chunk
            chunk, loans = [], 0
        chunk.append(borrower)
        loans += its
    if chunk:
        yield chunk


def _loans(database: Database) -> int:
    loan = table_of("loan")
    with reading(database) as source:
        return int(source.read(select(func.count().label("id")).select_from(loan))["id"][0].as_py())
