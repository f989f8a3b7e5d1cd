"""Whole columns go in and come out unchanged, on both databases, by every path that writes them."""

import sqlite3
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import BigInteger, Table, event, func, insert, select, text
from sqlalchemy.exc import OperationalError
from sqlmodel import SQLModel

from engine.errors import StoreError
from store.bulk import arrow_schema, reading, writing
from store.bulk_arrow import table_of
from store.columns import from_us, to_us
from store.db import Database
from store.tables import Setting
from tests.opening import open_database

ROWS = 4
INTEGERS = [0, -1, 2**31 - 1, 7]
MONEY = [0, -(2**63), 2**63 - 1, 12_50]
INSTANTS = [
    0,
    to_us(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)),
    1,
    to_us(datetime(2199, 2, 28, 1, tzinfo=UTC)),
]
DATES = [date(1970, 1, 1), date(1900, 2, 28), date(9999, 12, 31), date(2024, 2, 29)]
TEXTS = ["", "王小明 – it's 100 % `fine`\\n", "a'; drop table loan; --\t\r\n", "plain"]
BYTES = [b"", b"\x00" * 32, b"\\x41'\xff", bytes(range(256))]
FILLED = ("setting", "log_queue")
"""What holds rows before a test writes any: the database's own, and what the log's tables queue."""
TABLES = [table.name for table in SQLModel.metadata.sorted_tables]


def rows_of(table: Table) -> pa.Table:
    """Four rows that a table could hold: awkward values, and nulls wherever one may stand."""
    columns: dict[str, list[Any]] = {}
    for column, field in zip(table.columns, arrow_schema(table.name), strict=True):
        values: list[Any]
        identity = column.primary_key or column.foreign_keys or column.unique
        if pa.types.is_string(field.type):
            values = [f"{i}{text}" for i, text in enumerate(TEXTS)] if identity else list(TEXTS)
            if column.foreign_keys:
                values = [f"{i}{text}" for i, text in enumerate(TEXTS)]
        elif identity:
            values = [1, 2, 3, 4]
        elif pa.types.is_date(field.type):
            values = list(DATES)
        elif pa.types.is_binary(field.type):
            values = list(BYTES)
        elif pa.types.is_boolean(field.type):
            values = [True, False, True, False]
        elif column.name.endswith("_at") or column.name == "at":
            values = list(INSTANTS)
        else:
            values = list(MONEY) if column.name.endswith("_minor") else list(INTEGERS)
        if column.nullable:
            values[len(columns) % ROWS] = None
        columns[column.name] = values
    return pa.table(columns, schema=arrow_schema(table.name))


def as_python(table: str, rows: pa.Table) -> list[tuple[Any, ...]]:
    """Bulk rows in the ORM's own values."""
    instants = {c.name for c in table_of(table).columns if c.name.endswith("_at") or c.name == "at"}
    return [
        tuple(from_us(v) if n in instants and v is not None else v for n, v in row.items()) for row in rows.to_pylist()
    ]


def by_orm(database: Database, table: Table) -> list[tuple[Any, ...]]:
    with database.session() as session:
        return sorted((tuple(row) for row in session.execute(select(table))), key=repr)


def test_every_table_comes_back_as_it_was_written_in_bulk(database: Database) -> None:
    """Nulls, Unicode, quotes, the largest amounts, instants before 1970 and far dates survive; the ORM reads the same."""
    for name in TABLES:
        rows = rows_of(table_of(name))
        with writing(database) as bulk:
            if name in FILLED:
                bulk.execute(f'delete from "{name}"')
            bulk.append(name, rows)
        with reading(database) as reader:
            found = reader.read(select(table_of(name)))
        assert found.schema == arrow_schema(name)
        assert sorted(as_python(name, found), key=repr) == sorted(as_python(name, rows), key=repr)
        assert by_orm(database, table_of(name)) == sorted(as_python(name, rows), key=repr)


def test_bulk_reads_what_the_orm_wrote(database: Database) -> None:
    """A row written one at a time is read in bulk as the same values."""
    for name in TABLES:
        rows = as_python(name, rows_of(table_of(name)))
        names = table_of(name).columns.keys()
        with database.write() as session:
            if name in FILLED:
                session.execute(table_of(name).delete())
            session.execute(insert(table_of(name)), [dict(zip(names, row, strict=True)) for row in rows])
        with reading(database) as reader:
            assert sorted(as_python(name, reader.read(select(table_of(name)))), key=repr) == sorted(rows, key=repr)


