"""The gate against a second, independent reading of the same law: written from the text, sharing no code, slow and plain."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given, settings
from hypothesis import strategies as st

from compliance import Gate, shipped_packs
from engine.gate import Ask, PastContact

PACKS = {pack.id: pack for pack in shipped_packs()}
REGF_MA = Gate([PACKS["us.regf"], PACKS["us.ma"]])
CHINA = Gate([PACKS["cn.gbt45251"], PACKS["cn.cba2026"]])
QUARTER = timedelta(minutes=15)
MAYBE = {"planned", "sending", "unknown"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def at_of(contact: PastContact) -> datetime:
    return EPOCH + timedelta(microseconds=contact.at_us)


def too_many(at: datetime, past: list[datetime], most: int, days: int, zone: ZoneInfo) -> bool:
    """Whether one more at `at` makes more than `most` in some run of `days` dates."""
    dates = [moment.astimezone(zone).date() for moment in [*past, at]]
    asked = at.astimezone(zone).date()
    return any(
        sum(first <= day < first + timedelta(days=days) for day in dates) > most
        for first in (asked - timedelta(days=back) for back in range(days))
    )


def too_many_hours(at: datetime, past: list[datetime], most: int, hours: int) -> bool:
    """The same for rolling hours: every run that ends with some contact and holds the asked one."""
    moments = [*past, at]
    length = timedelta(hours=hours)
    return any(
        sum(end - length < moment <= end for moment in moments) > most for end in moments if at <= end < at + length
    )


def us_passes(ask: Ask, at: datetime) -> bool:
    zones = [ZoneInfo(name) for name in ask.zones]
    if any(not 8 <= at.astimezone(zone).hour < 21 for zone in zones):
        return False
    about = [
        contact
        for contact in ask.history
        if contact.person == ask.person
        and not contact.misdirected
        and (not contact.debts or ask.debts[0] in contact.debts)
    ]
    dialled = [c for c in about if c.channel == "call" and c.direction == "out"]
    counted = [at_of(c) for c in dialled if c.outcome not in {"busy", "not_in_service", "cancelled"}]
    talks = [at_of(c) for c in about if c.channel == "call" and c.outcome in {"conversation", *MAYBE}]
    if ask.channel == "call":
        if any(too_many(at, counted, 7, 7, zone) for zone in zones):
            return False
        for zone in zones:
            today = at.astimezone(zone).date()
            if any(abs((today - talk.astimezone(zone).date()).days) < 7 for talk in talks):
                return False
    tries = [
        at_of(c)
        for c in about
        if c.direction == "out"
        and c.channel in {"call", "sms"}
        and c.outcome not in {"busy", "not_in_service", "cancelled", "failed", "no_way_to_leave_message"}
    ]
    return not any(too_many(at, tries, 2, 7, zone) for zone in zones) and not too_many_hours(at, tries, 2, 168)


def cn_passes(ask: Ask, at: datetime) -> bool:
    zone = ZoneInfo(ask.zones[0])
    if not 8 <= at.astimezone(zone).hour < 22:
        return False
    if ask.channel != "call":
        return True
    calls = [
        c for c in ask.history if c.person == 1 and not c.misdirected and c.channel == "call" and c.direction == "out"
    ]
    effective = [at_of(c) for c in calls if c.outcome in {"conversation", "voicemail", *MAYBE}]
    in_vain = [at_of(c) for c in calls if c.outcome in {"no_answer", "busy", "not_in_service", *MAYBE}]
    return not too_many(at, effective, 3, 1, zone) and not too_many(at, in_vain, 6, 1, zone)


def agree(gate: Gate, passes, ask: Ask, now: datetime) -> None:
    verdict = gate.check(ask, now)
    assert verdict.outcome in {"allow", "defer"}
    assert (verdict.outcome == "allow") == passes(ask, now)
    if verdict.until is not None:
        assert passes(ask, verdict.until)
        step = verdict.until - timedelta(seconds=1)
        while step >= now:
            assert not passes(ask, step)
            step -= QUARTER


@st.composite
def histories(draw: st.DrawFn, now: datetime, days: int, outcomes: list[str]) -> tuple[PastContact, ...]:
    """Crowded enough that limits bind; some planned for the days ahead."""
    found = []
    for _ in range(draw(st.integers(0, 16))):
        hours = draw(st.integers(-24 * days, 30))
        outcome = "planned" if hours > 0 else draw(st.sampled_from(outcomes))
        found.append(
            PastContact(
                at_us=(now + timedelta(hours=hours, minutes=draw(st.integers(0, 59))) - EPOCH)
                // timedelta(microseconds=1),
                direction="out" if hours > 0 else draw(st.sampled_from(["out", "out", "out", "in"])),
                channel=draw(st.sampled_from(["call", "call", "call", "sms"])),
                outcome=outcome,
                purpose="collect",
                person=draw(st.sampled_from([1, 1, 1, 1, 2])),
                debts=draw(st.sampled_from([(1,), (1,), (2,), (1, 2), ()])),
                misdirected=draw(st.integers(0, 9)) == 0,
            )
        )
    return tuple(found)


NOWS = st.integers(0, 400 * 24 * 60).map(lambda minute: datetime(2026, 2, 1, tzinfo=UTC) + timedelta(minutes=minute))
US_OUTCOMES = ["no_answer", "voicemail", "no_answer", "busy", "unknown", "cancelled", "failed", "conversation"]
CN_OUTCOMES = ["no_answer", "conversation", "voicemail", "busy", "sending"]


@given(
    NOWS.flatmap(lambda now: st.tuples(st.just(now), histories(now, 10, US_OUTCOMES))),
    st.sampled_from(["call", "sms"]),
    st.lists(st.sampled_from(["America/New_York", "America/Denver", "Pacific/Honolulu"]), min_size=1, max_size=2),
)
@settings(max_examples=150)
def test_regulation_f_and_massachusetts(case, channel, zones):
    """Hours, seven in seven, seven days after a talk, and two in seven days: the same answer and the same instant."""
    now, history = case
    ask = Ask(
        "contact", channel, "collect", "borrower", 1, (1,), ("US", "US-MA"), tuple(zones), "agency", history=history
    )
    if channel == "sms":
        ask = Ask(**{**{name: getattr(ask, name) for name in Ask.__slots__}, "purpose": "legally_required"})
    agree(REGF_MA, us_passes, ask, now)


@given(
    NOWS.flatmap(lambda now: st.tuples(st.just(now), histories(now, 2, CN_OUTCOMES))),
    st.sampled_from(["call", "sms", "visit"]),
)
@settings(max_examples=150)
def test_chinese_standards(case, channel):
    """Night closed, three effective calls a day, six in vain a day: the same answer and the same instant."""
    now, history = case
    ask = Ask("contact", channel, "collect", "borrower", 1, (1,), ("CN",), ("Asia/Shanghai",), history=history)
    agree(CHINA, cn_passes, ask, now)
