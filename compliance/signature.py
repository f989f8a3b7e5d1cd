"""
What the answer "allowed now" can depend on, and nothing else: asks with one signature are allowed alike.

Ids and exact times are left out wherever no rule can see them: a call six days ago is nothing to a rule about today.
"""

from collections.abc import Hashable
from collections.abc import Set as AbstractSet

from compliance.clock import DAY
from compliance.counting import reach
from compliance.look import Look, given_directly, permits, refuses
from compliance.pack import Addressee, Consent, Content, Cooldown, Count, Duty, Hours, Limit, Statements, Wording
from compliance.plan import Plan, may_hold
from compliance.refusals import stands, weighs
from compliance.states import is_past_due
from engine.gate import Ask, Hold, Role


class Signer:
    """
    Says the signature of asks of one sort.

    Args:
        plan: the rules that concern them; like a plan, they all are about people of one role.
        role: that role.

    Attributes:
        complete: false where a rule looks at more than a signature holds: notices, or who was reached before.
    """

    __slots__ = (
        "_ages", "_before_due", "_counted", "_excuses", "_flags", "_judges", "_used_up", "_whens", "_wording", "complete",
    )  # fmt: skip

    def __init__(self, plan: Plan, role: Role) -> None:
        rules = [bound.rule for bound in plan.rules]
        limits = [bound.limit for bound in plan.rules]
        self.complete = not any(_looks_further(limit, role) for limit in limits)
        self._counted = tuple(
            (reach(limit), limit.max if isinstance(limit, Count) else 1)
            for limit in limits
            if isinstance(limit, Count | Cooldown)
        )
        self._ages = tuple(sorted(_ages(limits)))
        lifts = [
            (limit, limit.lifted_by)
            for limit in limits
            if isinstance(limit, Hours | Count | Cooldown | Statements) and limit.lifted_by is not None
        ]
        # A consent for some dates only, or good for one talk: when it was given and what came since are its state.
        self._used_up = frozenset(lift.scope for _, lift in lifts if lift.once or lift.dates_max is not None)
        self._excuses = any(isinstance(limit, Count) for limit, _ in lifts)
        flags = {"prerecorded", *(name for rule in rules for name in rule.scope.given)}
        for limit in limits:
            if isinstance(limit, Content):
                flags |= {*limit.required, *limit.forbidden, *limit.at_least}
            if isinstance(limit, Addressee):
                flags |= {name for also in limit.also for name in also.given}
            if isinstance(limit, Wording):
                flags |= {element.name for element in (*limit.requires, *limit.forbids)}
        self._flags = frozenset(flags)
        wording = {rule.id: rule.limit for rule in rules if isinstance(rule.limit, Wording)}
        self._wording = tuple(sorted(wording))
        self._before_due = any(limit.before_due for limit in wording.values())
        self._whens = plan.whens
        # What these make of a statement depends on the others beside it, or on the date: their answer is its own state.
        self._judges = tuple(
            bound.judge for bound in plan.rules if isinstance(bound.rule.limit, Statements) and weighs(bound.rule.limit)
        )

    def sign(self, look: Look, at: int) -> Hashable | None:
        """The signature of an ask at an instant; None where it would have to hold everything."""
        ask = look.ask
        if not self.complete or ask.purpose == "reply" or ask.holidays or ask.override is not None:
            return None
        statements = self._statements(look, at)
        counted = self._events(look, at)
        if statements is None or counted is None:
            return None
        endpoint = ask.endpoint
        basis = None if endpoint is None else (endpoint.basis, self._fresh(endpoint.basis_us, at))
        flags = frozenset([(name, look.flag(name)) for name in self._told(ask)])
        whens = tuple([may_hold(when, look) for when in self._whens])
        wording = tuple([rule for rule in self._wording if ask.content.get(rule) is False])
        past_due = self._before_due and is_past_due(look)
        holds = tuple(sorted({(hold.kind, hold.form) for hold in ask.holds if _covers(hold, look, at)}))
        judged = tuple([judge(look, at) == at for judge in self._judges])
        return at, ask.zones, look.place, basis, flags, whens, wording, past_due, holds, statements, counted, judged

    def _told(self, ask: Ask) -> AbstractSet[str]:
        """Those of the flags that anybody said anything about."""
        told = (self._flags & ask.content.keys()) | (self._flags & ask.facts.keys())
        return (
            told
            if ask.endpoint is None or not ask.endpoint.marks
            else told | self._flags.intersection(ask.endpoint.marks)
        )

    def _statements(self, look: Look, at: int) -> Hashable | None:
        """Those that stand and concern the ask, oldest first, without their times; simultaneous ones share a place."""
        ask = look.ask
        said: list[tuple[Hashable, ...]] = []
        place, before = 0, None
        for statement in sorted(ask.statements, key=lambda one: one.at_us):
            closes, opens = refuses(statement, ask), permits(statement, ask)
            if not (closes or opens) or not stands(statement, at):
                continue
            if statement.kind == "consent" and statement.scope in self._used_up:
                return None
            place, before = place + (statement.at_us != before), statement.at_us
            directly = given_directly(statement, ask)
            said.append((
                place, statement.kind, statement.scope, closes, opens, directly, statement.windows, statement.only_on,
                statement.place, self._fresh(statement.at_us, at),
            ))  # fmt: skip
        return tuple(sorted(said, key=repr)) if len(said) > 1 else tuple(said)

    def _events(self, look: Look, at: int) -> Hashable | None:
        """Per counting limit and debt: the instants near enough to count, or nothing where they are too few to matter."""
        near: list[tuple[tuple[int, ...], ...]] = []
        for number, (far, few) in enumerate(self._counted):
            by_debt = look.events[number]
            if look.beside is not None:
                by_debt = [own + others for own, others in zip(by_debt, look.beside[number], strict=True)]
            kept = [_near(instants, far, at) if len(instants) >= few else () for instants in by_debt]
            binding = tuple([one if len(one) >= few else () for one in kept])
            near.append(binding if any(binding) else ())
        if self._excuses and look.ask.statements and any(near):
            return None  # a consent, lapsed since perhaps, may excuse some of them
        return tuple(near)

    def _fresh(self, since: int | None, at: int) -> tuple[bool, ...]:
        return tuple([since is not None and at - since < age for age in self._ages])


def _looks_further(limit: Limit, role: Role) -> bool:
    return isinstance(limit, Duty) or (
        isinstance(limit, Addressee)
        and role not in limit.roles
        and any(also.unreachable_attempts is not None or also.unreachable_dates is not None for also in limit.also)
    )


def _near(instants: list[int], far: int | None, at: int) -> tuple[int, ...]:
    return tuple(sorted([instant for instant in instants if far is None or at - far < instant < at + far]))


def _ages(limits: list[Limit]) -> set[int]:
    renewed = (limit.renewed_within_days for limit in limits if isinstance(limit, Consent))
    return {days * DAY for days in renewed if days is not None}


def _covers(hold: Hold, look: Look, at: int) -> bool:
    ask = look.ask
    return (
        hold.starts_us <= at
        and (hold.ends_us is None or at < hold.ends_us)
        and (not hold.blocks or ask.channel in hold.blocks)
        and (not hold.debts or not ask.debts or not set(hold.debts).isdisjoint(ask.debts))
    )
