"""
The scheduler: APScheduler with its jobs in the database, one acting process at a time.

Missed runs collapse to one, and every run decides on the facts of the moment it runs: nothing that was due
while we were away is caught up with as it stood then.
"""

import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from types import FrameType
from typing import TYPE_CHECKING, Any, Final

from engine.errors import DuecourseError, StoreError
from store.db import Database
from store.lock import sole
from store.settings import read_setting, write_setting
from workflows.jobs import JOBS, Entry

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler

log = logging.getLogger(__name__)

STAND_BY_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 1.0

Stop = Callable[[], bool]
Run = Callable[[str, Stop], None]
"""Job name, and what to ask between two steps whether to stop -> does the job."""


@dataclass(frozen=True, slots=True)
class _Acting:
    """What the one acting scheduler of this process works with."""

    database: Database
    run: Run
    stop: Stop


_acting: _Acting | None = None
"""The job store keeps the name of a function, so what `tick` works with has to be found from its module."""


def serve(
    database: Database,
    entries: Mapping[str, Entry],
    run: Run,
    *,
    clock: Callable[[], datetime],
    tell: Callable[[str], None],
    stop: threading.Event | None = None,
    stand_by_seconds: float = STAND_BY_SECONDS,
) -> None:
    """
    Run the schedule until SIGTERM, SIGINT or `stop`. A second scheduler stands by and takes over.

    Args:
        tell: says in words what happens: standing by, acting, stopping.
        stand_by_seconds: how often a second scheduler looks whether it is its turn.
    """
    halt = stop or threading.Event()
    with _signals(halt):
        standing_by = False
        while not halt.is_set():
            try:
                with sole(database, "scheduler", what="a scheduler") as still_mine:
                    tell("acting: " + ", ".join(str(entry) for entry in entries.values()))
                    standing_by = False
                    _act(database, entries, run, clock, halt, still_mine)
            except StoreError as error:
                if not standing_by:
                    tell(f"{error.problems[0].what}; standing by")
                standing_by = True
                halt.wait(stand_by_seconds)
        tell("stopped; whatever was running has ended")


def tick(name: str) -> None:
    """Run one job now. Whatever goes wrong is logged, and comes again at its next time."""
    acting = _acting
    if acting is None:
        return
    _mark(acting.database, name, "running")
    log.info("a job begins", extra={"action": "job_begins", "job": name})
    try:
        acting.run(name, acting.stop)
    except DuecourseError as error:
        for problem in error.problems:
            text = f"{problem.at}: {problem.what}" if problem.at else problem.what
            extra = {"action": "job_refused", "job": name, "what": text, "mend": problem.mend}
            log.error("a job could not run", extra=extra)  # noqa: TRY400 - said in words, not as a traceback
    except Exception as error:  # noqa: BLE001 - one job's fault must not stop the others
        extra = {"action": "job_failed", "job": name, "error": type(error).__name__, "where": _where(error)}
        log.error("a job failed", extra=extra)  # noqa: TRY400 - a traceback could quote a person's data
    else:
        log.info("a job ended", extra={"action": "job_ended", "job": name})
        if acting.stop():
            return  # it was stopped half-way, and goes on when a scheduler acts again
    _mark(acting.database, name, "")


def _act(
    database: Database,
    entries: Mapping[str, Entry],
    run: Run,
    clock: Callable[[], datetime],
    halt: threading.Event,
    still_mine: Callable[[], bool],
) -> None:
    global _acting  # noqa: PLW0603 - see `_acting`
    lost = threading.Event()
    _acting = _Acting(database, run, lambda: halt.is_set() or lost.is_set())
    scheduler = _scheduler(database)
    try:
        scheduler.start(paused=True)
        _set_up(database, scheduler, entries, clock())
        scheduler.resume()
        while not halt.wait(_WATCH_SECONDS):
            thread = scheduler._thread  # noqa: SLF001 - the only way to see that its loop has died
            if not still_mine() or thread is None or not thread.is_alive():
                log.error("the scheduler lost the database", extra={"action": "alert"})
                lost.set()
                break
    finally:
        if scheduler.running:
            scheduler.shutdown(wait=True)
        _acting = None


def _scheduler(database: Database) -> "BackgroundScheduler":
    from apscheduler.executors.pool import ThreadPoolExecutor
    from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
    from apscheduler.schedulers.background import BackgroundScheduler

    class Jobs(SQLAlchemyJobStore):  # type: ignore[misc] # it has no types
        def shutdown(self) -> None:
            """Leave the engine alone: it is the database's, and others still work with it."""

    class Scheduler(BackgroundScheduler):  # type: ignore[misc] # it has no types
        def _process_jobs(self) -> float | None:
            # Its loop looks once more after the shutdown, cannot start what is due then, and takes it for run.
            return super()._process_jobs() if self.running else None

    return Scheduler(
        # It looks before it writes: begun as a reader, it would be told "locked" at once when somebody was faster.
        jobstores={"default": Jobs(engine=database.writer, tablename="scheduled_job")},
        executors={"default": ThreadPoolExecutor(len(JOBS))},
        # However many runs were missed, and however long ago: one, now.
        job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        timezone="UTC",
    )


def _set_up(database: Database, scheduler: "BackgroundScheduler", entries: Mapping[str, Entry], now: datetime) -> None:
    from apscheduler.triggers.cron import CronTrigger

    for job in scheduler.get_jobs():
        if job.id not in entries:
            job.remove()
    with database.session() as session:
        broken_off = {name for name in entries if read_setting(session, _marker(name))}
    for entry in entries.values():
        kept = scheduler.get_job(entry.name)
        # One that is as it was keeps its next time, so that a run missed while we were away still comes.
        if kept is None or kept.name != str(entry):
            trigger = CronTrigger.from_crontab(entry.cron, entry.zone)
            options: dict[str, Any] = {"id": entry.name, "name": str(entry), "replace_existing": True}
            kept = scheduler.add_job(tick, trigger, args=(entry.name,), **options)
        if entry.name in broken_off:
            kept.modify(next_run_time=now)


@contextmanager
def _signals(halt: threading.Event) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        halt.set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _marker(name: str) -> str:
    return f"job.{name}"


def _mark(database: Database, name: str, value: str) -> None:
    """Remember that a job has begun and not ended: one that was broken off runs when a scheduler acts again."""
    try:
        with database.write() as session:
            write_setting(session, _marker(name), value)
    except StoreError as error:
        extra = {"action": "alert", "job": name, "what": error.problems[0].what}
        log.error("a job could not be marked", extra=extra)  # noqa: TRY400 - said in words


def _where(error: BaseException) -> str:
    """File and line of where it was raised, in our own words."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        code = trace.tb_frame.f_code
        place = f"{code.co_filename.rpartition('/')[2]}:{trace.tb_lineno} {code.co_name}"
        trace = trace.tb_next
    return place
