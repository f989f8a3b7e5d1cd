"""
How long a sweep takes, next to plainly reading its input and plainly writing its output.

    python -m benchmarks.sweep [--sizes 100k,1m] [--databases sqlite,postgresql] [--processes 2] [--out FILE]

For each size and database a synthetic book is built and swept with the rules, packs and queues that Duecourse ships
with. The floor under that: before it the rows that the sweep reads, read from tables that hold nothing else, and after
it the rows that it wrote, under other keys, appended to the same constrained and indexed tables in as many
transactions, with the same durability. Every measurement runs in a process of its own. Prints a table and writes JSON.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.postgres import Server, running_server

SIZES = "100k,1m"
DATABASES = "sqlite,postgresql"
OUT = Path("benchmarks/out/latest.json")

_LEDGER = ("movement", "instalment")
"""The largest tables, of which a sweep writes nothing."""

_HEAD = ("database", "loans", "sweep s", "loans/s", "peak MiB", "rows read", "rows written", "floor s", "ratio")


class Files:
    """Books as SQLite files of one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def url(self, name: str) -> str:
        """The URL of a book."""
        return f"sqlite:///{self._path(name)}"

    def make(self, name: str) -> None:
        """An empty database: a file is made when it is opened."""

    def settle(self, name: str) -> None:
        """There is nothing that a file would put off."""

    def lighten(self, name: str, tables: Iterable[str]) -> None:
        """What a file frees inside itself would change how it grows."""

    def copy(self, name: str, to: str) -> None:
        """A second book like the first."""
        shutil.copyfile(self._path(name), self._path(to))

    def drop(self, name: str) -> None:
        """Give the disk back."""
        self._path(name).unlink()

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.db"


