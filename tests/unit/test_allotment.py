"""Seats of limited queues: capacity holds, ranking decides, order does not, and nobody is left behind needlessly."""

from collections import Counter
from datetime import UTC, date, datetime
from itertools import permutations
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decision import Decision, LoanDecision, PlannedContact
from engine.tree import FactValue
from workflows.deciding.allotment import Claim, Claimant, Closed, Queue, allot, claims_of, limited, options_of

DAY = date(2026, 11, 24)
NONE: Closed = frozenset()
NOW = datetime(2026, 11, 24, 17, 0, tzinfo=UTC)


def claimant(borrower: int, *wishes: tuple[str, int]) -> Claimant:
    """A borrower who wants these queues one after the other, with a rank in each (lowest first)."""

    def decide(closed: Closed) -> tuple[Claim, ...]:
        return next(((Claim(q, DAY, (rank, borrower)),) for q, rank in wishes if q not in closed), ())

    return Claimant(borrower, options_of(decide))


def given_seats(people: list[Claimant], closed: dict[int, Closed]) -> dict[str, list[int]]:
    seats: dict[str, list[int]] = {}
    for person in people:
        for claim in person.options[closed[person.borrower]]:
            seats.setdefault(claim.queue, []).append(person.borrower)
    return seats


def test_who_is_turned_away_competes_for_the_next_queue_with_those_who_hold_a_seat() -> None:
    """A holder of the second queue gives way to somebody better who comes from the first."""
    people = [claimant(1, ("a", 1)), claimant(2, ("a", 2), ("b", 1)), claimant(3, ("b", 2), ("c", 9))]
    queues = {name: Queue(name, 1) for name in "abc"}
    closed = allot(people, queues, {})
    assert closed == {1: NONE, 2: frozenset("a"), 3: frozenset("b")}
    assert given_seats(people, closed) == {"a": [1], "b": [2], "c": [3]}


def test_seats_taken_before_are_gone_and_days_are_counted_apart() -> None:
    """A full day turns everybody away; tomorrow's list is another list."""
    tomorrow = Claimant(2, {NONE: (Claim("a", date(2026, 11, 25), (1,)),), frozenset("a"): ()})
    people = [claimant(1, ("a", 1)), tomorrow]
    assert allot(people, {"a": Queue("a", 1)}, {("a", DAY): 5}) == {1: frozenset("a"), 2: NONE}


PEOPLE = st.lists(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3)), max_size=3, unique_by=lambda wish: wish[0]), max_size=7
)  # fmt: skip
CAPACITIES = st.fixed_dictionaries({name: st.integers(0, 3) for name in "abc"})


@given(wishes=PEOPLE, capacities=CAPACITIES, chance=st.randoms(use_true_random=False))
def test_allotment_is_stable_and_blind_to_order(wishes, capacities, chance) -> None:  # type: ignore[no-untyped-def]
    """No queue is over its capacity; nobody misses a seat that stands empty or is held by somebody ranked lower."""
    people = [claimant(n, *own) for n, own in enumerate(wishes)]
    queues = {name: Queue(name, capacity) for name, capacity in capacities.items()}
    closed = allot(people, queues, {})
    shuffled = list(people)
    chance.shuffle(shuffled)
    assert allot(shuffled, queues, {}) == closed
    seats = given_seats(people, closed)
    rank = {(n, queue): (rank, n) for n, own in enumerate(wishes) for queue, rank in own}
    for queue, capacity in capacities.items():
        holders = seats.get(queue, [])
        assert len(holders) <= capacity
        for n, refused in closed.items():
            if queue in refused:
                assert len(holders) == capacity
                assert all(rank[holder, queue] < rank[n, queue] for holder in holders)


def decision(*contacts: PlannedContact) -> Decision:
    loan = LoanDecision(1, "s", None, "phone", "phone", "contact", "r", (), (), contacts)
    return Decision(9, DAY, NOW, (loan,))


def contact(queue: str | None, at: datetime = NOW) -> PlannedContact:
    return PlannedContact(1, "r", 9, "borrower", "call", None, "collect", "script", queue, at, at, "slot", 1)


def test_a_claim_is_a_contact_for_a_limited_queue_on_the_day_where_the_lender_works() -> None:
    """Unlimited and unknown queues need no seat; one in the morning in Shanghai is tomorrow there."""
    queues = {"few": Queue("few", 3, (("dpd", True), ("region", False))), "any": Queue("any")}
    made = decision(contact("few"), contact("any"), contact(None), contact("elsewhere"))
    claims = claims_of(made, {1: {"dpd": 7}}, queues, ZoneInfo("Asia/Shanghai"))
    assert [(claim.queue, claim.day) for claim in claims] == [("few", date(2026, 11, 25))]
    assert claims_of(made, {1: {"dpd": 7}}, queues, ZoneInfo("UTC"))[0].day == DAY
    assert limited(queues) == {"few": 3}


@pytest.mark.parametrize(
    ("descending", "values"),
    [
        (True, [9, 3, 0, None]),
        (False, [0, 3, 9, None]),
        (True, ["b", "ab", "a", None]),
        (False, ["a", "ab", "b", None]),
        (True, [True, False, None]),
    ],
)
def test_ranks_follow_the_fact_and_the_unknown_come_last(descending: bool, values: list[FactValue]) -> None:
    """Whatever the type of the fact, in either direction."""
    queues = {"q": Queue("q", 1, (("f", descending),))}
    ranks = [claims_of(decision(contact("q")), {1: {"f": v}}, queues, ZoneInfo("UTC"))[0].rank for v in values]
    for order in permutations(ranks):
        assert sorted(order) == ranks  # type: ignore[type-var]
    assert Counter(ranks).most_common(1)[0][1] == 1
