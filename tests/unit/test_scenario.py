"""Scenario files: read with every problem told, run on every target, and counted towards coverage."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from textwrap import dedent, indent

import pytest

from engine.catalogue import load_catalogue
from engine.errors import RuleError
from engine.gate import Reason, Verdict
from engine.matching import InterpreterMatcher
from engine.rulebook import Rulebook, read_rulebook
from engine.scenario import Scenario, ScenarioResult, coverage, run_scenarios
from engine.scenario_file import read_scenarios
from engine.situation import Loan, RuleUse
from engine.stages import Stage
from engine.strategy import Strategy
from engine.tree import FactValue
from tests.situations import FakeGate, denying

STRATEGY = """
strategy: small
applies_to: product = 'personal'
currency: EUR
promise: {blocks: [call]}
entry: [{id: book, stage: reminded, when: dpd >= 1}]
moves:
  - {id: cured, from: [reminded, phone], to: current}
  - {id: to-phone, from: reminded, to: phone, when: dpd >= 8}
stages:
  reminded:
    - {id: call, when: dpd >= 5, act: {call: {queue: early, script: first-call}}, repeat: {max: 1, in: 7 days}, because: A.}
    - {id: sms, was: [text], when: dpd >= 1, act: {sms: reminder}, repeat: {max: 1, per: episode}, because: B.}
  phone:
    - {id: letter, when: overdue_amount >= 100.50, act: {letter: reminder}, because: C.}
    - {id: bounced, on: [payment_reversed], when: dpd >= 1, act: {sms: reminder}, because: D.}
"""
DEFAULTS = """
  now: 2026-03-04T10:00:00+01:00
  facts: {product: personal, dpd: 2, overdue_amount: 120, promise_open: false}
  borrower: {zones: [Europe/Berlin], jurisdictions: [DE], endpoints: [mobile, postal]}
