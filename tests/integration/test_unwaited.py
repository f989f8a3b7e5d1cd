"""A name server that is silent: who waits for it, and who does not."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from channels.mail import MailAdapter, MailSettings
from channels.sms import SmsAdapter, SmsSettings
from duecourse.unwaited import run
from store.db import Database
from tests.outgoing import NOW, book, counts, door_of, plan
from workflows.sending.dispatch import dispatch

SECONDS_MAX = 5


@pytest.fixture
def silent_resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every look-up of a name takes until the test is over."""
    over = threading.Event()

    def silent(*_: object, **__: object) -> list[object]:
        over.wait(30)
        raise socket.gaierror(socket.EAI_AGAIN, "no answer")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    yield
    over.set()


@pytest.mark.usefixtures("silent_resolver")
def test_a_dispatch_does_not_outlast_a_name_that_is_looked_up(sqlite_database: Database) -> None:
    """Both providers' names are never found: the time-outs hold, nothing is in doubt, and it ends."""
    texts, mails = book(sqlite_database, 2)
    plan(sqlite_database, texts)
    plan(sqlite_database, mails, "mail")
    account = SmsSettings(
        "AC" + "0" * 32, SecretStr("x"), from_number="+15550100123", base_url="https://a.invalid", timeout_seconds=1
    )
    server = MailSettings("mx.invalid", 25, "care@lender.example", security="plain", timeout_seconds=1)
    adapters = {"sms": SmsAdapter(account), "email": MailAdapter(server, lambda: NOW)}
    began = time.monotonic()
    done = run(dispatch(door_of(sqlite_database, adapters), lambda: NOW, paced=False))
    assert time.monotonic() - began < SECONDS_MAX
    assert counts(done) == {"retry": 2}


@pytest.mark.usefixtures("silent_resolver")
def test_a_stop_does_not_outlast_it_either(sqlite_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last seconds of what is under way are the last of the whole."""
    monkeypatch.setattr("workflows.sending.dispatch._LAST_SECONDS", 0.5)
    plan(sqlite_database, book(sqlite_database)[0])
    account = SmsSettings("AC" + "0" * 32, SecretStr("x"), from_number="+15550100123", base_url="https://a.invalid")
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(True)
        return len(asked) > 2

    began = time.monotonic()
    done = run(dispatch(door_of(sqlite_database, {"sms": SmsAdapter(account)}), lambda: NOW, paced=False, stop=stop))
    assert time.monotonic() - began < SECONDS_MAX
    assert counts(done) == {"retry": 1}


def test_the_process_ends_as_well() -> None:
    """The interpreter joins no thread of a look-up that is left behind."""
    script = (
        "import asyncio, time\n"
        "from duecourse.unwaited import run\n"
        "async def work():\n"
        "    asyncio.get_running_loop().run_in_executor(None, time.sleep, 60)\n"
        "    await asyncio.sleep(0.1)\n"
        "    return 'over'\n"
        "print(run(work()))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True)
    assert (ended.stdout, ended.stderr) == ("over\n", "")


def test_what_a_thread_finds_or_raises_arrives() -> None:
    """As in any loop."""

    def fail() -> None:
        raise LookupError("not found")

    async def work() -> int:
        with pytest.raises(LookupError, match="not found"):
            await asyncio.to_thread(fail)
        return await asyncio.to_thread(sum, (1, 2))

    assert run(work()) == 3
