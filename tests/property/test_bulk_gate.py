"""The gate for a whole book answers as the gate does, whatever it was asked before."""

import pickle
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from compliance import BulkGate, Gate, read_pack, shipped_packs
from compliance.bulk import Asked
from compliance.clock import microseconds
from engine.catalogue import load_catalogue
from engine.gate import Ask, Endpoint, Hold, LocalWindow, PastContact, Statement
from tests.property.test_gate import asks, contacts, nows, statements

GATE = Gate(shipped_packs())
_LIFTED = read_pack(
    """
pack: house.lifted
title: {en: Lifted, zh: 解除}
places: [everywhere]
actors: [first_party, agency]
status: house
provenance: verified
from: 2000-01-01
review_on: 2027-01-01
rules:
  - id: house.lifted.hours
    kind: hours
    says: {en: Never without consent for one talk., zh: 须同意。}
    channels: [call]
    open: {every_day: none}
    lifted_by: {consent: contact_time}
    citation: a test
  - id: house.lifted.visits
    kind: hours
    says: {en: Never without consent for one visit., zh: 须同意。}
    channels: [visit]
    open: {every_day: none}
    lifted_by: {consent: contact_time, once: true}
    citation: a test
  - id: house.lifted.count
    kind: count
    says: {en: One in a week that nobody agreed to., zh: 每周一次。}
    channels: [sms, email]
    max: 1
    within: 7 dates
    counts: {channels: [call, sms, email]}
    lifted_by: {consent: call_frequency, directly: true}
    citation: a test
  - id: house.lifted.early
    kind: content
    says: {en: No pre-recorded call before day thirty., zh: 三十天前不得录音外呼。}
    channels: [call]
    when: dpd < 30
    forbidden: [prerecorded]
    citation: a test
  - id: house.lifted.couple
    kind: count
    says: {en: One letter a day to whoever of them., zh: 每日一信。}
    channels: [email]
    max: 1
    within: 1 dates
    counts: {channels: [email], any_person: true}
    citation: a test
  - id: house.lifted.tone
    kind: wording
    says: {en: Nobody is told of a late payment before it is late., zh: 未逾期不得称逾期。}
    channels: [sms]
    before_due: true
    forbids: {late: {en: [late]}}
    citation: a test
  - id: house.lifted.words
    kind: wording
    says: {en: No pressure., zh: 不得施压。}
    channels: [sms]
    forbids: {pressure: {en: [now]}}
    citation: a test
  - id: house.lifted.mail
    kind: consent
    says: {en: Letters to the door need consent given to us., zh: 须直接同意。}
    channels: [visit]
    consent: electronic
    directly: true
    citation: a test
""",
    "lifted.yaml",
    load_catalogue(),
)
_CLOSER = read_pack(
    """
pack: house.closer
title: {en: Closer, zh: 细看}
places: [everywhere]
actors: [first_party, agency]
status: house
provenance: verified
from: 2000-01-01
review_on: 2027-01-01
rules:
  - id: house.closer.work
    kind: count
    says: {en: One call a week to work by each actor., zh: 每周一次致电单位。}
    channels: [call]
    max: 1
    within: 7 dates
    counts: {channels: [call], where: [work], same: actor}
    citation: a test
  - id: house.closer.spell
    kind: count
    says: {en: One text in a spell of delinquency., zh: 每次逾期一条短信。}
    channels: [sms]
    max: 1
    within: ever
    counts: {channels: [sms], since: days_in_episode}
    citation: a test
  - id: house.closer.said
    kind: statements
    says: {en: One stop is all stops; what is said aloud lasts three days., zh: 一停全停。}
    channels: [call, sms]
    honours: [opt_out, no_endpoint, inconvenient_time]
    as_one: [call, sms]
    oral_dates_max: 3
    hours_a_week_max: 40
    citation: a test
  - id: house.closer.means
    kind: statements
    says: {en: Two means may be closed., zh: 可关闭两种方式。}
    channels: [email]
    honours: [opt_out]
    channels_max: 2
    citation: a test
  - id: house.closer.lost
    kind: addressee
    says: {en: Others once the debtor is lost., zh: 失联后方可联系他人。}
    channels: [visit]
    may_be: [borrower]
    also: [{roles: [guarantor, contact_person], unreachable_dates: 2}]
    citation: a test
""",
    "closer.yaml",
    load_catalogue(),
)
EACH = [Gate([pack], places=["US", "CN"]) for pack in (*shipped_packs(), _LIFTED, _CLOSER)]
"""Alone, no pack's refusal hides what another one looks at."""
NOON = datetime(2026, 3, 4, 17, 30, tzinfo=UTC)
_PLACES = ((("US", "US-MA"), "America/New_York"), (("US", "US-FL"), "America/Chicago"), (("CN",), "Asia/Shanghai"))
_SWAYING = (("opt_out", ""), ("opt_in", ""), ("consent", ""), ("consent", "electronic"), ("consent", "call_frequency"),
            ("consent", "contact_time"))  # fmt: skip
