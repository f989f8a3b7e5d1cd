"""Templates before the packs: each text judged as it is used, refused at its own words, and telling the gate what it says."""

from pathlib import Path

import pytest

from channels.template_file import Templates, read_templates
from channels.template_text import spoken
from channels.template_wording import facts_by_channel, wording_problems
from compliance import read_pack, shipped_packs
from compliance.pack import Rule
from compliance.wording import wording_rules
from engine.catalogue import load_catalogue
from engine.rulebook import Rulebook, read_rulebook

SHIPPED = Path(__file__).parents[2] / "rules" / "templates"
PACK = """\
pack: house.mine
title: {en: Mine, zh: 我的}
places: [everywhere]
actors: [first_party]
status: house
provenance: verified
from: 2026-01-01
review_on: 2027-01-01
rules:
  - id: house.mine.stop
    kind: wording
    says: {en: Messages say how to stop them., zh: 信息须说明退订。}
    channels: [sms, email]
    except_roles: [contact_person]
    requires: {opt_out_notice: {any: ["{{ opt_out }}"], zh: [退订], en: [reply STOP]}}
    citation: House policy 1
  - id: house.mine.threats
    kind: wording
    says: {en: No text threatens., zh: 不得威胁。}
    forbids: {threat: {en: [arrest*], zh: [坐牢]}}
    citation: House policy 2
  - id: house.mine.silence
    kind: wording
    says: {en: Outsiders learn nothing., zh: 不得告知外人。}
    roles: [contact_person]
    forbids: {mentions_debt: {any: ["{{ loan.* }}", "{amount}"], en: [loan*], zh: [贷款]}}
    citation: House policy 3
  - id: house.mine.late
    kind: wording
    says: {en: Nothing is late before it is., zh: 未逾期不得称逾期。}
    before_due: true
    forbids: {past_due: {any: ["{{ loan.overdue }}"], en: [past due], zh: [逾期]}}
    citation: House policy 4
"""
NOTE = """\
template: note
channels: [sms, email]
purpose: collect
en:
  subject: A note
  text: >-
    {{ lender.name }}: please call
    {{ lender.phone }}. {{ opt_out }}
zh:
  subject: 通知
  text: >-
    请致电{{ lender.phone }}。{{ opt_out }}
"""
STRATEGY = """\
strategy: card
applies_to: product = 'card'
currency: USD
moves:
  - {id: up, from: current, to: reminded, when: dpd >= 1}
  - {id: cured, from: reminded, to: current}
stages:
  current:
    - {id: soon, when: days_to_due <= 3, act: {sms: note}, because: A courtesy.}
  reminded:
    - {id: later, when: dpd >= 1, act: [{sms: note}, {email: note}], because: A reminder.}
"""
RULES = wording_rules([read_pack(PACK, "mine.yaml")])
LATER = STRATEGY.partition("  reminded:\n")[2]
LATE = STRATEGY.replace("when: days_to_due <= 3", "when: [days_to_due <= 3, dpd >= 1]")
OUTSIDE = LATE.replace("act: {sms: note}", "act: {sms: note}, to: [borrower, contact_person]")


def templates(*texts: str) -> Templates:
    return read_templates({f"{number}.yaml": text for number, text in enumerate(texts)})


def book(said: Templates, strategy: str = STRATEGY) -> Rulebook:
    facts = facts_by_channel(said, RULES)
    return read_rulebook({"s.yaml": strategy}, catalogue=load_catalogue(), queues=(), templates=facts)


def problems(text: str, strategy: str = STRATEGY, rules: list[Rule] = RULES) -> list[str]:
    said = templates(text)
    return [str(problem) for problem in wording_problems(said, book(said, strategy), rules)]


def content(text: str, channel="sms") -> dict:
    return dict(facts_by_channel(templates(text), RULES)[channel]["note"].content)


def test_a_text_that_keeps_every_rule_is_not_refused():
    assert problems(NOTE) == problems(NOTE, OUTSIDE) == []


