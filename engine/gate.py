"""
What the engine asks before any act, and what it must be told: the `Gate` protocol and its values.

The one implementation is in `compliance/`. Everything here is plain data, normalised once at the
border: instants as microseconds since 1970 UTC, money in minor units, zones by IANA name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal, Protocol

from engine.stages import Stage
from engine.tree import FactValue

Channel = Literal["sms", "email", "call", "visit", "letter", "legal"]
CHANNELS: tuple[Channel, ...] = ("sms", "email", "call", "visit", "letter", "legal")
Purpose = Literal[
    "collect", "required_notice", "service", "reply", "location", "opt_out_confirmation", "legally_required",
    "notify_specified_remedy", "request_consent", "discount_offer",
]  # fmt: skip
Role = Literal[
    "borrower", "co_borrower", "guarantor", "spouse", "executor", "contact_person", "third_party", "attorney"
]
Act = Literal["contact", "stage_move", "filing", "placement", "report"]
Ground = Literal["legal_duty", "active_litigation", "consumer_request", "outside_harm"]
"""What a law's presumption may yield to: the factors of comment 14(b)(2)(ii)-2 to Regulation F."""
MARKS = ("employer_provided", "known_disclosure", "unlawful_source")
"""What is known against a number or address."""
STATEMENTS = (
    "consent", "opt_out", "opt_in", "inconvenient_time", "inconvenient_place", "no_work_contact", "no_medium",
    "no_endpoint", "no_contact",
)  # fmt: skip
HOLDS = (
    "dispute", "cease", "refusal_to_pay", "attorney", "bankruptcy", "deceased", "hardship", "vulnerable", "moratorium",
    "instalment_agreement", "mental_capacity", "fraud", "investigation", "manual",
)  # fmt: skip
UNREADABLE = "unreadable"
"""The kind of a statement or hold on file that nobody can read: whatever it is about is closed."""


@dataclass(frozen=True, slots=True)
class PastContact:
    """
    A contact that was made, tried, or is planned and not yet over; what limits count.

    Attributes:
        at_us: when it happened, or when it is planned for.
        outcome: e.g. no_answer, voicemail, busy, conversation, delivered, received; `planned`,
            `sending` and `unknown` count like a contact made, because they may turn out to be one.
        misdirected: learnt later that the endpoint was not this person's.
        place: home or work, where it went to an address or line that is tied to one; `elsewhere` where to none;
            None is not known.
        id: our contact id, so that a second look can leave out the contact it is about; None for imports without one.
    """

    at_us: int
    direction: Literal["out", "in"]
    channel: str
    outcome: str
    purpose: str
    person: int
    debts: tuple[int, ...]
    endpoint: int | None = None
    by: str = "lender"
    misdirected: bool = False
    id: str | None = None
    place: str | None = None


@dataclass(frozen=True, slots=True)
class LocalWindow:
    """Hours of the addressee's day, `[from, to)` in minutes after midnight; days 0 = Monday; empty days = every day."""

    from_minute: int
    to_minute: int
    days: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """
    Something a person told us about being contacted: one line of the consent and preference ledger.

    Attributes:
        kind: one of `STATEMENTS`, or `UNREADABLE`.
        scope: for consents: call_frequency, contact_time, electronic, prerecorded; else empty.
        channels, endpoint, debts, purposes: what it covers; empty or None means all.
        until_us: when it lapses; None means until something later says otherwise.
        windows: local hours that are closed (inconvenient_time) or opened (contact_time).
        form: written, electronic, oral; empty is not known.
    """

    kind: str
    at_us: int
    scope: str = ""
    channels: tuple[str, ...] = ()
    endpoint: int | None = None
    debts: tuple[int, ...] = ()
    purposes: tuple[str, ...] = ()
    given_to: str = "lender"
    until_us: int | None = None
    windows: tuple[LocalWindow, ...] = ()
    only_on: tuple[date, ...] = ()
    place: str | None = None
    form: str = ""


