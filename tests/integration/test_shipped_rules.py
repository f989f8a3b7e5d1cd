"""The strategies, templates, queues and facts that ship with Duecourse: sound, tested whole, and written in two languages."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from channels.render import Values, render
from channels.template_file import Template, Templates, read_templates
from channels.template_wording import facts_by_channel, wording_problems
from compliance import Gate, shipped_packs
from compliance.wording import wording_rules
from config.queues import read_queues
from duecourse.people import ANSWERS
from duecourse.workspace import open_workspace
from engine.catalogue import load_catalogue
from engine.errors import RuleError, SettingsError
from engine.facts import Catalogue
from engine.gate import CHANNELS, Ask
from engine.interpreter import evaluate
from engine.matching import InterpreterMatcher, LiveMatcherSet
from engine.rulebook import Rulebook, read_rulebook
from engine.scenario import Scenario, ScenarioResult, coverage, run_scenarios
from engine.scenario_file import read_scenarios
from engine.stages import EDGE
from engine.strategy import Rule, Strategy
from workflows.deciding.allotment import Queue
from workflows.deciding.scenario_sql import SqlMatcher

ROOT = Path(__file__).parents[2]
WORDING = wording_rules(shipped_packs(load_catalogue()), actor="first_party")
STRATEGIES = ("cn-consumer-finance", "us-card")


def texts(pattern: str) -> dict[str, str]:
    return {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in sorted(ROOT.glob(pattern))}


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(*((text, file) for file, text in texts("rules/facts.yaml").items()))


@pytest.fixture(scope="module")
def queues(catalogue: Catalogue) -> dict[str, Queue]:
    ((file, text),) = texts("config/queues.yaml").items()
    return dict(read_queues(text, file, catalogue))


@pytest.fixture(scope="module")
def templates() -> Templates:
    return read_templates(texts("rules/templates/*.yaml"))


@pytest.fixture(scope="module")
def rulebook(catalogue: Catalogue, queues: dict[str, Queue], templates: Templates) -> Rulebook:
    files = {
        file: text for file, text in texts("rules/*.yaml").items() if not file.endswith((".test.yaml", "facts.yaml"))
    }
    return read_rulebook(files, catalogue=catalogue, queues=queues, templates=facts_by_channel(templates, WORDING))


@pytest.fixture(scope="module")
def scenarios(rulebook: Rulebook) -> list[Scenario]:
    return [case for file, text in texts("rules/*.test.yaml").items() for case in read_scenarios(text, file, rulebook)]


@pytest.fixture(scope="module")
def results(rulebook: Rulebook, catalogue: Catalogue, scenarios: list[Scenario]) -> list[ScenarioResult]:
    matchers = {
        "interpreter": InterpreterMatcher(rulebook.strategies),
        "live": LiveMatcherSet(rulebook.strategies),
        "sweep": SqlMatcher(rulebook),
    }
    return run_scenarios(scenarios, rulebook, Gate(shipped_packs(catalogue)), matchers)


def rules_of(strategy: Strategy) -> Iterator[Rule]:
    for rules in strategy.rules.values():
        yield from rules


def all_rules(rulebook: Rulebook) -> list[Rule]:
    return [rule for strategy in rulebook.strategies.values() for rule in rules_of(strategy)]


def test_both_ladders_are_read_without_a_problem(rulebook: Rulebook):
    """The shipped files pass every check: facts, templates, scripts, queues, stages, edges, overlaps, ids."""
    assert tuple(sorted(rulebook.strategies)) == STRATEGIES


def test_every_scenario_passes_on_every_target_with_the_shipped_law(results: list[ScenarioResult]):
    """Interpreter, live engine and SQL come to the expected outcome, for the expected reasons, under the shipped packs."""
    failed = [f"{r.at} {r.target}: {r.name}: {'; '.join(r.problems)}" for r in results if not r.passed]
    assert not failed, "\n".join(failed)
    assert {result.target for result in results} == {"interpreter", "live", "sweep"}


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_rule_and_move_fires_in_one_scenario_and_is_held_in_another(
    name: str, rulebook: Rulebook, scenarios: list[Scenario], results: list[ScenarioResult]
):
    """No shipped rule or move is untested, in either direction."""
    assert [str(problem) for problem in coverage(rulebook.strategies[name], scenarios, results)] == []


def test_the_two_ladders_use_every_construct_of_the_language(rulebook: Rulebook):
    """A reader finds an example of everything a strategy file can say."""
    rules, strategies = all_rules(rulebook), list(rulebook.strategies.values())
    moves = [move for strategy in strategies for move in strategy.moves]
    directions = {EDGE[source, move.target].direction for move in moves for source in move.sources}
    assert directions == {"forward", "back", "cure", "close"}
    assert any(move.sources[0] == "current" and move.target == "phone" for move in moves), "a skip"
    assert {EDGE[s, m.target].duty for m in moves for s in m.sources if m.notice_days} == {
        "visit_notice",
        "prelegal_notice",
    }
    assert {rule.purpose for rule in rules} == {"collect", "required_notice", "service"}
    assert {role for rule in rules for role in rule.to} == {"borrower", "guarantor", "co_borrower"}
    assert {act.channel for rule in rules for act in rule.acts} == set(CHANNELS)
    assert {rule.repeat.per for rule in rules} == {None, "due_date", "episode", "promise", "stage", "year"}
    assert {rule.notice for rule in rules} == {None, "visit_notice", "prelegal_notice"}
    listened = frozenset[str]().union(*(rule.on for rule in rules))
    assert {"cured", "payment_reversed", "promise_broken", "delivery_failed"} <= listened
    for what, used in {
        "several acts": any(len(rule.acts) > 1 for rule in rules),
        "counts": any(rule.repeat.outcomes for rule in rules),
        "send.days": any(rule.send.days for rule in rules),
        "send.between": any(rule.send.from_minute for rule in rules),
        "valid": any(rule.valid_from and rule.valid_until for rule in rules),
        "valid_for": len({rule.valid_for for rule in rules}) > 1,
        "was": any(rule.was for rule in rules),
        "arms": any(strategy.arms for strategy in strategies),
        "define": all(strategy.define for strategy in strategies),
        "entry": all(strategy.entry for strategy in strategies),
        "promise": all(strategy.promise.blocks and strategy.promise.remind_days_before for strategy in strategies),
        "cure": all(strategy.cure.tolerance_minor for strategy in strategies),
        "feed": all(strategy.feed_age_max for strategy in strategies),
    }.items():
        assert used, what


def test_every_queue_is_used_and_limited(rulebook: Rulebook, queues: dict[str, Queue]):
    """No queue stands idle in the file, and each says how much it takes and whose turn comes first."""
    used = {act.queue for rule in all_rules(rulebook) for act in rule.acts if act.queue}
    assert used == set(queues)
    assert all(queue.capacity_per_day and queue.rank_by for queue in queues.values())


def test_every_template_is_used(rulebook: Rulebook, templates: Templates):
    """No template is left over: each is sent by a rule, answers what somebody wrote, or is the one a machine reads out."""
    answers = {template.name for template in templates.by_name.values() if template.purpose in ANSWERS}
    # No shipped ladder has machines call: that takes a consent that few lenders have asked for.
    spoken = {template.name for template in templates.by_name.values() if template.recorded}
    assert {act.name for rule in all_rules(rulebook) for act in rule.acts} | answers | spoken == set(templates.by_name)
    assert spoken == {"please-call-back"}


def test_a_rule_that_speaks_for_a_purpose_uses_a_text_written_for_it(rulebook: Rulebook, templates: Templates):
    """A service message never carries a demand, and a required notice is worded as one."""
    wrong = [
        (rule.id, act.name)
        for rule in all_rules(rulebook)
        for act in rule.acts
        if templates.get(act.name, act.channel).purpose != rule.purpose
    ]
    assert not wrong


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("stage_facts", [{}, {"visit_notice_effective_days": 5, "prelegal_notice_effective_days": 40}])
def test_entry_rules_leave_no_gap(name: str, stage_facts: dict[str, int], rulebook: Rulebook):
    """Whatever the days past due, exactly one entry rule is meant first, and arrears grow with the stage."""
    strategy, last = rulebook.strategies[name], -1
    order = ["current", "reminded", "phone", "field_visit", "legal"]
    for dpd in range(800):
        facts = {"dpd": dpd, "balance": 100_00, **stage_facts}
        entered = next((rule.stage for rule in strategy.entry if evaluate(rule.when, facts) is True), None)
        assert entered is not None, dpd
        assert order.index(entered) >= last, dpd
        last = order.index(entered)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("served", [{}, {"visit_notice_effective_days": 300, "prelegal_notice_effective_days": 300}])
def test_no_rule_goes_on_for_ever(name: str, served: dict[str, int], rulebook: Rulebook):
    """Two years past due nobody is contacted any more: what is left is a task for a person who decides."""
    strategy = rulebook.strategies[name]
    facts = {
        "dpd": 730, "overdue_amount": 5_000_00, "balance": 9_000_00, "pending_amount": 0, "promise_open": False,
        "has_mobile": True, "mobile_valid": True, "has_email": True, "email_valid": True, "sms_consent": True,
        "email_consent": True, "arm": "champion", "best_call_time": "evening", "risk_band": "e", "calls_7d": 0,
        "conversations_14d": 0, "unanswered_7d": 5, "broken_promises_episode": 0, "days_to_payday": 0,
        "utilisation": 99, "visits_30d": 0, "visits_refused_90d": 0, "days_since_message": 30, "charged_off": True,
        "custody": "in_house", "reachability": "lost", "hardship": True, "has_guarantor": True,
        "guarantor_notice_agreed": True, **served,
    }  # fmt: skip
    moves = [move for move in strategy.moves if evaluate(move.when, facts) is True]
    for stage in sorted(strategy.rules.keys() - {"closed"}):
        if any(stage in move.sources for move in moves):
            continue  # it does not stay there
        matching = [
            rule for rule in strategy.rules[stage]
            if not rule.on and evaluate(rule.when, facts) is True and rule.repeat.per not in {"stage", "episode"}
        ]  # fmt: skip
        assert matching, f"{stage}: the ladder ends nowhere"
        assert {act.channel for rule in matching for act in rule.acts} == {"legal"}, [rule.id for rule in matching]


LANGUAGES = ("en", "zh")
VALUES = Values(
    borrower_name="Sample Client",
    addressee_name="Sample Guarantor",
    lender_name="Example Lender",
    lender_phone="+1 555 0100",
    lender_url="https://lender.example",
    loan_ref="CN-1234567",
    product="personal",
    currency="CNY",
    overdue_minor=1_234_56,
    balance_minor=18_000_00,
    min_payment_minor=640_00,
    due_on=date(2026, 4, 1),
    first_unpaid_on=date(2026, 3, 1),
    dpd=12,
    promise_minor=500_00,
    promise_due_on=date(2026, 3, 20),
)


def spoken(templates: Templates) -> Iterable[tuple[Template, str, str]]:
    for template in templates.by_name.values():
        for channel in template.channels:
            for language in LANGUAGES:
                yield template, channel, language


def test_every_template_renders_in_both_languages(templates: Templates):
    """Every text comes out whole, in the language asked for, and signed by the lender wherever somebody outside reads it."""
    for template, channel, language in spoken(templates):
        said = render(template, channel, language, VALUES)  # type: ignore[arg-type]
        assert said.language == language
        assert "{" not in said.text + said.subject, template.name
        assert bool(said.subject) == (channel in {"email", "letter"}), template.name
        if channel in {"sms", "email", "letter"}:
            assert "Example Lender" in said.text, template.name
        # The confirmation of a stop says nothing else.
        if channel in {"sms", "email", "letter"} and template.purpose != "opt_out_confirmation":
            assert "+1 555 0100" in said.text or "lender.example" in said.text, template.name


def test_what_goes_out_before_the_due_date_speaks_of_nothing_late(templates: Templates, rulebook: Rulebook):
    """A courtesy renders for a loan with nothing past due; a collecting text would be refused."""
    current = replace(VALUES, dpd=0, overdue_minor=0, first_unpaid_on=None)
    for strategy in rulebook.strategies.values():
        for rule in strategy.rules["current"]:
            for act in rule.acts:
                for language in LANGUAGES:
                    assert render(templates.get(act.name, act.channel), act.channel, language, current).text


def test_no_shipped_text_is_refused_by_any_pack(templates: Templates, rulebook: Rulebook):
    """Whatever the day and the place, a lender may use every text as it ships: nothing forbidden, nothing missing."""
    assert [str(problem) for problem in wording_problems(templates, rulebook, WORDING)] == []


def test_every_collecting_text_says_how_to_get_help_and_where_to_pay(templates: Templates):
    """Whoever reads a demand finds a telephone number to talk to and an address to pay at in the same text."""
    for template in templates.by_name.values():
        if template.purpose == "collect" and not {"call", "visit", "legal"}.intersection(template.channels):
            assert {"lender.phone", "lender.url"} <= template.uses, template.name


def test_an_agency_that_sends_the_shipped_texts_is_told_what_they_lack():
    """Regulation F binds agencies: until their texts say so in each language, no strategy of theirs is read."""
    agency = open_workspace(ROOT, {"actor": "agency"})
    with pytest.raises(RuleError) as refused:
        _ = agency.rulebook
    written = [t for t in agency.templates.by_name.values() if {"sms", "email", "letter"}.intersection(t.channels)]
    assert len(refused.value.problems) == 2 * len(written)
    assert str(refused.value.problems[0]) == (
        "rules/templates/charge-off-notice.yaml:4:1: `en` does not say `collector_disclosure` by letter and email, which "
        "us.regf.disclosure.text (12 CFR 1006.18(e)(1), (2), (4)) requires\n"
        "  mend: say `debt collector*` or `attempt to collect a debt` or `attempting to collect a debt`, "
        "outside of any `{% if %}`"
    )


def test_an_agency_in_one_country_keeps_the_law_of_that_country():
    """No American disclosure in Chinese texts; and nobody in America is contacted."""
    agency = open_workspace(ROOT, {"actor": "agency", "countries": ["CN"]})
    assert agency.rulebook.strategies
    now = datetime(2026, 3, 11, 3, 0, tzinfo=UTC)
    mail = Ask(
        "contact", "email", "collect", "borrower", 1, (1,), ("US", "US-MA"), ("America/New_York",), actor="agency"
    )
    assert [reason.rule for reason in agency.gate.check(mail, now).reasons] == ["gate.unknown.jurisdiction"]
    assert open_workspace(ROOT, {"actor": "agency"}).gate.check(mail, now).reasons[0].rule.startswith("us.")


def test_a_country_without_a_pack_is_refused():
    with pytest.raises(SettingsError) as refused:
        _ = open_workspace(ROOT, {"countries": ["CN", "FR"]}).gate
    assert str(refused.value) == (
        "`countries` names FR, and no pack holds the law of it\n"
        "  mend: take it out: nobody is contacted where the law is not known"
    )
