"""
Whoever does the jobs of a long run: this process, by one thread or several, or several processes at once.

Jobs are taken up in order and answered in order, with a few under way at a time; what comes of a job does not depend
on who did it, nor on how far the others are.
"""

import logging
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.util import Finalize
from threading import Thread, local
from typing import Any, Final, TypeVar

from engine.errors import Problem, StoreError

Job = TypeVar("Job")
Done = TypeVar("Done")
Crew = Callable[[Iterable[Job]], Iterator[tuple[Job, Done]]]
"""Does jobs, and answers each with what came of it, in their order."""

_UNDER_WAY: Final = 2
"""Jobs for each thread or process that are handed out at once, so that nobody waits for the next."""


def alone(do: Callable[[Job], Done]) -> Crew[Job, Done]:
    """A crew of this process only: a job is taken up when the one before is answered."""
    return lambda jobs: ((job, do(job)) for job in jobs)


@contextmanager
def threads(begin: Callable[[], Callable[[Job], Done]], workers: int) -> Iterator[Crew[Job, Done]]:
    """
    A crew of so many threads, for jobs that mostly wait for somebody else, such as a server; they end with the block.

    Args:
        begin: makes what does a job, once for each thread.
    """
    own = local()

    def ready() -> None:
        own.do = begin()

    def do(job: Job) -> Done:
        done: Done = own.do(job)
        return done

    with ThreadPoolExecutor(workers, thread_name_prefix="crew", initializer=ready) as pool:
        try:
            yield partial(_in_order, lambda job: pool.submit(do, job), workers)
        finally:
            pool.shutdown(cancel_futures=True)


@contextmanager
def processes(
    begin: Callable[[], Callable[[Job], Done]], workers: int, *, broken: Problem
) -> Iterator[Crew[Job, Done]]:
    """
    A crew of so many processes; they end with the block, or with us.

    Args:
        begin: makes what does a job, once in each process, with connections of its own. It travels there, as jobs and
            their answers do: a function of a module, perhaps with arguments.
        broken: what to say where one of them died.
    Raises:
        StoreError: that.
    """
    pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=_begin, initargs=(begin,))
    try:
        yield partial(_in_order, lambda job: pool.submit(_do, job), workers)
    except BrokenProcessPool:
        raise StoreError(broken) from None
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    hand_out: Callable[[Job], "Future[Done]"], workers: int, jobs: Iterable[Job]
) -> Iterator[tuple[Job, Done]]:
    under_way: deque[tuple[Job, Future[Done]]] = deque()
    for job in jobs:
        under_way.append((job, hand_out(job)))
        if len(under_way) >= workers * _UNDER_WAY:
            first, future = under_way.popleft()
            yield first, future.result()
    for job, future in under_way:
        yield job, future.result()


_doing: Callable[[Any], Any] | None = None


def _begin(begin: Callable[[], Callable[[Any], Any]]) -> None:
    """The first thing a process of the crew does."""
    global _doing  # noqa: PLW0603 - a process of the crew serves one run, and jobs come to a plain function
    # Ctrl-C reaches the whole group: whoever gave the jobs out says when to stop, and what is begun is ended.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    Finalize(None, _end, exitpriority=1)
    _doing = begin()


def _end() -> None:
    """The last thing. What the interpreter would tidy up goes with the process, and would take a second and a half."""
    global _doing  # noqa: PLW0603 - the same
    # DuckDB complains of what is left to the end of the process.
    _doing = None
    logging.shutdown()
    os._exit(0)


def _end_with_parent() -> None:
    """Nobody writes for a run whose lock is gone."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(job: Any) -> Any:
    if _doing is None:
        raise AssertionError("a process of the crew was not begun")
    return _doing(job)
