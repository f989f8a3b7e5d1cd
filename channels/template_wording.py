"""
Templates before the packs: what each text lets the gate know, and whatever a pack's rule has against it.

A text is judged as it is used: by every strategy rule that sends it, to each role the rule addresses, under every pack
that could bind, because where people will be is not known when a file is read.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from channels.template_checks import Wording
from channels.template_file import Template, Templates
from channels.template_text import spoken
from compliance.pack import Rule
from compliance.pack import Wording as Limit
from compliance.phrases import read
from compliance.wording import Body, Finding, binding, check_body, content_facts
from engine import strategy
from engine.content import Language, TemplateFacts
from engine.errors import Place, Problem
from engine.gate import CHANNELS, Channel, Role
from engine.implication import implies, shows_overdue
from engine.rulebook import Rulebook

_MARKUP: Final = re.compile(r"<[^>]*>|&\w+;")
_PHRASES_SHOWN: Final = 3


def facts_by_channel(
    templates: Templates, rules: Sequence[Rule], *, on: date | None = None
) -> dict[Channel, dict[str, TemplateFacts]]:
    """
    What strategies and the gate must know of the templates written for each channel, by name.

    Args:
        rules: the packs' rules about wording, those to come included. on: the day whose law holds; None: all of them.
    """
    by_channel: dict[Channel, dict[str, TemplateFacts]] = {channel: {} for channel in CHANNELS}
    for template in templates.by_name.values():
        for channel in template.channels:
            bodies = [body for _, _, body in _bodies(template, channel)]
            content = content_facts(bodies, channel, template.purpose, rules, on=on)
            by_channel[channel][template.name] = TemplateFacts(template.purpose, content, template.recorded)
    return by_channel


def wording_problems(templates: Templates, rulebook: Rulebook, rules: Sequence[Rule]) -> list[Problem]:
    """
    Every text that a rule about wording refuses, at the words or at the language that lacks them.

    Args:
        rulebook: the strategies that send the templates; a template that none sends is judged as one to the borrower.
        rules: those in force.
    """
    sent: dict[tuple[str, Channel], list[strategy.Rule]] = defaultdict(list)
    for each in rulebook.strategies.values():
        for rule in (rule for stage in each.rules.values() for rule in stage):
            for act in rule.acts:
                sent[act.name, act.channel].append(rule)
    problems: list[Problem] = []
    for template in templates.by_name.values():
        refusals: dict[tuple[Place, str, str], _Refusal] = {}
        for channel in template.channels:
            uses = _uses(sent[template.name, channel])
            for language, part, body in _bodies(template, channel):
                for (role, overdue), use in uses.items():
                    for finding in check_body(body, binding(rules, channel, template.purpose, role, overdue=overdue)):
                        at = _place(template.wordings[language], part, finding)
                        key = (at, finding.rule.id, finding.element.name)
                        refusal = refusals.setdefault(key, _Refusal(finding, language, part, at, role, use))
                        refusal.channels[channel] = None
        problems += [refusal.problem() for refusal in refusals.values()]
    return problems


def _uses(sent: Iterable[strategy.Rule]) -> dict[tuple[Role, bool], strategy.Rule | None]:
    """Each way in which a text is sent, to whom and whether something is overdue then, with the first rule that does."""
    uses: dict[tuple[Role, bool], strategy.Rule | None] = {}
    for rule in sent:
        overdue = implies(rule.when, shows_overdue)
        for role in rule.to:
            uses.setdefault((role, overdue), rule)
    # Whoever sends a text by hand asks the gate, which knows the day.
    return uses or {("borrower", True): None}


def _bodies(template: Template, channel: Channel) -> Iterator[tuple[Language, str, Body]]:
    """Every part that is read on a channel, with its language and its name."""
    headed, forms = channel in ("email", "letter"), ("text", "html") if channel == "email" else ("text",)
    for language, wording in template.wordings.items():
        for part in (*(("subject",) if headed else ()), *forms):
            if (node := wording.parts.get(part)) is not None:
                # As it stands in the file, so that a finding has a place there.
                source = _MARKUP.sub(lambda markup: " " * len(markup[0]), node.raw) if part == "html" else node.raw
                whole, always = read(spoken(source)), read(spoken(source, always=True))
                yield language, part, Body(language, whole, always, heading=part == "subject")


def _place(wording: Wording, part: str, finding: Finding) -> Place:
    return wording.at if finding.start is None else wording.parts[part].spot(finding.start)


@dataclass(slots=True)
class _Refusal:
    """One thing wrong with a text, on every channel where it is."""

    finding: Finding
    language: str
    part: str
    at: Place
    role: Role
    use: strategy.Rule | None
    channels: dict[Channel, None] = field(default_factory=dict)

    def problem(self) -> Problem:
        rule, name = self.finding.rule, self.finding.element.name
        where = f"`{self.language}`" if self.part == "text" else f"`{self.part}` of `{self.language}`"
        source = f"{rule.id} ({rule.citation})"
        sender = f"rule `{self.use.id}`" if self.use is not None else "a rule"
        when = "" if self.role == "borrower" else f" where {sender} addresses a {self.role}"
        if self.finding.start is None:
            what = f"{where} does not say `{name}` by {' and '.join(self.channels)}, which {source} requires{when}"
            return Problem(what, f"say {self._ways()}, outside of any `{{% if %}}`", self.at)
        mend = f"say it otherwise: {rule.says_en.rstrip('.')}"
        if isinstance(rule.limit, Limit) and rule.limit.before_due:
            when += f"; {sender} can match then"
            mend += f"; or add `dpd >= 1` to the `when` of {sender}"
        said = " ".join(self.finding.said.split())
        return Problem(f"{where} says `{said}`: `{name}`, which {source} forbids{when}", mend, self.at)

    def _ways(self) -> str:
        phrases = self.finding.element.in_language(self.language)
        return " or ".join(f"`{phrase}`" for phrase in phrases[:_PHRASES_SHOWN])
