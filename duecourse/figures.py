"""
What Prometheus is told: how the book stands, and what this process has done. Counts and times only, nothing about anybody.

Labels come from our own words (channels, jobs, states) or, where others choose them (codes), are few and checked.
"""

import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Final, TypeVar

from engine.errors import StoreError
from workflows.scheduling.job_run import Ran
from workflows.scheduling.status import Status

if TYPE_CHECKING:
    from prometheus_client.core import GaugeMetricFamily

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_FRESH_SECONDS: Final = 5.0
"""However many ask, the book is asked no more often than that."""
_Labels = TypeVar("_Labels", bound=tuple[str, ...])
_CODES_MAX: Final = 20
_CODE: Final = re.compile(r"(?!.*[0-9]{6})[A-Za-z0-9 .:_-]{1,24}")
"""What may be a label: short, and with no run of digits that could be part of somebody's number."""


class Figures:
    """
    The figures of one process.

    Args:
        read: how the book stands now; raises StoreError where it cannot be read.
    """

    def __init__(self, read: Callable[[], Status]) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._registry.register(_Book(read))
        of = self._registry
        self._acting = Gauge("duecourse_scheduler_acts", "Whether this process keeps the schedule.", registry=of)
        self._runs = Counter("duecourse_job_runs", "Runs of jobs that ended here.", ("job", "state"), registry=of)
        self._seconds = Histogram(
            "duecourse_job_seconds",
            "How long they took.",
            ("job",),
            registry=of,
            buckets=(0.1, 1, 10, 60, 300, 1800, 7200),
        )
        self._things = Counter("duecourse_job_things", "How much of what they did.", ("job", "what"), registry=of)
        self._requests = Counter("duecourse_requests", "Requests answered here.", ("door", "status"), registry=of)

    def acts(self, now: Callable[[], bool]) -> None:
        """Ask, at each look, whether this process keeps the schedule."""
        self._acting.set_function(lambda: float(now()))

    def ran(self, job: str, ran: Ran) -> None:
        """A job's run has ended."""
        self._runs.labels(job, ran.state).inc()
        self._seconds.labels(job).observe(ran.seconds)
        for what, count in ran.counts.items():
            self._things.labels(job, what).inc(count)

    def answered(self, door: str, status: int) -> None:
        """A request has been answered; `door` is one of ours, whatever was asked for."""
        self._requests.labels(door, str(status)).inc()

    def text(self) -> bytes:
        """Everything, as Prometheus reads it."""
        from prometheus_client import generate_latest

        return generate_latest(self._registry)


class _Book:
    """How the book stands, asked at most every few seconds."""

    def __init__(self, read: Callable[[], Status]) -> None:
        self._read, self._lock = read, threading.Lock()
        self._found: Status | None = None
        self._until = 0.0

    def describe(self) -> "list[GaugeMetricFamily]":
        """Nothing is read before somebody asks."""
        return []

    def collect(self) -> "Iterator[GaugeMetricFamily]":
        """The gauges."""
        with self._lock:
            if time.monotonic() >= self._until:
                try:
                    self._found = self._read()
                except StoreError:
                    # What was so a while ago must not look like what is.
                    self._found = None
                self._until = time.monotonic() + _FRESH_SECONDS
            found = self._found
        yield _gauge("duecourse_book_readable", "Whether the book can be read.", float(found is not None))
        if found is not None:
            yield from _of_contacts(found)
            yield from _of_jobs(found)
            yield from _of_the_rest(found)


