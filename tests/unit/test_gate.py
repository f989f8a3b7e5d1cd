"""The gate on single questions: what is unknown, what counts, what wins."""

import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from compliance import Gate, sentence, shipped_packs
from compliance.clock import microseconds
from compliance.pack_file import load_packs
from engine.catalogue import load_catalogue
from engine.errors import RuleError
from engine.gate import Ask, Endpoint, Hold, Move, Override, PastContact, Statement

PACKS = {pack.id: pack for pack in shipped_packs()}
US = Gate([PACKS["us.tcpa"], PACKS["house.default"]])
REGF = Gate([PACKS["us.regf"]])
TCPA = Gate([PACKS["us.tcpa"]])
CAPITAL = Gate([PACKS["us.dc"], PACKS["us.regf"]])
KOREA = Gate([PACKS["kr.pdpa"]])
NOON = datetime(2026, 2, 12, 18, tzinfo=UTC)
DAY = timedelta(days=1)
MOBILE = Endpoint(7, "mobile", basis="direct_consent", basis_us=microseconds(NOON - DAY))


def ask(**changes: Any) -> Ask:
    plain = Ask("contact", "sms", "collect", "borrower", 1, (1,), ("US",), ("America/Chicago",), endpoint=MOBILE)
    return replace(plain, **changes)


def past(ago: timedelta, **changes: Any) -> PastContact:
    plain = PastContact(microseconds(NOON - ago), "out", "sms", "delivered", "collect", 1, (1,))
    return replace(plain, **changes)


def said(kind: str, ago: timedelta = DAY, **changes: Any) -> Statement:
    return Statement(kind, microseconds(NOON - ago), **changes)


def rules(gate: Gate, question: Ask, now: datetime = NOON) -> list[str]:
    return [reason.rule for reason in gate.check(question, now).reasons]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"zones": ()}, "zone"),
        ({"zones": ("Mars/Olympus",)}, "zone"),
        ({"zones": ("America/Chicago", "")}, "zone"),
        ({"zones": ("../etc/passwd",)}, "zone"),
        ({"jurisdictions": ()}, "jurisdiction"),
        ({"jurisdictions": ("DE",)}, "jurisdiction"),
        ({"role": "neighbour"}, "role"),
        ({"purpose": "fun"}, "purpose"),
        ({"actor": "robot"}, "actor"),
        ({"act": "duel"}, "act"),
        ({"channel": "pigeon"}, "channel"),
        ({"channel": None}, "channel"),
        ({"history": (None,)}, "ask"),
        ({"history": 5}, "ask"),
        ({"facts": None}, "ask"),
        ({"statements": (past(DAY),)}, "ask"),
        ({"zones": None}, "ask"),
        ({"history": (past(DAY, at_us="yesterday"),)}, "ask"),
    ],
)
def test_what_is_unknown_is_denied(changes, reason):
    """Nothing unknown or unreadable ever raises or is allowed; the reason says what was missing."""
    verdict = US.check(ask(**changes), NOON)
    assert verdict.outcome == "deny"
    assert [found.rule for found in verdict.reasons] == [f"gate.unknown.{reason}"]
    assert verdict.until is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"statements": (said("optout"),)}, "statement"), ({"holds": (Hold("stop", 0, 1),)}, "hold")],
)
def test_a_word_nobody_knows_closes_everything(changes, reason):
    """A statement or hold of an unknown kind was meant to stop something: it is never passed over, ended or not."""
    assert rules(US, ask(**changes)) == [f"gate.unknown.{reason}"]


SEVEN_CALLS = tuple(past(n * DAY, channel="call", outcome="no_answer") for n in range(7))


