"""House rules beside the law: what they take from the rule they tighten, and what is refused because it would loosen it."""

from datetime import UTC, datetime, timedelta

import pytest

from compliance import Gate, load_packs, shipped_packs
from compliance.clock import microseconds
from compliance.pack import Count, Span
from engine.catalogue import load_catalogue
from engine.errors import RuleError
from engine.gate import Ask, PastContact

CATALOGUE = load_catalogue()
LAW = [pack for pack in shipped_packs() if not pack.is_house]
RULES = {rule.id: rule for pack in LAW for rule in pack.rules}
NOON = datetime(2026, 2, 12, 18, tzinfo=UTC)


def text(*lines: str, places: str = "everywhere", actors: str = "first_party, agency, debt_buyer, law_firm") -> str:
    head = (
        f"pack: house.mine\ntitle: {{en: Mine, zh: 我的}}\nplaces: [{places}]\nactors: [{actors}]\nstatus: house\n"
        "provenance: verified\nfrom: 2026-01-01\nreview_on: 2027-01-01\nrules:\n"
        "  - id: house.mine.one\n    says: {en: It., zh: 它。}\n    citation: House policy\n"
    )
    return head + "".join(f"    {line}\n" for line in lines)


def house(*lines: str, **head: str):
    return load_packs({"mine.yaml": text(*lines, **head)}, CATALOGUE, LAW)[0]


def refused(*lines: str, **head: str) -> str:
    with pytest.raises(RuleError) as refusal:
        house(*lines, **head)
    return str(refusal.value)