_SAID = ("consent", "consent", "opt_out", "opt_in", "inconvenient_time", "inconvenient_place", "no_work_contact")


@st.composite
def changed(draw: st.DrawFn, ask: Ask, now: datetime) -> Ask:
    """The same ask but for one thing."""
    what = draw(
        st.sampled_from(["one more", "one less", "moved", "said", "unsaid", "basis", "place", "fact", "zone", "hold"])
    )
    days = draw(st.integers(-35, 3))
    match what:
        case "one more":
            return replace(ask, history=(*ask.history, draw(contacts(now))))
        case "one less":
            return replace(ask, history=ask.history[1:])
        case "moved" if ask.history:
            first = replace(ask.history[0], at_us=ask.history[0].at_us + days * 86_400_000_000)
            return replace(ask, history=(first, *ask.history[1:]))
        case "said":
            return replace(ask, statements=(*ask.statements, draw(statements(now))))
        case "unsaid":
            return replace(ask, statements=ask.statements[1:])
        case "basis":
            return replace(
                ask,
                endpoint=Endpoint(
                    1, "mobile", basis="direct_consent", basis_us=microseconds(now) + (days - 40) * 86_400_000_000
                ),
            )
        case "place":
            return replace(ask, place=draw(st.sampled_from([None, "home", "work"])))
        case "fact":
            return replace(
                ask, content={draw(st.sampled_from(["prerecorded", "opt_out_notice", "recorded"])): draw(st.booleans())}
            )
        case "zone":
            return replace(ask, zones=(*ask.zones, "Asia/Tokyo"))
        case _:
            return replace(ask, holds=(Hold("dispute", microseconds(now - timedelta(days=1))),))


@st.composite
def two_asks(draw: st.DrawFn) -> tuple[datetime, Ask, Ask]:
    now = draw(nows)
    one = draw(asks(now))
    return now, one, draw(changed(one, now))


@given(two_asks())
@settings(max_examples=400)
def test_an_ask_that_differs_in_one_thing_gets_its_own_answer(case: tuple[datetime, Ask, Ask]) -> None:
    """What was allowed for one is not taken for the other unless the rules say the same of it."""
    now, one, other = case
    bulk = BulkGate(GATE)
    for ask in (one, other, one):
        assert bulk.check(ask, now) == GATE.check(ask, now)


def test_a_book_is_answered_as_ask_by_ask() -> None:
    """People and their near doubles, under all packs and under each alone: the same verdicts, many by signature only."""
    for gate in (GATE, *EACH):
        chance = Random(3)
        asked = _agree(gate, [(one, [_double(one, chance) for _ in range(8)]) for one in _people(chance, 400)])
        assert asked.in_bulk > asked.all // 10
        assert asked.signatures <= asked.all - asked.in_bulk


def test_what_people_said_is_told_apart() -> None:
    """Who said it to whom, in which order, and whether a consent is used up: with nothing else in the way."""
    for gate in EACH:
        chance = Random(4)
        said = [replace(one, statements=_saids(chance), holds=(), purpose="collect") for one in _people(chance, 700)]
        asked = _agree(gate, [(one, [_said_otherwise(one, chance) for _ in range(8)]) for one in said])
        assert asked.in_bulk


def test_a_consent_that_has_lapsed_still_excuses_what_it_covered() -> None:
    """The same contact counts for whoever never agreed to it."""
    gate = Gate([_LIFTED], places=["US"])
    sent = PastContact(_ago(2), "out", "sms", "delivered", "collect", 1, (1,), 1)
    agreed = Statement("consent", _ago(5), scope="call_frequency", until_us=_ago(1))
    excused = Ask(
        "contact", "sms", "collect", "borrower", 1, (1,), ("US",), ("America/New_York",), history=(sent,), statements=(agreed,)
    )  # fmt: skip
    bulk = BulkGate(gate)
    assert bulk.check(excused, NOON).outcome == "allow"
    assert bulk.check(replace(excused, statements=(replace(agreed, at_us=_ago(1.5)),)), NOON).outcome == "defer"


