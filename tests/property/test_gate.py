"""What must be true of the gate for every history, zone and instant."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import get_args
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from compliance import Gate, Pack, Rule, read_pack, shipped_packs
from compliance.clock import microseconds, zone_clock
from engine.gate import STRICTNESS, Ask, Endpoint, Ground, Hold, LocalWindow, Override, PastContact, Statement

PACKS = {pack.id: pack for pack in shipped_packs()}
ZONES = (
    "America/New_York",
    "America/Los_Angeles",
    "America/St_Johns",
    "Pacific/Honolulu",
    "America/Sao_Paulo",
    "Europe/London",
    "Africa/Casablanca",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Asia/Shanghai",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Kiritimati",
    "Pacific/Apia",
)
PLACES = (
    ("US", "US-MA"), ("US", "US-FL"), ("US", "US-DC"), ("US", "US-WA"), ("US", "US-NYC"),
    ("CN",), ("UK",), ("ID",), ("IN",), ("AU",), ("KR",), ("RU",), ("TH",), ("PH",), ("VN",), ("BR", "BR-SP"),
)  # fmt: skip
MINUTE = timedelta(minutes=1)
_WINDOWS = """
pack: house.windows
title: {{en: Windows, zh: 时段}}
places: [everywhere]
actors: [first_party, agency]
status: house
provenance: verified
from: 2000-01-01
review_on: 2027-01-01
rules:
  - id: house.windows.open
    kind: hours
    says: {{en: Only then., zh: 只限此时。}}
    {hours}
    citation: a test
