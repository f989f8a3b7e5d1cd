"""Who waits for a seat: whatever the rest of the book turns out to want, what is written of them was made."""

from datetime import date

import orjson
from hypothesis import given
from hypothesis import strategies as st

from workflows.deciding.allotment import Candidates, Claim, Claimant, Queue, allot
from workflows.deciding.recording import Recorded
from workflows.deciding.waiting import Decided, put_aside, taken_up

DAYS = (date(2026, 3, 2), date(2026, 3, 3))
QUEUES = ("early", "field", "senior")


@st.composite
def claims(draw, borrower, closed):
    """What somebody claims in one way it may come out: some seats, in queues that are open to them."""
    open_ones = [queue for queue in QUEUES if queue not in closed]
    asked = (
        draw(st.lists(st.tuples(st.sampled_from(open_ones), st.sampled_from(DAYS)), max_size=2)) if open_ones else []
    )
    return tuple(Claim(queue, day, (draw(st.integers(0, 3)), borrower, n)) for n, (queue, day) in enumerate(asked))


@st.composite
def books(draw):
    """People and what they claim in each way it may come out; cut into chunks."""
    chunks = []
    for chunk in range(draw(st.integers(1, 3))):
        people = []
        for number in range(draw(st.integers(0, 6))):
            borrower = chunk * 10 + number
            options, ahead = {}, [frozenset()]
            while ahead:
                closed = ahead.pop()
                if closed not in options:
                    options[closed] = draw(claims(borrower, closed))
                    ahead += [closed | {claim.queue} for claim in options[closed]]
            if options[frozenset()]:
                people.append(Decided(borrower, {}, options, dict.fromkeys(options), lambda _: Recorded({}, {})))
        chunks.append(people)
    return chunks


@given(
    books(),
    st.fixed_dictionaries({queue: st.integers(0, 3) for queue in QUEUES}),
    st.dictionaries(st.tuples(st.sampled_from(QUEUES), st.sampled_from(DAYS)), st.integers(0, 4)),
)
def test_what_is_written_of_somebody_was_made_whatever_the_others_want(chunks, capacity, taken):
    """Each chunk knows its own people alone, and how much a queue takes at the most; the seats are given out over all."""
    queues = {name: Queue(name, capacity_per_day=most) for name, most in capacity.items()}
    closed = allot([Claimant(one.borrower, one.claims) for people in chunks for one in people], queues, taken)
    kept = [put_aside(people, capacity) for people in chunks]
    waits = {borrower: one for waiting in kept for borrower, one in taken_up(waiting.aside).items()}
    assert closed.keys() == waits.keys()
    for borrower, came_out in closed.items():
        assert came_out in waits[borrower].recorded
    # Whoever hopes in vain is forgotten on the way: it comes out as if nobody were.
    candidates = Candidates(queues)
    for waiting in kept:
        candidates.add(waiting.claimants)
    assert candidates.allotted(taken) == closed
    wishes = orjson.loads(b"[" + b",".join(waiting.wishes for waiting in kept if waiting.wishes) + b"]")
    assert [borrower for borrower, _ in wishes] == [one.borrower for people in chunks for one in people]


def test_nothing_is_made_for_a_seat_that_cannot_be_had():
    """Three want the one seat of a queue: two of them will not have it, whoever else may come."""
    day, queue = DAYS[0], frozenset({"field"})
    people = [
        Decided(
            one, {}, {frozenset(): (Claim("field", day, (one,)),), queue: ()}, dict.fromkeys((frozenset(), queue)), str
        )
        for one in range(3)
    ]
    waiting = put_aside(people, {"field": 1})
    first, *others = taken_up(waiting.aside).values()
    assert set(first.recorded) == {frozenset(), queue}
    assert [set(one.recorded) for one in others] == [{queue}, {queue}]


def test_whoever_may_have_one_of_two_seats_is_not_forgotten():
    """They hold it for as long as nobody has turned them away, and whoever came behind them is turned away for good."""
    day, next_day = DAYS
    queues = {"field": Queue("field", capacity_per_day=1)}
    closed = frozenset({"field"})
    people = [
        Claimant(1, {frozenset(): (Claim("field", day, (1,)), Claim("field", next_day, (9,))), closed: ()}),
        Claimant(2, {frozenset(): (Claim("field", day, (2,)),), closed: ()}),
        Claimant(3, {frozenset(): (Claim("field", next_day, (3,)),), closed: ()}),
    ]
    candidates = Candidates(queues)
    candidates.add(people)
    assert candidates.allotted({}) == allot(people, queues, {}) == {1: closed, 2: closed, 3: frozenset()}
