"""What `duecourse sweep --sql` prints is what the sweep runs."""

import duckdb

from duecourse.workspace import open_workspace, shipped_folder
from store.db import Database
from tests.sweep_books import NOW, LoanSpec, PersonSpec, fill, rulebook
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.sweep_sql import sweep_sql

BOOK = [PersonSpec((LoanSpec(days),)) for days in (-30, -10, -1, 0, 1, 5, 9, 40, 100)]


def test_the_printed_statements_find_what_the_sweep_finds(sqlite_database: Database) -> None:
    """Run by hand over the facts of a book, they leave out, and match, whom the sweep leaves out and matches."""
    fill(sqlite_database, BOOK)
    people = range(1, len(BOOK) + 1)
    with ChunkReader(rulebook(), actor="first_party") as reader:
        swept = reader.sweep(sqlite_database, people, now=NOW, retry={})
        con, _ = reader.facts(sqlite_database, people, now=NOW)
        wanted = con.execute("select loan_id, strategies, moves, rules from matched order by loan_id").fetchall()
        moved = con.execute("from matched_moved order by all").fetchall()
        looked_at, _, matched, matched_moved = con.extract_statements(sweep_sql(rulebook()))
        names = [column[0] for column in con.execute(looked_at).description]
        seen = {row[names.index("borrower_id")] for row in con.execute(looked_at).fetchall()}
        con.execute("create temp table retrying (loan_id bigint)")
        con.execute(matched)
        con.execute(matched_moved)
        assert (
            con.execute("select loan_id, strategies, moves, rules from matched order by loan_id").fetchall() == wanted
        )
        assert con.execute("from matched_moved order by all").fetchall() == moved
    busy = {situation.borrower.id for situation in swept.chunk.situations} | {quiet.borrower for quiet in swept.quiet}
    assert busy <= seen < set(people)


def test_the_shipped_strategies_can_be_read_as_sql() -> None:
    """Four statements, each with a word on it, that DuckDB reads."""
    text = sweep_sql(open_workspace(shipped_folder(), {}).rulebook)
    assert len(duckdb.connect().extract_statements(text)) == 4
    assert [line[:4] for line in text.splitlines() if line.startswith("-- ") and line[3].isdigit()] == [
        "-- 1", "-- 2", "-- 3", "-- 4",
    ]  # fmt: skip
    assert max(map(len, text.splitlines())) < 200
