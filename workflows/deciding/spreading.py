"""
When in the day a message leaves that a sweep planned: dealt over a stretch of time by its slot.

Without it a whole book is due at the instant at which the gate opens, and answers come back in the same quarter of an
hour. What was decided stays as it is: this only says from when the contact may be claimed, and dispatch asks the gate then.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Final
from zoneinfo import ZoneInfo

from engine.addressing import ask_contact
from engine.decision import Decision, LoanDecision, PlannedContact
from engine.gate import Gate
from engine.rulebook import Rulebook
from engine.situation import Loan, Situation
from engine.strategy import Rule

MARGIN: Final = timedelta(minutes=30)
"""So long before its end a contact is due at the latest: a busy lane has to get it out in time."""
_HALVED_MAX: Final = 3
"""How often a stretch is halved that reaches past the hours of its day, before the contact is left where it is."""
_DEALT: Final = 2**64


@dataclass(frozen=True, slots=True)
class Spread:
    """
    Deals contacts over `over`, counted from when each of them may go: the same slot always gets the same share of it.

    Tasks of work queues and letters are left alone: people do them. So is what a rule that listens to events asks for.
    """

    rulebook: Rulebook
    gate: Gate
    over: timedelta

    def leaves(self, situation: Situation, decision: Decision) -> Mapping[str, datetime]:
        """When the messages of a decision leave: slot -> instant, of those that are moved."""
        loans = {loan.id: loan for loan in situation.loans}
        found: dict[str, datetime] = {}
        for decided in decision.loans if self.over else ():
            for contact in decided.contacts:
                rule = self._rule(decided, contact)
                if rule is not None and not rule.on and _is_message(contact):
                    room = self._room(situation, loans[decided.loan], rule, contact)
                    found[contact.slot] = contact.not_before + _share(contact.slot, room)
        return found

    def _rule(self, decided: LoanDecision, contact: PlannedContact) -> Rule | None:
        strategy = self.rulebook.strategies.get(decided.strategy or "")
        return strategy.rule(contact.rule) if strategy is not None else None

    def _room(self, situation: Situation, loan: Loan, rule: Rule, contact: PlannedContact) -> timedelta:
        """The longest stretch at whose end it is still that day, and the hours in which it may go: all of it or a half, ..."""
        borrower = situation.borrower
        person = borrower if contact.person == borrower.id else situation.others[contact.person]
        act = rule.act(contact.channel, contact.name)
        if act is None:
            return timedelta(0)
        # What else is planned does not matter here: whether it may go at all is decided, and asked again when it goes.
        ask = ask_contact(
            situation,
            loan,
            person=person,
            role=contact.role,
            act=act,
            endpoint=next((one for one in person.endpoints if one.id == contact.endpoint), None),
            purpose=contact.purpose,
        )
        room = min(self.over, contact.expires - MARGIN - contact.not_before)
        for _ in range(_HALVED_MAX + 1):
            if room <= timedelta(0):
                break
            last = contact.not_before + room
            same_day = all(_day(last, zone) == _day(contact.not_before, zone) for zone in person.zones)
            if same_day and self.gate.check(ask, last).outcome == "allow":
                return room
            room /= 2
        return timedelta(0)


def _is_message(contact: PlannedContact) -> bool:
    """Whether a provider carries it: a text, a mail, or a call that no agent makes."""
    return contact.channel in ("sms", "email") or (contact.channel == "call" and contact.queue is None)


def _share(slot: str, room: timedelta) -> timedelta:
    """Its place in the stretch, in whole seconds: as good as chance, and always the same."""
    drawn = int.from_bytes(blake2b(slot.encode(), digest_size=8).digest(), "big")
    return timedelta(seconds=int(room.total_seconds()) * drawn // _DEALT)


def _day(at: datetime, zone: str) -> object:
    return at.astimezone(ZoneInfo(zone)).date()
