"""Packs as files: what is refused, with what words, and what the shipped ones promise."""

import re
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from compliance import Gate, load_packs, read_pack, run_cases, shipped_packs
from compliance.limit_file import NOTICES
from compliance.pack import Cooldown, Count, Duty, Hours, Span
from engine.catalogue import load_catalogue
from engine.errors import RuleError
from engine.gate import Ask
from engine.stages import EDGES

PACKS = shipped_packs()
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
RULE = """\
  - id: house.mine.hours
    kind: hours
    says: {en: Only by day., zh: 只限白天。}
    open: {every_day: "09:00-17:00"}
    citation: House policy
"""


def pack(text: str):
    return read_pack(text, "mine.yaml")


def refused(text: str) -> str:
    with pytest.raises(RuleError) as refusal:
        pack(text)
    return str(refusal.value)


def rule(*lines: str) -> str:
    """A rule of the house whose own lines are these."""
    head = "  - id: house.mine.one\n    says: {en: It., zh: 它。}\n    citation: House policy\n"
    return HEAD + head + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEAD + RULE.replace("open:", "opne:"),
            (
                "mine.yaml:13:5: unknown key of rule 1 `opne`\n  mend: write `open`\n"
                "mine.yaml:10:5: rule 1 needs `open` or `closed`, one of the two\n"
                '  mend: write `open: {every_day: "08:00-21:00"}`'
            ),
        ),
        (
            HEAD + RULE.replace("    citation: House policy\n", ""),
            "mine.yaml:10:5: rule 1 has no `citation`\n  mend: write `citation: 12 CFR 1006.6(b)`",
        ),
        (
            HEAD + RULE.replace("09:00-17:00", "09:00-09:00"),
            (
                "mine.yaml:13:23: `09:00-09:00` is no span of time\n"
                '  mend: write "00:00-24:00" for the whole day, `none` for nothing'
            ),
        ),
        (
            HEAD + RULE.replace("every_day", "weekdays"),
            "mine.yaml:13:11: the hours of rule 1 leave out sat, sun\n  mend: write `every_day:`, or `none` for the days without",
        ),
        (
            HEAD + RULE.replace("09:00-17:00", "nine to five"),
            'mine.yaml:13:23: hours that cannot be read\n  mend: write "08:00-21:00", or `none`',
        ),
        (
            HEAD + RULE.replace("    kind: hours\n", "    kind: hours\n    status: law\n"),
            (
                "mine.yaml:12:13: a house pack cannot make law\n"
                "  mend: write `status: house`; a house pack adds limits of the house only"
            ),
        ),
        (
            HEAD + RULE.replace("house.mine.hours", "us.regf.time.default"),
            (
                "mine.yaml:10:9: rule `us.regf.time.default` does not belong to pack `house.mine`\n"
                "  mend: begin it with the pack's id: `house.mine.default`"
            ),
        ),
        (
            (HEAD + RULE).replace("house.mine", "us.mine").replace("[everywhere]", "[US]"),
            "mine.yaml:5:9: a law pack holds a house rule\n  mend: move the rule to a pack whose id begins with `house.`",
        ),
        (
            (HEAD + RULE).replace("house.mine", "us.mine").replace("status: house", "status: law"),
            "mine.yaml:3:9: law does not hold everywhere\n  mend: name the places; only a house pack says `everywhere`",
        ),
        (
            HEAD + RULE + RULE,
            "mine.yaml:15:5: rule `house.mine.hours` is there twice, first on line 10\n  mend: give each rule an id of its own",
        ),
        (
            HEAD + RULE.replace("    kind: hours\n", "    kind: hours\n    from: 2026-05-01\n    to: 2026-04-01\n"),
            "mine.yaml:13:9: `to` is before `from`\n  mend: give the last day on which the rule binds",
        ),
        (
            HEAD + RULE.replace("    kind: hours\n", "    kind: hours\n    max: 3\n"),
            (
                "mine.yaml:12:5: `max` means nothing in a limit of kind `hours`\n"
                "  mend: a limit of kind `hours` has `open`, `closed`, `lifted_by`"
            ),
        ),
        (
            rule("kind: count", "within: 7 days", "max: 0", "counts: {outcomes: [converstaion]}"),
            (
                "mine.yaml:15:10: `max` of rule 1 is not a number from 1 to 10000\n  mend: write `max: 1`\n"
                "mine.yaml:14:13: `within` of rule 1 is no window of time\n"
                "  mend: write `within: 7 dates`, `168 hours`, `calendar week`, `calendar month` or `ever`\n"
                "mine.yaml:16:25: unknown outcome `converstaion`\n  mend: write `conversation`"
            ),
        ),
        (
            rule("kind: cooldown", "for: calendar week", "after: {channels: [call]}"),
            "mine.yaml:14:10: a cool-down has one length, in dates or hours\n  mend: write `for: 7 dates`",
        ),
        (
            rule("kind: statements", "honours: [shouting]"),
            (
                "mine.yaml:14:15: unknown kind of statement `shouting`\n"
                "  mend: use one of inconvenient_place, inconvenient_time, no_contact, no_endpoint, no_medium, no_work_contact, opt_out\n"
                "mine.yaml:10:5: rule 1 honours nothing\n  mend: write `honours: [opt_out, no_contact]`"
            ),
        ),
        (
            rule("kind: holds", "holds: []"),
            "mine.yaml:10:5: rule 1 names no hold\n  mend: write `holds: [dispute]`",
        ),
        (
            rule("kind: duty", "notice: prelegal_notice"),
            (
                "mine.yaml:10:5: rule 1 does not say which notice it asks for\n"
                "  mend: write `notice: prelegal_notice` and `in_force_days: 14`"
            ),
        ),
        (
            rule("kind: content", "at_least: {collectors: none}"),
            (
                "mine.yaml:14:15: `collectors` of `at_least` is not a number above 0\n  mend: write `collectors: 2`\n"
                "mine.yaml:10:5: rule 1 asks for nothing\n  mend: write `required:`, `forbidden:` or `at_least:`"
            ),
        ),
        (
            rule("kind: curfew"),
            (
                "mine.yaml:13:11: unknown kind of limit `curfew`\n"
                "  mend: use one of hours, count, cooldown, statements, consent, holds, addressee, content, wording, duty, service, deadline, retention"
            ),
        ),
        (
            HEAD + RULE.replace("    kind: hours\n", "    kind: hours\n    actors: [agency]\n"),
            "mine.yaml:12:13: the pack does not bind `agency`\n  mend: use one of first_party, or let the pack bind agency",
        ),
        (
            HEAD + RULE.replace("    kind: hours\n", "    kind: hours\n    reply_dates_max: 1\n"),
            (
                "mine.yaml:12:5: `reply_dates_max` means nothing where replies are not excepted\n"
                "  mend: write `except_purposes: [reply]` beside it, or leave it out"
            ),
        ),
        (
            HEAD + RULE.replace("    kind: hours\n", "    kind: hours\n    when: dpd <= 15\n"),
            "mine.yaml:12:11: `when` names facts, and there is no catalogue of them\n  mend: hand the catalogue in",
        ),
        (
            rule("kind: count", "within: 7 dates", "max: 3", "counts: {any_person: spouse}"),
            "mine.yaml:16:26: unknown answer `spouse`\n  mend: use one of true, false",
        ),
        (
            HEAD.replace("actors: [first_party]\n", "when: dpd > 15\n") + RULE,
            (
                "mine.yaml:1:1: a pack does not say whom it binds\n"
                "  mend: write `actors: [first_party, agency, debt_buyer, law_firm]`, or some of them\n"
                "mine.yaml:4:7: `when` names facts, and there is no catalogue of them\n  mend: hand the catalogue in"
            ),
        ),
        (
            HEAD + RULE + "    override_grounds: [legal_duty]\n",
            (
                "mine.yaml:15:5: a rule of status `house` cannot be overridden\n"
                "  mend: leave `override_grounds` out; only a `presumption` yields to a ground"
            ),
        ),
        (
            HEAD.replace("house", "us").replace("everywhere", "US").replace("status: us", "status: law")
            + RULE.replace("house", "us")
            + "    status: presumption\n    override_grounds: [legal_duty, good_offer]\n",
            (
                "mine.yaml:16:36: unknown ground `good_offer`\n"
                "  mend: use one of legal_duty, active_litigation, consumer_request, outside_harm"
            ),
        ),
        (
            HEAD.removesuffix("rules:\n"),
            "mine.yaml:1:1: a pack has no rules\n  mend: write `rules:` and at least one rule, or delete the file",
        ),
    ],
)
def test_what_means_nothing_is_refused(text, message):
    """Every problem of a pack is told with its place and its mend, all at once."""
    assert refused(text) == message


