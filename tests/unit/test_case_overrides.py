"""Cases in which the organisation makes rules stricter, or tries to loosen them."""

import pytest

from compliance import run_cases, shipped_packs

PACKS = shipped_packs()
CASE = """\
cases:
  - id: one
    title: The second call in a week
    jurisdiction: US
    policy: [us.regf]
    setup:
      persons: [{id: P1, role: borrower, timezones: [America/Chicago]}]
      debts: [{id: D1, kind: personal_loan}]
      contacts: [{at: '2026-02-09T11:00:00', tz: America/Chicago, channel: call, outcome: no_answer, debts: [D1]}]
      org_overrides: OVERRIDES
    ask: {at: '2026-02-10T11:00:00', tz: America/Chicago, channel: call, person: P1, debts: [D1]}
    expect: EXPECT
"""
DEFERRED = "{decision: defer_until, until: '2026-02-16T08:00:00', until_tz: America/Chicago}"
LOOSENS = (
    "cases.yaml:10:44: `max` says `9`, and the law `7`: that would loosen `us.regf.freq.calls` "
    "(12 CFR 1006.14(b)(2)(i)(A), (b)(3))"
)


def run(overrides: str, expect: str):
    (result,) = run_cases(CASE.replace("OVERRIDES", overrides).replace("EXPECT", expect), "cases.yaml", PACKS)
    return result


@pytest.mark.parametrize(
    "overrides",
    [
        "{us.regf.freq.calls: {max: 1}}",
        "{us.regf.freq.calls: {max_including_this: 1}}",
        "[{rule: us.regf.freq.calls, max: 1}]",
        "[{rule: us.regf.freq.calls, max_including_this: 1}]",
    ],
)
def test_an_override_tightens_the_rule_it_names(overrides: str):
    """As a table by rule or as a list: the limit is the stricter one, everything else the rule's own."""
    assert run(overrides, DEFERRED).passed
    assert run(overrides, "{decision: allow}").passed is False
    assert run("{}", "{decision: allow}").passed
    assert run("{us.regf.freq.calls: {max: 7}}", "{decision: allow}").passed


@pytest.mark.parametrize(
    "expect", ["{decision: rejected}", "{decision: invalid}", "{rejected: true}", "{error: loosens}"]
)
def test_an_override_that_loosens_is_rejected(expect: str):
    """The case passes where it wants just that."""
    result = run("{us.regf.freq.calls: {max: 9}}", expect)
    assert (result.passed, result.decision) == (True, "rejected")
    assert run("{us.regf.freq.calls: {max: 1}}", expect).passed is False


def test_a_case_that_wants_an_answer_fails_with_the_loaders_words():
    """Where it stands, which rule it would loosen, and the mend."""
    result = run("{us.regf.freq.calls: {max: 9}}", "{decision: allow}")
    assert result.passed is False
    assert result.trace == (LOOSENS, "  mend: write `7` or less, or leave `max` out")


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        ("{us.regf.freq.cals: {max: 1}}", "cases.yaml:10:42: unknown rule `us.regf.freq.cals`"),
        ("{us.regf.freq.calls: {mx: 1}}", "cases.yaml:10:44: unknown key of `us.regf.freq.calls` `mx`"),
        ("[{max: 1}]", "cases.yaml:10:23: an override that names no rule, or no keys of one"),
        ("three", "cases.yaml:10:22: an override that names no rule, or no keys of one"),
        (
            "[{rule: us.regf.freq.calls, max: 1}, {rule: us.regf.freq.calls, within: ever}]",
            "cases.yaml:10:59: `us.regf.freq.calls` is overridden twice",
        ),
    ],
)
def test_an_override_that_means_nothing_is_rejected_with_its_place(overrides: str, told: str):
    """A misspelt rule or key never makes a case pass by being ignored."""
    result = run(overrides, DEFERRED)
    assert (result.passed, result.trace[0]) == (False, told)
