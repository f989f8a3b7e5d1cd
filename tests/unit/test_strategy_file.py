"""Strategy files: what they mean, and what each mistake is told."""

from datetime import date, timedelta
from decimal import Decimal

import pytest

from engine.catalogue import load_catalogue
from engine.errors import Problem
from engine.interpreter import evaluate
from engine.strategy import Act, CurePolicy, PromisePolicy, Repeat, Send, Strategy
from engine.strategy_checks import walk
from engine.strategy_file import read_strategy
from engine.tree import Leaf

CATALOGUE = load_catalogue()

WHOLE = """\
strategy: personal-loan
title: Personal loans
applies_to: product = 'personal'
currency: CNY
define:
  high_risk: risk_band in ('d', 'e')
arms: {control: 10, champion: 90}
promise: {max_days: 9, grace_days: 2, kept_at: 95%, remind: 2 days before, blocks: [visit, call]}
cure: {tolerance: 5.5}
feed: {max_age: 36 hours}
entry:
  - {id: book-phone, stage: phone, when: dpd >= 8}
moves:
  - {id: cured, from: [reminded, phone], to: current}
  - {id: to-reminded, from: current, to: reminded, when: dpd >= 1}
  - {id: to-legal, from: phone, to: legal, when: "dpd >= 90 and not promise_reminder_due", notice_days: 14}
  - {id: back, from: phone, to: reminded, when: dpd <= 3, because: Paid in part.}
stages:
  reminded:
    - id: sms-day-1
      when: [dpd between 1 and 3, has_mobile, "arm = 'control'"]
      act: {sms: friendly-reminder}
      because: Most people have simply forgotten.
    - id: evening-call
      when: [dpd >= 3, high_risk]
      act: {call: {queue: early-senior, script: first-call}}
      send: {days: [thu, tue], between: "18:00-20:30"}
      repeat: {max: 2, in: 7 days, counts: [no_answer, conversation]}
      valid_for: 2 days
      valid: {from: 2027-02-01, until: 2027-04-15}
      because: They pick up in the evening.
  phone:
    - id: prelegal-notice
      purpose: required_notice
      notice: prelegal_notice
      to: [borrower, guarantor]
      when: dpd >= 75
      act: [{letter: pre-legal}, {email: pre-legal}]
      repeat: {max: 1, per: episode}
      on: [promise_broken, payment_reversed]
      was: [legal-letter]
      because: The law asks for it.
"""


def read(text: str) -> tuple[Strategy | None, list[str]]:
    problems: list[Problem] = []
    strategy = read_strategy(text, "s.yaml", CATALOGUE, problems)
    return strategy, [str(problem) for problem in problems]


def whole() -> Strategy:
    strategy, problems = read(WHOLE)
    assert problems == []
    assert strategy is not None
    return strategy


def test_the_policies_are_read():
    """Every policy of the file becomes its value."""
    strategy = whole()
    assert (strategy.id, strategy.title, strategy.currency) == ("personal-loan", "Personal loans", "CNY")
    assert strategy.arms == {"champion": 90, "control": 10}
    assert strategy.promise == PromisePolicy(9, 2, Decimal("0.95"), 2, ("call", "visit"))
    assert strategy.cure == CurePolicy(550)
    assert strategy.feed_age_max == timedelta(hours=36)
    assert [(entry.id, entry.stage) for entry in strategy.entry] == [("book-phone", "phone")]
    assert list(strategy.define) == ["promise_reminder_due", "high_risk"]


def test_the_rules_are_read():
    """Acts, windows, repeats, days, events and former names become their values, in file order."""
    strategy = whole()
    sms, call = strategy.rules["reminded"]
    (notice,) = strategy.rules["phone"]
    assert (sms.id, sms.acts, sms.to, sms.purpose) == (
        "sms-day-1",
        (Act("sms", "friendly-reminder"),),
        ("borrower",),
        "collect",
    )
    assert call.acts == (Act("call", "first-call", "early-senior"),)
    assert call.send == Send((1, 3), 18 * 60, 20 * 60 + 30)
    assert call.repeat == Repeat(2, days=7, outcomes=("conversation", "no_answer"))
    assert (call.valid_for, call.valid_from, call.valid_until) == (
        timedelta(days=2),
        date(2027, 2, 1),
        date(2027, 4, 15),
    )
    assert notice.acts == (Act("letter", "pre-legal"), Act("email", "pre-legal"))
    assert (notice.purpose, notice.notice, notice.to) == (
        "required_notice",
        "prelegal_notice",
        ("borrower", "guarantor"),
    )
    assert notice.on == {"promise_broken", "payment_reversed"}
    assert strategy.rule("legal-letter") is notice


