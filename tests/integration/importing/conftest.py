"""Books to import into: an empty one, and a small one that is made once and copied."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.db import Database
from tests.imports import Importer
from tests.opening import open_database
from tests.postgres import Server


@pytest.fixture
def importer(database: Database, tmp_path: Path) -> Importer:
    """An empty book."""
    return Importer(database, tmp_path)


@pytest.fixture(scope="session")
def sqlite_book(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a small book, to copy."""
    folder = tmp_path_factory.mktemp("book")
    shutil.copyfile(sqlite_template, folder / "small.db")
    database = open_database(f"sqlite:///{folder / 'small.db'}")
    Importer(database, folder).set_up()
    database.close()
    return folder / "small.db"


@pytest.fixture(scope="session")
def postgres_book(postgres_server: Server, postgres_template: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a small book's database, to copy."""
    postgres_server.execute(f'create database "smallbook" template "{postgres_template}"')
    database = open_database(postgres_server.url("smallbook"))
    Importer(database, tmp_path_factory.mktemp("book")).set_up()
    database.close()
    return "smallbook"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def book(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Importer]:
    """A small book."""
    if request.param == "sqlite":
        shutil.copyfile(request.getfixturevalue("sqlite_book"), tmp_path / "book.db")
        database = open_database(f"sqlite:///{tmp_path / 'book.db'}")
        yield Importer(database, tmp_path)
        database.close()
    else:
        server: Server = request.getfixturevalue("postgres_server")
        with server.database(template=request.getfixturevalue("postgres_book")) as url:
            database = open_database(url)
            yield Importer(database, tmp_path)
            database.close()
