"""What packs say of a text: how such rules are read, what they find, and what the gate makes of it."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from compliance import Finding, Gate, check_text, read_pack, shipped_packs, text_facts
from compliance.pack import Wording
from engine.errors import RuleError
from engine.gate import Ask

PACKS = {pack.id: pack for pack in shipped_packs()}
HEAD = """\
pack: house.mine
title: {en: Mine, zh: 我的}
places: [everywhere]
actors: [first_party]
status: house
provenance: verified
from: 2026-01-01
review_on: 2027-01-01
rules:
"""
ON = date(2026, 3, 2)
NOW = datetime(2026, 3, 2, 3, tzinfo=UTC)


def rule(*lines: str, name: str = "words") -> str:
    head = (
        f"  - id: house.mine.{name}\n    kind: wording\n    says: {{en: It., zh: 它。}}\n    citation: House policy\n"
    )
    return head + "".join(f"    {line}\n" for line in lines)


def mine(*rules: str):
    return read_pack(HEAD + "".join(rules), "mine.yaml")


def refused(*lines: str) -> str:
    with pytest.raises(RuleError) as refusal:
        mine(rule(*lines))
    return str(refusal.value)


OPT_OUT = "requires: {opt_out_notice: {en: [reply STOP], zh: [退订]}}"
THREAT = "forbids: {threat: {en: [arrest*], zh: [坐牢]}}"


def against(text: str, *rules: str, language: str = "en", channel="sms", role="borrower", **known) -> list[str]:
    """What rules of ours have against a text: rule, what it is about, and the words."""
    findings = check_text(text, language, channel, "collect", role, [mine(*rules)], **known)
    return [f"{f.rule.id.removeprefix('house.mine.')} {f.element.name} {f.said}".strip() for f in findings]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["forbid: {threat: {en: [arrest]}}"],
         ("mine.yaml:14:5: unknown key of rule 1 `forbid`\n  mend: write `forbids`\n"
          "mine.yaml:10:5: rule 1 asks for nothing\n  mend: write `requires:` or `forbids:`")),
        (["forbids: [arrest]"],
         ("mine.yaml:14:14: `forbids` of rule 1 names nothing that a text says\n"
          "  mend: write `forbids: {opt_out_notice: {en: [reply STOP], zh: [回复STOP]}}`")),
        (["forbids: {}"],
         ("mine.yaml:14:14: `forbids` of rule 1 names nothing that a text says\n"
          "  mend: write `forbids: {opt_out_notice: {en: [reply STOP], zh: [回复STOP]}}`")),
        (["forbids: {Threat!: {en: [arrest]}}"],
         "mine.yaml:14:15: `Threat!` is not a name\n  mend: use lower-case letters and underscores: `opt_out_notice`"),
        (["forbids: {threat: [arrest]}"],
         "mine.yaml:14:23: `threat` of rule 1 is not a table\n  mend: write `en: [reply STOP]`"),
        (["forbids: {threat: {}}"],
         "mine.yaml:14:15: `threat` of rule 1 has no phrases\n  mend: write `en: [reply STOP]`, `zh: [回复STOP]`"),
        (["forbids: {threat: {en: []}}"],
         "mine.yaml:14:28: `en` of `threat` of rule 1 is empty\n  mend: write phrases, or delete it"),
        (["forbids: {threat: {fr: [prison]}}"],
         ("mine.yaml:14:24: unknown key of `threat` of rule 1 `fr`\n  mend: use one of any, en, zh\n"
          "mine.yaml:14:15: `threat` of rule 1 has no phrases\n  mend: write `en: [reply STOP]`, `zh: [回复STOP]`")),
        (["forbids: {threat: {en: [110]}}"],
         "mine.yaml:14:29: `en` of `threat` of rule 1 holds something that is no text\n  mend: put it in quotes"),
        (["forbids: {threat: {en: [{amount}]}}"],
         "mine.yaml:14:29: `en` of `threat` of rule 1 holds something that is no text\n  mend: put it in quotes"),
        (["forbids: {threat: {en: [jail, Jail]}}"],
         "mine.yaml:14:35: phrase `Jail` stands twice in `threat` of rule 1\n  mend: keep one of them"),
        (["forbids: {threat: {en: ['s*e', '{{ loan.overdu }}']}}"],
         ("mine.yaml:14:29: phrase `s*e` cannot be read: `*` stands for the rest of a Latin word\n"
          "  mend: write it at the end of one: `threat*`\n"
          "mine.yaml:14:36: phrase `{{ loan.overdu }}` cannot be read: unknown value `{{ loan.overdu }}`\n"
          "  mend: write `{{ loan.overdue }}`")),
        (["requires: {opt_out_notice: {en: [reply STOP]}}"],
         ("mine.yaml:14:16: `opt_out_notice` of rule 1 has no phrases in `zh`, so that no text in it could say it\n"
          "  mend: add `zh:` and phrases, or `any:` for phrases that serve in every language")),
        ([THREAT, "before_due: maybe"],
         "mine.yaml:15:17: unknown answer `maybe`\n  mend: use one of true, false"),
        ([THREAT, "acts: [filing]"],
         "mine.yaml:15:5: a limit of kind `wording` is about contacts only\n  mend: delete `acts`"),
        ([THREAT, "max: 3"],
         ("mine.yaml:15:5: `max` means nothing in a limit of kind `wording`\n"
          "  mend: a limit of kind `wording` has `requires`, `forbids`, `before_due`")),
    ],
)  # fmt: skip
def test_what_means_nothing_is_refused(lines: list[str], message: str):
    """A wrong key, no phrases, a language no text is in, a phrase that cannot be read: each with its place and mend."""
    assert refused(*lines) == message


def test_what_is_forbidden_is_found_in_every_language_and_what_is_required_in_the_texts_own():
    """A Chinese text with an English threat is refused; an English opt-out line does not serve a Chinese reader."""
    assert against("We will have you arrested.", rule(THREAT)) == ["words threat arrested"]
    assert against("您将被arrested或坐牢", rule(THREAT), language="zh") == [
        "words threat arrested",
        "words threat 坐牢",
    ]
    assert against("Reply STOP.", rule(OPT_OUT)) == []
    assert against("Reply STOP.", rule(OPT_OUT), language="zh") == ["words opt_out_notice"]
    both = "requires: {who: {any: ['{{ lender.name }}']}}"
    assert against("{{ lender.name }}", rule(both), language="zh") == []
    assert against("Example Lender", rule(both), values={"lender.name": "Example Lender"}) == []
    assert against("Example Lender", rule(both)) == ["words who"]


def test_a_finding_names_rule_and_place():
    """What is said comes first, in the order of the text; what is missing has no place."""
    findings = check_text("Jail! Arrest!", "en", "sms", "collect", "borrower", [mine(rule(THREAT, OPT_OUT))])
    (words,) = mine(rule(THREAT, OPT_OUT)).rules
    assert isinstance(words.limit, Wording)
    assert findings == [
        Finding(words, words.limit.forbids[0], 6, 12, "Arrest"),
        Finding(words, words.limit.requires[0]),
    ]


def test_a_rule_binds_where_its_scope_says():
    """By channel, purpose and role, by the day, by whoever writes; a rule with `given` is the gate's to judge."""
    text = "You will be arrested."
    for lines in (["channels: [email]"], ["roles: [guarantor]"], ["purposes: [service]"], ["except_purposes: [collect]"],
                  ["except_roles: [borrower]"], ["given: {time_barred: true}"]):  # fmt: skip
        assert against(text, rule(THREAT, *lines)) == []
    assert against(text, rule(THREAT, "channels: [email]"), channel="email") == ["words threat arrested"]
    dated = rule(THREAT, "from: 2026-03-02", "to: 2026-03-31")
    days = [date(2026, 3, 1), date(2026, 3, 2), date(2026, 3, 31), date(2026, 4, 1)]
    assert [len(against(text, dated, on=day)) for day in days] == [0, 1, 1, 0]
    assert len(against(text, dated)) == 1, "on no particular day every rule counts"
    assert [len(against(text, rule(THREAT), actor=actor)) for actor in ("first_party", "agency")] == [1, 0]