def test_no_rows_are_still_typed_columns(database: Database) -> None:
    """An empty table is read as no rows of the right columns, and no rows can be written."""
    with writing(database) as bulk:
        bulk.append("contact", arrow_schema("contact").empty_table())
    with reading(database) as reader:
        assert reader.read(select(table_of("contact"))) == arrow_schema("contact").empty_table()


def person(ref: str = "p-1") -> pa.Table:
    """One person without an id, so that the database gives one."""
    values = {"ref": ref, "name": "A", "language": "en", "country": "US", "zones": "", "bucket": 1, "version": 0}
    return pa.table({**{k: [v] for k, v in values.items()}, "created_at": [0]})


def read_people(database: Database) -> list[dict[str, Any]]:
    with reading(database) as reader:
        table = table_of("person")
        read: list[dict[str, Any]] = reader.read(select(table.c.ref, table.c.version, table.c.name)).to_pylist()
        return read


def test_a_key_that_is_left_out_is_given_by_the_database(database: Database) -> None:
    """Appending without `id` numbers the rows, and a column that may be null and is left out is null."""
    with writing(database) as bulk:
        bulk.append("person", person("a"))
        bulk.append("person", person("b"))
    with reading(database) as reader:
        rows = reader.read(select(table_of("person"))).to_pylist()
    assert len({row["id"] for row in rows}) == 2
    assert [row["region"] for row in rows] == [None, None]


def two_rows_then_a_bug(database: Database) -> None:
    with writing(database) as bulk:
        bulk.append("person", person())
        bulk.execute("update person set version = 9")
        bulk.append("person", pa.table({"shoe_size": [43]}))


def test_an_error_leaves_nothing_behind(database: Database) -> None:
    """A chunk is all or nothing: an exception undoes inserts, updates and statements alike."""
    with pytest.raises(KeyError, match="shoe_size"):
        two_rows_then_a_bug(database)
    assert read_people(database) == []


def test_a_commit_that_fails_lets_go_of_the_lock(sqlite_database: Database) -> None:
    """A failure at the very end undoes everything, and keeps nobody else from writing."""

    def fails(_connection: object) -> None:
        raise OperationalError("commit", {}, sqlite3.OperationalError("some failure"))

    event.listen(sqlite_database.writer, "commit", fails)
    with pytest.raises(OperationalError) as kept, writing(sqlite_database) as transaction:
        transaction.execute("insert into setting (name, value) values ('a', 'b')")
    event.remove(sqlite_database.writer, "commit", fails)
    # Whoever still looks at the error must not hold the lock by that.
    assert kept.value is not None
    other = open_database(sqlite_database.address, busy_timeout_s=0)
    with other.write() as session:
        assert session.get(Setting, "a") is None
    other.close()


def test_an_explicit_rollback_undoes(database: Database) -> None:
    """The writer may turn back by itself, and the block then ends quietly."""
    with writing(database) as bulk:
        bulk.append("person", person())
        bulk.rollback()
    assert read_people(database) == []


def test_what_was_appended_is_read_in_the_same_transaction(database: Database) -> None:
    """A bulk transaction reads its own writes; others do not, until the commit."""
    with writing(database) as bulk:
        bulk.append("person", person())
        assert bulk.read(select(table_of("person").c.ref)).to_pylist() == [{"ref": "p-1"}]
        assert read_people(database) == []
    assert len(read_people(database)) == 1


def test_updates_say_how_many_rows_they_met(database: Database) -> None:
    """Set-based updates by key count the rows that were there; the missing ones change nothing."""
    with writing(database) as bulk:
        for ref in ("a", "b", "c"):
            bulk.append("person", person(ref))
        rows = pa.table({"ref": ["a", "c", "nobody"], "version": [5, 6, 7], "name": ["王", "", "x"]})
        assert bulk.update("person", ("ref",), rows) == 2
    assert sorted(read_people(database), key=lambda r: str(r["ref"])) == [
        {"ref": "a", "version": 5, "name": "王"},
        {"ref": "b", "version": 0, "name": "A"},
        {"ref": "c", "version": 6, "name": ""},
    ]