def test_what_a_rule_does_not_say():
    """A rule goes once in each stay in its stage, at any hour, for a day, in the sweep."""
    sms = whole().rules["reminded"][0]
    assert (sms.repeat, sms.send, sms.valid_for, sms.on) == (
        Repeat(1, per="stage"),
        Send(),
        timedelta(hours=24),
        frozenset(),
    )


@pytest.mark.parametrize(
    ("facts", "cured", "worsens"),
    [
        ({"dpd": 0, "overdue_amount": 0}, True, False),
        ({"dpd": 4, "overdue_amount": 550}, True, False),
        ({"dpd": 4, "overdue_amount": 551}, False, True),
        ({"dpd": 4}, None, True),
        ({"dpd": 0}, True, False),
        ({}, None, None),
    ],
)
def test_owing_no_more_than_the_tolerance_counts_as_paid(facts, cured, worsens):
    """A cure needs no `when`: it is owing nothing, or no more than the tolerance; who owes that little does not climb."""
    moves = {move.id: move for move in whole().moves}
    assert evaluate(moves["cured"].when, facts) is cured
    assert evaluate(moves["to-reminded"].when, facts) is worsens


@pytest.mark.parametrize(
    ("facts", "due"),
    [
        ({"promise_open": True, "days_to_promise": 2}, True),
        ({"promise_open": True, "days_to_promise": 3}, False),
        ({"promise_open": False, "days_to_promise": 0}, False),
        ({"promise_open": True}, None),
    ],
)
def test_when_to_remind_is_a_condition_rules_can_use(facts, due):
    """`remind: 2 days before` defines `promise_reminder_due`: the promise is open and due within two days."""
    assert evaluate(whole().define["promise_reminder_due"], facts) is due


def test_what_a_policy_adds_is_said_as_its_author_would():
    """The tolerance is shown in the currency's major units, like every amount of the file."""
    moves = {move.id: move for move in whole().moves}
    texts = {leaf.text for move in moves.values() for leaf in walk(move.when) if isinstance(leaf, Leaf)}
    assert {text for text in texts if "overdue" in text} == {
        "overdue_amount <= 5.5",
        "overdue_amount > 5.5",
        "overdue_amount is null",
    }


def test_a_cure_cannot_be_had_for_less():
    """Whatever else a cure asks for, the claim must be paid as well."""
    text = WHOLE.replace("to: current}", "to: current, when: promise_open}")
    strategy, problems = read(text)
    assert problems == []
    assert strategy is not None
    assert evaluate(strategy.moves[0].when, {"promise_open": True, "dpd": 4, "overdue_amount": 551}) is False
    assert evaluate(strategy.moves[0].when, {"promise_open": True, "dpd": 4, "overdue_amount": 550}) is True


def test_the_digest_is_of_the_meaning():
    """Comments, layout and the order of keys do not change it; a number, an order of rules or a reason does."""
    digest = whole().digest
    for same in (
        "# a comment\n" + WHOLE,
        WHOLE.replace("{control: 10, champion: 90}", "{champion: 90, control: 10}"),
        WHOLE.replace("when: dpd >= 75", "when: [dpd>=75]"),
        WHOLE.replace("blocks: [visit, call]", "blocks: [call, visit]"),
        WHOLE.replace("title: Personal loans\n", "") .replace("strategy: personal-loan", "title: Personal loans\nstrategy: personal-loan"),
    ):  # fmt: skip
        strategy, problems = read(same)
        assert problems == []
        assert strategy is not None
        assert strategy.digest == digest
    for other in (
        WHOLE.replace("dpd >= 75", "dpd >= 76"),
        WHOLE.replace("max: 1", "max: 2"),
        WHOLE.replace("forgotten", "overlooked"),
        WHOLE.replace("[{letter: pre-legal}, {email: pre-legal}]", "[{email: pre-legal}, {letter: pre-legal}]"),
        WHOLE.replace("when: [dpd >= 3, high_risk]", "when: {any: [dpd >= 3, high_risk]}"),
    ):
        strategy, _ = read(other)
        assert strategy is not None
        assert strategy.digest != digest