"""

instants = st.datetimes(datetime(2025, 1, 1), datetime(2027, 6, 1), timezones=st.just(UTC))
# Around the nights on which clocks change, where mistakes live.
changes = st.sampled_from(
    [
        datetime(2026, 3, 8, 7, tzinfo=UTC),
        datetime(2026, 11, 1, 6, tzinfo=UTC),
        datetime(2026, 3, 29, 1, tzinfo=UTC),
        datetime(2026, 10, 25, 1, tzinfo=UTC),
        datetime(2026, 10, 3, 15, tzinfo=UTC),
    ]
).flatmap(lambda at: st.integers(-26 * 60, 26 * 60).map(lambda minutes: at + minutes * MINUTE))
nows = st.one_of(instants, changes)


def windows_pack(hours: str) -> Pack:
    return read_pack(_WINDOWS.format(hours=hours), "house/windows.yaml")


def clock_text(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def contacts(draw: st.DrawFn, now: datetime) -> PastContact:
    minutes = draw(st.integers(-12 * 24 * 60, 2 * 24 * 60))
    pending = st.sampled_from(
        ["planned", "sending", "unknown", "conversation", "no_answer", "busy", "delivered", "failed"]
    )
    return PastContact(
        at_us=microseconds(now + minutes * MINUTE),
        direction=draw(st.sampled_from(["out", "out", "out", "in"])),
        channel=draw(st.sampled_from(["call", "call", "sms", "email", "visit"])),
        outcome=draw(pending),
        purpose=draw(st.sampled_from(["collect", "collect", "service"])),
        person=draw(st.sampled_from([1, 1, 1, 2])),
        debts=draw(st.sampled_from([(1,), (1,), (2,), (1, 2), ()])),
        endpoint=draw(st.sampled_from([None, 1, 2])),
        misdirected=draw(st.booleans()) and draw(st.booleans()),
    )


@st.composite
def statements(draw: st.DrawFn, now: datetime) -> Statement:
    kind, scope = draw(
        st.sampled_from(
            [
                ("consent", "contact_time"),
                ("consent", "call_frequency"),
                ("inconvenient_time", ""),
                ("inconvenient_time", ""),
                ("opt_out", ""),
                ("opt_in", ""),
            ]
        )
    )
    start, end = draw(st.integers(0, 1439)), draw(st.integers(0, 1440))
    windows = (LocalWindow(start, end, draw(st.sampled_from([(), (0, 1, 2), (5, 6)]))),)
    lapse = draw(st.one_of(st.none(), st.integers(-1000, 20_000)))
    return Statement(
        kind=kind,
        at_us=microseconds(now - draw(st.integers(0, 9 * 24 * 60)) * MINUTE),
        scope=scope,
        channels=draw(st.sampled_from([(), ("call",), ("sms",)])),
        until_us=None if lapse is None else microseconds(now + lapse * MINUTE),
        windows=windows if "time" in kind + scope else (),
    )


@st.composite
def asks(draw: st.DrawFn, now: datetime) -> Ask:
    act, channel = draw(
        st.sampled_from([("contact", "call"), ("contact", "sms"), ("contact", "email"), ("contact", "visit")])
    )
    holds = (Hold("dispute", microseconds(now - timedelta(days=2)), microseconds(now + timedelta(hours=31))),)
    return Ask(
        act=act,
        channel=channel,
        purpose=draw(st.sampled_from(["collect", "service", "reply"])),
        role=draw(st.sampled_from(["borrower", "borrower", "guarantor", "contact_person"])),
        person=1,
        debts=draw(st.sampled_from([(1,), (1,), (1, 2), ()])),
        jurisdictions=draw(st.sampled_from(PLACES)),
        zones=tuple(draw(st.lists(st.sampled_from(ZONES), min_size=1, max_size=3))),
        actor=draw(st.sampled_from(["agency", "first_party"])),
        endpoint=Endpoint(1, "mobile", basis="direct_consent", basis_us=microseconds(now - timedelta(days=59))),
        history=tuple(draw(st.lists(contacts(now), max_size=14))),
        shared=tuple(draw(st.lists(contacts(now), max_size=4))),
        facts=draw(st.sampled_from([{}, {"dpd": 15}, {"dpd": 16}])),
        statements=tuple(draw(st.lists(statements(now), max_size=2))),
        holds=draw(st.sampled_from([(), (), holds])),
        notices=draw(
            st.sampled_from([{}, {"visit_notice": now.date()}, {"visit_notice": now.date() - timedelta(days=9)}])
        ),
    )


asked = nows.flatmap(lambda now: st.tuples(st.just(now), asks(now)))


def fixed(packs: list[Pack]) -> Gate:
    """A gate whose covered places do not depend on its packs, as those of a lender do not."""
    return Gate(packs, places={place for places in PLACES for place in places})


ALL = fixed(list(PACKS.values()))


@given(asked)
def test_until_is_allowed_and_a_minute_earlier_is_not(case: tuple[datetime, Ask]):
    """`until` is the earliest instant at which the act passes every rule."""
    now, ask = case
    verdict = ALL.check(ask, now)
    assert all(not reason.rule.startswith("gate.unknown") for reason in verdict.reasons)
    if verdict.outcome == "defer":
        assert verdict.until is not None
        assert verdict.until > now
        assert max(reason.until for reason in verdict.reasons if reason.until) <= verdict.until
        assert ALL.check(ask, verdict.until).outcome == "allow"
        earlier = max(now, verdict.until - MINUTE)
        assert ALL.check(ask, earlier).outcome != "allow"
    else:
        assert verdict.until is None
        assert (verdict.outcome == "allow") == (not verdict.reasons)


@given(asked, st.sampled_from(sorted(PACKS)))
def test_adding_a_pack_never_permits_more(case: tuple[datetime, Ask], left_out: str):
    """Whatever a gate without some pack withholds, the gate with it withholds at least as long."""
    now, ask = case
    fewer = fixed([pack for name, pack in PACKS.items() if name != left_out]).check(ask, now)
    more = ALL.check(ask, now)
    assert STRICTNESS[more.outcome] >= STRICTNESS[fewer.outcome]
    assert {reason.rule for reason in fewer.reasons if reason.outcome == "deny"} <= {
        reason.rule for reason in more.reasons
    }
    if fewer.until is not None and more.until is not None:
        assert more.until >= fewer.until


PRESUMED = [rule for pack in PACKS.values() for rule in pack.rules if rule.override_grounds]


@given(asked, st.sampled_from(PRESUMED), st.sampled_from(get_args(Ground)))
def test_an_override_lifts_its_rule_and_no_other(case: tuple[datetime, Ask], rule: Rule, ground: str):
    """With an override the gate answers as if the one rule it names were not there, and in no other way otherwise."""
    now, ask = case
    ask = replace(ask, actor="agency", jurisdictions=("US",), channel="call")
    packs = [replace(pack, rules=tuple(one for one in pack.rules if one.id != rule.id)) for pack in PACKS.values()]
    assert ALL.check(replace(ask, override=Override(rule.id, ground)), now) == fixed(packs).check(ask, now)


@given(asked, st.randoms(use_true_random=False))
def test_order_never_matters(case: tuple[datetime, Ask], chance):
    """Packs, contacts, statements and zones may come in any order; the verdict and the digest are the same."""
    now, ask = case
    packs = list(PACKS.values())
    chance.shuffle(packs)
    history, shared, said, zones = list(ask.history), list(ask.shared), list(ask.statements), list(ask.zones)
    for some in (history, shared, said, zones):
        chance.shuffle(some)
    shuffled = fixed(packs)
    other = Ask(
        **{
            **{name: getattr(ask, name) for name in Ask.__slots__},
            "history": tuple(history),
            "shared": tuple(shared),
            "statements": tuple(said),
            "zones": tuple(zones),
        }
    )
    assert shuffled.digest == ALL.digest
    assert shuffled.check(other, now) == ALL.check(ask, now)


@given(
    nows,
    st.lists(st.sampled_from(ZONES), min_size=1, max_size=3),
    st.integers(0, 1439),
    st.integers(1, 1440),
    st.booleans(),
)
@settings(max_examples=200)
def test_no_allowed_instant_outside_the_window_of_any_zone(now, zones, start, end, opens):
    """Whatever is allowed, and whatever is promised for later, is inside the local hours of every zone."""
    if start == end:
        return
    word = "open" if opens else "closed"
    gate = fixed([windows_pack(f'{word}: {{every_day: "{clock_text(start)}-{clock_text(end)}"}}')])
    ask = Ask("contact", "call", "collect", "borrower", 1, (1,), ("US",), tuple(zones))
    verdict = gate.check(ask, now)
    at = now if verdict.outcome == "allow" else verdict.until
    if at is None:
        assert {reason.rule for reason in verdict.reasons} <= {"gate.no_common_opening", "house.windows.open"}
        return
    for zone in zones:
        wall = at.astimezone(ZoneInfo(zone))
        minute = wall.hour * 60 + wall.minute
        inside = start <= minute < end if start < end else not end <= minute < start
        assert inside == opens
    # Nothing between now and then was open in all of them.
    step = now
    while at > now and step < at and step < now + timedelta(days=2):
        minutes = [(w.hour * 60 + w.minute) for w in (step.astimezone(ZoneInfo(zone)) for zone in zones)]
        inside = [start <= m < end if start < end else not end <= m < start for m in minutes]
        assert not all(one == opens for one in inside)
        step += timedelta(minutes=7)


@given(nows, st.sampled_from(ZONES), st.integers(-60 * 24 * 3, 60 * 24 * 3))
def test_the_clock_agrees_with_the_zone_database(now, zone, ahead):
    """Local time is that of the IANA database, and the first instant of a later date is its first."""
    clock = zone_clock(zone)
    assert clock is not None
    at = microseconds(now)
    wall = now.astimezone(ZoneInfo(zone)).replace(tzinfo=UTC)
    assert clock.local(at) == microseconds(wall)
    day = clock.day(at) + abs(ahead) // 1440 + 1
    first = clock.day_start(day, at)
    assert first > at
    assert clock.day(first) >= day > clock.day(first - 1)


@pytest.mark.parametrize("order", list(permutations(["house.windows", "cn.gbt45251"])))
def test_windows_without_a_common_opening_are_reported(order):
    """Two rules that are never open at once deny with a reason of their own, and the search ends."""
    packs = {"house.windows": windows_pack('open: {every_day: "22:30-07:00"}'), "cn.gbt45251": PACKS["cn.gbt45251"]}
    ask = Ask("contact", "call", "collect", "borrower", 1, (1,), ("CN",), ("Asia/Shanghai",))
    verdict = Gate([packs[name] for name in order]).check(ask, datetime(2026, 3, 10, 4, tzinfo=UTC))
    assert verdict.outcome == "deny"
    assert [reason.rule for reason in verdict.reasons] == ["gate.no_common_opening", "house.windows.open"]
