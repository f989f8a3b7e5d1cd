"""Which rules concern an ask, made ready once per sort of ask; and from when all of them pass."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Final, assert_never

from compliance.clock import DAY, HOUR, day_number
from compliance.consents import consent_judge, statements_judge
from compliance.counting import cooldown_judge, count_judge, reach
from compliance.dated import Dated
from compliance.look import Judge, Look, Selectors
from compliance.pack import (
    Addressee,
    Consent,
    Content,
    Cooldown,
    Count,
    Duty,
    Holds,
    Hours,
    Limit,
    Pack,
    Rule,
    Scope,
    Selector,
    Statements,
    Wording,
)  # fmt: skip
from compliance.states import addressee_judge, content_judge, duty_judge, fits, holds_judge, hours_judge, wording_judge
from compliance.timetable import NEVER, knows_holidays
from engine.gate import Ask
from engine.interpreter import evaluate
from engine.tree import Condition

_STEPS_MAX: Final = 2_000
"""How often windows and counters may push one another along; packs in use settle within a handful of steps."""


@dataclass(frozen=True, slots=True)
class Bound:
    """
    A rule made ready for one sort of ask.

    Attributes:
        sure_from: from this instant on the rule binds in every zone, unless it ends.
        guard: whether it is about the ask at all; None: always.
        idle: whether the ask holds nothing of what it could object to, at any instant; None: that cannot be told so.
        lasting: while it is in force its answer is the same at every instant, as of what a text says.
    """

    rule: Rule
    limit: Limit
    judge: Judge
    sure_from: int
    start: int
    end: int | None
    guard: Callable[[Look], bool] | None
    idle: Callable[[Look], bool] | None
    lasting: bool


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """
    Every rule that concerns a sort of ask.

    Attributes:
        whens: conditions over facts, by which some of them bind.
        asks_holidays: whether any of them has hours of its own for public holidays.
    """

    rules: tuple[Bound, ...]
    selectors: Selectors
    asks_holidays: bool
    whens: tuple[Condition, ...]


def make_plan(packs: Iterable[Pack], ask: Ask, product: str | None) -> Plan:
    selectors: list[tuple[Selector, int | None]] = []
    rules: list[Bound] = []
    whens: list[Condition] = []
    for pack in packs:
        reach = pack.reach
        if not reach.binds(ask.actor, ask.jurisdictions, product):
            continue
        for rule in pack.rules:
            limit = rule.limit
            if isinstance(limit, Dated) or not rule.binding or not concerns(rule, ask):
                continue
            if rule.reach is not None and not rule.reach.binds(ask.actor, ask.jurisdictions, product):
                continue
            start, end = day_number(rule.binds_from), None if rule.end is None else day_number(rule.end)
            # West of Greenwich a date begins up to twelve hours after it does in UTC.
            sure_from = start * DAY + 13 * HOUR
            judge = _answering(rule.scope, ask, _judge(rule.id, limit, selectors))
            idle = _idle(limit, len(selectors) - 1)
            conditions = _conditions(pack, rule)
            guard, lasting = _guard(conditions, rule, ask), _is_lasting(limit) and ask.purpose != "reply"
            rules.append(Bound(rule, limit, judge, sure_from, start, end, guard, idle, lasting))
            whens += conditions
    tables = [bound.limit.table for bound in rules if isinstance(bound.limit, Hours)]
    return Plan(tuple(rules), Selectors(selectors), any(map(knows_holidays, tables)), tuple(whens))


def concerns(rule: Rule, ask: Ask) -> bool:
    """Whether a rule is about this sort of ask: its act, channel, purpose and role."""
    scope = rule.scope
    return (
        ask.act in scope.acts
        and (not scope.actors or ask.actor in scope.actors)
        and (not scope.channels or ask.channel in scope.channels)
        and (not scope.purposes or ask.purpose in scope.purposes)
        # A reply is excused only while it is the one answer to a message; the guard looks.
        and (ask.purpose not in scope.except_purposes or ask.purpose == "reply")
        and (not scope.roles or ask.role in scope.roles)
        and ask.role not in scope.except_roles
    )


def _conditions(pack: Pack, rule: Rule) -> list[Condition]:
    stated = (pack.when, rule.when, rule.reach.when if rule.reach is not None else None)
    return [when for when in stated if when is not None]


def _guard(conditions: Iterable[Condition], rule: Rule, ask: Ask) -> Callable[[Look], bool] | None:
    scope = rule.scope
    tests: list[Callable[[Look], bool]] = []
    if ask.purpose == "reply" and "reply" in scope.except_purposes and scope.reply_dates_max is None:
        tests.append(lambda look: not look.may_reply())
    if scope.where:
        tests.append(lambda look: look.place in scope.where)
    if scope.except_where:
        tests.append(lambda look: look.place not in scope.except_where)
    if scope.given:
        tests.append(lambda look: fits(look, scope.given))
    tests.extend(partial(may_hold, when) for when in conditions)
    if not tests:
        return None
    return tests[0] if len(tests) == 1 else lambda look: all(test(look) for test in tests)


def may_hold(when: Condition, look: Look) -> bool:
    """Whether a rule binds that asks for facts: unless they are known to be otherwise."""
    return evaluate(when, look.ask.facts) is not False


def _answering(scope: Scope, ask: Ask, judge: Judge) -> Judge:
    """The same limit, but open to the one answer to their message until its dates have gone by."""
    dates_max = scope.reply_dates_max
    if dates_max is None or ask.purpose != "reply" or "reply" not in scope.except_purposes:
        return judge

    def judged(look: Look, at: int) -> int:
        asked = look.unanswered()
        if asked is not None and all(clock.day(at) - clock.day(asked) < dates_max for clock in look.clocks):
            return at
        return judge(look, at)

    return judged


def _is_lasting(limit: Limit) -> bool:
    if isinstance(limit, Addressee):
        return all(also.unreachable_attempts is None and also.unreachable_dates is None for also in limit.also)
    return isinstance(limit, Content | Wording)


def _idle(limit: Limit, index: int) -> Callable[[Look], bool] | None:
    """
    Args:
        index: of a limit that counts: which selector is its own.
    """
    match limit:
        case Count():
            most = limit.max
            return lambda look: look.beside is None and max(map(len, look.events[index]), default=0) < most
        case Cooldown():
            return lambda look: look.beside is None and not any(look.events[index])
        case Statements():
            return lambda look: not look.ask.statements
        case Holds():
            return lambda look: not look.ask.holds
    return None


def _judge(rule: str, limit: Limit, selectors: list[tuple[Selector, int | None]]) -> Judge:
    match limit:
        case Count():
            selectors.append((limit.counts, reach(limit)))
            return count_judge(limit, len(selectors) - 1)
        case Cooldown():
            selectors.append((limit.after, reach(limit)))
            return cooldown_judge(limit, len(selectors) - 1)
        case Hours():
            return hours_judge(limit)
        case Statements():
            return statements_judge(limit)
        case Consent():
            return consent_judge(limit)
        case Holds():
            return holds_judge(limit)
        case Addressee():
            return addressee_judge(limit)
        case Content():
            return content_judge(limit)
        case Wording():
            return wording_judge(rule, limit)
        case Duty():
            return duty_judge(limit)
        case _:
            assert_never(limit)


def answer(bound: Bound, look: Look, at: int) -> int:
    """What the rule says at an instant, as far as it is in force at the addressee's date in any of the zones."""
    if at >= bound.sure_from and bound.end is None:
        return bound.judge(look, at)
    days = [clock.day(at) for clock in look.clocks]
    if max(days) < bound.start or (bound.end is not None and min(days) > bound.end):
        return at
    until = bound.judge(look, at)
    if until == at or bound.end is None:
        return until
    over = max(clock.day_start(bound.end + 1, at) for clock in look.clocks if clock.day(at) <= bound.end)
    return min(until, over)


def settle(bounds: Iterable[Bound], look: Look, at: int) -> tuple[int, Bound | None]:
    """
    The earliest instant from `at` on at which all these rules pass, or NEVER and the rule that stands in the way.

    Each answer rules out everything before it, so that going from answer to answer cannot step over an opening.
    None of the rules may refuse for ever what is asked now.
    """
    changing = [bound for bound in bounds if not (bound.lasting and bound.sure_from <= look.now and bound.end is None)]
    passed = 0
    for bound in islice(cycle(changing), _STEPS_MAX * len(changing)):
        until = answer(bound, look, at)
        if until >= NEVER:
            return NEVER, bound
        passed, at = passed + 1 if until == at else 0, until
        if passed == len(changing):
            return at, None
    return (NEVER, None) if changing else (at, None)
