"""
Databases for tests, and the command line. `database` runs a test on SQLite and on PostgreSQL, each time fresh and migrated.

The PostgreSQL server is started once per test process; if none can be started the tests fail.
"""

import gc
import logging
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from duecourse import cli
from duecourse.commands.init import create_workspace
from store.db import Database
from tests.opening import open_database
from tests.postgres import Server, running_server

# The machine's load must not decide a test.
settings.register_profile("duecourse", deadline=None)
settings.register_profile("long", deadline=None, max_examples=20_000)
settings.load_profile("duecourse")

# Thousands of tests and what they import outlive every search for circles among them: a tenth of the time.
gc.set_threshold(50_000, 10, 10)

BUCKET_KEY = "00112233445566778899aabbccddeeff"

Run = Callable[..., tuple[int, str, str]]
"""What the fixture `run` gives."""


def pytest_collection_finish() -> None:
    """What was collected stays until the end."""
    gc.freeze()


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


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A new workspace with an empty book. Tests of commands that need more put it in by a fixture of this name."""
    folder = tmp_path / "work"
    create_workspace(folder)
    return folder


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """
    Run a command in this process, in the workspace `folder` unless another is named.

    Gives its exit code, its stdout, and its stderr with what it logs, without the space around them. Logging is as before
    when the test is over.
    """

    def once(*words: str, workspace: Path = folder) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["duecourse", "-w", str(workspace), *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out.strip(), said.err.strip()

    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield once
    root.handlers[:] = before
    root.setLevel(level)