@pytest.mark.parametrize(
    ("was", "now", "refusals"),
    [
        ("please call\n", "or be ARRESTED,\n    please call\n",
         [("0.yaml:7:30: `en` says `ARRESTED`: `threat`, which house.mine.threats (House policy 2) forbids\n"
          "  mend: say it otherwise: No text threatens")]),
        ("A note", "Arrest!",
         [("0.yaml:5:12: `subject` of `en` says `Arrest`: `threat`, which house.mine.threats (House policy 2) forbids\n"
          "  mend: say it otherwise: No text threatens")]),
        ("请致电", "否则坐 牢，请致电",
         [("0.yaml:12:7: `zh` says `坐 牢`: `threat`, which house.mine.threats (House policy 2) forbids\n"
          "  mend: say it otherwise: No text threatens")]),
        ("{{ lender.phone }}. {{ opt_out }}", "{{ lender.phone }}.",
         [("0.yaml:4:1: `en` does not say `opt_out_notice` by sms and email, which house.mine.stop (House policy 1) requires\n"
          "  mend: say `{{ opt_out }}` or `reply STOP`, outside of any `{% if %}`")]),
        ("。{{ opt_out }}", "。{% if promise %}{{ opt_out }}{% endif %}",
         [("0.yaml:9:1: `zh` does not say `opt_out_notice` by sms and email, which house.mine.stop (House policy 1) requires\n"
          "  mend: say `{{ opt_out }}` or `退订`, outside of any `{% if %}`")]),
        ("please call\n", "it is past\n    due, please call\n",
         [("0.yaml:7:30: `en` says `past due`: `past_due`, which house.mine.late (House policy 4) forbids; rule `soon` can match then\n"
          "  mend: say it otherwise: Nothing is late before it is; or add `dpd >= 1` to the `when` of rule `soon`")]),
    ],
)  # fmt: skip
def test_each_refusal_names_the_words_the_rule_and_the_mend(was: str, now: str, refusals: list[str]):
    """Words at their own place, whichever part or way of writing they stand in; what is missing at its language."""
    assert was in NOTE
    assert problems(NOTE.replace(was, now, 1)) == refusals


def test_a_value_is_a_word_too():
    """What a condition guards is said to some, and refused where it stands."""
    guarded = "{% if loan.overdue %}{{ loan.overdue }}{% endif %}"
    said = problems(
        NOTE.replace("please call\n", f"please call\n    {guarded}\n").replace("请致电", f"{guarded}请致电")
    )
    what = "says `{{ loan.overdue }}`: `past_due`, which house.mine.late (House policy 4) forbids; rule `soon` can match then"
    assert [problem.partition("\n")[0] for problem in said] == [
        f"0.yaml:8:26: `en` {what}",
        f"0.yaml:13:26: `zh` {what}",
    ]


def test_lateness_is_for_rules_that_wait_for_it():
    """The same text passes where every rule that sends it asks for `dpd >= 1`, and where no rule sends it at all."""
    late = NOTE.replace("please call\n", "it is past due, please call\n")
    assert problems(late, LATE) == []
    unsent = templates(late.replace("template: note", "template: other"), NOTE)
    assert wording_problems(unsent, book(unsent), RULES) == []


def test_a_text_to_somebody_outside_the_contract():
    """The role decides what a text may say and must, and the refusal names the rule that addresses it."""
    loan = NOTE.replace("please call\n", "about the loan,\n    please call\n")
    assert problems(loan, LATE) == []
    assert problems(loan, OUTSIDE) == [
        (
            "0.yaml:7:34: `en` says `loan`: `mentions_debt`, which house.mine.silence (House policy 3) forbids "
            "where rule `soon` addresses a contact_person\n  mend: say it otherwise: Outsiders learn nothing"
        )
    ]
    silent = NOTE.replace("{{ opt_out }}", "").replace("[sms, email]", "[sms]")
    both = OUTSIDE.replace(LATER, "    []\n")
    assert len(problems(silent, both)) == 2, "the borrower is owed an opt-out line, in both languages"
    assert problems(silent, both.replace("[borrower, contact_person]", "contact_person")) == []


