"""The one gate: asks every rule that applies, and says from when the act would pass all of them."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final, get_args

from compliance.calendars import edition
from compliance.clock import ZoneClock, microseconds, moment, zone_clock
from compliance.look import Look
from compliance.pack import ACTORS, Pack, Rule
from compliance.plan import Bound, Plan, answer, make_plan, settle
from compliance.timetable import NEVER
from engine.errors import Place, Problem, RuleError
from engine.gate import (
    CHANNELS,
    HOLDS,
    STATEMENTS,
    UNKNOWN,
    Act,
    Ask,
    Outcome,
    Override,
    Purpose,
    Reason,
    Role,
    Source,
    Verdict,
)

_ACTS: Final = frozenset(get_args(Act))
_PURPOSES: Final = frozenset(get_args(Purpose))
_ROLES: Final = frozenset(get_args(Role))
_CHANNELS: Final = frozenset(CHANNELS)
_STATEMENTS: Final = frozenset(STATEMENTS)
_HOLDS: Final = frozenset(HOLDS)

_PLANS_MAX: Final = 4_096

_ALLOW: Final = Verdict("allow")

_UNKNOWN: Final = {
    "zone": (
        "Where the person is, and so what time it is there, is not known.",
        "不知道对方所在时区，无法判断当地时间。",
    ),
    "jurisdiction": ("Which law applies is not known.", "不知道适用哪个地区的法律。"),
    "role": ("What the person is to this debt is not known.", "不知道对方与该债务的关系。"),
    "purpose": ("What the act is for is not known.", "不知道该行为的目的。"),
    "channel": ("How the person would be reached is not known.", "不知道将通过何种方式联系。"),
    "actor": ("Who would act is not known.", "不知道由谁实施该行为。"),
    "act": ("What would be done is not known.", "不知道将实施何种行为。"),
    "holidays": ("Which days are public holidays there is not known.", "不知道当地的公众假期。"),
    "time": ("The time asked about has no zone.", "所询问的时间没有时区。"),
    "ask": ("What is on file about this cannot be read.", "档案中的资料无法读取。"),
    "statement": (
        "Something the person said about being contacted cannot be read.",
        "对方关于联系方式的声明无法读取。",
    ),
    "hold": ("A hold on file cannot be read.", "档案中的一项冻结无法读取。"),
    "override": (
        "The override names no presumption that yields to this ground.",
        "所申请的例外不针对任何可因该理由放宽的推定。",
    ),
}
_NO_OPENING: Final = (
    "Every rule would open at some time, but never all at once.",
    "各项规则各有开放时间，但没有共同的时间。",
)


class Gate:
    """
    May this act happen? The strictest answer of every rule of every pack that binds, with every reason.

    Adding a pack only adds rules, and no rule can undo another, so a further pack, a lender's house pack
    among them, can tighten and never loosen.

    Args:
        packs: a law pack may be there once; of several house packs of one id the last is meant, so that a
            lender's own `house.default` takes the place of the shipped one. The law cannot be replaced.
        places: jurisdictions whose law is covered, e.g. US; an act elsewhere is denied. Default: the packs' own.
        law_on: ask the rules in force on this date, whatever the date of the contact; None: those of the contact's date.
    Raises:
        RuleError: a law pack or a rule id is there twice.
    """

    def __init__(
        self, packs: Iterable[Pack], places: Iterable[str] | None = None, *, law_on: date | None = None
    ) -> None:
        given = _one_of_each(packs)
        self._packs = given if law_on is None else tuple(_as_of(pack, law_on) for pack in given)
        named = (place for pack in self._packs if not pack.is_house for place in pack.places)
        self._places = frozenset(named if places is None else places)
        self._plans: dict[tuple[object, ...], Plan] = {}
        lines = [*sorted(self._places), edition(), *(f"{pack.id} {pack.digest}" for pack in self._packs)]
        lines += [f"law on {law_on}"] if law_on else []
        self._list = "".join(f"{line}\n" for line in lines)
        self._digest = hashlib.sha256(self._list.encode()).hexdigest()

    def __getstate__(self) -> dict[str, object]:
        """Without what it has made ready: another process makes that itself."""
        return {**self.__dict__, "_plans": {}}

    @property
    def packs(self) -> tuple[Pack, ...]:
        """The packs it holds, by id; those of one date with the rules in force then."""
        return self._packs

    @property
    def digest(self) -> str:
        """SHA-256 over the content of every pack and the calendars, in hex; the order of the packs does not matter."""
        return self._digest

    @property
    def sources(self) -> tuple[Source, ...]:
        """Every pack as it was written, and the list of places, calendars and packs that the gate's digest is of."""
        packs = (Source("pack", pack.id, pack.digest, pack.text) for pack in self._packs)
        return *packs, Source("gate", "", self._digest, self._list)

    def check(self, ask: Ask, now: datetime) -> Verdict:
        """
        Answer for one act at one aware instant.

        Never raises for odd data: what is unknown or cannot be read is denied with a `gate.unknown.*` reason.
        """
        ready = self.ready(ask, now)
        return self.judge(ready) if isinstance(ready, Ready) else ready

    def ready(self, ask: Ask, now: datetime) -> "Ready | Verdict":
        """The first half of `check`: the ask made ready for the rules that concern it, or why it cannot be."""
        try:
            return self._ready(ask, now)
        except Exception:  # noqa: BLE001  odd data means no contact; it must not stop the loans after it
            return _denied("ask")

    def judge(self, ready: "Ready") -> Verdict:
        """The second half: what the rules say."""
        try:
            return _judge(ready)
        except Exception:  # noqa: BLE001  the same
            return _denied("ask")

    def _ready(self, ask: Ask, now: datetime) -> "Ready | Verdict":
        if now.tzinfo is None:
            return _denied("time")
        clocks = tuple([zone_clock(zone) for zone in ask.zones])
        if missing := self._missing(ask, clocks):
            return _denied(missing)
        known = tuple([clock for clock in clocks if clock is not None])
        at = microseconds(now)
        plan = self._plan(ask)
        look = Look(ask, known, at, plan.selectors)
        if plan.asks_holidays and look.holidays is None:
            return _denied("holidays")
        return Ready(plan, look, at)

    def _missing(self, ask: Ask, clocks: tuple[ZoneClock | None, ...]) -> str | None:
        if not clocks or None in clocks:
            return "zone"
        if self._places.isdisjoint(ask.jurisdictions):
            return "jurisdiction"
        if ask.role not in _ROLES:
            return "role"
        if ask.purpose not in _PURPOSES:
            return "purpose"
        if ask.actor not in ACTORS:
            return "actor"
        if ask.act not in _ACTS:
            return "act"
        if ask.act == "contact" and ask.channel not in _CHANNELS:
            return "channel"
        if any(statement.kind not in _STATEMENTS for statement in ask.statements):
            return "statement"
        if any(hold.kind not in _HOLDS for hold in ask.holds):
            return "hold"
        return "override" if ask.override is not None and not self.recognises(ask.override) else None

    def recognises(self, override: Override) -> bool:
        """Whether some rule is a presumption that yields to this ground."""
        return any(rule.yields_to(override) for pack in self._packs for rule in pack.rules)

    def _plan(self, ask: Ask) -> Plan:
        product = ask.facts.get("product")
        kind = product if isinstance(product, str) else None
        key = (ask.act, ask.channel, ask.role, ask.purpose, ask.actor, ask.jurisdictions, kind)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _PLANS_MAX:
                self._plans.clear()
            plan = self._plans[key] = make_plan(self._packs, ask, kind)
        return plan


