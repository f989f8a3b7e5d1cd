"""
A book in files, decided on DuckDB, and on Spark with one executor and with more: the same decisions, and how long each takes.

    python -m benchmarks.spark [--loans 1m] [--executors 1,2] [--book DIR] [--out benchmarks/out/latest.json]

Each run is the command that anybody would type, in a process of its own, so that starting Spark is in the time; the cluster
is real, its executors processes of one core each. Exit code 3 where a decision differs. Keeps `spark` in the results file.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.book import write_book
from benchmarks.latest import OUT, keep
from benchmarks.sweep_steps import NOW, ON
from duecourse.workspace import open_workspace

LOANS = 1_000_000
EXECUTORS = "1,2"
MIB_PER_EXECUTOR = 1024

_DUECOURSE = str(Path(sys.executable).with_name("duecourse"))


@dataclass(frozen=True, slots=True)
class Run:
    """One way of deciding the book: what it took, and how many of its decisions are not DuckDB's (both ways)."""

    engine: str
    seconds: float
    loans_per_second: int
    gate_asked: int
    gate_signatures: int
    different: int


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, decide, compare, print, keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().partition("\n")[0])
    parser.add_argument("--loans", type=int, default=LOANS)
    parser.add_argument("--executors", default=EXECUTORS, help="how many, e.g. 1,2,4")
    parser.add_argument("--book", type=Path, help="an exported book, to save its making")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as name:
        home = Path(name)
        _duecourse(home, "init", "ws", "--seed", "bench")
        book = options.book.resolve() if options.book else _book(home, options.loans)
        loans = int(json.loads((book / "about.json").read_text(encoding="utf-8"))["loans"])
        runs = [_run(home, book, loans, "DuckDB, one process", "duckdb")]
        for executors in map(int, options.executors.split(",")):
            engine = f"Spark, {executors} executor{'s' if executors > 1 else ''}"
            master = f"local-cluster[{executors},1,{MIB_PER_EXECUTOR}]"
            runs.append(_run(home, book, loans, engine, "spark", "--master", master))
    print(text(loans, runs))
    keep("spark", {"loans": loans, "cores": os.cpu_count(), "runs": [asdict(run) for run in runs]}, options.out)
    return 3 if any(run.different for run in runs) else 0


def text(loans: int, runs: Sequence[Run]) -> str:
    """The table."""
    lines = [
        "| engine | seconds | loans a second | signatures judged | other decisions |",
        "| --- | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {run.engine} | {run.seconds:,.0f} | {run.loans_per_second:,} | {run.gate_signatures:,} | {run.different:,} |"
        for run in runs
    ]
    asked = runs[0].gate_asked
    lines.append(
        f"\n{loans:,} loans, the gate asked {asked:,} times; {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}."
    )
    return "\n".join(lines)


def _book(home: Path, loans: int) -> Path:
    database = open_workspace(home / "ws", {}).open_database()
    write_book(database, loans, on=ON)
    database.close()
    start = time.perf_counter()
    _duecourse(home, "-w", "ws", "sweep", "--export", "book", "--at", NOW.isoformat())
    print(f"exported {loans:,} loans in {time.perf_counter() - start:,.0f} seconds", file=sys.stderr)
    return home / "book"


def _run(home: Path, book: Path, loans: int, engine: str, *how: str) -> Run:
    decisions = f"decisions-{len(list(home.glob('decisions-*')))}"
    start = time.perf_counter()
    told = _duecourse(
        home, "-w", "ws", "--json", "sweep", "--facts", str(book), "--decisions", decisions, "--engine", *how
    )
    seconds = time.perf_counter() - start
    counts = told["counts"]
    different = _different(home / "decisions-0", home / decisions)
    made = Run(
        engine, round(seconds, 1), round(loans / seconds), counts["gate.asked"], counts["gate.signatures"], different
    )
    print(made, file=sys.stderr)
    return made


def _different(one: Path, other: Path) -> int:
    """How many rows are in one of them only."""
    import duckdb

    a, b = (f"(from read_parquet('{folder}/*.parquet'))" for folder in (one, other))
    query = f"select (select count(*) from ({a} except all {b})) + (select count(*) from ({b} except all {a}))"
    return int(duckdb.execute(query).fetchall()[0][0])


def _duecourse(home: Path, *arguments: str) -> Any:
    done = subprocess.run([_DUECOURSE, *arguments], cwd=home, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


if __name__ == "__main__":
    sys.exit(main())