@pytest.mark.parametrize(
    ("override", "now", "answer"),
    [
        (None, NOON, ["us.regf.freq.calls"]),
        (Override("us.regf.freq.calls", "consumer_request"), NOON, []),
        (Override("us.regf.freq.calls", "outside_harm"), NOON + timedelta(hours=12), ["us.regf.time.default"]),
        (Override("us.regf.freq.after_talk", "legal_duty"), NOON, ["us.regf.freq.calls"]),
        (Override("us.regf.freq.calls", "good_offer"), NOON, ["gate.override"]),
        (Override("us.regf.time.default", "legal_duty"), NOON, ["gate.override"]),
        (Override("us.regf.freq.callz", "legal_duty"), NOON, ["gate.override"]),
    ],
)
def test_a_presumption_yields_to_its_grounds_and_nothing_else_yields(override, now, answer):
    """The eighth call goes on a recognised ground; at night, on another ground, or against a rule of law it does not."""
    question = ask(channel="call", actor="agency", history=SEVEN_CALLS, override=override)
    assert rules(REGF, question, now) == answer


def test_a_time_without_zone_is_denied():
    """A naive datetime is no instant."""
    assert rules(US, ask(), datetime(2026, 2, 12, 12)) == ["gate.unknown.time"]


def test_no_law_means_no_contact():
    """A house pack alone does not make a place known: somebody must have read the law there."""
    assert rules(Gate([PACKS["house.default"]]), ask()) == ["gate.unknown.jurisdiction"]
    assert rules(Gate([]), ask()) == ["gate.unknown.jurisdiction"]


@pytest.mark.parametrize("outcome", ["planned", "claimed", "sending", "unknown", "sent", "telepathy"])
def test_what_is_not_over_counts(outcome):
    """Contacts planned, under way, in doubt, or with an outcome nobody knows count like contacts made."""
    assert "house.default.message_day" in rules(US, ask(history=(past(timedelta(hours=1), outcome=outcome),)))


@pytest.mark.parametrize(
    "changes",
    [
        {"misdirected": True},
        {"outcome": "cancelled"},
        {"outcome": "expired"},
        {"outcome": "failed"},
        {"person": 2},
        {"direction": "in"},
    ],
)
def test_what_never_reached_the_person_does_not_count(changes):
    """Wrong numbers, contacts never made, and other people's contacts leave the day open."""
    assert US.check(ask(history=(past(timedelta(hours=1), **changes),)), NOON).outcome == "allow"


def test_a_contact_does_not_count_against_itself():
    """The second look at a planned contact leaves out that contact, and only that one."""
    mine, other = past(timedelta(0), id="9-1-1", outcome="planned"), past(timedelta(hours=5), id="8-1-1")
    assert US.check(ask(history=(mine,), own_id="9-1-1"), NOON).outcome == "allow"
    assert US.check(ask(history=(mine,)), NOON).outcome == "defer"
    assert rules(US, ask(history=(mine, other), own_id="9-1-1")) == ["house.default.message_day"]


def test_a_call_task_in_hand_may_be_a_conversation():
    """A call handed to an agent is `sent` until its outcome is known; until then it closes what a talk would close."""
    call = past(timedelta(hours=1), channel="call", outcome="sent")
    question = ask(channel="call", actor="agency", history=(call,))
    assert rules(REGF, question) == ["us.regf.freq.after_talk"]


def test_a_planned_call_keeps_its_distance_on_both_sides():
    """Quiet hours hold before a contact that is planned as well as after one that was made."""
    soon = past(-timedelta(hours=2), channel="call", outcome="planned")
    verdict = US.check(ask(history=(soon,)), NOON)
    assert [reason.rule for reason in verdict.reasons] == ["house.default.quiet"]
    assert verdict.until == NOON + timedelta(hours=6)


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        (said("opt_out"), "deny"),
        (said("opt_out", channels=("sms",)), "deny"),
        (said("opt_out", channels=("email",)), "allow"),
        (said("no_endpoint", endpoint=7), "deny"),
        (said("no_endpoint", endpoint=8), "allow"),
        (said("no_medium", channels=("sms", "email")), "deny"),
        (said("no_contact"), "deny"),
        (said("opt_out", debts=(2,)), "allow"),
        (said("opt_out", purposes=("service",)), "allow"),
        (said("opt_out", -DAY), "allow"),
        (said("opt_out", until_us=microseconds(NOON)), "allow"),
        (said("opt_out", until_us=microseconds(NOON + timedelta(hours=1))), "defer"),
        (said("opt_out", scope="electronic"), "deny"),
        (said("opt_out", scope="call_frequency"), "allow"),
    ],
)
def test_refusals_at_every_grain(statement, outcome):
    """A refusal closes what it covers, from when it was said until it lapses, and nothing else."""
    assert US.check(ask(statements=(statement,)), NOON).outcome == outcome


