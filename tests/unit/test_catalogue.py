"""The fact catalogue: complete, documented in two languages, and strict about what lenders add."""

import re

import pytest

from engine.catalogue import SUPPLIERS, load_catalogue
from engine.errors import RuleError
from engine.facts import Counter

STARTING_LIST = """
dpd days_to_due days_in_stage days_in_episode days_since_payment days_since_call days_since_conversation days_since_message
days_to_promise days_past_promise days_to_payday days_since_statement prelegal_notice_effective_days
visit_notice_effective_days limitation_days_left guarantee_days_left enforcement_days_left feed_age instalments_overdue
cycles_past_due max_dpd_12m episodes_12m broken_promises_episode reversals_90d calls_7d conversations_7d messages_7d
unanswered_7d open_complaints overdue_amount balance min_payment_due pending_amount promised_amount monthly_income
promise_paid utilisation self_cure_probability first_payment_default autopay debit_failed has_mobile mobile_valid has_email
email_valid sms_consent email_consent promise_open plan_active represented disputed hardship bankrupt deceased vulnerable
accelerated charged_off case_open has_guarantor product currency country region language stage risk_band warning_level
custody arm willingness overdue_reason reachability legal_step preferred_channel
"""

FACTS = "facts:\n  score: {type: int, unit: count, range: [0, 9], absent: not told, en: A score., zh: 评分}\n"


def refusal(*files: tuple[str, str]) -> list[str]:
    """The whole messages with which the files are refused."""
    with pytest.raises(RuleError) as refused:
        load_catalogue(*files)
    return [str(problem) for problem in refused.value.problems]


def test_everything_a_head_of_collections_asked_for_is_there() -> None:
    """At least sixty facts, and every one of the starting list."""
    facts = load_catalogue().facts
    assert set(STARTING_LIST.split()) <= set(facts)
    assert len(facts) >= 60


def test_every_fact_is_whole() -> None:
    """A supplier, what absent means, a meaning in English and in Chinese; numbers have a range."""
    for fact in load_catalogue().facts.values():
        assert fact.supplier in SUPPLIERS
        assert fact.absent
        assert fact.meaning_en.endswith(".")
        assert re.search("[\u4e00-\u9fff]", fact.meaning_zh)
        if fact.type in {"int", "money"}:
            assert fact.low is not None
            assert fact.high is not None
            assert fact.unit


def test_days_since_what_never_happened_are_the_top_of_the_range() -> None:
    """So that `days_since_call >= 3` is true of somebody never called."""
    facts = load_catalogue().facts
    since = [fact for name, fact in facts.items() if name.startswith(("days_since_", "days_to_"))]
    assert len(since) >= 8
    assert all(fact.never == fact.high for fact in since)


def test_counters_are_facts_with_a_rule_for_counting() -> None:
    """The four of the starting list, as declared."""
    catalogue = load_catalogue()
    assert catalogue.counters["unanswered_7d"] == Counter(
        "unanswered_7d", ("call",), ("no_answer",), "out", 7, "person"
    )
    assert catalogue.counters["messages_7d"].channels == ("sms", "email")
    assert set(catalogue.counters) == {"calls_7d", "conversations_7d", "messages_7d", "unanswered_7d"}
    for name in catalogue.counters:
        fact = catalogue.facts[name]
        assert (fact.type, fact.unit, fact.low, fact.supplier) == ("int", "count", 0, "contacts")


def test_a_lender_adds_facts_and_counters() -> None:
    """Facts come by import; counters say in words what they count when nobody says it for them."""
    catalogue = load_catalogue(
        (
            FACTS + "counters:\n  replies_14d: {channel: [sms], direction: in, last: 2 weeks, by: loan}\n",
            "rules/facts.yaml",
        )
    )
    assert (catalogue.facts["score"].supplier, catalogue.facts["score"].high) == ("imported", 9)
    assert catalogue.counters["replies_14d"] == Counter("replies_14d", ("sms",), (), "in", 14, "loan")
    fact = catalogue.facts["replies_14d"]
    assert fact.meaning_en == "Text messages by the borrower in the last 14 days, today included, per loan."
    assert fact.meaning_zh == "近 14 天（含今天）对方发起的短信次数，按贷款统计"


