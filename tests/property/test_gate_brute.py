"""The gate against a second, independent reading of the same law: written from the text, sharing no code, slow and plain."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from compliance import Gate, shipped_packs
from engine.gate import Ask, PastContact

PACKS = {pack.id: pack for pack in shipped_packs()}
REGF_MA = Gate([PACKS["us.regf"], PACKS["us.ma"]])
CHINA = Gate([PACKS["cn.gbt45251"], PACKS["cn.cba2026"]])
NEW_YORK = Gate([PACKS["us.nyc"]])
RUSSIA = Gate([PACKS["ru.fz230"]])
KOREA = Gate([PACKS["kr.pdpa"]])
QUARTER = timedelta(minutes=15)
MAYBE = {"planned", "sending", "unknown"}
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Weekdays without work between February and November 2026, in the official calendar.
FREE_IN_RUSSIA = {
    date(2026, 2, 23), date(2026, 3, 9), date(2026, 5, 1), date(2026, 5, 11), date(2026, 6, 12), date(2026, 11, 4),
}  # fmt: skip


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
    talks = [at_of(c) for c in about if c.channel == "call" and c.outcome in {"conversation", "heard", *MAYBE}]
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
    effective = [at_of(c) for c in calls if c.outcome in {"conversation", "heard", "voicemail", *MAYBE}]
    in_vain = [at_of(c) for c in calls if c.outcome in {"no_answer", "busy", "not_in_service", *MAYBE}]
    return not too_many(at, effective, 3, 1, zone) and not too_many(at, in_vain, 6, 1, zone)


def nyc_passes(ask: Ask, at: datetime) -> bool:
    zones = [ZoneInfo(name) for name in ask.zones]
    made = [
        contact
        for contact in (*ask.history, *ask.shared)
        if contact.direction == "out" and contact.outcome != "cancelled" and not contact.misdirected
    ]
    mine = [at_of(c) for c in made if c.person == ask.person]
    account = [at_of(c) for c in made if not c.debts or ask.debts[0] in c.debts]
    dates = [at.astimezone(zone).date() for zone in zones]
    # On the night of the change either rule binds where it may still, or already, be its date.
    old = min(dates) <= date(2026, 8, 31) and ask.actor != "first_party"
    if old and any(too_many(at, mine, 2, 7, zone) for zone in zones):
        return False
    if max(dates) >= date(2026, 9, 1):
        return not any(too_many(at, account, 3, 7, zone) for zone in zones) and not too_many_hours(at, account, 3, 168)
    return True


def too_many_this_month(at: datetime, past: list[datetime], most: int, zone: ZoneInfo) -> bool:
    """Whether one more at `at` makes more than `most` in its calendar month."""
    months = [(moment.astimezone(zone).year, moment.astimezone(zone).month) for moment in [*past, at]]
    return months.count(months[-1]) > most


def ru_passes(ask: Ask, at: datetime) -> bool:
    families = {
        "call": (("call",), {"not_in_service", "failed"}, (1, 2, 8)),
        "sms": (("sms", "email"), {"bounced", "failed"}, (2, 4, 16)),
        "visit": (("visit",), {"nobody_met"}, (99, 1, 99)),
    }
    channels, left_out, (day, week, month) = families[ask.channel or ""]
    counted = [
        at_of(c)
        for c in ask.history
        if c.person == ask.person
        and c.direction == "out"
        and c.channel in channels
        and c.outcome not in {*left_out, "cancelled"}
        and not c.misdirected
    ]
    for zone in map(ZoneInfo, ask.zones):
        local = at.astimezone(zone)
        free = local.weekday() >= 5 or local.date() in FREE_IN_RUSSIA
        if not (9 <= local.hour < 20 if free else 8 <= local.hour < 22):
            return False
        if any(too_many(at, counted, most, days, zone) for most, days in ((day, 1), (week, 7), (month, 30))):
            return False
        if too_many_this_month(at, counted, month, zone):
            return False
    return True


def kr_passes(ask: Ask, at: datetime) -> bool:
    zone = ZoneInfo(ask.zones[0])
    if not 8 <= at.astimezone(zone).hour < 21:
        return False
    own = [c for c in ask.history if c.person == ask.person and c.channel == ask.channel]
    asked = max((at_of(c) for c in own if c.direction == "in"), default=None)
    answered = max((at_of(c) for c in own if c.direction == "out" and c.outcome != "cancelled"), default=None)
    if ask.purpose == "reply" and asked is not None and (answered is None or answered < asked):
        today, then = at.astimezone(zone).date(), asked.astimezone(zone).date()
        if today <= then:
            return True
    claim = [
        at_of(c)
        for c in (*ask.history, *ask.shared)
        if c.direction == "out"
        and c.outcome not in {"cancelled", "failed", "not_in_service"}
        and not c.misdirected
        and (not c.debts or ask.debts[0] in c.debts)
    ]
    return not too_many(at, claim, 7, 7, zone) and not too_many_hours(at, claim, 7, 168)


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
US_OUTCOMES = ["no_answer", "voicemail", "no_answer", "busy", "unknown", "cancelled", "failed", "conversation", "heard"]
CN_OUTCOMES = ["no_answer", "conversation", "heard", "voicemail", "busy", "sending"]


@given(
    NOWS.flatmap(lambda now: st.tuples(st.just(now), histories(now, 10, US_OUTCOMES))),
    st.sampled_from(["call", "sms"]),
    st.lists(st.sampled_from(["America/New_York", "America/Denver", "Pacific/Honolulu"]), min_size=1, max_size=2),
)
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
def test_chinese_standards(case, channel):
    """Night closed, three effective calls a day, six in vain a day: the same answer and the same instant."""
    now, history = case
    ask = Ask("contact", channel, "collect", "borrower", 1, (1,), ("CN",), ("Asia/Shanghai",), history=history)
    agree(CHINA, cn_passes, ask, now)


def others(draw: st.DrawFn, now: datetime) -> tuple[PastContact, ...]:
    """Contacts with somebody else around the loan, as the gate gets them beside the history."""
    return tuple(replace(contact, person=3) for contact in draw(histories(now, 10, US_OUTCOMES))[:4])


@given(st.data(), st.integers(0, 26 * 24 * 60), st.sampled_from(["first_party", "agency"]), st.booleans())
def test_new_york_city(data, minute, actor, two_zones):
    """Per person and collectors only until August, per account and whoever was contacted since: same answer and instant."""
    now = datetime(2026, 8, 18, tzinfo=UTC) + timedelta(minutes=minute)
    zones = ("America/New_York", "America/Los_Angeles")[: 1 + two_zones]
    history, shared = data.draw(histories(now, 10, US_OUTCOMES)), others(data.draw, now)
    ask = Ask(
        "contact",
        "call",
        "collect",
        "borrower",
        1,
        (1,),
        ("US", "US-NYC"),
        zones,
        actor,
        history=history,
        shared=shared,
    )
    agree(NEW_YORK, nyc_passes, ask, now)


@st.composite
def regular(draw: st.DrawFn, now: datetime, days: int, channels: tuple[str, ...], outcomes: list[str]):
    """Contacts every so many days, with gaps: what fills a month without ever filling a day."""
    step, a_day, days = draw(st.integers(1, 4)), draw(st.integers(1, 2)), draw(st.sampled_from([days // 3, days]))
    moments = [
        now - timedelta(days=day, minutes=draw(st.integers(0, 600)))
        for day in range(draw(st.integers(0, step)), days, step)
        for _ in range(a_day)
        if draw(st.integers(0, 19))
    ]
    return tuple(
        PastContact(
            at_us=(moment - EPOCH) // timedelta(microseconds=1),
            direction="out",
            channel=draw(st.sampled_from(channels)),
            outcome=draw(st.sampled_from(outcomes)),
            purpose="collect",
            person=1,
            debts=(1,),
        )
        for moment in moments
    )


MONTH_ENDS = [date(2026, 3, 31), date(2026, 5, 31), date(2026, 7, 31), date(2026, 8, 31)]
IN_2026 = st.one_of(
    st.integers(0, 250 * 24 * 60).map(lambda minute: datetime(2026, 2, 1, tzinfo=UTC) + timedelta(minutes=minute)),
    st.tuples(st.sampled_from([*sorted(FREE_IN_RUSSIA), *MONTH_ENDS]), st.integers(-24 * 60, 24 * 60)).map(
        lambda near: datetime(near[0].year, near[0].month, near[0].day, tzinfo=UTC) + timedelta(minutes=near[1])
    ),
)


@given(st.data(), IN_2026, st.sampled_from([("call",), ("sms", "email"), ("visit",)]), st.booleans())
def test_russia(data, now, family, two_zones):
    """Three families, each by day, week and month; weekends and holidays have hours of their own: same answer and instant."""
    zones = ("Europe/Moscow", "Asia/Yekaterinburg")[: 1 + two_zones]
    outcomes = ["no_answer", "delivered", "delivered", "conversation", "failed"]
    history = data.draw(regular(now, 34, family, outcomes)) + data.draw(histories(now, 3, outcomes))[:3]
    agree(
        RUSSIA,
        ru_passes,
        Ask("contact", family[0], "collect", "borrower", 1, (1,), ("RU",), zones, history=history),
        now,
    )


@given(st.data(), NOWS, st.sampled_from(["collect", "reply", "reply"]))
def test_korea(data, now, purpose):
    """Seven in seven days per claim, whoever was contacted, but for one answer on the same day: same answer and instant."""
    history = data.draw(
        regular(now - timedelta(days=1), 9, ("call", "email", "visit"), ["no_answer", "delivered", "met"])
    )
    for hours in data.draw(st.lists(st.integers(0, 40), max_size=2)):
        at_us = (now - timedelta(hours=hours) - EPOCH) // timedelta(microseconds=1)
        history += (PastContact(at_us, "in", "sms", "received", "collect", 1, (1,)),)
    if data.draw(st.booleans()):
        history += data.draw(histories(now, 2, ["delivered"]))[:2]
    ask = Ask(
        "contact",
        "sms",
        purpose,
        "borrower",
        1,
        (1,),
        ("KR",),
        ("Asia/Seoul",),
        history=history,
        shared=others(data.draw, now),
    )
    agree(KOREA, kr_passes, ask, now)