def test_the_latest_word_wins():
    """A later opt-in that covers the contact reopens it; an earlier one, one at the same instant, or a narrower one does not."""
    stop = said("opt_out", DAY)
    assert US.check(ask(statements=(stop, said("opt_in", DAY / 2))), NOON).outcome == "allow"
    assert US.check(ask(statements=(said("opt_in", DAY / 2, channels=("sms",)), stop)), NOON).outcome == "allow"
    for weaker in (said("opt_in", 2 * DAY), said("opt_in", DAY), said("opt_in", DAY / 2, channels=("email",))):
        assert US.check(ask(statements=(stop, weaker)), NOON).outcome == "deny"


def test_a_refused_endpoint_covers_an_unknown_one():
    """Where we do not know which number would be used, a refusal of any of them closes it."""
    assert US.check(ask(statements=(said("no_endpoint", endpoint=8),), endpoint=None), NOON).outcome == "deny"


def test_overlapping_holds_free_a_loan_only_together():
    """Of several holds the last to end decides; a hold of another loan or channel does not matter."""
    start = microseconds(NOON - DAY)
    first = Hold("manual", start, microseconds(NOON + timedelta(hours=1)))
    second = Hold("dispute", start, microseconds(NOON + timedelta(hours=3)), debts=(1,))
    verdict = US.check(
        ask(holds=(first, second, Hold("dispute", start, debts=(2,)), Hold("manual", start, blocks=("visit",)))), NOON
    )
    assert verdict.until == NOON + timedelta(hours=3)
    assert US.check(ask(holds=(first, second, Hold("fraud", start))), NOON).outcome == "deny"
    past_hold = Hold("fraud", start, microseconds(NOON))
    assert US.check(ask(holds=(past_hold, Hold("manual", start, start))), NOON).outcome == "allow"


def test_a_hold_does_not_silence_thanks():
    """Service messages go through a hold that stops asking for money."""
    held = (Hold("hardship", microseconds(NOON - DAY)),)
    assert US.check(ask(holds=held, purpose="service"), NOON).outcome == "allow"


def test_no_notice_no_legal_stage():
    """A duty-bearing move needs its notice; a notice not yet in force long enough sets the day."""
    move = Move("phone", "legal", {"prelegal_notice": date(2026, 2, 10)})
    question = ask(act="stage_move", channel=None, endpoint=None, move=move)
    verdict = US.check(question, NOON)
    assert verdict.outcome == "defer"
    assert verdict.until == datetime(2026, 2, 24, 6, tzinfo=UTC)
    assert rules(US, replace(question, move=Move("phone", "legal"))) == ["house.default.prelegal_notice"]
    assert rules(US, replace(question, move=None)) == ["house.default.field_notice", "house.default.prelegal_notice"]
    assert US.check(replace(question, move=Move("legal", "phone")), NOON).outcome == "allow"


def test_a_filing_asks_for_its_notice_too():
    """A court filing is an act; the days in force may come as a fact."""
    filing = ask(act="filing", channel="legal", endpoint=None)
    assert rules(US, filing) == ["house.default.filing_notice"]
    assert US.check(replace(filing, facts={"prelegal_notice_effective_days": 14}), NOON).outcome == "allow"
    assert US.check(replace(filing, facts={"prelegal_notice_effective_days": 13}), NOON).outcome == "defer"
    assert US.check(replace(filing, facts={"prelegal_notice_effective_days": "many"}), NOON).outcome == "deny"