@dataclass(frozen=True, slots=True)
class Hold:
    """
    A state that forbids something until it ends: dispute, cease, attorney, bankruptcy, deceased, hardship, ...

    Attributes:
        kind: one of `HOLDS`, or `UNREADABLE`.
        blocks: the channels it blocks; empty blocks every act.
        debts: the loans it is about; empty means every loan of the person.
        ends_us: known end; None is open.
        form: written, electronic, oral; some laws ask.
    """

    kind: str
    starts_us: int
    ends_us: int | None = None
    blocks: tuple[str, ...] = ()
    debts: tuple[int, ...] = ()
    form: str = ""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One way to reach a person, as far as a law may ask about it. The address itself is not here: ids only.

    Attributes:
        kind: mobile, landline, email, postal.
        marks: what is known against it, of `MARKS`.
        basis: how we came to use it: text_from_consumer, direct_consent, used_by_consumer_with_collector,
            creditor_notice_35_days, prior_collector_chain, contract, voice_call_only; empty is unknown.
        basis_us: when the basis was last renewed.
        place: home or work where the endpoint is tied to one.
    """

    id: int
    kind: Literal["mobile", "landline", "email", "postal"]
    zone: str | None = None
    valid: bool = True
    place: str | None = None
    basis: str = ""
    basis_us: int | None = None
    rank: int = 0
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Move:
    """A stage move that is asked about, and the notices in force as evidence for its duty."""

    source: Stage
    target: Stage
    notices: Mapping[str, date] = field(default_factory=dict)
    """Kind of notice (e.g. prelegal_notice) -> the day it took effect, deemed service included."""
    notice_days_required: int = 0


@dataclass(frozen=True, slots=True)
class Override:
    """A rule that states a presumption only, and the ground on which people set it aside for one contact."""

    rule: str
    ground: str


@dataclass(frozen=True, slots=True)
class Ask:
    """
    May this act happen? Everything a pack can look at; what is absent is absent, never assumed.

    Attributes:
        jurisdictions: from broad to narrow, e.g. ("US", "US-MA"). Empty is unknown: nothing is allowed.
        zones: every IANA zone the addressee may be in; empty is unknown: nothing is allowed.
        history: contacts with this person, any order.
        facts: the loan's facts, for conditions in packs (`product`, `dpd`, ...).
        holidays: further public holidays there, beside those the gate knows of the place.
        content: facts about the planned message or visit, e.g. {"opt_out_notice": True}.
        own_id: the id of the planned contact that is looked at again; it does not count against itself.
        by: who would make the contact: `lender`, or the id of an agency.
        notices: kind of notice -> the day it took effect, for acts that owe one and are no stage move.
        debt_groups: debt -> the account it is serviced under, where a law counts an account as one debt.
        shared: contacts with others: those who stand for the same loans, for limits that count whoever was contacted,
            and those reached at the same endpoint, for limits that count by endpoint.
        override: lifts the one rule it names, where that rule is a presumption and knows the ground; else it is denied.
        borrower: who owes, whoever is asked about: some laws open others once they cannot be reached. None is not known.
    """

    act: Act
    channel: Channel | None
    purpose: Purpose
    role: Role
    person: int
    debts: tuple[int, ...]
    jurisdictions: tuple[str, ...]
    zones: tuple[str, ...]
    actor: str = "first_party"
    endpoint: Endpoint | None = None
    history: tuple[PastContact, ...] = ()
    statements: tuple[Statement, ...] = ()
    holds: tuple[Hold, ...] = ()
    facts: Mapping[str, FactValue] = field(default_factory=dict)
    content: Mapping[str, FactValue] = field(default_factory=dict)
    place: str | None = None
    holidays: tuple[date, ...] = ()
    move: Move | None = None
    own_id: str | None = None
    by: str = "lender"
    notices: Mapping[str, date] = field(default_factory=dict)
    debt_groups: Mapping[int, str] = field(default_factory=dict)
    shared: tuple[PastContact, ...] = ()
    override: Override | None = None
    borrower: int | None = None


Outcome = Literal["allow", "defer", "deny"]
UNKNOWN = "gate.unknown."
"""How the rules begin that say what is not known: nobody is contacted, and somebody must find out."""
STRICTNESS: Mapping[str, int] = {"allow": 0, "defer": 1, "deny": 2}


@dataclass(frozen=True, slots=True)
class Reason:
    """
    One rule's answer: which rule of which pack, what it said, until when, and where the law says so.

    Attributes:
        until: for `defer`, when this rule alone would pass.
        status: law, presumption, guidance, draft or house; `gate` where the gate itself refuses.
    """

    rule: str
    outcome: Outcome
    citation: str
    says: str
    until: datetime | None = None
    says_zh: str = ""
    status: str = "law"


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    The strictest answer of every limit that applies, with every reason that did not simply allow.

    `until` is set exactly when the outcome is `defer`: the earliest instant at which the same act
    passes every rule if nothing else happens.
    """

    outcome: Outcome
    reasons: tuple[Reason, ...] = ()
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """
    Something that decisions follow from, as it was written.

    Attributes:
        kind: `pack`, or `gate` for the list of the packs that answered together.
        digest: content hash, in hex.
    """

    kind: str
    name: str
    digest: str
    content: str


class Gate(Protocol):
    """Whoever can answer for the law and the house."""

    @property
    def digest(self) -> str:
        """Content hash of everything the answers depend on, in hex."""
        ...

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the answers follow from: each pack, and the gate itself under its digest."""
        ...

    def check(self, ask: Ask, now: datetime) -> Verdict:
        """Answer for one act at one aware instant. Never raises for odd data: what is unknown is denied."""
        ...
