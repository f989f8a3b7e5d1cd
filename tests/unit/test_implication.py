"""What a condition implies is shown leaf by leaf, and never claimed where it does not hold."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.catalogue import load_catalogue
from engine.condition import Scope, parse_condition
from engine.errors import Place, Problem
from engine.implication import implies, shows_overdue
from engine.interpreter import evaluate
from engine.source import read_yaml
from engine.tree import All, Any, Condition, Leaf

CATALOGUE = load_catalogue()


def condition(text: str) -> Condition:
    problems: list[Problem] = []
    found = parse_condition(read_yaml(text, "a.yaml"), Scope(CATALOGUE, "CNY", {}, problems))
    assert found is not None, problems
    return found


@pytest.mark.parametrize(
    "text",
    [
        "dpd >= 1", "dpd > 0", "dpd != 0", "dpd = 3", "dpd in (1, 30)", "dpd between 1 and 3", "overdue_amount > 0",
        "[autopay, dpd >= 31]", "{any: [dpd >= 1, overdue_amount >= 50]}", "{not: dpd = 0}", "{not: dpd < 1}",
        "{all: [hardship, {any: [dpd >= 1, [dpd >= 8, autopay]]}]}",
    ],
)  # fmt: skip
def test_a_late_payment_is_implied(text: str):
    """On every way through the condition stands a leaf that only a loan past due makes true."""
    assert implies(condition(text), shows_overdue)


@pytest.mark.parametrize(
    "text",
    [
        "dpd >= 0", "dpd < 9", "dpd <= 9", "dpd between 0 and 3", "dpd in (0, 1)", "dpd != 1",
        "dpd is not null", "not dpd between 1 and 3", "hardship", "{any: [dpd >= 1, hardship]}",
        "{any: [dpd >= 1, dpd is null]}", "{not: dpd >= 1}", "balance > 0",
    ],
)  # fmt: skip
def test_a_late_payment_is_not_implied(text: str):
    """A loan that is current, or of which nothing is known, could match."""
    assert not implies(condition(text), shows_overdue)


LEAVES = st.builds(
    lambda fact, op, values: Leaf(fact, op, values[: 2 if op.endswith(("between", "in")) else 1], "", Place("a.yaml")),
    st.sampled_from(["dpd", "overdue_amount"]),
    st.sampled_from(
        ["=", "!=", "<", "<=", ">", ">=", "between", "not between", "in", "not in", "is null", "is not null"]
    ),
    st.tuples(st.integers(0, 2), st.integers(0, 3)),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.builds(lambda kind, parts: kind(tuple(parts)), st.sampled_from([All, Any]), st.lists(inner, max_size=3)),
    max_leaves=6,
)  # fmt: skip


@given(tree=TREES, dpd=st.sampled_from([None, 0, 1, 2]), overdue=st.sampled_from([None, 0, 1, 2]))
def test_what_is_implied_holds_wherever_the_condition_does(tree: Condition, dpd: int | None, overdue: int | None):
    """Whatever matches a condition that is said to imply a late payment has one, and is known to."""
    if implies(tree, shows_overdue) and evaluate(tree, {"dpd": dpd, "overdue_amount": overdue}) is True:
        assert (dpd or 0) > 0 or (overdue or 0) > 0