def test_conditions_and_other_people_are_told_apart() -> None:
    """Two loans of one kind, one of them thirty days late; two wives, one of whose husbands has had a mail today."""
    bulk = BulkGate(Gate([_LIFTED], places=["US"]))
    agreed = Statement("consent", _ago(5), scope="contact_time")
    late = Ask(
        "contact", "call", "collect", "borrower", 1, (1,), ("US",), ("America/New_York",), facts={"dpd": 30},
        content={"prerecorded": True}, statements=(agreed,),
    )  # fmt: skip
    assert bulk.check(late, NOON).outcome == "allow"
    assert bulk.check(replace(late, facts={"dpd": 29}), NOON).outcome == "deny"
    mail = replace(late, channel="email")
    heard = PastContact(_ago(0.1), "out", "email", "delivered", "collect", 2, (1,))
    assert bulk.check(mail, NOON).outcome == "allow"
    assert bulk.check(replace(mail, shared=(heard,)), NOON).outcome == "defer"


def test_a_consent_for_one_visit_is_used_up_by_it() -> None:
    """Two people who said the same; one of them has been visited since."""
    bulk = BulkGate(Gate([_LIFTED], places=["US"]))
    agreed = tuple(
        Statement("consent", _ago(5), scope=scope, given_to="lender") for scope in ("contact_time", "electronic")
    )
    due = Ask(
        "contact", "visit", "collect", "borrower", 1, (1,), ("US",), ("America/New_York",), statements=agreed
    )  # fmt: skip
    visited = PastContact(_ago(1), "out", "visit", "conversation", "collect", 1, (1,))
    assert bulk.check(due, NOON).outcome == "allow"
    assert bulk.check(replace(due, history=(visited,)), NOON).outcome != "allow"


def test_texts_are_told_apart() -> None:
    """What one may be sent, another may not: the text is another, or nothing of theirs is late."""
    bulk = BulkGate(Gate([_LIFTED], places=["US"]))
    late = Ask(
        "contact", "sms", "collect", "borrower", 1, (1,), ("US",), ("America/New_York",), facts={"dpd": 1},
        content={"late": True},
    )  # fmt: skip
    assert bulk.check(late, NOON).outcome == "allow"
    assert bulk.check(replace(late, facts={"dpd": 0}), NOON).outcome == "deny"
    assert bulk.check(replace(late, content={"late": True, "pressure": True}), NOON).outcome == "deny"
    assert bulk.check(replace(late, content={"late": True, "house.lifted.words": False}), NOON).outcome == "deny"


def _agree(gate: Gate, groups: Iterable[tuple[Ask, Iterable[Ask]]]) -> Asked:
    bulk = BulkGate(gate)
    for ask in (ask for one, doubles in groups for ask in (one, *doubles)):
        assert bulk.check(ask, NOON) == gate.check(ask, NOON)
    return bulk.asked


def _people(chance: Random, number: int) -> list[Ask]:
    return [_somebody(chance) for _ in range(number)]


def _saids(chance: Random) -> tuple[Statement, ...]:
    """Words that meet one another: about everything, and mostly still standing."""
    said = []
    for _ in range(chance.randint(1, 3)):
        kind, scope = chance.choice(_SWAYING)
        said.append(replace(_said(chance), kind=kind, scope=scope, channels=(), endpoint=None, debts=(), windows=()))
    return tuple(said)


def _said_otherwise(ask: Ask, chance: Random) -> Ask:
    """The same words in another order, to somebody else, at another time, or not all of them."""
    first, *rest = ask.statements
    match chance.randrange(5):
        case 0 if rest:
            return replace(
                ask, statements=(replace(first, at_us=rest[0].at_us), replace(rest[0], at_us=first.at_us), *rest[1:])
            )
        case 1:
            to = "lender" if first.given_to == "collector" else "collector"
            return replace(ask, statements=(replace(first, given_to=to), *rest))
        case 2:
            return replace(ask, history=tuple(_past(chance) for _ in range(chance.choice((1, 3, 12)))))
        case 3:
            return replace(ask, statements=tuple(rest))
        case _:
            return replace(ask, statements=(replace(first, at_us=_ago(chance.choice((1, 10, 70)))), *rest))


