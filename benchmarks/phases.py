"""Where the time of a run goes: functions of the product are timed from outside, each second counted once."""

import resource
import time
from collections import defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from typing import Any


class Phases:
    """
    Seconds by phase. Of phases that run inside one another the inner one gets the time.

    Attributes:
        seconds: phase -> seconds spent in it so far.
    """

    def __init__(self) -> None:
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def phase(self, name: str) -> Generator[None]:
        """Count the block to that phase."""
        self._turn()
        self._open.append(name)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def time(self, owner: Any, function: str, phase: str) -> None:
        """Put a timed function in the place of a module's or class's own."""
        plain: Callable[..., Any] = getattr(owner, function)

        @wraps(plain)
        def timed(*args: Any, **named: Any) -> Any:
            with self.phase(phase):
                result = plain(*args, **named)
                # A generator has done nothing yet: its work belongs here, not to whoever draws on it.
                return list(result) if isinstance(result, Generator) else result

        setattr(owner, function, timed)

    def time_block(self, owner: Any, function: str, phase: str) -> None:
        """The same for a context manager: its entry and its exit are timed, the block within is not."""
        plain: Callable[..., Any] = getattr(owner, function)

        @contextmanager
        def timed(*args: Any, **named: Any) -> Generator[Any]:
            block = plain(*args, **named)
            with self.phase(phase):
                value = block.__enter__()
            try:
                yield value
            except BaseException as error:
                if not block.__exit__(type(error), error, error.__traceback__):
                    raise
            else:
                with self.phase(phase):
                    block.__exit__(None, None, None)

        setattr(owner, function, timed)

    def _turn(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


def peak_mib(children: int = 0) -> int:
    """
    The most memory this process has held at once, in MiB, and so many others that it started and that have ended.

    Of those the largest counts for each: more than they can have held together, never less.
    """
    # Linux counts in KiB, and starts from what the process that started this one held: that one must stay small.
    own, other = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (own + children * other) // 1024


def processor_seconds() -> float:
    """The processor time of this process and of those it started that have ended; not that of a database server."""
    spent = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in spent)