MISTAKES = [
    # the file
    ("- a\n", "s.yaml:1:1: strategy file is not a table\n  mend: write `strategy: personal-loan`"),
    ("strategy: personal-loan", "", "s.yaml:2:1: strategy file has no `strategy`\n  mend: write `strategy: personal-loan`"),
    ("title: Personal loans", "titel: Personal loans", "s.yaml:2:1: unknown key of strategy file `titel`\n  mend: write `title`"),
    ("personal-loan", "Personal Loan", "s.yaml:1:11: `Personal Loan` is not a name\n  mend: use lower-case letters, digits and hyphens: `sms-day-1`"),
    ("currency: CNY", "currency: Yuan", "s.yaml:4:11: `Yuan` is no currency\n  mend: write its ISO 4217 code in capitals, such as `CNY`"),
    ("max_age: 36 hours", "max_age: 36h", "s.yaml:10:17: `max_age` of `feed` is not a length of time\n  mend: write `max_age: 36 hours`"),
    ("tolerance: 5.5", "tolerance: 5.555", "s.yaml:9:19: `tolerance` of `cure` is no amount of CNY\n  mend: write `tolerance: 5`"),
    ("kept_at: 95%", "kept_at: 0.95", "s.yaml:8:48: `kept_at` of `promise` is not a share from 1% to 100%\n  mend: write `kept_at: 90%`"),
    ("remind: 2 days before", "remind: 2 days", "s.yaml:8:61: `remind` of `promise` is not a number of days before\n  mend: write `remind: 1 day before`"),
    ("[visit, call]", "[vist, call]", "s.yaml:8:85: unknown channel `vist`\n  mend: write `visit`"),
    ("{control: 10, champion: 90}", "{control: 10}", "s.yaml:7:7: `arms` is not a table of two arms or more\n  mend: write `arms: {control: 10, champion: 90}`"),
    ("arm = 'control'", "arm = 'kontrol'", "s.yaml:21:48: unknown arm `kontrol`\n  mend: write `control`"),
    (", \"arm = 'control'\"", "", "s.yaml: arms are declared, and no condition looks at `arm`\n  mend: write `arm = 'control'` where treatment differs, or delete `arms:`"),
    ("[dpd >= 3, high_risk]", "dpd >= 3", "s.yaml:6:3: `high_risk` is defined and never used\n  mend: use it, or delete it"),
    (" and not promise_reminder_due", "", "s.yaml: `promise` says when to remind, and no rule looks at it\n  mend: write `when: promise_reminder_due` in the rule that reminds, or delete `remind`"),
    ("currency: CNY\n", "", "s.yaml:1:1: strategy file has no `currency`\n  mend: write `currency: CNY`"),
    (" and not promise_reminder_due", " and days_to_promise > 2", "s.yaml: `promise` says when to remind, and no rule looks at it\n  mend: write `when: promise_reminder_due` in the rule that reminds, or delete `remind`"),
    ("script: first-call", "script: first-call, collectors: 2", "s.yaml:26:61: unknown key of `call` of rule `evening-call` `collectors`\n  mend: use one of queue, script"),
    ("call: {queue: early-senior, script: first-call", "visit: {queue: early-senior, script: first-call, collectors: 0", "s.yaml:26:74: `collectors` of `visit` of rule `evening-call` is not a number from 1 to 9\n  mend: write `collectors: 1`"),
    ("  high_risk: ", "  promise_reminder_due: promise_open\n  high_risk: ", "s.yaml:6:3: `promise: {remind: ...}` defines `promise_reminder_due`\n  mend: choose another name"),
    # moves and entries
    ("from: current, to: reminded", "from: current, to: remined", "s.yaml:15:42: unknown stage `remined`\n  mend: write `reminded`"),
    ("from: current, to: reminded", "from: current, to: current", "s.yaml:15:29: move `to-reminded`: no move leads from `current` to `current`\n  mend: from `current` a loan can move to reminded, phone, field_visit, legal, closed"),
    (", because: Paid in part.", "", "s.yaml:17:5: move `back` has no `because`\n  mend: write `because: A payment bounced.`"),
    ("from: [reminded, phone], to: current", "from: [closed, phone], to: current", "s.yaml:14:5: move `cured` mixes back and cure moves\n  mend: write one move for each"),
    ("when: dpd >= 1}", "notice_days: 3, when: dpd >= 1}", "s.yaml:15:65: move `to-reminded` owes no notice\n  mend: delete `notice_days`; only field_visit and legal ask for a notice"),
    (", when: dpd >= 8", "", "s.yaml:12:5: entry `book-phone` has no `when`\n  mend: write `when: dpd >= 8`"),
    ("id: back", "id: cured", "s.yaml:17:5: id `cured` stands twice, first on line 14\n  mend: give each rule, move and entry a name of its own"),
    # rules
    ("id: evening-call", "id: sms-day-1", "s.yaml:24:7: id `sms-day-1` stands twice, first on line 20\n  mend: give each rule, move and entry a name of its own"),
    ("was: [legal-letter]", "was: [sms-day-1]", "s.yaml:33:7: `sms-day-1` under `was` of rule `prelegal-notice` is the name of another rule\n  mend: a former name belongs to one rule only: remove it here"),
    ("  phone:\n", "  fone:\n", "s.yaml:32:3: unknown key of `stages` `fone`\n  mend: write `phone`"),
    ("{sms: friendly-reminder}", "{smss: friendly-reminder}", "s.yaml:22:13: unknown channel `smss`\n  mend: write `sms`"),
    ("{sms: friendly-reminder}", "{sms: a, email: b}", "s.yaml:22:12: an act of rule `sms-day-1` is not one channel with what goes out on it\n  mend: write `act: {sms: friendly-reminder}`, or a list of such acts"),
    ("{sms: friendly-reminder}", "{sms: {queue: a}}", "s.yaml:22:18: `sms` of rule `sms-day-1` names no template\n  mend: write `sms: friendly-reminder`"),
    ("{call: {queue: early-senior, script: first-call}}", "{call: first-call}", "s.yaml:26:19: `call` of rule `evening-call` is not a table\n  mend: write `call: {queue: early, script: first-call}`"),
    ("queue: early-senior, ", "", "s.yaml:26:19: `call` of rule `evening-call` has no `queue`\n  mend: write `queue: early`"),
    ("{email: pre-legal}", "{letter: other}", "s.yaml:38:12: rule `prelegal-notice` acts twice on channel `letter`\n  mend: keep one: two on one channel at once is one too many"),
    ("purpose: required_notice", "purpose: required", "s.yaml:34:16: unknown purpose `required`\n  mend: write `required_notice`"),
    ("      purpose: required_notice\n", "", "s.yaml:34:15: rule `prelegal-notice` gives notice and is not a required notice\n  mend: write `purpose: required_notice`"),
    ("[borrower, guarantor]", "[borrower, gurantor]", "s.yaml:36:22: unknown role `gurantor`\n  mend: write `guarantor`"),
    ("max: 2, in: 7 days", "in: 7 days", "s.yaml:28:15: `repeat` of rule `evening-call` has no `max`\n  mend: write `repeat: {max: 2, in: 7 days}`"),
    ("max: 2, in: 7 days", "max: 2, in: 7 days, per: stage", "s.yaml:28:15: `repeat` of rule `evening-call` needs either `in` or `per`\n  mend: write `in: 7 days` or `per: episode`, not both"),
    ("in: 7 days", "in: 36 hours", "s.yaml:28:28: `in` of `repeat` of rule `evening-call` is not a number of days\n  mend: write `in: 7 days`"),
    ("counts: [no_answer", "counts: [noanswer", "s.yaml:28:45: unknown outcome `noanswer`\n  mend: write `no_answer`"),
    ("per: episode", "per: epsiode", "s.yaml:39:29: unknown period `epsiode`\n  mend: write `episode`"),
    ("18:00-20:30", "20:30-18:00", 's.yaml:27:41: `between` of `send` of rule `evening-call` is not a span of hours within one day\n  mend: write `between: "18:00-20:00"`'),
    ("[thu, tue]", "[thu, tues]", "s.yaml:27:26: unknown weekday `tues`\n  mend: write `tue`"),
    ("until: 2027-04-15", "until: 2027-01-15", "s.yaml:30:14: `valid` of rule `evening-call` ends before it begins\n  mend: put the earlier day under `from`"),
    ("until: 2027-04-15", "until: 2027-02-30", "s.yaml:30:40: `until` of `valid` of rule `evening-call` is not a day\n  mend: write `until: 2027-04-15`"),
    ("valid_for: 2 days", "valid_for: 15 days", "s.yaml:29:18: `valid_for` of rule `evening-call` is longer than 14 days\n  mend: shorten it: every sweep looks again"),
    ("promise_broken, ", "promise_broke, ", "s.yaml:40:12: unknown event `promise_broke`\n  mend: write `promise_broken`"),
    ("on: [promise_broken, payment_reversed]", "on: []", "s.yaml:33:7: rule `prelegal-notice` listens to no event\n  mend: name one of payment, payment_reversed, pending_debit, promise_made, promise_broken, promise_kept, reply, delivery_failed, call_outcome, dispute, hold_placed, hold_released, cured, or delete `on`"),
    ("      because: The law asks for it.\n", "", "s.yaml:33:7: rule `prelegal-notice` has no `because`\n  mend: write `because: Most people have simply forgotten.`"),
    ("      when: dpd >= 75\n", "", "s.yaml:33:7: rule `prelegal-notice` has no `when`\n  mend: write `when: dpd between 1 and 3`"),
    ("notice: prelegal_notice", "notice: prelegal", "s.yaml:35:15: unknown notice `prelegal`\n  mend: write `prelegal_notice`"),
    ("when: dpd >= 75", "when: dpdd >= 75", "s.yaml:37:13: unknown fact `dpdd`\n  mend: write `dpd`"),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[-1].split("\n")[0])
