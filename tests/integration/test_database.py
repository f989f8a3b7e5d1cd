"""The database opens, migrates, keeps transactions apart, and says what is wrong so that it can be mended."""

import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from sqlmodel import SQLModel, select

from engine.errors import StoreError
from store import migrations
from store.db import Database
from store.tables import Setting
from tests.conftest import BUCKET_KEY
from tests.opening import open_database
from tests.postgres import Server


def said(action: Callable[[], object]) -> str:
    """The whole text of the refusal."""
    with pytest.raises(StoreError) as refused:
        action()
    return str(refused.value)


def put(database: Database, name: str, value: str = "") -> None:
    """One committed setting."""
    with database.write() as session:
        session.add(Setting(name=name, value=value))


def names(database: Database) -> set[str]:
    """Every setting there is."""
    with database.session() as session:
        return set(session.exec(select(Setting.name)))


NEW = {"environment", "sending", "bucket_key", "seal"}


# --- creating and migrating -------------------------------------------------------------------------------------------


def test_a_new_database_is_for_development_and_sends_nothing(database: Database) -> None:
    """Real gateways stay shut until the database itself is told that it is production."""
    with database.session() as session:
        found = {row.name: row.value for row in session.exec(select(Setting))}
    assert found == {"environment": "development", "sending": "off", "bucket_key": BUCKET_KEY, "seal": found["seal"]}


def test_migrations_and_tables_say_the_same(database: Database) -> None:
    """What the migrations build is what `store/tables/` declares, on both databases."""
    with database.session() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, SQLModel.metadata) == []


def test_both_databases_have_the_same_tables_keys_and_indexes(
    sqlite_database: Database, postgres_database: Database
) -> None:
    """Names, nullability, keys, unique sets and indexes agree; a rule that holds on one holds on the other."""
    assert shape(sqlite_database) == shape(postgres_database)


def shape(database: Database) -> dict[str, object]:
    """The schema as the database itself reports it, without what PostgreSQL names by itself."""
    from sqlalchemy import inspect

    found = inspect(database.engine)
    return {
        table: {
            "columns": [(column["name"], column["nullable"]) for column in found.get_columns(table)],
            "key": found.get_pk_constraint(table)["constrained_columns"],
            "foreign": sorted(
                (key["constrained_columns"], key["referred_table"], key["referred_columns"])
                for key in found.get_foreign_keys(table)
            ),
            "unique": sorted(unique["column_names"] for unique in found.get_unique_constraints(table)),
            "indexes": sorted(
                (index["column_names"], bool(index["unique"]))
                for index in found.get_indexes(table)
                if "duplicates_constraint" not in index
            ),
        }
        for table in found.get_table_names()
    }


def test_migrations_are_numbered_without_a_gap() -> None:
    """File names count from 0001, and each names the one before it: that number is the schema's version."""
    from alembic.script import ScriptDirectory

    folder = Path(migrations.__file__).parent
    numbers = sorted(path.name[:4] for path in (folder / "versions").glob("[0-9]*.py"))
    assert numbers == [f"{n:04}" for n in range(1, len(numbers) + 1)]
    revisions = list(reversed(list(ScriptDirectory(str(folder)).walk_revisions())))
    assert [revision.revision for revision in revisions] == numbers
    assert [revision.down_revision for revision in revisions] == [None, *numbers[:-1]]
    assert numbers[-1] == f"{migrations.HEAD:04}"


def test_upgrading_what_is_up_to_date_changes_nothing(database: Database) -> None:
    """`db upgrade` may run at every start."""
    database.check_version()
    assert database.upgrade() == (migrations.HEAD, migrations.HEAD)
    assert names(database) == NEW


def test_an_older_schema_names_the_command(database: Database) -> None:
    """Work on an older schema is refused before it begins."""
    with database.write() as session:
        session.connection().execute(text("update alembic_version set version_num = '0000'"))
    assert said(database.check_version) == (
        f"`{database.place}` has schema 0, this Duecourse needs {migrations.HEAD}\n  mend: run `duecourse db upgrade`"
    )