def test_student_loans_of_one_account_are_one_debt():
    """Calls about one student loan count for every loan under its account number."""
    week = tuple(past(timedelta(days=day), channel="call", outcome="no_answer", debts=(2,)) for day in range(7))
    question = ask(channel="call", actor="agency", history=week)
    assert REGF.check(question, NOON).outcome == "allow"
    assert rules(REGF, replace(question, debt_groups={1: "A", 2: "A"})) == ["us.regf.freq.calls"]


def test_several_debts_are_each_counted():
    """A call about two debts is refused when either of them has used its calls."""
    week = tuple(past(timedelta(days=day), channel="call", outcome="no_answer", debts=(2,)) for day in range(7))
    assert rules(REGF, ask(channel="call", actor="agency", history=week, debts=(1, 2))) == ["us.regf.freq.calls"]


def test_whoever_was_contacted_about_an_account_counts():
    """Where the law counts per account, the co-borrower's calls fill the borrower's week, in the history or beside it."""
    four = tuple(past(timedelta(days=day, hours=1), channel="call", outcome="no_answer", person=2) for day in range(4))
    question = ask(channel="call", actor="agency", jurisdictions=("US", "US-DC"), zones=("America/New_York",))
    for known in ({"history": four}, {"shared": four}, {"history": four[:2], "shared": four[2:]}):
        assert rules(CAPITAL, replace(question, **known)) == ["us.dc.freq_calls"]
    assert CAPITAL.check(replace(question, shared=four[1:]), NOON).outcome == "allow"
    assert CAPITAL.check(replace(question, shared=four, debts=(2,)), NOON).outcome == "allow"
    assert REGF.check(replace(question, shared=four * 3), NOON).outcome == "allow"


def test_consent_excuses_only_calls_to_whoever_gave_it():
    """The borrower asked to be called; the calls to the co-borrower count all the same."""
    asked = said("consent", timedelta(days=5), scope="call_frequency", given_to="collector")
    calls = tuple(past(timedelta(days=day, hours=1), channel="call", outcome="no_answer") for day in range(4))
    question = ask(channel="call", actor="agency", jurisdictions=("US", "US-DC"), zones=("America/New_York",))
    question = replace(question, statements=(asked, replace(asked, until_us=asked.at_us + 1)))
    assert CAPITAL.check(replace(question, history=calls), NOON).outcome == "allow"
    over = replace(question, statements=(replace(asked, until_us=microseconds(NOON - timedelta(minutes=1))),))
    assert CAPITAL.check(replace(over, history=calls), NOON).outcome == "allow"
    beside = tuple(replace(call, person=2) for call in calls)
    assert rules(CAPITAL, replace(over, shared=beside)) == ["us.dc.freq_calls"]


def test_calls_to_one_number_count_whoever_they_were_for():
    """What counts by endpoint counts others' contacts at the number they share, and at no number that only may be it."""
    line = {"prerecorded": True, "line": "residential_landline"}
    three = tuple(
        past(timedelta(days=day), channel="call", outcome="voicemail", person=2, endpoint=7) for day in range(3)
    )
    question = ask(channel="call", actor="agency", content=line)
    assert rules(TCPA, replace(question, shared=three)) == ["us.tcpa.landline_30d"]
    for endpoint in (8, None):
        elsewhere = tuple(replace(call, endpoint=endpoint) for call in three)
        assert TCPA.check(replace(question, shared=elsewhere), NOON).outcome == "allow"
    assert TCPA.check(replace(question, shared=three, endpoint=None), NOON).outcome == "allow"
    unknown = tuple(replace(call, endpoint=None, person=1) for call in three)
    assert rules(TCPA, replace(question, history=unknown)) == ["us.tcpa.landline_30d"]


