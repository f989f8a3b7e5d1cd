"""One run of one job: under its own lock, written down when it begins and when it ends, whatever becomes of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from engine.errors import DuecourseError, Problem
from store import jobs
from store.db import Database
from store.lock import sole, this_process

Stop = Callable[[], bool]
Counts = Mapping[str, int]
Run = Callable[[str, Stop], Counts]
"""Job name, and what to ask between two steps whether to stop -> does the job, and says how much of what it did."""


@dataclass(frozen=True, slots=True)
class Ran:
    """
    How a run ended.

    Attributes:
        problems: why it did not end well.
        counts: how much of what it did.
        error, where: kind and place of a fault of ours; nothing else of it, which may quote what is on file.
    """

    state: jobs.Ended
    problems: tuple[Problem, ...] = ()
    counts: Counts = field(default_factory=dict)
    error: str = ""
    where: str = ""
    seconds: float = 0.0


def run_job(database: Database, name: str, run: Run, *, clock: Callable[[], datetime], stop: Stop) -> Ran:
    """
    Run a job once. What goes wrong in it is written down, not raised.

    Args:
        stop: asked between two steps; a run that it ended is gone on with when a scheduler acts.
    Raises:
        Busy: another process is at this very job; says who.
        StoreError: that it began or ended could not be written down; after a lost end it runs again.
    """
    with sole(database, f"job.{name}", what=f"the job `{name}`"):
        began = clock()
        with database.write() as session:
            jobs.begin(session, name, by=this_process(), now=began)
        ran = _attempt(name, run, stop)
        ended = clock()
        with database.write() as session:
            jobs.end(session, name, ran.state, "; ".join(said(one) for one in ran.problems), now=ended)
    return replace(ran, seconds=(ended - began).total_seconds())


def _attempt(name: str, run: Run, stop: Stop) -> Ran:
    try:
        counts = run(name, stop)
    except DuecourseError as error:
        return Ran("refused", error.problems)
    except Exception as error:  # noqa: BLE001 - one job's fault must not stop the others
        kind, where = type(error).__name__, _where(error)
        return Ran("failed", (Problem(f"{kind} at {where}", "send us the log"),), error=kind, where=where)
    return Ran("stopped" if stop() else "done", counts=counts)


def said(problem: Problem) -> str:
    """What is wrong, and where, on one line."""
    return f"{problem.at}: {problem.what}" if problem.at else problem.what


def _where(error: BaseException) -> str:
    """File and line of where it was raised, in our own words."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next
    return place
