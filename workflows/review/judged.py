"""Every limit of the time against one contact as it happened: what it broke, what it came near to, how much it used up."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from compliance.calendars import calendar
from compliance.pack import Addressee, Consent, Cooldown, Count, Duty, Holds, Hours, Pack, Rule, Statements
from engine.gate import Override
from engine.interpreter import evaluate
from workflows.review.addressed import addressable, served
from workflows.review.counted import cooling, facts_of, windows
from workflows.review.happened import Made, Whom, date_there, there
from workflows.review.hours import DAY_MINUTES, opening
from workflows.review.law import Law
from workflows.review.standing import against, consented, holding, known_by_then, lifted

CLOSING_MINUTES: Final = 15
"""A contact so few minutes before its hours end is a near miss."""


@dataclass(frozen=True, slots=True)
class Use:
    """How much of a limit was used with a contact: `used` of `most`, by this person, debt or number."""

    rule: str
    unit: str
    unit_id: int
    used: int
    most: int
    contact: str


@dataclass(frozen=True, slots=True)
class Mark:
    """
    Something about one contact and one rule.

    Attributes:
        kind: `limit`, `quiet`, `hours`, `refusal`, `hold`, `consent`, `addressee` and `notice` are breaches; `last_place`, `in_vain` and `closing` near misses;
            `late` is what came into the book only after the contact, and would have forbidden it.
        beside: the other contacts, or what was said or held, by `contact:`, `consent:`, `hold:` or `notice:` and id.
    """

    kind: str
    rule: str
    contact: str
    what: str
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hour:
    """When a contact was, letters aside, by the wall clock of the strictest zone; `rules`: those with hours that were about it."""

    contact: str
    zone: str
    weekday: int
    hour: int
    local: str
    rules: tuple[str, ...]


@dataclass(slots=True)
class Judged:
    """What was found of some contacts."""

    uses: list[Use] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    hours: list[Hour] = field(default_factory=list)


class Judge:
    """
    Judges contacts by the packs of their time.

    Args:
        law_at: the packs in use at an instant. overrides: presumptions set aside, by contact.
    """

    def __init__(self, law_at: Callable[[int], Law], overrides: dict[str, Override]) -> None:
        self._law_at, self._overrides = law_at, overrides
        self._sorts: dict[tuple[object, ...], tuple[tuple[Pack, Rule], ...]] = {}

    def judge(self, contact: Made, own: Sequence[Made], others: Sequence[Made], whom: Whom, into: Judged) -> None:
        """
        One contact that we made.

        Args:
            own: everything with this person up to and with it, oldest first. others: with others, that limits may count too.
        """
        hours: list[tuple[Rule, Hours]] = []
        for rule in self._binding(contact, own, whom):
            match rule.limit:
                case Hours() as limit:
                    hours.append((rule, limit))
                case Count() as limit:
                    self._count(rule, limit, contact, own, others, whom, into)
                case Cooldown() as limit:
                    if near := cooling(limit, contact, own, others, whom):
                        what = f"within {_span(limit)} of {_names(near)}"
                        into.marks.append(
                            Mark("quiet", rule.id, contact.id, what, tuple(f"contact:{one.id}" for one in near))
                        )
                case Statements() as limit:
                    if limit.lifted_by is not None and lifted(limit.lifted_by, contact, whom, list(own)):
                        continue
                    for said in against(limit, contact, whom):
                        kind = "refusal" if said.recorded < contact.begun else "late"
                        what = f"although they had said {said.statement.kind}"
                        into.marks.append(Mark(kind, rule.id, contact.id, what, (f"consent:{said.id}",)))
                case Consent() as limit:
                    # Where it went is not known: neither is the basis of the number.
                    if contact.endpoint is None or consented(limit, contact, whom):
                        continue
                    kind = "late" if consented(limit, contact, known_by_then(contact, whom)) else "consent"
                    into.marks.append(Mark(kind, rule.id, contact.id, "without a basis for the number or a consent"))
                case Addressee() as limit:
                    if not addressable(limit, contact, others, whom):
                        into.marks.append(Mark("addressee", rule.id, contact.id, f"to a {contact.role}"))
                case Duty() as limit:
                    if served(limit, contact, whom) is None:
                        what = f"without a {limit.notice} in force for {limit.in_force_days} days"
                        beside = tuple(f"notice:{one.id}" for one in contact.served if one.kind == limit.notice)
                        into.marks.append(Mark("notice", rule.id, contact.id, what, beside))
                case Holds() as limit:
                    for held in holding(limit, contact, whom):
                        kind = "hold" if held.recorded < contact.begun else "late"
                        into.marks.append(
                            Mark(kind, rule.id, contact.id, f"during a hold: {held.kind}", (f"hold:{held.id}",))
                        )
        _hours(hours, contact, own, whom, into)

    def _binding(self, contact: Made, own: Sequence[Made], whom: Whom) -> Iterator[Rule]:
        """The rules that are about this contact, in force at the person's date, and not set aside."""
        days = [date_there(contact.at, zone) for zone in whom.zones]
        if not days:
            return
        for pack, rule in self._about(self._law_at(contact.at), contact, whom):
            if max(days) < rule.binds_from or (rule.end is not None and min(days) > rule.end):
                continue
            scope = rule.scope
            if (scope.where and contact.place not in scope.where) or (
                scope.except_where and contact.place in scope.except_where
            ):
                continue
            if not facts_of(contact.facts, scope.given):
                continue
            when = pack.when, rule.when, rule.reach.when if rule.reach is not None else None
            if any(one is not None and evaluate(one, contact.facts) is False for one in when):
                continue
            if (
                contact.purpose == "reply"
                and "reply" in scope.except_purposes
                and _answers(contact, own, whom, scope.reply_dates_max)
            ):
                continue
            if not rule.yields_to(self._overrides.get(contact.id)):
                yield rule

    def _about(self, law: Law, contact: Made, whom: Whom) -> tuple[tuple[Pack, Rule], ...]:
        """The rules that are about contacts of this sort, whenever."""
        actor, product = contact.facts.get("actor"), contact.facts.get("product")
        sort = (law.digest, contact.channel, contact.purpose, contact.role, actor, product, whom.places)
        found = self._sorts.get(sort)
        if found is None:
            kind = product if isinstance(product, str) else None
            found = self._sorts[sort] = tuple(
                (pack, rule)
                for pack, rule, _ in law.rules()
                if pack.reach.binds(str(actor), whom.places, kind)
                and (rule.reach is None or rule.reach.binds(str(actor), whom.places, kind))
                and _is_about(rule, contact)
            )
        return found

    @staticmethod
    def _count(
        rule: Rule, limit: Count, contact: Made, own: Sequence[Made], others: Sequence[Made], whom: Whom, into: Judged
    ) -> None:
        for window in windows(limit, contact, own, others, whom):
            unit, unit_id = window.unit
            into.uses.append(Use(rule.id, unit, unit_id, window.used if window.counts else 0, limit.max, contact.id))
            beside = tuple(f"contact:{one.id}" for one in window.before)
            if window.counts and window.used > limit.max:
                what = f"number {window.used} of at most {limit.max} in {_spans(limit)}, after {_names(window.before)}"
                into.marks.append(Mark("limit", rule.id, contact.id, what, beside))
            elif window.counts and window.used == limit.max:
                into.marks.append(
                    Mark(
                        "last_place", rule.id, contact.id, f"used {limit.max} of {limit.max} in {_spans(limit)}", beside
                    )
                )
            elif not window.counts and len(window.before) >= limit.max:
                what = (
                    f"tried ({contact.outcome}) when {len(window.before)} of {limit.max} in {_spans(limit)} were used"
                )
                into.marks.append(Mark("in_vain", rule.id, contact.id, what, beside))


