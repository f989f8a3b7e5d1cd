"""
Whoever does the jobs of a sweep: this process, or several processes at once.

Jobs are taken up in order and answered in order, with a few under way at a time; what comes of a job does not depend
on who did it, nor on how far the others are.
"""

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from multiprocessing.util import Finalize
from threading import Thread
from typing import Final

from engine.errors import Problem, StoreError
from store.db import Database, open_database
from workflows.deciding.chunk import ChunkReader
from workflows.deciding.chunk_sweep import ChunkSweep, See
from workflows.deciding.sweep_job import Done, Job, Setup

Crew = Callable[[Iterable[Job]], Iterator[tuple[Job, Done]]]
"""Does jobs, and answers each with what came of it, in their order."""

_UNDER_WAY: Final = 2
"""Jobs per process that are handed out at once, so that nobody waits for the next."""


def alone(setup: Setup, database: Database, reader: ChunkReader, see: See | None = None) -> Crew:
    """A crew of this process only: a job is taken up when the one before is answered."""
    sweep = ChunkSweep(setup, database, reader, see)
    return lambda jobs: ((job, sweep.run(job)) for job in jobs)


@contextmanager
def processes(setup: Setup, database: Database, *, actor: str, workers: int) -> Iterator[Crew]:
    """
    A crew of so many processes, each with connections and a DuckDB of its own; they end with the block, or with us.

    Raises:
        StoreError: one of them died.
    """
    pool = ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(setup, database.address, actor, workers)
    )

    def crew(jobs: Iterable[Job]) -> Iterator[tuple[Job, Done]]:
        under_way: deque[tuple[Job, Future[Done]]] = deque()
        for job in jobs:
            under_way.append((job, pool.submit(_run, job)))
            if len(under_way) >= workers * _UNDER_WAY:
                first, future = under_way.popleft()
                yield first, future.result()
        for job, future in under_way:
            yield job, future.result()

    try:
        yield crew
    except BrokenProcessPool:
        what = "a process of the sweep was killed, perhaps because memory ran out"
        mend = (
            "lower `loans_per_chunk` or `sweep_processes`, and run `duecourse sweep` again: it goes on where it stopped"
        )
        raise StoreError(Problem(what, mend)) from None
    finally:
        pool.shutdown(cancel_futures=True)


_sweep: ChunkSweep | None = None


def _begin(setup: Setup, address: str, actor: str, workers: int) -> None:
    """The first thing a process of the crew does."""
    global _sweep  # noqa: PLW0603 - a process of the crew serves one sweep, and jobs come to a plain function
    # Ctrl-C reaches the whole group: whoever gave the jobs out says when to stop, and what is begun is ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    threads = max(1, (os.cpu_count() or 1) // workers)
    Finalize(None, _end, exitpriority=1)
    _sweep = ChunkSweep(setup, open_database(address), ChunkReader(setup.rulebook, actor=actor, threads=threads))


def _end() -> None:
    """The last thing. What the interpreter would tidy up goes with the process, and would take a second and a half."""
    global _sweep  # noqa: PLW0603 - the same
    # DuckDB complains of what is left to the end of the process.
    _sweep = None
    logging.shutdown()
    os._exit(0)


def _end_with_parent() -> None:
    """Nobody writes for a sweep whose lock is gone."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _run(job: Job) -> Done:
    if _sweep is None:
        raise AssertionError("a process of the crew was not begun")
    return _sweep.run(job)