@dataclass(frozen=True, slots=True)
class Ready:
    """An ask at an instant, and the rules that concern it."""

    plan: Plan
    look: Look
    at: int


def _judge(ready: Ready) -> Verdict:
    look, at = ready.look, ready.at
    asked = [
        bound
        for bound in ready.plan.rules
        if (bound.idle is None or not bound.idle(look)) and (bound.guard is None or bound.guard(look))
    ]
    if (override := look.ask.override) is not None:
        asked = [bound for bound in asked if not bound.rule.yields_to(override)]
    stopping = [(bound, until) for bound in asked if (until := answer(bound, look, at)) != at]
    return _withheld(asked, stopping, look) if stopping else _ALLOW


def _as_of(pack: Pack, on: date) -> Pack:
    """The rules in force on a date, for always."""
    always = [replace(rule, start=date.min, end=None, waived_to=None) for rule in pack.rules if rule.in_force(on)]
    return replace(pack, rules=tuple(always))


def _one_of_each(packs: Iterable[Pack]) -> tuple[Pack, ...]:
    chosen: dict[str, Pack] = {}
    problems = []
    for pack in packs:
        if pack.id in chosen and not pack.is_house:
            mend = "keep one of them; the law is never replaced, a house pack adds to it"
            problems.append(
                Problem(f"pack `{pack.id}` is there twice, first in {chosen[pack.id].file}", mend, Place(pack.file))
            )
        chosen[pack.id] = pack
    taken: dict[str, Rule] = {}
    for rule in (rule for pack in chosen.values() for rule in pack.rules):
        if first := taken.get(rule.id):
            mend = "give the rule an id of its own; a rule adds to the others and cannot replace one"
            problems.append(Problem(f"rule `{rule.id}` is there twice, first at {first.at}", mend, rule.at))
        taken[rule.id] = rule
    if problems:
        raise RuleError(problems)
    return tuple(sorted(chosen.values(), key=lambda pack: pack.id))


def _withheld(asked: list[Bound], stopping: list[tuple[Bound, int]], look: Look) -> Verdict:
    reasons = []
    earliest = look.now
    for bound, first in stopping:
        until = first if first >= NEVER else settle([bound], look, first)[0]
        earliest = max(earliest, until)
        reasons.append(_reason(bound.rule, until))
    if earliest < NEVER:
        until, barrier = settle(asked, look, earliest)
        if until < NEVER:
            return Verdict("defer", _ordered(reasons), moment(until))
        if barrier is None:
            reasons.append(Reason("gate.no_common_opening", "deny", "", _NO_OPENING[0], None, _NO_OPENING[1], "gate"))
        else:
            reasons = [reason for reason in reasons if reason.rule != barrier.rule.id] + [_reason(barrier.rule, NEVER)]
    return Verdict("deny", _ordered(reasons))


def _reason(rule: Rule, until: int) -> Reason:
    outcome: Outcome = "deny" if until >= NEVER else "defer"
    when = None if until >= NEVER else moment(until)
    return Reason(rule.id, outcome, rule.citation, rule.says_en, when, rule.says_zh, rule.status)


def _ordered(reasons: list[Reason]) -> tuple[Reason, ...]:
    """Refusals first, then what opens last; ties by rule, so that the order of packs never shows."""
    return tuple(
        sorted(reasons, key=lambda reason: (-microseconds(reason.until) if reason.until else -NEVER, reason.rule))
    )


def _denied(what: str) -> Verdict:
    says, says_zh = _UNKNOWN[what]
    # An override that lifts nothing is somebody's mistake; all else is something that is not known.
    rule = "gate.override" if what == "override" else f"{UNKNOWN}{what}"
    return Verdict("deny", (Reason(rule, "deny", "", says, None, says_zh, "gate"),))