BODY = "absent: not told, en: It., zh: 它"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            f"facts:\n  dpd: {{type: bool, {BODY}}}",
            "f.yaml:2:3: `dpd` is built in\n  mend: choose another name, or delete this one",
        ),
        (
            "counters:\n  calls_7d: {channel: call, last: 7 days, by: loan}",
            "f.yaml:2:3: `calls_7d` is built in\n  mend: choose another name, or delete this one",
        ),
        (
            f"facts:\n  Score: {{type: bool, {BODY}}}",
            "f.yaml:2:3: `Score` is not a name\n  mend: use lower-case letters, digits and underscores: `high_risk`",
        ),
        (
            f"facts:\n  between: {{type: bool, {BODY}}}",
            "f.yaml:2:3: `between` is a word of SQL\n  mend: choose another, such as `between_fact`",
        ),
        (
            f"facts:\n  x: {{type: float, {BODY}}}",
            "f.yaml:2:13: unknown type `float`\n  mend: use one of int, money, bool, text",
        ),
        (
            f"facts:\n  x: {{type: int, unit: days, {BODY}}}",
            "f.yaml:2:6: the fact `x` has no `range`\n  mend: write `range: [0, 100]`",
        ),
        (
            f"facts:\n  x: {{type: int, unit: days, range: [9, 0], {BODY}}}",
            (
                "f.yaml:2:37: `range` of the fact `x` is not two whole numbers\n"
                "  mend: write `range: [0, 100]`, the lower first, both within 15 digits"
            ),
        ),
        (
            f"facts:\n  x: {{type: int, unit: days, range: [0, 9], never: 10, {BODY}}}",
            "f.yaml:2:52: `never` of the fact `x` is not a number from 0 to 9\n  mend: write `never: 0`",
        ),
        (
            f"facts:\n  x: {{type: bool, range: [0, 1], {BODY}}}",
            "f.yaml:2:19: the fact `x` is of type bool and has no `range`\n  mend: delete `range`",
        ),
        (
            f"facts:\n  x: {{type: bool, supplier: ledger, {BODY}}}",
            "f.yaml:2:29: nothing computes `x`\n  mend: write `supplier: imported`, and import its values",
        ),
        (
            "facts:\n  x: {type: bool, absent: not told, en: It.}",
            "f.yaml:2:6: the fact `x` has no `zh`\n  mend: write `zh: 含义`",
        ),
        (
            f"facts:\n  x: {{type: bool, unot: days, {BODY}}}",
            "f.yaml:2:19: unknown key of the fact `x` `unot`\n  mend: write `unit`",
        ),
        (
            "counters:\n  x: {channel: cal, last: 7 days, by: person}",
            "f.yaml:2:16: unknown channel `cal`\n  mend: write `call`",
        ),
        (
            "counters:\n  x: {channel: call, last: a week, by: person}",
            "f.yaml:2:28: `last` of the counter `x` is not a number of days\n  mend: write `last: 7 days`",
        ),
        (
            "counters:\n  x: {channel: call, last: 9000 days, by: person}",
            "f.yaml:2:6: `last` of the counter `x` is more than 3660 days\n  mend: write a shorter window, such as `365 days`",
        ),
        ("facts: [a]", "f.yaml:1:8: `facts:` is not a table\n  mend: write one name per line, with its declaration"),
    ],
)
def test_a_declaration_that_means_nothing_is_refused(text: str, message: str) -> None:
    """With its place and its mend."""
    assert refusal((text, "f.yaml")) == [message]


def test_two_files_cannot_declare_the_same_fact() -> None:
    """The second names the place of the first."""
    assert refusal((FACTS, "a.yaml"), (FACTS, "b.yaml")) == [
        "b.yaml:2:3: `score` is already declared at a.yaml:2:3\n  mend: choose another name, or delete this one"
    ]


def test_every_problem_of_every_file_is_told() -> None:
    """Also of files after one that is not YAML."""
    messages = refusal(("facts: [", "a.yaml"), ("facts: {x: {}}", "b.yaml"))
    assert [message.split(":")[0] for message in messages] == ["a.yaml", *["b.yaml"] * 4]
