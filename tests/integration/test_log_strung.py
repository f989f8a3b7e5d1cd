"""Entries that the database strings together itself are those that DuckDB writes; what only DuckDB can judge is left to it."""

from contextlib import nullcontext

import pytest
from sqlalchemy import text

from engine.errors import StoreError
from store import log, log_strung
from store.bulk import reading
from store.db import Database
from store.log_kinds import KINDS
from store.log_sql import Encoder
from tests.logs import add_decisions, fill, without_triggers
from workflows.log.sequence import first_hashes, hashes, sequence

ODD = {
    "no text": ("facts_json", "x'7b7d'"),
    "a text that ends early": ("facts_json", "'{\"a\"' || char(0) || ':1}'"),
    "a short text that ends early": ("outcome", "'nothing' || char(0)"),
    "no letters": ("trace_json", "cast(x'7bff7d' as text)"),
    "half a microsecond": ("now_at", "1772409600000000.5"),
    "a word for an instant": ("now_at", "'soon'"),
    "a day in another spelling": ("on_on", "'2026-3-2'"),
    "a day with hours": ("on_on", "'2026-03-02 10:00'"),
    "a number for a day": ("on_on", "5"),
    "a number too large": ("covered_by", "9223372036854775808"),
}


def queued_entries(database: Database) -> list[tuple[str, str]]:
    """Kind and key of every row that waits, of a book with odd values and nulls in every table."""
    fill(database)
    add_decisions(database, 9, run=101)
    with database.session() as session:
        rows = session.connection().execute(text("select kind, key from log_queue order by id")).all()
    return [(kind, key) for kind, key in rows]


def test_what_a_database_strings_together_is_what_duckdb_writes(database: Database) -> None:
    """Of every kind in which nothing is withheld, absent rows among them; of the others it does not try."""
    entries, strung = queued_entries(database), set()
    with reading(database) as reader, Encoder(b"key") as encoder:
        for name, kind in KINDS.items():
            keys = [*(key for of, key in entries if of == name), "999999", "7-x"]
            found = log_strung.hashes(reader, kind, keys)
            if found is not None:
                strung.add(name)
                assert found == hashes(reader, encoder, [(name, key) for key in keys]), name
                assert all(found[:-2])
                assert found[-2:] == [None, None]
        assert first_hashes(reader, encoder, entries) == hashes(reader, encoder, entries)
    assert (
        strung == {"decision", "run", "deed", "snapshot"} == {kind.name for kind in KINDS.values() if not kind.withheld}
    )


@pytest.mark.parametrize("case", ODD)
def test_a_row_that_holds_what_its_column_does_not_say_is_judged_as_ever(sqlite_database: Database, case: str) -> None:
    """SQLite lets anything stand anywhere; such a row is refused or written as it always was, and the rest as well."""
    column, value = ODD[case]
    database = sqlite_database
    entries = queued_entries(database)
    with without_triggers(database) as connection:
        connection.execute(
            text(f"update decision set {column} = {value} where run_id = 101 and loan_id = 5".replace(":", "\\:"))
        )
    decisions = [(kind, key) for kind, key in entries if kind == "decision"]
    with reading(database) as reader, Encoder(b"key") as encoder:
        made = first_hashes(reader, encoder, decisions)
        assert made == hashes(reader, encoder, decisions)
        one = made[decisions.index(("decision", "101-5"))]
        assert all(digest for digest in made if digest is not one)


@pytest.mark.parametrize("value", ["infinity", "-infinity", "0044-03-15 12:00:00+00 BC", "20000-01-01 00:00:00+00"])
@pytest.mark.parametrize("column", ["now_at", "on_on"])
def test_an_instant_that_is_in_no_calendar_keeps_nobody_waiting(
    postgres_database: Database, column: str, value: str
) -> None:
    """PostgreSQL has more of them than we do: their rows get the hashes that they always got."""
    fill(postgres_database)
    add_decisions(postgres_database, 3, run=101)
    with without_triggers(postgres_database) as connection:
        connection.execute(
            text(f"update decision set {column} = '{value}' where run_id = 101 and loan_id = 2".replace(":", "\\:"))
        )
    decisions = [("decision", f"101-{loan}") for loan in (1, 2, 3)]
    with reading(postgres_database) as reader, Encoder(b"key") as encoder:
        assert log_strung.hashes(reader, KINDS["decision"], ["101-1", "101-2"]) is None
        assert log_strung.hashes(reader, KINDS["decision"], ["101-1", "101-3"]) is not None
        made = first_hashes(reader, encoder, decisions)
        assert made == hashes(reader, encoder, decisions)
        assert all(made)


def test_what_somebody_else_took_meanwhile_gets_no_second_position(sqlite_database: Database) -> None:
    """A sequencer that lost its lock to another one stops, and leaves the log as the other one left it."""
    fill(sqlite_database)

    def other_was_faster() -> bool:
        sequence(sqlite_database)
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("workflows.log.sequence.sole", lambda *_, **__: nullcontext())
        with pytest.raises(StoreError, match="were taken meanwhile"):
            sequence(sqlite_database, stop=other_was_faster)
    with reading(sqlite_database) as reader:
        head = log.read_head(reader)
        assert head is not None
        assert head.size == log.end_of_log(reader) == 6 * len(KINDS)
