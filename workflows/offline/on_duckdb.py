"""Decide a book that lies in Parquet files on this machine, in one process: what Spark's answers are compared with."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from workflows.deciding.allotment import Closed, allot
from workflows.offline.deciding import COLUMNS, Decider, Plan, Told, schema
from workflows.offline.layout import files
from workflows.offline.statement import INPUTS, STEPS, steps

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

BORROWERS_PER_BATCH: Final = 2_000
"""Bounds memory: so many become objects at once."""

_KEPT: Final = frozenset({"retrying", "matched", "matched_moved", "busy"})
"""Steps that others look at more than once, and that are narrow."""

Progress = Callable[[int, int], None]


def decide_files(plan: Plan, folder: Path, decisions: Path, progress: Progress) -> Told:
    """
    Decide every borrower and write the decisions; returns what a sweep counts.

    Args:
        folder: the book (`workflows.offline.layout`), with the facts of the plan's catalogue.
        decisions: an empty folder.
    """
    import duckdb

    decider = Decider(plan)
    with duckdb.connect() as con:
        for name in INPUTS:
            # A view cannot take parameters; the names of our own files are quoted.
            listed = ", ".join("'" + path.replace("'", "''") + "'" for path in files(folder, name))
            con.execute(f"create view {name} as from read_parquet([{listed}])")
        for name, text in steps(plan.matching, plan.rulebook.catalogue):
            con.execute(f"create {'temp table' if name in _KEPT else 'view'} {name} as {text}")
        answer = STEPS[-1]
        total = _count(con, "select count(distinct borrower_id) from asked")
        told = _run(con, f"from {answer}", decisions / "part-00001.parquet", decider.first, progress, total)
        if told.waiting:
            closed: dict[int, Closed] = allot(told.waiting, plan.queues, plan.about.seats)
            _register(con, closed)
            wanted = f"from {answer} semi join waiting using (borrower_id)"
            later = _run(
                con,
                wanted,
                decisions / "part-00002.parquet",
                lambda batch: decider.second(batch, closed),
                lambda done, _: progress(total - len(closed) + done, total),
                total,
            )
            told.counts.update(later.counts)
            told.counts["turned_away"] = sum(bool(queues) for queues in closed.values())
    progress(total, total)
    return told


def _run(
    con: "DuckDBPyConnection",
    query: str,
    file: Path,
    work: "Callable[[pa.RecordBatch], tuple[pa.Table, Told]]",
    progress: Progress,
    total: int,
) -> Told:
    import pyarrow as pa
    import pyarrow.parquet as pq

    told, done = Told(), 0
    shape = pa.schema([field for field in schema() if field.name in COLUMNS])
    batches: Any = con.sql(query).to_arrow_reader(BORROWERS_PER_BATCH)
    with pq.ParquetWriter(file, shape) as writer:
        for batch in batches:
            rows, said = work(batch)
            writer.write_table(rows.select(COLUMNS).cast(shape))
            told.counts.update(said.counts)
            told.waiting.extend(said.waiting)
            done += batch.num_rows - len(said.waiting)
            progress(done, total)
    return told


def _register(con: "DuckDBPyConnection", borrowers: Iterable[int]) -> None:
    import pyarrow as pa

    con.register("waiting", pa.table({"borrower_id": pa.array(sorted(borrowers), pa.int64())}))


def _count(con: "DuckDBPyConnection", query: str) -> int:
    return int(con.execute(query).fetchall()[0][0])
