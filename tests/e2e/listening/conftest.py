"""The listening process on both databases, once for each module of tests."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path
from shutil import copyfile

import pytest

import channels
from channels.testing.gateway import ACCOUNT
from duecourse.commands.init import create_workspace
from store.db import Database
from tests.callers import ACCOUNT_SID, CN, ENV, PUBLIC, US, opened
from tests.factories import make_loan, make_person
from tests.listening import Listener, listening
from tests.postgres import Server

SETTINGS = f"""
sms: {{account_sid: {ACCOUNT_SID}, from_number: "+15550100123"}}
sms_gateway: {{file: config/gateway.yaml, account: {ACCOUNT}}}
listen: {{public_url: "{PUBLIC}"}}
"""


def make(folder: Path, url: str | None) -> Path:
    """A workspace with a loan in China and one in the United States."""
    workspace = folder / "ws"
    create_workspace(workspace, url)
    with (workspace / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write(SETTINGS)
    copyfile(Path(channels.__file__).with_name("gateway_example.yaml"), workspace / "config" / "gateway.yaml")
    with opened(workspace) as book:
        first = make_person(book, ref="C1", mobile=CN)
        make_loan(book, ref="CN-1", borrower_id=first, instalments=[(date(2026, 2, 20), 1000_00)])
        second = make_person(
            book, ref="U1", country="US", zones="America/Los_Angeles", mobile=US, email="u1@example.com"
        )
        make_loan(book, ref="US-1", borrower_id=second, instalments=[(date(2026, 2, 20), 100_00)], currency="USD")
    return workspace


@pytest.fixture(scope="module")
def sqlite_place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with its book."""
    return make(tmp_path_factory.mktemp("listen"), None)


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def place(
    request: pytest.FixtureRequest, sqlite_place: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """The same, once on each database."""
    if request.param == "sqlite":
        yield sqlite_place
        return
    server: Server = request.getfixturevalue("postgres_server")
    with server.database() as url:
        yield make(tmp_path_factory.mktemp("listen"), url)


@pytest.fixture(scope="module")
def listener(place: Path) -> Iterator[Listener]:
    """It runs for all tests of the module, as it would."""
    with listening(place, **ENV) as running:
        yield running
        assert running.process.poll() is None, "\n".join(running.lines)


@pytest.fixture
def book(place: Path) -> Iterator[Database]:
    """The book as another process sees it."""
    with opened(place) as found:
        yield found
