"""
The steps of `benchmarks.sweep`, each run in a process of its own so that its memory is its own. Prints one JSON object.

    python -m benchmarks.sweep_steps build URL LOANS | sweep URL | keep BEFORE_URL SWEPT_URL FOLDER | floor URL FOLDER
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Column, Integer, Select, Table, select
from sqlmodel import SQLModel

from benchmarks.book import write_book
from benchmarks.phases import Phases, peak_mib
from store.book import CONTACT_DAYS, RAW_TABLES, BorrowerSpan, borrower_chunks
from store.book_queries import book_queries
from store.bulk import reading, writing
from store.bulk_arrow import table_of
from store.db import Database, open_database
from store.tables import Run

if TYPE_CHECKING:
    import pyarrow as pa

ON: Final = date(2026, 3, 2)
NOW: Final = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
"""Half past eight in the morning where every borrower of the book lives."""
ZONE: Final = "Asia/Shanghai"
LOANS_PER_CHUNK: Final = 20_000

_WRITTEN: Final = ("decision", "contact", "contact_status", "contact_loan", "stage_change")
"""What a sweep appends, in this order; of `loan` it updates the columns of `_PLACED`."""
_PLACED: Final = ("id", "stage", "stage_on", "stage_entry", "episode", "episode_on")
_OWN_KEYS: Final = frozenset({("contact_status", "id"), ("stage_change", "id")})

Counts = dict[str, Any]


def build(url: str, loans: str) -> Counts:
    """Make the book."""
    database = open_database(url)
    database.create(bucket_key="00" * 16)
    rows = write_book(database, int(loans), on=ON)
    database.close()
    return {"rows": rows}


def sweep(url: str) -> Counts:
    """Sweep it, and say where the time went."""
    from compliance import BulkGate
    from duecourse.workspace import open_workspace, shipped_folder

    workspace = open_workspace(shipped_folder(), {})
    rulebook, gate, queues = workspace.rulebook, BulkGate(workspace.gate), workspace.queues
    phases = _timed()
    import workflows.sweep as module

    database = open_database(url)
    start = time.perf_counter()
    with phases.phase("rest"):
        result = module.sweep(
            database, rulebook, gate, now=NOW, queues=queues, loans_per_chunk=LOANS_PER_CHUNK, zone=ZONE
        )
    seconds = time.perf_counter() - start
    database.close()
    spent = {name: round(spent, 2) for name, spent in phases.seconds.items()}
    return {
        "seconds": round(seconds, 2),
        "phases": spent,
        "peak_mib": peak_mib(),
        "counts": dict(result.counts),
        "gate": asdict(gate.asked),
    }


def _timed() -> Phases:
    import store.decisions
    import workflows.chunk
    import workflows.recording
    import workflows.sweep
    from compliance import BulkGate
    from store.fact_query import FactStatement
    from workflows.matching import SweepStatement

    phases = Phases()
    phases.time(workflows.chunk, "read_book", "read")
    phases.time(FactStatement, "compute", "facts")
    for part in ("match", "busy", "quiet", "facts_json"):
        phases.time(SweepStatement, part, "match")
    phases.time(workflows.chunk, "situations", "people")
    phases.time(workflows.sweep, "decide", "resolve")
    phases.time(BulkGate, "check", "gate")
    for part in ("add", "add_quiet"):
        phases.time(workflows.recording.Recorder, part, "record")
    phases.time(store.decisions.DecisionRows, "write", "write")
    phases.time(workflows.sweep, "moved_meanwhile", "write")
    phases.time_block(workflows.sweep, "writing", "write")
    return phases


def keep(before_url: str, swept_url: str, folder: str) -> Counts:
    """
    Keep what a sweep reads and writes, for the floor.

    What it reads goes into tables of the same database that hold nothing else; what it wrote, into files.
    """
    before, swept = open_database(before_url), open_database(swept_url)
    spans = list(borrower_chunks(before, LOANS_PER_CHUNK))
    plain = plain_tables()
    SQLModel.metadata.create_all(before.engine, list(plain.values()))
    counts = {"read": 0, "written": 0}
    for number, span in enumerate(spans):
        counts["read"] += _keep_input(before, plain, number, span)
        counts["written"] += _keep_output(swept, Path(folder), number, span)
    for database in (before, swept):
        database.close()
    return counts


def plain_tables() -> dict[str, Table]:
    """For each table of a `RawBook` one that holds the very rows that are read, with the number of their chunk."""
    queries = book_queries(BorrowerSpan(0, 0), NOW, CONTACT_DAYS)
    tables = {}
    for name in RAW_TABLES:
        columns = [Column(column.name, column.type) for column in queries[name].selected_columns]
        chunk = Column("chunk", Integer, index=True)
        tables[name] = Table(f"plain_{name}", SQLModel.metadata, chunk, *columns)
    return tables


def _keep_input(before: Database, plain: Mapping[str, Table], number: int, span: BorrowerSpan) -> int:
    import pyarrow as pa

    count = 0
    queries = book_queries(span, NOW, CONTACT_DAYS)
    for name, table in plain.items():
        with reading(before) as source:
            rows = source.read(queries[name])
        count += rows.num_rows
        with writing(before) as transaction:
            chunk = pa.array([number] * rows.num_rows, pa.int64())
            transaction.append(table.name, rows.append_column("chunk", chunk))
    return count


def _keep_output(swept: Database, folder: Path, number: int, span: BorrowerSpan) -> int:
    import pyarrow as pa

    count = 0
    with reading(swept) as source:
        for name, query in _written(span):
            rows = source.read(query)
            count += rows.num_rows
            with pa.OSFile(str(_file(folder, number, name)), "wb") as file, pa.ipc.new_file(file, rows.schema) as out:
                out.write_table(rows)
    return count


def _written(span: BorrowerSpan) -> Iterator[tuple[str, Select[Any]]]:
    """What the run wrote about the borrowers of a span."""
    loan, contact, change = table_of("loan"), table_of("contact"), table_of("stage_change")
    sweeps = table_of("run")
    run = select(sweeps.c.id).where(sweeps.c.kind == "sweep").scalar_subquery()
    loans = select(loan.c.id).where(loan.c.borrower_id > span.after, loan.c.borrower_id <= span.to)
    planned = select(contact.c.id).where(contact.c.run_id == run, contact.c.loan_id.in_(loans))
    moved = select(change.c.loan_id).where(change.c.run_id == run, change.c.loan_id.in_(loans))
    for name in _WRITTEN:
        table = table_of(name)
        columns = [column for column in table.columns if (name, column.name) not in _OWN_KEYS]
        if "contact_id" in table.columns:
            yield name, select(*columns).where(table.c.contact_id.in_(planned))
        else:
            yield name, select(*columns).where(table.c.run_id == run, table.c.loan_id.in_(loans))
    yield "loan", select(*(loan.c[name] for name in _PLACED)).where(loan.c.id.in_(moved))


def floor(url: str, folder: str) -> Counts:
    """Read the input plainly, then write the output plainly, chunk by chunk."""
    database = open_database(url)
    spans = list(borrower_chunks(database, LOANS_PER_CHUNK))
    with database.write() as session:
        session.add(Run(kind="sweep", now_at=NOW, known_at=NOW, started_at=NOW))
    plain = plain_tables()
    seconds = {"read": 0.0, "write": 0.0}
    for number in range(len(spans)):
        rows = {name: _load(_file(Path(folder), number, name)) for name in (*_WRITTEN, "loan")}
        start = time.perf_counter()
        with reading(database) as source:
            for table in plain.values():
                columns = [column for column in table.columns if column.name != "chunk"]
                source.read(select(*columns).where(table.c.chunk == number))
        half = time.perf_counter()
        with writing(database) as transaction:
            for name in _WRITTEN:
                transaction.append(name, rows[name])
            transaction.update("loan", ("id",), rows["loan"])
        seconds["read"] += half - start
        seconds["write"] += time.perf_counter() - half
    database.close()
    rounded = {name: round(spent, 2) for name, spent in seconds.items()}
    return {"seconds": round(sum(seconds.values()), 2), **rounded, "peak_mib": peak_mib()}


def _file(folder: Path, number: int, table: str) -> Path:
    return folder / f"{number}.{table}.arrow"


def _load(path: Path) -> "pa.Table":
    import pyarrow as pa

    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as rows:
        return rows.read_all()


STEPS: Final[Mapping[str, Callable[..., Counts]]] = {"build": build, "sweep": sweep, "keep": keep, "floor": floor}

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