def test_a_newer_schema_is_left_alone(database: Database) -> None:
    """An older Duecourse neither works on a newer schema nor "upgrades" it."""
    with database.write() as session:
        session.connection().execute(text("update alembic_version set version_num = '9999'"))
    refusal = (
        f"`{database.place}` has schema 9999, this Duecourse knows only {migrations.HEAD}\n  mend: upgrade Duecourse"
    )
    assert said(database.check_version) == refusal
    assert said(database.upgrade) == refusal


def test_creating_twice_is_refused(database: Database) -> None:
    """A book is never overwritten by a new one."""
    assert said(lambda: database.create(bucket_key="00")) == (
        f"`{database.place}` holds a Duecourse database already\n  mend: run `duecourse db upgrade`, or name another"
    )
    assert names(database) == NEW


def test_somebody_elses_database_is_left_alone(database: Database, postgres_server: Server, tmp_path: Path) -> None:
    """A database with other tables is neither ours nor empty."""
    if database.dialect == "sqlite":
        other = f"sqlite:///{tmp_path / 'other.db'}"
        sqlite3.connect(tmp_path / "other.db").execute("create table invoices (id int)").connection.close()
        check_foreign(open_database(other))
    else:
        with postgres_server.database() as other:
            foreign = open_database(other)
            with foreign.write() as session:
                session.connection().execute(text("create table invoices (id int)"))
            check_foreign(foreign)


def check_foreign(foreign: Database) -> None:
    """Refused by both doors."""
    assert said(foreign.check_version) == (
        f"`{foreign.place}` is no Duecourse database\n  mend: run `duecourse init DIR`"
    )
    assert said(lambda: foreign.create(bucket_key="00")) == (
        f"`{foreign.place}` holds other tables: `invoices`\n  mend: name an empty database"
    )
    foreign.close()


def test_a_creation_that_fails_leaves_nothing(postgres_server: Server) -> None:
    """Schema and settings come together or not at all: the next attempt finds the database empty."""
    with postgres_server.database() as url:
        database = open_database(url)
        with pytest.raises(IntegrityError):
            database.create(bucket_key=None)  # type: ignore[arg-type]
        assert said(database.version) == (
            f"`{database.place}` is no Duecourse database\n  mend: run `duecourse init DIR`"
        )
        database.create(bucket_key="00")
        database.check_version()
        database.close()


# --- transactions -----------------------------------------------------------------------------------------------------


def test_an_error_undoes_the_whole_transaction(database: Database) -> None:
    """Half a result is never left."""

    def stumble() -> None:
        with database.write() as session:
            session.add(Setting(name="half", value=""))
            session.flush()
            raise LookupError

    with pytest.raises(LookupError):
        stumble()
    assert names(database) == NEW


def test_a_reader_sees_one_moment(database: Database) -> None:
    """What is committed while a session reads does not show in it, and does not wait for it."""
    with database.session() as session:
        before = set(session.exec(select(Setting.name)))
        put(database, "meanwhile")
        assert set(session.exec(select(Setting.name))) == before
    assert "meanwhile" in names(database)


def test_a_read_session_cannot_write(database: Database) -> None:
    """By the ORM it is our mistake and says so; by SQL the database itself refuses."""

    def write_by_mistake() -> None:
        with database.session() as session:
            session.add(Setting(name="x", value=""))
            session.commit()

    with pytest.raises(TypeError, match=r"^this session only reads; write in `database\.write\(\)`$"):
        write_by_mistake()
    with pytest.raises(StoreError, match="is read-only"), database.session() as session:
        session.connection().execute(text("delete from setting"))
    put(database, "after")
    assert names(database) == {*NEW, "after"}