"""


@pytest.fixture(scope="module")
def rulebook() -> Rulebook:
    return read_rulebook({"small.yaml": STRATEGY}, catalogue=load_catalogue(), queues=["early"])


def file_of(*cases: str) -> str:
    listed = "".join(indent(dedent(case).strip(), "    ").replace("    ", "  - ", 1) + "\n" for case in cases)
    return f"strategy: small\ndefaults:{DEFAULTS}cases:\n{listed}"


def case(name: str, given: str, expect: str) -> str:
    return f"name: {name}\ngiven: {{{given}}}\nexpect: {{{expect}}}"


def read(rulebook: Rulebook, *cases: str) -> tuple[Scenario, ...]:
    return read_scenarios(file_of(*cases), "small.test.yaml", rulebook)


def loan_of(rulebook: Rulebook, given: str) -> Loan:
    (scenario,) = read(rulebook, case("x", given, "outcome: contact, because: []"))
    (loan,) = scenario.situation.loans
    return loan


def run(rulebook: Rulebook, *cases: str, gate: FakeGate | None = None) -> list[ScenarioResult]:
    matchers = {"interpreter": InterpreterMatcher(rulebook.strategies)}
    return run_scenarios(read(rulebook, *cases), rulebook, gate or FakeGate(), matchers)


def refusal(rulebook: Rulebook, text: str) -> str:
    with pytest.raises(RuleError) as caught:
        read_scenarios(text, "small.test.yaml", rulebook)
    return str(caught.value)


def test_a_case_is_laid_over_the_defaults(rulebook: Rulebook):
    """A case says only what is different: facts and people are taken over key by key, null makes a fact unknown."""
    (scenario,) = read(
        rulebook,
        """
        name: x
        given: {stage: reminded, facts: {dpd: 6, promise_open: null, overdue_amount: 99.90}, borrower: {language: de}}
        expect: {outcome: contact, because: [call]}
        """,
    )
    (loan,) = scenario.situation.loans
    assert loan.facts == {"product": "personal", "dpd": 6, "overdue_amount": 99_90, "stage": "reminded"}
    person = scenario.situation.borrower
    assert (person.language, person.zones, person.jurisdictions) == ("de", ("Europe/Berlin",), ("DE",))
    assert [(e.kind, e.zone, e.rank) for e in person.endpoints] == [
        ("mobile", "Europe/Berlin", 0),
        ("postal", "Europe/Berlin", 1),
    ]
    assert scenario.now == datetime(2026, 3, 4, 9, tzinfo=UTC)
    assert scenario.situation.on == date(2026, 3, 4)


def test_the_day_is_the_earliest_of_the_borrowers_places(rulebook: Rulebook):
    """At two in the morning in Berlin it is still yesterday for somebody who may be in New York."""
    (scenario,) = read(
        rulebook,
        """
        name: x
        given: {now: "2026-03-04T02:00:00+01:00", borrower: {zones: [Europe/Berlin, America/New_York]}}
        expect: {outcome: nothing, because: []}
        """,
    )
    assert scenario.situation.on == date(2026, 3, 3)


def test_notices_are_told_by_the_days_they_have_been_in_force(rulebook: Rulebook):
    """A notice is evidence for the gate and a fact for conditions, and the two agree."""
    loan = loan_of(rulebook, "notices: {prelegal_notice: 20}")
    assert loan.notices == {"prelegal_notice": date(2026, 2, 12)}
    assert loan.facts["prelegal_notice_effective_days"] == 20


def test_uses_fall_in_this_period_or_an_earlier_one(rulebook: Rulebook):
    """What `repeat` counts can be in the present due date, episode, promise and stay in the stage, or before them."""
    loan = loan_of(
        rulebook, "uses: [{rule: sms, days_ago: 1, outcome: failed}, {rule: text, days_ago: 40, earlier: true}]"
    )
    now = {"due_date": "this", "episode": "this", "promise": "this"}
    assert loan.periods == now
    assert loan.uses == (
        RuleUse("sms", date(2026, 3, 3), loan.stage_entry, "failed", per=now),
        RuleUse("text", date(2026, 1, 23), loan.stage_entry - 1, "delivered", per=dict.fromkeys(now, "earlier")),
    )


def test_people_have_endpoints_statements_holds_and_a_history(rulebook: Rulebook):
    """Everything the gate may look at can be given, counted back from now."""
    (scenario,) = read(
        rulebook,
        """
        name: x
        given:
          borrower:
            endpoints: [{kind: mobile, valid: false, place: work, basis: contract, basis_days_ago: 3}]
            statements: [{kind: inconvenient_time, channels: [call], days_ago: 2, between: "12:00-14:00"}]
            holds: [{kind: dispute, days_ago: 1, form: written, this_loan: true, blocks: [call]}]
            history: [{channel: call, outcome: conversation, hours_ago: 3}]
          others: {guarantor: {zones: [Europe/Paris], endpoints: [postal]}}
        expect: {outcome: contact, because: []}
        """,
    )

    def ago(**length: int) -> int:
        return int((scenario.now - timedelta(**length)).timestamp() * 1_000_000)

    person = scenario.situation.borrower
    (endpoint,), (statement,), (hold,), (past,) = person.endpoints, person.statements, person.holds, person.history
    assert (endpoint.valid, endpoint.place, endpoint.basis, endpoint.basis_us) == (
        False,
        "work",
        "contract",
        ago(days=3),
    )
    assert (statement.kind, statement.channels, statement.at_us) == ("inconvenient_time", ("call",), ago(days=2))
    assert [(w.from_minute, w.to_minute) for w in statement.windows] == [(720, 840)]
    assert (hold.kind, hold.debts, hold.form, hold.blocks, hold.starts_us) == (
        "dispute", (1,), "written", ("call",), ago(days=1),
    )  # fmt: skip
    assert (past.outcome, past.at_us, past.debts, past.direction) == ("conversation", ago(hours=3), (1,), "out")
    ((other, role),) = scenario.situation.loans[0].parties
    assert role == "guarantor"
    assert scenario.situation.others[other].zones == ("Europe/Paris",)


def test_a_scenario_that_comes_out_as_written_passes(rulebook: Rulebook):
    """Outcome, rule, contacts, stage and every cause agree: nothing is reported."""
    (result,) = run(
        rulebook,
        """
        name: x
        given: {stage: reminded, facts: {dpd: 9}}
        expect: {outcome: contact, stage: phone, contacts: [letter letter borrower], because: [to-phone, letter], not: [cured]}
        """,
    )
    assert result.passed
    assert result.trace == ()
    assert (result.fired, result.held) == ({"to-phone", "letter"}, {"cured", "bounced"})


def test_a_failure_says_wanted_got_and_how_it_came_about(rulebook: Rulebook):
    """Every difference is told at once, with the decision as a tree and the gate's citation."""
    (result,) = run(
        rulebook,
        """
        name: x
        given: {stage: reminded, facts: {dpd: 6}}
        expect: {outcome: nothing, stage: phone, rule: call, contacts: [], because: [call], not: [sms]}
        """,
        gate=denying(channel="call"),
    )
    assert result.problems == (
        "outcome: wanted nothing, got contact",
        "stage: wanted phone, got reminded",
        "rule: wanted call, got sms",
        "because: wanted call, got call refused, sms, test.deny",
        "contacts: wanted nothing, got sms sms borrower",
        "not: wanted sms not to fire, and it did",
    )
    assert result.trace == (
        "stage reminded",
        "  rule call: refused",
        "    call to borrower: deny",
        "      deny by test.deny: no (a law)",
        "  rule sms: chosen",
        "    sms to borrower: allow at 2026-03-04T09:00:00+00:00",
        "  outcome contact",
    )