def test_words_of_lateness_wait_until_something_is_late():
    """Unless something is known to be overdue, a text may not say so."""
    late = rule("before_due: true", "forbids: {past_due: {en: [past due], zh: [逾期]}}")
    assert against("It is past due.", late) == ["words past_due past due"]
    assert against("It is past due.", late, overdue=True) == []


# -- the gate ------------------------------------------------------------------------------------------------------------


def ask(content: dict, **changes) -> Ask:
    plain = Ask(
        "contact", "sms", "collect", "borrower", 1, (1,), ("US",), ("America/New_York",), facts={"dpd": 5}, content=content
    )  # fmt: skip
    return replace(plain, **changes)


def stopped(pack, content: dict, at: datetime = NOW, **changes) -> list[str]:
    verdict = Gate([pack], places=["US"]).check(ask(content, **changes), at)
    return [reason.rule.removeprefix("house.mine.") for reason in verdict.reasons]


def test_what_is_found_in_a_text_decides_at_the_gate():
    """Nobody types it: the text that is to go out says which rules it breaks."""
    pack = mine(rule(THREAT, name="threats"), rule(OPT_OUT, name="stop"))
    for text, broken in (("Reply STOP.", []), ("Arrest!", ["stop", "threats"]), ("Arrest! Reply STOP.", ["threats"])):
        assert stopped(pack, text_facts(text, "en", "sms", "collect", [pack], on=ON)) == broken
    assert text_facts("Arrest!", "en", "sms", "collect", [pack], on=ON) == {
        "threat": True,
        "opt_out_notice": False,
        "house.mine.threats": False,
        "house.mine.stop": False,
    }
    assert text_facts("Reply STOP.", "en", "sms", "collect", [pack], on=ON) == {"opt_out_notice": True}


