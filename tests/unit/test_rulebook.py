"""The rulebook: what is wrong with strategies as a whole, and which one applies to a loan."""

import pytest

from engine.catalogue import load_catalogue
from engine.condition import Scope, parse_condition
from engine.content import TemplateFacts, Templates
from engine.errors import RuleError
from engine.matching import InterpreterMatcher
from engine.overlaps import find_overlap
from engine.rulebook import Rulebook, read_rulebook
from engine.source import read_yaml
from tests.situations import loan

CATALOGUE = load_catalogue()
CARD = """\
strategy: card
applies_to: product = 'card'
currency: USD
moves:
  - {id: up, from: current, to: reminded, when: dpd >= 1}
  - {id: cured, from: reminded, to: current}
stages:
  reminded:
    - {id: sms, when: dpd >= 1, act: {sms: friendly}, because: Most forgot.}
    - {id: call, when: dpd >= 9, act: {call: {queue: early, script: first}}, because: Talk.}
"""
PERSONAL = CARD.replace("strategy: card", "strategy: personal").replace("'card'", "'personal'")
TEMPLATES: Templates = {
    "sms": {
        "friendly": TemplateFacts("collect", {"mentions_debt": True, "opt_out_notice": True}),
        "hello": TemplateFacts("service", content={"mentions_debt": False}),
        "call-back": TemplateFacts("collect", content={"mentions_debt": False}),
    },
    "call": {"first": TemplateFacts("collect", content={"mentions_debt": True})},
}


def check(*texts: str) -> Rulebook:
    files = {f"{n}.yaml": text for n, text in enumerate(texts)}
    return read_rulebook(files, catalogue=CATALOGUE, queues={"early"}, templates=TEMPLATES)


def problems(*texts: str) -> list[str]:
    with pytest.raises(RuleError) as caught:
        check(*texts)
    return [str(problem) for problem in caught.value.problems]


def applying(book: Rulebook, **facts: str) -> tuple[str, ...]:
    return InterpreterMatcher(book.strategies).strategies(loan(facts=facts))


def test_a_loan_gets_the_strategies_that_apply():
    """One applies: it is the one; none: none; several: all are told, so that the loan can be left alone."""
    book = check(CARD, PERSONAL)
    assert sorted(book.strategies) == ["card", "personal"]
    assert applying(book, product="card") == ("card",)
    assert applying(book, product="car") == ()
    assert applying(book) == ()
    narrow = check(CARD, PERSONAL.replace("product = 'personal'", "country = 'US'"))
    assert sorted(applying(narrow, product="card", country="US")) == ["card", "personal"]


def test_the_digest_is_of_the_strategies_not_of_their_files():
    """Renaming files changes nothing; changing a strategy does."""
    one = check(CARD, PERSONAL).digest
    assert check(PERSONAL, CARD).digest == one
    assert check(CARD, PERSONAL.replace("dpd >= 9", "dpd >= 10")).digest != one


def test_every_problem_of_every_file_is_raised_at_once():
    """One run tells all: a syntax problem of one file, an unknown queue of another."""
    found = problems(CARD.replace("dpd >= 1,", "dpdd >= 1,"), PERSONAL.replace("queue: early", "queue: erly"))
    assert found == [
        "0.yaml:9:23: unknown fact `dpdd`\n  mend: write `dpd`",
        "1.yaml:10:7: unknown queue `erly`\n  mend: write `early`",
    ]


@pytest.mark.parametrize(
    ("right", "wrong", "message"),
    [
        ("sms: friendly", "sms: frendly", "0.yaml:9:7: unknown sms template `frendly`\n  mend: write `friendly`"),
        (
            "sms: friendly",
            "letter: xyz",
            "0.yaml:9:7: unknown letter template `xyz`\n  mend: write rules/templates/xyz.yaml with a text for letter",
        ),
        ("script: first", "script: frist", "0.yaml:10:7: unknown script `frist`\n  mend: write `first`"),
        (
            "queue: early",
            "queue: zzz",
            "0.yaml:10:7: unknown queue `zzz`\n  mend: declare it in config/queues.yaml",
        ),
        (
            "  reminded:\n",
            "  legal:\n    - {id: x, when: dpd >= 1, act: {sms: friendly}, because: Late.}\n  reminded:\n",
            (
                "0.yaml:9:7: no loan ever reaches stage `legal`\n"
                "  mend: add a move or an `entry` to `legal`, or delete its rules"
            ),
        ),
        (
            "from: reminded, to: current}",
            "from: reminded, to: current}\n  - {id: down, from: phone, to: reminded, when: dpd <= 3, because: Paid.}",
            (
                "0.yaml:7:5: move `down` starts where no loan ever is\n"
                "  mend: add a move that leads to where it starts, or delete it"
            ),
        ),
        (
            "  - {id: cured, from: reminded, to: current}\n",
            "",
            (
                "0.yaml:2:13: stage `reminded` has no way out for a loan that is paid\n"
                "  mend: add a move such as `{id: cured, from: reminded, to: current}`, which needs no `when`"
            ),
        ),
        (
            "from: reminded, to: current}",
            "from: [reminded, legal], to: current}\n  - {id: sue, from: reminded, to: legal, when: dpd >= 90}",
            (
                "0.yaml:7:5: move `sue` owes a prelegal_notice, and no rule gives one\n"
                "  mend: add `notice: prelegal_notice` to the required notice that announces it"
            ),
        ),
        (
            "sms: friendly",
            "sms: hello",
            (
                "0.yaml:9:7: rule `sms` has purpose `collect`, and template `hello` is written for `service`\n"
                "  mend: use a template written for `collect`, or mend the purpose of one of them"
            ),
        ),
        (
            "act: {sms: friendly}",
            "act: {sms: friendly}, purpose: service",
            (
                "0.yaml:9:7: rule `sms` has purpose `service`, and template `friendly` is written for `collect`\n"
                "  mend: use a template written for `service`, or mend the purpose of one of them"
            ),
        ),
    ],
)
def test_each_mistake_is_told_with_place_and_mend(right, wrong, message):
    """A ladder that leads nowhere and names that nobody knows are refused, each with one message."""
    assert right in CARD
    assert problems(CARD.replace(right, wrong, 1)) == [message]