@pytest.mark.parametrize(
    ("rule", "line", "what", "mend"),
    [
        ("us.regf.freq.calls", "max: 9", "`max` says `9`, and the law `7`", "write `7` or less, or leave `max` out"),
        (
            "us.regf.freq.calls",
            "within: 5 dates",
            "`within` does not cover `7 dates`, which the law does",
            "name `7 dates` or more, or leave `within` out",
        ),
        (
            "us.ma.visit",
            "within: [30 dates, 480 hours]",
            "`within` does not cover `720 hours`, which the law does",
            "name `720 hours` or more, or leave `within` out",
        ),
        (
            "us.regf.freq.calls",
            "counts: {channels: [call], except_outcomes: [busy, no_answer, not_in_service], same: debt}",
            "`except_outcomes` of `counts` says `[busy, no_answer, not_in_service]`, and the law `[busy, not_in_service]`",
            "name nothing beyond `[busy, not_in_service]`, or leave `counts` out",
        ),
        (
            "us.regf.freq.calls",
            "counts: {channels: [sms], except_outcomes: [busy, not_in_service], same: debt}",
            "`channels` of `counts` says `[sms]`, and the law `[call]`",
            "name at least `[call]`, or leave `counts` out",
        ),
        (
            "us.regf.freq.calls",
            "counts: {channels: [call], directions: [in], except_outcomes: [busy, not_in_service], same: debt}",
            "`directions` of `counts` says `[in]`, and the law `[out]`",
            "name at least `[out]`, or leave `counts` out",
        ),
        (
            "us.regf.freq.calls",
            "counts: {channels: [call], outcomes: [conversation], except_outcomes: [busy], same: debt}",
            "`outcomes` of `counts` says `[conversation, dispute, heard, promise, refused]`, and the law says nothing of it",
            "leave `counts` out",
        ),
        (
            "us.regf.freq.calls",
            "counts: {channels: [call], purposes: [collect], same: debt}",
            "`purposes` of `counts` says `[collect]`, and the law says nothing of it",
            "leave `counts` out",
        ),
        (
            "us.regf.freq.calls",
            "counts: {channels: [call], except_purposes: [service], same: debt}",
            "`except_purposes` of `counts` says `[service]`, and the law says nothing of it",
            "leave `counts` out",
        ),
        (
            "us.regf.freq.calls",
            "counts: {channels: [call], same: [debt, actor]}",
            "`same` of `counts` says `[actor, debt]`, and the law `[debt]`",
            "name nothing beyond `[debt]`, or leave `counts` out",
        ),
        (
            "us.regf.freq.calls",
            "counts: {channels: [call], since: days_in_episode}",
            "`since` of `counts` says `days_in_episode`, and the law says nothing of it",
            "leave `counts` out",
        ),
        (
            "us.regf.freq.calls",
            "counts: {channels: [call], except_where: [work]}",
            "`except_where` of `counts` says `[work]`, and the law says nothing of it",
            "leave `counts` out",
        ),
        (
            "us.ma.freq_other",
            "counts: {channels: [call, sms], where: [home], same: debt}",
            "`where` of `counts` says `[home]`, and the law `[work]`",
            "name at least `[work]`, or leave `counts` out",
        ),
        (
            "us.tcpa.landline_30d",
            "counts: {channels: [call]}",
            "`same` of `counts` leaves out what others heard at the same number or address, which the law counts",
            "write `same: endpoint`, or `any_person: true`, or leave `counts` out",
        ),
        (
            "us.dc.freq_electronic",
            "counts: {channels: [email, sms], same: debt}",
            "`any_person` of `counts` says `false`, and the law `true`",
            "write `true`, or leave `counts` out",
        ),
        (
            "us.regf.freq.calls",
            "lifted_by: {consent: call_frequency, directly: true, once: true}",
            "`dates_max` of `lifted_by` says nothing, and the law `7`",
            "write `7` or less, or leave `lifted_by` out",
        ),
        (
            "us.regf.freq.calls",
            "lifted_by: {consent: call_frequency, dates_max: 7, once: true}",
            "`directly` of `lifted_by` says `false`, and the law `true`",
            "write `true`, or leave `lifted_by` out",
        ),
        (
            "us.regf.freq.calls",
            "lifted_by: {consent: call_frequency, directly: true, dates_max: 7}",
            "`once` of `lifted_by` says `false`, and the law `true`",
            "write `true`, or leave `lifted_by` out",
        ),
        (
            "us.regf.freq.calls",
            "lifted_by: {consent: contact_time, directly: true, dates_max: 7, once: true}",
            "`consent` of `lifted_by` says `contact_time`, and the law `call_frequency`",
            "write `call_frequency`, or leave `lifted_by` out",
        ),
        (
            "us.ma.hours",
            "lifted_by: {consent: contact_time}",
            "`lifted_by` is an exception that the law does not have",
            "leave `lifted_by` out",
        ),
        (
            "us.regf.freq.after_talk",
            "for: 3 dates",
            "`for` says `3 dates`, and the law `7 dates`",
            "write `7 dates` or more, or leave `for` out",
        ),
        (
            "us.regf.freq.after_talk",
            "for: 168 hours",
            "`for` says `168 hours`, and the law `7 dates`",
            "write `7 dates` or more, or leave `for` out",
        ),
        (
            "us.regf.freq.after_talk",
            "after: {channels: [call], directions: [out], outcomes: [conversation], same: debt}",
            "`directions` of `after` says `[out]`, and the law `[in, out]`",
            "name at least `[in, out]`, or leave `after` out",
        ),
        (
            "us.regf.time.default",
            'open: {every_day: "07:00-21:00"}',
            "`open` leaves 07:00 on mon open, which the law closes",
            "keep within the law's hours, or leave `open` out",
        ),
        (
            "th.dca.hours",
            'open: {every_day: "08:00-18:00", holidays: "08:00-19:00"}',
            "`open` leaves 18:00 on holidays open, which the law closes",
            "keep within the law's hours, or leave `open` out",
        ),
        (
            "cn.cba2026.hours",
            'closed: {every_day: "22:30-08:00"}',
            "`closed` leaves 22:00 on mon open, which the law closes",
            "keep within the law's hours, or leave `closed` out",
        ),
        (
            "us.regf.medium",
            "honours: [opt_out, no_contact]",
            "`honours` says `[no_contact, opt_out]`, and the law `[no_contact, no_endpoint, no_medium, opt_out]`",
            "name at least `[no_contact, no_endpoint, no_medium, opt_out]`, or leave `honours` out",
        ),
        (
            "us.tcpa.revoke_all",
            "as_one: [sms]",
            "`as_one` says `[sms]`, and the law `[call, sms]`",
            "name at least `[call, sms]`, or leave `as_one` out",
        ),
        (
            "us.ma.work_request",
            "oral_dates_max: 9",
            "`oral_dates_max` says `9`, and the law `10`",
            "write `10` or more, or leave `oral_dates_max` out",
        ),
        (
            "us.regf.medium",
            "channels_max: 3",
            "`channels_max` says `3`, and the law says nothing of it",
            "leave `channels_max` out",
        ),
        (
            "us.regf.time.stated",
            "hours_a_week_max: 28",
            "`hours_a_week_max` says `28`, and the law says nothing of it",
            "leave `hours_a_week_max` out",
        ),
        (
            "us.regf.sms.procedure",
            "basis: [direct_consent, contract]",
            "`basis` says `[contract, direct_consent]`, and the law `[direct_consent, text_from_consumer]`",
            "name nothing beyond `[direct_consent, text_from_consumer]`, or leave `basis` out",
        ),
        (
            "us.regf.sms.procedure",
            "consent: prerecorded",
            "`consent` says `prerecorded`, and the law `electronic`",
            "write `electronic`, or leave `consent` out",
        ),
        (
            "us.regf.sms.procedure",
            "directly: false",
            "`directly` says `false`, and the law `true`",
            "write `true`, or leave `directly` out",
        ),
        (
            "us.regf.sms.procedure",
            "renewed_within_days: 90",
            "`renewed_within_days` says `90`, and the law `60`",
            "write `60` or less, or leave `renewed_within_days` out",
        ),
        (
            "us.regf.cease",
            "holds: [cease]",
            "`holds` says `[cease]`, and the law `[cease, refusal_to_pay]`",
            "name at least `[cease, refusal_to_pay]`, or leave `holds` out",
        ),
        (
            "us.regf.cease",
            "forms: [written]",
            "`forms` says `[written]`, and the law `[electronic, written]`",
            "name at least `[electronic, written]`, or leave `forms` out",
        ),
        (
            "us.regf.third_party",
            "may_be: [borrower, third_party]",
            "`may_be` says `[borrower, third_party]`, and the law `[attorney, borrower, co_borrower, executor, guarantor, spouse]`",
            "name nothing beyond `[attorney, borrower, co_borrower, executor, guarantor, spouse]`, or leave `may_be` out",
        ),
        (
            "us.regf.third_party",
            "also: [{roles: [third_party]}]",
            "`also` admits `[third_party]` on conditions on which the law does not",
            "repeat the law's conditions, with more of them or for fewer roles, or leave `also` out",
        ),
        (
            "cn.cba2026.addressee",
            "also: [{roles: [contact_person], purposes: [location], unreachable_attempts: 2}]",
            "`also` admits `[contact_person]` on conditions on which the law does not",
            "repeat the law's conditions, with more of them or for fewer roles, or leave `also` out",
        ),
        (
            "us.regf.disclosure",
            "required: [collector_disclosure]",
            "`required` says `[collector_disclosure]`, and the law `[collector_disclosure, disclosure_in_each_language]`",
            "name at least `[collector_disclosure, disclosure_in_each_language]`, or leave `required` out",
        ),
        (
            "us.regf.known_disclosure",
            "forbidden: [employer_provided]",
            "`forbidden` says `[employer_provided]`, and the law `[known_disclosure]`",
            "name at least `[known_disclosure]`, or leave `forbidden` out",
        ),
        (
            "cn.cba2026.visit",
            "at_least: {collectors_present: 1}",
            "`collectors_present` of `at_least` asks for fewer than the law's 2",
            "write `collectors_present: 2` or more, or leave `at_least` out",
        ),
        (
            "us.regf.optout_notice",
            "requires: {opt_out_notice: {any: [bye]}}",
            "`opt_out_notice` of `requires` is content with phrases that the law does not take",
            "name none but phrases of the law, or leave `requires` out",
        ),
        (
            "us.regf.optout_notice",
            "requires: {help: {any: [bye]}}",
            "`opt_out_notice` of `requires` is left out, and the law has it",
            "name `opt_out_notice` as the law does, or leave `requires` out",
        ),
        (
            "us.regf.location.silence",
            "forbids: {mentions_debt: {en: [debt*]}}",
            "`mentions_debt` of `forbids` finds less than the law does",
            "keep every phrase of the law, and add to them, or leave `forbids` out",
        ),
        (
            "us.regf.time_barred.threat",
            "before_due: true",
            "`before_due` says `true`, and the law `false`",
            "write `false`, or leave `before_due` out",
        ),
        (
            "us.regf.reporting_first",
            "in_force_days: 7",
            "`in_force_days` says `7`, and the law `14`",
            "write `14` or more, or leave `in_force_days` out",
        ),
        (
            "us.regf.reporting_first",
            "notice: visit_notice",
            "`notice` says `visit_notice`, and the law `validation_notice`",
            "write `validation_notice`, or leave `notice` out",
        ),
        (
            "us.regf.reporting_first",
            "into: [legal]",
            "`into` says `[legal]`, and the law says nothing of it",
            "leave `into` out",
        ),
        (
            "us.tcpa.bankruptcy",
            "acts: [contact]",
            "`acts` says `[contact]`, and the law `[contact, filing, placement, stage_move]`",
            "name at least `[contact, filing, placement, stage_move]`, or leave `acts` out",
        ),
        (
            "us.regf.freq.calls",
            "channels: [sms]",
            "`channels` says `[sms]`, and the law `[call]`",
            "name at least `[call]`, or leave `channels` out",
        ),
        (
            "us.regf.dispute",
            "purposes: [collect]",
            "`purposes` says `[collect]`, and the law `[collect, discount_offer, location]`",
            "name at least `[collect, discount_offer, location]`, or leave `purposes` out",
        ),
        (
            "us.regf.medium",
            "except_purposes: [reply, service]",
            "`except_purposes` says `[reply, service]`, and the law `[legally_required, opt_out_confirmation, reply]`",
            "name nothing beyond `[legally_required, opt_out_confirmation, reply]`, or leave `except_purposes` out",
        ),
        (
            "us.wa.freq",
            "roles: [borrower]",
            "`roles` says `[borrower]`, and the law `[borrower, co_borrower, spouse]`",
            "name at least `[borrower, co_borrower, spouse]`, or leave `roles` out",
        ),
        (
            "us.regf.freq.calls",
            "except_roles: [attorney, guarantor]",
            "`except_roles` says `[attorney, guarantor]`, and the law `[attorney]`",
            "name nothing beyond `[attorney]`, or leave `except_roles` out",
        ),
        (
            "us.wa.work",
            "where: [home]",
            "`where` says `[home]`, and the law `[work]`",
            "name at least `[work]`, or leave `where` out",
        ),
        (
            "us.wa.hours",
            "except_where: [work, home]",
            "`except_where` says `[home, work]`, and the law `[work]`",
            "name nothing beyond `[work]`, or leave `except_where` out",
        ),
        (
            "us.regf.freq.calls",
            "given: {recorded: true}",
            "`given` says `{recorded: true}`, and the law says nothing of it",
            "leave `given` out",
        ),
        (
            "kr.pdpa.freq",
            "reply_dates_max: 2",
            "`reply_dates_max` excuses replies on more dates than the law's 1",
            "write `1` or less, or leave `reply_dates_max` out",
        ),
        (
            "ph.mc18.hours",
            "when: dpd <= 5",
            "`when` is another condition than the law's",
            "write a rule of its own without `tightens`, or leave `when` out",
        ),
    ],
)
def test_what_would_loosen_is_refused(rule: str, line: str, what: str, mend: str):
    """Each key of each kind: where it stands, in what it is looser, which law it would loosen, and the mend."""
    told = f"mine.yaml:14:5: {what}: that would loosen `{rule}` ({RULES[rule].citation})\n  mend: {mend}"
    assert refused(f"tightens: {rule}", line) == told


