"""
The scheduler: APScheduler, one acting process at a time, the others stand by. When each job is due follows from when it
last began, which the database knows; APScheduler wakes at that time and runs it.

Missed runs collapse to one, and every run decides on the facts of the moment it runs: nothing that was due
while we were away is caught up with as it stood then.
"""

import logging
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from types import FrameType
from typing import TYPE_CHECKING, Final

from engine.errors import StoreError
from store import jobs
from store.db import Database
from store.lock import Busy, sole
from workflows.scheduling.job_run import Ran, Run, run_job, said
from workflows.scheduling.jobs import Entry, due_at, missed

if TYPE_CHECKING:
    from apscheduler.schedulers.background import BackgroundScheduler
    from apscheduler.triggers.base import BaseTrigger

log = logging.getLogger(__name__)

LOCK: Final = "scheduler"
STAND_BY_SECONDS: Final = 5.0
_WATCH_SECONDS: Final = 1.0
_AGAIN: Final = timedelta(seconds=15)
"""Before a run that could not begin (another process is at it, the database was away) is tried again."""
_BEAT_SECONDS_MAX: Final = 60.0
"""Twice as long as anything here waits for the database."""


@dataclass
class Pulse:
    """What the rest of the process sees of its scheduler: whether it acts or stands by, and that its loop goes round."""

    acting: bool = False
    _beat: float = field(default_factory=time.monotonic)

    def beat(self) -> None:
        """The loop has gone round."""
        self._beat = time.monotonic()

    def is_alive(self) -> bool:
        """Whether it went round of late."""
        return time.monotonic() - self._beat < _BEAT_SECONDS_MAX


def serve(
    database: Database,
    entries: Mapping[str, Entry],
    run: Run,
    *,
    clock: Callable[[], datetime],
    tell: Callable[[str], None],
    pulse: Pulse | None = None,
    seen: Callable[[str, Ran], None] = lambda _name, _ran: None,
    stop: threading.Event | None = None,
    stand_by_seconds: float = STAND_BY_SECONDS,
    watch_seconds: float = _WATCH_SECONDS,
) -> None:
    """
    Run the schedule until SIGTERM, SIGINT or `stop`. A second scheduler stands by and takes over.

    Args:
        tell: says in words what happens: standing by, acting, stopping.
        seen: told of each run that ended, in the thread that ran it.
        stand_by_seconds: how often a second scheduler looks whether it is its turn.
        watch_seconds: how often the acting one looks what is due, and whether it still is the one.
    """
    halt, pulse = stop or threading.Event(), pulse or Pulse()
    with until_signal(halt):
        standing_by = False
        while not halt.is_set():
            pulse.beat()
            try:
                with sole(database, LOCK, what="a scheduler") as still_mine:
                    tell("acting: " + ", ".join(str(entry) for entry in entries.values()))
                    standing_by, pulse.acting = False, True
                    acting = _Acting(database, entries, run, clock, halt, seen)
                    with acting.at_work():
                        while not halt.wait(watch_seconds):
                            pulse.beat()
                            if not still_mine():
                                log.error("the scheduler lost the database", extra={"action": "alert"})
                                break
                            acting.turn()
            except StoreError as error:
                if not standing_by:
                    tell(f"{error.problems[0].what}; standing by")
                standing_by = True
                halt.wait(stand_by_seconds)
            finally:
                pulse.acting = False
        tell("stopped; whatever was running has ended")