class Databases:
    """Books as databases of one PostgreSQL server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def url(self, name: str) -> str:
        """The URL of a book."""
        return self._server.url(name)

    def make(self, name: str) -> None:
        """An empty database."""
        self._server.execute(f'create database "{name}" template template0')

    def settle(self, name: str) -> None:
        """Give a book the statistics that a database in use would have, and let the server write what it put off."""
        self._server.execute("vacuum analyze", database=name)
        self._server.execute("checkpoint")

    def lighten(self, name: str, tables: Iterable[str]) -> None:
        """Give back what a book needs no more: one of ten million loans is as large as many a disk."""
        self._server.execute(f"drop table {', '.join(tables)} cascade", database=name)

    def copy(self, name: str, to: str) -> None:
        """A second book like the first."""
        self.settle(name)
        self._server.execute(f'create database "{to}" template "{name}"')
        self._server.execute("checkpoint")

    def drop(self, name: str) -> None:
        """Give the disk back."""
        self._server.execute(f'drop database "{name}" with (force)')


Place = Files | Databases


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0].strip())
    parser.add_argument("--sizes", default=SIZES, help="loans, e.g. 100k,1m")
    parser.add_argument("--databases", default=DATABASES)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that decide at once")
    parser.add_argument("--doubled", action="store_true", help="also sweep twice the loans, with no more of them due")
    parser.add_argument("--out", type=Path, default=OUT)
    options = parser.parse_args(arguments)
    results = []
    for database in options.databases.split(","):
        with place_of(database) as place:
            for size in options.sizes.split(","):
                loans = number_of(size)
                results.append({"database": database, **measure(place, loans, options.processes)})
                if options.doubled:
                    results[-1]["doubled"] = doubled(place, loans, options.processes, results[-1]["seconds"])
                print(_row(_cells(results[-1])), file=sys.stderr)
    print(table(results))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    # Other benchmarks keep their figures in the same file.
    kept = json.loads(options.out.read_text(encoding="utf-8")) if options.out.exists() else {}
    document = {**kept, "machine": machine(), "sweep": results}
    options.out.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(place: Place, loans: int, processes: int = 1) -> dict[str, Any]:
    """One size on one database: the sweep, its phases, and the floor."""
    place.make("book")
    url = place.url("book")
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as rows:
        built = step("build", url, str(loans))
        read = step("reads", url, rows)
        place.settle("book")
        floor_read = step("floor_read", url, rows)
        place.lighten("book", read["tables"])
        swept = step("sweep", url, str(processes))
        place.settle("book")
        written = step("writes", url, rows)
        place.lighten("book", _LEDGER)
        place.settle("book")
        floor_write = step("floor_write", url, rows)
        place.drop("book")
    floor_seconds = floor_read["seconds"] + floor_write["seconds"]
    return {
        "loans": loans,
        "processes": processes,
        "seconds": swept["seconds"],
        "floor_seconds": round(floor_seconds, 2),
        "ratio": round(swept["seconds"] / floor_seconds, 2),
        "peak_mib": swept["peak_mib"],
        "processor_seconds": swept["processor_seconds"],
        "floor_processor_seconds": round(floor_read["processor_seconds"] + floor_write["processor_seconds"], 2),
        "loans_per_second": round(loans / swept["seconds"]),
        "phases": swept["phases"],
        "floor": {
            "read": floor_read["seconds"],
            "write": floor_write["seconds"],
            "peak_mib": max(floor_read["peak_mib"], floor_write["peak_mib"]),
        },
        "rows": {"book": built["rows"], "read": read["read"], "written": written["written"]},
        "counts": swept["counts"],
        "gate": swept["gate"],
    }


def doubled(place: Place, loans: int, processes: int, seconds: float) -> dict[str, Any]:
    """The sweep of a book with as many idle loans more; `growth` is by how much longer it took than without them."""
    place.make("doubled")
    step("build", place.url("doubled"), str(loans), str(loans))
    place.settle("doubled")
    swept = step("sweep", place.url("doubled"), str(processes))
    place.drop("doubled")
    growth = round(swept["seconds"] / seconds - 1, 3)
    return {"seconds": swept["seconds"], "growth": growth, "processor_seconds": swept["processor_seconds"]}


def table(results: Sequence[dict[str, Any]]) -> str:
    """The results as a Markdown table, and where the time went."""
    lines = [_row(_HEAD), _row(["---"] + ["--:"] * (len(_HEAD) - 1)), *(_row(_cells(one)) for one in results)]
    for one in results:
        spent = ", ".join(f"{name} {seconds:.1f}" for name, seconds in one["phases"].items())
        whose = "process" if one["processes"] == 1 else f"{one['processes']} processes, added up"
        lines.append(f"\n{one['database']}, {one['loans']:,} loans, seconds by phase, {whose}: {spent}")
        lines.append(
            f"Processor time, without the server's: {one['processor_seconds']:.1f} s, "
            f"of the floor {one['floor_processor_seconds']:.1f} s."
        )
        if "doubled" in one:
            more = one["doubled"]
            lines.append(f"As many idle loans more: {more['seconds']:.1f} s, {more['growth']:+.0%}.")
        if "gate" in one["phases"]:
            asked = one["gate"]
            lines.append(
                f"The gate was asked {asked['all']:,} times: {asked['in_bulk']:,} answered in bulk, "
                f"{asked['signatures']:,} distinct signatures judged, "
                f"{one['phases']['gate'] / one['seconds']:.0%} of the time."
            )
    return "\n".join(lines)


def _cells(one: dict[str, Any]) -> list[str]:
    rows = one["rows"]
    return [
        one["database"], f"{one['loans']:,}", f"{one['seconds']:.1f}", f"{one['loans_per_second']:,}",
        f"{one['peak_mib']:,}", f"{rows['read']:,}", f"{rows['written']:,}", f"{one['floor_seconds']:.1f}",
        f"{one['ratio']:.2f}",
    ]  # fmt: skip


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def step(*arguments: str, module: str = "benchmarks.sweep_steps") -> dict[str, Any]:
    """One step in a process of its own; what it says."""
    command = [sys.executable, "-m", module, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


@contextmanager
def place_of(database: str) -> Iterator[Place]:
    if database == "sqlite":
        with tempfile.TemporaryDirectory(prefix="dc-bench-") as folder:
            yield Files(Path(folder))
    elif database == "postgresql":
        with running_server(durable=True) as server:
            yield Databases(server)
    else:
        raise SystemExit(f"`{database}` is neither sqlite nor postgresql")


def number_of(size: str) -> int:
    factor = {"k": 1000, "m": 1_000_000}.get(size[-1].lower(), 1)
    return int(size.rstrip("kKmM")) * factor


def machine() -> dict[str, Any]:
    processor = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else ""
    return {
        "system": platform.system(),
        "processor": processor or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_before": os.getloadavg()[0],
    }


if __name__ == "__main__":
    sys.exit(main())
