"""Whoever handles the inbox beside the listening: one thread, woken when something new has been committed."""

import logging
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Final

from duecourse.jobs import Jobs
from engine.errors import DuecourseError
from store.db import Database
from workflows.inbox.handling import is_waiting

log = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 5.0
"""How often it looks by itself: for what was put off, and what another process left."""
_BUSY_SECONDS: Final = 0.5
"""How soon it looks again while something waits: another process is at it, or the database was away."""


class Worker:
    """
    Handles what waits until it is stopped. What it cannot handle stays in the inbox, for it or for the scheduler.

    Args:
        jobs: knows the workspace as it is now, whoever has edited it.
    """

    def __init__(self, jobs: Jobs, database: Database, clock: Callable[[], datetime]) -> None:
        self._jobs, self._database, self._clock = jobs, database, clock
        self._wake, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="inbox", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def wake(self) -> None:
        """Something new waits."""
        self._wake.set()

    def is_alive(self) -> bool:
        """Whether it works."""
        return self._thread.is_alive()

    def stop(self) -> None:
        """End what is under way, and no more."""
        self._stop.set()
        self._wake.set()
        self._thread.join()

    def _run(self) -> None:
        seconds, told = 0.0, ""
        while not self._stop.is_set():
            self._wake.wait(seconds)
            self._wake.clear()
            seconds = _LOOK_SECONDS
            try:
                if is_waiting(self._database, self._clock()):
                    self._jobs.run("inbox", self._stop.is_set)
                    seconds = _BUSY_SECONDS if is_waiting(self._database, self._clock()) else seconds
                told = ""
            except DuecourseError as error:
                # The same once: it is tried again every few seconds.
                problem = error.problems[0]
                if problem.what != told:
                    extra = {"action": "job_refused", "job": "inbox", "what": problem.what, "mend": problem.mend}
                    log.error("the inbox could not be handled", extra=extra)  # noqa: TRY400 - said in words
                told = problem.what
            except Exception as error:  # noqa: BLE001 - whatever one thing did, the next is handled
                extra = {"action": "job_failed", "job": "inbox", "error": type(error).__name__}
                log.error("the inbox could not be handled", extra=extra)  # noqa: TRY400 - a traceback may quote people
