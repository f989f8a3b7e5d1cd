"""
Every decision of a year of the demo's book, and of a sweep of a large one, derived again: it has to come out the same.

    python -m benchmarks.replay [--days 365] [--loans 1m] [--databases sqlite,postgresql] [--processes 2]

Each step runs in a process of its own. `--days 0` and `--loans 0` leave a part out. A decision that comes out
differently, or cannot be derived, ends it.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.latest import keep
from benchmarks.log import STEPS
from benchmarks.sweep import machine, number_of, place_of, step


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0].strip())
    parser.add_argument("--days", type=int, default=365, help="of the demo's book")
    parser.add_argument("--loans", default="1m", help="of the book that is swept")
    parser.add_argument("--databases", default="sqlite", help="that the large book is in")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that decide at once")
    options = parser.parse_args(arguments)
    results = []
    if options.days:
        results.append({"book": f"{options.days} days of the demo's book", **demo(options.days)})
    loans = number_of(options.loans)
    results += [
        {"book": f"a sweep of {loans:,} loans on {database}", **swept(database, loans, options.processes)}
        for database in (options.databases.split(",") if loans else ())
    ]
    print("\n".join(_told(one) for one in results))
    keep("replay", {"machine": machine(), "results": results})
    return 0


def demo(days: int) -> dict[str, Any]:
    """The demo, lived through and replayed."""
    with tempfile.TemporaryDirectory(prefix="dc-bench-") as folder:
        workspace = Path(folder) / "demo"
        command = [str(Path(sys.executable).with_name("duecourse")), "demo", "--workspace", str(workspace)]
        subprocess.run(
            [*command, "--days", str(days)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True
        )
        return step("replay", f"sqlite:///{workspace}/data/duecourse.db", module=STEPS)


def swept(database: str, loans: int, processes: int) -> dict[str, Any]:
    """A large book, swept and replayed."""
    with place_of(database) as place:
        place.make("before")
        step("build", place.url("before"), str(loans))
        sweep = step("sweep", place.url("before"), str(processes))
        answer = step("replay", place.url("before"), module=STEPS)
        place.drop("before")
    return {**answer, "sweep_seconds": sweep["seconds"], "snapshot_seconds": sweep["phases"].get("snapshot")}


def _told(one: dict[str, Any]) -> str:
    return (
        f"{one['book']}: {one['decisions']:,} decisions of {one['runs']:,} runs, no difference, in {one['seconds']} s: "
        f"{one['per_second']:,} a second on one core ({one['peak_mib']:,} MiB); snapshots {one['snapshot_mib']} MiB"
    )


if __name__ == "__main__":
    sys.exit(main())
