"""The definition: three-valued evaluation, and its explanation."""

import pytest

from engine.errors import Place
from engine.interpreter import TraceNode, evaluate, trace
from engine.tree import All, Any, Condition, FactValue, Leaf, Named, Op, Value

AT = Place("f.yaml", 1, 1)


def leaf(fact: str, op: Op, *values: Value) -> Leaf:
    return Leaf(fact, op, values, f"{fact} {op}", AT)


TRUE, FALSE, UNKNOWN = leaf("yes", "=", True), leaf("no", "=", True), leaf("missing", "=", 1)
FACTS: dict[str, FactValue] = {"yes": True, "no": False, "dpd": 5, "product": "card", "none": None}


@pytest.mark.parametrize(
    ("op", "values", "result"),
    [
        ("=", (5,), True), ("=", (4,), False), ("!=", (5,), False), ("!=", (4,), True), ("<", (5,), False), ("<", (6,), True),
        ("<=", (5,), True), ("<=", (4,), False), (">", (5,), False), (">", (4,), True), (">=", (5,), True), (">=", (6,), False),
        ("between", (5, 7), True), ("between", (3, 5), True), ("between", (6, 7), False), ("not between", (5, 7), False),
        ("not between", (6, 7), True), ("in", (1, 5), True), ("in", (1, 2), False), ("not in", (1, 5), False),
        ("not in", (1, 2), True), ("is null", (), False), ("is not null", (), True),
    ],
)  # fmt: skip
def test_every_comparison(op: Op, values: tuple[Value, ...], result: bool) -> None:
    """Of a fact that is 5, both ends of a range included."""
    assert evaluate(leaf("dpd", op, *values), FACTS) is result


@pytest.mark.parametrize("fact", ["none", "never_heard_of"])
@pytest.mark.parametrize("op", ["=", "!=", "<", "<=", ">", ">=", "in", "not in"])
def test_a_missing_fact_makes_every_comparison_unknown(fact: str, op: Op) -> None:
    """Absent or None, whatever is compared."""
    assert evaluate(leaf(fact, op, 1), FACTS) is None
    assert evaluate(leaf(fact, "between", 1, 2), FACTS) is None
    assert evaluate(leaf(fact, "not between", 1, 2), FACTS) is None
    assert evaluate(leaf(fact, "is null"), FACTS) is True
    assert evaluate(leaf(fact, "is not null"), FACTS) is False


@pytest.mark.parametrize(
    ("condition", "result"),
    [
        (All((TRUE, TRUE)), True), (All((TRUE, FALSE)), False), (All((TRUE, UNKNOWN)), None), (All((UNKNOWN, FALSE)), False),
        (Any((FALSE, FALSE)), False), (Any((TRUE, FALSE)), True), (Any((FALSE, UNKNOWN)), None), (Any((UNKNOWN, TRUE)), True),
        (All(()), True), (Any(()), False), (Named("n", UNKNOWN), None), (Named("n", TRUE, negated=True), True),
    ],
)  # fmt: skip
def test_and_and_or_follow_sql(condition: Condition, result: bool | None) -> None:
    """Unknown gives way to false in `and` and to true in `or`; a name is its body, whose `not` is already in the leaves."""
    assert evaluate(condition, FACTS) is result


def test_a_trace_says_what_was_seen_and_what_is_missing() -> None:
    """Each leaf with its value, each name with its body below it."""
    condition = All((leaf("dpd", ">=", 3), Named("silent", Any((UNKNOWN, FALSE)), negated=True), All(())))
    assert trace(condition, FACTS) == TraceNode(
        "all of",
        None,
        children=(
            TraceNode("dpd >=", True, "dpd", 5),
            TraceNode(
                "not silent",
                None,
                children=(
                    TraceNode(
                        "any of",
                        None,
                        children=(
                            TraceNode("missing =", None, "missing", None, "unknown: fact is missing"),
                            TraceNode("no =", False, "no", False),
                        ),
                    ),
                ),
            ),
            TraceNode("always", True),
        ),
    )