def test_all_files_or_none():
    """Problems of every file are gathered; nothing is loaded beside them."""
    with pytest.raises(RuleError) as refusal:
        load_packs({"good.yaml": HEAD + RULE, "a.yaml": "[]", "b.yaml": ""})
    assert [problem.at.file for problem in refusal.value.problems if problem.at] == ["a.yaml", "b.yaml"]


def test_layout_and_comments_do_not_change_the_digest():
    """The digest is of what a pack says, not of how it is written; a word or a number more changes it."""
    plain = pack(HEAD + RULE)
    spaced = pack("# ours\n" + HEAD + RULE.replace('{every_day: "09:00-17:00"}', '\n      every_day: "09:00-17:00"'))
    assert plain.digest == spaced.digest
    assert re.fullmatch("[0-9a-f]{64}", plain.digest)
    assert plain.digest != pack(HEAD + RULE.replace("17:00", "17:01")).digest
    assert plain.digest != pack(HEAD + RULE.replace("by day", "daily")).digest


def test_hours_by_day():
    """A narrower word overrides a broader one; holidays without hours of their own are like their weekday."""
    hours = RULE.replace(
        '{every_day: "09:00-17:00"}', '{every_day: "09:00-17:00", weekends: none, sat: ["10:00-12:00", "13:00-15:00"]}'
    )
    limit = pack(HEAD + hours).rules[0].limit
    assert isinstance(limit, Hours)
    assert limit.table.days == (((540, 1020),),) * 5 + (((600, 720), (780, 900)), ())


