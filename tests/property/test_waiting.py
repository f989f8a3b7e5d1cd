"""Who waits for a seat: whatever the rest of the book turns out to want, what is written of them was made."""

from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from workflows.deciding.allotment import Claim, Claimant, Queue, allot
from workflows.deciding.recording import Recorded
from workflows.deciding.waiting import Decided, recorded

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
    waiting = {one.borrower: one for people in chunks for one in recorded(people, capacity)}
    closed = allot([Claimant(one.borrower, one.claims) for one in waiting.values()], queues, taken)
    for borrower, came_out in closed.items():
        assert came_out in waiting[borrower].recorded


def test_nothing_is_made_for_a_seat_that_cannot_be_had():
    """Three want the one seat of a queue: two of them will not have it, whoever else may come."""
    day, queue = DAYS[0], frozenset({"field"})
    people = [
        Decided(
            one, {}, {frozenset(): (Claim("field", day, (one,)),), queue: ()}, dict.fromkeys((frozenset(), queue)), str
        )
        for one in range(3)
    ]
    first, *others = recorded(people, {"field": 1})
    assert set(first.recorded) == {frozenset(), queue}
    assert [set(one.recorded) for one in others] == [{queue}, {queue}]
