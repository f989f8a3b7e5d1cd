"""
What a strategy's file was read with, kept beside it: the lender's own facts, and what its texts say.

A strategy file alone does not say all that it decides: a fact may be the lender's own, and a pack may ask what a
template says. Both may have changed when somebody derives a decision again.
"""

import json
from dataclasses import replace

from engine.canonical import canonical, digest
from engine.catalogue import load_catalogue
from engine.errors import Problem, RuleError
from engine.facts import Catalogue
from engine.strategy import Strategy
from engine.strategy_file import read_strategy


def reading_of(strategy: Strategy, catalogue: Catalogue) -> str:
    """The facts that were added to the built-in ones, and the content of each act, as JSON."""
    content = {rule.id: tuple(act.content for act in rule.acts) for rules in strategy.rules.values() for rule in rules}
    return canonical({"added": catalogue.added, "content": content, "strategy": strategy.digest})


def read_again(name: str, source: str, reading: str) -> tuple[Strategy, Catalogue]:
    """
    The strategy as it decided, and the catalogue it speaks of.

    Args:
        source, reading: as they were kept.
    Raises:
        RuleError: they are not what was kept, or nobody can read them any more.
    """
    try:
        kept = json.loads(reading)
        catalogue = load_catalogue(*((text, file) for text, file in kept["added"]))
        content = {rule: list(acts) for rule, acts in kept["content"].items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        kept, content = None, {}
    if kept is None or not all(isinstance(said, dict) for acts in content.values() for said in acts):
        problem = Problem(f"what strategy `{name}` was read with is not as it was written", "restore the database")
        raise RuleError([problem])
    problems: list[Problem] = []
    strategy = read_strategy(source, f"{name} as published", catalogue, problems)
    if strategy is None:
        raise RuleError(problems)
    rules = {
        # What is missing is shown by the digest.
        stage: tuple(
            replace(
                rule,
                acts=tuple(
                    replace(act, content=said) for act, said in zip(rule.acts, content.get(rule.id, ()), strict=False)
                ),
            )
            for rule in stage_rules
        )
        for stage, stage_rules in strategy.rules.items()
    }
    strategy = replace(strategy, rules=rules)
    return replace(strategy, digest=digest(strategy)), catalogue
