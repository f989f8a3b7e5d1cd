"""What is known about one borrower and all their loans at one moment: the input of a decision."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date

from engine.gate import Endpoint, Hold, PastContact, Role, Statement
from engine.stages import Stage
from engine.tree import FactValue


@dataclass(frozen=True, slots=True)
class Person:
    """
    Somebody who may be addressed: the borrower, a guarantor, a contact person. Ids only, no names.

    Attributes:
        zones: every IANA zone they may be in, from declaration, address and phone; empty is unknown.
        jurisdictions: from broad to narrow, e.g. ("US", "US-MA").
    """

    id: int
    zones: tuple[str, ...]
    jurisdictions: tuple[str, ...]
    language: str
    endpoints: tuple[Endpoint, ...] = ()
    history: tuple[PastContact, ...] = ()
    statements: tuple[Statement, ...] = ()
    holds: tuple[Hold, ...] = ()


@dataclass(frozen=True, slots=True)
class RuleUse:
    """
    One contact that a rule of a strategy made about a loan; what `repeat` counts.

    Cancelled and expired contacts belong here too: they count for nothing, but their slot is gone for good.

    Attributes:
        on: the day it is, or was, planned for, at the addressee's place.
        outcome: cancelled, expired, planned, claimed, sending, unknown, or what became of the contact.
        key: the repeat slot it took (`engine.slots.repeat_key` of the contact's slot): contacts that
            share one are one firing. Empty is unknown: contacts of one day are taken as one firing.
        person, channel: whom it addressed, and how; notices are owed to each addressee on each channel.
    """

    rule: str
    on: date
    stage_entry: int
    outcome: str
    per: Mapping[str, str] = field(default_factory=dict)
    """The period it fell in: due_date, episode, promise -> that period's key."""
    key: str = ""
    person: int | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class Loan:
    """
    One loan of the borrower as the decision sees it.

    Attributes:
        stage_entry: how many times the loan has entered a stage so far; tells two stays apart.
        parties: who else stands in which role for this loan: (person id, role).
        facts: every fact of the catalogue that is known; missing is unknown.
        notices: kind of notice -> the day it took effect at the earliest still standing.
        periods: the keys of the present periods for `repeat: {per: ...}`: due_date, episode, promise.
            (A stage is told by `stage_entry` and a year by the day, so those two need no key.)
        events: what happened to this loan in particular; adds to the situation's events.
        retry: rules whose contact, called for by an event, the gate deferred: they join this sweep.
    """

    id: int
    ref: str
    stage: Stage
    stage_entry: int
    facts: Mapping[str, FactValue]
    parties: tuple[tuple[int, Role], ...] = ()
    notices: Mapping[str, date] = field(default_factory=dict)
    uses: tuple[RuleUse, ...] = ()
    periods: Mapping[str, str] = field(default_factory=dict)
    events: frozenset[str] = frozenset()
    retry: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Situation:
    """
    One borrower, their loans, and the people around them.

    Attributes:
        on: today at the borrower's place (of several possible days the earlier).
        events: what happened to the borrower as a whole (reply, dispute, ...). A decision is a sweep
            when neither the borrower nor any of the loans has an event.
    """

    borrower: Person
    loans: tuple[Loan, ...]
    others: Mapping[int, Person]
    on: date
    events: frozenset[str] = frozenset()
    actor: str = "first_party"
