"""
Borrowers who wait for a seat in a limited queue: decided once, for every way in which the seats may be given out.

What would be written is put aside as rows, pressed together, so that the waiting of a whole book fit into memory.
"""

import pickle
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from engine.decision import Decision
from workflows.deciding.allotment import OPEN, Claim, Claimant, Closed, options_of, turned_away
from workflows.deciding.recording import Recorded
from workflows.deciding.seat_log import listed


class Waits(NamedTuple):
    """
    One who waits.

    Attributes:
        versions: person id -> `person.version` as it was read, of everybody the decision depends on.
        claims: what they claim, by the queues that are closed to them.
        recorded: what is written of them, for every way in which it may still come out.
    """

    borrower: int
    versions: Mapping[int, int]
    claims: Mapping[Closed, tuple[Claim, ...]]
    recorded: Mapping[Closed, Recorded]


@dataclass(frozen=True, slots=True)
class Waiting:
    """
    The waiting of one chunk.

    Attributes:
        wishes: what they want, as the log of seats has it.
        aside: what will be written of them (`taken_up`).
    """

    claimants: tuple[Claimant, ...]
    wishes: bytes
    aside: bytes


@dataclass(frozen=True, slots=True)
class Decided:
    """One who will have to wait, decided for every way in which it may come out; nothing is recorded yet."""

    borrower: int
    versions: Mapping[int, int]
    claims: Mapping[Closed, tuple[Claim, ...]]
    decisions: Mapping[Closed, Decision]
    record: Callable[[Decision], Recorded]


def every_way(
    decision: Decision,
    versions: Mapping[int, int],
    *,
    decide: Callable[[Closed], Decision],
    claims: Callable[[Decision], tuple[Claim, ...]],
    record: Callable[[Decision], Recorded],
) -> Decided | None:
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

    return Decided(decision.borrower, versions, options_of(claimed), decisions, record)


def put_aside(decided: Sequence[Decided], capacity: Mapping[str, int]) -> Waiting:
    """
    The waiting of a chunk, with what would be written of them however the seats are given out over the whole book.

    Of some it is known by now that the first queue they ask turns them away: it cannot seat even those of this chunk
    who come before them. What would be written if it did not is not made.

    Args:
        capacity: how many seats each limited queue has, taken ones among them.
    """
    claimants = tuple(Claimant(one.borrower, one.claims) for one in decided)
    certain = turned_away(claimants, capacity)
    waits = [
        Waits(
            one.borrower,
            one.versions,
            one.claims,
            {
                closed: one.record(way)
                for closed, way in one.decisions.items()
                if certain.get(one.borrower, OPEN) <= closed
            },
        )
        for one in decided
    ]
    return Waiting(claimants, listed(claimants), zlib.compress(pickle.dumps(waits), level=1))


def taken_up(aside: bytes) -> dict[int, Waits]:
    """What `put_aside` put aside, by borrower. Our own words, from our own memory."""
    waits: list[Waits] = pickle.loads(zlib.decompress(aside))  # noqa: S301 - nobody else can have written them
    return {one.borrower: one for one in waits}
