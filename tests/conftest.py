"""
Databases for tests. `database` runs a test on SQLite and on PostgreSQL, each time fresh and migrated.

The PostgreSQL server is started once per test process; if none can be started the tests fail.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from store.db import Database
from tests.opening import open_database
from tests.postgres import Server, running_server

# The machine's load must not decide a test.
settings.register_profile("duecourse", deadline=None)
settings.register_profile("long", deadline=None, max_examples=20_000)
settings.load_profile("duecourse")

BUCKET_KEY = "00112233445566778899aabbccddeeff"


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A PostgreSQL server for this test process."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: Server) -> str:
    """The name of a migrated database to copy."""
    postgres_server.execute("create database migrated")
    template = open_database(postgres_server.url("migrated"))
    template.create(bucket_key=BUCKET_KEY)
    template.close()
    return "migrated"


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated file to copy."""
    path = tmp_path_factory.mktemp("sqlite") / "migrated.db"
    template = open_database(f"sqlite:///{path}")
    template.create(bucket_key=BUCKET_KEY)
    template.close()
    return path


@pytest.fixture
def sqlite_database(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    """A fresh migrated SQLite database."""
    path = tmp_path / "book.db"
    shutil.copyfile(sqlite_template, path)
    database = open_database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture
def postgres_database(postgres_server: Server, postgres_template: str) -> Iterator[Database]:
    """A fresh migrated PostgreSQL database."""
    with postgres_server.database(template=postgres_template) as url:
        database = open_database(url)
        yield database
        database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database(request: pytest.FixtureRequest) -> Database:
    """A fresh migrated database, once of each kind."""
    name = "sqlite_database" if request.param == "sqlite" else "postgres_database"
    found: Database = request.getfixturevalue(name)
    return found
