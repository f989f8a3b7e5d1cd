"""
What somebody had said, and what stood against contacting them, at the moment of a contact: read anew for the review.

Nothing here is the gate's. Of the rules about statements two are left out, and the review says so: how many hours or ways of
reaching them a person may close at most.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from compliance.pack import Consent, Holds, Lift, Statements
from engine.gate import LocalWindow, Statement
from workflows.review.happened import Held, Made, Said, Whom, date_there, there

REFUSALS: Final = ("opt_out", "no_medium", "no_endpoint", "no_contact")
_TALKS: Final = ("conversation", "promise", "refused", "dispute")
_DAY_MINUTES: Final = 24 * 60
_DAY: Final = _DAY_MINUTES * 60_000_000


def against(limit: Statements, contact: Made, whom: Whom) -> Iterator[Said]:
    """What they had said that this limit honours, and the contact went against."""
    if limit.hours_a_week_max is not None or limit.channels_max is not None:
        return
    for said in whom.said:
        statement = said.statement
        if statement.kind not in limit.honours or not _stands(statement, contact.begun):
            continue
        if (
            limit.oral_dates_max is not None
            and statement.form == "oral"
            and not _is_young(statement, contact, whom, limit.oral_dates_max)
        ):
            continue
        as_one = bool(limit.as_one) and statement.kind in REFUSALS and _meets(statement.channels, limit.as_one)
        if _closes(statement, contact, whom, as_one=limit.as_one if as_one else frozenset()):
            yield said


def holding(limit: Holds, contact: Made, whom: Whom) -> Iterator[Held]:
    """The holds of these kinds that stood when the contact was begun."""
    for held in whom.held:
        if (
            held.kind in limit.kinds
            and held.starts <= contact.begun
            and (held.ends is None or contact.begun < held.ends)
            and (not limit.forms or not held.form or held.form in limit.forms)
            and (not held.blocks or contact.channel in held.blocks)
            and (held.loan is None or not contact.debts or held.loan in contact.debts)
        ):
            yield held


def consented(limit: Consent, contact: Made, whom: Whom) -> bool:
    """Whether the number or address had a basis that serves, or a consent of theirs covered the contact, recent enough."""
    since = None if limit.renewed_within_days is None else contact.at - limit.renewed_within_days * _DAY
    if contact.basis in limit.basis and (since is None or (contact.basis_at is not None and contact.basis_at > since)):
        return True
    asked = Lift(limit.scope, limit.directly)
    return any(
        (since is None or said.statement.at_us > since) and _lifts(asked, said.statement, contact, whom, [])
        for said in whom.said
    )


def known_by_then(contact: Made, whom: Whom) -> Whom:
    """The same person, without refusals that came into the book only after the contact was begun."""
    said = tuple(one for one in whom.said if one.recorded < contact.begun or one.statement.kind not in REFUSALS)
    return replace(whom, said=said)


def lifted(lift: Lift, contact: Made, whom: Whom, made: list[Made]) -> bool:
    """
    Whether a consent of theirs lifted the limit for this contact.

    Args:
        made: the contacts with them: a conversation uses some consents up.
    """
    return any(_lifts(lift, said.statement, contact, whom, made) for said in whom.said)


def _lifts(lift: Lift, statement: Statement, contact: Made, whom: Whom, made: list[Made]) -> bool:
    at = contact.at
    if (
        statement.kind != "consent"
        or statement.scope != lift.scope
        or not _stands(statement, at)
        or not _covers(statement, contact)
    ):
        return False
    if lift.directly:
        first_party = contact.facts.get("actor") == "first_party"
        to_us = {contact.by, "lender"} if first_party else {contact.by, "collector"} - {"lender"}
        if statement.given_to not in to_us:
            return False
    later = (
        said.statement for said in whom.said if said.statement.at_us >= statement.at_us and _stands(said.statement, at)
    )
    if any(one.kind in REFUSALS and one.scope in ("", lift.scope) and _touches(one, contact) for one in later):
        return False
    if lift.dates_max is not None and not _is_young(statement, contact, whom, lift.dates_max):
        return False
    if lift.once and any(_used_up(one, statement, contact) for one in made):
        return False
    if statement.only_on and any(date_there(at, zone) not in statement.only_on for zone in whom.zones):
        return False
    return not statement.windows or all(_within(statement.windows, at, zone) for zone in whom.zones)


def _used_up(one: Made, statement: Statement, contact: Made) -> bool:
    same = not one.debts or not contact.debts or bool(one.debts & contact.debts)
    return one.outcome in _TALKS and not one.misdirected and statement.at_us < one.at < contact.at and same


def _stands(statement: Statement, at: int) -> bool:
    return statement.at_us <= at and (statement.until_us is None or at < statement.until_us)


def _is_young(statement: Statement, contact: Made, whom: Whom, dates: int) -> bool:
    """Whether the contact was within so many dates of it, that of its being said the first, in every zone."""
    return all(
        (date_there(contact.begun, zone) - date_there(statement.at_us, zone)).days < dates for zone in whom.zones
    )


def _closes(statement: Statement, contact: Made, whom: Whom, *, as_one: frozenset[str]) -> bool:
    if as_one:
        if statement.channels and contact.channel not in {*statement.channels, *as_one}:
            return False
    elif not _touches(statement, contact):
        return False
    if statement.kind == "inconvenient_time":
        return any(_within(statement.windows, contact.at, zone) for zone in whom.zones)
    if statement.kind == "inconvenient_place":
        return contact.place in ("home", "work") and statement.place in (None, contact.place)
    if statement.kind == "no_work_contact":
        return contact.place == "work"
    scope = "" if as_one or statement.kind != "opt_out" else statement.scope
    if scope == "electronic" and contact.channel not in ("sms", "email"):
        return False
    if scope == "prerecorded" and contact.facts.get("prerecorded") is not True:
        return False
    if scope not in ("", "electronic", "prerecorded"):
        return False
    return not any(_reopens(said.statement, statement, contact) for said in whom.said)


def _reopens(later: Statement, refusal: Statement, contact: Made) -> bool:
    opens = later.kind == "opt_in" or (later.kind == "consent" and later.scope in ("", "electronic"))
    return opens and later.at_us > refusal.at_us and _stands(later, contact.begun) and _covers(later, contact)


def _touches(statement: Statement, contact: Made) -> bool:
    """Whether a refusal is about this contact; what is not known of the contact is."""
    return (
        (not statement.channels or contact.channel in statement.channels)
        and (statement.endpoint is None or contact.endpoint in (None, statement.endpoint))
        and (not statement.debts or not contact.debts or not contact.debts.isdisjoint(statement.debts))
        and (not statement.purposes or contact.purpose in statement.purposes)
    )


def _covers(statement: Statement, contact: Made) -> bool:
    """Whether a consent covers the contact whole; what is not known of the contact is not covered."""
    return (
        (not statement.channels or contact.channel in statement.channels)
        and (statement.endpoint is None or contact.endpoint == statement.endpoint)
        and (not statement.debts or (bool(contact.debts) and contact.debts.issubset(statement.debts)))
        and (not statement.purposes or contact.purpose in statement.purposes)
    )


def _meets(channels: tuple[str, ...], as_one: frozenset[str]) -> bool:
    return not channels or not as_one.isdisjoint(channels)


def _within(windows: tuple[LocalWindow, ...], at: int, zone: str) -> bool:
    """Whether an instant is in one of these hours there; no hours at all are every hour."""
    wall = there(at, zone)
    minute, today, before = wall.hour * 60 + wall.minute, wall.weekday(), (wall.weekday() - 1) % 7
    for window in windows or (LocalWindow(0, _DAY_MINUTES),):
        start, end, days = window.from_minute, window.to_minute, window.days or range(7)
        if (start < end and today in days and start <= minute < end) or (
            start > end and ((today in days and minute >= start) or (before in days and minute < end))
        ):
            return True
    return False