def test_a_mail_says_it_in_both_forms():
    """Whoever reads the HTML reads no opt-out line; markup hides no words."""
    html = NOTE.replace("zh:\n", "  html: <p>{{ lender.phone }}</p>\nzh:\n")
    assert problems(html) == [
        (
            "0.yaml:4:1: `html` of `en` does not say `opt_out_notice` by email, which house.mine.stop (House policy 1) requires\n"
            "  mend: say `{{ opt_out }}` or `reply STOP`, outside of any `{% if %}`"
        )
    ]
    bold = NOTE.replace("zh:\n", "  html: <p>it is <b>past</b>&nbsp;<i>due</i> {{ opt_out }}</p>\nzh:\n")
    mail = LATE.replace(
        "when: [days_to_due <= 3, dpd >= 1], act: {sms: note}", "when: days_to_due <= 3, act: {email: note}"
    )
    assert [one.partition(", which")[0] for one in problems(bold, mail)] == [
        "0.yaml:9:21: `html` of `en` says `past due`: `past_due`"
    ]


def test_what_a_condition_hides_is_not_always_said():
    """Tags and comments are no words; what stands inside a condition is said to some."""
    text = "A {% if loan %}B {{ loan.ref }}{% else %}C{% endif %}{# D #} E"
    assert spoken(text).split() == ["A", "B", "{{", "loan.ref", "}}", "C", "E"]
    assert spoken(text, always=True).split() == ["A", "E"]
    assert len(spoken(text)) == len(spoken(text, always=True)) == len(text)
    nested = "{% if loan %}{% if promise %}A{% endif %}B{% endif %}C"
    assert spoken(nested, always=True).split() == ["C"]


# -- what the gate is told -------------------------------------------------------------------------------------------------


def test_the_gate_is_told_what_a_text_says_on_each_channel():
    """By name what is said, by id the rules it would break; a rule that is not about the channel says nothing."""
    text = NOTE.replace("[sms, email]", "[sms, email, letter]").replace(
        "please call\n", "about the loan: please call\n"
    )
    assert content(text) == {"opt_out_notice": True, "mentions_debt": True, "house.mine.silence": False}
    assert content(text, "email") == content(text)
    assert content(text, "letter") == {"mentions_debt": True, "house.mine.silence": False}
    assert facts_by_channel(templates(text), RULES)["visit"] == {}
    assert facts_by_channel(templates(text), RULES)["sms"]["note"].purpose == "collect"


@pytest.mark.parametrize(("was", "now"), [(". {{ opt_out }}", "."), ("。{{ opt_out }}", "。")])
def test_what_one_language_leaves_out_is_not_claimed(was: str, now: str):
    """Somebody may be sent that language."""
    assert content(NOTE) == {"opt_out_notice": True}
    assert content(NOTE.replace(was, now, 1)) == {"house.mine.stop": False}


def test_a_form_of_a_mail_that_leaves_it_out_counts():
    """The text message of the same template has no HTML, and a subject need not say everything."""
    html = NOTE.replace("zh:\n", "  html: <p>{{ lender.phone }}</p>\nzh:\n")
    assert content(html, "email") == {"house.mine.stop": False}
    assert content(html) == {"opt_out_notice": True}


# -- the shipped texts -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> Templates:
    return read_templates({path.name: path.read_text(encoding="utf-8") for path in SHIPPED.glob("*.yaml")})


def test_each_kind_of_rule_has_something_to_say_of_the_shipped_texts(shipped: Templates):
    """No shipped rule about wording is idle: of forty texts each name that is required is said, and by all that owe it."""
    rules = wording_rules(shipped_packs(), actor="first_party")
    said = [facts.content for by_name in facts_by_channel(shipped, rules).values() for facts in by_name.values()]
    names = {element.name for rule in rules for element in getattr(rule.limit, "requires", ())}
    assert names == {
        "opt_out_notice", "institution_named", "way_to_get_help", "account_named", "amount_stated", "objection_route",
    }  # fmt: skip
    for name in names:
        assert {facts[name] for facts in said if name in facts} == {True}, name
    assert not [
        facts for facts in said if facts.keys() & {"threat", "abusive_language", "telling_others", "false_authority"}
    ]
