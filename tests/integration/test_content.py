"""From the words of a template to the law's answer: what a text leaves out is refused, with the place in the law."""

from dataclasses import replace
from datetime import UTC, datetime
from functools import cache

import pytest

from channels.template_file import read_templates
from channels.template_wording import facts_by_channel
from compliance import Gate, shipped_packs
from compliance.wording import wording_rules
from engine.catalogue import load_catalogue
from engine.decision import LoanDecision
from engine.gate import Reason, Statement
from engine.matching import InterpreterMatcher
from engine.resolution import decide
from engine.rulebook import Rulebook, read_rulebook
from engine.situation import Situation
from tests.situations import FakeGate, loan, only, person, resolve, situation

CATALOGUE = load_catalogue()
NOW = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
"""Eleven in Shanghai."""
NEW_YORK = datetime(2026, 11, 24, 16, 0, tzinfo=UTC)
STRATEGY = """\
strategy: test
applies_to: product = 'personal'
currency: CNY
moves:
  - {id: up, from: current, to: reminded, when: dpd >= 1}
  - {id: cured, from: reminded, to: current}
stages:
  reminded:
    - {id: message, purpose: service, when: dpd >= 1, act: {sms: note}, because: A test.}
    - {id: visit, when: dpd >= 1, act: {visit: {queue: field, script: brief}}, because: A test.}
"""
BRIEF = "template: brief\nchannels: [visit]\npurpose: collect\nen: {text: Two of you about the debt.}\nzh: {text: 两人同行。}\n"
WHOLE = "{{ lender.name }}: please call {{ lender.phone }}. {{ opt_out }}"


@cache
def gate() -> Gate:
    return Gate(shipped_packs(CATALOGUE))


def book(text: str = WHOLE, *, strategy: str = STRATEGY) -> Rulebook:
    note = f"template: note\nchannels: [sms]\npurpose: service\nen: {{text: '{text}'}}\nzh: {{text: '{text}'}}\n"
    templates = read_templates({"note.yaml": note, "brief.yaml": BRIEF})
    return read_rulebook(
        {"test.yaml": strategy},
        catalogue=CATALOGUE,
        queues={"field"},
        templates=facts_by_channel(templates, wording_rules(gate().packs)),
    )


def somewhere(country: str, zone: str, **changes: object) -> Situation:
    """A loan five days past due of somebody who has agreed to be written to."""
    agreed = Statement("consent", 0, scope="electronic", channels=("sms",), given_to="collector")
    borrower = person(zones=(zone,), jurisdictions=(country,), statements=(agreed,))
    return replace(situation(loan(facts={"product": "personal"})), borrower=borrower, **changes)  # type: ignore[arg-type]


CHINA = somewhere("CN", "Asia/Shanghai")
AMERICA = somewhere("US", "America/New_York", actor="agency")


def decided(case: Situation, rules: Rulebook, now: datetime) -> LoanDecision:
    return only(decide(case, rules, gate(), now, InterpreterMatcher(rules.strategies)))


def refusals(case: Situation, rules: Rulebook, rule: str, now: datetime) -> dict[str, Reason]:
    """What the gate refused about a rule's act, by limit."""
    (candidate,) = (c for c in decided(case, rules, now).candidates if c.rule == rule)
    verdict = candidate.acts[0].verdict
    return {reason.rule: reason for reason in (verdict.reasons if verdict else ()) if reason.outcome == "deny"}


def test_a_message_without_an_opt_out_line_is_refused_with_the_citation():
    """Regulation F, which binds agencies, asks every electronic message to say how to stop them."""
    missing = refusals(AMERICA, book("{{ lender.name }}: please call {{ lender.phone }}."), "message", NEW_YORK)
    assert missing["us.regf.optout_notice"].citation == "12 CFR 1006.6(e)"
    assert "us.regf.optout_notice" not in refusals(AMERICA, book(), "message", NEW_YORK)


def test_a_message_that_does_not_say_who_writes_is_refused_with_the_citation():
    """The Chinese guidelines ask that the institution is named; a text in whose one language it is not is refused."""
    assert refusals(CHINA, book(), "message", NOW) == {}
    missing = refusals(CHINA, book("please call {{ lender.phone }}. {{ opt_out }}"), "message", NOW)
    assert {rule: reason.citation for rule, reason in missing.items()} == {
        "cn.cba2026.identity": "CBA guidelines 2026-01-30",
        "cn.cba2026.identity.text": "CBA guidelines 2026-01-30",
        "house.default.identity": "House policy 13",
    }


@pytest.mark.parametrize(("collectors", "refused"), [(None, True), (1, True), (2, False), (3, False)])
def test_nobody_is_visited_by_one_collector_where_the_law_asks_for_two(collectors: int | None, refused: bool):
    """How many go is the strategy's to say; said nothing, one does, and that is refused."""
    field = "" if collectors is None else f", collectors: {collectors}"
    rules = book(strategy=STRATEGY.replace("script: brief}", f"script: brief{field}}}"))
    assert ("cn.cba2026.visit" in refusals(CHINA, rules, "visit", NOW)) is refused


def test_a_contact_that_covers_another_loan_is_asked_about_with_its_content():
    """The question whether one message may speak for a second loan tells the gate what the message says."""
    asked = FakeGate()
    two = replace(CHINA, loans=(loan(100, facts={"product": "personal"}), loan(101, facts={"product": "personal"})))
    resolve(two, book(strategy=STRATEGY.replace("script: brief}", "script: brief, collectors: 2}")), asked)
    visits = [ask for ask, _ in asked.asked if ask.channel == "visit"]
    assert [ask.debts for ask in visits] == [(100,), (101,), (101,)], "each loan for itself, then the cover"
    assert {ask.content["collectors_present"] for ask in visits} == {2}
    assert {ask.content["template"] for ask in visits} == {"brief"}
    assert {ask.content["mentions_debt"] for ask in visits} == {True}
