"""
How much faster several workers dispatch one book on PostgreSQL than one does, and that none of them is in another's way.

    python -m benchmarks.workers [--loans N] [--workers 1,2,4] [--latency SECONDS] [--at-once N] [--texts | --mails]

A synthetic book, swept with the rules, packs and queues that Duecourse ships with, is dispatched once for each number of
workers, each a process of its own with the adapter of production, to a provider stand-in that takes its time to answer.
Counted are the contacts that left, texts and tasks, from the moment all workers are ready to the end of the last.
Every text must have reached the provider once. Prints a table. How many texts a second one worker hands over at most, from due
to written down: `--workers 1 --latency 0 --at-once 64 --loans 24000 --texts`; and how many mails, to a real mail server on this
machine (`tests/exim.py`) with STARTTLS over eight kept connections: `--workers 1 --loans 24000 --mails`.
"""

import argparse
import gc
import logging
import multiprocessing
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from sqlalchemy import update
from sqlmodel import col, func, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from channels.mail import MailAdapter, MailSettings
from channels.message import Adapter
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider
from duecourse.clock import now
from duecourse.commands.init import create_workspace
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from store.tables import Contact
from tests import exim
from tests.opening import open_database
from tests.postgres import Server, running_server
from tests.tls import make_certificate
from workflows.sending.door import Lane, Outward

LOANS: Final = 6_000
WORKERS: Final = (1, 2, 4)
LATENCY: Final = 0.1
"""Seconds: what a provider on another continent takes."""
AT_ONCE: Final = 8
CONNECTIONS: Final = 8
"""Kept open to the mail server."""
_ACCEPTED: Final = re.compile(r" <= .* id=([A-Za-z0-9-]+)\.")
"""The contact of a mail, in the line in which Exim says that it has taken it."""
_LATER: Final = NOW + timedelta(hours=4)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--loans", type=int, default=LOANS)
    parser.add_argument("--workers", type=lambda text: [int(one) for one in text.split(",")], default=WORKERS)
    parser.add_argument("--latency", type=float, default=LATENCY)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    alone = parser.add_mutually_exclusive_group()
    alone.add_argument(
        "--texts", dest="only", action="store_const", const="sms", help="texts alone: all else is cancelled"
    )
    alone.add_argument(
        "--mails", dest="only", action="store_const", const="email", help="mails alone, to a real server"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="duecourse-workers-") as folder, running_server(durable=True) as server:
        workspace = Path(folder)
        prepare(workspace, server, given.loans, given.only)
        print("| workers | contacts | seconds | a second | as fast as one |")
        print("| --: | --: | --: | --: | --: |")
        first = None
        for workers in given.workers:
            ways = mailing() if given.only == "email" else texting(given.latency)
            left, seconds = measure(workspace, server, workers, ways, given.at_once)
            first = first or left / seconds
            print(
                f"| {workers} | {left:,} | {seconds:.1f} | {left / seconds:,.0f} | {left / seconds / first:.1f} |",
                flush=True,
            )


def prepare(folder: Path, server: Server, loans: int, only: str | None = None) -> None:
    """
    A workspace, and a database of that name with a swept book, to be copied.

    Args:
        only: the channel whose contacts are left; None: all of them are.
    """
    server.execute("create database swept")
    create_workspace(folder, server.url("swept"), bucket_key="00" * 16)
    with (folder / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write("backlog_share_max: 1\n")  # half of this book is behind on purpose
    workspace = open_workspace(folder, {})
    works = Works(workspace, workspace.open_database(), Outward({}, stand_in=True))
    write_book(works.database, loans, on=ON)
    works.sweep(NOW, lambda _done, _total: None)
    if only is not None:
        with works.database.write() as session:
            session.execute(update(Contact).where(col(Contact.channel) != only).values(status="cancelled"))
    works.close()


@dataclass(frozen=True, slots=True)
class Ways:
    """Where messages leave: for which channel, and by what; and which contacts' arrived there, as often as they did."""

    channel: str
    to: SmsSettings | MailSettings
    taken: Callable[[], Counter[str]]


@contextmanager
def texting(latency: float) -> Iterator[Ways]:
    """A stand-in that takes texts, and so many seconds to answer."""
    with FakeProvider(latency_seconds=latency) as provider:
        settings = SmsSettings(
            ACCOUNT_SID, SecretStr(AUTH_TOKEN), FROM_NUMBER, base_url=provider.base_url,
            callback_url="http://127.0.0.1:9/hook",
        )  # fmt: skip
        yield Ways("sms", settings, lambda: Counter(message.contact for message in provider.accepted))


@contextmanager
def mailing() -> Iterator[Ways]:
    """
    A real mail server, which takes mails and keeps them: where they go from there is no work of this machine elsewhere.

    Raises:
        SystemExit: it cannot be had here.
    """
    if why := exim.unpack():
        raise SystemExit(why)
    with (
        tempfile.TemporaryDirectory(prefix="duecourse-tls-") as folder,
        exim.running(make_certificate(Path(folder)), passes_on=False) as mails,
    ):
        settings = MailSettings(
            "localhost", mails.port, "Example Lender <care@lender.example>", ca_file=str(mails.certificate),
            id_secret=SecretStr("00" * 16), connections=CONNECTIONS,
        )  # fmt: skip
        log = mails.folder / "log_mainlog"
        yield Ways("email", settings, lambda: Counter(_ACCEPTED.findall(log.read_text(encoding="utf-8"))))


def measure(
    folder: Path, server: Server, workers: int, ways: AbstractContextManager[Ways], at_once: int
) -> tuple[int, float]:
    """
    How many contacts left, and in how many seconds.

    Raises:
        SystemExit: a message reached the provider twice, or one that was sent did not.
    """
    context = multiprocessing.get_context("spawn")
    with ways as way, server.database(template="swept") as url:
        ready = context.Barrier(workers + 1)
        given = (folder, url, way.to, at_once, ready)
        crew = [context.Process(target=work, args=given) for _ in range(workers)]
        for process in crew:
            process.start()
        ready.wait(120)
        began = time.perf_counter()
        for process in crew:
            process.join()
        seconds = time.perf_counter() - began
        if any(process.exitcode for process in crew):
            raise SystemExit("a worker failed")
        taken = way.taken()
        database = open_database(url, keys=open_workspace(folder, {}).keys)
        with database.session() as session:
            left = col(Contact.status).in_(("sent", "unknown", "failed"))
            of_channel = (Contact.channel == way.channel, Contact.status == "sent")
            sent = set(session.exec(select(Contact.id).where(*of_channel)))
            count = session.exec(select(func.count()).select_from(Contact).where(left)).one()
        database.close()
    if max(taken.values(), default=0) > 1 or sent != set(taken):
        raise SystemExit("what was sent is not what the provider took, each once")
    return count, seconds


def work(folder: Path, url: str, to: SmsSettings | MailSettings, at_once: int, ready: Any) -> None:
    """One worker: everything it can get, then no more."""
    logging.disable(logging.WARNING)
    # As the commands do.
    gc.set_threshold(50_000, 10, 10)
    adapters: dict[str, Adapter] = (
        {"sms": SmsAdapter(to)} if isinstance(to, SmsSettings) else {"email": MailAdapter(to, now)}
    )
    outward = Outward(adapters, stand_in=True, lanes={channel: Lane(at_once) for channel in adapters})
    workspace = open_workspace(folder, {})
    works = Works(workspace, open_database(url, keys=workspace.keys), outward)
    _ = works.reader, works.door, works.texts
    ready.wait(120)
    works.dispatch_all(_LATER)
    works.close()


if __name__ == "__main__":
    main()
