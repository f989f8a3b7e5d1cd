"""
Who gets the seats of a limited work queue: deferred acceptance over the whole book, after the gate.

Every borrower first claims what their best candidate needs. Each queue keeps its best-ranked claims up
to its capacity and turns the rest away; whoever is turned away is decided again with that queue closed
and may claim another, where they compete with those who hold a seat so far. This ends, and its result
depends on the ranking alone, never on the order or the chunks in which borrowers are looked at.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from engine.decision import Decision
from engine.tree import FactValue

if TYPE_CHECKING:
    from store.bulk_arrow import Reader

Closed = frozenset[str]
"""The queues that turned a borrower away."""

OPEN: Final[Closed] = frozenset()
"""None did, so far."""

_RANK_DIGITS: Final = 20
_RANK_BYTES: Final = 7


@dataclass(frozen=True, slots=True)
class Queue:
    """
    A work queue: how much it can take in a day, and whose turn comes first.

    Attributes:
        capacity_per_day: contacts a day, or None for no limit.
        rank_by: (fact, descending), most important first; equals are told apart by borrower id.
        skills: what whoever works it must be able to do; shown, not judged.
    """

    name: str
    capacity_per_day: int | None = None
    rank_by: tuple[tuple[str, bool], ...] = ()
    skills: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Claim:
    """One contact that needs a seat in a limited queue on a day, and its rank there (lowest first)."""

    queue: str
    day: date
    rank: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Claimant:
    """A borrower and what they claim for each set of closed queues they can meet."""

    borrower: int
    options: Mapping[Closed, tuple[Claim, ...]]


Seats = Mapping[tuple[str, date], int]
"""How many contacts each queue already holds for each day."""


def limited(queues: Mapping[str, Queue]) -> dict[str, int]:
    """Name -> capacity of the queues that have one."""
    return {name: q.capacity_per_day for name, q in queues.items() if q.capacity_per_day is not None}


def claims_of(
    decision: Decision, facts: Mapping[int, Mapping[str, FactValue]], queues: Mapping[str, Queue], zone: ZoneInfo
) -> tuple[Claim, ...]:
    """
    The seats a decision needs, one per contact that goes to a limited queue.

    Args:
        facts: by loan id, to rank by.
        zone: where the lender works: says on which day's list a contact stands.
    """
    claims: list[Claim] = []
    for loan in decision.loans:
        for n, contact in enumerate(loan.contacts):
            queue = queues.get(contact.queue or "")
            if queue is None or queue.capacity_per_day is None:
                continue
            order = tuple(_rank(facts[loan.loan].get(name), descending) for name, descending in queue.rank_by)
            day = local_day(contact.not_before, zone)
            claims.append(Claim(queue.name, day, (*order, decision.borrower, loan.loan, n)))
    return tuple(claims)


def rank_text(queue: Queue, facts: Mapping[str, FactValue]) -> str:
    """
    A task's place in its queue as a text: those that sort first come first, on every database.

    Digits and small letters alone, because databases do not agree on how anything else sorts. Of a fact that is a text
    the first characters count.
    """
    return "".join(_rank_digits(facts.get(name), descending) for name, descending in queue.rank_by)


def _rank_digits(value: FactValue, descending: bool) -> str:
    if value is None:
        return "9" + "0" * _RANK_DIGITS
    number = (
        int.from_bytes(value.encode()[:_RANK_BYTES].ljust(_RANK_BYTES, b"\0")) if isinstance(value, str) else int(value)
    )
    # Around the middle, so that what is below zero sorts before what is above.
    middle = 10**_RANK_DIGITS // 2
    return f"0{middle + max(-middle, min(middle - 1, -number if descending else number)):0{_RANK_DIGITS}}"


def local_day(at: datetime, zone: ZoneInfo) -> date:
    """The calendar day of an instant where the lender works."""
    return at.astimezone(zone).date()


def seats_taken(source: "Reader", queues: Sequence[str], *, now: datetime, zone: ZoneInfo) -> Seats:
    """The seats that contacts planned earlier fill, for today and later."""
    # Whoever only reads the queues' file needs no database library: `rules check` is to feel instant.
    from sqlalchemy import select

    from store.bulk_arrow import table_of
    from store.columns import from_us

    contact = table_of("contact")
    since = datetime.combine(local_day(now, zone), time(), zone)
    rows = source.read(
        select(contact.c.queue, contact.c.not_before_at).where(
            contact.c.queue.in_(queues),
            contact.c.not_before_at >= since,
            contact.c.status.not_in(("cancelled", "expired")),
        )
    )
    pairs = zip(rows["queue"].to_pylist(), rows["not_before_at"].to_pylist(), strict=True)
    return Counter((queue, local_day(from_us(at), zone)) for queue, at in pairs)


class OpenSeats:
    """
    The free seats of limited queues, taken one decision after the other.

    Attributes:
        before: seats that contacts planned earlier fill.
        asked: whether anybody wanted to know.
    """

    def __init__(self, queues: Mapping[str, Queue], taken: Seats, *, now: datetime, zone: ZoneInfo) -> None:
        self._capacity = limited(queues)
        self._today = local_day(now, zone)
        self._zone = zone
        self.before = taken
        self._taken = Counter(taken)
        self.asked = False

    def open(self, _loan: int, queue: str) -> bool:
        """Whether a queue has a seat today."""
        capacity = self._capacity.get(queue)
        self.asked |= capacity is not None
        return capacity is None or self._taken[queue, self._today] < capacity

    def take(self, decision: Decision) -> None:
        """The seats of a decision's contacts."""
        for loan in decision.loans:
            for contact in loan.contacts:
                if contact.queue in self._capacity:
                    self._taken[contact.queue, local_day(contact.not_before, self._zone)] += 1


