"""Lengths of time, business days, and from when a notice is in force."""

from datetime import date, timedelta
from itertools import permutations

import holidays
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compliance import Life, Matter, PackDates, read_pack, shipped_packs
from compliance.calendars import business_day_after, business_days
from compliance.dated import Length, read_length
from compliance.pack import EVERYWHERE

SHIPPED = shipped_packs()
PLACES = [*sorted({place for pack in SHIPPED for place in pack.places} - {EVERYWHERE}), "AE", "IL", "BD", "US-HI"]
HEAD = """\
pack: {name}
title: {{en: Mine, zh: 我的}}
places: [{places}]
actors: [{actors}]
status: {status}
provenance: verified
from: 2026-01-01
review_on: 2027-01-01
rules:
"""


def pack(*rules: str, name: str = "house.mine", places: str = "everywhere", actors: str = "first_party"):
    """A pack whose rules have these lines."""
    head = HEAD.format(name=name, places=places, actors=actors, status="house" if name.startswith("house") else "law")
    body = "".join(
        f"  - id: {name}.r{n}\n    says: {{en: It., zh: 它。}}\n    citation: Somewhere\n    {lines}\n"
        for n, lines in enumerate(rules)
    )
    return read_pack(head + body, f"{name}.yaml")


def service(after: str, more: str = "") -> str:
    return f"kind: service\n    after: {after}\n{more}"


# --- business days -----------------------------------------------------------------------------------------------------


def is_open(day: date, place: str) -> bool:
    """Whether offices are open, asked of the library anew, one day and one calendar at a time."""
    # A city's holidays are those of its region.
    country, region = [*place.split("-"), ""][:2]
    regions = [None, region] if region in holidays.list_supported_countries()[country] else [None]
    years = [day.year - 1, day.year, day.year + 1]
    return all(holidays.country_holidays(country, r, years=years).is_working_day(day) for r in regions)


def walked(day: date, n: int, place: str) -> date:
    """One foot before the other: the day after which n open days have gone by."""
    passed = 0
    while passed < n:
        day = day + timedelta(days=1)
        if is_open(day, place):
            passed += 1
    return day


@given(st.sampled_from(PLACES), st.dates(date(2019, 1, 1), date(2030, 12, 1)), st.integers(0, 15))
def test_business_days_are_those_of_a_walk_from_day_to_day(place: str, day: date, n: int) -> None:
    """In every country of a pack, and where the weekend is another one, for a dozen years."""
    places = (place,) if "-" not in place else (place.partition("-")[0], place)
    assert business_day_after(day, n, places) == walked(day, n, place)


@pytest.mark.parametrize(
    ("sent_on", "n", "places", "expected"),
    [
        (date(2026, 3, 2), 5, ("US",), date(2026, 3, 9)),  # 12 CFR 1006.34(b)(5), in the research's example
        (date(2026, 3, 7), 1, ("US",), date(2026, 3, 9)),  # from a Saturday: Monday is the first
        (date(2026, 4, 17), 1, ("US",), date(2026, 4, 20)),
        (date(2026, 4, 17), 1, ("US", "US-MA"), date(2026, 4, 21)),  # Patriots' Day
        (date(2026, 12, 31), 1, ("US",), date(2027, 1, 4)),
        (date(2026, 2, 13), 1, ("CN",), date(2026, 2, 14)),  # a Saturday that is worked before the Spring Festival
        (date(2026, 2, 14), 1, ("CN",), date(2026, 2, 24)),
        (date(2026, 6, 4), 1, ("IL",), date(2026, 6, 7)),  # Thursday: the weekend is Friday and Saturday
        (date(2026, 3, 6), 1, (), date(2026, 3, 9)),  # nobody knows where: Saturday and Sunday
        (date(2026, 3, 7), 0, ("US",), date(2026, 3, 7)),
    ],
)
def test_business_days_that_can_be_looked_up(sent_on: date, n: int, places: tuple[str, ...], expected: date) -> None:
    """Examples from calendars on the wall."""
    assert business_day_after(sent_on, n, places) == expected


def test_the_validation_period_mixes_both_kinds_of_days() -> None:
    """Sent on Monday 2 March 2026, received on the 9th, over on 8 April: 12 CFR 1006.34(b)(5)."""
    received_on = Length("business days", 5, ("US",)).after(date(2026, 3, 2), ("US", "US-MA"))
    assert received_on == date(2026, 3, 9)
    assert Length("days", 30).after(received_on, ("US", "US-MA")) == date(2026, 4, 8)


@given(st.sampled_from(PLACES), st.dates(date(2019, 1, 1), date(2030, 12, 1)), st.integers(1, 15))
def test_a_business_day_is_never_a_day_off(place: str, day: date, n: int) -> None:
    """The last of them is one, and a further one comes later."""
    last = business_day_after(day, n, (place,))
    assert last in business_days((place,))
    assert business_day_after(day, n + 1, (place,)) > last


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("5 days", Length("days", 5)), ("1 day", Length("days", 1)), ("0 days", Length("days", 0)),
        ("10 business days", Length("business days", 10)), ("1 business day", Length("business days", 1)),
        ("2 weeks", Length("days", 14)), ("3 months", Length("months", 3)), ("1 year", Length("months", 12)),
        ("3 years", Length("months", 36)),
        ("5", None), ("five days", None), ("5 business weeks", None), ("-1 days", None), ("5 hours", None), ("5  days", None),
    ],
)  # fmt: skip
def test_lengths_as_people_write_them(text: str, length: Length | None) -> None:
    """Days, business days, weeks, months and years; nothing shorter than a day."""
    assert read_length(text) == length