@pytest.mark.parametrize(
    ("rule", "line"),
    [
        ("us.regf.freq.calls", "max: 6"),
        ("us.regf.freq.calls", "within: 8 dates"),
        ("us.regf.freq.calls", "within: 192 hours"),
        ("us.regf.freq.calls", "within: ever"),
        ("us.regf.freq.calls", "counts: {channels: [call, sms]}"),
        ("us.regf.freq.calls", "lifted_by: none"),
        ("us.regf.freq.calls", "lifted_by: {consent: call_frequency, directly: true, dates_max: 3, once: true}"),
        ("us.regf.freq.calls", "channels: [call, sms]"),
        ("us.ma.visit", "within: 32 dates"),
        ("ru.fz230.calls_month", "within: 31 dates"),
        ("us.tcpa.landline_30d", "counts: {channels: [call], any_person: true}"),
        ("us.regf.freq.after_talk", "for: ever"),
        ("us.regf.time.default", 'closed: {every_day: "20:00-09:00"}'),
        ("us.regf.time.default", 'open: {weekdays: "09:00-20:00", weekends: none, holidays: none}'),
        ("us.ma.work_request", "oral_dates_max: 30"),
        ("us.regf.sms.procedure", "renewed_within_days: 30"),
        ("us.regf.third_party", "also: []"),
        ("cn.cba2026.addressee", "also: [{roles: [contact_person], purposes: [location], given: {debtor_unreachable: true}, unreachable_attempts: 5}]"),
        ("us.regf.optout_notice", 'requires: {opt_out_notice: {any: ["{{ opt_out }}"]}}'),
        ("us.regf.reporting_first", "in_force_days: 21"),
        ("kr.pdpa.freq", "except_purposes: [legally_required]"),
        ("ph.mc18.hours", 'closed: {every_day: "21:00-07:00"}'),
    ],
)  # fmt: skip
def test_what_is_stricter_is_taken(rule: str, line: str):
    """Narrower hours, lower limits, longer spans and pauses, fewer exceptions."""
    (one,) = house(f"tightens: {rule}", line).rules
    assert (one.tightens, one.status) == (rule, "house")