def test_an_answer_is_excused_on_its_dates_only():
    """In Korea the eighth contact may answer a question of the same day: once, and not one of yesterday."""
    noon = datetime(2026, 2, 12, 3, tzinfo=UTC)
    seven = tuple(past(NOON - noon + timedelta(hours=hours)) for hours in range(50, 57))
    asked = past(NOON - noon + timedelta(hours=2), direction="in", outcome="received")
    answered = past(NOON - noon + timedelta(hours=1), purpose="reply")
    question = ask(purpose="reply", jurisdictions=("KR",), zones=("Asia/Seoul",), history=(*seven, asked))
    assert KOREA.check(question, noon).outcome == "allow"
    assert rules(KOREA, question, noon + timedelta(hours=21)) == ["kr.pdpa.freq"]
    assert rules(KOREA, replace(question, history=(*seven, asked, answered)), noon) == ["kr.pdpa.freq"]
    assert rules(KOREA, replace(question, purpose="collect"), noon) == ["kr.pdpa.freq"]


def test_a_rule_for_some_of_those_whom_the_pack_binds():
    """New York City's old rule bound collectors; the new one binds lenders as well."""
    city = Gate([PACKS["us.nyc"]])
    august = datetime(2026, 8, 20, 16, tzinfo=UTC)
    two = tuple(
        past(DAY, at_us=microseconds(august - day * DAY), channel="call", outcome="no_answer") for day in (1, 2)
    )
    question = ask(channel="call", jurisdictions=("US", "US-NYC"), zones=("America/New_York",), history=two)
    assert city.check(question, august).outcome == "allow"
    assert rules(city, replace(question, actor="agency"), august) == ["us.nyc.freq_old"]


def test_creditor_consent_is_not_the_collectors():
    """Consent to be called at night counts only if given to whoever calls."""
    night = datetime(2026, 2, 13, 4, tzinfo=UTC)
    agreed = said("consent", scope="contact_time", given_to="agency-9")
    question = ask(channel="call", actor="agency", by="agency-9", statements=(agreed,))
    assert REGF.check(question, night).outcome == "allow"
    for other in ("lender", "creditor", "agency-8"):
        assert REGF.check(replace(question, statements=(replace(agreed, given_to=other),)), night).outcome == "defer"


def test_revoked_consent_is_gone():
    """A refusal after the consent takes it back."""
    night = datetime(2026, 2, 13, 4, tzinfo=UTC)
    agreed = said("consent", 2 * DAY, scope="contact_time", given_to="collector")
    revoked = said("opt_out", DAY, scope="contact_time")
    question = ask(channel="call", actor="agency", statements=(agreed, revoked))
    assert rules(REGF, question, night) == ["us.regf.time.default"]


def test_a_rule_binds_only_from_its_day_to_its_last():
    """The law of the contact's local date decides: the day before it came into force nothing binds, nor after it ended."""
    florida = Gate([PACKS["us.fl"]], places=["US"])
    mail = ask(channel="email", jurisdictions=("US", "US-FL"), zones=("America/New_York",))
    last_night = datetime(2025, 5, 16, 3, 30, tzinfo=UTC)
    assert rules(florida, mail, last_night) == ["us.fl.hours_email"]
    assert florida.check(mail, last_night).until == datetime(2025, 5, 16, 4, tzinfo=UTC)
    assert florida.check(mail, datetime(2025, 5, 16, 4, tzinfo=UTC)).outcome == "allow"
    assert REGF.check(ask(actor="agency", channel="call"), datetime(2021, 11, 30, 5, 59, tzinfo=UTC)).outcome == "allow"
    assert REGF.check(ask(actor="agency", channel="call"), datetime(2021, 11, 30, 6, 1, tzinfo=UTC)).outcome == "defer"


def test_who_is_bound():
    """Regulation F binds agencies and debt buyers, not a lender collecting its own loan."""
    assert REGF.check(ask(channel="call"), datetime(2026, 2, 13, 4, tzinfo=UTC)).outcome == "allow"


