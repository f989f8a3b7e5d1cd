"""What was decided for a borrower, with everything needed to explain and repeat it."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from engine.gate import Channel, Override, Purpose, Reason, Role, Verdict
from engine.stages import Stage


@dataclass(frozen=True, slots=True)
class ActJudged:
    """
    One act of a candidate, for one addressee, and what the gate said.

    Attributes:
        verdict: the gate's last answer; None when it was not asked, and `note` says why.
        at: when it may go, if it may within the rule's validity.
        later: when it could go at the earliest, if that is past the rule's validity.
        delays: what the gate had against every earlier instant.
    """

    person: int
    role: Role
    channel: Channel
    endpoint: int | None
    verdict: Verdict | None
    at: datetime | None
    note: str = ""
    later: datetime | None = None
    delays: tuple[Reason, ...] = ()


CandidateState = Literal[
    "chosen", "goes", "covered", "yields", "repeated", "refused", "too_late", "no_endpoint", "queue_full",
    "stale_feed", "not_reached",
]  # fmt: skip
"""
chosen: the loan's `collect` contact. goes: a notice or service contact, which does not compete.
covered: sendable, and another loan's contact speaks for it. yields: sendable, but another loan speaks
to this person and may not speak for this one. repeated: used as often as it may. refused: the gate
denied every act. too_late: the gate would allow it only after its validity. no_endpoint: nobody to
address, or no way to reach them. queue_full: no room in its queue. stale_feed: dunning is withheld
because the payment feed is too old. not_reached: a candidate before it was sendable.
"""


@dataclass(frozen=True, slots=True)
class CandidateJudged:
    """One rule that matched: whether it may repeat, what the gate said of its acts, and what became of it."""

    rule: str
    purpose: Purpose
    state: CandidateState
    acts: tuple[ActJudged, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class MoveJudged:
    """One move that matched, and what the gate said of it (None: not asked, since it makes nothing harsher)."""

    rule: str
    target: Stage
    verdict: Verdict | None
    taken: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class PlannedContact:
    """
    One contact to make: what the outbox holds.

    Attributes:
        slot: the repeat slot; (loan, rule, stage entry, slot, person, channel) happens once, ever.
        name: the template (sms, email, letter), the script (call), or the task kind (visit, legal).
        covers: other loans of the person that this contact speaks for.
    """

    loan: int
    rule: str
    person: int
    role: Role
    channel: Channel
    endpoint: int | None
    purpose: Purpose
    name: str
    queue: str | None
    not_before: datetime
    expires: datetime
    slot: str
    stage_entry: int
    covers: tuple[int, ...] = ()


LoanOutcome = Literal[
    "contact", "wait", "covered", "withheld", "nothing", "stale_feed", "no_strategy", "overlap", "recorded"
]
"""
contact: at least one contact is planned. wait: the gate would allow it only later than the rule stays
valid. covered: another loan's contact speaks for it. withheld: all that was to be done, a stage move among it, was refused.
nothing: no rule matched, or all that did have been used up. stale_feed, no_strategy, overlap:
dunning was withheld, with an alert. recorded: a person told us of a contact that was made without us.
"""


@dataclass(frozen=True, slots=True)
class ByHand:
    """
    What a person wanted to do, or has done, without a rule that asks for it.

    Attributes:
        by: who.
        what: start: they call, visit or write themselves. send: a message. record: it happened already. move: another stage,
            which was refused; what the gate said, or which notice is not in force, stands in the decision's one move.
        acts: each endpoint that was asked about.
        contact: the id of the contact that came of it; None where it was refused.
        override, approved_by: the presumption that was set aside, and who agreed; where the proof is stands beside the log.
    """

    by: str
    what: Literal["start", "send", "record", "move"]
    purpose: Purpose
    acts: tuple[ActJudged, ...]
    contact: str | None = None
    override: Override | None = None
    approved_by: str = ""


@dataclass(frozen=True, slots=True)
class LoanDecision:
    """The answer for one loan."""

    loan: int
    strategy: str | None
    arm: str | None
    stage_before: Stage
    stage_after: Stage
    outcome: LoanOutcome
    rule: str | None
    """The chosen `collect` rule, or None."""
    moves: tuple[MoveJudged, ...]
    candidates: tuple[CandidateJudged, ...]
    contacts: tuple[PlannedContact, ...]
    covered_by: int | None = None
    next_look: datetime | None = None
    """When the gate would allow it (`wait`); None: the next sweep."""
    by_hand: ByHand | None = None
    """Set exactly where a person asked, and no rule: then there are no candidates and contacts, and no move but a refused one."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The answer for one borrower: one entry per loan, in loan id order."""

    borrower: int
    on: date
    now: datetime
    loans: tuple[LoanDecision, ...]