def test_writers_queue_and_lose_nothing(database: Database) -> None:
    """Two read-then-write transactions on one row follow each other; no update is lost and none fails."""
    put(database, "count", "0")

    def bump() -> None:
        for _ in range(20):
            with database.write() as session:
                row = session.exec(select(Setting).where(Setting.name == "count").with_for_update()).one()
                row.value = str(int(row.value) + 1)

    threads = [threading.Thread(target=bump) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.session() as session:
        assert session.get_one(Setting, "count").value == "80"


def test_foreign_keys_hold(database: Database) -> None:
    """A row about a loan that does not exist is refused, on SQLite too."""
    with pytest.raises(IntegrityError), database.write() as session:
        session.connection().execute(text("insert into party (loan_id, person_id, role) values (77, 78, 'guarantor')"))


def test_sqlite_connections_are_all_alike(sqlite_database: Database) -> None:
    """WAL, full synchronisation, foreign keys and every trigger on every connection, pooled or raw, also after a read session."""
    with sqlite_database.session() as session:
        session.exec(select(Setting)).all()
    raw = sqlite_database.engine.raw_connection()
    pragmas = ("journal_mode", "synchronous", "foreign_keys", "recursive_triggers", "busy_timeout", "query_only")
    found = [raw.cursor().execute(f"pragma {pragma}").fetchone()[0] for pragma in pragmas]
    raw.close()
    assert found == ["wal", 2, 1, 1, 30_000, 0]


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "refusal"),
    [
        ("book.db", "`book.db` is no database URL\n  mend: write `sqlite:///path/to/book.db` or `postgresql://user@host/name`"),
        ("mysql://host/book", "`mysql` is no database Duecourse knows\n  mend: write `sqlite:///path/to/book.db` or `postgresql://user@host/name`"),
        ("sqlite://", "`sqlite://` names no file; a database in memory is lost at the end\n  mend: write `sqlite:///path/to/book.db` or `postgresql://user@host/name`"),
        ("sqlite:///:memory:", "`sqlite:///:memory:` names no file; a database in memory is lost at the end\n  mend: write `sqlite:///path/to/book.db` or `postgresql://user@host/name`"),
    ],
)  # fmt: skip
def test_urls_that_name_no_book(url: str, refusal: str) -> None:
    """A URL is refused before anything is opened."""
    assert said(lambda: open_database(url)) == refusal


def test_no_file_is_made_of_a_mistyped_name(tmp_path: Path) -> None:
    """A missing database is said to be missing, and is still missing afterwards."""
    path = tmp_path / "bok.db"
    database = open_database(f"sqlite:///{path}")
    assert said(database.check_version) == (
        f"there is no database at `{path}`\n  mend: run `duecourse init DIR`, or mend `database:`"
    )
    assert not path.exists()


def test_a_file_name_may_hold_anything(sqlite_template: Path, tmp_path: Path) -> None:
    """Question marks, percent signs and spaces in a path are part of the path."""
    path = tmp_path / "50%20 of?mode=ro#1.db"
    shutil.copyfile(sqlite_template, path)
    database = open_database(f"sqlite:///{path}")
    database.check_version()
    database.close()


