"""
A pool of sender numbers: each addressee always hears from the same one, and none sends faster than carriers allow.

Carriers limit each number (about one text a second for an ordinary US number), and people know a sender by its number.
"""

import asyncio
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

Digest = Callable[[str], bytes]
"""A keyed hash of a text; whoever does not know the key cannot tell who hears from which number."""


def keyed_digest(key: str) -> Digest:
    """A hash under a key, e.g. the account's secret."""
    secret = key.encode()
    return lambda text: hmac.digest(secret, text.encode(), "sha256")


def sender_for(to: str, numbers: Sequence[str], digest: Digest) -> str:
    """
    The number that an addressee hears from: the same for ever, and evenly dealt.

    A number that joins the pool takes over a fair share of addressees, one that leaves gives back its own; nobody else
    changes (highest random weight).
    """
    return max(sorted(numbers), key=lambda number: digest(f"{number} {to}"))


@dataclass(slots=True)
class Pace:
    """
    Turns at each sender, of this process, in order of asking.

    Attributes:
        per_second: of one number; None: as fast as it goes.
        wait_seconds_max: who would have to wait longer gets no turn.
    """

    per_second: float | None
    wait_seconds_max: float
    _free_at: dict[str, float] = field(default_factory=dict)

    async def turn(self, number: str) -> bool:
        """Wait for a turn; False: none is free soon enough, and nothing was used up."""
        if self.per_second is None:
            return True
        now = asyncio.get_running_loop().time()
        at = max(now, self._free_at.get(number, 0))
        if at - now > self.wait_seconds_max:
            return False
        self._free_at[number] = at + 1 / self.per_second
        await asyncio.sleep(at - now)
        return True
