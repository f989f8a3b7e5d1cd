"""
Time that passes only when the simulation says so: event loops that never wait, and dispatch's desk without its thread.

With both, one seed gives one order of everything that happens, however busy the machine is that runs it.
"""

import asyncio
import math
import selectors
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

_SECOND = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass
class Time:
    """The true time, in microseconds since 1970 UTC. Clocks on the wall of a machine may go wrong; this never does."""

    us: int

    def pass_by(self, seconds: float) -> None:
        """Let that long pass, rounded up."""
        self.us += math.ceil(max(0.0, seconds) * _SECOND)

    def reach(self, at: datetime) -> None:
        """Let time pass until then; nothing, where it is later already."""
        self.us = max(self.us, us_of(at))

    def at(self, *, ahead: int = 0) -> datetime:
        """The instant on a clock that is so many microseconds ahead."""
        return _EPOCH + timedelta(microseconds=self.us + ahead)


def us_of(at: datetime) -> int:
    """Microseconds since 1970 UTC."""
    return (at - _EPOCH) // timedelta(microseconds=1)


class _Selector(selectors.SelectSelector):
    """Waits for a timer by letting simulated time pass; there is nothing else to wait for."""

    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("an event loop of the simulation waits for something that cannot come")
        self._time.pass_by(timeout)
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, time: Time) -> None:
        super().__init__(_Selector(time))
        self._simulated, self._born = time, time.us

    def time(self) -> float:
        # From the loop's birth: a float of seconds since 1970 is too coarse for a loop to tell two timers apart.
        return (self._simulated.us - self._born) / _SECOND

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - its signature
        """End it here: the standard library does so in a thread, and how soon that comes is the machine's affair."""
        if self._default_executor is not None:
            self._default_executor.shutdown(wait=True)


class _Policy(asyncio.DefaultEventLoopPolicy):
    def __init__(self, time: Time) -> None:
        super().__init__()
        self._time = time

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        return _Loop(self._time)


class _Inline(ThreadPoolExecutor):
    """Does everything at once, in the thread that asks."""

    def submit(self, work: Callable[..., Any], /, *given: Any, **named: Any) -> "Future[Any]":
        future: Future[Any] = Future()
        try:
            future.set_result(work(*given, **named))
        except BaseException as error:  # noqa: BLE001 - it is the future's, as in a thread
            future.set_exception(error)
        return future


@contextmanager
def simulated(time: Time) -> Iterator[None]:
    """Every event loop that is begun within the block runs on this time, and dispatch has no thread of its own."""
    before = asyncio.get_event_loop_policy()
    asyncio.set_event_loop_policy(_Policy(time))
    try:
        with patch("workflows.sending.dispatch.ThreadPoolExecutor", _Inline):
            yield
    finally:
        asyncio.set_event_loop_policy(before)
