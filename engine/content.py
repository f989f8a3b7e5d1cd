"""
What a rule and the gate must know of a text that goes out, and the words in which packs and templates speak of it.

The channels' templates supply it; the engine never reads a template.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from engine.gate import Channel, Purpose
from engine.strategy import Act, Strategy
from engine.tree import FactValue

Language = Literal["en", "zh"]
LANGUAGES: Final[tuple[Language, ...]] = get_args(Language)
"""Every language a text may be written in."""

GROUPS: Final[Mapping[str, tuple[str, ...]]] = {
    "addressee": ("name",),
    "borrower": ("name",),
    "loan": ("ref", "product", "overdue", "balance", "min_payment", "due_on", "first_unpaid_on", "dpd"),
    "promise": ("amount", "due_on"),
    "lender": ("name", "phone", "url"),
}
"""Every group of values a text may use, and what is in it. `addressee` is whoever reads it: the borrower, a guarantor."""
OPT_OUT: Final = "opt_out"
VARIABLES: Final = (*(f"{group}.{name}" for group, names in GROUPS.items() for name in names), OPT_OUT)


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """
    One template on one channel.

    Attributes:
        purpose: what it is worded for.
        content: what the packs' rules about wording found in it, e.g. opt_out_notice, mentions_debt, and the id of each
            such rule that it breaks. What no rule asks of its channel is absent: what is said aloud is not in a script.
        recorded: it is read out in a recorded call, to whoever picks up; a call's other texts are scripts for our people.
    """

    purpose: Purpose
    content: Mapping[str, FactValue] = field(default_factory=dict)
    recorded: bool = False


Templates = Mapping[Channel, Mapping[str, TemplateFacts]]
"""By channel and name; a script is a template of its channel."""


def with_content(strategy: Strategy, templates: Templates) -> Strategy:
    """The strategy with each act knowing what its text says; what the act itself says of its content stands."""

    def told(act: Act) -> Act:
        template = templates.get(act.channel, {}).get(act.name)
        return act if template is None else replace(act, content={**template.content, **act.content})

    rules = {
        stage: tuple(replace(rule, acts=tuple(map(told, rule.acts))) for rule in stage_rules)
        for stage, stage_rules in strategy.rules.items()
    }
    return replace(strategy, rules=rules)
