"""The standing that follows from a ledger, against a second reading of it: replayed statement by statement."""

from hypothesis import given
from hypothesis import strategies as st

from compliance.consents import HONOURED, statements_judge
from compliance.look import Look, Selectors
from compliance.pack import Statements
from compliance.standing import standing
from engine.gate import Ask, Channel, Endpoint, Statement

MOBILES = (Endpoint(1, "mobile"), Endpoint(2, "mobile"))
CHANNELS: tuple[Channel, ...] = ("sms", "call")
SPOTS = [(channel, endpoint) for channel in CHANNELS for endpoint in MOBILES]
REFUSALS = ("opt_out", "no_medium", "no_endpoint", "no_contact")

statements = st.builds(
    Statement,
    kind=st.sampled_from((*REFUSALS, "opt_in", "consent")),
    at_us=st.integers(0, 6),
    scope=st.sampled_from(("", "", "electronic", "call_frequency")),
    channels=st.sampled_from(((), ("sms",), ("call",), ("sms", "call"))),
    endpoint=st.sampled_from((None, 1, 2)),
    debts=st.sampled_from(((), (1,), (2,))),
    until_us=st.one_of(st.none(), st.integers(1, 8)),
)


def replayed(said: list[Statement], channel: Channel, endpoint: Endpoint, debt: int, at: int) -> bool:
    """Whether this one way is closed: the last word that holds and is about it decides, a refusal last among equals."""
    closed = False
    for one in sorted(said, key=lambda one: (one.at_us, one.kind in REFUSALS)):
        lapsed = one.until_us is not None and one.until_us <= at
        if one.at_us > at or lapsed:
            continue
        if one.channels and channel not in one.channels:
            continue
        if one.endpoint not in (None, endpoint.id) or (one.debts and debt not in one.debts):
            continue
        if one.kind in REFUSALS:
            # An opt-out with a scope takes back that consent only; the electronic one is about texts.
            narrow = one.kind == "opt_out" and one.scope
            closed = closed or not narrow or (one.scope == "electronic" and channel == "sms")
        elif one.kind == "opt_in" or one.scope in ("", "electronic"):
            closed = False
    return closed


@given(said=st.lists(statements, max_size=7), at=st.integers(0, 9), debt=st.sampled_from((1, 2)))
def test_the_latest_word_wins_at_every_instant(said: list[Statement], at: int, debt: int) -> None:
    """Per channel, number and debt, as of any instant: what a replay of the statements leaves open is open."""
    found = standing(said, SPOTS, at, debts=(debt,))
    for (channel, endpoint), one in zip(SPOTS, found, strict=True):
        assert bool(one.closed_by) == replayed(said, channel, endpoint, debt, at), (channel, endpoint)


@given(said=st.lists(statements, max_size=7), at=st.integers(0, 9), debt=st.sampled_from((1, 2)))
def test_the_gate_closes_what_the_ledger_shows_as_closed(said: list[Statement], at: int, debt: int) -> None:
    """A pack that honours every refusal refuses exactly what the officer is shown as closed."""
    judge = statements_judge(Statements(HONOURED))
    for (channel, endpoint), one in zip(SPOTS, standing(said, SPOTS, at, debts=(debt,)), strict=True):
        ask = Ask(
            "contact", channel, "collect", "borrower", 0, (debt,), ("CN",), ("UTC",), endpoint=endpoint,
            statements=tuple(said),
        )  # fmt: skip
        assert (judge(Look(ask, (), at, Selectors(())), at) > at) == bool(one.closed_by)


@given(said=st.lists(statements, max_size=7), at=st.integers(0, 9))
def test_their_order_in_the_file_does_not_matter(said: list[Statement], at: int) -> None:
    """The ledger is read by when things were said, not by when they were written down."""
    ways = [[bool(one.closed_by) for one in standing(order, SPOTS, at)] for order in (said, said[::-1])]
    assert ways[0] == ways[1]
