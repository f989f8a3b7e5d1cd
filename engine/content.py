"""
What a rule and the gate must know of a text that goes out, without knowing its words.

The channels' templates supply it; the engine never reads a template.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from engine.gate import Channel, Purpose
from engine.strategy import Act, Strategy
from engine.tree import FactValue


@dataclass(frozen=True, slots=True)
class TemplateFacts:
    """
    One template on one channel.

    Attributes:
        purpose: what it is worded for.
        mentions_past_due: it says or implies that a payment is late.
        names_borrower: it says the borrower's name.
        content: facts that packs may ask for in `content` limits: opt_out_notice, institution_named,
            mentions_debt. A fact that the text cannot answer is absent: what an agent says aloud is not in a script.
    """

    purpose: Purpose
    mentions_past_due: bool = False
    names_borrower: bool = False
    content: Mapping[str, FactValue] = field(default_factory=dict)


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