def test_statements_take_parameters_of_every_kind(database: Database) -> None:
    """Texts with quotes and percent signs, instants and nulls are values, never part of the statement."""
    at = datetime(2026, 3, 1, 12, 30, 0, 1, tzinfo=UTC)
    with writing(database) as bulk:
        bulk.append("person", person("a"))
        changed = bulk.execute(
            "update person set language = :language, created_at = :at, region = :region, version = version + :by where ref = :ref",
            {"language": "100% 'x' :y", "at": at, "region": None, "by": 2, "ref": "a"},
        )
        assert changed == 1
    with reading(database) as reader:
        row = reader.read(select(table_of("person"))).to_pylist()[0]
    assert (row["language"], row["created_at"], row["region"], row["version"]) == ("100% 'x' :y", to_us(at), None, 2)


def test_reading_sees_one_moment(database: Database) -> None:
    """What is committed between two reads of one reader is not seen by the second."""
    with writing(database) as bulk:
        bulk.append("person", person("a"))
    with reading(database) as reader:
        assert reader.read(select(table_of("person"))).num_rows == 1
        with writing(database) as bulk:
            bulk.append("person", person("b"))
        assert reader.read(select(table_of("person"))).num_rows == 1
    assert len(read_people(database)) == 2


def test_a_second_bulk_writer_waits_and_then_says_so(sqlite_database: Database) -> None:
    """On SQLite there is one writer; who waits too long is told, and nothing was changed."""
    impatient = open_database(str(sqlite_database.url), busy_timeout_s=0.05)
    with writing(sqlite_database) as bulk:
        bulk.append("person", person("a"))
        with pytest.raises(StoreError) as refused, writing(impatient):
            pass
    impatient.close()
    assert str(refused.value) == (
        f"`{sqlite_database.place}` is locked by another writer\n  mend: let it finish, or stop it, and run the same again"
    )
    assert len(read_people(sqlite_database)) == 1


def test_a_server_out_of_reach_is_said_so() -> None:
    """Bulk work meets an absent server with the same words as everyday work."""
    away = open_database("postgresql://nobody@/book?host=/nowhere")
    with pytest.raises(StoreError) as refused, reading(away):
        pass
    away.close()
    assert str(refused.value) == (
        f"`{away.place}` is out of reach\n  mend: start the database server, or mend `database:`"
    )


def test_two_writers_cannot_both_change_what_one_read_for_update(postgres_database: Database) -> None:
    """On PostgreSQL a row read `for update` in bulk is held: everyday work on it waits."""
    with writing(postgres_database) as bulk:
        bulk.append("person", person("a"))
    table = table_of("person")
    with writing(postgres_database) as bulk:
        assert bulk.read(select(table.c.version).with_for_update()).to_pylist() == [{"version": 0}]
        with pytest.raises(StoreError, match="is locked by another writer"):
            bump_quickly(postgres_database)
        assert bulk.execute("update person set version = version + 1") == 1
    bump_quickly(postgres_database)
    assert read_people(postgres_database) == [{"ref": "a", "version": 2, "name": "A"}]


def bump_quickly(database: Database) -> None:
    with database.write() as session:
        session.execute(text("set local lock_timeout = '50ms'"))
        session.execute(text("update person set version = version + 1"))


@pytest.mark.postgres
def test_connections_are_kept_and_one_that_was_lost_is_replaced(postgres_database: Database) -> None:
    """The same connection serves the next read; when the server has ended it meanwhile, nobody notices."""
    own = text("select pg_backend_pid()")

    def serving() -> int:
        with reading(postgres_database) as source:
            return int(source.read(select(func.pg_backend_pid(type_=BigInteger()).label("pid")))["pid"][0].as_py())

    first = serving()
    assert serving() == first
    with postgres_database.write() as session:
        assert session.execute(own).scalar_one() != first
        session.execute(text("select pg_terminate_backend(:pid)"), {"pid": first})
    second = serving()
    assert second != first
    with pytest.raises(ValueError, match="of the reader"), reading(postgres_database):
        raise ValueError("of the reader")
    with writing(postgres_database) as transaction:
        transaction.execute("update person set version = version + 1")
    assert serving() > 0
