"""
How the seats of limited queues were given out, kept with the run: what was free, and what every candidate wanted.

Who gets a seat follows from these alone, as `workflows.deciding.allotment` says; what a candidate wants follows from what was read
of them. Ids, ranks and days only.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

import orjson

from store.snapshots import pack_seats
from workflows.deciding.allotment import Claim, Claimant, Closed, OpenSeats, Queue, Seats, allot, limited


@dataclass(frozen=True)
class SeatRound:
    """
    One giving out of seats.

    Attributes:
        queues: those with a limit.
        taken: seats that contacts planned earlier filled.
        candidates: who wanted a seat, of a sweep; of events none: there seats are taken one borrower after the other.
    """

    queues: Mapping[str, Queue]
    zone: ZoneInfo
    taken: Seats
    candidates: Mapping[int, Claimant]

    @cached_property
    def closed(self) -> Mapping[int, Closed]:
        """The queues that turn each candidate away."""
        return allot(self.candidates.values(), self.queues, self.taken)

    def one_by_one(self, now: datetime) -> OpenSeats:
        """The seats as the borrowers of an event take them."""
        return OpenSeats(self.queues, self.taken, now=now, zone=self.zone)


def packed_round(
    queues: Mapping[str, Queue], zone: ZoneInfo, taken: Seats, candidates: Iterable[bytes], *, at: datetime
) -> bytes:
    """
    A giving out of seats, to be kept.

    Args:
        candidates: what they want, in portions (`listed`).
    """
    seats = {
        "zone": zone.key,
        "queues": [[name, capacity, queues[name].rank_by] for name, capacity in sorted(limited(queues).items())],
        "taken": [[queue, day.isoformat(), count] for (queue, day), count in sorted(taken.items())],
        "wishes": orjson.Fragment(b"[" + b",".join(candidates) + b"]"),
    }
    return pack_seats(seats, at=at)


def listed(candidates: Iterable[Claimant]) -> bytes:
    """What some candidates want: the elements of a JSON list."""
    return orjson.dumps([[one.borrower, wishes(one.options)] for one in candidates])[1:-1]


def wishes(options: Mapping[Closed, Sequence[Claim]]) -> list[list[Any]]:
    """What a candidate claims for each set of closed queues, as plain JSON in its one order."""
    return [
        [sorted(closed), [[claim.queue, claim.day.isoformat(), _listed(claim.rank)] for claim in claims]]
        for closed, claims in sorted(options.items(), key=lambda item: sorted(item[0]))
    ]


def read_round(said: Mapping[str, Any]) -> SeatRound:
    """
    What `packed_round` packed.

    Raises:
        ValueError: it is nothing of that kind.
    """
    try:
        queues = {
            name: Queue(name, capacity, tuple((fact, descending) for fact, descending in rank_by))
            for name, capacity, rank_by in said["queues"]
        }
        taken = {(queue, date.fromisoformat(day)): count for queue, day, count in said["taken"]}
        candidates = {borrower: Claimant(borrower, _options(plain)) for borrower, plain in said["wishes"]}
        seats = SeatRound(queues, ZoneInfo(said["zone"]), taken, candidates)
    except (KeyError, TypeError) as error:
        raise ValueError("no giving out of seats") from error
    if not all(type(count) is int for count in (*limited(queues).values(), *taken.values())):
        raise ValueError("a number of seats that is none")
    return seats


def _options(plain: Sequence[Any]) -> dict[Closed, tuple[Claim, ...]]:
    return {
        frozenset(closed): tuple(Claim(queue, date.fromisoformat(day), _ordered(rank)) for queue, day, rank in claims)
        for closed, claims in plain
    }


def _listed(rank: Any) -> Any:
    return [_listed(one) for one in rank] if isinstance(rank, tuple) else rank


def _ordered(rank: Any) -> Any:
    return tuple(_ordered(one) for one in rank) if isinstance(rank, list) else rank