def test_a_locked_file(sqlite_template: Path, tmp_path: Path) -> None:
    """When another writer does not end, we give up after the timeout, having changed nothing."""
    path = tmp_path / "book.db"
    shutil.copyfile(sqlite_template, path)
    database = open_database(f"sqlite:///{path}", busy_timeout_s=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    assert said(lambda: put(database, "x")) == (
        f"`{path}` is locked by another writer\n  mend: let it finish, or stop it, and run the same again"
    )
    assert names(database) == NEW
    other.execute("rollback")
    other.close()
    put(database, "x")
    database.close()


def test_a_locked_row(postgres_database: Database) -> None:
    """The same on PostgreSQL, where rows are what is locked."""
    impatient = open_database(postgres_database.url.render_as_string(hide_password=False), busy_timeout_s=0.1)
    of = select(Setting).where(Setting.name == "sending").with_for_update()

    def lock() -> None:
        with impatient.write() as session:
            session.exec(of).one()

    with postgres_database.write() as session:
        session.exec(of).one()
        assert said(lock) == (
            f"`{impatient.place}` is locked by another writer\n  mend: let it finish, or stop it, and run the same again"
        )
    lock()
    impatient.close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    """A text file is refused, and kept as it was."""
    path = tmp_path / "notes.txt"
    path.write_text("Dear all,\n" * 200)
    database = open_database(f"sqlite:///{path}")
    refusal = f"`{path}` is not a database\n  mend: mend `database:`, or restore it from the last backup"
    assert said(database.check_version) == refusal
    assert said(lambda: database.create(bucket_key="00")) == refusal
    assert path.read_text().startswith("Dear all")


def test_a_full_disk(sqlite_database: Database) -> None:
    """What did not fit is undone whole; what was there stays readable and, with room again, writable."""

    def fill() -> None:
        with sqlite_database.write() as session:
            session.connection().execute(text("pragma max_page_count = 1"))  # means: not a page more than now
            for n in range(1000):
                session.add(Setting(name=f"n{n}", value="x" * 1000))
                session.flush()

    assert said(fill) == (
        f"no room left for `{sqlite_database.place}`; nothing was changed\n  mend: free disk space and run the same again"
    )
    assert names(sqlite_database) == NEW
    sqlite_database.close()
    put(sqlite_database, "x")


def test_a_folder_where_nothing_can_be_made(tmp_path: Path) -> None:
    """A file in the place of the folder: one message, no traceback."""
    (tmp_path / "data").write_text("")
    database = open_database(f"sqlite:///{tmp_path}/data/book.db")
    assert said(lambda: database.create(bucket_key="00")) == (
        f"`{tmp_path}/data/book.db` cannot be made: file exists\n  mend: choose another place"
    )


def test_a_server_that_is_not_there() -> None:
    """Out of reach is said within seconds, without the password."""
    database = open_database("postgresql://keeper:secret@127.0.0.1:1/book")
    assert said(database.check_version) == (
        "`postgresql://keeper:***@127.0.0.1:1/book` is out of reach\n"
        "  mend: start the database server, or mend `database:`"
    )


def test_a_database_that_is_not_on_the_server(postgres_server: Server) -> None:
    """The server answers and knows no such database."""
    database = open_database(postgres_server.url("nowhere"))
    assert said(database.check_version) == (
        f"`{database.place}` does not exist\n  mend: create it with `createdb`, or mend `database:`"
    )


def test_a_user_that_is_not_on_the_server(postgres_server: Server) -> None:
    """The server answers and does not know the user."""
    database = open_database(f"postgresql://stranger@/postgres?host={postgres_server.folder}")
    assert said(database.check_version) == (
        f"`{database.place}` refuses the user or password\n  mend: mend `database:`"
    )


def test_a_connection_cut_in_the_middle(postgres_database: Database, postgres_server: Server) -> None:
    """The server goes away under a transaction: one message; the next transaction connects anew."""

    def cut() -> None:
        with postgres_database.write() as session:
            session.add(Setting(name="x", value=""))
            session.flush()
            postgres_server.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and datname like 't%'"
            )
            session.exec(select(Setting)).all()

    assert said(cut) == (
        f"`{postgres_database.place}` is out of reach\n  mend: start the database server, or mend `database:`"
    )
    assert names(postgres_database) == NEW


def test_bulk_connections_are_refused_in_the_same_words(postgres_server: Server) -> None:
    """ADBC raises its own errors; whoever reads the message cannot tell which way the rows were to go."""
    import adbc_driver_postgresql.dbapi as adbc

    for url, mend in (
        (postgres_server.url("nowhere"), "does not exist\n  mend: create it with `createdb`, or mend `database:`"),
        (
            "postgresql://keeper@127.0.0.1:1/book",
            "is out of reach\n  mend: start the database server, or mend `database:`",
        ),
    ):
        database = open_database(url)

        def connect(database: Database = database, url: str = url) -> None:
            with database.translated():
                adbc.connect(url)

        assert said(connect) == f"`{database.place}` {mend}"
