"""What a strategy file means, once read: moves, rules by stage, and the policies around them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Final, Literal

from engine.errors import Place
from engine.gate import Channel, Purpose, Role
from engine.stages import Stage
from engine.tree import Condition, FactValue

Per = Literal["due_date", "episode", "promise", "stage", "year"]

EVENTS: Final = (
    "payment", "payment_reversed", "pending_debit", "promise_made", "promise_broken", "promise_kept", "reply",
    "delivery_failed", "call_outcome", "dispute", "hold_placed", "hold_released", "cured",
)  # fmt: skip
"""What a rule may listen to."""

OUTCOMES: Final = (
    "sent", "delivered", "failed", "bounced", "received", "no_answer", "busy", "not_in_service", "mailbox_full",
    "voicemail", "dropped", "heard", "conversation", "wrong_person", "refused", "nobody_met", "met", "done",
)  # fmt: skip
"""What may become of a contact that was not cancelled: what `counts:` may name. The first that fits is recorded."""


_NOWHERE: Final = Place("")


@dataclass(frozen=True, slots=True)
class Act:
    """
    One thing a rule does: a channel and what goes out on it (template, script or task kind).

    A call without a queue is a recorded one: a provider makes it, and a text speaks.

    `content` is what packs may ask about it, e.g. {"opt_out_notice": True, "collectors_present": 2}.
    """

    channel: Channel
    name: str
    queue: str | None = None
    content: Mapping[str, FactValue] = field(default_factory=dict, hash=False)


RECORDED: Final[Mapping[str, FactValue]] = {"prerecorded": True, "autodialled": True}
"""What packs may ask about a recorded call: nobody speaks, and nobody dials."""


@dataclass(frozen=True, slots=True)
class Repeat:
    """
    How often a rule may fire for one loan: at most `max` times per period, or in the last `days` days.

    `outcomes` says which contacts count; empty means every contact that was not cancelled or expired.
    """

    max: int
    days: int | None = None
    per: Per | None = None
    outcomes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Send:
    """When within the allowed hours a rule's contacts go: days (0 = Monday; empty: any), minutes of the local day."""

    days: tuple[int, ...] = ()
    from_minute: int = 0
    to_minute: int = 24 * 60


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of one stage."""

    id: str
    stage: Stage
    when: Condition
    acts: tuple[Act, ...]
    purpose: Purpose
    to: tuple[Role, ...]
    repeat: Repeat
    send: Send
    valid_for: timedelta
    on: frozenset[str]
    """Events it listens to; empty: the sweep."""
    valid_from: date | None
    valid_until: date | None
    was: tuple[str, ...]
    because: str
    at: Place
    notice: str | None = None
    """The duty this contact gives evidence for once served: visit_notice or prelegal_notice."""

    def act(self, channel: str, name: str) -> Act | None:
        """The act that sends this out on this channel."""
        return next((act for act in self.acts if (act.channel, act.name) == (channel, name)), None)


@dataclass(frozen=True, slots=True)
class MoveRule:
    """One move of the ladder: first match wins, one per loan and decision."""

    id: str
    sources: tuple[Stage, ...]
    target: Stage
    when: Condition
    at: Place
    because: str = ""
    notice_days: int = 0
    """How long the duty's notice must have been in force."""


@dataclass(frozen=True, slots=True)
class EntryRule:
    """Where a loan of a live book starts."""

    id: str
    stage: Stage
    when: Condition
    at: Place


@dataclass(frozen=True, slots=True)
class PromisePolicy:
    """What a promise to pay may be, when it is kept, and what it holds back meanwhile."""

    max_days: int = 7
    grace_days: int = 1
    kept_at: Decimal = Decimal("0.9")
    remind_days_before: int | None = None
    blocks: tuple[Channel, ...] = ()


@dataclass(frozen=True, slots=True)
class CurePolicy:
    """When a claim counts as paid: what is still open is at most the tolerance (minor units)."""

    tolerance_minor: int = 0


@dataclass(frozen=True, slots=True)
class Strategy:
    """
    One strategy, whole. `digest` is the hash of its canonical content: two files that mean the same have the same.

    What its templates say that a pack may ask about (`Act.content`) is part of that meaning, because the gate's
    answer depends on it; their wording is not: a template has a digest of its own, and a comma decides nothing.

    Attributes:
        arms: name -> share; the shares add up to `sum(arms.values())`, people are dealt by keyed hash.
        feed_age_max: how old the payment feed may be before dunning is withheld.
        rules: by stage, in file order.
    """

    id: str
    applies_to: Condition
    currency: str
    title: str
    define: Mapping[str, Condition]
    arms: Mapping[str, int]
    promise: PromisePolicy
    cure: CurePolicy
    feed_age_max: timedelta | None
    entry: tuple[EntryRule, ...]
    moves: tuple[MoveRule, ...]
    rules: Mapping[Stage, tuple[Rule, ...]]
    file: str
    digest: str = ""
    at: Place = _NOWHERE
    source: str = field(default="", repr=False)
    reading: str = field(default="", repr=False)
    """What `source` was read with, by `engine.reading`: together they are the strategy, whatever the files say later."""

    def rule(self, rule_id: str) -> Rule | None:
        """The rule of that id, by its present or a former name."""
        for rules in self.rules.values():
            for rule in rules:
                if rule.id == rule_id or rule_id in rule.was:
                    return rule
        return None