def test_the_rest_comes_from_the_law():
    """One key given; scope, counts and the consent that lifts it are those of the rule that is tightened."""
    (one,) = house("tightens: us.regf.freq.calls", "max: 3").rules
    law = RULES["us.regf.freq.calls"]
    assert isinstance(one.limit, Count)
    assert isinstance(law.limit, Count)
    assert one.limit == Count(3, (Span("dates", 7),), law.limit.counts, law.limit.lifted_by)
    assert one.scope == law.scope


def test_it_binds_where_both_do():
    """The tightened rule binds whom and where the law binds, as far as the house pack does, and nobody else."""
    everywhere = house("tightens: us.regf.freq.calls", "max: 1")
    boston = house("tightens: us.regf.freq.calls", "max: 1", places="US-MA")

    def reasons(pack, actor: str, *places: str) -> list[str]:
        called = PastContact(microseconds(NOON - timedelta(days=1)), "out", "call", "no_answer", "collect", 1, (1,))
        ask = Ask(
            "contact", "call", "collect", "borrower", 1, (1,), places, ("America/New_York",), actor, history=(called,)
        )
        return [
            reason.rule for reason in Gate([*LAW, pack]).check(ask, NOON).reasons if reason.rule.startswith("house")
        ]

    assert reasons(everywhere, "agency", "US") == ["house.mine.one"]
    assert reasons(everywhere, "first_party", "US") == []
    assert reasons(everywhere, "agency", "CN") == []
    assert reasons(boston, "agency", "US", "US-MA") == ["house.mine.one"]
    assert reasons(boston, "agency", "US") == []


