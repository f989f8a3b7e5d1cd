"""
How much faster several workers dispatch one book on PostgreSQL than one does, and that none of them is in another's way.

    python -m benchmarks.workers [--loans N] [--workers 1,2,4] [--latency SECONDS] [--at-once N] [--texts]

A synthetic book, swept with the rules, packs and queues that Duecourse ships with, is dispatched once for each number of
workers, each a process of its own with the adapter of production, to a provider stand-in that takes its time to answer.
Counted are the contacts that left, texts and tasks, from the moment all workers are ready to the end of the last.
Every text must have reached the provider once. Prints a table. How many texts a second one worker hands over at most, from due
to written down: `--workers 1 --latency 0 --at-once 64 --loans 24000 --texts`.
"""

import argparse
import logging
import multiprocessing
import tempfile
import time
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import SecretStr
from sqlalchemy import update
from sqlmodel import col, func, select

from benchmarks.book import write_book
from benchmarks.sweep_steps import NOW, ON
from channels.sms import SmsAdapter, SmsSettings
from channels.testing.provider import ACCOUNT_SID, AUTH_TOKEN, FROM_NUMBER, FakeProvider
from duecourse.commands.init import create_workspace
from duecourse.keys import keyring
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from store.tables import Contact
from tests.opening import open_database
from tests.postgres import Server, running_server
from workflows.door import Lane, Outward

LOANS: Final = 6_000
WORKERS: Final = (1, 2, 4)
LATENCY: Final = 0.1
"""Seconds: what a provider on another continent takes."""
AT_ONCE: Final = 8
_LATER: Final = NOW + timedelta(hours=4)


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--loans", type=int, default=LOANS)
    parser.add_argument("--workers", type=lambda text: [int(one) for one in text.split(",")], default=WORKERS)
    parser.add_argument("--latency", type=float, default=LATENCY)
    parser.add_argument("--at-once", type=int, default=AT_ONCE)
    parser.add_argument("--texts", action="store_true", help="texts alone: everything else is cancelled first")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="duecourse-workers-") as folder, running_server(durable=True) as server:
        workspace = Path(folder)
        prepare(workspace, server, given.loans, texts=given.texts)
        print("| workers | contacts | seconds | a second | as fast as one |")
        print("| --: | --: | --: | --: | --: |")
        alone = None
        for workers in given.workers:
            left, seconds = measure(workspace, server, workers, given.latency, given.at_once)
            alone = alone or left / seconds
            print(
                f"| {workers} | {left:,} | {seconds:.1f} | {left / seconds:,.0f} | {left / seconds / alone:.1f} |",
                flush=True,
            )


def prepare(folder: Path, server: Server, loans: int, *, texts: bool = False) -> None:
    """A workspace, and a database of that name with a swept book, to be copied."""
    server.execute("create database swept")
    create_workspace(folder, server.url("swept"), bucket_key="00" * 16)
    with (folder / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write("backlog_share_max: 1\n")  # half of this book is behind on purpose
    workspace = open_workspace(folder, {})
    works = Works(workspace, workspace.open_database(), Outward({}, stand_in=True))
    write_book(works.database, loans, on=ON)
    works.sweep(NOW, lambda _done, _total: None)
    if texts:
        with works.database.write() as session:
            session.execute(update(Contact).where(col(Contact.channel) != "sms").values(status="cancelled"))
    works.close()


def measure(folder: Path, server: Server, workers: int, latency: float, at_once: int) -> tuple[int, float]:
    """
    How many contacts left, and in how many seconds.

    Raises:
        SystemExit: a text reached the provider twice, or one that was sent did not.
    """
    context = multiprocessing.get_context("spawn")
    with FakeProvider(latency_seconds=latency) as provider, server.database(template="swept") as url:
        ready = context.Barrier(workers + 1)
        given = (folder, url, provider.base_url, at_once, ready)
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
        taken = Counter(message.contact for message in provider.accepted)
        database = open_database(url, keys=keyring(open_workspace(folder, {})))
        with database.session() as session:
            left = col(Contact.status).in_(("sent", "unknown", "failed"))
            texts = set(session.exec(select(Contact.id).where(Contact.channel == "sms", Contact.status == "sent")))
            count = session.exec(select(func.count()).select_from(Contact).where(left)).one()
        database.close()
    if max(taken.values(), default=0) > 1 or texts != set(taken):
        raise SystemExit("what was sent is not what the provider took, each once")
    return count, seconds


def work(folder: Path, url: str, provider: str, at_once: int, ready: Any) -> None:
    """One worker: everything it can get, then no more."""
    logging.disable(logging.WARNING)
    settings = SmsSettings(
        ACCOUNT_SID, SecretStr(AUTH_TOKEN), FROM_NUMBER, base_url=provider, callback_url="http://127.0.0.1:9/hook"
    )
    outward = Outward({"sms": SmsAdapter(settings)}, stand_in=True, lanes={"sms": Lane(at_once)})
    workspace = open_workspace(folder, {})
    works = Works(workspace, open_database(url, keys=keyring(workspace)), outward)
    _ = works.reader, works.door, works.texts
    ready.wait(120)
    works.dispatch_all(_LATER)
    works.close()


if __name__ == "__main__":
    main()
