"""Matchers: the live engine answers like the interpreter."""

import pytest

from engine.matching import InterpreterMatcher, LiveMatcherSet, after_move
from tests.situations import leaf, loan, move, rule, strategy

PLANS = {
    each.id: each
    for each in (
        strategy(
            rule("early", when=leaf("dpd", 3, "<=")),
            rule("late", when=leaf("dpd", 3, ">")),
            rule("talk", stage="phone", when=leaf("promise_open", False)),
            id="a",
            applies_to=leaf("product", "card"),
            moves=(
                move("up", "reminded", "phone", leaf("dpd", 8, ">=")),
                move("stay", "phone", "reminded", leaf("dpd", 0)),
            ),
        ),
        strategy(rule("other"), id="b", applies_to=leaf("dpd", 5, ">=")),
    )
}


LIVE = LiveMatcherSet(PLANS)


@pytest.mark.parametrize("dpd", [None, 0, 3, 4, 8])
@pytest.mark.parametrize("product", [None, "card", "loan"])
def test_the_live_engine_answers_like_the_interpreter(dpd, product):
    """Strategies, moves and rules of every stage are the same, missing facts included."""
    plain, live = InterpreterMatcher(PLANS), LIVE
    each = loan(facts={"dpd": dpd, "product": product})
    assert sorted(plain.strategies(each)) == sorted(live.strategies(each))
    for plan in PLANS.values():
        assert plain.moves(plan, each) == live.moves(plan, each)
        for stage in ("reminded", "phone", "legal"):
            facts = after_move(each.facts, stage)
            assert plain.rules(plan, each, stage, facts) == live.rules(plan, each, stage, facts)


def test_matching_is_not_always_the_same():
    """The comparison above means something: moves and rules match some loans and not others."""
    plan = PLANS["a"]
    early, late = loan(facts={"dpd": 3}), loan(facts={"dpd": 9})
    assert LIVE.rules(plan, early, "reminded", early.facts) == {"early"}
    assert LIVE.rules(plan, late, "reminded", late.facts) == {"late"}
    assert (LIVE.moves(plan, early), LIVE.moves(plan, late)) == (frozenset(), {"up"})


def test_after_a_move_the_stage_facts_are_new():
    """The stage and the days in it are taken anew; everything else stays."""
    assert after_move({"dpd": 5, "stage": "phone", "days_in_stage": 30}, "legal") == {
        "dpd": 5, "stage": "legal", "days_in_stage": 0,
    }  # fmt: skip
