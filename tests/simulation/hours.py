"""
Invariant 1: no act outside the strictest window of every zone the addressee may be in.

The windows are written out here by hand from `research/compliance.md` and from the house rules' sentences.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, time

from tests.simulation.records import DROPPED, HOUR, Records, Row, Violation, is_message, local

_ALL = ("sms", "email", "call", "visit", "letter")
"""Every way of reaching a person. A legal task is papers in a queue of ours: it reaches nobody, at any hour."""


@dataclass(frozen=True, slots=True)
class Window:
    """Open hours `[opens, closes)` for some channels at some place; `place` is a country, a region, or "" for everywhere."""

    name: str
    place: str
    channels: tuple[str, ...]
    opens: time
    closes: time
    sundays: bool = True
    holidays: bool = True


WINDOWS = (
    Window("China: no collection work from 22:00 to 08:00", "CN", _ALL, time(8), time(22)),
    Window("Florida: no call, text or visit from 21:00 to 08:00", "US-FL", ("call", "sms", "visit"), time(8), time(21)),
    Window("Massachusetts: 08:00 to 21:00", "US-MA", ("call", "sms", "visit"), time(8), time(21)),
    Window("house: calls and messages 08:00 to 21:00", "", ("sms", "email", "call"), time(8), time(21)),
    Window(
        "house: visits 09:00 to 19:00, no Sundays", "", ("visit",), time(9), time(19), sundays=False, holidays=False
    ),
)

_HELD_MAX = 4 * HOUR
"""How long a provider may hold a text that it cannot deliver at once, as the changelog promises."""

HOLIDAYS = {
    # State Council notice for 2026: Qingming 4 to 6 April, Labour Day 1 to 5 May; those before and after the demo left out.
    "CN": {date(2026, 4, day) for day in (4, 5, 6)} | {date(2026, 5, day) for day in range(1, 6)},
    "US": {date(2026, 5, 25)},
}


def hours(records: Records) -> Iterator[Violation]:
    """Every act, done or planned, at every instant it has, and every message when a provider took it and when it arrived."""
    for contact in records["contact"]:
        if contact["direction"] != "out" or contact["status"] in DROPPED:
            continue
        acts = {(contact["at"], records.last_moment(contact)), *records.acts(contact["id"], *_acts(contact))}
        for at, moment in sorted(acts):
            yield from _outside(records, contact, at, moment)
    for one in records.handed or ():
        if one.at is not None and one.contact in records.contacts:
            contact = records.contacts[one.contact]
            offers = [moment for at, moment in records.acts(one.contact, "sending") if at <= one.at]
            moment = max(offers, default=records.last_moment(contact))
            yield from _outside(records, contact, one.at, moment)
            if one.arrives is not None and one.arrives > one.at:
                yield from _outside(records, contact, one.arrives, moment, "arrives, ")
                if one.arrives - one.at > _HELD_MAX:
                    hours_held = (one.arrives - one.at) / HOUR
                    yield Violation("1", f"contact {contact['id']}", f"arrives after {hours_held:.1f} hours")


def _acts(contact: Row) -> tuple[str, ...]:
    # A message is sent when it is offered to the provider; a task is done when somebody has worked it.
    return ("sending",) if is_message(contact) else ("delivered", "failed")


def _outside(records: Records, contact: Row, at: int, moment: int, how: str = "") -> Iterator[Violation]:
    person = records.people[contact["person_id"]]
    zones = records.zones(person["id"], at, moment)
    if not zones:
        yield Violation("1", f"contact {contact['id']}", "nobody knows what time it was there")
    for window in WINDOWS:
        if contact["channel"] not in window.channels or not _binds(window, person):
            continue
        for zone in zones:
            there = local(at, zone)
            if not _open(window, person["country"], there):
                what = f"{how}{contact['channel']} at {there:%a %Y-%m-%d %H:%M} in {zone}; {window.name}"
                yield Violation("1", f"contact {contact['id']} (rule {contact['rule']}, {contact['status']})", what)


def _binds(window: Window, person: Row) -> bool:
    return window.place in ("", person["country"], person["region"])


def _open(window: Window, country: str, there: datetime) -> bool:
    if not window.sundays and there.weekday() == 6:
        return False
    if not window.holidays and there.date() in HOLIDAYS.get(country, ()):
        return False
    return window.opens <= there.time() < window.closes