@pytest.mark.parametrize(
    ("lines", "head", "message"),
    [
        (
            ["tightens: us.regf.freq.cals", "max: 1"], {},
            "mine.yaml:13:15: unknown rule of law `us.regf.freq.cals`\n  mend: write `us.regf.freq.calls`",
        ),
        (
            ["tightens: us.regf.freq.calls", "max: 1"], {"places": "CN"},
            ("mine.yaml:13:15: `us.regf.freq.calls` holds in US, and this pack does not\n"
            "  mend: let the pack hold there: it binds only where both do"),
        ),
        (
            ["tightens: us.regf.freq.calls", "max: 1"], {"actors": "first_party"},
            ("mine.yaml:13:15: `us.regf.freq.calls` binds agency, debt_buyer, law_firm, and this pack does not\n"
            "  mend: let the pack bind them: the rule binds only whom both do"),
        ),
        (
            ["tightens: us.regf.freq.calls", "max: 7"], {},
            ("mine.yaml:13:5: this tightens nothing: it says what `us.regf.freq.calls` says\n"
            "  mend: give the keys that are to be stricter"),
        ),
        (
            ["tightens: us.regf.freq.calls", "kind: hours"], {},
            "mine.yaml:14:11: unknown kind of limit `hours`\n  mend: use one of count",
        ),
        (
            ["tightens: us.regf.freq.calls", "open: {every_day: none}"], {},
            ("mine.yaml:14:5: `open` means nothing in a limit of kind `count`\n"
            "  mend: a limit of kind `count` has `max`, `within`, `counts`, `lifted_by`"),
        ),
    ],
)  # fmt: skip
def test_what_tightens_nothing_is_refused(lines: list[str], head: dict[str, str], message: str):
    """A rule that never binds, or says nothing of its own, is not what its author believes."""
    assert refused(*lines, **head) == message


