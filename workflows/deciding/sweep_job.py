"""What the processes of a sweep tell each other: what they all decide with, the jobs, and what came of them."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from time import perf_counter
from zoneinfo import ZoneInfo

from engine.errors import Problem
from engine.gate import Gate
from engine.rulebook import Rulebook
from workflows.deciding.allotment import Closed, Queue
from workflows.deciding.run import Frozen
from workflows.deciding.waiting import Waiting


@dataclass(frozen=True, slots=True)
class Setup:
    """
    What a sweep decides with: the same for every chunk.

    Attributes:
        retry: loan id -> rules whose contact, called for by an event, the gate put off.
        write: False only counts what would be written.
        goes_on: the run was begun earlier, so that some borrowers may be decided already.
        spread: over how long messages are dealt, from when they may go; zero: all are due at once.
    """

    rulebook: Rulebook
    gate: Gate
    frozen: Frozen
    queues: Mapping[str, Queue]
    zone: ZoneInfo
    retry: Mapping[int, frozenset[str]]
    write: bool
    goes_on: bool
    spread: timedelta = timedelta(0)


@dataclass(frozen=True, slots=True)
class Job:
    """
    Some borrowers to be decided.

    Attributes:
        aside: what a first look at them put aside; None: this is the first look, with every queue open.
        closed: by borrower, the queues that turned out to be closed to them; of those put aside.
    """

    borrowers: Sequence[int]
    aside: bytes | None = None
    closed: Mapping[int, Closed] = field(default_factory=dict)


@dataclass(slots=True)
class Done:
    """
    What came of a job.

    Attributes:
        counts: what was written, as a run counts it.
        waiting: who has to wait for a seat; None: nobody.
        seconds: where the time went: read, decide, write.
        failed: why it was given up, nothing of it written; None: it was not.
    """

    counts: Counter[str] = field(default_factory=Counter)
    waiting: Waiting | None = None
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    failed: Problem | None = None

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Count the time of the block to a step."""
        start = perf_counter()
        try:
            yield
        finally:
            self.seconds[step] += perf_counter() - start
