"""
Who got the seats of limited queues, derived again: from what each candidate wanted and what was free.

What a candidate wanted is itself derived, from what was read of them before the seats were given out.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Final

from engine.decision import Decision
from engine.difference import first_difference
from engine.explain_tree import ExplainNode
from engine.situation import Situation
from store.bulk_arrow import Reader
from store.snapshots import OF_THE_RUN, Unreadable, snapshots_of, unpack
from workflows.deciding.allotment import Claim, Closed, OpenSeats, claims_of, limited, options_of
from workflows.deciding.seat_log import SeatRound, read_round, wishes

NO_SEATS: Final = "nothing says how the seats of its queues were given out"
WISH: Final = "what it wanted of a limited queue comes out differently"

Decide = Callable[[Closed], Decision]
"""One borrower's decision with these queues closed."""


class SeatsAgain:
    """
    The seats of one run.

    Attributes:
        lost: why what was kept of them is of no use; empty: it is, or nothing was kept.
    """

    def __init__(self, reader: Reader, run: int) -> None:
        self.lost = ""
        self._rounds: dict[int, SeatRound] = {}
        self._checked: set[tuple[int, int]] = set()
        for snapshot in snapshots_of(reader, run, OF_THE_RUN):
            try:
                said = unpack(snapshot.content, snapshot.digest).seats
                seats = read_round(said or {})
                # Made at once: what is no giving out of seats shows here.
                if seats.closed.keys() == seats.candidates.keys():
                    self._rounds[snapshot.id or 0] = seats
            except Unreadable as error:
                self.lost = str(error)
            except (ValueError, TypeError, KeyError, AttributeError, ArithmeticError, RecursionError):
                self.lost = "its snapshot is not as it was packed"

    @property
    def known(self) -> bool:
        """Whether anything says how they were given out."""
        return bool(self._rounds)

    def one_by_one(self, now: datetime) -> OpenSeats | None:
        """The seats as the borrowers of an event took them; None where nothing was kept of them."""
        return self._rounds[max(self._rounds)].one_by_one(now) if self._rounds else None

    def decide(self, situation: Situation, decide: Decide) -> Decision:
        """A borrower's decision in a sweep, the queues closed that turned them away when they last were a candidate."""
        mine = [number for number, one in self._rounds.items() if situation.borrower.id in one.candidates]
        if not mine:
            return decide(frozenset())
        seats = self._rounds[max(mine)]
        closed = seats.closed[situation.borrower.id]
        decision = decide(closed)
        granted = seats.candidates[situation.borrower.id].options[closed]
        if _seats(_claims(seats, decision, situation)) <= _seats(granted):
            return decision
        # They changed after the seats were given out, and would take one that is somebody else's.
        return decide(frozenset(limited(seats.queues)))

    def wrong_wish(self, snapshot: int, situation: Situation, decide: Decide) -> ExplainNode | None:
        """
        Where what a borrower wanted is not what was kept of it.

        Args:
            snapshot: the newest with them before the seats were given out counts; to be asked from the newest on.
        """
        borrower = situation.borrower.id
        for number, seats in self._rounds.items():
            if number < snapshot or (number, borrower) in self._checked:
                continue
            self._checked.add((number, borrower))
            kept = seats.candidates.get(borrower)
            if kept is None and any(borrower in one.candidates for one in self._rounds.values()):
                continue  # a sweep that went on had decided about them before
            derived = options_of(lambda closed, seats=seats: _claims(seats, decide(closed), situation))  # type: ignore[misc]
            if kept is None and not derived[frozenset()]:
                continue
            found = first_difference(
                "what it wanted", wishes(kept.options) if kept is not None else [], wishes(derived)
            )
            if found is not None:
                return found
        return None


def _claims(seats: SeatRound, decision: Decision, situation: Situation) -> tuple[Claim, ...]:
    return claims_of(decision, {loan.id: loan.facts for loan in situation.loans}, seats.queues, seats.zone)


def _seats(claims: Iterable[Claim]) -> Counter[tuple[str, date]]:
    return Counter((claim.queue, claim.day) for claim in claims)
