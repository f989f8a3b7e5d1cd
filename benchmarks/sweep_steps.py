"""
The steps of `benchmarks.sweep`, each run in a process of its own so that its memory is its own. Prints one JSON object.

    python -m benchmarks.sweep_steps build URL LOANS [IDLE] | reads URL FOLDER | floor_read URL FOLDER
        | sweep URL [PROCESSES] | writes URL FOLDER | floor_write URL FOLDER
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import BigInteger, ColumnElement, Select, Table, Text, func, literal, select
from sqlmodel import col

import workflows.deciding.chunk
import workflows.deciding.chunk_sweep
import workflows.deciding.recording
import workflows.deciding.screening
import workflows.deciding.sweep
from benchmarks.book import write_book
from benchmarks.phases import Phases, peak_mib, processor_seconds
from benchmarks.plain import KeptReads, plain_table
from compliance import BulkGate
from duecourse.workspace import open_workspace, shipped_folder
from store.book import read_book
from store.bulk import reading, writing
from store.bulk_arrow import Reader, table_of
from store.db import Database
from store.decisions import DecisionRows
from store.fact_query import FactStatement
from store.outline import read_outline
from store.tables import Run
from tests.opening import open_database
from workflows.deciding.matching import SweepStatement
from workflows.deciding.screening import LOANS_PER_SPAN, Screen

if TYPE_CHECKING:
    import pyarrow as pa

ON: Final = date(2026, 3, 2)
NOW: Final = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
"""Half past eight in the morning where every borrower of the book lives."""
ZONE: Final = "Asia/Shanghai"
LOANS_PER_CHUNK: Final = 20_000

_WRITTEN: Final = ("snapshot", "decision", "contact", "contact_status", "contact_loan", "stage_change")
"""What a sweep appends, in this order; of `loan` it updates the columns of `_PLACED`."""
_PLACED: Final = ("id", "stage", "stage_on", "stage_entry", "episode", "episode_on")
AGAIN: Final = "again-"
"""What the keys of contacts that the floor writes begin with: the sweep's own stand beside them."""
_PLAIN: Final = "plain.json"
_OWN_KEYS: Final = frozenset({("snapshot", "id"), ("contact_status", "id"), ("stage_change", "id")})

Counts = dict[str, Any]


def build(url: str, loans: str, idle: str = "0") -> Counts:
    """Make the book, with so many loans more of which nothing is due."""
    database = open_database(url)
    database.create(bucket_key="00" * 16)
    rows = write_book(database, int(loans), on=ON, idle=int(idle))
    database.close()
    return {"rows": rows}


def sweep(url: str, processes: str = "1") -> Counts:
    """Sweep it with so many processes, and say where the time went."""
    workspace = open_workspace(shipped_folder(), {})
    rulebook, gate, queues = workspace.rulebook, BulkGate(workspace.gate), workspace.queues
    phases, alone = _timed(), int(processes) == 1
    database = open_database(url)
    start, spent = time.perf_counter(), processor_seconds()
    with phases.phase("rest"):
        result = workflows.deciding.sweep.sweep(
            database, rulebook, gate, now=NOW, queues=queues, loans_per_chunk=LOANS_PER_CHUNK, zone=ZONE,
            processes=int(processes),
        )  # fmt: skip
    seconds, spent = time.perf_counter() - start, processor_seconds() - spent
    database.close()
    by_phase = phases.seconds if alone else {"screen": phases.seconds["outline"], **result.seconds}
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(spent, 2),
        "phases": {name: round(part, 2) for name, part in by_phase.items()},
        "peak_mib": peak_mib(0 if alone else int(processes)),
        "counts": dict(result.counts),
        "gate": asdict(gate.asked),
    }


def _timed() -> Phases:
    """Functions of this process, timed from outside; what other processes of a sweep do is not seen."""
    phases = Phases()
    phases.time(workflows.deciding.screening, "read_outline", "outline")
    phases.time(workflows.deciding.screening.Screen, "_candidates", "screen")
    phases.time(workflows.deciding.chunk, "read_book", "read")
    phases.time(FactStatement, "compute", "facts")
    for part in ("match", "busy", "quiet", "facts_json"):
        phases.time(SweepStatement, part, "match")
    phases.time(workflows.deciding.chunk, "situations", "people")
    phases.time(workflows.deciding.chunk, "pack", "snapshot")
    phases.time(workflows.deciding.chunk_sweep, "decide", "resolve")
    phases.time(BulkGate, "check", "gate")
    for part in ("add", "add_quiet"):
        phases.time(workflows.deciding.recording.Recorder, part, "record")
    phases.time(DecisionRows, "write", "write")
    phases.time(workflows.deciding.chunk_sweep, "moved_meanwhile", "write")
    phases.time_block(workflows.deciding.chunk_sweep, "writing", "write")
    return phases


def reads(url: str, folder: str) -> Counts:
    """Keep what a sweep will read, for the floor: in tables of the same database that hold nothing else."""
    database = open_database(url)
    kept = KeptReads(database)
    outline, after = read_outline(kept, after=0, loans=LOANS_PER_SPAN, now=NOW), 0
    while outline is not None:
        after = outline.to
        kept.put(f"outline-{after}")
        outline = read_outline(kept, after=after, loans=LOANS_PER_SPAN, now=NOW)
    spans = _spans(database)
    for number, borrowers in enumerate(spans):
        read_book(kept, borrowers, now=NOW)
        kept.put(f"chunk-{number}")
    plain = {"tables": kept.tables, "groups": kept.groups, "chunks": [borrowers[-1] for borrowers in spans]}
    (Path(folder) / _PLAIN).write_text(json.dumps(plain), encoding="utf-8")
    database.close()
    return {"read": kept.rows, "tables": list(kept.tables)}


