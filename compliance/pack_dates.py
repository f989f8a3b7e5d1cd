"""Which packs' days apply: when a notice is in force, and until when records are kept. Deadlines are in `compliance.duties`."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Final, TypeVar

from compliance.dated import RECORDS, Dated, Deadline, Length, Records, Retention, Service
from compliance.pack import EVERYWHERE, Pack, Rule

D = TypeVar("D", bound=Dated)

_IN_THE_BOOK: Final = ("limitation", "review")
"""Days that stand in the book itself, so that somebody must look after them whatever the packs say."""


@dataclass(frozen=True, slots=True)
class Matter:
    """
    What is asked about: where the person is, and what kind of loan it is about.

    Attributes:
        places: jurisdictions from broad to narrow, e.g. ("US", "US-MA").
        product: None: unknown, or about the person as a whole; packs for some products bind then.
    """

    places: tuple[str, ...]
    product: str | None = None


@dataclass(frozen=True, slots=True)
class Life:
    """
    What is on file about a loan, as far as it says how long records are kept.

    Attributes:
        last_activity_on: the last day on which anything was done or said about it.
        settled_on: when it was closed; None while it is not.
        newest: the day of the newest record of each kind there is.
    """

    last_activity_on: date
    settled_on: date | None = None
    newest: Mapping[Records, date] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Kept:
    """
    How long one kind of record is kept.

    Attributes:
        to: the last day on which it must still be there; None: open, as long as the loan is not settled.
        rules: the rules that ask for it, the longest first.
        at_most: the last day on which it may be there, the earliest that one of these rules names; None: none does.
    """

    records: Records
    to: date | None
    rules: tuple[Rule, ...]
    at_most: date | None = None


class PackDates:
    """
    The days that packs set, for one actor.

    Rules of every pack that binds are asked. A condition on facts is not looked at: here the rule binds, which is the
    cautious way.

    Args:
        packs: as the gate holds them.
        actor: who acts: first_party, agency, ...
        floor: packs asked where the others say nothing of a notice's channel, of limitation or of a hold's review, so that
            no notice is without its day and no day without its owner.
    """

    def __init__(self, packs: Iterable[Pack], *, actor: str, floor: Iterable[Pack] = ()) -> None:
        self._actor = actor
        self._packs = tuple(packs)
        self._floor = tuple(floor)

    def in_force_on(self, notice: str, channel: str, sent_on: date, matter: Matter) -> date:
        """
        From which day a notice sent that day is in force: the latest that a pack names.

        Raises:
            LookupError: no pack says it, nor the floor.
        """

        def days(packs: Iterable[Pack]) -> Iterator[date]:
            for rule, service in self._binding(packs, Service, matter, sent_on):
                channels = rule.scope.channels
                if (not service.notices or notice in service.notices) and (not channels or channel in channels):
                    yield service.after.after(sent_on, matter.places)

        latest = max(days(self._packs), default=None) or max(days(self._floor), default=None)
        if latest is None:
            raise LookupError(f"no pack says when a {notice} by {channel} is in force")
        return latest

    def deadlines(self) -> list[tuple[Pack, Rule, Deadline]]:
        """Every deadline that can bind the actor anywhere, with the pack that sets it."""
        found = [one for one in _rules_of(self._packs, Deadline) if self._may_bind(one[0], one[1])]
        ids = {rule.id for _, rule, _ in found}
        # Only who looks after them everywhere and for every loan makes the floor's rule superfluous.
        covered = {
            deadline.starts.what
            for pack, rule, deadline in found
            if EVERYWHERE in pack.places and not pack.products and rule.end is None
        }
        for pack, rule, deadline in _rules_of(self._floor, Deadline):
            what = deadline.starts.what
            if what in _IN_THE_BOOK and what not in covered and rule.id not in ids and self._may_bind(pack, rule):
                found.append((pack, rule, deadline))
        return found

    def kept(self, life: Life, matter: Matter, on: date) -> list[Kept]:
        """Per kind of record there is, how long it must be kept by what binds on a day; kinds that no pack names are left out."""
        rules = list(self._binding(self._packs, Retention, matter, on))
        found = []
        for records in RECORDS:
            asked = [
                (_end(retention.at_least, retention, records, life, matter.places), rule, retention)
                for rule, retention in rules
                if not retention.records.isdisjoint({records, "file"})
                and (retention.since != "record" or records in life.newest)
            ]
            if asked:
                asked.sort(key=lambda one: (one[0] is not None, -(one[0] or date.max).toordinal(), one[1].id))
                gone = [
                    _end(kept.at_most, kept, records, life, matter.places)
                    for _, _, kept in asked
                    if kept.at_most is not None
                ]
                at_most = min((day for day in gone if day is not None), default=None)
                found.append(Kept(records, asked[0][0], tuple(rule for _, rule, _ in asked), at_most))
        return found

    def shortest(self, records: Records) -> timedelta | None:
        """How long such a record is kept anywhere, at the very least; None: no rule that may bind names it."""
        asked = (
            limit.at_least.shortest
            for pack, rule, limit in _rules_of(self._packs, Retention)
            if self._may_bind(pack, rule) and not limit.records.isdisjoint({records, "file"})
        )
        return min(asked, default=None)

    def binds(self, pack: Pack, rule: Rule, matter: Matter, on: date) -> bool:
        """Whether a pack's rule holds for a matter on a day."""
        return (
            self._may_bind(pack, rule)
            and pack.reach.binds(self._actor, matter.places, matter.product)
            and rule.in_force(on)
        )

    def _may_bind(self, pack: Pack, rule: Rule) -> bool:
        return self._actor in pack.actors and (not rule.scope.actors or self._actor in rule.scope.actors)

    def _binding(self, packs: Iterable[Pack], kind: type[D], matter: Matter, on: date) -> Iterator[tuple[Rule, D]]:
        for pack, rule, dated in _rules_of(packs, kind):
            if self.binds(pack, rule, matter, on):
                yield rule, dated


def _rules_of(packs: Iterable[Pack], kind: type[D]) -> Iterator[tuple[Pack, Rule, D]]:
    for pack in packs:
        for rule in pack.rules:
            if isinstance(rule.limit, kind):
                yield pack, rule, rule.limit


def _end(length: Length, retention: Retention, records: Records, life: Life, places: tuple[str, ...]) -> date | None:
    match retention.since:
        case "last_activity":
            day: date | None = life.last_activity_on
        case "settlement":
            day = life.settled_on
        case "record":
            day = life.newest[records]
    return None if day is None else length.after(day, places)
