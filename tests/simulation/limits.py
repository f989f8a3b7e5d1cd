"""
Invariant 2: no limit exceeded, counting planned, unknown and human contacts.

Each contact is asked about as if it were new: how many that count stood before it in the limit's window?
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.simulation.records import DROPPED, HOUR, Records, Row, Violation, local, stamp

_MONEY = ("collect", "discount_offer", "request_consent")
_NOT_THERE = ("failed", "bounced", "not_in_service")
_EFFECTIVE = (
    "conversation", "promise", "refused", "dispute", "answered_then_dropped", "voicemail", "voicemail_limited_content",
)  # fmt: skip
_UNANSWERED = ("no_answer", "busy", "not_in_service")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` contacts that count, the asked one included, in so many dates or hours, per person or per debt."""

    name: str
    most: int
    binds: Callable[[Row, Row], bool]
    counts: Callable[[Row], bool]
    dates: int = 0
    hours: int = 0
    per: str = "person"


def _money(*channels: str) -> Callable[[Row, Row], bool]:
    return lambda contact, _person: contact["channel"] in channels and contact["purpose"] in _MONEY


def _counted_money(channels: Sequence[str], *leave_out: str) -> Callable[[Row], bool]:
    return lambda c: c["channel"] in channels and c["purpose"] in _MONEY and outcome(c) not in leave_out


def _massachusetts(contact: Row, person: Row) -> bool:
    return person["region"] == "US-MA" and contact["channel"] in ("call", "sms") and contact["purpose"] != "reply"


def _massachusetts_counts(contact: Row) -> bool:
    return (
        contact["channel"] in ("call", "sms")
        and contact["purpose"] != "reply"
        and outcome(contact) not in (*_NOT_THERE, "busy")
    )


def _everybody(channels: Sequence[str]) -> Callable[[Row], bool]:
    return lambda contact: contact["channel"] in channels and outcome(contact) != "nobody_met"


_FIVE = ("sms", "email", "call", "visit", "letter")
LIMITS = (
    Limit(
        "house: one message that asks for money a day", 1, _money("sms", "email"),
        _counted_money(("sms", "email"), "failed", "bounced"), dates=1,
    ),
    Limit(
        "house: six contacts that ask for money in seven days", 6, _money(*_FIVE),
        _counted_money(_FIVE, *_NOT_THERE), dates=7,
    ),
    Limit(
        "house: four quiet hours after a contact that asks for money", 1, _money("sms", "email", "call", "visit"),
        _counted_money(("sms", "email", "call", "visit"), *_NOT_THERE, "busy"), hours=4,
    ),
    Limit("Massachusetts: two in seven dates", 2, _massachusetts, _massachusetts_counts, dates=7, per="debt"),
    Limit("Massachusetts: two in 168 hours", 2, _massachusetts, _massachusetts_counts, hours=168, per="debt"),
    Limit(
        "Massachusetts: one visit in thirty days", 1,
        lambda contact, person: person["region"] == "US-MA" and contact["channel"] == "visit",
        _everybody(("visit",)), dates=30, per="debt",
    ),
    Limit(
        "China: three effective calls a day", 3,
        lambda contact, person: person["country"] == "CN" and outcome(contact) in _EFFECTIVE,
        lambda contact: contact["channel"] == "call" and outcome(contact) in _EFFECTIVE, dates=1,
    ),
    Limit(
        "China: six unanswered attempts a day to one number", 6,
        lambda contact, person: person["country"] == "CN" and contact["channel"] == "call",
        lambda contact: contact["channel"] == "call" and outcome(contact) in _UNANSWERED, dates=1, per="endpoint",
    ),
)  # fmt: skip


def outcome(contact: Row) -> str:
    """What became of it; what may still become something, or may have been, counts as made."""
    return str(contact["outcome"] or contact["status"])


def limits(records: Records) -> Iterator[Violation]:
    """Every contact that was made, may have been made, or is still planned."""
    by_person: dict[int, list[Row]] = {}
    for contact in sorted(records["contact"], key=lambda row: (row["at"], row["id"])):
        if contact["status"] not in DROPPED and contact["direction"] == "out":
            by_person.setdefault(contact["person_id"], []).append(contact)
    for person_id, contacts in by_person.items():
        person = records.people[person_id]
        for limit in LIMITS:
            for n, contact in enumerate(contacts):
                if limit.binds(contact, person):
                    yield from _over(records, limit, contact, contacts[:n])


def _over(records: Records, limit: Limit, contact: Row, earlier: Iterable[Row]) -> Iterator[Violation]:
    counted = [row for row in earlier if limit.counts(row) and not row["misdirected"]]
    for same in _same(records, limit, contact, counted):
        if len(near := [row for row in same if _shares_window(records, limit, row, contact)]) >= limit.most:
            others = ", ".join(f"{row['id']} {row['channel']} {outcome(row)} {stamp(row['at'])}" for row in near)
            what = f"{contact['channel']} {outcome(contact)} at {stamp(contact['at'])} after {others}; {limit.name}"
            yield Violation("2", f"contact {contact['id']} (rule {contact['rule']})", what)


def _same(records: Records, limit: Limit, contact: Row, counted: list[Row]) -> Iterator[list[Row]]:
    if limit.per == "person":
        yield counted
    elif limit.per == "endpoint":
        yield [row for row in counted if row["endpoint_id"] == contact["endpoint_id"]]
    else:
        for debt in sorted(records.debts[contact["id"]]):
            yield [row for row in counted if debt in records.debts[row["id"]]]


def _shares_window(records: Records, limit: Limit, earlier: Row, contact: Row) -> bool:
    if limit.hours:
        return bool(contact["at"] - earlier["at"] < limit.hours * HOUR)
    zones = records.zones(contact["person_id"], contact["at"], records.last_moment(contact))
    return any(
        (local(contact["at"], zone).date() - local(earlier["at"], zone).date()).days < limit.dates for zone in zones
    )