def test_windows_of_time():
    """A count may have several windows, of dates, hours, calendar weeks or months."""
    limit = (
        pack(
            rule(
                "kind: count",
                "max: 3",
                "within: [7 dates, 168 hours, calendar week, calendar month, ever]",
                "counts: {}",
            )
        )
        .rules[0]
        .limit
    )
    assert isinstance(limit, Count)
    assert limit.spans == (Span("dates", 7), Span("hours", 168), Span("weeks"), Span("months"), Span("ever"))


def test_calendar_windows_end_with_their_week_and_month():
    """One contact a calendar week, or month: the next opens on Monday, or on the first."""
    from engine.gate import PastContact

    thursday = datetime(2026, 12, 31, 12, tzinfo=UTC)
    earlier = PastContact(int(thursday.timestamp() - 3600) * 1_000_000, "out", "call", "no_answer", "collect", 1, (1,))
    ask = Ask("contact", "call", "collect", "borrower", 1, (1,), ("US",), ("Asia/Kathmandu",), history=(earlier,))
    ends = {
        "calendar week": datetime(2027, 1, 3, 18, 15, tzinfo=UTC),
        "calendar month": datetime(2026, 12, 31, 18, 15, tzinfo=UTC),
    }
    for span, until in ends.items():
        gate = Gate(
            [pack(rule("kind: count", "max: 1", f"within: {span}", "counts: {channels: [call]}"))], places=["US"]
        )
        assert gate.check(ask, thursday).until == until


def test_a_condition_binds_unless_known_to_be_false():
    """A pack with `when:` holds for loans of which the condition is true or unknown."""
    late = HEAD.replace("rules:\n", "when: dpd > 15\nrules:\n") + RULE
    catalogue = load_catalogue()
    gate = Gate([read_pack(late, "mine.yaml", catalogue)], places=["US"])
    night = datetime(2026, 2, 13, 4, tzinfo=UTC)

    def outcome(facts: dict[str, int]) -> str:
        ask = Ask("contact", "call", "collect", "borrower", 1, (1,), ("US",), ("America/Chicago",), facts=facts)
        return gate.check(ask, night).outcome

    assert [outcome({"dpd": 16}), outcome({"dpd": 15}), outcome({})] == ["defer", "allow", "defer"]
    with pytest.raises(RuleError, match="unknown fact `dpdd`"):
        read_pack(late.replace("dpd", "dpdd"), "mine.yaml", catalogue)


def test_a_condition_of_one_rule():
    """A rule with `when:` binds where the condition is true or unknown; the other rules of its pack bind always."""
    late = RULE.replace("house.mine.hours", "house.mine.early").replace(
        "    kind: hours\n", "    kind: hours\n    when: dpd <= 15\n"
    )
    early = late.replace("09:00-17:00", "12:00-17:00")
    catalogue = load_catalogue()
    gate = Gate([read_pack(HEAD + RULE + early, "mine.yaml", catalogue)], places=["US"])
    morning = datetime(2026, 2, 13, 16, tzinfo=UTC)

    def outcome(facts: dict[str, int], now: datetime = morning) -> str:
        ask = Ask("contact", "call", "collect", "borrower", 1, (1,), ("US",), ("America/Chicago",), facts=facts)
        return gate.check(ask, now).outcome

    assert [outcome({"dpd": 15}), outcome({"dpd": 16}), outcome({})] == ["defer", "allow", "defer"]
    assert outcome({"dpd": 16}, datetime(2026, 2, 13, 4, tzinfo=UTC)) == "defer"