def _hours(bound: Sequence[tuple[Rule, Hours]], contact: Made, own: Sequence[Made], whom: Whom, into: Judged) -> None:
    """Where and when it was, by the zone that is nearest to a closed hour, or furthest in it."""
    strictest: tuple[int, str] | None = None
    holidays = calendar(whom.places) or ()
    asked = [
        (rule, limit)
        for rule, limit in bound
        if limit.lifted_by is None or not lifted(limit.lifted_by, contact, whom, list(own))
    ]
    for zone in whom.zones:
        wall, slack = there(contact.at, zone), DAY_MINUTES
        for rule, limit in asked:
            stands = opening(limit.table, wall, holidays)
            slack = min(slack, stands.edge if stands.open else -stands.edge)
            if not stands.open:
                into.marks.append(Mark("hours", rule.id, contact.id, f"at {wall:%a %Y-%m-%d %H:%M} in {zone}"))
            elif stands.closes is not None and stands.closes <= CLOSING_MINUTES:
                what = f"{stands.closes} minutes before it closes, at {wall:%a %H:%M} in {zone}"
                into.marks.append(Mark("closing", rule.id, contact.id, what))
        if strictest is None or (slack, zone) < strictest:
            strictest = slack, zone
    if strictest is not None and contact.channel != "letter":
        zone = strictest[1]
        wall = there(contact.at, zone)
        rules = tuple(sorted(rule.id for rule, _ in bound))
        into.hours.append(Hour(contact.id, zone, wall.weekday(), wall.hour, f"{wall:%Y-%m-%d %H:%M}", rules))


def _is_about(rule: Rule, contact: Made) -> bool:
    scope = rule.scope
    return (
        (not scope.actors or contact.facts.get("actor") in scope.actors)
        and (not scope.channels or contact.channel in scope.channels)
        and (not scope.purposes or contact.purpose in scope.purposes)
        and (contact.purpose not in scope.except_purposes or contact.purpose == "reply")
        and (not scope.roles or contact.role in scope.roles)
        and contact.role not in scope.except_roles
    )


def _answers(contact: Made, own: Sequence[Made], whom: Whom, dates_max: int | None) -> bool:
    """Whether it is the one answer to a message of theirs on that channel, and soon enough."""
    same = [one for one in own if one.channel == contact.channel and one is not contact]
    asked = max((one.at for one in same if one.direction == "in"), default=None)
    if asked is None or any(one.direction == "out" and one.at >= asked for one in same):
        return False
    return dates_max is None or all(
        (date_there(contact.at, zone) - date_there(asked, zone)).days < dates_max for zone in whom.zones
    )


def _names(contacts: Sequence[Made]) -> str:
    return ", ".join(one.id for one in contacts[-12:])


def _spans(limit: Count) -> str:
    words = (f"{span.n} {span.unit}" if span.unit != "ever" else "all time" for span in limit.spans)
    return " and ".join(words)


def _span(limit: Cooldown) -> str:
    return f"{limit.span.n} {limit.span.unit}" if limit.span.unit != "ever" else "all time"