def test_what_somebody_reports_by_name_decides_as_well():
    """A case, or an agent's report, says what was said; what nobody says is satisfied."""
    pack = mine(rule(THREAT, name="threats"), rule(OPT_OUT, name="stop"))
    assert stopped(pack, {"threat": True}) == ["threats"]
    assert stopped(pack, {"opt_out_notice": False}) == ["stop"]
    assert stopped(pack, {"threat": False, "opt_out_notice": True}) == []
    assert stopped(pack, {}) == []


def test_a_new_wording_of_the_law_binds_from_its_day_and_the_old_one_until_it():
    """Both ask for one thing by one name in other words; a text with the old words stops on the day, and not before."""
    old = rule(OPT_OUT, "to: 2026-08-31", name="old")
    new = rule("requires: {opt_out_notice: {en: [text END], zh: [回复END]}}", "from: 2026-09-01", name="new")
    pack = mine(old, new)
    before, after = datetime(2026, 8, 31, 16, tzinfo=UTC), datetime(2026, 9, 1, 16, tzinfo=UTC)

    def on_both_days(text: str, read_on: date) -> list[list[str]]:
        facts = text_facts(text, "en", "sms", "collect", [pack], on=read_on)
        return [stopped(pack, facts, at) for at in (before, after)]

    assert on_both_days("Reply STOP.", date(2026, 8, 1)) == [[], ["new"]]
    assert on_both_days("Reply STOP or text END.", date(2026, 8, 1)) == [[], []]
    assert on_both_days("Text END.", date(2026, 9, 2))[1] == []


@pytest.mark.parametrize(("dpd", "broken"), [(None, ["late"]), (0, ["late"]), (-3, ["late"]), (1, [])])
def test_the_gate_knows_whether_anything_is_late(dpd: int | None, broken: list[str]):
    """Unknown is not late."""
    pack = mine(rule("before_due: true", "forbids: {past_due: {en: [past due], zh: [逾期]}}", name="late"))
    facts = text_facts("It is past due.", "en", "sms", "collect", [pack], on=ON)
    assert stopped(pack, facts, facts={} if dpd is None else {"dpd": dpd}) == broken


