"""durable-rules, kept within what it can stand: its limits are where the tests press."""

import threading
from concurrent.futures import ThreadPoolExecutor
from random import Random

import pytest

from engine.errors import Place
from engine.interpreter import evaluate
from engine.live import LiveMatcher
from engine.live_plan import Planner
from engine.tree import All, Any, Condition, Leaf, Named, Op, Value
from tests.property.strategies import TEXTS

AT = Place("f.yaml", 1, 1)


def leaf(fact: str, op: Op, *values: Value) -> Leaf:
    return Leaf(fact, op, values, f"{fact} {op}", AT)


def test_every_matching_condition_is_named() -> None:
    """Not only the first, and those without parts as well."""
    matcher = LiveMatcher(
        {
            "late": leaf("dpd", ">=", 3),
            "very-late": leaf("dpd", ">", 90),
            "always": All(()),
            "never": Any(()),
            "nested": All((Any((Any(()), All(()))), Named("late", leaf("dpd", "not between", 0, 2)))),
        }
    )
    assert matcher.matching({"dpd": 3}) == {"late", "always", "nested"}
    assert matcher.matching({"dpd": 91}) == {"late", "very-late", "always", "nested"}
    assert matcher.matching({}) == {"always"}


def test_nothing_is_remembered_from_loan_to_loan() -> None:
    """The same loan twice is asked twice; a fact that goes missing is missing."""
    matcher = LiveMatcher({"paid": leaf("paid", "=", True), "unknown": leaf("paid", "is null")})
    seen = [matcher.matching(facts) for facts in ({"paid": True}, {"paid": True}, {"paid": None}, {}, {"paid": False})]
    assert seen == [{"paid"}, {"paid"}, {"unknown"}, {"unknown"}, frozenset()]


def test_no_conditions_match_nothing() -> None:
    """A strategy stage without rules is no error."""
    assert LiveMatcher({}).matching({"dpd": 1}) == frozenset()


@pytest.mark.parametrize("number", [0, 1, -1, 2**31, 2**32 + 1, 2**53 + 1, 10**15, -(10**15), 2**62])
def test_whole_numbers_compare_exactly(number: int) -> None:
    """Also where a double, or thirty-two bits, would not."""
    ops: tuple[Op, ...] = ("=", "!=", "<", "<=", ">", ">=")
    conditions = {op: leaf("amount", op, number) for op in ops}
    matcher = LiveMatcher(conditions)
    for near in (number - 1, number, number + 1):
        facts = {"amount": near}
        assert matcher.matching(facts) == {op for op, condition in conditions.items() if evaluate(condition, facts)}


def test_texts_compare_byte_by_byte() -> None:
    """Quotes, backslashes, Chinese, and one text that begins like another."""
    texts = [*TEXTS, "person", "personal loan", "tab\there", "new\nline"]
    conditions: dict[str, Condition] = {f"= {text}": leaf("product", "=", text) for text in texts}
    conditions |= {f"!= {text}": leaf("product", "!=", text) for text in texts}
    matcher = LiveMatcher(conditions)
    for text in texts:
        others = {f"!= {other}" for other in texts if other != text}
        assert matcher.matching({"product": text}) == {f"= {text}", *others}


def test_facts_may_be_called_as_the_engine_calls_its_own() -> None:
    """`id` and `sid` are names like any other."""
    matcher = LiveMatcher({"both": All((leaf("id", "=", 7), leaf("sid", "=", "x"), leaf("duecourse", "is null")))})
    assert matcher.matching({"id": 7, "sid": "x"}) == {"both"}
    assert matcher.matching({"id": 8, "sid": "x"}) == frozenset()


def test_more_rules_than_one_ruleset_can_hold() -> None:
    """Three hundred comparisons that all hold at once; the engine gives up at 64 in one ruleset."""
    conditions = {f"r{i}": leaf(f"f{i % 150}", ">" if i < 150 else ">=", 0) for i in range(300)}
    matcher = LiveMatcher(conditions)
    facts = {f"f{i}": 1 for i in range(150)}
    assert matcher.matching(facts) == set(conditions)
    assert matcher.matching({**facts, "f7": 0, "f8": None}) == set(conditions) - {"r7", "r8", "r158"}


def test_a_condition_that_is_true_in_millions_of_ways() -> None:
    """Fourteen groups of three took the engine 1.6 GB as one rule: cut, it is instant."""
    groups = [Any(tuple(leaf(f"f{i}_{j}", "=", 1) for j in range(3))) for i in range(14)]
    matcher = LiveMatcher({"wide": All(tuple(groups))})
    facts = {f"f{i}_{j}": 1 for i in range(14) for j in range(3)}
    assert matcher.matching(facts) == {"wide"}
    assert matcher.matching({**facts, "f0_0": 0, "f0_1": 0, "f0_2": None}) == frozenset()


def test_a_condition_nested_deeper_than_one_rule_can_be() -> None:
    """The engine refuses the sixteenth group: forty levels of `and` and `or` in turn are cut."""
    condition: Condition = leaf("f0", "=", 1)
    for i in range(1, 40):
        condition = All((leaf(f"f{i}", "=", 1), condition)) if i % 2 else Any((leaf(f"f{i}", "=", 1), condition))
    matcher = LiveMatcher({"deep": condition})
    random = Random(7)
    for _ in range(200):
        facts = {f"f{i}": random.choice((0, 1, 1)) for i in range(40)}
        assert matcher.matching(facts) == ({"deep"} if evaluate(condition, facts) else frozenset())


def test_lists_longer_than_a_ruleset() -> None:
    """Twelve hundred values, in and not in."""
    values = tuple(range(0, 2400, 2))
    matcher = LiveMatcher({"in": leaf("n", "in", *values), "not in": leaf("n", "not in", *values)})
    assert [matcher.matching({"n": n}) for n in (0, 1, 2398, 2399)] == [{"in"}, {"not in"}, {"in"}, {"not in"}]
    assert matcher.matching({}) == frozenset()


def test_rules_share_a_ruleset_as_long_as_they_fit() -> None:
    """A strategy's fifteen plain rules cost one message, not fifteen."""
    planner = Planner()
    for i in range(15):
        planner.plan(All((leaf("dpd", ">=", i), leaf("has_mobile", "=", True))))
    assert [len(batch.patterns) for batch in planner.batches] == [12, 3]


def test_many_threads_get_every_match() -> None:
    """Unlocked, four fifths of the matches went missing."""
    matcher = LiveMatcher({f"r{i}": leaf("dpd", ">=", i) for i in range(20)})

    def ask(dpd: int) -> bool:
        return len(matcher.matching({"dpd": dpd})) == dpd + 1

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, [i % 20 for i in range(1_000)]))


def test_a_matcher_starts_no_threads() -> None:
    """A host's own two would work on the rules behind our lock, and never end."""
    before = threading.active_count()
    LiveMatcher({"late": leaf("dpd", ">=", 3)}).matching({"dpd": 3})
    assert threading.active_count() == before