class _Acting:
    """The one acting scheduler, from turn to turn: what runs, and what is held back."""

    def __init__(
        self,
        database: Database,
        entries: Mapping[str, Entry],
        run: Run,
        clock: Callable[[], datetime],
        halt: threading.Event,
        seen: Callable[[str, Ran], None],
    ) -> None:
        self._database, self._entries, self._run, self._clock, self._seen = database, entries, run, clock, seen
        self._halt, self._over = halt, threading.Event()
        self._scheduler = _scheduler(len(entries))
        self._running: set[str] = set()
        self._not_before: dict[str, datetime] = {}
        self._paused: frozenset[str] = frozenset()
        self._told = ""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Make the jobs known; at the end let what runs come to a safe point."""
        try:
            now = self._clock()
            with self._database.write() as session:
                jobs.know(session, list(self._entries), now=now)
            for name, entry in self._entries.items():
                # When it is due, the turns say, which know how it last ran.
                self._scheduler.add_job(self._begin, _trigger(entry), (entry,), id=name, next_run_time=None)
            self._scheduler.start()
            self.turn()
            yield
        finally:
            self._over.set()
            if self._scheduler.running:
                self._scheduler.shutdown(wait=True)

    def turn(self) -> None:
        """Heed what others did meanwhile: jobs held back and let go on, begun by hand, ended elsewhere."""
        now = self._clock()
        try:
            with self._database.session() as session:
                known, paused = jobs.jobs(session), jobs.pauses(session, now)
        except StoreError as error:
            # The same once: it is tried again every second.
            what = error.problems[0].what
            if what != self._told:
                log.error("the schedule could not be read", extra={"action": "alert", "what": what})  # noqa: TRY400 - in words
            self._told = what
            return
        self._told, self._paused = "", frozenset(paused)
        for name, entry in self._entries.items():
            if name in self._running:
                continue
            at = None if name in paused else max(due_at(entry, known[name], now), self._not_before.get(name, now))
            if self._scheduler.get_job(name).next_run_time != at:
                self._scheduler.modify_job(name, next_run_time=at)

    def _begin(self, entry: Entry) -> None:
        """Run a job, if it is still due: between two turns somebody may have run it, and nobody runs it twice."""
        self._running.add(entry.name)
        try:
            now = self._clock()
            with self._database.session() as session:
                job, held = jobs.jobs(session)[entry.name], entry.name in jobs.pauses(session, now)
            if held or self._over.is_set() or due_at(entry, job, now) > now:
                return
            if dropped := missed(entry, job, now):
                extra = {"action": "job_missed", "job": entry.name, "count": dropped}
                log.warning("runs of a job were missed; it runs once", extra=extra)
            log.info("a job begins", extra={"action": "job_begins", "job": entry.name})
            ran = run_job(
                self._database, entry.name, self._run, clock=self._clock, stop=partial(self._stops, entry.name)
            )
        except Busy:
            # Somebody runs it by hand, and that run counts.
            self._not_before[entry.name] = self._clock() + _AGAIN
        except StoreError as error:
            extra = {"action": "alert", "job": entry.name, "what": error.problems[0].what}
            log.error("a job could not be marked", extra=extra)  # noqa: TRY400 - said in words
            self._not_before[entry.name] = self._clock() + _AGAIN
        except Exception as error:  # noqa: BLE001 - nobody looks at what a thread raises
            extra = {"action": "job_failed", "job": entry.name, "error": type(error).__name__}
            log.error("a job failed", extra=extra)  # noqa: TRY400 - a traceback could quote a person's data
            self._not_before[entry.name] = self._clock() + _AGAIN
        else:
            _tell(entry.name, ran)
            self._seen(entry.name, ran)
        finally:
            self._running.discard(entry.name)

    def _stops(self, name: str) -> bool:
        return self._halt.is_set() or self._over.is_set() or name in self._paused


def _scheduler(at_once: int) -> "BackgroundScheduler":
    from apscheduler.executors.pool import ThreadPoolExecutor
    from apscheduler.schedulers.background import BackgroundScheduler

    return BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(max(1, at_once))},
        # However many runs were missed, and however long ago: one, now.
        job_defaults={"coalesce": True, "misfire_grace_time": None, "max_instances": 1},
        timezone="UTC",
    )


def _trigger(entry: Entry) -> "BaseTrigger":
    """
    The entry's own times.

    APScheduler's cron runs a daily job twice in the hour that comes twice, and never in the hour that is left out.
    """
    from apscheduler.triggers.base import BaseTrigger

    class Times(BaseTrigger):  # type: ignore[misc] # it has no types
        def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime | None:
            return next(entry.after(now), None)

    return Times()


def _tell(name: str, ran: Ran) -> None:
    if ran.state == "failed":
        log.error("a job failed", extra={"action": "job_failed", "job": name, "error": ran.error, "where": ran.where})
    for problem in ran.problems if ran.state == "refused" else ():
        extra = {"action": "job_refused", "job": name, "what": said(problem), "mend": problem.mend}
        log.error("a job could not run", extra=extra)
    if not ran.problems:
        log.info("a job ended", extra={"action": "job_ended", "job": name, "counts": dict(ran.counts)})


@contextmanager
def until_signal(halt: threading.Event) -> Iterator[None]:
    """Set `halt` at SIGTERM or SIGINT for the length of the block; in another thread than the main one, never."""
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
