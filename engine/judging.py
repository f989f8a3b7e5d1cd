"""What the gate says of a rule's acts: each addressee, each act, each endpoint, and the earliest instant it may go."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from engine.addressing import addressees, ask_contact, endpoints
from engine.decision import ActJudged, CandidateState, PlannedContact
from engine.gate import Ask, Channel, Endpoint, Gate, PastContact, Reason, Role
from engine.situation import Loan, Person, RuleUse, Situation
from engine.slots import next_key, slot, uses_of, why_spent
from engine.strategy import Act, Rule
from engine.timing import end_of_day, next_open, start_of_day, window_end

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_ROUNDS_MAX: Final = 32
"""How often window and gate may hand an instant back and forth; beyond that no instant suits both."""

_NO_ENDPOINT: Final = "no endpoint"
QUEUE_FULL: Final = "queue full"
"""Noted of an act whose queue had no room."""
_PROMISED: Final = "a promise is open"
_SPOKEN_TO: Final = "already spoken to today"
_NEVER_WAS: Final = frozenset({"cancelled", "expired"})
_NO_HOUR: Final = "no hour fits the send window in every zone"


@dataclass(slots=True)
class Desk:
    """
    What all questions of one decision share.

    Attributes:
        now: in UTC.
        sweep: no event is being handled.
        queue_open: whether a queue has room for a loan.
        planned: the contacts chosen so far, by person; they count as history for later questions.
    """

    situation: Situation
    gate: Gate
    now: datetime
    sweep: bool
    queue_open: Callable[[int, str], bool]
    planned: dict[int, tuple[PastContact, ...]] = field(default_factory=dict)

    def spoken_to(self, person: Person) -> bool:
        """
        Whether a sweep finds that dunning has reached this person today, or is planned to from today on.

        One person, one voice also holds across runs: a second sweep of a day falls through neither to
        the next rule of the same loan nor to a loan that the first one covered.
        """
        if not self.sweep or not person.history:
            return False
        begins = start_of_day(self.situation.on, person.zones)
        since = 0 if begins is None else microseconds(begins)
        return any(
            past.at_us >= since
            and past.purpose == "collect"
            and past.direction == "out"
            and past.channel != "legal"
            and past.outcome not in _NEVER_WAS
            and not past.misdirected
            for past in person.history
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """What became of one candidate's acts, and the contacts it would make."""

    state: CandidateState
    acts: tuple[ActJudged, ...]
    contacts: tuple[PlannedContact, ...] = ()
    note: str = ""


def judge(desk: Desk, rule: Rule, loan: Loan, blocked: frozenset[Channel]) -> Judged:
    """
    Ask the gate about every act of a rule that matched.

    Args:
        loan: as it stands after its move.
        blocked: channels that an open promise holds back.
    Returns:
        `goes` when at least one act may go within the rule's validity, with the contacts; else why not.
    """
    uses = uses_of(rule, loan)
    competes = rule.purpose == "collect"
    if competes and (spent := why_spent(rule.repeat, uses, loan, desk.situation.on, sweep=desk.sweep)):
        return Judged("repeated", (), note=spent)
    acts: list[ActJudged] = []
    contacts: list[PlannedContact] = []
    planned = dict(desk.planned)
    spent_acts = 0
    for role, person in addressees(rule, desk.situation, loan):
        for act in rule.acts:
            if not competes:
                # A notice is owed to each addressee on each channel: having reached one, it still owes the others.
                uses = uses_of(rule, loan, person=person.id, channel=act.channel)
                spent = why_spent(rule.repeat, uses, loan, desk.situation.on, sweep=desk.sweep)
                if spent:
                    spent_acts += 1
                    acts.append(ActJudged(person.id, role, act.channel, None, None, None, spent))
                    continue
            elif act.channel != "legal" and desk.spoken_to(person):
                spent_acts += 1
                acts.append(ActJudged(person.id, role, act.channel, None, None, None, _SPOKEN_TO))
                continue
            for judged in _try_endpoints(desk, rule, loan, person, role, act, blocked, planned):
                acts.append(judged)
                if judged.at is not None:
                    contact = _contact(desk, rule, loan, person, act, judged, judged.at, uses)
                    contacts.append(contact)
                    remember(planned, contact)
    return Judged(_state(acts, spent_acts), tuple(acts), tuple(contacts))


def remember(planned: dict[int, tuple[PastContact, ...]], contact: PlannedContact) -> None:
    """Add a chosen contact to what its person will have heard from us."""
    past = PastContact(
        at_us=microseconds(contact.not_before),
        direction="out",
        channel=contact.channel,
        outcome="planned",
        purpose=contact.purpose,
        person=contact.person,
        debts=(contact.loan, *contact.covers),
        endpoint=contact.endpoint,
    )
    planned[contact.person] = (*planned.get(contact.person, ()), past)