def test_an_entry_makes_a_stage_reachable():
    """A live book may enter where no move leads."""
    entering = CARD.replace("moves:", "entry:\n  - {id: book, stage: phone, when: dpd >= 30}\nmoves:")
    assert problems(entering) == [
        (
            "0.yaml:2:13: stage `phone` has no way out for a loan that is paid\n"
            "  mend: add a move such as `{id: cured, from: phone, to: current}`, which needs no `when`"
        )
    ]
    assert check(entering.replace("from: reminded", "from: [reminded, phone]")).strategies["card"].entry


def test_two_strategies_of_one_id_are_refused():
    """An id belongs to one file."""
    assert problems(CARD, CARD.replace("'card'", "'car'")) == [
        "1.yaml:2:13: strategy `card` is already in 0.yaml\n  mend: give each strategy an id of its own"
    ]


def test_strategies_that_share_a_loan_are_refused_where_it_can_be_shown():
    """An overlap that can be shown with a loan is an error, and the loan is named."""
    wide = PERSONAL.replace("product = 'personal'", "product in ('card', 'personal')")
    assert problems(CARD, wide) == [
        (
            "1.yaml:2:13: strategies `card` and `personal` both apply to a loan with product = 'card'\n"
            "  mend: narrow `applies_to` of one of them: a loan has at most one strategy"
        )
    ]


@pytest.mark.parametrize(
    ("one", "other", "shared"),
    [
        ("product = 'a'", "product = 'b'", None),
        ("product = 'a'", "product = 'a'", ("product = 'a'",)),
        ("product = 'a'", "product = 'a' and currency = 'CNY'", ("currency = 'CNY'", "product = 'a'")),
        ("product = 'a' and currency = 'USD'", "product = 'a' and currency = 'CNY'", None),
        ("product != 'a'", "product != 'b'", ("product = 'some other text'",)),
        ("product is null", "product = 'a'", None),
        ("product is null", "product is null", ("product unknown",)),
        ("dpd <= 30", "dpd > 30", None),
        ("dpd <= 30", "dpd >= 30", ("dpd = 30",)),
        ("dpd < 10", "dpd between 9 and 12", ("dpd = 9",)),
        ("hardship", "not hardship", None),
        ("hardship", "hardship", ("hardship = true",)),
        # Facts depend on each other: a loan of zero days past due that owes money is no proof of anything.
        ("dpd = 0", "overdue_amount > 0", None),
        ("true", "true", ()),
    ],
)
def test_an_overlap_is_shown_by_a_loan(one, other, shared):
    """Conditions over nested sets of facts are tried with one value for each way their comparisons come out."""

    def parsed(text: str):
        found: list = []
        condition = parse_condition(
            read_yaml(f'"{text}"' if text != "true" else text, "c"), Scope(CATALOGUE, "CNY", {}, found)
        )
        assert found == []
        return condition

    assert find_overlap(parsed(one), parsed(other), CATALOGUE) == shared
    assert find_overlap(parsed(other), parsed(one), CATALOGUE) == shared


def test_too_many_cases_claim_nothing():
    """Where a shared loan cannot be found in a bounded search, no overlap is claimed."""
    wide = parse_condition(
        read_yaml("[" + ", ".join(f"{name} >= 5" for name in ("dpd", "calls_7d", "messages_7d", "max_dpd_12m", "episodes_12m", "reversals_90d", "unanswered_7d", "conversations_7d")) + "]", "c"),
        Scope(CATALOGUE, "CNY", {}, []),
    )  # fmt: skip
    assert wide is not None
    assert find_overlap(wide, wide, CATALOGUE) is None


def test_each_act_carries_what_its_text_says():
    """What a pack may ask about a text reaches the act; one visitor goes unless the strategy says more."""
    rules = check(CARD).strategies["card"].rules["reminded"]
    assert [dict(rule.acts[0].content) for rule in rules] == [
        {"mentions_debt": True, "opt_out_notice": True},
        {"mentions_debt": True},
    ]
    visit = CARD.replace("call: {queue: early, script: first}", "visit: {queue: early, script: first}")
    two = visit.replace("script: first}", "script: first, collectors: 2}")
    for text, collectors in ((visit, 1), (two, 2)):
        book = read_rulebook({"0.yaml": text}, catalogue=CATALOGUE, queues={"early"})
        assert book.strategies["card"].rules["reminded"][1].acts[0].content == {"collectors_present": collectors}


def test_what_the_gate_is_told_is_part_of_what_a_strategy_means():
    """A text that loses its opt-out line changes the digest, because it changes decisions; a text that is reworded does not."""
    files = {"0.yaml": CARD}

    def digest(**content: bool) -> str:
        sms = {"friendly": TemplateFacts("collect", content=content)}
        book = read_rulebook(
            files, catalogue=CATALOGUE, queues={"early"}, templates={"sms": sms, "call": TEMPLATES["call"]}
        )
        return book.strategies["card"].digest

    assert digest(opt_out_notice=True) == digest(opt_out_notice=True)
    assert digest(opt_out_notice=True) != digest(opt_out_notice=False)