def _of_contacts(found: Status) -> "Iterator[GaugeMetricFamily]":
    due = {(one.channel,): float(one.due) for one in found.backlog}
    yield _gauges("duecourse_contacts_due", "Contacts that should have left by now.", ("channel",), due)
    waits = {(one.channel,): _since(found.at, one.since) for one in found.backlog if one.since is not None}
    yield _gauges("duecourse_contacts_due_seconds", "How long the oldest of them waits.", ("channel",), waits)
    later = {(one.channel,): float(one.later) for one in found.backlog}
    yield _gauges("duecourse_contacts_later", "Contacts planned for later.", ("channel",), later)
    yield _gauge("duecourse_contacts_in_hand", "Contacts that workers have in hand.", found.leaving.in_hand)
    yield _gauge("duecourse_contacts_lapsed", "Of these, those held longer than allowed.", found.leaving.lapsed)
    ages = {(age.replace(" ", "_"),): float(count) for age, count in found.doubts_by_age().items()}
    yield _gauges("duecourse_contacts_in_doubt", "Contacts that may or may not have been made.", ("age",), ages)
    left = sum(doubt.left for doubt in found.doubts)
    yield _gauge("duecourse_contacts_left_to_people", "Of these, those that a person has to settle.", left)
    failed: dict[tuple[str, ...], float] = {}
    for number, one in enumerate(found.failures):
        code = one.code if number < _CODES_MAX and _CODE.fullmatch(one.code) else ("other" if one.code else "none")
        key = (one.channel, code)
        failed[key] = failed.get(key, 0.0) + one.count
    yield _gauges("duecourse_contacts_failed_24h", "Contacts that failed in 24 hours.", ("channel", "code"), failed)


def _of_jobs(found: Status) -> "Iterator[GaugeMetricFamily]":
    job = ("job",)
    began = {(line.entry.name,): line.job.began_at.timestamp() for line in found.jobs if line.job and line.job.began_at}
    yield _gauges("duecourse_job_began_timestamp_seconds", "When it last began.", job, began)
    done = {(line.entry.name,): line.job.done_at.timestamp() for line in found.jobs if line.job and line.job.done_at}
    yield _gauges("duecourse_job_done_timestamp_seconds", "When it last ended well.", job, done)
    took = {(line.entry.name,): line.seconds for line in found.jobs if line.seconds is not None}
    yield _gauges("duecourse_job_last_seconds", "How long its last run took.", job, took)
    failures = {(line.entry.name,): float(line.job.failures) for line in found.jobs if line.job}
    yield _gauges("duecourse_job_failures", "Runs in a row that did not end well.", job, failures)
    overdue = {(line.entry.name,): float(line.overdue) for line in found.jobs}
    yield _gauges("duecourse_job_overdue", "Whether it should have begun.", job, overdue)
    paused = {(line.entry.name,): float(line.pause is not None) for line in found.jobs}
    yield _gauges("duecourse_job_paused", "Whether somebody holds it back.", job, paused)
    yield _gauge(
        "duecourse_scheduler_present", "Whether any process keeps the schedule.", float(found.acting is not None)
    )


def _of_the_rest(found: Status) -> "Iterator[GaugeMetricFamily]":
    yield _gauge("duecourse_sending", "Whether sending is on.", float(found.sending))
    yield _gauge("duecourse_brakes", "How many brakes are on.", len(found.brakes))
    yield _gauge("duecourse_inbox_waiting", "Things from outside that wait to be handled.", found.inbox.waiting)
    waits = _since(found.at, found.inbox.since) if found.inbox.since is not None else 0.0
    yield _gauge("duecourse_inbox_waiting_seconds", "How long the oldest of them waits.", waits)
    yield _gauge("duecourse_inbox_parked", "Things from outside that wait for a person.", found.inbox.parked)
    feeds = {(kind,): _since(found.at, as_of) for kind, as_of in found.feeds.items()}
    yield _gauges("duecourse_feed_age_seconds", "How old the newest content of a kind of file is.", ("kind",), feeds)
    yield _gauge("duecourse_log_unsequenced", "Entries of the log without a position.", found.log.unsequenced)
    if found.log.signed_at is not None:
        yield _gauge(
            "duecourse_log_signed_seconds", "How long ago it was signed.", _since(found.at, found.log.signed_at)
        )
    yield _gauge("duecourse_problems", "Things that somebody has to look at: `duecourse status`.", len(found.problems))


def _since(now: datetime, at: datetime) -> float:
    return (now - at).total_seconds()


def _gauge(name: str, about: str, value: float) -> "GaugeMetricFamily":
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(name, about, value=value)


def _gauges(name: str, about: str, labels: tuple[str, ...], values: Mapping[_Labels, float]) -> "GaugeMetricFamily":
    from prometheus_client.core import GaugeMetricFamily

    family = GaugeMetricFamily(name, about, labels=labels)
    for of, value in values.items():
        family.add_metric(of, value)
    return family
