"""
How fast events become committed decisions, and how fast due messages get their second look, by one worker.

    python -m benchmarks.live [--loans N] [--databases sqlite,postgresql] [--out FILE]

For each database: a synthetic book, swept with the rules, packs and queues that Duecourse ships with. Then payments
are told, first one at a time, then many at once, and handled until every one has its committed decision; and the text
messages that are due are looked at again, in batches of two sizes, and what was seen is kept. Times include the database. Of the events it is also
said how many times as long they take as reading the same borrowers and their facts. Prints a table and writes JSON.
"""

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlmodel import col, func, select

from benchmarks.book import write_book
from benchmarks.latest import OUT, keep
from benchmarks.sweep import DATABASES
from benchmarks.sweep_steps import NOW, ON
from duecourse.commands.init import create_workspace
from duecourse.wiring import Works
from duecourse.workspace import open_workspace
from store.ledger import NewMovement, record
from store.outbox import bump_versions
from store.tables import Contact, Event, Loan
from tests.postgres import running_server
from workflows.deciding.chunk import ChunkReader
from workflows.sending.door import Outward
from workflows.sending.look_log import kept_looks
from workflows.sending.looking import Looked, look_again

LOANS: Final = 20_000
ALONE: Final = 30
AT_ONCE: Final = 1_000
BATCH: Final = 200
"""As many contacts as dispatch claims at once, and as many events as are handled together."""
LARGE_BATCH: Final = 1_000
_LATER: Final = NOW + timedelta(hours=4)


def measure(folder: Path, database: str, loans: int) -> dict[str, Any]:
    """Everything, on one database."""
    create_workspace(folder, database, bucket_key="00" * 16)
    with (folder / "duecourse.yaml").open("a", encoding="utf-8") as settings:
        settings.write("sweep_processes: 1\n")
    workspace = open_workspace(folder, {})
    works = Works(workspace, workspace.open_database(), Outward({}, stand_in=True))
    try:
        write_book(works.database, loans, on=ON)
        works.sweep(NOW, lambda _done, _total: None)
        told = _overdue(works, ALONE + 1 + AT_ONCE)
        _handle(works, told[:1], _LATER)  # the first one makes what the others find made
        alone = [_handle(works, [loan], _LATER) for loan in told[1 : ALONE + 1]]
        together = told[ALONE + 1 :]
        at_once = _handle(works, together, _LATER)
        return {
            "loans": loans,
            "event_alone_ms": round(statistics.median(alone) * 1000, 1),
            "event_alone_worst_ms": round(max(alone) * 1000, 1),
            "events_per_second": round(len(together) / at_once),
            "events_floor_ratio": round(at_once / _read_only(works, together), 1),
            **_second_looks(works),
        }
    finally:
        works.close()


def _overdue(works: Works, count: int) -> list[int]:
    """Loans about which the sweep planned a contact, of as many borrowers."""
    with works.database.session() as session:
        wanted = select(func.min(Contact.loan_id)).where(col(Contact.status) == "planned")
        found = list(
            session.exec(wanted.group_by(col(Contact.person_id)).order_by(func.min(Contact.loan_id)).limit(count))
        )
    if len(found) < count:
        raise SystemExit(f"the sweep planned contacts with only {len(found)} people: give more with --loans")
    return found


def _handle(works: Works, loans: Sequence[int], now: datetime) -> float:
    """Tell a payment of each loan, as its core system would; the seconds until all their decisions are committed."""
    with works.database.write() as session:
        paid = [
            NewMovement(loan, "payment", 1_00, on, now, "bench", f"{loan}-{on}")
            for loan in loans
            for on in (now.date(),)
        ]
        record(session, paid)
        owners = list(session.exec(select(Loan).where(col(Loan.id).in_(loans))))
        for loan in owners:
            session.add(
                Event(source="bench", key=f"{loan.id}", kind="payment", person_id=loan.borrower_id, loan_id=loan.id,
                      happened_at=now, recorded_at=now)
            )  # fmt: skip
        bump_versions(session, [loan.borrower_id for loan in owners])
    start = time.perf_counter()
    handled = works.handle_events(now)
    seconds = time.perf_counter() - start
    if handled.events != len(loans) or handled.parked:
        raise SystemExit(f"{len(loans)} events were told, and {handled.events} handled")
    return seconds


def _read_only(works: Works, loans: Sequence[int]) -> float:
    """Seconds to read the same borrowers, in the same batches, and their facts: what no decision can do without."""
    with works.database.session() as session:
        owners = list(session.exec(select(Loan.borrower_id).where(col(Loan.id).in_(loans)).order_by(col(Loan.id))))
    reader: ChunkReader = works.reader
    start = time.perf_counter()
    for first in range(0, len(owners), BATCH):
        reader.facts(works.database, owners[first : first + BATCH], now=_LATER)
    return time.perf_counter() - start


def _second_looks(works: Works) -> dict[str, Any]:
    """Look again at every text that is due, in batches."""
    with works.database.session() as session:
        due = select(Contact.id).where(col(Contact.status) == "planned", col(Contact.channel) == "sms")
        ids = list(session.exec(due.order_by(col(Contact.id))))
    _look(works, ids[:BATCH])
    per_second, going = {}, 0
    for size in (BATCH, LARGE_BATCH):
        batches = [ids[first : first + size] for first in range(0, len(ids), size)]
        start = time.perf_counter()
        looked = [one for batch in batches for one in _look(works, batch)]
        per_second[size] = round(len(ids) / (time.perf_counter() - start))
        going = sum(one.look.answer == "go" for one in looked)
    return {
        "second_looks": len(ids),
        "still_going": going,
        "second_looks_per_second": per_second[BATCH],
        "second_looks_per_second_large": per_second[LARGE_BATCH],
    }


def _look(works: Works, ids: Sequence[str]) -> list[Looked]:
    """Look again, and keep what was seen."""
    looked = look_again(works.door, ids, _LATER)
    with works.database.write() as session, kept_looks(session, works.door, _LATER) as kept:
        for one in looked:
            kept.detail(one)
    return looked


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results in Markdown."""
    head = (
        "database",
        "one event, ms",
        "worst of 30",
        "events/s",
        "times reading alone",
        f"second looks/s, {BATCH} at once",
        f"{LARGE_BATCH:,} at once",
    )
    names = ("database", "event_alone_ms", "event_alone_worst_ms", "events_per_second", "events_floor_ratio",
             "second_looks_per_second", "second_looks_per_second_large")  # fmt: skip
    lines = [head, ("---", *("--:" for _ in head[1:]))]
    lines += [tuple(f"{one[name]:,}" if name != "database" else one[name] for name in names) for one in results]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--loans", type=int, default=LOANS)
    parser.add_argument("--databases", default=DATABASES)
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    results = []
    for name in options.databases.split(","):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dc-bench-"))) / "lender"
            database = f"sqlite:///{folder / 'book.db'}"
            if name == "postgresql":
                server = stack.enter_context(running_server(durable=True))
                database = stack.enter_context(server.database())
            results.append({"database": name, **measure(folder, database, options.loans)})
    print(table(results))
    keep("live", results, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
