"""Limits that look at the state of things: hours, holds, who is addressed, what is said, which notice is in force."""

from collections.abc import Callable, Mapping
from itertools import chain

from compliance.clock import ZoneClock, day_number
from compliance.consents import lifting
from compliance.look import Judge, Look
from compliance.pack import NEVER_WAS, OUTCOMES, PENDING, Addressee, Also, Content, Duty, Holds, Hours, Wording
from compliance.timetable import NEVER, knows_holidays, next_open
from engine.gate import PastContact

_FAILED = OUTCOMES["unanswered"] | OUTCOMES["nobody_met"] | {"not_in_service"}
_NO_NEWS = NEVER_WAS | PENDING
_REMEMBERED_MAX = 10_000
_Opening = Callable[[Look, ZoneClock, int], int]


def hours_judge(limit: Hours) -> Judge:
    """Open in every zone at once, or later."""
    table = limit.table

    def opening(look: Look, clock: ZoneClock, at: int) -> int:
        # Where they are unknown and the table asks for them, the gate has refused before.
        return next_open(table, clock, look.holidays or (), at)

    opens = opening if knows_holidays(table) else _remembering(opening)

    def judge(look: Look, at: int) -> int:
        until = at
        for clock in look.clocks:
            until = max(until, opens(look, clock, at))
        return until

    return lifting(judge, limit.lifted_by)


def _remembering(opening: _Opening) -> _Opening:
    """The same, of answers that depend on nobody: a book has few zones, and is asked about few instants."""
    known: dict[tuple[ZoneClock, int], int] = {}

    def remembered(look: Look, clock: ZoneClock, at: int) -> int:
        found = known.get((clock, at))
        if found is None:
            if len(known) >= _REMEMBERED_MAX:
                known.clear()
            found = known[clock, at] = opening(look, clock, at)
        return found

    return remembered


def holds_judge(limit: Holds) -> Judge:
    """Closed while a hold of these kinds covers the debt and the channel."""

    def judge(look: Look, at: int) -> int:
        until = at
        ask = look.ask
        for hold in ask.holds:
            if (
                hold.kind in limit.kinds
                and hold.starts_us <= at
                and (hold.ends_us is None or at < hold.ends_us)
                and (not limit.forms or not hold.form or hold.form in limit.forms)
                and (not hold.blocks or ask.channel in hold.blocks)
                and (not hold.debts or not ask.debts or not set(hold.debts).isdisjoint(ask.debts))
            ):
                until = max(until, NEVER if hold.ends_us is None else hold.ends_us)
        return until

    return judge


def addressee_judge(limit: Addressee) -> Judge:
    """Open for the roles named, and for the further ones where their conditions are known to hold."""

    def judge(look: Look, at: int) -> int:
        if look.ask.role in limit.roles:
            return at
        return min((_admitted(look, also, at) for also in limit.also), default=NEVER)

    return judge


def _admitted(look: Look, also: Also, at: int) -> int:
    ask = look.ask
    if ask.role not in also.roles or (also.purposes and ask.purpose not in also.purposes):
        return NEVER
    if also.given and fits(look, also.given):
        return at
    attempts, dates = also.unreachable_attempts, also.unreachable_dates
    if attempts is None and dates is None:
        return NEVER if also.given else at
    opens = NEVER
    if attempts is not None:
        opens = _after(look, _last_failure(look, attempts, at), at)
    if dates is not None:
        # The clocks may disagree about the dates: each of them must find so many.
        in_each = (_after(look, _last_failure(look, dates, at, clock), at) for clock in look.clocks)
        opens = min(opens, max(in_each))
    return opens


def _last_failure(look: Look, wanted: int, at: int, clock: ZoneClock | None = None) -> int | None:
    """
    The attempt to reach the borrower with which they count as lost: so many in a row failed. None: they do not.

    Args:
        clock: count dates in a row, by this clock, instead of attempts.
    """
    ask = look.ask
    tries = sorted(
        (
            contact
            for contact in chain(ask.history, ask.shared)
            if contact.person == ask.borrower
            and contact.at_us <= at
            and contact.outcome not in _NO_NEWS
            and (contact.direction == "in" or contact.channel in {"call", "visit"})
        ),
        key=lambda contact: (contact.at_us, not _failed(contact)),
    )
    row = 0
    lost: int | None = None
    before = None
    for contact in tries:
        day = clock.day(contact.at_us) if clock else None
        if not _failed(contact):
            row, lost, before = 0, None, None
            continue
        if day is None or before is None or day == before + 1:
            row += 1
        elif day != before:
            row = 1
        before = day
        if lost is None and row >= wanted:
            lost = contact.at_us
    return lost


def _after(look: Look, lost: int | None, at: int) -> int:
    """The first instant from `at` on that is on a later date than the attempt, in every zone."""
    if lost is None:
        return NEVER
    return max(
        (clock.day_start(clock.day(lost) + 1, at) for clock in look.clocks if clock.day(at) <= clock.day(lost)),
        default=at,
    )


def _failed(contact: PastContact) -> bool:
    return contact.direction == "out" and contact.outcome in _FAILED


def content_judge(limit: Content) -> Judge:
    """Open unless something required is known to be missing, or something forbidden known to be there."""

    def judge(look: Look, at: int) -> int:
        for name in limit.required:
            if look.flag(name) is False:
                return NEVER
        for name in limit.forbidden:
            if look.flag(name) not in {None, False}:
                return NEVER
        for name, least in limit.at_least.items():
            number = look.flag(name)
            if number is not None and (type(number) is not int or number < least):
                return NEVER
        return at

    return judge


def is_past_due(look: Look) -> bool:
    """Whether something is known to be overdue."""
    dpd = look.ask.facts.get("dpd")
    return type(dpd) is int and dpd > 0


def wording_judge(rule: str, limit: Wording) -> Judge:
    """Open unless the text is known to break the rule, or to say or leave out by name what the rule is about."""
    required = frozenset(element.name for element in limit.requires)
    forbidden = frozenset(element.name for element in limit.forbids)
    by_name = content_judge(Content(required, forbidden))

    def judge(look: Look, at: int) -> int:
        if limit.before_due and is_past_due(look):
            return at
        return NEVER if look.ask.content.get(rule) is False else by_name(look, at)

    return judge


def fits(look: Look, given: Mapping[str, bool | int | str]) -> bool:
    """Whether every fact is known to have the value it must have."""
    return all(look.flag(name) == value for name, value in given.items())


def duty_judge(limit: Duty) -> Judge:
    """Open once the notice has been in force for the days owed, in every zone; never without the notice."""

    def judge(look: Look, at: int) -> int:
        ask = look.ask
        days = limit.in_force_days
        if ask.act == "stage_move":
            if ask.move is None:
                return NEVER
            if limit.to and ask.move.target not in limit.to:
                return at
            effective = ask.move.notices.get(limit.notice)
            # A strategy may ask for more than the pack, never for less.
            days = max(days, ask.move.notice_days_required)
        else:
            effective = ask.notices.get(limit.notice)
        until = at
        for clock in look.clocks:
            if effective is not None:
                ready = day_number(effective) + days
            else:
                in_force = None if ask.act == "stage_move" else ask.facts.get(f"{limit.notice}_effective_days")
                if type(in_force) is not int:
                    return NEVER
                ready = clock.day(look.now) + days - in_force
            if clock.day(at) < ready:
                until = max(until, clock.day_start(ready, at))
        return until

    return judge
