"""
How much of each limit was used up, counted contact by contact: plain, slow, and sharing no code with the gate.

The gate looks ahead and asks when a window has room. Here the window only looks back: of the contacts that count, how
many stood in it when this one was made, itself included?
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from compliance.pack import KNOWN_OUTCOMES, MISDIRECTED, Cooldown, Count, Selector, Span
from workflows.review.happened import Made, Whom, date_there
from workflows.review.standing import lifted

HOUR: Final = 3_600_000_000
_PENDING: Final = ("planned", "sending", "unknown")


@dataclass(frozen=True, slots=True)
class Window:
    """
    The contacts that count in the fullest window that ends with a contact.

    Attributes:
        unit: whose window it is: `person`, `debt` or `number`, and its id.
        counts: whether the contact itself counts, as far as is known what came of it.
    """

    unit: tuple[str, int]
    before: tuple[Made, ...]
    counts: bool

    @property
    def used(self) -> int:
        """How many of the limit's places were used."""
        return len(self.before) + self.counts


def windows(limit: Count, contact: Made, own: Sequence[Made], others: Sequence[Made], whom: Whom) -> Iterator[Window]:
    """
    One window a person, debt or number: the fullest of all that end with the contact, in every zone and span.

    Args:
        own: contacts with the person up to and with this one. others: with others, that a limit may count too.
    """
    if limit.lifted_by is not None and lifted(limit.lifted_by, contact, whom, list(own)):
        return
    selector = limit.counts
    pool = [one for one in own if one is not contact and counts(selector, one) and _apart(selector, one, contact)]
    if limit.lifted_by is not None:
        pool = [one for one in pool if not lifted(limit.lifted_by, one, whom, list(own))]
    pool += [
        one
        for one in others
        if _before(one, contact) and counts(selector, one) and _with_others(selector, one, contact)
    ]
    own_place = counts(selector, contact) and _apart(selector, contact, contact)
    for unit, members in _units(selector, contact, pool):
        fullest: tuple[Made, ...] = ()
        for span in limit.spans:
            for zone in whom.zones if span.unit != "hours" else whom.zones[:1]:
                within = tuple(one for one in members if _shares(span, one, contact, zone))
                fullest = max(fullest, within, key=len)
        yield Window(unit, fullest, own_place)


def cooling(
    limit: Cooldown, contact: Made, own: Sequence[Made], others: Sequence[Made], whom: Whom
) -> tuple[Made, ...]:
    """The contacts that this one came too soon after."""
    if limit.lifted_by is not None and lifted(limit.lifted_by, contact, whom, list(own)):
        return ()
    selector = limit.after
    pool = [one for one in own if one is not contact and counts(selector, one) and _apart(selector, one, contact)]
    pool += [
        one
        for one in others
        if _before(one, contact) and counts(selector, one) and _with_others(selector, one, contact)
    ]
    near: dict[str, Made] = {}
    for _, members in _units(selector, contact, pool):
        for zone in whom.zones:
            near |= {one.id: one for one in members if _shares(limit.span, one, contact, zone)}
    return tuple(near[name] for name in sorted(near))


def counts(selector: Selector, contact: Made) -> bool:
    """Whether a contact is of the sort that a limit counts; what is in doubt, or of an outcome nobody knows, is."""
    if contact.misdirected or contact.outcome in MISDIRECTED or contact.direction not in selector.directions:
        return False
    if selector.channels and contact.channel not in selector.channels:
        return False
    if selector.purposes and contact.purpose not in selector.purposes:
        return False
    if contact.purpose in selector.except_purposes or contact.outcome in selector.except_outcomes:
        return False
    if not selector.outcomes or contact.outcome in selector.outcomes:
        return True
    in_hand = contact.outcome == "sent" and contact.channel in ("call", "visit")
    return in_hand or contact.outcome in _PENDING or contact.outcome not in KNOWN_OUTCOMES


def _before(one: Made, contact: Made) -> bool:
    return (one.at, one.id) < (contact.at, contact.id)


def _apart(selector: Selector, one: Made, contact: Made) -> bool:
    """Whether it counts together with the contact asked about, as far as number, actor, place and the event go."""
    if "endpoint" in selector.same and None not in (one.same_as, contact.same_as) and one.same_as != contact.same_as:
        return False
    if "actor" in selector.same and one.by and one.by != contact.by:
        return False
    if selector.where and one.place is not None and one.place not in selector.where:
        return False
    if one.place in selector.except_where:
        return False
    days = contact.facts.get(selector.since) if selector.since is not None else None
    return type(days) is not int or one.at >= contact.at - (24 * (days + 1) + 1) * HOUR


def _with_others(selector: Selector, one: Made, contact: Made) -> bool:
    """Whether a contact with somebody else counts: whoever it was, or because they share the number."""
    shared = "endpoint" in selector.same and contact.same_as is not None and one.same_as == contact.same_as
    return (selector.any_person or shared) and _apart(selector, one, contact)


def _units(selector: Selector, contact: Made, pool: Iterable[Made]) -> Iterator[tuple[tuple[str, int], list[Made]]]:
    members = list(pool)
    if "debt" in selector.same and contact.debts:
        for debt in sorted(contact.debts):
            yield ("debt", debt), [one for one in members if not one.debts or debt in one.debts]
    elif "endpoint" in selector.same and contact.same_as is not None:
        yield ("number", contact.same_as), members
    else:
        yield ("person", contact.person), members


def _shares(span: Span, one: Made, contact: Made, zone: str) -> bool:
    """Whether the earlier contact stands in the window that ends with the later."""
    if span.unit == "ever":
        return True
    if span.unit == "hours":
        return contact.at - one.at < span.n * HOUR
    then, now = date_there(one.at, zone), date_there(contact.at, zone)
    if span.unit == "dates":
        return (now - then).days < span.n
    if span.unit == "weeks":
        return then >= now - timedelta(days=now.weekday())
    return (then.year, then.month) == (now.year, now.month)


def facts_of(known: Mapping[str, bool | int | str | None], wanted: Mapping[str, bool | int | str]) -> bool:
    """Whether every fact is known to have the value it must have."""
    return all(known.get(name) == value for name, value in wanted.items())
