"""
Borrowers who wait for a seat in a limited queue: decided once, for every way in which the seats may be given out.

What would be written is put aside as rows, pressed together, so that the waiting of a whole book fit into memory.
"""

import pickle
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

from engine.decision import Decision
from workflows.allotment import Claim, Closed, options_of
from workflows.recording import Recorded


class Waits(NamedTuple):
    """
    One who waits.

    Attributes:
        versions: person id -> `person.version` as it was read, of everybody the decision depends on.
        claims, recorded: what they claim, and what is written of them, by the queues that are closed to them.
    """

    borrower: int
    versions: Mapping[int, int]
    claims: Mapping[Closed, tuple[Claim, ...]]
    recorded: Mapping[Closed, Recorded]


def waits(
    decision: Decision,
    versions: Mapping[int, int],
    *,
    decide: Callable[[Closed], Decision],
    claims: Callable[[Decision], tuple[Claim, ...]],
    record: Callable[[Decision], Recorded],
) -> Waits | None:
    """
    A borrower and every way it may come out for them; None for whoever needs no seat.

    Args:
        decision: with every queue open.
        decide: with some closed.
    """
    if not claims(decision):
        return None
    decisions: dict[Closed, Decision] = {}

    def claimed(closed: Closed) -> tuple[Claim, ...]:
        decisions[closed] = decide(closed) if closed else decision
        return claims(decisions[closed])

    options = options_of(claimed)
    return Waits(decision.borrower, versions, options, {closed: record(one) for closed, one in decisions.items()})


def put_aside(waiting: list[Waits]) -> bytes:
    """The waiting of one chunk, small enough to be kept until the whole book has been looked at."""
    return zlib.compress(pickle.dumps(waiting), level=1)


def taken_up(aside: bytes) -> dict[int, Waits]:
    """Those whom `put_aside` put aside, by borrower. Our own words, from our own memory."""
    waiting: list[Waits] = pickle.loads(zlib.decompress(aside))  # noqa: S301 - nobody else can have written them
    return {one.borrower: one for one in waiting}