def test_the_shipped_packs_know_the_shipped_facts():
    """Without a catalogue the conditions of shipped packs are read with the built-in one."""
    assert [pack.digest for pack in shipped_packs(load_catalogue())] == [pack.digest for pack in PACKS]


def test_a_pack_for_some_products():
    """A pack for some products leaves the others alone, and binds where the product is not known."""
    some = HEAD.replace("rules:\n", "products: [card]\nrules:\n") + RULE
    gate = Gate([pack(some)], places=["US"])
    night = datetime(2026, 2, 13, 4, tzinfo=UTC)
    ask = Ask("contact", "call", "collect", "borrower", 1, (1,), ("US",), ("America/Chicago",))
    other = Ask(
        "contact", "call", "collect", "borrower", 1, (1,), ("US",), ("America/Chicago",), facts={"product": "car"}
    )
    assert gate.check(ask, night).outcome == "defer"
    assert gate.check(other, night).outcome == "allow"


def test_every_shipped_rule_can_be_read():
    """Each rule says in both languages what it does, where the law says so, how far we read it, and when to read again."""
    for shipped in PACKS:
        assert shipped.title_en
        assert shipped.title_zh
        for one in shipped.rules:
            assert one.says_en.endswith(".")
            assert one.says_zh.endswith("。")
            assert re.search("[\u4e00-\u9fff]", one.says_zh)
            assert one.citation
            assert one.review_on > date(2026, 11, 23)
            assert (one.status == "house") == shipped.is_house


def test_the_shipped_house_pack_covers_every_duty_of_the_stage_table():
    """Each stage that owes a notice has a house duty for exactly that notice."""
    house = next(shipped for shipped in PACKS if shipped.id == "house.default")
    owed = {(edge.target, edge.duty) for edge in EDGES if edge.duty}
    duties = [one.limit for one in house.rules if "stage_move" in one.scope.acts and isinstance(one.limit, Duty)]
    assert {(stage, duty.notice) for duty in duties for stage in duty.to} == owed
    assert {duty for _, duty in owed} <= set(NOTICES)


def test_numbers_of_the_law():
    """The numbers that make or break compliance, as the sources give them."""
    limits = {one.id: one.limit for shipped in PACKS for one in shipped.rules}
    calls, talk = limits["us.regf.freq.calls"], limits["us.regf.freq.after_talk"]
    assert isinstance(calls, Count)
    assert isinstance(talk, Cooldown)
    assert (calls.max, calls.spans, calls.counts.same) == (7, (Span("dates", 7),), frozenset({"debt"}))
    assert (talk.span, talk.after.directions) == (Span("dates", 7), frozenset({"in", "out"}))
    week = (Span("dates", 7), Span("hours", 168))
    month = (Span("dates", 30), Span("months"))
    counts = {
        "us.ma.freq_home": (2, week),
        "us.dc.freq_calls": (4, week),
        "us.dc.freq_electronic": (5, week),
        "us.wa.freq": (3, week[:1]),
        "us.nyc.freq_old": (2, week[:1]),
        "us.nyc.freq_new": (3, week),
        "cn.gbt45251.interactive": (3, (Span("dates", 1),)),
        "cn.cba2026.attempts": (6, (Span("dates", 1),)),
        "au.rg96.freq_week": (3, week[:1]),
        "au.rg96.freq_month": (10, month),
        "kr.pdpa.freq": (7, week),
        "ru.fz230.calls_day": (1, (Span("dates", 1),)),
        "ru.fz230.calls_week": (2, week[:1]),
        "ru.fz230.calls_month": (8, month),
        "ru.fz230.messages_day": (2, (Span("dates", 1),)),
        "ru.fz230.messages_week": (4, week[:1]),
        "ru.fz230.messages_month": (16, month),
        "ru.fz230.meetings_week": (1, week[:1]),
        "th.dca.once_a_day": (1, (Span("dates", 1),)),
        "vn.c18.reminders": (5, (Span("dates", 1),)),
    }
    for name, (most, spans) in counts.items():
        limit = limits[name]
        assert isinstance(limit, Count), name
        assert (limit.max, limit.spans) == (most, spans), name


