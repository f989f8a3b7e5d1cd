"""
Borrowers who wait for a seat in a limited queue: decided once, for every way in which the seats may be given out.

What would be written is put aside as rows, pressed together, so that the waiting of a whole book fit into memory.
"""

import pickle
import zlib
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from engine.decision import Decision
from workflows.deciding.allotment import Claim, Closed, options_of
from workflows.deciding.recording import Recorded

_OPEN: Closed = frozenset()


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


def recorded(waiting: Sequence[Decided], capacity: Mapping[str, int]) -> list[Waits]:
    """
    These with what would be written of them, however the seats are given out over the whole book.

    Of most it is known by now that the first queue they ask turns them away: it cannot seat even those of this chunk
    who come before them. What would be written if it did not is not made.
    """
    certain = _turned_away(waiting, capacity)
    return [
        Waits(
            one.borrower,
            one.versions,
            one.claims,
            {
                closed: one.record(way)
                for closed, way in one.decisions.items()
                if certain.get(one.borrower, _OPEN) <= closed
            },
        )
        for one in waiting
    ]


def _turned_away(waiting: Collection[Decided], capacity: Mapping[str, int]) -> dict[int, Closed]:
    """By borrower the queue that has no seat for them, whoever else may want one."""
    wanted: defaultdict[tuple[str, date], list[tuple[tuple[object, ...], int]]] = defaultdict(list)
    for one in waiting:
        for claim in one.claims[_OPEN]:
            wanted[claim.queue, claim.day].append((claim.rank, one.borrower))
    # Of several queues that turn somebody away at once only the first is closed, which it takes the whole book to tell.
    asks_one = {one.borrower for one in waiting if len({claim.queue for claim in one.claims[_OPEN]}) == 1}
    return {
        borrower: frozenset({queue})
        for (queue, _), claims in wanted.items()
        for _, borrower in sorted(claims)[capacity[queue] :]
        if borrower in asks_one
    }


def put_aside(waiting: list[Waits]) -> bytes:
    """The waiting of one chunk, small enough to be kept until the whole book has been looked at."""
    return zlib.compress(pickle.dumps(waiting), level=1)


def taken_up(aside: bytes) -> dict[int, Waits]:
    """Those whom `put_aside` put aside, by borrower. Our own words, from our own memory."""
    waiting: list[Waits] = pickle.loads(zlib.decompress(aside))  # noqa: S301 - nobody else can have written them
    return {one.borrower: one for one in waiting}
