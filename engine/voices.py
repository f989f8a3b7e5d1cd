"""One person, one voice: which of a person's loans speaks, and which others its contact speaks for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.addressing import ask_contact
from engine.decision import CandidateState, PlannedContact
from engine.gate import Endpoint
from engine.judging import Desk
from engine.situation import Loan, Person
from engine.stages import SEVERITY
from engine.strategy import Act, Rule


@dataclass(slots=True)
class Voice:
    """
    A loan that has something to say: its sendable `collect` choice, and the contacts it would make.

    `settle` fills in the rest: the contacts that remain its own, and who speaks for it otherwise.
    """

    loan: Loan
    rule: Rule
    contacts: tuple[PlannedContact, ...]
    state: CandidateState = "chosen"
    covered_by: int | None = None


def settle(desk: Desk, voices: Sequence[Voice]) -> None:
    """
    Leave each person one speaking loan: worst stage first, then days past due, then the lower id.

    A loan is covered by a contact only if the gate would allow that same contact, at that instant,
    about it as well; a loan that may not be spoken of is never mentioned. Amounts play no part, so
    loans of several currencies stand side by side.
    """
    if len(voices) < 2:
        return
    speaks: dict[int, Voice] = {}
    for voice in sorted(voices, key=_leading):
        # A filing speaks to nobody: it is neither silenced nor does it speak for another loan.
        own = tuple(c for c in voice.contacts if c.person not in speaks or c.channel == "legal")
        for contact in voice.contacts:
            leader = speaks.get(contact.person)
            if contact.channel != "legal" and leader is not None and _cover(desk, leader, voice.loan, contact):
                voice.covered_by = voice.covered_by or leader.loan.id
        voice.contacts = own
        if not own:
            voice.state = "yields" if voice.covered_by is None else "covered"
        for contact in own:
            if contact.channel != "legal":
                speaks[contact.person] = voice


def _leading(voice: Voice) -> tuple[int, int, int]:
    dpd = voice.loan.facts.get("dpd")
    return -SEVERITY[voice.loan.stage], -dpd if type(dpd) is int else 1, voice.loan.id


def _cover(desk: Desk, leader: Voice, loan: Loan, meant: PlannedContact) -> bool:
    """Let the leader's contacts with a person speak for a loan that meant to reach the same person in the same role."""
    covered = False
    contacts = []
    for contact in leader.contacts:
        same = contact.person == meant.person and contact.role == meant.role and contact.channel != "legal"
        if same and _may_speak(desk, leader.rule, contact, loan):
            covered = True
            contacts.append(replace(contact, covers=tuple(sorted({*contact.covers, loan.id}))))
        else:
            contacts.append(contact)
    leader.contacts = tuple(contacts)
    return covered


def _may_speak(desk: Desk, rule: Rule, contact: PlannedContact, loan: Loan) -> bool:
    situation = desk.situation
    person = situation.borrower if contact.person == situation.borrower.id else situation.others[contact.person]
    ask = ask_contact(
        situation,
        loan,
        person=person,
        role=contact.role,
        act=rule.act(contact.channel, contact.name) or Act(contact.channel, contact.name, contact.queue),
        endpoint=_endpoint(person, contact.endpoint),
        purpose=contact.purpose,
        planned=desk.planned,
    )
    return desk.gate.check(ask, contact.not_before).outcome == "allow"


def _endpoint(person: Person, endpoint_id: int | None) -> Endpoint | None:
    return next((endpoint for endpoint in person.endpoints if endpoint.id == endpoint_id), None)