def _double(ask: Ask, chance: Random) -> Ask:
    """Somebody like them but for one thing."""
    history, other = ask.history, _somebody(chance)
    match chance.randrange(6):
        case 0 if history:
            return replace(ask, history=(*history[1:], _past(chance)))
        case 1:
            return replace(ask, statements=other.statements)
        case 2:
            return replace(ask, history=other.history)
        case 3:
            return replace(ask, endpoint=other.endpoint, zones=other.zones)
        case 4 if chance.random() < 0.5:
            return replace(ask, shared=tuple(replace(_past(chance), person=2) for _ in range(2)))
        case 4 if chance.random() < 0.5:
            return replace(ask, facts=other.facts)
        case 4:
            return replace(ask, content=other.content, facts=other.facts, notices=other.notices)
        case _:
            return replace(ask, holds=other.holds, debts=other.debts)


def _somebody(chance: Random) -> Ask:
    jurisdictions, zone = chance.choice(_PLACES)
    basis = chance.choice((("contract", 400), ("direct_consent", 20), ("direct_consent", 80), ("", 0)))
    return Ask(
        act="contact",
        channel=chance.choice(("call", "call", "sms", "sms", "email", "visit")),
        purpose=chance.choice(("collect", "collect", "collect", "service", "reply")),
        role=chance.choice(("borrower", "borrower", "borrower", "guarantor", "contact_person")),
        person=1,
        debts=chance.choice(((1,), (1, 2))),
        jurisdictions=jurisdictions,
        zones=(zone,) if chance.random() < 0.8 else (zone, "Asia/Tokyo"),
        actor=chance.choice(("first_party", "agency")),
        endpoint=Endpoint(chance.randint(1, 2), "mobile", basis=basis[0], basis_us=_ago(basis[1])),
        history=tuple(_past(chance) for _ in range(chance.choice((0, 0, 1, 1, 2, 5)))),
        statements=tuple(_said(chance) for _ in range(chance.choice((0, 0, 0, 1, 2)))),
        holds=(Hold(chance.choice(("dispute", "cease")), _ago(2), debts=(2,)),) if chance.random() < 0.1 else (),
        facts={"product": "personal", "dpd": chance.choice((3, 40)), "days_in_episode": chance.choice((1, 5, 25))},
        notices={} if chance.random() < 0.5 else {"visit_notice": (NOON - timedelta(days=9)).date()},
        content={"prerecorded": chance.random() < 0.3, "opt_out_notice": chance.random() < 0.9, "recorded": True},
    )  # fmt: skip


def _past(chance: Random) -> PastContact:
    channel = chance.choice(("call", "sms", "email"))
    outcome = chance.choice(("no_answer", "conversation", "busy") if channel == "call" else ("delivered", "failed"))
    at = _ago(chance.choice((0.05, 0.15, 0.2, 1, 3, 6, 7, 8, 20, 29)))
    way = "in" if chance.random() < 0.1 else "out"
    by, place = chance.choice(("lender", "lender", "agency-1")), chance.choice((None, "work", "home", "elsewhere"))
    debts, endpoint = (chance.choice((1, 2)),), chance.choice((1, 2))
    return PastContact(at, way, channel, outcome, "collect", 1, debts, endpoint, by=by, place=place)


def _said(chance: Random) -> Statement:
    kind = chance.choice(_SAID)
    window = (LocalWindow(9 * 60, 14 * 60),) if kind == "inconvenient_time" else ()
    return Statement(
        kind=kind,
        at_us=_ago(chance.choice((1, 10, 70))),
        scope=chance.choice(("", "electronic", "call_frequency", "contact_time"))
        if kind in ("consent", "opt_out")
        else "",
        channels=chance.choice(((), ("sms",), ("call",))),
        endpoint=chance.choice((None, 1)),
        debts=chance.choice(((), (1,), (2,))),
        given_to=chance.choice(("lender", "collector")),
        until_us=chance.choice((None, _ago(0.5), _ago(-3))),
        windows=window,
        place="work" if kind == "inconvenient_place" else None,
        form=chance.choice(("", "oral", "written")),
    )


def _ago(days: float) -> int:
    return microseconds(NOON - timedelta(days=days))


@given(st.lists(nows.flatmap(lambda now: st.tuples(asks(now), st.just(now))), min_size=1, max_size=5))
@settings(max_examples=20)
def test_a_gate_that_goes_to_another_process_answers_alike(questions: list[tuple[Ask, datetime]]) -> None:
    """Also one that was asked before, as that of a scheduler that has run for days was."""
    bulk = BulkGate(GATE)
    wanted = [bulk.check(ask, now) for ask, now in questions]
    there = pickle.loads(pickle.dumps(bulk))  # noqa: S301 - our own words
    assert there.digest == bulk.digest
    assert [there.check(ask, now) for ask, now in questions] == wanted