def test_nothing_unread_is_called_verified():
    """Of the laws only Regulation F was read in the original; what is from memory is unverified."""
    verified = {shipped.id for shipped in PACKS for one in shipped.rules if one.provenance == "verified"}
    assert verified == {"us.regf", "house.default"}
    unverified = {one.id for shipped in PACKS for one in shipped.rules if one.provenance == "unverified"}
    assert {"kr.pdpa.hours", "us.nyc.freq_old", "us.tcpa.mobile_consent", "in.rbi.microfinance_hours"} <= unverified


def test_the_officers_page_names_rules_that_there_are():
    """Each of the thirty-nine points has its row, and every rule it names as an example is shipped."""
    page = (Path(__file__).resolve().parents[2] / "docs" / "compliance-officer.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+)\. .*\| (.*) \|$", page, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 40))
    named = {name for _, examples in rows for name in re.findall(r"`([a-z0-9_.]+)`", examples)}
    assert named - {one.id for shipped in PACKS for one in shipped.rules} == set()
    assert len(named) > 30


CASE = """\
cases:
  - id: one
    title: A case
    jurisdiction: UK
    policy: [uk.drs]
    setup:
      persons: [{id: P1, role: borrower, timezones: [Europe/London]}]
      debts: [{id: D1, kind: card}]
    ask: {at: '2026-02-10T10:00:00', tz: Europe/London, channel: call, person: P1, debts: [D1]}
    expect: {decision: allow}
"""


def run(text: str):
    return run_cases(text, "cases.yaml", PACKS)[0]


def test_a_case_that_fails_says_what_was_wanted_and_what_came():
    """Wanted and got stand side by side, with each reason and its source."""
    held = CASE.replace(
        "    ask:", "      notices: [{kind: moratorium, received_at: '2026-01-06T09:00:00', debts: [D1]}]\n    ask:"
    )
    result = run(held)
    assert not result.passed
    assert result.decision == "deny"
    assert result.trace == (
        "wanted allow",
        "got    deny",
        (
            "  uk.drs.moratorium: deny; During breathing space no contact or enforcement about the debts in it; "
            "answers to the customer are allowed. (Debt Respite Scheme Regulations 2020)"
        ),
    )
    assert run(CASE).passed
    assert run(CASE).trace == ()


def test_the_instant_is_compared_to_a_minute():
    """Sixty seconds either way are the same opening; two minutes are not."""
    early = CASE.replace("uk.drs", "uk.conc7").replace("T10:00", "T07:00")
    for until, passed in (
        ("08:00:00", True),
        ("08:01:00", True),
        ("07:59:00", True),
        ("08:02:00", False),
        ("07:58:00", False),
    ):
        wanted = f"{{decision: defer_until, until: '2026-02-10T{until}', until_tz: Europe/London}}"
        assert run(early.replace("{decision: allow}", wanted)).passed == passed
    assert run(early.replace("{decision: allow}", "{decision: defer_until, because: [uk.conc7.third]}")).passed is False
    assert run(early.replace("{decision: allow}", "{decision: deny, accept: [defer_until]}")).passed is True


@pytest.mark.parametrize(
    ("text", "trace"),
    [
        (
            CASE.replace("    ask:", "      preferneces: []\n    ask:"),
            ("cases.yaml:2:5: unknown key of `setup` `preferneces`", "  mend: write `preferences`"),
        ),
        (
            CASE.replace("person: P1,", "person: P9,"),
            (
                "cases.yaml:2:5: case `one` cannot be read: 'P9'",
                "  mend: write it as the file's `meta` block describes",
            ),
        ),
        (
            CASE.replace("tz: Europe/London, ch", "tz: Europe/Londno, ch"),
            (
                "cases.yaml:2:5: case `one` cannot be read: no zone `Europe/Londno`",
                "  mend: write it as the file's `meta` block describes",
            ),
        ),
    ],
)
def test_a_case_that_cannot_be_read_fails_and_says_why(text, trace):
    """A misspelt key or name never makes a case pass by being ignored."""
    result = run(text)
    assert not result.passed
    assert not result.skipped
    assert result.trace == trace


def test_a_case_of_a_pack_that_is_not_here_is_skipped():
    """Skipped, with the pack's name, and neither passed nor failed."""
    result = run(CASE.replace("[uk.drs]", "[uk.drs, xx.none]"))
    assert (result.passed, result.skipped, result.decision) == (False, "no pack xx.none here", "")


def test_a_file_without_cases_is_refused():
    """What is no case file is refused whole."""
    with pytest.raises(RuleError) as refusal:
        run_cases("meta: {}\n", "cases.yaml", PACKS)
    assert (
        str(refusal.value)
        == "cases.yaml: a case file holds a list of `cases`\n  mend: write `cases:` and under it `- id: ...`"
    )