def test_a_full_queue_an_open_promise_and_a_used_up_rule_are_causes(rulebook: Rulebook):
    """What kept a rule from firing is named, whatever it was."""
    cases = [
        case(
            "full",
            "stage: reminded, facts: {dpd: 6}, queues_full: [early]",
            "outcome: contact, rule: sms, because: [call queue full, sms]",
        ),
        case(
            "promise",
            "stage: reminded, facts: {dpd: 6, promise_open: true}",
            "outcome: contact, rule: sms, because: [call refused, sms]",
        ),
        case(
            "used",
            "stage: reminded, facts: {dpd: 6}, uses: [{rule: call, days_ago: 2}, {rule: text, days_ago: 2}]",
            "outcome: nothing, because: [call repeated, sms repeated]",
        ),
        case(
            "event",
            "stage: phone, facts: {dpd: 6}, events: [payment_reversed]",
            "outcome: contact, rule: bounced, because: [bounced]",
        ),
        case(
            "retry",
            "stage: phone, facts: {dpd: 6, overdue_amount: 1}, retry: [bounced]",
            "outcome: contact, rule: bounced, because: [bounced]",
        ),
    ]
    assert [result.problems for result in run(rulebook, *cases)] == [()] * len(cases)


def test_what_delayed_a_contact_is_a_cause(rulebook: Rulebook):
    """A contact put off to the morning names the limit that put it off."""
    morning = datetime(2026, 3, 5, 7, tzinfo=UTC)
    late = Verdict("defer", (Reason("hours", "defer", "a law", "later", morning),), morning)
    one = case("x", "stage: reminded", "outcome: contact, because: [sms, hours]")
    (result,) = run(rulebook, one, gate=FakeGate(lambda _ask, now: late if now < morning else None))
    assert result.problems == ()


def test_a_target_that_decides_otherwise_is_found_out(rulebook: Rulebook):
    """The first target is the definition; another that comes to a different decision fails the scenario."""

    class Forgetful(InterpreterMatcher):
        def rules(self, strategy: Strategy, loan: Loan, stage: Stage, facts: Mapping[str, FactValue]) -> frozenset[str]:
            return super().rules(strategy, loan, stage, facts) - {"letter"}

    one = case("x", "stage: phone, facts: {dpd: 9}", "outcome: contact, because: [letter]")
    matchers = {"interpreter": InterpreterMatcher(rulebook.strategies), "sweep": Forgetful(rulebook.strategies)}
    plain, sweep = run_scenarios(read(rulebook, one), rulebook, FakeGate(), matchers)
    assert plain.passed
    assert sweep.problems == (
        "outcome: wanted contact, got nothing",
        "because: wanted letter, got nothing",
        "decision: differs from what interpreter decides",
    )


FIRES = [
    case("a", "stage: reminded, facts: {dpd: 6}", "outcome: contact, because: [call], not: [sms]"),
    case("b", "stage: reminded", "outcome: contact, because: [sms], not: [call, to-phone, cured]"),
    case("c", "stage: reminded, facts: {dpd: 9}", "outcome: contact, stage: phone, because: [to-phone, letter]"),
    case("d", "stage: phone, facts: {dpd: 0, overdue_amount: 0}", "outcome: nothing, stage: current, because: [cured]"),
    case(
        "e",
        "stage: phone, events: [payment_reversed], facts: {overdue_amount: 1}",
        "outcome: contact, because: [bounced], not: [letter]",
    ),
]


def test_coverage_wants_each_rule_fired_and_each_rule_held(rulebook: Rulebook):
    """A rule behind the winning one was never asked, so naming it under `not:` does not count."""
    scenarios = read(rulebook, *FIRES)
    results = run(rulebook, *FIRES)
    mend = "name it under `not:` of a scenario that reaches it; one behind the rule that wins is not reached"
    assert [str(problem) for problem in coverage(rulebook.strategies["small"], scenarios, results)] == [
        f"small.yaml:13:7: no scenario shows rule `sms` not firing\n  mend: {mend}",
        f"small.yaml:16:7: no scenario shows rule `bounced` not firing\n  mend: {mend}",
    ]


