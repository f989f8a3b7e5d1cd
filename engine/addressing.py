"""Whom a rule addresses, by which endpoints, and what the gate is asked about it."""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from engine.gate import Ask, Channel, Endpoint, Hold, Move, PastContact, Purpose, Role
from engine.situation import Loan, Person, Situation
from engine.stages import Stage
from engine.strategy import Act, Rule
from engine.tree import FactValue

_KINDS: Final[Mapping[Channel, tuple[Literal["mobile", "landline", "email", "postal"], ...]]] = {
    "sms": ("mobile",),
    "email": ("email",),
    "call": ("mobile", "landline"),
    "visit": ("postal",),
    "letter": ("postal",),
    "legal": (),
}
"""The endpoints a channel can use, preferred kind first; a legal filing needs none."""

_NO_ENDPOINT: Final[tuple[None]] = (None,)
_HOME_LINE: Final[Mapping[str, FactValue]] = {"line": "residential_landline"}
_NOTHING: Final[Mapping[str, FactValue]] = {}
_NONE_PLANNED: Final[Mapping[int, tuple[PastContact, ...]]] = {}


def addressees(rule: Rule, situation: Situation, loan: Loan) -> Iterator[tuple[Role, Person]]:
    """Everybody the rule is meant for, in the order of its roles, then by id; one person once, in their first role."""
    if rule.to == ("borrower",):
        yield "borrower", situation.borrower
        return
    seen: set[int] = set()
    for role in rule.to:
        if role == "borrower":
            people = [situation.borrower]
        else:
            ids = sorted({person for person, stands_as in loan.parties if stands_as == role})
            people = [situation.others[person] for person in ids if person in situation.others]
        for person in people:
            if person.id not in seen:
                seen.add(person.id)
                yield role, person


def endpoints(person: Person, channel: Channel) -> tuple[Endpoint, ...] | tuple[None]:
    """The person's valid endpoints for a channel: preferred kind first, then by rank. `(None,)` where none is needed."""
    kinds = _KINDS[channel]
    if not kinds:
        return _NO_ENDPOINT
    fitting = [endpoint for endpoint in person.endpoints if endpoint.valid and endpoint.kind in kinds]
    if len(fitting) > 1:
        fitting.sort(key=lambda endpoint: (kinds.index(endpoint.kind), endpoint.rank, endpoint.id))
    return tuple(fitting)


def ask_contact(
    situation: Situation,
    loan: Loan,
    *,
    person: Person,
    role: Role,
    act: Act,
    endpoint: Endpoint | None,
    purpose: Purpose,
    planned: Mapping[int, tuple[PastContact, ...]] = _NONE_PLANNED,
) -> Ask:
    """
    The question whether one act may reach one person about one loan.

    Args:
        loan: as it stands after its move.
        planned: contacts that this decision has already chosen, by person; they count as history.
    """
    own = planned.get(person.id)
    return Ask(
        act="filing" if act.channel == "legal" else "contact",
        channel=act.channel,
        purpose=purpose,
        role=role,
        person=person.id,
        debts=(loan.id,),
        jurisdictions=person.jurisdictions,
        zones=person.zones,
        actor=situation.actor,
        endpoint=endpoint,
        history=person.history + own if own else person.history,
        statements=person.statements,
        holds=_holds(situation, loan, person),
        facts=loan.facts,
        content={"template": act.name, **_line(act, endpoint), **act.content},
        place=endpoint.place if endpoint is not None else None,
        notices=loan.notices,
        shared=_with_others(situation, person, planned) if situation.others else (),
        borrower=situation.borrower.id,
    )


def _line(act: Act, endpoint: Endpoint | None) -> Mapping[str, FactValue]:
    """Whose landline it is nobody tells us: recorded calls go to it as to a home's, which laws protect more."""
    recorded = act.content.get("prerecorded") is True
    return _HOME_LINE if recorded and endpoint is not None and endpoint.kind == "landline" else _NOTHING


def _with_others(
    situation: Situation, person: Person, planned: Mapping[int, tuple[PastContact, ...]]
) -> tuple[PastContact, ...]:
    """What the other people around these loans heard of them, or will: some laws count per account, whoever was reached."""
    loans = {loan.id for loan in situation.loans}
    return tuple(
        past
        for other in (situation.borrower, *situation.others.values())
        if other.id != person.id
        for past in (*other.history, *planned.get(other.id, ()))
        if not past.debts or not loans.isdisjoint(past.debts)
    )


def ask_move(situation: Situation, loan: Loan, target: Stage, notice_days: int) -> Ask:
    """The question whether a loan may enter a stage where its treatment is harsher; asked about the borrower."""
    person = situation.borrower
    return Ask(
        act="stage_move",
        channel=None,
        purpose="collect",
        role="borrower",
        person=person.id,
        debts=(loan.id,),
        jurisdictions=person.jurisdictions,
        zones=person.zones,
        actor=situation.actor,
        history=person.history,
        statements=person.statements,
        holds=person.holds,
        facts=loan.facts,
        move=Move(loan.stage, target, loan.notices, notice_days),
    )


def _holds(situation: Situation, loan: Loan, person: Person) -> tuple[Hold, ...]:
    if person is situation.borrower:
        return person.holds
    # Who disputes a debt disputes it for everybody who stands for it; what shields the borrower in person does not.
    shared = tuple(hold for hold in situation.borrower.holds if loan.id in hold.debts)
    return person.holds + shared if shared else person.holds