def microseconds(at: datetime) -> int:
    """An aware instant as the gate's histories hold it: microseconds since 1970 UTC."""
    return (at - _EPOCH) // _MICROSECOND


def _try_endpoints(
    desk: Desk,
    rule: Rule,
    loan: Loan,
    person: Person,
    role: Role,
    act: Act,
    blocked: frozenset[Channel],
    planned: Mapping[int, tuple[PastContact, ...]],
) -> list[ActJudged]:
    def unasked(note: str) -> list[ActJudged]:
        return [ActJudged(person.id, role, act.channel, None, None, None, note)]

    if act.channel in blocked:
        return unasked(_PROMISED)
    if act.queue is not None and not desk.queue_open(loan.id, act.queue):
        return unasked(QUEUE_FULL)
    usable = endpoints(person, act.channel)
    if not usable:
        return unasked(_NO_ENDPOINT)
    deadline = _deadline(desk, rule, person)
    tried: list[ActJudged] = []
    for endpoint in usable:
        ask = ask_contact(
            desk.situation,
            loan,
            person=person,
            role=role,
            act=act,
            endpoint=endpoint,
            purpose=rule.purpose,
            planned=planned,
        )
        tried.append(_earliest(desk, rule, ask, endpoint, deadline))
        if tried[-1].at is not None:
            break
    return tried


def _earliest(desk: Desk, rule: Rule, ask: Ask, endpoint: Endpoint | None, deadline: datetime) -> ActJudged:
    """Window and gate in turns, until an instant suits both, one of them says never, or it is too late."""
    channel = ask.channel
    assert channel is not None  # noqa: S101 - only stage moves have none, and they are not asked about here
    verdict = None
    delays: tuple[Reason, ...] = ()

    def answer(at: datetime | None = None, *, note: str = "", later: datetime | None = None) -> ActJudged:
        spot = endpoint.id if endpoint is not None else None
        return ActJudged(ask.person, ask.role, channel, spot, verdict, at, note, later, delays)

    instant = desk.now
    for _ in range(_ROUNDS_MAX):
        opened = next_open(rule.send, ask.zones, instant)
        if opened is None:
            # Where nobody knows what time it is there, it is the gate that says so.
            verdict = desk.gate.check(ask, instant)
            return answer(note=_NO_HOUR)
        if opened >= deadline:
            return answer(later=opened, note="later than the rule stays valid")
        verdict = desk.gate.check(ask, opened)
        if verdict.outcome == "allow":
            return answer(opened)
        if verdict.outcome == "deny":
            return answer()
        if verdict.until is None or verdict.until <= opened:
            # INVARIANT: a deferral names a later instant. A gate that breaks it is not trusted with a contact.
            return answer(note="the gate deferred without naming a later instant")
        delays = (*delays, *(reason for reason in verdict.reasons if reason not in delays))
        instant = verdict.until.astimezone(UTC)
    return answer(note="no instant suits both the send window and the gate")


def _deadline(desk: Desk, rule: Rule, person: Person) -> datetime:
    deadline = desk.now + rule.valid_for
    if rule.valid_until is not None:
        over = end_of_day(rule.valid_until, person.zones)
        return deadline if over is None else min(deadline, over)
    return deadline


def _contact(
    desk: Desk,
    rule: Rule,
    loan: Loan,
    person: Person,
    act: Act,
    judged: ActJudged,
    at: datetime,
    uses: Sequence[RuleUse],
) -> PlannedContact:
    closes = window_end(rule.send, person.zones, at)
    expires = _deadline(desk, rule, person)
    key = next_key(rule.repeat, uses, loan, desk.situation.on)
    return PlannedContact(
        loan=loan.id,
        rule=rule.id,
        person=person.id,
        role=judged.role,
        channel=act.channel,
        endpoint=judged.endpoint,
        purpose=rule.purpose,
        name=act.name,
        queue=act.queue,
        not_before=at,
        # A contact that misses its window lapses, and the next sweep looks again: it never goes outside it.
        expires=expires if closes is None else min(expires, closes),
        slot=slot(loan, rule, key, person.id, act.channel),
        stage_entry=loan.stage_entry,
    )


def _state(acts: Sequence[ActJudged], spent: int) -> CandidateState:
    if any(act.at is not None for act in acts):
        return "goes"
    if acts and spent == len(acts):
        return "repeated"
    if any(act.later is not None for act in acts):
        return "too_late"
    if any(act.note == QUEUE_FULL for act in acts):
        return "queue_full"
    if any(act.verdict is not None or act.note in {_PROMISED, _NO_HOUR} for act in acts):
        return "refused"
    return "no_endpoint"