def test_every_problem_comes_at_once_and_nothing_is_loaded():
    """Two keys that loosen are two problems."""
    told = refused("tightens: us.regf.freq.calls", "max: 9", "within: 5 dates")
    assert [line.split(":")[1] for line in told.splitlines()[::2]] == ["14", "15"]


def test_a_rule_that_sets_a_day_is_not_tightened():
    """Of several rules that set a day the strictest counts by itself: to tighten one is to write another."""
    assert refused("tightens: us.regf.validation", "within: 3 days") == (
        "mine.yaml:13:15: `us.regf.validation` sets a day and limits nothing\n"
        "  mend: write a rule of your own, without `tightens`: where several set a day, the strictest counts"
    )


def test_a_law_pack_tightens_nothing():
    """Only the house may be stricter than a law by its own word."""
    law = text("tightens: us.regf.freq.calls", "max: 3").replace("house.mine", "us.mine").replace("everywhere", "US")
    with pytest.raises(RuleError) as refusal:
        load_packs({"mine.yaml": law.replace("status: house", "status: law")}, CATALOGUE, LAW)
    assert str(refusal.value) == (
        "mine.yaml:13:5: only a house rule tightens another\n  mend: move the rule to a pack whose id begins with `house.`"
    )


LATE = 'open: {every_day: "07:00-22:00"}'
NINE = ("kind: count", "channels: [call]", "max: 9", "within: 7 dates",
        "counts: {channels: [call], except_outcomes: [busy, not_in_service], same: debt}")  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "head", "message"),
    [
        (
            ("kind: hours", "channels: [call]", LATE), {"places": "US-MA"},
            ("mine.yaml:15:5: `open` of `house.mine.one` leaves 07:00 on mon open, which the law closes: "
            "it would loosen `us.ma.hours` (940 CMR 7.05(3)(e); 209 CMR 18.16(1)(a)), and can do nothing\n"
            "  mend: make it stricter and write `tightens: us.ma.hours` beside it, or delete the rule"),
        ),
        (
            ("kind: hours", "channels: [call]", LATE), {"places": "US", "actors": "agency"},
            ("mine.yaml:15:5: `open` of `house.mine.one` leaves 07:00 on mon open, which the law closes: "
            "it would loosen `us.regf.time.default` (12 CFR 1006.6(b)(1)(i); comment 6(b)(1)(i)-2), and can do nothing\n"
            "  mend: make it stricter and write `tightens: us.regf.time.default` beside it, or delete the rule; "
            "if it is for those whom a consent frees from the law, write `lifted_by: none`"),
        ),
        (
            NINE, {"places": "US", "actors": "agency"},
            ("mine.yaml:15:5: `max` of `house.mine.one` says `9`, and the law `7`: "
            "it would loosen `us.regf.freq.calls` (12 CFR 1006.14(b)(2)(i)(A), (b)(3)), and can do nothing\n"
            "  mend: make it stricter and write `tightens: us.regf.freq.calls` beside it, or delete the rule; "
            "if it is for those whom a consent frees from the law, write `lifted_by: none`"),
        ),
        (
            ("kind: cooldown", "channels: [call]", "for: 3 dates",
             "after: {channels: [call], outcomes: [conversation], same: debt}"), {"places": "US", "actors": "agency"},
            ("mine.yaml:15:5: `for` of `house.mine.one` says `3 dates`, and the law `7 dates`: "
            "it would loosen `us.regf.freq.after_talk` (12 CFR 1006.14(b)(2)(i)(B); comment 14(b)(2)(i)-1), and can do nothing\n"
            "  mend: make it stricter and write `tightens: us.regf.freq.after_talk` beside it, or delete the rule; "
            "if it is for those whom a consent frees from the law, write `lifted_by: none`"),
        ),
    ],
)  # fmt: skip
def test_a_rule_of_its_own_that_a_law_makes_idle_is_refused(lines: tuple[str, ...], head: dict[str, str], message: str):
    """Looser than a law that binds everywhere it does: it could never have a say, and its author believes it has."""
    assert refused(*lines, **head) == message


