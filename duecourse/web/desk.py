"""What every endpoint works with: the book, the clock, and a few threads in which the database may be waited for."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, TypeVar

from config.settings import Settings
from duecourse.figures import Figures
from duecourse.incoming import nonce
from duecourse.providers import Inward
from store.db import Database
from store.inbox import put
from workflows.inbox.arriving import Received, arrival_of

_THREADS: Final = 8
"""As many requests write or read at once; the others wait their turn. Below what the database's pool holds."""

_T = TypeVar("_T")


@dataclass
class Desk:
    """
    Bound to one workspace.

    Attributes:
        inward: reads what providers send.
        wake: told when something new waits in the inbox.
        is_alive: whether whoever handles it is there.
        figures: what is counted here, and how the book stands.
    """

    settings: Settings
    database: Database
    inward: Inward
    clock: Callable[[], datetime]
    wake: Callable[[], None]
    is_alive: Callable[[], bool]
    figures: Figures
    _threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(_THREADS, "desk"))

    async def at(self, work: Callable[[], _T]) -> _T:
        """Do something that may wait, without keeping other requests waiting."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def keep(self, received: Sequence[Received]) -> None:
        """
        Write down what came; once this returns it is committed, and nobody needs to send it again.

        Raises:
            StoreError: it could not be written, and whoever sent it shall send it again.
        """
        with self.database.write() as session:
            new = put(session, [arrival_of(one, nonce=nonce) for one in received], now=self.clock())
        if new:
            self.wake()

    def close(self) -> None:
        """Let what is under way end."""
        self._threads.shutdown()