def test_every_reason_is_kept():
    """Refusals come first, then what opens last; each with its citation and its status."""
    start = microseconds(NOON - DAY)
    early = NOON - timedelta(hours=10)
    verdict = US.check(ask(statements=(said("opt_out", 2 * DAY),), holds=(Hold("manual", start),)), early)
    assert [(reason.rule, reason.outcome, reason.status) for reason in verdict.reasons] == [
        ("house.default.holds", "deny", "house"),
        ("house.default.refusals", "deny", "house"),
        ("us.tcpa.revoke", "deny", "law"),
        ("house.default.hours", "defer", "house"),
    ]
    assert all(reason.citation and reason.says and reason.says_zh for reason in verdict.reasons)


def test_the_law_cannot_be_there_twice():
    """A law pack is never replaced; a lender's own house pack takes the place of the shipped one."""
    with pytest.raises(RuleError) as refusal:
        Gate([PACKS["us.tcpa"], replace(PACKS["us.tcpa"], file="mine.yaml")])
    assert str(refusal.value) == (
        "mine.yaml: pack `us.tcpa` is there twice, first in compliance/packs/us/tcpa.yaml\n"
        "  mend: keep one of them; the law is never replaced, a house pack adds to it"
    )
    own = replace(PACKS["house.default"], rules=PACKS["house.default"].rules[:1], digest="x")
    gate = Gate([PACKS["us.tcpa"], PACKS["house.default"], own])
    assert gate.digest != US.digest
    assert gate.check(ask(history=(past(timedelta(hours=1)),)), NOON).outcome == "allow"


def test_a_rule_id_belongs_to_one_rule():
    """A house pack cannot carry a rule that is already there."""
    thief = replace(PACKS["house.default"], id="house.other", file="other.yaml")
    with pytest.raises(
        RuleError, match=r"rule `house\.default\.hours` is there twice, first at compliance/packs/house"
    ):
        Gate([PACKS["us.tcpa"], PACKS["house.default"], thief])


def test_sentences():
    """A verdict can be read out in English and in Chinese, with its source and the local time."""
    held = US.check(ask(statements=(said("opt_out"),)), NOON)
    late = US.check(ask(), datetime(2026, 2, 13, 4, tzinfo=UTC))
    zone = "America/Chicago"
    assert sentence(US.check(ask(), NOON), "en") == "Allowed: no rule stands against it."
    assert sentence(US.check(ask(), NOON), "zh-CN") == "可以联系：没有规则禁止。"
    assert sentence(late, "en", zone) == (
        "Not before 2026-02-13 08:00 America/Chicago: Calls and messages that ask for money only from 08:00 to 21:00 "
        "where the person is (House policy 1; house policy; until 2026-02-13 08:00 America/Chicago)."
    )
    assert sentence(held, "zh", zone) == (
        "不允许：对方拒绝的方式不再使用；避开其声明不便的时间和地点（House policy 6；机构内部规定）。"
        "对方以任何合理方式表示停止后，立即停止相应的电话和短信（47 CFR 64.1200(a)(10)）。"
    )
    assert sentence(US.check(ask(zones=()), NOON), "en") == (
        "Not allowed: Where the person is, and so what time it is there, is not known."
    )


def test_what_it_answers_from_can_be_kept() -> None:
    """Every pack as it was written, and a list whose own hash is the gate's digest: the gate can be made again from them."""
    gate = Gate(shipped_packs())
    *packs, whole = gate.sources
    assert (whole.kind, whole.digest) == ("gate", gate.digest)
    assert hashlib.sha256(whole.content.encode()).hexdigest() == gate.digest
    assert all(f"{pack.name} {pack.digest}\n" in whole.content for pack in packs)
    again = Gate(load_packs({pack.name: pack.content for pack in packs}, load_catalogue()))
    assert again.digest == gate.digest
