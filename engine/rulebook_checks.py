"""What is wrong with a strategy as part of a workspace: a ladder that leads nowhere, names that nobody knows."""

from collections.abc import Collection, Iterator
from typing import Final

from engine.content import TemplateFacts, Templates
from engine.errors import Problem, unknown_name
from engine.stages import EDGE, STAGES, Duty, Stage
from engine.strategy import Act, Rule, Strategy

_TASKS: Final = frozenset({"call", "visit", "legal"})


def ladder_problems(strategy: Strategy) -> Iterator[Problem]:
    """Stages nobody reaches, stages a paid loan cannot leave, and duties for which no notice is ever given."""
    reached = _reached(strategy)
    for stage, rules in strategy.rules.items():
        if stage not in reached and rules:
            mend = f"add a move or an `entry` to `{stage}`, or delete its rules"
            yield Problem(f"no loan ever reaches stage `{stage}`", mend, rules[0].at)
    for move in strategy.moves:
        if reached.isdisjoint(move.sources):
            mend = "add a move that leads to where it starts, or delete it"
            yield Problem(f"move `{move.id}` starts where no loan ever is", mend, move.at)
    leaves = {source for move in strategy.moves for source in move.sources if move.target in {"current", "closed"}}
    for stage in STAGES:
        if stage in reached - leaves - {"current", "closed"}:
            mend = f"add a move such as `{{id: cured, from: {stage}, to: current}}`, which needs no `when`"
            yield Problem(f"stage `{stage}` has no way out for a loan that is paid", mend, strategy.at)
    given = {rule.notice for rule in _rules(strategy)}
    for move in strategy.moves:
        duties = {EDGE[source, move.target].duty for source in move.sources}
        for duty in sorted(duty for duty in duties - given if duty is not None):
            yield _ungiven(move.id, duty, strategy)


def name_problems(strategy: Strategy, queues: Collection[str], templates: Templates | None) -> Iterator[Problem]:
    """Queues, templates and scripts that do not exist."""
    for rule in _rules(strategy):
        for act in rule.acts:
            if act.queue is not None and act.queue not in queues:
                otherwise = "declare it in config/queues.yaml"
                yield unknown_name("queue", act.queue, queues, at=rule.at, otherwise=otherwise)
            if templates is None:
                continue
            known = templates.get(act.channel, ())
            if act.name not in known:
                kind = "script" if act.channel in _TASKS else f"{act.channel} template"
                otherwise = f"write rules/templates/{act.name}.yaml with a text for {act.channel}"
                yield unknown_name(kind, act.name, known, at=rule.at, otherwise=otherwise)


def text_problems(strategy: Strategy, templates: Templates) -> Iterator[Problem]:
    """Texts that ride in a rule they were not written for."""
    for rule in _rules(strategy):
        for act in rule.acts:
            template = templates.get(act.channel, {}).get(act.name)
            if template is not None and template.purpose != rule.purpose:
                # A demand that rode as a service message would escape every limit on dunning.
                what = f"rule `{rule.id}` has purpose `{rule.purpose}`, and template `{act.name}` is written for `{template.purpose}`"
                mend = f"use a template written for `{rule.purpose}`, or mend the purpose of one of them"
                yield Problem(what, mend, rule.at)
            if template is not None and act.channel == "call" and template.recorded != (act.queue is None):
                yield _misread(rule, act, template)


def _misread(rule: Rule, act: Act, template: TemplateFacts) -> Problem:
    if template.recorded:
        what = f"rule `{rule.id}` gives `{act.name}` to an agent as a script, and it is the text of a recorded call"
        return Problem(what, f"write `call: {{recorded: {act.name}}}`, or name a script", rule.at)
    # What an agent asks once they know whom they have must not be told to whoever picks up.
    what = f"rule `{rule.id}` reads `{act.name}` out to whoever picks up, and it is a script for an agent"
    mend = f"write `recorded: true` in rules/templates/{act.name}.yaml, or name a text that says so"
    return Problem(what, mend, rule.at)


def _ungiven(move: str, duty: Duty, strategy: Strategy) -> Problem:
    at = next(each.at for each in strategy.moves if each.id == move)
    what = f"move `{move}` owes a {duty}, and no rule gives one"
    return Problem(what, f"add `notice: {duty}` to the required notice that announces it", at)


def _reached(strategy: Strategy) -> set[Stage]:
    """The stages a loan can come to: where a book enters, `current`, and wherever moves lead from there."""
    reached: set[Stage] = {"current", *(entry.stage for entry in strategy.entry)}
    grown = True
    while grown:
        further = {move.target for move in strategy.moves if not reached.isdisjoint(move.sources)}
        grown = not further <= reached
        reached |= further
    return reached


def _rules(strategy: Strategy) -> Iterator[Rule]:
    for rules in strategy.rules.values():
        yield from rules