def options_of(decide: Callable[[Closed], tuple[Claim, ...]]) -> dict[Closed, tuple[Claim, ...]]:
    """
    Everything a borrower can come to claim, whichever queues turn them away, in whichever order.

    Args:
        decide: the claims with these queues closed; none to begin with.
    """
    options: dict[Closed, tuple[Claim, ...]] = {}
    ahead: list[Closed] = [frozenset()]
    while ahead:
        closed = ahead.pop()
        if closed not in options:
            options[closed] = decide(closed)
            ahead += [closed | {claim.queue} for claim in options[closed]]
    return options


def turned_away(claimants: Collection[Claimant], capacity: Mapping[str, int]) -> dict[int, Closed]:
    """By borrower the queue that has no seat for them, whoever else may want one."""
    return _closed_at_once(claimants, Counter(_beyond(claimants, capacity)))


def _closed_at_once(claimants: Iterable[Claimant], beyond: Mapping[int, int]) -> dict[int, Closed]:
    closed = {}
    alone: dict[str, Closed] = {}  # there are many borrowers, and few queues
    for one in claimants:
        if one.borrower in beyond:
            # Of several queues that turn somebody away at once only the first is closed, which it takes the whole book to tell.
            queue, *others = {claim.queue for claim in one.options[OPEN]}
            if not others:
                closed[one.borrower] = alone.setdefault(queue, frozenset({queue}))
    return closed


def _beyond(claimants: Iterable[Claimant], capacity: Mapping[str, int]) -> Iterator[int]:
    """The borrower of each claim that finds no seat: as many others as there are seats come before it."""
    wanted: defaultdict[tuple[str, date], list[tuple[tuple[object, ...], int]]] = defaultdict(list)
    for one in claimants:
        for claim in one.options[OPEN]:
            wanted[claim.queue, claim.day].append((claim.rank, one.borrower))
    for (queue, _), claims in wanted.items():
        for _, borrower in sorted(claims)[capacity[queue] :]:
            yield borrower


class Candidates:
    """
    Everybody who wants a seat, as the chunks of a book bring them.

    Whose every claim comes behind as many others as there are seats is turned away whatever is still to come, and
    stands in nobody's way: if they want nothing else then, that is all that is kept of them. So memory is bounded by the
    seats, and by who would take another.
    """

    def __init__(self, queues: Mapping[str, Queue]) -> None:
        self._queues = queues
        self._hopeful: list[Claimant] = []
        self._sifted = 0
        self._refused: dict[int, Closed] = {}

    def add(self, claimants: Iterable[Claimant]) -> None:
        """Those of another chunk."""
        self._hopeful += claimants
        if len(self._hopeful) <= 2 * self._sifted:
            return  # sifted when they are twice as many, so that it takes no longer than the chunks did
        beyond, hopeful = Counter(_beyond(self._hopeful, limited(self._queues))), []
        away = _closed_at_once(self._hopeful, beyond)
        for one in self._hopeful:
            closed = away.get(one.borrower, OPEN)
            if beyond[one.borrower] < len(one.options[OPEN]) or one.options[closed]:
                hopeful.append(one)
            else:
                self._refused[one.borrower] = closed
        self._hopeful, self._sifted = hopeful, len(hopeful)

    def allotted(self, taken: Seats) -> Mapping[int, Closed]:
        """What `allot` says of all of them."""
        return self._refused | allot(self._hopeful, self._queues, taken)


def allot(claimants: Iterable[Claimant], queues: Mapping[str, Queue], taken: Seats) -> dict[int, Closed]:
    """
    Give the seats out.

    Args:
        taken: seats that contacts planned earlier already fill.
    Returns:
        for each borrower the queues that are closed to them. What they claim then, they have.
    """
    capacity = limited(queues)
    by_borrower = {claimant.borrower: claimant for claimant in claimants}
    closed: dict[int, Closed] = dict.fromkeys(by_borrower, frozenset())
    moved = set(by_borrower)
    # Every round closes at least one queue to at least one borrower, so the loop is bounded by their product.
    for _ in range(len(by_borrower) * len(capacity) + 1):
        if not moved:
            break
        wanted: defaultdict[tuple[str, date], list[tuple[tuple[object, ...], int]]] = defaultdict(list)
        for borrower, claimant in by_borrower.items():
            for claim in claimant.options[closed[borrower]]:
                wanted[claim.queue, claim.day].append((claim.rank, borrower))
        moved = set()
        for (queue, day), claims in sorted(wanted.items(), key=lambda item: item[0]):
            free = max(0, capacity[queue] - taken.get((queue, day), 0))
            if len(claims) <= free:
                continue
            for _rank_there, borrower in sorted(claims)[free:]:
                if borrower not in moved:  # turned away by two at once: one is closed now, the other asked again
                    closed[borrower] |= {queue}
                    moved.add(borrower)
    return closed


def _rank(value: FactValue, descending: bool) -> tuple[bool, object]:
    """A sort key within one fact; unknown comes last whichever way the fact is ranked."""
    if value is None:
        return (True, 0)
    if isinstance(value, str):
        return (False, (*tuple(-ord(c) for c in value), 1) if descending else tuple(ord(c) for c in value))
    return (False, -int(value) if descending else int(value))