def test_each_mistake_is_told_with_place_and_mend(mistake):
    """One mistake gives exactly one message, whole, and no strategy."""
    if len(mistake) == 2:
        text, message = mistake
    else:
        right, wrong, message = mistake
        assert right in WHOLE
        text = WHOLE.replace(right, wrong, 1)
    strategy, problems = read(text)
    assert (strategy, problems) == (None, [message])


def test_all_mistakes_of_a_file_are_told_at_once():
    """A file with mistakes in several rules is mended in one go."""
    text = WHOLE.replace("18:00-20:30", "late").replace("dpd >= 75", "dpd >=").replace("to: legal", "to: lega")
    _, problems = read(text)
    assert [problem.split(":")[1] for problem in problems] == ["16", "27", "37"]


def test_a_stage_with_more_rules_than_a_number_has_bits_is_told():
    """A sweep could not tell them apart: the first one too many is named."""
    rule = "    - {id: rule-%d, when: dpd >= 1, act: {email: x}, because: One of many.}\n"
    many = "  phone:\n" + "".join(rule % n for n in range(62))
    _, problems = read(WHOLE.replace("  phone:\n", many))
    what = "stage `phone` has 63 rules, and 62 are the most"
    assert problems == [
        f"s.yaml:95:7: {what}\n  mend: join rules that do the same, or part the strategy by `applies_to`"
    ]


def test_a_file_that_is_no_yaml_is_told():
    """Not even YAML: the reader's own message, and no strategy."""
    strategy, problems = read("a: [")
    assert strategy is None
    assert len(problems) == 1
    assert problems[0].startswith("s.yaml:")
