"""
Storms from many seeds, each checked: `make sim RUNS=500`, `make sim SEED=7 DAYS=30`.

    python -m tests.simulation.storms [--seed N] [--days N] [--runs N] [--processes N]

Says of every seed that failed what was found, and how to see it again. Exits with 3 where anything was found.
"""

import argparse
import gc
import logging
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.memory import in_memory
from tests.simulation.checker import check
from tests.simulation.storm import weather_storm

FOUND = 3
_SHOWN_MAX = 10


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one seed: what was found, how many messages left, how often what struck, and how long it took."""

    seed: int
    found: tuple[str, ...]
    messages: int
    struck: Counter[str]
    seconds: float


def main() -> int:
    """Run them, print what is found."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[1])
    parser.add_argument("--seed", type=int, default=1, help="the first")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.runs)
    failed, messages, struck, began = 0, 0, Counter[str](), time.monotonic()
    # A few runs in a process: what a killed machine leaves open lasts as long as the process.
    with multiprocessing.get_context("spawn").Pool(min(given.processes, given.runs), maxtasksperchild=8) as pool:
        for done, outcome in enumerate(pool.imap_unordered(partial(run, days=given.days), seeds), start=1):
            failed += bool(outcome.found)
            messages += outcome.messages
            struck += outcome.struck
            for line in outcome.found[:_SHOWN_MAX]:
                print(f"seed {outcome.seed}: {line}")
            if outcome.found:
                print(f"  again: make sim SEED={outcome.seed} DAYS={given.days}", flush=True)
            print(f"\r{done} of {given.runs} ", end="", file=sys.stderr, flush=True)
    print(
        f"{given.runs} runs of {given.days} days in {time.monotonic() - began:,.0f} seconds: {messages:,} messages; "
        + ", ".join(f"{count:,} {name}" for name, count in sorted(struck.items()))
    )
    print(f"{failed} runs with something found" if failed else "nothing found")
    return FOUND if failed else 0


def run(seed: int, *, days: int) -> Outcome:
    """One storm, checked."""
    # What fails here is meant to.
    logging.disable(logging.CRITICAL)
    # As the commands do: the search for circles is a twelfth of the time of a storm.
    gc.set_threshold(50_000, 10, 10)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="duecourse-storm-", dir=in_memory()) as folder:
        survived = weather_storm(Path(folder), days=days, seed=seed)
        violations = check(survived.database, survived.handed, survived.workspace, survived.told)
    found = tuple(str(one) for one in (*survived.broke, *violations))
    return Outcome(seed, found, len(survived.handed), survived.struck, time.monotonic() - began)


if __name__ == "__main__":
    sys.exit(main())
