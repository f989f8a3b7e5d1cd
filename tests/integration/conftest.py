"""What several modules are about: a signed log to copy, made once, and a provider whose requests are all checked."""

import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from channels.testing.provider import FakeProvider
from tests import openapi
from tests.logs import SignedLog, signed_log
from tests.opening import open_database
from tests.postgres import Server
from tests.twilio import NOW


@pytest.fixture(scope="session")
def signed_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SignedLog]:
    """A file with a signed log, to copy."""
    path = tmp_path_factory.mktemp("log") / "signed.db"
    shutil.copyfile(sqlite_template, path)
    with closing(open_database(f"sqlite:///{path}")) as made:
        return path, signed_log(made)


@pytest.fixture(scope="session")
def signed_postgres(postgres_server: Server, postgres_template: str) -> tuple[str, SignedLog]:
    """A database with a signed log, to copy."""
    postgres_server.execute(f'create database "signed" template "{postgres_template}"')
    with closing(open_database(postgres_server.url("signed"))) as made:
        return "signed", signed_log(made)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SignedLog]:
    """A log of its own, some 900 entries of every kind with four checkpoints, once on each database."""
    if request.param == "sqlite":
        path, signed = request.getfixturevalue("signed_sqlite")
        shutil.copyfile(path, tmp_path / "book.db")
        url = f"sqlite:///{tmp_path / 'book.db'}"
        with closing(open_database(url)) as database:
            yield signed.of(database)
        return
    server: Server = request.getfixturevalue("postgres_server")
    name, signed = request.getfixturevalue("signed_postgres")
    with server.database(template=name) as url, closing(open_database(url)) as database:
        yield signed.of(database)


@pytest.fixture
def provider() -> Iterator[FakeProvider]:
    with FakeProvider(clock=NOW.timestamp) as running:
        yield running
    if openapi.SPEC.exists():
        # Whatever a test is about: no request may be one that the provider's own document does not declare.
        openapi.check_all(running.asked)