@pytest.mark.parametrize(
    ("lines", "head"),
    [
        (("kind: hours", "channels: [call]", LATE), {}),  # everywhere: also where no law has hours
        (("kind: hours", "channels: [call]", LATE), {"places": "US", "actors": "first_party"}),  # the law binds others
        (("kind: hours", "channels: [call, letter]", LATE), {"places": "US-MA"}),  # letters have no hours there
        (("kind: hours", "channels: [call]", LATE, "lifted_by: none"), {"places": "US-FL"}),  # for those who agreed
        (("kind: hours", "channels: [call]", "purposes: [reply]", LATE), {"places": "US", "actors": "agency"}),
        (("kind: hours", "channels: [call]", 'open: {every_day: "08:00-21:00"}'), {"places": "US-MA"}),  # the same
        (("kind: hours", "channels: [call]", 'open: {every_day: "07:00-20:00"}'), {"places": "US-MA"}),  # stricter at night
        ((*NINE[:-1], "counts: {channels: [call]}"), {"places": "US", "actors": "agency"}),  # whatever the debt
        (("from: 2021-01-01", *NINE), {"places": "US", "actors": "agency"}),  # before there was the law
    ],
)  # fmt: skip
def test_a_rule_of_its_own_that_may_have_a_say_is_taken(lines: tuple[str, ...], head: dict[str, str]):
    """Where it cannot be proved that a rule never binds, it is let alone."""
    assert house(*lines, **head).rules