def test_a_text_is_judged_by_whom_it_goes_to():
    """The same words are nothing against the borrower and too much for a contact person."""
    pack = mine(rule("roles: [contact_person]", "forbids: {mentions_debt: {any: ['{{ loan.* }}'], en: [debt*]}}"))
    facts = text_facts("About {{ loan.ref }}.", "en", "sms", "location", [pack], on=ON)
    assert stopped(pack, facts) == []
    assert stopped(pack, facts, role="contact_person", purpose="location") == ["words"]


def test_what_a_law_asks_only_of_some_debts_the_gate_asks():
    """A court may be named, but not to somebody whose debt is too old to sue for."""
    text = "We may ask a court to decide. This is from a debt collector. Reply STOP."
    facts = text_facts(text, "en", "sms", "collect", [PACKS["us.regf"]], on=ON)
    gate = Gate([PACKS["us.regf"]])
    basis = {"actor": "agency", "channel": "letter"}
    for old, outcome in ((None, "allow"), (False, "allow"), (True, "deny")):
        verdict = gate.check(ask({**facts, "time_barred": old}, **basis), datetime(2026, 3, 2, 15, tzinfo=UTC))
        assert verdict.outcome == outcome
    assert [reason.rule for reason in verdict.reasons] == ["us.regf.time_barred.threat"]


# -- the shipped packs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "language", "rule"),
    [
        ("{{ lender.name }}: pay now or you will be arrested.", "en", "house.default.conduct"),
        ("如不还款，后果自负。", "zh", "house.default.conduct"),
        ("You are a deadbeat.", "en", "house.default.conduct"),
        ("我们将联系您的单位和亲友。", "zh", "house.default.conduct"),
        ("We shall call your employer.", "en", "house.default.conduct"),
        ("This is a summons.", "en", "house.default.authority"),
        ("公安机关将联系您", "zh", "house.default.authority"),
        ("Your account is past-due.", "en", "house.default.past_due"),
        ("您的贷款已逾期。", "zh", "house.default.past_due"),
    ],
)
def test_what_the_house_forbids(text: str, language: str, rule: str):
    """Threats, insults, telling others, false authority and lateness before the day, in both languages."""
    findings = check_text(text, language, "sms", "service", "borrower", [PACKS["house.default"]], on=ON)
    assert rule in {finding.rule.id for finding in findings if finding.said}


@pytest.mark.parametrize("role", ["contact_person", "third_party", "spouse"])
@pytest.mark.parametrize(
    "text", ["about a debt", "about $500", "欠款", "{{ loan.ref }}", "{{ borrower.name }}", "还款事宜"]
)
def test_nobody_outside_the_contract_is_told(role, text: str):
    """Not of the debt, nor an amount, nor by a value that gives it away."""
    pack = PACKS["house.default"]
    assert check_text(text, "en", "sms", "location", role, [pack], on=ON)
    plain = "Please call {{ lender.phone }}. 请致电{{ lender.phone }}。"
    assert check_text(plain, "en", "sms", "location", role, [pack], on=ON) == []


def test_a_collector_says_that_it_is_one_and_a_lender_need_not():
    """Regulation F binds agencies, debt buyers and law firms, in each language used."""
    text = "{{ lender.name }}: please call {{ lender.phone }}. {{ opt_out }}"

    def missing(said: str, actor: str, language: str) -> list[str]:
        packs = [PACKS["us.regf"]]
        return [
            f.element.name for f in check_text(said, language, "sms", "service", "borrower", packs, actor=actor, on=ON)
        ]

    assert missing(text, "first_party", "en") == []
    assert missing(text, "agency", "en") == missing(text, "agency", "zh") == ["collector_disclosure"]
    assert missing(f"{text} This is from a debt collector.", "agency", "en") == []
    assert missing(f"{text} This is from a debt collector.", "agency", "zh") == ["collector_disclosure"]
    assert missing(f"{text}本信息来自债务催收机构。", "agency", "zh") == []
