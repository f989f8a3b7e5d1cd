"""
What the log costs: its part of a sweep, positions a second, the size of a proof, and how long verification takes.

    python -m benchmarks.log [--loans 100k] [--entries 100k,1m] [--databases sqlite,postgresql] [--processes 2]

A book of so many loans is swept twice from the same start, with the log's triggers and without them, and what the sweep
wrote is sequenced and signed. Then the decisions of that sweep are written again and again under other runs until the
log holds so many entries; all are sequenced, signed, proved and verified. Each step runs in a process of its own.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, Final

from benchmarks.latest import keep
from benchmarks.sweep import Place, machine, number_of, place_of, step

STEPS: Final = "benchmarks.log_steps"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n", maxsplit=1)[0].strip())
    parser.add_argument("--loans", default="100k", help="of the book that is swept")
    parser.add_argument("--entries", default="100k,1m", help="of the log that is verified, ascending")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="that decide at once")
    options = parser.parse_args(arguments)
    sizes = [number_of(size) for size in options.entries.split(",")]
    results = []
    for database in options.databases.split(","):
        with place_of(database) as place:
            results.append({"database": database, **measure(place, number_of(options.loans), sizes, options.processes)})
        print(_told(results[-1]), file=sys.stderr)
    print("\n".join(_told(one) for one in results))
    keep("log", {"machine": machine(), "results": results})
    return 0


def measure(place: Place, loans: int, sizes: Sequence[int], processes: int) -> dict[str, Any]:
    """One database: the log's part of a sweep, then logs of these sizes."""
    place.make("before")
    step("build", place.url("before"), str(loans))
    # What the book brings is no part of the sweep.
    step("sequence", place.url("before"), module=STEPS)
    place.copy("before", "bare")
    step("bare", place.url("bare"), module=STEPS)
    bare = step("sweep", place.url("bare"), str(processes))
    place.drop("bare")
    swept = step("sweep", place.url("before"), str(processes))
    logged = step("sequence", place.url("before"), module=STEPS)
    grown = [
        {
            "entries": size,
            "written": step("grow", place.url("before"), str(size), module=STEPS),
            "sequenced": step("sequence", place.url("before"), module=STEPS),
            "proved": step("prove", place.url("before"), module=STEPS),
            "verified": step("verify", place.url("before"), module=STEPS),
        }
        for size in sizes
    ]
    place.drop("before")
    return {
        "loans": loans,
        "processes": processes,
        "sweep_seconds_without_triggers": bare["seconds"],
        "sweep_seconds": swept["seconds"],
        "sweep_processor_seconds": swept["processor_seconds"],
        "log": logged,
        "share": round((swept["seconds"] - bare["seconds"] + logged["seconds"]) / bare["seconds"], 3),
        "grown": grown,
    }


def _told(one: dict[str, Any]) -> str:
    lines = [
        (
            f"{one['database']}, a sweep of {one['loans']:,} loans: {one['sweep_seconds_without_triggers']} s without the log, "
            f"{one['sweep_seconds']} s with its triggers, and {one['log']['seconds']} s for {one['log']['entries']:,} entries: "
            f"{one['share']:.1%} more; of processors {one['sweep_processor_seconds']} s and {one['log']['processor_seconds']} s"
        )
    ]
    lines += [
        f"  {grown['verified']['entries']:,} entries: {_rate(grown['sequenced'])}a proof of {grown['proved']['bytes']:,} bytes in "
        f"{grown['proved']['seconds']} s, verified in {grown['verified']['seconds']} s ({grown['verified']['peak_mib']:,} MiB)"
        for grown in one["grown"]
    ]
    return "\n".join(lines)


def _rate(sequenced: dict[str, Any]) -> str:
    """Nothing where the sweep's own entries were as many as were asked for: none had to be added."""
    if not sequenced["entries"]:
        return ""
    return f"{sequenced['per_second']:,} positions a second ({sequenced['peak_mib']:,} MiB), "


if __name__ == "__main__":
    sys.exit(main())
