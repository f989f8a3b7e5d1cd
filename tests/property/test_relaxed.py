"""A condition of which only some facts are known lets everything through that the whole condition can match."""

from hypothesis import given
from hypothesis import strategies as st

from engine.interpreter import evaluate
from engine.tree import facts_of, relaxed
from tests.property.strategies import Case, cases


@given(case=cases(), data=st.data())
def test_a_relaxed_condition_is_true_wherever_the_condition_is(case: Case, data: st.DataObject) -> None:
    """Whichever facts are known, and whatever the others are: what can match is never left out."""
    known = data.draw(st.sets(st.sampled_from(sorted(case.catalogue.facts))))
    for condition in case.conditions.values():
        left = relaxed(condition, known)
        assert facts_of(left) <= known
        for loan in case.loans:
            told = {name: value for name, value in loan.items() if name in known}
            if evaluate(condition, loan) is True:
                assert evaluate(left, told) is True


@given(case=cases())
def test_with_every_fact_known_nothing_is_relaxed(case: Case) -> None:
    """Then it lets through what the condition lets through, and no more."""
    for condition in case.conditions.values():
        left = relaxed(condition, case.catalogue.facts)
        assert [evaluate(left, loan) for loan in case.loans] == [evaluate(condition, loan) for loan in case.loans]