@given(st.dates(date(2000, 1, 1), date(2100, 1, 1)), st.integers(0, 60))
def test_months_end_with_their_month(day: date, n: int) -> None:
    """The same day n months on; where that month has none, its last."""
    later = Length("months", n).after(day, ())
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == n
    assert later.day == day.day or (later.day < day.day and (later + timedelta(days=1)).month != later.month)


# --- from when a notice is in force ------------------------------------------------------------------------------------

SENT = date(2026, 3, 2)
US = Matter(("US", "US-MA"), "personal")


def test_the_latest_day_of_any_pack_that_binds_counts() -> None:
    """In whatever order the packs come; one that holds elsewhere, for others, for other products or for another notice says nothing."""
    house = pack(service("5 days", "    channels: [letter]"), service("1 day", "    channels: [sms]"))
    law = pack(service("5 business days", "    notices: [validation_notice]"), name="us.mine", places="US")
    abroad = pack(service("30 days"), name="cn.mine", places="CN")
    others = pack(service("40 days"), name="us.others", places="US", actors="agency")
    for packs in permutations((house, law, abroad, others)):
        dates = PackDates(packs, actor="first_party")
        assert dates.in_force_on("validation_notice", "letter", SENT, US) == date(2026, 3, 9)
        assert dates.in_force_on("prelegal_notice", "letter", SENT, US) == date(2026, 3, 7)
        assert dates.in_force_on("prelegal_notice", "sms", SENT, US) == date(2026, 3, 3)


def test_a_day_that_no_pack_names_is_the_floors() -> None:
    """A workspace's own house pack that says nothing of letters falls back on the shipped one; a law's own day stands."""
    floor = [shipped for shipped in SHIPPED if shipped.is_house]
    own = pack(service("9 days", "    channels: [sms]"))
    dates = PackDates([own], actor="first_party", floor=floor)
    assert dates.in_force_on("visit_notice", "sms", SENT, US) == date(2026, 3, 11)
    assert dates.in_force_on("visit_notice", "letter", SENT, US) == date(2026, 3, 7)
    with pytest.raises(LookupError):
        PackDates([own], actor="first_party").in_force_on("visit_notice", "letter", SENT, US)


def test_a_rule_of_days_binds_from_its_first_day_to_its_last() -> None:
    """By the day on which the notice was sent."""
    before, after = service("5 days", "    to: 2026-02-28"), service("9 days", "    from: 2026-03-01")
    dates = PackDates([pack(before, after)], actor="first_party")
    assert dates.in_force_on("visit_notice", "letter", date(2026, 2, 28), US) == date(2026, 3, 5)
    assert dates.in_force_on("visit_notice", "letter", date(2026, 3, 1), US) == date(2026, 3, 10)


@given(
    st.sampled_from(["sms", "email", "letter", "call", "visit", "legal"]), st.dates(date(2000, 1, 1), date(2040, 1, 1))
)
def test_every_notice_has_its_day_under_the_shipped_packs(channel: str, sent_on: date) -> None:
    """Wherever and whenever: never before it was sent, and letters never before five days are over."""
    dates = PackDates(SHIPPED, actor="agency")
    for place in PLACES:
        on = dates.in_force_on("validation_notice", channel, sent_on, Matter((place,)))
        assert on >= sent_on + timedelta(days={"letter": 5, "sms": 1, "email": 1}.get(channel, 0))


# --- how long records are kept -----------------------------------------------------------------------------------------


def keep(records: str, at_least: str, since: str) -> str:
    return f"kind: retention\n    records: [{records}]\n    at_least: {at_least}\n    since: {since}"


def test_records_are_kept_as_long_as_the_longest_rule_asks() -> None:
    """Counted from the last activity, from each record, or from settlement, which may not have come."""
    life = Life(date(2026, 3, 2), None, {"contacts": date(2026, 2, 1), "recordings": date(2026, 1, 1)})
    rules = (
        keep("contacts", "2 years", "record"),
        keep("contacts", "1 year", "last_activity"),
        keep("recordings", "1 year", "record"),
    )
    (contacts, recordings) = PackDates([pack(*rules)], actor="first_party").kept(life, US, SENT)
    assert (contacts.records, contacts.to, [rule.id for rule in contacts.rules]) == (
        "contacts", date(2028, 2, 1), ["house.mine.r0", "house.mine.r1"],
    )  # fmt: skip
    assert (recordings.records, recordings.to) == ("recordings", date(2027, 1, 1))
    whole = pack(*rules, keep("file", "5 years", "settlement"))
    dates = PackDates([whole], actor="first_party")
    assert {kept.to for kept in dates.kept(life, US, SENT)} == {None}, "not settled: nothing may go"
    settled = Life(life.last_activity_on, date(2026, 3, 1), life.newest)
    assert {kept.to for kept in dates.kept(settled, US, SENT)} == {date(2031, 3, 1)}


def test_what_may_be_kept_no_longer_ends_where_the_earliest_rule_says() -> None:
    """How long at the most is a matter of its own: the longest that is asked for does not move it."""
    life = Life(date(2026, 3, 2), None, {"contacts": date(2026, 2, 1)})
    rules = (
        f"{keep('contacts', '1 year', 'record')}\n    at_most: 5 years",
        f"{keep('file', '2 years', 'last_activity')}\n    at_most: 3 years",
        keep("file", "6 years", "last_activity"),
    )
    (contacts, *others) = PackDates([pack(*rules)], actor="first_party").kept(life, US, SENT)
    assert (contacts.to, contacts.at_most) == (date(2032, 3, 2), date(2029, 3, 2))
    assert {kept.at_most for kept in others} <= {date(2029, 3, 2)}
    assert PackDates([pack(rules[2])], actor="first_party").kept(life, US, SENT)[0].at_most is None