def test_coverage_tells_what_never_fires(rulebook: Rulebook):
    """A strategy without scenarios has two gaps for each rule and move; a failed scenario covers nothing."""
    wrong = [case("w", "stage: reminded", "outcome: nothing, because: [sms], not: [call]")]
    gaps = coverage(rulebook.strategies["small"], read(rulebook, *wrong), run(rulebook, *wrong))
    assert len(gaps) == 2 * 6
    assert str(gaps[0]) == "small.yaml:8:5: no scenario fires move `cured`\n  mend: write a scenario in which it fires"


def test_unknown_keys_names_and_values_are_told_at_once_with_their_places(rulebook: Rulebook):
    """A scenario that does not mean anything tests nothing; every mistake of the file is told in one go."""
    text = file_of(
        """
        name: first
        given: {stage: reminded, facts: {ddp: 3, dpd: 1.5, promise_open: 1}, use: []}
        expect: {outcome: contacted, because: [sms], rule: smss}
        """,
        """
        name: second
        given: {now: "2026-03-04", uses: [{rule: sms}], borrower: {zones: [Berlin], endpoints: [phone]}}
        expect: {because: [sms], not: [cures]}
        """,
    )
    assert refusal(rulebook, text).replace("small.test.yaml:", "").splitlines() == [
        "8:74: unknown key of `given` `use`",
        "  mend: write `uses`",
        "8:51: fact `dpd` is not a whole number",
        "  mend: write `dpd: 3`",
        "8:70: fact `promise_open` is neither true nor false",
        "  mend: write `promise_open: true`",
        "8:38: unknown fact `ddp`",
        "  mend: write `dpd`",
        "9:56: unknown rule `smss`",
        "  mend: write `sms`",
        "9:23: unknown outcome `contacted`",
        "  mend: write `contact`",
        "11:18: `now` is no instant with an offset",
        "  mend: write `now: 2026-03-04T10:00:00+08:00`",
        "11:71: `Berlin` is no IANA time zone",
        "  mend: write one such as `Asia/Shanghai`",
        "11:93: unknown kind of endpoint `phone`",
        "  mend: use one of mobile, landline, email, postal",
        "11:39: use of a rule has no `days_ago`",
        "  mend: write `days_ago: 2`",
        "12:13: `expect` has no `outcome`",
        "  mend: write `outcome: contact`",
        "12:35: unknown rule `cures`",
        "  mend: write `cured`",
    ]


def test_a_case_that_is_no_case_is_told(rulebook: Rulebook):
    """Each thing a case must have is asked for by name, with an example."""
    text = file_of("name: x\ngiven: {stage: reminded}", "name: x\nexpect: {outcome: contact, because: []}")
    assert refusal(rulebook, text).replace("small.test.yaml:", "").splitlines() == [
        "7:5: case has no `expect`",
        "  mend: write `expect: {outcome: contact, because: [sms-day-1]}`",
        "9:5: case has no `given`",
        "  mend: write `given: {stage: reminded, facts: {dpd: 3}}`",
    ]


def test_two_cases_of_one_name_are_refused(rulebook: Rulebook):
    """The name is how a failure is found again."""
    one = case("same", "stage: reminded", "outcome: contact, because: [sms]")
    assert refusal(rulebook, file_of(one, one)) == (
        "small.test.yaml:10:5: scenario `same` stands twice, first on line 7\n  mend: say in its name what is different"
    )


def test_a_scenario_file_is_for_a_strategy_that_is_loaded(rulebook: Rulebook):
    """A misspelt strategy would leave the real one untested."""
    assert refusal(rulebook, "strategy: smaller\ncases: []\n") == (
        "small.test.yaml:1:11: unknown strategy `smaller`\n  mend: write `small`"
    )


def test_a_mistake_in_the_defaults_is_told_once(rulebook: Rulebook):
    """However many cases are laid over it."""
    case = "name: {}\ngiven: {{stage: reminded}}\nexpect: {{outcome: contact, because: [sms]}}"
    text = file_of(case.format("a"), case.format("b")).replace("dpd: 2", "dpd: -2")
    assert refusal(rulebook, text) == (
        "small.test.yaml:4:35: fact `dpd` is out of its range\n  mend: write a number from 0 to 9999"
    )
