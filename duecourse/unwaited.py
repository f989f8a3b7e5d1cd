"""Event loops that end when their work does, and wait for no name that is still being looked up."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """
    Do as `asyncio.run` does, but leave behind what a thread of the loop is still at when the work is over.

    `asyncio.run` joins these threads, and so does the interpreter at its end. What runs in them is the machine's resolver,
    which knows no time-out of ours: with a name server that is silent a stop took as long as it gives up on its own.
    """

    async def main() -> _T:
        asyncio.get_running_loop().set_default_executor(_Unwaited())
        return await work

    return asyncio.run(main())


class _Unwaited(ThreadPoolExecutor):
    """
    A daemon thread for each task, and nobody who joins it.

    Only for what may be left half-way; as many at once as there are connections being opened.
    """

    def submit(self, task: Callable[..., _T], /, *given: Any, **named: Any) -> "Future[_T]":
        future: Future[_T] = Future()

        def work() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(task(*given, **named))
            except BaseException as error:  # noqa: BLE001 - it is the future's, as in any executor
                future.set_exception(error)

        threading.Thread(target=work, name="look-up", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nothing to wait for."""