def _spans(database: Database) -> list[tuple[int, ...]]:
    """The borrowers of every chunk, as a sweep cuts them."""
    rulebook = open_workspace(shipped_folder(), {}).rulebook
    with Screen(rulebook) as screen:
        found = screen.spans(database, now=NOW, after=0, retry=(), loans_per_chunk=LOANS_PER_CHUNK)
        return [span.borrowers for span in found]


def writes(url: str, folder: str) -> Counts:
    """Keep what the sweep wrote, for the floor: in files, under names that let it stand beside the sweep's own."""
    import pyarrow as pa

    # Before the first borrower stands number 0, the snapshot of who got the seats of limited queues.
    database, count, after = open_database(url), 0, -1
    with database.write() as session:
        session.add(Run(kind="sweep", now_at=NOW, known_at=NOW, started_at=NOW))
    with database.session() as session:
        swept, again = (run for run in session.scalars(select(col(Run.id)).order_by(col(Run.id))) if run is not None)
    for number, to in enumerate(_plain(folder)["chunks"]):
        with reading(database) as source:
            for name, query in _written(source, swept, again, after, to):
                rows = source.read(query)
                count += rows.num_rows
                file = _file(Path(folder), number, name)
                with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_file(sink, rows.schema) as out:
                    out.write_table(rows)
        after = to
    database.close()
    return {"written": count}


def _written(source: Reader, swept: int, again: int, after: int, to: int) -> Iterator[tuple[str, Select[Any]]]:
    """What a run wrote about the borrowers behind the first and up to the second, as another run would have."""
    loan, contact, change = table_of("loan"), table_of("contact"), table_of("stage_change")
    of_these = (loan.c.borrower_id > after, loan.c.borrower_id <= to)
    ends = source.read(select(func.min(loan.c.id).label("first"), func.max(loan.c.id).label("last")).where(*of_these))
    loans = select(loan.c.id).where(*of_these)

    def about(table: Table) -> ColumnElement[bool]:
        # The ends, so that a part of an index is read where a whole table would be, once for each chunk.
        within = table.c.loan_id.between(ends["first"][0].as_py(), ends["last"][0].as_py())
        return (table.c.run_id == swept) & within & table.c.loan_id.in_(loans)

    planned = select(contact.c.id).where(about(contact))
    moved = select(change.c.loan_id).where(about(change))
    for name in _WRITTEN:
        table = table_of(name)
        columns = [_beside(name, column, again) for column in table.columns if (name, column.name) not in _OWN_KEYS]
        if "contact_id" in table.columns:
            yield name, select(*columns).where(table.c.contact_id.in_(planned))
        elif name == "snapshot":
            yield (
                name,
                select(*columns).where(table.c.run_id == swept, table.c.first_id > after, table.c.first_id <= to),
            )
        else:
            yield name, select(*columns).where(about(table))
    yield "loan", select(*(loan.c[name] for name in _PLACED)).where(loan.c.id.in_(moved))


def _beside(table: str, column: Any, run: int) -> Any:
    """A column of what was written, with another value where a second row of the same would be refused."""
    if column.name == "run_id":
        return literal(run, BigInteger).label(column.name)
    if (table, column.name) in {("contact", "id"), ("contact", "slot")} or column.name == "contact_id":
        return (literal(AGAIN, Text) + column).label(column.name)
    if (table, column.name) == ("stage_change", "entry"):
        return (column + 1).label(column.name)
    return column


def floor_read(url: str, folder: str) -> Counts:
    """Read the input plainly, chunk by chunk."""
    database, plain = open_database(url), _plain(folder)
    tables = {name: plain_table(name, columns) for name, columns in plain["tables"].items()}
    count, start, spent = 0, time.perf_counter(), processor_seconds()
    for reads in plain["groups"].values():
        with reading(database) as source:
            for name, number in reads:
                columns = [column for column in tables[name].columns if column.name != "read_number"]
                count += source.read(select(*columns).where(tables[name].c.read_number == number)).num_rows
    seconds, spent = time.perf_counter() - start, processor_seconds() - spent
    database.close()
    return {"read": count, **_floor(seconds, spent)}


def floor_write(url: str, folder: str) -> Counts:
    """Write the output plainly, chunk by chunk."""
    database, seconds, spent = open_database(url), 0.0, processor_seconds()
    for number in range(len(_plain(folder)["chunks"])):
        rows = {name: _load(_file(Path(folder), number, name)) for name in (*_WRITTEN, "loan")}
        start = time.perf_counter()
        with writing(database) as transaction:
            for name in _WRITTEN:
                transaction.append(name, rows[name])
            transaction.update("loan", ("id",), rows["loan"])
        seconds += time.perf_counter() - start
    spent = processor_seconds() - spent
    database.close()
    return _floor(seconds, spent)


def _floor(seconds: float, spent: float) -> Counts:
    return {"seconds": round(seconds, 2), "processor_seconds": round(spent, 2), "peak_mib": peak_mib()}


def _plain(folder: str) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads((Path(folder) / _PLAIN).read_text(encoding="utf-8"))
    return kept


def _file(folder: Path, number: int, table: str) -> Path:
    return folder / f"{number}.{table}.arrow"


def _load(path: Path) -> "pa.Table":
    import pyarrow as pa

    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as rows:
        return rows.read_all()


STEPS: Final[Mapping[str, Callable[..., Counts]]] = {
    "build": build, "reads": reads, "floor_read": floor_read, "sweep": sweep, "writes": writes,
    "floor_write": floor_write,
}  # fmt: skip

if __name__ == "__main__":
    print(json.dumps(STEPS[sys.argv[1]](*sys.argv[2:])))
