"""
The second look at a contact, immediately before it would go: may it still?

It can only cancel or delay, never strengthen: the contact goes exactly as it was planned, or later, or not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final, Literal, cast

from engine.addressing import ask_contact
from engine.gate import Ask, Channel, Gate, Override, PastContact, Purpose, Role, Verdict
from engine.matching import Matcher
from engine.rulebook import Rulebook
from engine.situation import Loan, Person, Situation
from engine.strategy import Act, Rule, Strategy
from engine.tree import FactValue
from store.tables import Contact
from workflows.call_backs import against_call_back, is_call_back
from workflows.sending.holding import LEAVES_WITHIN

_FEED_RETRY: Final = timedelta(hours=1)
Answer = Literal["go", "delay", "cancel"]


@dataclass(frozen=True, slots=True)
class Planned:
    """
    A contact as it stands in the outbox, as far as its second look goes by it.

    Attributes:
        rule: None: a person asked for it, and only the gate judges it. call_back: somebody promised the call.
    """

    id: str
    loan: int
    person: int
    role: str
    endpoint: int | None
    channel: str
    purpose: str
    rule: str | None
    name: str
    queue: str | None
    stage_entry: int
    expires_at: datetime
    call_back: bool


def planned(contact: Contact) -> Planned:
    """A row of the outbox as its second look sees it."""
    return Planned(
        contact.id, contact.loan_id, contact.person_id, contact.role, contact.endpoint_id, contact.channel,
        contact.purpose, contact.rule, contact.name, contact.queue, contact.stage_entry, contact.expires_at,
        is_call_back(contact),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Brought:
    """
    What a contact brings to its second look beside its rule.

    Attributes:
        content: what the text of one that no rule asked for says. override: a presumption set aside.
        visitors: how many people would go; None: as many as the rule says.
    """

    content: Mapping[str, FactValue] = field(default_factory=dict)
    override: Override | None = None
    visitors: int | None = None


NOTHING_BROUGHT: Final = Brought()


@dataclass(frozen=True, slots=True)
class Seeing:
    """
    What a second look is made on, beside the borrower's situation.

    Attributes:
        shared: what others were sent at the same number or address.
        same: the addressee's own other endpoints with that number.
    """

    contact: Planned
    shared: tuple[PastContact, ...] = ()
    brought: Brought = NOTHING_BROUGHT
    same: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Look:
    """
    What the second look says.

    Attributes:
        until: set for `delay`.
        verdict: where the gate was asked; asked: what.
        on: today at the borrower's place.
        loan, rule, strategy: what it is about; None where the look did not get that far, or nobody's rule asked for it.
    """

    answer: Answer
    why: str
    until: datetime | None = None
    verdict: Verdict | None = None
    on: date | None = None
    loan: Loan | None = None
    rule: Rule | None = None
    strategy: Strategy | None = None
    asked: Ask | None = None


def second_look(
    seeing: Seeing, situation: Situation, rulebook: Rulebook, gate: Gate, matcher: Matcher, *, now: datetime
) -> Look:
    """
    Judge one planned contact on fresh facts: its rule, its stage, its promise policy, and the gate.

    Args:
        situation: the borrower's, read anew.
    """
    contact, brought = seeing.contact, seeing.brought
    loan = next((loan for loan in situation.loans if loan.id == contact.loan), None)
    person = _addressee(contact, situation, loan)
    if loan is None or person is None:
        return Look("cancel", f"the loan has no such {contact.role} any more")
    look = Look("go", "every limit allows it now", on=situation.on, loan=loan)
    if contact.rule is not None:
        names = matcher.strategies(loan)
        if len(names) != 1:
            return replace(look, answer="cancel", why=f"{len(names)} strategies apply to the loan now")
        strategy = rulebook.strategies[names[0]]
        rule = strategy.rule(contact.rule)
        if rule is None:
            return replace(look, answer="cancel", why=f"strategy {strategy.id} has no rule {contact.rule} any more")
        look = replace(look, rule=rule, strategy=strategy)
        against = _against(contact, loan, strategy, rule, matcher, situation.on)
        if against:
            return replace(look, answer="cancel", why=against)
    elif contact.call_back:
        names = matcher.strategies(loan)
        look = replace(look, strategy=rulebook.strategies[names[0]] if len(names) == 1 else None)
        facts = loan.facts
        against = against_call_back(
            contact.channel, loan.stage, facts.get("dpd"), look.strategy, facts.get("promise_open")
        )
        if against:
            return replace(look, answer="cancel", why=against)
    if contact.purpose == "collect" and look.strategy is not None and is_stale(look.strategy, loan):
        why = "the payment feed is too old to dun by"
        return replace(look, answer="delay", why=why, until=now + _FEED_RETRY)
    endpoint = next((e for e in person.endpoints if e.id == contact.endpoint), None)
    if contact.endpoint is not None and (endpoint is None or not endpoint.valid):
        return replace(look, answer="cancel", why="the number or address is not valid any more")
    act = _act(contact, look.rule, brought)
    if contact.channel == "visit" and brought.visitors is not None:
        wanted = act.content.get("collectors_present")
        if type(wanted) is int and brought.visitors < wanted:
            return replace(look, answer="cancel", why=f"{wanted} people go, not {brought.visitors}")
        act = replace(act, content={**act.content, "collectors_present": brought.visitors})
    ask = ask_contact(
        situation,
        loan,
        person=person,
        role=cast("Role", contact.role),
        act=act,
        endpoint=endpoint,
        purpose=cast("Purpose", contact.purpose),
    )
    ask = replace(with_shared(ask, seeing.shared, seeing.same), own_id=contact.id, override=brought.override)
    verdict = gate.check(ask, now)
    if verdict.outcome == "allow" and _leaves_by_itself(contact):
        # It waits for its turn and is under way for a while: what is allowed now must be so when it gets there.
        verdict = gate.check(ask, now + LEAVES_WITHIN)
    look = replace(look, verdict=verdict, asked=ask)
    if verdict.outcome == "allow":
        return look
    reasons = ", ".join(reason.rule for reason in verdict.reasons)
    # A deferral that names no later instant breaks the gate's promise: such a gate is not trusted with a contact.
    if verdict.outcome == "defer" and verdict.until is not None and now < verdict.until < contact.expires_at:
        return replace(look, answer="delay", why=f"not now: {reasons}", until=verdict.until)
    return replace(look, answer="cancel", why=f"refused: {reasons}")


def unjudged(error: Exception) -> Look:
    """The answer where judging failed: nothing goes that nobody could judge."""
    return Look("cancel", f"it could not be judged ({type(error).__name__})")


def _leaves_by_itself(contact: Planned) -> bool:
    """Whether a provider takes it: a message, or a call that nobody has to make (`store.outbox.is_recorded_call`)."""
    recorded = contact.channel == "call" and contact.rule is not None and contact.queue is None
    return contact.channel in ("sms", "email") or recorded


def _addressee(contact: Planned, situation: Situation, loan: Loan | None) -> Person | None:
    """Whom the contact is meant for, if they still stand in that role."""
    if contact.role == "borrower":
        return situation.borrower if situation.borrower.id == contact.person else None
    stands = loan is not None and (contact.person, contact.role) in loan.parties
    return situation.others.get(contact.person) if stands else None


def _against(contact: Planned, loan: Loan, strategy: Strategy, rule: Rule, matcher: Matcher, on: date) -> str:
    """What the strategy has against the contact now; empty for nothing."""
    if loan.stage != rule.stage or loan.stage_entry != contact.stage_entry:
        return f"the loan has moved to stage {loan.stage}"
    if rule.id not in matcher.rules(strategy, loan, rule.stage, loan.facts):
        return f"rule {rule.id} does not match any more"
    if not any(_is_of(act, contact) for act in rule.acts):
        return f"rule {rule.id} does not say {contact.name} by {contact.channel} any more"
    if rule.valid_until is not None and on > rule.valid_until:
        return f"rule {rule.id} was valid until {rule.valid_until}"
    blocked = rule.purpose == "collect" and contact.channel in strategy.promise.blocks
    # Like in resolution: not knowing whether a promise is open holds back like an open one.
    return "a promise to pay is open" if blocked and loan.facts.get("promise_open") is not False else ""


def is_stale(strategy: Strategy, loan: Loan) -> bool:
    """Whether payments may have come that we have not heard of."""
    age = loan.facts.get("feed_age")
    return strategy.feed_age_max is not None and (type(age) is not int or timedelta(hours=age) > strategy.feed_age_max)


def _is_of(act: Act, contact: Planned) -> bool:
    return (act.channel, act.name) == (contact.channel, contact.name)


def _act(contact: Planned, rule: Rule | None, brought: Brought) -> Act:
    """The rule's own act, which knows what its text says; a contact without a rule brings that along."""
    own = (act for act in (rule.acts if rule is not None else ()) if _is_of(act, contact))
    return next(own, Act(cast("Channel", contact.channel), contact.name, contact.queue, content=brought.content))


def with_shared(ask: Ask, shared: tuple[PastContact, ...], same: tuple[int, ...]) -> Ask:
    """
    The question with what was heard at the same number or address; each contact is there once.

    Args:
        shared: what others heard there.
        same: the person's own other endpoints with that number: what went there went to the one asked about.
    """
    there = {past.id for past in shared}
    ask = replace(ask, shared=(*shared, *(past for past in ask.shared if past.id not in there)))
    if not same or ask.endpoint is None:
        return ask
    here = ask.endpoint.id
    history = tuple(replace(past, endpoint=here) if past.endpoint in same else past for past in ask.history)
    return replace(ask, history=history)
